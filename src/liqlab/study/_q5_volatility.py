"""Question 5: does the liquidation rate predict volatility that prices alone do not?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from liqlab.core.time import MS_PER_DAY, MS_PER_MINUTE
from liqlab.study._evidence import Evidence, Floats, Integers
from liqlab.study._hypotheses import find_hypothesis
from liqlab.study._hypotheses_minima import find_shortfall
from liqlab.study._inference import (
    Answer,
    BlockInference,
    QuestionConfig,
    infer_from_influence,
    infer_mean,
)
from liqlab.study._protocol import Finding
from liqlab.study._q5_volatility_alarms import REACH_MIN, Alarms, raise_alarms
from liqlab.study._q5_volatility_forecasts import Design, Forecasts, forecast_days
from liqlab.study._q5_volatility_published import describe_lead, measure_published_lead
from liqlab.study._q5_volatility_rows import HORIZONS_MIN, VolatilityRows, list_volatility
from liqlab.study._q5_volatility_scores import (
    ATR,
    BOLLINGER,
    BOTH,
    MEAN,
    MODELS,
    PRICE,
    RATES,
    describe_comparisons,
    describe_forecasts,
    lose_qlike,
)
from liqlab.study._q5_volatility_tables import COMPARISONS, FORECASTS, LEAD, PUBLISHED, TRANSITIONS
from liqlab.study._q5_volatility_transitions import (
    DOWN,
    UP,
    Detection,
    describe_transitions,
    detect_transitions,
    infer_contrast,
)
from liqlab.study._symbols import QuickSymbols, select_quick

HORIZON_MIN = 15
_HORIZON_MS = HORIZON_MIN * MS_PER_MINUTE
_MINUTES_PER_DAY = MS_PER_DAY // MS_PER_MINUTE
_IDS = ("Q5.1", "Q5.2", "Q5.3", "Q5.4")
_TABLES = (FORECASTS, COMPARISONS, TRANSITIONS, LEAD, PUBLISHED)
_PERCENT = 100.0


def answer_q5(evidence: Evidence, config: QuestionConfig) -> Answer:
    """Findings Q5.1 to Q5.4, and what describes forecasts of volatility beside them."""
    quick = select_quick(evidence, find_hypothesis("Q5.1"))
    if not quick.names:
        findings = tuple(_conclude(name, BlockInference.unknown(), quick, np.empty(0, np.int64)) for name in _IDS)
        return Answer("Q5", findings, {table.name: table.empty() for table in _TABLES})
    rows = list_volatility(evidence, quick.names)
    design = Design.of(rows, {"price": rows.price, "rates": rows.rates, "atr": rows.atr, "width": rows.width})
    forecasts = {horizon: _forecast(rows, design, column) for column, horizon in enumerate(HORIZONS_MIN)}
    chosen = forecasts[HORIZON_MIN]
    alarms = {name: raise_alarms(rows, design, chosen[name]) for name in MODELS}
    detections = detect_transitions(rows)
    published = measure_published_lead(rows)
    tables = {
        FORECASTS.name: describe_forecasts(rows, forecasts),
        COMPARISONS.name: describe_comparisons(rows, forecasts),
        TRANSITIONS.name: describe_transitions(detections, alarms),
        LEAD.name: describe_lead(rows),
        PUBLISHED.name: published,
    }
    findings = (
        _find_loss("Q5.1", rows, chosen, config, quick),
        _find_lead(chosen, alarms, config, quick),
        _find_contrast(chosen, detections, config, quick),
        _find_loss("Q5.4", rows, chosen, config, quick),
    )
    return Answer("Q5", findings, tables, _note(published.rows()))


def _forecast(rows: VolatilityRows, design: Design, column: int) -> dict[str, Forecasts]:
    models = {
        PRICE: design.columns("price"),
        BOTH: design.columns("price", "rates"),
        RATES: design.columns("rates"),
        ATR: design.columns("atr"),
        BOLLINGER: design.columns("width"),
        MEAN: design.columns(),
    }
    return forecast_days(rows, design, rows.target[:, :, column], HORIZONS_MIN[column], models)


def measure_gain(target: Floats, price: Forecasts, both: Forecasts, loss: str) -> tuple[Floats, Floats, Floats]:
    """What liquidations save of the price-only loss at each minute (S, m), that loss, and what they save as fitted.

    With u the surprise that the price-only forecast leaves and d by how much the other forecast differs from it, the
    information in d is worth half of E[u d], whose expectation is zero when d tells nothing, however badly its
    coefficients are known: the loss saved as fitted, plus what estimating them costs, which is the adjustment of Clark
    and West (2007), "Approximately normal tests for equal predictive accuracy in nested models", Journal of
    Econometrics 138, halved so that it is the loss saved where they are known well. For QLIKE u = RV / F - 1 and
    d = 1 - F / F'; for squared errors of logs u d is half of what they adjust.
    """
    if loss == "QLIKE":
        first, second = price.of_mean, both.of_mean
        own = lose_qlike(target, first)
        worth = 0.5 * np.expm1(target - first) * -np.expm1(first - second)
        return worth, own, own - lose_qlike(target, second)
    surprise, difference = target - price.values, both.values - price.values
    own = surprise**2
    return surprise * difference, own, own - (target - both.values) ** 2


def _find_loss(
    identifier: str,
    rows: VolatilityRows,
    forecasts: Mapping[str, Forecasts],
    config: QuestionConfig,
    quick: QuickSymbols,
) -> Finding:
    """Q5.1 on QLIKE, Q5.4 on squared log ratios: the worth of liquidations, in % of the price-only loss."""
    target = rows.target[:, :, HORIZONS_MIN.index(HORIZON_MIN)]
    loss = "QLIKE" if identifier == "Q5.1" else "squared error"
    worth, own, saved = measure_gain(target, forecasts[PRICE], forecasts[BOTH], loss)
    known = np.isfinite(worth) & np.isfinite(own)
    times = np.broadcast_to(rows.times_ms, known.shape)[known]
    worth, own = _PERCENT * worth[known], own[known]
    total = float(own.sum())
    if not total > 0.0 or not worth.any():
        return _conclude(identifier, BlockInference.unknown(), quick, times, n_days=_count_days(forecasts))
    estimate = float(worth.sum()) / total
    weights = own * (own.size / total)
    influence = (worth - estimate * own) * (own.size / total)
    found = infer_from_influence(times, influence, estimate, _HORIZON_MS, config, weights=weights)
    as_fitted = _PERCENT * float(saved[known].sum()) / total
    note = f"as fitted, what estimating the coefficients cost included: {as_fitted:.3g} %"
    busy = times[(rows.events_per_min[known] > 0.0)]
    return _conclude(identifier, found, quick, busy, n_days=_count_days(forecasts), n=own.size, note=note)


def _find_lead(
    forecasts: Mapping[str, Forecasts],
    alarms: Mapping[str, Alarms],
    config: QuestionConfig,
    quick: QuickSymbols,
) -> Finding:
    """Q5.2: minutes by which the alarm with liquidation rates comes earlier."""
    with_rates, price = alarms[BOTH], alarms[PRICE]
    gain, times = with_rates.lead_min - price.lead_min, price.times_ms
    # Most values are zero and few large, which a bootstrap resamples badly.
    found = infer_mean(times, gain, REACH_MIN * MS_PER_MINUTE, config, resample=False)
    n_days = _count_days(forecasts)
    note = (
        f"an alarm before {with_rates.recall:.0%} of the transitions with liquidation rates, {price.recall:.0%} "
        f"without; false alarms in 6 h of quiet: {with_rates.false_per_6h:.2g} and {price.false_per_6h:.2g}"
        if gain.size
        else ""
    )
    return _conclude("Q5.2", found, quick, times, n_days=n_days, n_events=gain.size, n=gain.size, note=note)


def _find_contrast(
    forecasts: Mapping[str, Forecasts],
    detections: Mapping[str, Detection],
    config: QuestionConfig,
    quick: QuickSymbols,
) -> Finding:
    """Q5.3: the gain in AUC for quiet to volatile, less that for volatile to quiet."""
    up, down = detections[UP], detections[DOWN]
    found = infer_contrast(up, down, config)
    events = {"from quiet to volatile": up.n_turns, "from volatile to quiet": down.n_turns}
    times = np.concatenate([part.times_ms[part.outcomes == 1.0] for part in (up, down)])
    n_days, n = _count_days(forecasts), up.outcomes.size + down.outcomes.size
    return _conclude("Q5.3", found, quick, times, n_days=n_days, n_events=events, n=n)


def _conclude(
    identifier: str,
    found: BlockInference,
    quick: QuickSymbols,
    events_ms: Integers,
    *,
    n_days: float = 0.0,
    n_events: int | Mapping[str, int] | None = None,
    n: int = 0,
    note: str = "",
) -> Finding:
    """The finding; its blocks are those that hold one of the events."""
    block_ms = max(found.block_min * MS_PER_MINUTE, 2 * _HORIZON_MS)
    n_blocks = np.unique(events_ms // block_ms).size
    return Finding(
        identifier,
        effect=found.estimate,
        ci_low=found.ci_low,
        ci_high=found.ci_high,
        p=found.p,
        n=n,
        n_blocks=n_blocks,
        method=f"walk-forward forecasts, {found.method}",
        note="; ".join(text for text in (quick.note, note) if text),
        shortfall=find_shortfall(
            find_hypothesis(identifier),
            n_events=n_events if quick.names else None,
            n_blocks=n_blocks if quick.names else None,
            n_days=n_days if quick.names else None,
            ticker_interval_s=quick.interval_s,
        ),
    )


def _count_days(forecasts: Mapping[str, Forecasts]) -> float:
    """Days of minutes with a forecast out of sample."""
    return float(np.isfinite(forecasts[BOTH].values).any(axis=0).sum()) / _MINUTES_PER_DAY


def _note(published: list[tuple[object, ...]]) -> tuple[str, ...]:
    shares = {(str(row[0]), str(row[1])): row[3] for row in published}
    told = [shares.get(key) for key in (("liquidations", "transitions"), ("price moves", "transitions"))]
    notes = [
        "A price-only forecast is what liquidations must beat; variance correlates with earlier liquidations because "
        "both follow the last move (table q5_lead).",
    ]
    if all(isinstance(share, float) for share in told):
        lead, price = (float(share) for share in told if isinstance(share, float))
        notes.append(
            f"The published test finds that liquidations lead {lead:.0%} of the transitions to the volatile regime, "
            f"and price moves lead {price:.0%} of them: it passes wherever volatility clusters and says nothing of "
            "liquidations. Q5.2 asks instead what they add to prices at one rate of false alarms."
        )
    return tuple(notes)
