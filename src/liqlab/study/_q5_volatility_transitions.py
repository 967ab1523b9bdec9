"""Which minutes come before a change of regime: forecasts of it by models with and without liquidations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from liqlab.core.schema import check_frame
from liqlab.core.time import MS_PER_HOUR, MS_PER_MINUTE
from liqlab.stats import compute_auc, rank_average
from liqlab.study._evidence import Booleans, Floats, Integers
from liqlab.study._inference import BlockInference, QuestionConfig, infer_from_influence
from liqlab.study._q5_volatility_alarms import Alarms, is_followed, list_turns
from liqlab.study._q5_volatility_forecasts import Design, forecast_days
from liqlab.study._q5_volatility_rows import VolatilityRows
from liqlab.study._q5_volatility_scores import ATR, BOLLINGER, BOTH, MODELS, PRICE, RATES
from liqlab.study._q5_volatility_tables import TRANSITIONS

#: A transition is to be foreseen within this time.
AHEAD_MIN = 15
UP, DOWN = "quiet to volatile", "volatile to quiet"
_BLOCK_MS = 2 * MS_PER_HOUR


@dataclass(frozen=True)
class Detection:
    """Minutes out of sample before which the regime was the one to be left, of all symbols; arrays (n,).

    `outcomes` is 1 where it was left within 15 min, `scores` the models' forecasts of that. `n_turns` counts the
    transitions that could be foreseen.
    """

    times_ms: Integers
    outcomes: Floats
    scores: Mapping[str, Floats]
    n_turns: int

    @property
    def is_mixed(self) -> bool:
        """Whether there are minutes of both kinds."""
        return bool(0.0 < self.outcomes.mean() < 1.0) if self.outcomes.size else False


def detect_transitions(rows: VolatilityRows) -> dict[str, Detection]:
    """Walk-forward least squares on the indicator of a transition within 15 min, for both directions.

    Fitted on, and asked of, minutes of the regime to be left. What prices tell here includes how far the last hour's
    volatility is from the level of the regime.
    """
    blocks = {"price": rows.price, "state": rows.state, "rates": rows.rates, "atr": rows.atr, "width": rows.width}
    design = Design.of(rows, blocks)
    models = {
        PRICE: design.columns("price", "state"),
        BOTH: design.columns("price", "state", "rates"),
        RATES: design.columns("rates"),
        ATR: design.columns("atr"),
        BOLLINGER: design.columns("width"),
    }
    return {name: _detect(rows, design, models, number) for number, name in enumerate((UP, DOWN))}


def infer_contrast(up: Detection, down: Detection, config: QuestionConfig) -> BlockInference:
    """Gain in AUC by liquidations for quiet to volatile, less that for volatile to quiet.

    Null hypothesis: the gains are equal; alternative: they are not. Each AUC by its influence: DeLong, DeLong and
    Clarke-Pearson (1988), "Comparing the areas under two or more correlated ROC curves", Biometrics 44.
    """
    if not (up.is_mixed and down.is_mixed):
        return BlockInference.unknown()
    estimate, influence = 0.0, []
    for sign, part in ((1.0, up), (-1.0, down)):
        (with_area, with_influence), (area, without) = (
            _area(part.scores[name], part.outcomes) for name in (BOTH, PRICE)
        )
        estimate += sign * (with_area - area)
        influence.append(sign * (with_influence - without))
    times, values = np.concatenate([up.times_ms, down.times_ms]), np.concatenate(influence)
    return infer_from_influence(times, values * values.size, estimate, AHEAD_MIN * MS_PER_MINUTE, config)


def describe_transitions(detections: Mapping[str, Detection], alarms: Mapping[str, Alarms]) -> pl.DataFrame:
    """AUC of every model in both directions; alarms of those that have them, from quiet to volatile."""
    nan = float("nan")
    records = []
    for direction, part in detections.items():
        for model in MODELS:
            auc = compute_auc(part.scores[model], part.outcomes, part.times_ms // _BLOCK_MS)
            raised = alarms.get(model) if direction == UP else None
            seen: tuple[float | int | None, ...] = (None, nan, nan, nan, nan)
            if raised is not None:
                lead = float(raised.lead_min.mean()) if raised.lead_min.size else nan
                seen = (raised.lead_min.size, raised.recall, raised.precision, lead, raised.false_per_6h)
            records.append((direction, model, part.n_turns, auc.estimate, auc.ci_low, auc.ci_high, *seen))
    return check_frame(pl.DataFrame(records, schema=TRANSITIONS.dtypes, orient="row").fill_nan(None), TRANSITIONS)


def _detect(rows: VolatilityRows, design: Design, models: Mapping[str, tuple[int, ...]], number: int) -> Detection:
    """`number` 0 for transitions to volatile, 1 for those to quiet; also the code of the regime to be left."""
    size = len(rows.times_ms)
    turns = [list_turns(regime.astype(np.int64))[number] for regime in rows.regime]
    outcome = np.stack([is_followed(own, size, AHEAD_MIN).astype(np.float64) for own in turns])
    outcome[:, max(size - AHEAD_MIN, 0) :] = np.nan
    found = forecast_days(rows, design, outcome, AHEAD_MIN, models, rows.regime == number)
    known: Booleans = np.isfinite(outcome) & np.isfinite(found[BOTH].values)
    told = np.isfinite(found[BOTH].values)
    n_turns = sum(int(told[code][own[own > 0] - 1].sum()) for code, own in enumerate(turns))
    times = np.broadcast_to(rows.times_ms, known.shape)[known]
    return Detection(times, outcome[known], {name: part.values[known] for name, part in found.items()}, n_turns)


def _area(scores: Floats, outcomes: Floats) -> tuple[float, Floats]:
    """The area under the ROC curve, and the influence of each row on it, with sum zero."""
    event = outcomes == 1.0
    n_events, n_others = int(event.sum()), int((~event).sum())
    ranks = rank_average(scores)
    placement = np.empty(scores.size)
    placement[event] = (ranks[event] - rank_average(scores[event])) / n_others
    placement[~event] = 1.0 - (ranks[~event] - rank_average(scores[~event])) / n_events
    area = float(placement[event].mean())
    return area, (placement - area) / np.where(event, n_events, n_others)
