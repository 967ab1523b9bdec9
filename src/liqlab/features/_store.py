"""Features and labels to read from, symbol by symbol."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from liqlab.core.errors import SourceError, unknown_name

_KEYS = ("symbol", "time")
_FILES = ("features.parquet", "labels.parquet")


class FeatureStore:
    """The feature table and the label table of several symbols, read lazily.

    Each has symbol, time and then its columns, one row per symbol and time.
    """

    def __init__(self, features: pl.LazyFrame, labels: pl.LazyFrame) -> None:
        self._features, self._labels = features, labels
        self.feature_names = _value_columns(features)
        self.label_names = _value_columns(labels)

    @classmethod
    def from_frames(cls, features: pl.DataFrame, labels: pl.DataFrame) -> FeatureStore:
        """From tables in memory."""
        return cls(features.lazy(), labels.lazy())

    @classmethod
    def from_folder(cls, folder: Path | str) -> FeatureStore:
        """From `features.parquet` and `labels.parquet` in a folder; `SourceError` when one is not there."""
        paths = [Path(folder) / name for name in _FILES]
        for path in paths:
            if not path.is_file():
                raise SourceError(f"no {path.name} in {folder}; `liqlab features SOURCE -o {folder}` writes it")
        return cls(*(pl.scan_parquet(path) for path in paths))

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols of the feature table, sorted."""
        names = self._features.select(pl.col("symbol").unique().sort()).collect()
        return tuple(names.to_series().to_list())

    def read(
        self,
        symbol: str,
        features: Sequence[str] | None = None,
        labels: Sequence[str] = (),
        every_ms: int | None = None,
    ) -> pl.DataFrame:
        """time, then the features asked for (None: all), then the labels, of one symbol, ascending in time.

        Rows are the times of the feature table; a label that is not there for a time is null. `every_ms` keeps times
        that are whole multiples of it. `UserError` for an unknown symbol or column.
        """
        chosen = self.feature_names if features is None else tuple(features)
        _check_names("feature", chosen, self.feature_names)
        _check_names("label", labels, self.label_names)
        found = _select(self._features, symbol, chosen, every_ms)
        if not found.height and symbol not in self.symbols:
            raise unknown_name("symbol", symbol, list(self.symbols))
        if not labels:
            return found
        targets = _select(self._labels, symbol, labels, every_ms)
        if found["time"].equals(targets["time"]):
            return found.hstack(targets.drop("time"))
        return found.join(targets, on="time", how="left", maintain_order="left")


def _value_columns(frame: pl.LazyFrame) -> tuple[str, ...]:
    return tuple(name for name in frame.collect_schema().names() if name not in _KEYS)


def _check_names(kind: str, names: Sequence[str], available: Sequence[str]) -> None:
    for name in names:
        if name not in available:
            raise unknown_name(kind, name, list(available))


def _select(frame: pl.LazyFrame, symbol: str, columns: Sequence[str], every_ms: int | None) -> pl.DataFrame:
    rows = frame.filter(pl.col("symbol") == symbol)
    if every_ms is not None:
        rows = rows.filter(pl.col("time").to_physical() % every_ms == 0)
    return rows.select("time", *columns).collect().sort("time", maintain_order=True)
