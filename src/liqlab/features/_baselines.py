"""Features without liquidations to be beaten: open interest, funding, long/short ratio."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from liqlab.features._config import STEP_S
from liqlab.features._feature import FUNDING, LONG_SHORT_RATIO, OPEN_INTEREST, Feature
from liqlab.features._inputs import FeatureInputs, divide, rows_of, shift

Floats = npt.NDArray[np.float64]

_VELOCITY_S = 300
_VELOCITY_MINUTES = _VELOCITY_S / 60
_HOUR_S = 3_600
_BPS = 1e4
_QUESTION_3 = "research plan, question 3"
_FIRST_STUDY = "research plan, comparison with v25"


def _velocity(inputs: FeatureInputs) -> Floats:
    before = shift(inputs["open_interest"], rows_of(_VELOCITY_S))
    return divide(inputs["open_interest"] - before, before) / _VELOCITY_MINUTES


def _acceleration(inputs: FeatureInputs) -> Floats:
    velocity = _velocity(inputs)
    return (velocity - shift(velocity, rows_of(_VELOCITY_S))) / _VELOCITY_MINUTES


def _organic_change(inputs: FeatureInputs) -> Floats:
    before = shift(inputs["open_interest"], rows_of(_VELOCITY_S))
    liquidated = inputs.sum_of("liq_volume", rows_of(_VELOCITY_S))
    return divide(inputs["open_interest"] - before + liquidated, before)


def _change_over_hour(name: str, inputs: FeatureInputs) -> Floats:
    return inputs[name] - shift(inputs[name], rows_of(_HOUR_S))


def _basis(inputs: FeatureInputs) -> Floats:
    return _BPS * divide(inputs.price - inputs["index_price"], inputs["index_price"])


BASELINE_FEATURES: tuple[Feature, ...] = (
    Feature(
        name="open_interest_velocity",
        family=OPEN_INTEREST,
        inputs=("dataset.open_interest",),
        lookback_s=_VELOCITY_S,
        warm_up_s=_VELOCITY_S + STEP_S,
        unit="fraction per minute",
        price_step_s=_VELOCITY_S,
        meaning="relative change of open interest over 5 min, per minute",
        formula="(OI_t / OI_(t-5m) - 1) / 5",
        source=_QUESTION_3,
        compute=_velocity,
    ),
    Feature(
        name="open_interest_acceleration",
        family=OPEN_INTEREST,
        inputs=("dataset.open_interest",),
        lookback_s=2 * _VELOCITY_S,
        warm_up_s=2 * _VELOCITY_S + STEP_S,
        unit="fraction per minute per minute",
        price_step_s=_VELOCITY_S,
        meaning="change of open_interest_velocity over 5 min, per minute",
        formula="(velocity_t - velocity_(t-5m)) / 5",
        source=_QUESTION_3,
        compute=_acceleration,
    ),
    Feature(
        name="organic_open_interest_change",
        family=OPEN_INTEREST,
        inputs=("dataset.open_interest", "bars_5s.liq_volume"),
        lookback_s=_VELOCITY_S,
        warm_up_s=_VELOCITY_S + STEP_S,
        unit="fraction",
        price_step_s=_VELOCITY_S,
        meaning="change of open interest over 5 min that is left when every liquidation of that time is taken to "
        "have closed a contract; counterparties of forced orders are part of it",
        formula="(OI_t - OI_(t-5m) + sum(v_s)) / OI_(t-5m)",
        source=_QUESTION_3,
        compute=_organic_change,
    ),
    Feature(
        name="funding_rate",
        family=FUNDING,
        inputs=("dataset.funding_rate",),
        lookback_s=STEP_S,
        warm_up_s=STEP_S,
        unit="fraction per interval",
        price_step_s=None,
        meaning="funding rate of the current interval",
        formula="as published",
        source=_FIRST_STUDY,
        compute=lambda inputs: inputs["funding_rate"],
    ),
    Feature(
        name="funding_rate_change",
        family=FUNDING,
        inputs=("dataset.funding_rate",),
        lookback_s=_HOUR_S,
        warm_up_s=_HOUR_S + STEP_S,
        unit="fraction per interval",
        price_step_s=None,
        meaning="change of the funding rate over 1 h",
        formula="f_t - f_(t-1h)",
        source=_FIRST_STUDY,
        compute=lambda inputs: _change_over_hour("funding_rate", inputs),
    ),
    Feature(
        name="basis_bps",
        family=FUNDING,
        inputs=("dataset.mark_price", "dataset.last_price", "dataset.index_price"),
        lookback_s=STEP_S,
        warm_up_s=STEP_S,
        unit="bps",
        price_step_s=None,
        meaning="premium of the perpetual's price over the index",
        formula="1e4 (P_t / index_t - 1)",
        source=_FIRST_STUDY,
        compute=_basis,
    ),
    Feature(
        name="long_short_ratio",
        family=LONG_SHORT_RATIO,
        inputs=("dataset.ratio",),
        lookback_s=STEP_S,
        warm_up_s=STEP_S,
        unit="ratio",
        price_step_s=None,
        meaning="accounts net long over accounts net short, newest usable hour",
        formula="buy_ratio / sell_ratio",
        source="research plan, phase 1",
        compute=lambda inputs: inputs["ratio"],
    ),
    Feature(
        name="long_short_ratio_change",
        family=LONG_SHORT_RATIO,
        inputs=("dataset.ratio",),
        lookback_s=_HOUR_S,
        warm_up_s=_HOUR_S + STEP_S,
        unit="ratio",
        price_step_s=None,
        meaning="change against the ratio that was usable an hour before",
        formula="ratio_t - ratio_(t-1h)",
        source="research plan, phase 1",
        compute=lambda inputs: _change_over_hour("ratio", inputs),
    ),
)
