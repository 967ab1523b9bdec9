"""Question 2: does the imbalance between liquidated longs and shorts predict reversals?"""

from __future__ import annotations

import numpy as np

from liqlab.core.time import MS_PER_MINUTE
from liqlab.study._evidence import Booleans, Evidence, Floats
from liqlab.study._hypotheses import find_hypothesis
from liqlab.study._hypotheses_minima import find_shortfall
from liqlab.study._inference import Answer, BlockInference, QuestionConfig
from liqlab.study._protocol import Finding, conjoin
from liqlab.study._q2_imbalance_rows import MinuteRows, list_minutes
from liqlab.study._q2_imbalance_splits import (
    describe_cumulative,
    describe_horse_race,
    describe_regimes,
    describe_returns,
    describe_strategy,
)
from liqlab.study._q2_imbalance_tables import CUMULATIVE, HORSE_RACE, REGIMES, RETURNS, STRATEGY
from liqlab.study._regression import RegressionFit, fit_least_squares, infer_coefficient
from liqlab.study._symbols import QuickSymbols, select_quick

LOOKBACK_MIN = 15
HORIZON_MIN = 15
_HORIZON_MS = HORIZON_MIN * MS_PER_MINUTE

_NOTES = (
    "In this question a positive number is a reversal: the price moves against the pressure, up after liquidated longs "
    "and down after liquidated shorts. The verdicts ask what an imbalance adds to trailing returns and volatility; the "
    "tables q2_returns and q2_regimes show plain means, given nothing.",
    "A quiet minute tells more of a mean than a volatile one: the regressions weigh each minute by one over its "
    "trailing volatility.",
    "Information coefficients of liq_imbalance and its windows against forward returns are in the table ic.",
    "q2_strategy is a description of these days before slippage and funding, no verdict: see S2 for that.",
)


def answer_q2(evidence: Evidence, config: QuestionConfig) -> Answer:
    """Findings Q2.1 to Q2.4, and what describes imbalances beside them."""
    quick = select_quick(evidence, find_hypothesis("Q2.1"))
    rows = list_minutes(evidence, quick.names)
    findings = (*_find_sides(rows, config, quick), _find_transitions(rows, config, quick))
    tables = {
        RETURNS.name: describe_returns(rows),
        REGIMES.name: describe_regimes(rows),
        HORSE_RACE.name: describe_horse_race(rows),
        STRATEGY.name: describe_strategy(rows),
        CUMULATIVE.name: describe_cumulative(evidence),
    }
    return Answer("Q2", findings, tables, _NOTES)


def _find_sides(rows: MinuteRows, config: QuestionConfig, quick: QuickSymbols) -> tuple[Finding, ...]:
    """Q2.1 to Q2.3, from one regression."""
    window = rows.window(LOOKBACK_MIN)
    fit = _regress(rows, [window.long, window.short, window.lean])
    first = rows.controls.shape[1]
    parts = (
        ("Q2.1", 0, 1, window.long > 0.0),
        ("Q2.2", 1, -1, window.short > 0.0),
        ("Q2.3", 2, 1, np.abs(window.lean) > 0.0),
    )
    return tuple(
        _conclude(identifier, rows, fit, where, _infer(rows, fit, first + column, config, sign), quick)
        for identifier, column, sign, where in parts
    )


def _find_transitions(rows: MinuteRows, config: QuestionConfig, quick: QuickSymbols) -> Finding:
    """Q2.4: the fade of an extreme in the hour after a transition, and what it has more than at other times."""
    window = rows.window(LOOKBACK_MIN)
    after = np.where(rows.regime < 0, np.nan, rows.turned_volatile.astype(np.float64))
    where = rows.turned_volatile & (window.fade != 0.0)
    parts = []
    for elsewhere in (1.0 - after, np.ones(len(after))):
        fit = _regress(rows, [after, window.fade * elsewhere, window.fade * after])
        found = _infer(rows, fit, rows.controls.shape[1] + 2, config)
        parts.append(_conclude("Q2.4", rows, fit, where, found, quick, n_events=rows.n_turns))
    return conjoin(find_hypothesis("Q2.4"), parts)


def _regress(rows: MinuteRows, terms: list[Floats]) -> RegressionFit:
    moving = np.where(rows.volatility_bps > 0.0, rows.volatility_bps, np.nan)
    return fit_least_squares(
        rows.forward_bps(HORIZON_MIN), np.column_stack([rows.controls, *terms]), weights=1.0 / moving
    )


def _infer(rows: MinuteRows, fit: RegressionFit, column: int, config: QuestionConfig, sign: int = 1) -> BlockInference:
    """`sign` times a coefficient on the forward return."""
    return infer_coefficient(fit, column, rows.times_ms, _HORIZON_MS, config, sign)


def _conclude(
    identifier: str,
    rows: MinuteRows,
    fit: RegressionFit,
    where: Booleans,
    found: BlockInference,
    quick: QuickSymbols,
    n_events: int | None = None,
) -> Finding:
    """The finding, n being the minutes in `where` and its blocks those that hold one."""
    events = rows.times_ms[fit.used & where]
    block_ms = max(found.block_min * MS_PER_MINUTE, 2 * _HORIZON_MS)
    n_blocks = np.unique(events // block_ms).size
    return Finding(
        identifier,
        effect=found.estimate,
        ci_low=found.ci_low,
        ci_high=found.ci_high,
        p=found.p,
        n=events.size,
        n_blocks=n_blocks,
        method=f"weighted least squares, {found.method}",
        note=quick.note,
        shortfall=find_shortfall(
            find_hypothesis(identifier),
            n_events=n_events if quick.names else None,
            n_blocks=n_blocks if quick.names else None,
            ticker_interval_s=quick.interval_s,
        ),
    )
