"""The rows that models learn from: every symbol on one coarse grid, features beside what came after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liqlab.core.errors import unknown_name
from liqlab.core.time import MS_PER_DAY, MS_PER_HOUR, MS_PER_S
from liqlab.features import FEATURES, LIQUIDATION_FAMILIES, FeatureStore
from liqlab.models._ic_config import Target
from liqlab.models._walk_forward_config import WalkForwardConfig

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_VOLATILITIES = ("realised_volatility_5m", "realised_volatility_15m", "realised_volatility_1h")
#: The trailing volatility by which returns are scaled.
SCALE_COLUMN = "realised_volatility_1h"
_LONG_WINDOWS_H = (4, 24)
_RANGES = ("atr_bps", "bollinger_width")
_FALLS = ("trailing_return_5m", "trailing_return_1h")


@dataclass(frozen=True)
class Sample:
    """n rows in order of time, then symbol, of k columns.

    `times_ms` and `codes` (place in `symbols`) have shape (n,), `values` (n, k) with NaN for what is missing, `labels`
    (n,) by column name with NaN likewise. `base` tells which columns are made here from price and clock for models of
    volatility, `with_liquidations` which ones hold anything about liquidations; both of shape (k,).
    """

    symbols: tuple[str, ...]
    columns: tuple[str, ...]
    times_ms: Integers
    codes: Integers
    values: Floats
    labels: Mapping[str, Floats]
    base: NDArray[np.bool_]
    with_liquidations: NDArray[np.bool_]
    n_infinite: int

    @property
    def trailing_volatility(self) -> Floats:
        """Trailing one-hour realised volatility, bps, of each row; NaN where missing or not positive."""
        if SCALE_COLUMN not in self.columns:
            return np.full(self.times_ms.size, np.nan)
        values = self.values[:, self.columns.index(SCALE_COLUMN)]
        return np.where(values > 0.0, values, np.nan)


def load_sample(store: FeatureStore, targets: tuple[Target, ...], step_ms: int, config: WalkForwardConfig) -> Sample:
    """The rows of the store at multiples of `step_ms` on which at least one feature is known.

    A row without any feature tells nothing, and whether it is there depends on when the recording of other symbols
    began. Infinite values become NaN and are counted. `UserError` for a feature that the store does not hold.
    """
    chosen = _check_features(store, config.features)
    labels = tuple(target.column for target in targets)
    frames = [_read_symbol(store, symbol, code, chosen, labels, step_ms) for code, symbol in enumerate(store.symbols)]
    rows = pl.concat(frames).sort("time", "code", maintain_order=True)
    base = [name for name in rows.columns if name.startswith("base_")]
    columns = (*chosen, *base)
    values = _matrix(rows, columns)
    infinite = np.isinf(values)
    values[infinite] = np.nan
    return Sample(
        tuple(store.symbols),
        tuple(name.removeprefix("base_") for name in columns),
        rows["time"].to_physical().to_numpy(),
        rows["code"].to_numpy(),
        values,
        {name: _finite(_matrix(rows, (name,))[:, 0]) for name in labels},
        np.array([name in base for name in columns]),
        np.array([name in list_liquidation_columns() for name in columns]),
        int(infinite.sum()),
    )


def _check_features(store: FeatureStore, names: tuple[str, ...] | None) -> tuple[str, ...]:
    for name in names or ():
        if name not in store.feature_names:
            raise unknown_name("feature", name, list(store.feature_names))
    return tuple(names or store.feature_names)


def list_liquidation_columns() -> frozenset[str]:
    """Catalogue names that hold anything about liquidations.

    The change of open interest net of liquidations belongs to them: beside the gross change it tells the liquidated
    volume.
    """
    return frozenset(
        feature.name
        for feature in FEATURES
        if feature.family in LIQUIDATION_FAMILIES or any(_is_about_liquidations(name) for name in feature.inputs)
    )


def _is_about_liquidations(name: str) -> bool:
    """Whether an input, `table.column`, holds anything about liquidations."""
    table, _, column = name.partition(".")
    return table in ("liquidations", "cascades") or column.startswith("liq_")


def _read_symbol(
    store: FeatureStore, symbol: str, code: int, features: tuple[str, ...], labels: tuple[str, ...], step_ms: int
) -> pl.DataFrame:
    frame = store.read(symbol, features=features, labels=labels, every_ms=step_ms)
    known = pl.any_horizontal(pl.col(name).is_not_null() & pl.col(name).is_not_nan() for name in features)
    return (
        frame.with_columns(pl.col(*features, *labels).cast(pl.Float64))
        .with_columns(_base_columns(set(features), step_ms))
        .filter(known)
        .with_columns(code=pl.lit(code, pl.Int64))
    )


def _base_columns(features: set[str], step_ms: int) -> list[pl.Expr]:
    """What models of volatility see beside the features: logarithms of volatility and range, falls, the hour of day.

    The regressors of the heterogeneous autoregression (Corsi 2009) with a range and a downside term: logarithms of
    realised volatility over 5 min to 24 h, of the average true range and the band width; the negative part of trailing
    returns; two harmonics of the day.
    """
    found: list[pl.Expr] = []
    for name in (*_VOLATILITIES, *_RANGES):
        if name in features:
            found.append(_log(pl.col(name)).alias(f"base_log_{name}"))
    if SCALE_COLUMN in features:
        found += [_long_volatility(hours, step_ms) for hours in _LONG_WINDOWS_H]
    found += [pl.col(name).clip(upper_bound=0.0).alias(f"base_fall_{name}") for name in _FALLS if name in features]
    angle = (pl.col("time").cast(pl.Int64) % MS_PER_DAY).cast(pl.Float64) * (2.0 * np.pi / MS_PER_DAY)
    for harmonic, period in ((1, "day"), (2, "half_day")):
        found += [
            (harmonic * angle).sin().alias(f"base_{period}_sin"),
            (harmonic * angle).cos().alias(f"base_{period}_cos"),
        ]
    return found


def _long_volatility(hours: int, step_ms: int) -> pl.Expr:
    """Logarithm of the realised volatility over the trailing `hours`; null with less than half of it present."""
    value = pl.col(SCALE_COLUMN)
    square = pl.when(value.is_finite()).then(value * value)
    least = max(1, hours * MS_PER_HOUR // (2 * step_ms))
    mean = square.rolling_mean_by("time", window_size=f"{hours * MS_PER_HOUR // MS_PER_S}s", min_samples=least)
    return (0.5 * _log(mean)).alias(f"base_log_realised_volatility_{hours}h")


def _log(value: pl.Expr) -> pl.Expr:
    return pl.when(value.is_finite() & (value > 0.0)).then(value.log())


def _matrix(rows: pl.DataFrame, columns: tuple[str, ...]) -> Floats:
    """(n, k), row after row in memory, NaN for null."""
    if not columns:
        return np.empty((rows.height, 0))
    values = rows.select(pl.col(*columns).cast(pl.Float64).fill_null(float("nan"))).to_numpy(order="c")
    return np.array(values, dtype=np.float64, order="C")


def _finite(values: Floats) -> Floats:
    return np.where(np.isfinite(values), values, np.nan)
