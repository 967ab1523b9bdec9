"""The features, one entry each: a plain tuple."""

from __future__ import annotations

from collections.abc import Sequence

from liqlab.core.errors import unknown_name
from liqlab.core.schema import FLOAT, SYMBOL, TIME, Column, Table
from liqlab.features._baselines import BASELINE_FEATURES
from liqlab.features._cross_asset import CROSS_ASSET_FEATURES
from liqlab.features._feature import Feature
from liqlab.features._liquidation import LIQUIDATION_FEATURES
from liqlab.features._price import PRICE_FEATURES

FEATURES: tuple[Feature, ...] = (
    *LIQUIDATION_FEATURES,
    *CROSS_ASSET_FEATURES,
    *BASELINE_FEATURES,
    *PRICE_FEATURES,
)


def select_features(names: Sequence[str] | None = None) -> tuple[Feature, ...]:
    """The features called so, in the order asked for, or all; `UserError` for an unknown name.

    >>> [feature.unit for feature in select_features(["basis_bps"])]
    ['bps']
    """
    if names is None:
        return FEATURES
    by_name = {feature.name: feature for feature in FEATURES}
    for name in names:
        if name not in by_name:
            raise unknown_name("feature", name, list(by_name))
    return tuple(by_name[name] for name in dict.fromkeys(names))


def feature_table(names: Sequence[str] | None = None) -> Table:
    """The table of the features called so, or of all; `UserError` for an unknown name."""
    return Table(
        "features",
        "one moment of the 5 s grid of one symbol: what was known then",
        (
            Column("symbol", SYMBOL, "", "instrument, as the exchange writes it"),
            Column("time", TIME, "ms UTC", "the moment t: what was known then, and nothing later"),
            *(Column(feature.name, FLOAT, feature.unit, feature.meaning) for feature in select_features(names)),
        ),
    )


FEATURE_TABLE = feature_table()
