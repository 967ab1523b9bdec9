"""Matched placebo moments: what a price did after events, against what it did after moments that looked alike then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from liqlab.core.config import bounded, check_bounds
from liqlab.core.time import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE, MS_PER_S
from liqlab.stats import Matches, compute_balance, match_controls
from liqlab.study._evidence import STEP_MS, Booleans, Evidence, Floats, Integers, SymbolEvidence
from liqlab.study._protocol import Hypothesis

#: What moments are matched on; returns and imbalance are in units of the trailing volatility.
COVARIATES = ("log of trailing 1 h volatility", "trailing 1 min return", "trailing 5 min return", "hour of day")
_RETURNS = slice(1, 3)
_HOUR = 3
_HOURS = 24.0
_BPS = 1e4

#: Maps (symbol, times (n,), pressure (n,)) to outcomes (n,), NaN where unknown.
Outcome = Callable[[SymbolEvidence, Integers, Floats], Floats]
#: For each symbol starts and ends of periods in which something was known to be under way.
Periods = Mapping[str, tuple[Integers, Integers]]


@dataclass(frozen=True)
class PlaceboConfig:
    """How alike a matched moment must be, and how many there are for an event.

    Calipers: `volatility_caliper` on the log of trailing volatility, `return_caliper` on trailing returns in units of
    that volatility over the same time, in proportion to the return where that is more than `large_return`,
    `hour_caliper` on the time of day. There is one candidate every `candidate_s`, and in the `clear_min` minutes before
    it nothing of the events' kind was under way.

    Many controls and a wide range of hours, so that they come from many days: what the few nearest moments did next is
    tied to how many events there were around them, and a mean over them is off by half a bps where there is no effect.
    """

    n_controls: int = bounded(20, 1, 200)
    volatility_caliper: float = bounded(0.5, 0.01, 5.0)
    return_caliper: float = bounded(0.75, 0.01, 10.0)
    large_return: float = bounded(2.0, 0.1, 100.0)
    hour_caliper: float = bounded(6.0, 0.05, 12.0)
    clear_min: float = bounded(10.0, 0.0, 1_440.0)
    candidate_s: float = bounded(60.0, 5.0, 600.0)
    seed: int = bounded(0, 0, 2**63 - 1)

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class Moments:
    """Events: arrays of shape (n,). `codes` are places in `symbols`; `pressure` is -1 or +1 (0 where it has none)."""

    symbols: tuple[str, ...]
    codes: Integers
    times_ms: Integers
    pressure: Floats

    @classmethod
    def gather(cls, by_symbol: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]]) -> Moments:
        """From times and pressure of each symbol, symbol after symbol in the order given."""
        times = [np.asarray(pair[0], dtype=np.int64) for pair in by_symbol.values()]
        pressure = [np.asarray(pair[1], dtype=np.float64) for pair in by_symbol.values()]
        codes = np.repeat(np.arange(len(times)), [len(own) for own in times])
        none = np.empty(0, dtype=np.int64)
        return cls(
            tuple(by_symbol),
            codes,
            np.concatenate([none, *times]),
            np.concatenate([none.astype(np.float64), *pressure]),
        )

    def __len__(self) -> int:
        """Number of events."""
        return len(self.times_ms)


@dataclass(frozen=True)
class MatchedMoments:
    """Events and the moments matched to each: `control_ms` (n, k), -1 where there are fewer.

    `covariates` (n, 4) and `control_covariates` (n, k, 4) are those of `COVARIATES`, returns signed by the pressure.
    """

    moments: Moments
    control_ms: Integers
    covariates: Floats
    control_covariates: Floats

    @property
    def is_matched(self) -> Booleans:
        """Which events have a matched moment, (n,)."""
        return np.asarray((self.control_ms >= 0).any(axis=1))

    @property
    def calmness(self) -> Floats:
        """One over the trailing volatility in bps at each event, (n,); zero where it is unknown.

        As weights: a calm moment tells more of a mean in bps than a wild one, and what is known at the time may weigh.
        """
        calm: Floats = np.nan_to_num(np.exp(-self.covariates[:, 0]), nan=0.0)
        return calm

    def describe_balance(self) -> dict[str, tuple[float, float, float]]:
        """For each covariate the mean of matched events, of their controls, and the standardised difference (Austin).

        NaN without a match.
        """
        chosen = np.where(self.control_ms >= 0, np.arange(self.control_ms.size).reshape(self.control_ms.shape), -1)
        matched = self.is_matched
        flat = self.control_covariates.reshape(-1, len(COVARIATES))
        if not matched.any():
            return dict.fromkeys(COVARIATES, (float("nan"),) * 3)
        found = (chosen >= 0).sum(axis=1)
        after = compute_balance(self.covariates, flat, Matches(chosen, np.zeros(chosen.shape), found, 0.0)).after
        weight = np.where(chosen >= 0, 1.0 / np.maximum(found, 1)[:, None], 0.0)[matched]
        others = np.einsum("ij,ijk->ik", weight, np.nan_to_num(self.control_covariates[matched])).mean(axis=0)
        own = self.covariates[matched].mean(axis=0)
        return {
            name: (float(own[place]), float(others[place]), float(after[place]))
            for place, name in enumerate(COVARIATES)
        }


@dataclass(frozen=True)
class Outcomes:
    """What followed: at the events (n,) and at the matched moments (n, k), NaN where unknown."""

    own: Floats
    controls: Floats

    @property
    def is_known(self) -> Booleans:
        """Which events have an outcome and at least one control with an outcome, (n,)."""
        return np.asarray(np.isfinite(self.own) & np.isfinite(self.controls).any(axis=1))

    @property
    def control_means(self) -> Floats:
        """The mean over the controls of each event, (n,); NaN without any."""
        present = np.isfinite(self.controls)
        total = np.where(present, self.controls, 0.0).sum(axis=1)
        count = present.sum(axis=1)
        return np.asarray(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0))

    @property
    def excess(self) -> Floats:
        """Own outcome less the mean of the controls, (n,)."""
        return self.own - self.control_means


class MomentMatcher:
    """Finds matched moments; what does not depend on the events is computed once.

    Candidates are edges of the 5 s grid of the event's symbol, one drawn in every minute, at which the recorder
    listened and all covariates are known. They are chosen by what was known at the time alone: a candidate may be
    followed by an event of the same kind at once. To leave those out would select moments by what came after them,
    which finds an impact where there is none (2 bps with t = 5 in the null world). Where liquidations do move prices it
    makes the excess smaller, not larger: it is what an event adds to what was to be expected, further events included.
    """

    def __init__(self, evidence: Evidence, config: PlaceboConfig | None = None) -> None:
        self._evidence = evidence
        self._config = config or PlaceboConfig()
        self._known: dict[str, tuple[Integers, Floats]] = {}

    def match(self, moments: Moments, busy: Periods | None = None) -> MatchedMoments:
        """The controls of each event: nearest first within the calipers, none in or shortly after `busy`.

        `busy` are the periods, by symbol, in which something of the events' kind was known to be under way: by default
        cascades, from confirmation to end. An event whose own covariates are not known has no match.
        """
        periods = cascade_periods(self._evidence) if busy is None else busy
        size, k = len(moments), self._config.n_controls
        found = MatchedMoments(
            moments,
            np.full((size, k), -1, dtype=np.int64),
            np.full((size, len(COVARIATES)), np.nan),
            np.full((size, k, len(COVARIATES)), np.nan),
        )
        for code, name in enumerate(moments.symbols):
            rows = np.flatnonzero(moments.codes == code)
            if rows.size:
                self._match_symbol(found, rows, self._evidence.symbols[name], periods.get(name))
        return found

    def _match_symbol(
        self,
        found: MatchedMoments,
        rows: Integers,
        symbol: SymbolEvidence,
        busy: tuple[Integers, Integers] | None,
    ) -> None:
        """Fill in the rows of one symbol."""
        times, pressure = found.moments.times_ms[rows], found.moments.pressure[rows, None]
        own, (moments, others) = compute_covariates(symbol, times), self._candidates(symbol)
        if busy is not None:
            clear = _is_clear(moments, *busy, round(self._config.clear_min * MS_PER_MINUTE))
            moments, others = moments[clear], others[clear]
        chosen = self._choose(own, others)
        present = chosen >= 0
        cells = chosen[present]
        control_ms = np.full(chosen.shape, -1, dtype=np.int64)
        control_ms[present] = moments[cells]
        controls = np.full((*chosen.shape, len(COVARIATES)), np.nan)
        controls[present] = others[cells]
        own[:, _RETURNS] *= pressure
        controls[:, :, _RETURNS] *= pressure[:, :, None]
        found.control_ms[rows], found.covariates[rows], found.control_covariates[rows] = control_ms, own, controls

    def _candidates(self, symbol: SymbolEvidence) -> tuple[Integers, Floats]:
        """Times (m,) and covariates (m, 4) of all moments that may serve."""
        if symbol.symbol not in self._known:
            steps = max(int(self._config.candidate_s * MS_PER_S) // STEP_MS, 1)
            first = np.arange(0, len(symbol.times_ms) - steps + 1, steps)
            drawn = first + np.random.default_rng(self._config.seed).integers(0, steps, first.size)
            moments = symbol.times_ms[drawn[symbol.covered[drawn]]]
            covariates = compute_covariates(symbol, moments)
            complete = ~np.isnan(covariates).any(axis=1)
            self._known[symbol.symbol] = moments[complete], covariates[complete]
        return self._known[symbol.symbol]

    def _choose(self, own: Floats, others: Floats) -> Integers:
        """Rows of `others` for each row of `own`, (n, k); -1 where there are fewer."""
        config = self._config
        calipers = [config.volatility_caliper, *[config.return_caliper] * 2, config.hour_caliper]
        # A day later or earlier is the same hour: moments near midnight are there twice.
        early, late = (others[:, _HOUR] < config.hour_caliper), (others[:, _HOUR] > _HOURS - config.hour_caliper)
        shift = np.array([0.0, 0.0, 0.0, _HOURS])
        table = np.concatenate([others, others[early] + shift, others[late] - shift])
        origin = np.concatenate([np.arange(len(others)), np.flatnonzero(early), np.flatnonzero(late)])
        treated, free = (_compress_returns(one, config.large_return) for one in (own, table))
        near = match_controls(treated, free, calipers, config.n_controls).indices
        return np.where(near >= 0, origin[near], -1) if len(origin) else near


def cascade_periods(evidence: Evidence) -> dict[str, tuple[Integers, Integers]]:
    """From confirmation to end of each cascade: when it was known to be under way."""
    return {
        name: (
            symbol.cascades["confirmed"].to_physical().to_numpy(),
            symbol.cascades["ended"].to_physical().to_numpy(),
        )
        for name, symbol in evidence.symbols.items()
    }


def compute_covariates(symbol: SymbolEvidence, times_ms: Integers) -> Floats:
    """`COVARIATES` at each time (n,), from prices known then: (n, 4), NaN where unknown; returns with their own sign.

    Returns are from the last price known to the last known 1 and 5 min before, over the trailing hourly volatility
    scaled to the same time by the square root.
    """
    tolerance = symbol.tolerance_ms
    price = symbol.prices.last_known(times_ms, tolerance)
    rows = symbol.rows_at(times_ms)
    volatility = np.where(rows >= 0, symbol.volatility_bps[rows] if len(symbol.times_ms) else np.nan, np.nan)
    volatility[~(volatility > 0.0)] = np.nan
    columns = [np.log(volatility)]
    for minutes in (1, 5):
        before = symbol.prices.last_known(times_ms - minutes * MS_PER_MINUTE, tolerance)
        columns.append(_BPS * (price / before - 1.0) / (volatility * np.sqrt(minutes / 60.0)))
    columns.append(times_ms % MS_PER_DAY / MS_PER_HOUR)
    return np.column_stack(columns)


def measure_outcomes(evidence: Evidence, matched: MatchedMoments, outcome: Outcome) -> Outcomes:
    """The outcome at each event, and at its controls with the event's pressure."""
    moments = matched.moments
    own, controls = np.full(len(moments), np.nan), np.full(matched.control_ms.shape, np.nan)
    for code, name in enumerate(moments.symbols):
        rows = np.flatnonzero(moments.codes == code)
        if not rows.size:
            continue
        symbol, pressure = evidence.symbols[name], moments.pressure[rows]
        own[rows] = outcome(symbol, moments.times_ms[rows], pressure)
        times = matched.control_ms[rows]
        present = times >= 0
        values = np.full(times.shape, np.nan)
        values[present] = outcome(symbol, times[present], np.broadcast_to(pressure[:, None], times.shape)[present])
        controls[rows] = values
    return Outcomes(own, controls)


def signed_return(horizon_ms: int) -> Outcome:
    """The return in bps from the first price at or after a moment to the first a horizon later, times the pressure."""
    return lambda symbol, times_ms, pressure: pressure * symbol.forward_return_bps(times_ms, horizon_ms)


def choose_quick(evidence: Evidence, hypothesis: Hypothesis, moments: Moments) -> tuple[Booleans, float, str]:
    """Which moments are of symbols with a ticker as quick as declared, the slowest of these, and who was left out.

    Where no symbol's ticker is quick enough, it is the interval of the quickest that is said to be too long.
    """
    longest = hypothesis.max_ticker_interval_s
    intervals = {name: symbol.ticker_interval_s for name, symbol in evidence.symbols.items()}
    quick = [name for name, interval in intervals.items() if longest is None or interval <= longest]
    if not quick:
        quickest = min(intervals.values(), default=float("inf"))
        return np.zeros(len(moments), dtype=bool), quickest, ""
    codes = [code for code, name in enumerate(moments.symbols) if name in quick]
    slow = [name for name in intervals if name not in quick]
    note = f"without {', '.join(slow)}: prices too rare" if slow else ""
    return np.isin(moments.codes, codes), max(intervals[name] for name in quick), note


def _compress_returns(covariates: Floats, large: float) -> Floats:
    """Beyond `large` a return counts by its log: moments as extreme as a large cascade are few."""
    scaled = covariates.copy()
    returns = covariates[:, _RETURNS]
    size = np.abs(returns)
    beyond = large + np.log(np.maximum(size, large) / large)
    scaled[:, _RETURNS] = np.sign(returns) * np.where(size > large, beyond, size)
    return scaled


def _is_clear(times_ms: Integers, starts_ms: Integers, ends_ms: Integers, clear_ms: int) -> Booleans:
    """At which times nothing that had begun by then was under way within `clear_ms` before."""
    order = np.argsort(starts_ms, kind="stable")
    latest = np.concatenate([[np.iinfo(np.int64).min], np.maximum.accumulate(ends_ms[order])])
    begun = np.searchsorted(starts_ms[order], times_ms, side="right")
    return np.asarray(latest[begun] < times_ms - clear_ms)
