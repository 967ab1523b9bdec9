"""What a study keeps of each symbol's days, so that memory does not grow with the span."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.core import schema
from liqlab.core.schema import BARS
from liqlab.core.time import MS_PER_MINUTE, MS_PER_S
from liqlab.features import FeatureDay, feature_table
from liqlab.panel import PanelDay, Scope, list_minute_prices
from liqlab.study._configuration import StudyConfig
from liqlab.study._writer import TableWriter

Windows = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]

PRICE_COLUMNS = ("symbol", "known_time", "mark_price", "last_price")
#: Ticker kept around each liquidation for statistics: the longest horizon asked for.
_HORIZON_MS = MS_PER_MINUTE
#: Cascades of a symbol whose surroundings are kept for the picture, and how much of them.
_N_EXAMPLES = 6
_EXAMPLE_BEFORE_MS = 5 * MS_PER_MINUTE
_EXAMPLE_AFTER_MS = 10 * MS_PER_MINUTE


@dataclass
class Gathered:
    """What the days of all symbols leave behind; `near` is the prices near liquidations, by symbol."""

    near: dict[str, list[pl.DataFrame]] = field(default_factory=dict)
    prices: list[pl.DataFrame] = field(default_factory=list)
    minute_prices: dict[str, list[pl.DataFrame]] = field(default_factory=dict)
    near_cascades: list[pl.DataFrame] = field(default_factory=list)
    examples: list[pl.DataFrame] = field(default_factory=lambda: [schema.TICKER.empty()])
    bars_1m: list[pl.DataFrame] = field(default_factory=list)
    basis: Counter[str] = field(default_factory=Counter)


class Gatherer:
    """Keeps of each day what statistics, regimes and figures need later; the rest goes to disk."""

    def __init__(
        self,
        config: StudyConfig,
        scope: Scope,
        liquidations: Mapping[str, pl.DataFrame],
        cascades: Mapping[str, pl.DataFrame],
    ) -> None:
        self.gathered = Gathered()
        reach_ms = _reach_ms(config, scope)
        self._windows = {
            symbol: (
                _around(liquidations[symbol], reach_ms),
                _cascade_windows(cascades[symbol], config.cascades.price_max_age_s),
                _example_windows(cascades[symbol]),
            )
            for symbol in scope.symbols
        }

    def add(self, day: PanelDay) -> None:
        """Take one symbol's day."""
        gathered, ticker = self.gathered, day.ticker
        liquidations, cascades, examples = self._windows[day.symbol]
        prices = ticker.select(PRICE_COLUMNS)
        gathered.near.setdefault(day.symbol, []).append(prices.filter(_inside(prices, *liquidations)))
        gathered.near_cascades.append(prices.filter(_inside(prices, *cascades)))
        gathered.examples.append(ticker.filter(_inside(ticker, *examples)))
        gathered.basis.update(_count_basis(ticker))
        gathered.bars_1m.append(day.bars["1m"])
        gathered.prices.append(_minute_prices(day.dataset))
        gathered.minute_prices.setdefault(day.symbol, []).append(list_minute_prices(day.dataset))


def write_day(writer: TableWriter, day: FeatureDay, features: Sequence[str] | None) -> None:
    """The tables of one symbol's day; `features` are those that were asked for, None for all."""
    writer.append(schema.TICKER, day.panel.ticker)
    for width, bars in day.panel.bars.items():
        writer.append(BARS[width], bars)
    writer.append(schema.DATASET, day.panel.dataset)
    writer.append(feature_table(features), day.features)
    writer.append(schema.LABELS, day.labels)


def _reach_ms(config: StudyConfig, scope: Scope) -> int:
    """How far from a moment a price may lie and still be needed: window or horizon, plus tolerance."""
    interval_ms = max((interval or 0 for interval in scope.ticker_interval_ms.values()), default=0)
    window = max(_HORIZON_MS, round(1e3 * config.side_check.window_s), interval_ms)
    tolerance = max(3 * interval_ms, round(1e3 * config.side_check.price_tolerance_s))
    return window + max(tolerance, round(1e3 * (config.dataset.ticker_tolerance_s or 0.0)), 15 * MS_PER_S)


def _around(liquidations: pl.DataFrame, reach_ms: int) -> Windows:
    known_ms = liquidations["known_time"].to_physical().to_numpy()
    return known_ms - reach_ms, known_ms + reach_ms


def _cascade_windows(cascades: pl.DataFrame, max_age_s: float) -> Windows:
    max_age_ms = round(1e3 * max_age_s) + 1
    return (
        cascades["first_known"].to_physical().to_numpy() - max_age_ms,
        cascades["ended"].to_physical().to_numpy(),
    )


def _example_windows(cascades: pl.DataFrame) -> Windows:
    """The surroundings of a symbol's largest cascades, by notional and by number."""
    orders = ("notional_usd", "n_liquidations")
    largest = pl.concat(cascades.sort(by, descending=True, maintain_order=True).head(_N_EXAMPLES) for by in orders)
    return (
        largest["first_known"].to_physical().to_numpy() - _EXAMPLE_BEFORE_MS,
        largest["ended"].to_physical().to_numpy() + _EXAMPLE_AFTER_MS,
    )


def _inside(rows: pl.DataFrame, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> pl.Series:
    """Which rows were known inside one of the windows [start, end]."""
    known = rows["known_time"].to_physical().to_numpy()
    opened = np.searchsorted(np.sort(starts), known, side="right")
    closed = np.searchsorted(np.sort(ends), known, side="left")
    return pl.Series(opened > closed)


def _minute_prices(dataset: pl.DataFrame) -> pl.DataFrame:
    on_minute = pl.col("time").to_physical() % MS_PER_MINUTE == 0
    priced = pl.col("mark_price").is_not_null() | pl.col("last_price").is_not_null()
    fresh = pl.col("ticker_age_s") < MS_PER_MINUTE / MS_PER_S
    time = pl.col("time")
    return dataset.filter(on_minute & priced & fresh).select(
        "symbol", time.alias("event_time"), time.alias("known_time"), *PRICE_COLUMNS[2:]
    )


def _count_basis(ticker: pl.DataFrame) -> dict[str, int]:
    counts = ticker["open_interest_basis"].drop_nulls().value_counts()
    return dict(counts.iter_rows())
