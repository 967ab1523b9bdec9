"""The hidden Markov model refitted walk-forward: each fit sees only what came before it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from liqlab.core.time import MS_PER_DAY, MS_PER_HOUR, MS_PER_S
from liqlab.regimes._config import RegimeConfig
from liqlab.regimes._model import HALF, FitOutcome, Model, fit_model

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

#: In place of the time of a fit: there was none.
NEVER = np.int64(-1)
#: Below this many stretches seven parameters are not estimated, whatever the configuration says.
_LEAST_STRETCHES = 50


@dataclass(frozen=True)
class RegimeFit:
    """One refit. Pairs are (quiet, volatile); `means` and `stds` are of ln volatility (bps per square root of an hour).

    `time_ms` is the refit's time; it saw the `n` stretches of the window that ended then. `transitions` holds the
    probabilities of moving from the row's state to the column's in one stretch. `starts_at_best` of `n_starts` starting
    points came within 0.001 per stretch of the best log likelihood. Against the last fit in use before: the largest
    `mean_shift` (in logs) and `transition_shift`, and `agreement_with_previous`, the share of stretches in both windows
    to which both models, filtered, give the same state. A fit that is not `used` has no parameters; `note` says why,
    and the one before stays in use. None where there is nothing to say.
    """

    time_ms: int
    n: int
    log_likelihood: float | None = None
    means: tuple[float, float] | None = None
    stds: tuple[float, float] | None = None
    transitions: tuple[tuple[float, float], tuple[float, float]] | None = None
    starts_at_best: int = 0
    n_starts: int = 0
    mean_shift: float | None = None
    transition_shift: float | None = None
    agreement_with_previous: float | None = None
    used: bool = False
    note: str = ""

    @property
    def separation(self) -> float | None:
        """Distance of the two means over the mean spread of the states; below 1 they hardly differ. None if unused."""
        if self.means is None or self.stds is None:
            return None
        return (self.means[1] - self.means[0]) / (0.5 * (self.stds[0] + self.stds[1]))

    @property
    def shortest_stay(self) -> float | None:
        """Expected stay in the state left sooner, in stretches: 1 / (1 - probability to stay). None if unused."""
        if self.transitions is None:
            return None
        leave = max(self.transitions[0][1], self.transitions[1][0])
        return 1.0 / leave if leave > 0.0 else math.inf


@dataclass(frozen=True)
class Walk:
    """Filtered probability of the volatile state and time of the fit in use (`NEVER`: none yet), and all refits."""

    probability: FloatArray
    fitted_ms: IntArray
    fits: tuple[RegimeFit, ...]


def walk_forward(ends_ms: IntArray, observations: FloatArray, step_ms: int, config: RegimeConfig) -> Walk:
    """Refit at each multiple of the refit time since 1970, filter with the fit in use until the next one.

    `ends_ms` of shape (n,) are the ends of consecutive stretches of `step_ms`, `observations` their log volatilities,
    NaN where missing. Everything at an end is computed from the stretches up to it: refit times do not depend on where
    the data begin or end, and the random starts of a refit depend on its time and the seed alone.
    """
    probability, fitted_ms = np.full(len(ends_ms), np.nan), np.full(len(ends_ms), NEVER)
    stretches = _Stretches(ends_ms, observations, step_ms, config)
    fits: list[RegimeFit] = []
    used: list[tuple[int, Model]] = []
    for time_ms in stretches.refit_times():
        outcome, n = stretches.fit(time_ms)
        fits.append(stretches.describe(time_ms, n, outcome, used[-1] if used else None))
        if outcome.model is not None:
            used.append((time_ms, outcome.model))
    edges = [*np.searchsorted(ends_ms, [time_ms for time_ms, _ in used]).tolist(), len(ends_ms)]
    for (time_ms, model), first, stop in zip(used, edges, edges[1:], strict=False):
        probability[first:stop] = stretches.filter_span(model, stretches.window(time_ms).start, first, stop)
        fitted_ms[first:stop] = time_ms
    return Walk(probability, fitted_ms, tuple(fits))


@dataclass(frozen=True)
class _Stretches:
    ends_ms: IntArray
    observations: FloatArray
    step_ms: int
    config: RegimeConfig

    def refit_times(self) -> list[int]:
        if not len(self.ends_ms):
            return []
        every = self.config.hmm_refit_hours * MS_PER_HOUR
        first = -(-int(self.ends_ms[0]) // every) * every
        return list(range(first, int(self.ends_ms[-1]) + 1, every))

    def window(self, time_ms: int) -> slice:
        """Rows of the stretches that a fit at this time sees."""
        start_ms = time_ms - round(self.config.hmm_window_days * MS_PER_DAY)
        first, stop = np.searchsorted(self.ends_ms, [start_ms, time_ms], side="right")
        return slice(int(first), int(stop))

    def fit(self, time_ms: int) -> tuple[FitOutcome, int]:
        # A copy: the same numbers at another place in memory must give the same bits.
        seen = self.observations[self.window(time_ms)].copy()
        n = int((~np.isnan(seen)).sum())
        hours = self.config.hmm_min_history_hours * self.config.min_present_frac
        least = max(_LEAST_STRETCHES, round(hours * MS_PER_HOUR / self.step_ms))
        if n < least:
            return FitOutcome(None, 0, f"{n} stretches of {self.step_ms // MS_PER_S} s known, {least} needed"), n
        seed = [self.config.seed, time_ms // MS_PER_HOUR]
        return fit_model(seen, self.config.hmm_starts, self.config.quantile, seed), n

    def filter_span(self, model: Model, start: int, first: int, stop: int) -> FloatArray:
        """Filtered probabilities of the rows [first, stop), the filter having run from row `start` on."""
        return model.filter_volatile(self.observations[start:stop])[0][first - start :]

    def describe(self, time_ms: int, n: int, outcome: FitOutcome, previous: tuple[int, Model] | None) -> RegimeFit:
        model = outcome.model
        if model is None:
            return RegimeFit(time_ms, n, note=outcome.problem)
        fit = RegimeFit(
            time_ms=time_ms,
            n=n,
            log_likelihood=model.log_likelihood,
            means=_pair(model.means),
            stds=_pair(model.stds),
            transitions=(_pair(model.transitions[0]), _pair(model.transitions[1])),
            starts_at_best=outcome.starts_at_best,
            n_starts=self.config.hmm_starts + 1,
            used=True,
        )
        if previous is None:
            return fit
        return replace(
            fit,
            mean_shift=float(np.abs(model.means - previous[1].means).max()),
            transition_shift=float(np.abs(model.transitions - previous[1].transitions).max()),
            agreement_with_previous=self._agreement(previous, (time_ms, model)),
        )

    def _agreement(self, earlier: tuple[int, Model], later: tuple[int, Model]) -> float | None:
        """Share of the stretches known to both fits to which both give the same state; None without any."""
        windows = [self.window(time_ms) for time_ms, _ in (earlier, later)]
        first, stop = windows[1].start, windows[0].stop
        known = ~np.isnan(self.observations[first:stop])
        if not known.any():
            return None
        states = [
            self.filter_span(model, window.start, first, stop) > HALF
            for window, (_, model) in zip(windows, (earlier, later), strict=True)
        ]
        return float((states[0] == states[1])[known].mean())


def _pair(values: FloatArray) -> tuple[float, float]:
    return float(values[0]), float(values[1])
