"""Features of the other symbols' liquidations."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from liqlab.features._config import STEP_S
from liqlab.features._feature import CROSS_ASSET, PLAN, Feature
from liqlab.features._inputs import FeatureInputs, rows_of, shift
from liqlab.features._market import LEAD_PREFIX, Market

_LEAD_S = 30
_CORRELATION_S = 300


def _no_lead(market: Market) -> str | None:
    return None if market.lead else f"no symbol that begins with {LEAD_PREFIX}"


def _no_others(market: Market) -> str | None:
    return None if market.others else "no other symbol"


def _btc_lead(inputs: FeatureInputs) -> npt.NDArray[np.float64]:
    return shift(inputs.lead_volume, rows_of(_LEAD_S))


CROSS_ASSET_FEATURES: tuple[Feature, ...] = (
    Feature(
        name="liq_btc_lead",
        family=CROSS_ASSET,
        inputs=("bars_5s.liq_volume",),
        lookback_s=_LEAD_S + STEP_S,
        warm_up_s=_LEAD_S + STEP_S,
        unit="base units of BTC",
        price_step_s=None,
        meaning="volume of BTC liquidated in the 5 s that ended 30 s ago",
        formula="sum(q of BTC : t - 35 s <= known < t - 30 s)",
        source=PLAN,
        compute=_btc_lead,
        find_missing=_no_lead,
    ),
    Feature(
        name="liq_correlation_5m",
        family=CROSS_ASSET,
        inputs=("bars_5s.liq_notional",),
        lookback_s=_CORRELATION_S,
        warm_up_s=_CORRELATION_S * 4 // 5,
        unit="correlation",
        price_step_s=None,
        meaning="mean over the other symbols of the correlation of 5 s notional over 5 min; those that do not vary "
        "are left out, null when none is left",
        formula="mean_j corr(N_s, N_js : t - 5 m < s <= t)",
        source=PLAN,
        compute=lambda inputs: inputs.mean_correlation("liq_notional", rows_of(_CORRELATION_S)),
        find_missing=_no_others,
    ),
)
