"""Does one symbol's liquidation make another's more likely, given all that is known of both by then?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from liqlab.stats import Estimate, estimate_by_influence
from liqlab.study._evidence import STEP_MS, Booleans, Floats, Integers
from liqlab.study._inference import BlockInference, QuestionConfig, infer_from_influence
from liqlab.study._q7_contagion_state import RESPONSE_STEPS, State
from liqlab.study._regression import fit_least_squares

#: From the cause to the end of the response.
HORIZON_MS = (2 + RESPONSE_STEPS) * STEP_MS
#: Directions of the design that hold less than this share of its largest are rounding.
_ROUNDING = 1e-10


@dataclass(frozen=True)
class Influence:
    """An estimate and what each row of the grid (n,) adds to it.

    `values` have mean 0 over the rows that are `used`, and are 0 elsewhere.
    """

    estimate: float
    values: Floats
    used: Booleans

    def infer(self, times_ms: Integers, config: QuestionConfig) -> BlockInference:
        """Interval and p. Null hypothesis: the estimand is 0; alternative: it is not."""
        return infer_from_influence(times_ms[self.used], self.values[self.used], self.estimate, HORIZON_MS, config)

    def describe(self, times_ms: Integers, block_ms: int) -> Estimate:
        """Interval and p by Student's t over calendar blocks: for exploratory tables."""
        values = self.values[self.used]
        return estimate_by_influence(self.estimate, values / max(values.size, 1), times_ms[self.used] // block_ms)


@dataclass(frozen=True)
class Response:
    """How much more likely a liquidation of `effect` is in (t, t + 25 s] when `cause` had one in (t - 10 s, t - 5 s].

    `increase` is in probability, `relative` in units of the `base_rate`; `events` (n,) marks the rows with a cause,
    `n_responses` counts those with a response.
    """

    cause: str
    effect: str
    increase: Influence
    relative: Influence
    base_rate: float
    events: Booleans
    n_responses: int

    @property
    def n_events(self) -> int:
        """Rows with a cause that the estimate rests on."""
        return int(self.events.sum())


def measure_responses(first: State, second: State) -> tuple[Response, Response]:
    """The response of `second` to `first`, and that of `first` to `second`; NaN estimates where too little is known.

    Linear probability model by least squares. Given are `State.known` of both and the effect's own `State.burst`, so
    that what is asked is what the cause's liquidations add to what was known when the response could begin, later
    liquidations of the cause included: Granger (1969), "Investigating causal relations by econometric models and
    cross-spectral methods", Econometrica 37. What both directions share is taken out of all series at once (Frisch and
    Waugh 1933).
    """
    known = np.column_stack([first.known, second.known])
    pair = np.column_stack([*_list_series(first), *_list_series(second)])
    used = np.asarray(np.isfinite(known).all(axis=1) & np.isfinite(pair).all(axis=1))
    of_first, of_second = np.hsplit(_take_out(pair[used], known[used]), 2)
    return (
        _fit(first, second, used, np.column_stack([of_second, of_first[:, 0]])),
        _fit(second, first, used, np.column_stack([of_first, of_second[:, 0]])),
    )


def combine(parts: Sequence[tuple[float, Influence]]) -> Influence:
    """The weighted sum of estimates whose rows may differ."""
    used = np.any([part.used for _, part in parts], axis=0)
    n = int(used.sum())
    values = sum(weight * n / max(int(part.used.sum()), 1) * part.values for weight, part in parts)
    return Influence(sum(weight * part.estimate for weight, part in parts), np.asarray(values), used)


def mean_of(responses: Mapping[str, Influence], names: Sequence[str]) -> list[tuple[float, Influence]]:
    """The parts of a mean over `names`, for `combine`."""
    return [(1.0 / len(names), responses[name]) for name in names]


def _list_series(state: State) -> tuple[Floats, Floats, Floats]:
    return state.before, state.burst, state.response


def _take_out(series: Floats, known: Floats) -> Floats:
    """What is left of the columns of `series` (m, s) after their regression on a constant and `known` (m, k)."""
    if not len(series):
        return series
    centred, design = series - series.mean(axis=0), known - known.mean(axis=0)
    size = np.sqrt(np.einsum("ij,ij->j", design, design) / len(design))
    design /= np.where(size > 0.0, size, 1.0)
    strength, directions = np.linalg.eigh(design.T @ design)
    kept = strength > _ROUNDING * strength[-1]
    inverse = (directions[:, kept] / strength[kept]) @ directions[:, kept].T
    rest: Floats = centred - design @ (inverse @ (design.T @ centred))
    return rest


def _fit(cause: State, effect: State, used: Booleans, rest: Floats) -> Response:
    """`rest` holds what the effect had before, its burst, its response, and the cause, all without what is known."""
    fit = fit_least_squares(rest[:, -2], np.delete(rest, -2, axis=1))
    coefficient, influence = float(fit.coefficients[-1]), fit.influence[:, -1]
    response = effect.response[used]
    base = float(response.mean()) if response.size else float("nan")
    events = used & (cause.before == 1.0)
    if not (base > 0.0 and np.isfinite(coefficient)):
        nothing = Influence(float("nan"), np.zeros(len(used)), np.zeros(len(used), dtype=bool))
        return Response(cause.symbol, effect.symbol, nothing, nothing, base, events, int(response.sum()))
    relative = influence / base - coefficient / base**2 * (response - base)
    return Response(
        cause.symbol,
        effect.symbol,
        Influence(coefficient, _spread(influence, used), used),
        Influence(coefficient / base, _spread(relative, used), used),
        base,
        events,
        int(response.sum()),
    )


def _spread(values: Floats, used: Booleans) -> Floats:
    whole = np.zeros(len(used))
    whole[used] = values
    return whole
