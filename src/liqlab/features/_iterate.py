"""The whole way from a lake to features and labels, symbol by symbol and day by day."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import polars as pl

from liqlab.cascades import CascadePreset, get_preset
from liqlab.features._config import FeatureConfig
from liqlab.features._labels import LabelWalk
from liqlab.features._notes import ColumnNote
from liqlab.features._walk import FeatureWalk
from liqlab.lake import Recording
from liqlab.panel import DatasetConfig, PanelDay, Scope, read_known_liquidations, walk_days


class FeatureDay(NamedTuple):
    """One symbol's day: its panel, the features of its times, and the labels that have become final."""

    symbol: str
    panel: PanelDay
    features: pl.DataFrame
    labels: pl.DataFrame


def iterate_features(
    lake: Recording,
    scope: Scope,
    *,
    liquidations: Mapping[str, pl.DataFrame] | None = None,
    preset: CascadePreset | None = None,
    config: FeatureConfig | None = None,
    assumed_delay_s: float | None = None,
    dataset: DatasetConfig | None = None,
    notes: list[ColumnNote] | None = None,
) -> Iterator[FeatureDay]:
    """Features and labels of every symbol and day of a scope, symbols in its order.

    Labels come with the day at which they are final, the last ones with the last day: strung together, features and
    labels of a symbol have the same times. `preset` defaults to `plan`. When `notes` is a list, what there is to say of
    each feature and label of a symbol is appended to it after the symbol's last day.

    `liquidations`, by symbol, are read from the lake when they are not given, with `assumed_delay_s`.
    """
    if liquidations is None:
        liquidations = {name: read_known_liquidations(lake, name, scope, assumed_delay_s) for name in scope.symbols}
    for symbol in scope.symbols:
        features = FeatureWalk(symbol, liquidations, scope, preset or get_preset("plan"), config)
        labels = LabelWalk(symbol, scope, config)
        ratio = lake.read_long_short_ratio(symbol)
        for day in walk_days(lake, symbol, scope, liquidations[symbol], ratio, dataset):
            final = labels.add(day)
            if day.end_ms >= scope.end_ms:
                final = pl.concat([final, labels.finish()])
            yield FeatureDay(symbol, day, features.add(day), final)
        if notes is not None:
            notes += [*features.notes, *labels.notes]
