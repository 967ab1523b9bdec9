"""What a feature is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from liqlab.features._inputs import FeatureInputs
from liqlab.features._market import Market

LIQUIDATION = "liquidation"
CROSS_ASSET = "cross-asset"
OPEN_INTEREST = "open interest"
FUNDING = "funding"
LONG_SHORT_RATIO = "long/short ratio"
PRICE = "price"
#: Families in the order in which they are shown.
#: Families of features that are made of liquidations.
LIQUIDATION_FAMILIES = (LIQUIDATION, CROSS_ASSET)
FAMILIES = (LIQUIDATION, CROSS_ASSET, OPEN_INTEREST, FUNDING, LONG_SHORT_RATIO, PRICE)

#: The plan's windows: what names end with, and seconds.
WINDOWS_S = {"5m": 300, "15m": 900, "1h": 3_600}

PLAN = "research plan, phase 3"


def _nothing_missing(market: Market) -> str | None:  # noqa: ARG001
    return None


@dataclass(frozen=True)
class Feature:
    """One column of the feature table.

    `inputs` are columns as `table.column`. `lookback_s` is how far back the value looks; `warm_up_s` how long after
    the start of a gapless recording its first value can come, with the default share of covered history.
    `price_step_s` is the coarsest ticker interval that it makes sense with, None where it needs no ticker.
    `compute` gives float64 of shape (n,) for a stretch, NaN where there is no value; the value of a row depends on that
    row and those before it alone. `find_missing` says why a market cannot give the feature, None when it can.
    """

    name: str
    family: str
    inputs: tuple[str, ...]
    lookback_s: int
    warm_up_s: int
    unit: str
    price_step_s: int | None
    meaning: str
    formula: str
    source: str
    compute: Callable[[FeatureInputs], npt.NDArray[np.float64]]
    find_missing: Callable[[Market], str | None] = _nothing_missing
