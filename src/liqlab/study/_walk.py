"""One symbol of a study, day after day, so that memory does not grow with the span."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.core import schema
from liqlab.core.progress import Progress
from liqlab.core.schema import BAR_WIDTHS_MS, BARS
from liqlab.core.time import MS_PER_DAY, MS_PER_MINUTE, MS_PER_S
from liqlab.lake import Lake
from liqlab.panel import compute_bars, join_dataset
from liqlab.study._configuration import StudyConfig
from liqlab.study._scope import Scope
from liqlab.study._writer import TableWriter

PRICE_COLUMNS = ("symbol", "known_time", "mark_price", "last_price")
#: Ticker kept around each liquidation for statistics: the longest horizon asked for.
_HORIZON_MS = MS_PER_MINUTE
#: Cascades of a symbol whose surroundings are kept for the picture, and how much of them.
_N_EXAMPLES = 6
_EXAMPLE_BEFORE_MS = 5 * MS_PER_MINUTE
_EXAMPLE_AFTER_MS = 10 * MS_PER_MINUTE


@dataclass
class Gathered:
    """What the days of all symbols leave behind."""

    prices: list[pl.DataFrame] = field(default_factory=list)
    near_cascades: list[pl.DataFrame] = field(default_factory=list)
    examples: list[pl.DataFrame] = field(default_factory=lambda: [schema.TICKER.empty()])
    bars_1m: list[pl.DataFrame] = field(default_factory=list)
    basis: Counter[str] = field(default_factory=Counter)


class SymbolWalk:
    """One symbol, day after day, with the ticker rows that reach over midnight carried along."""

    def __init__(
        self,
        lake: Lake,
        symbol: str,
        config: StudyConfig,
        scope: Scope,
        liquidations: pl.DataFrame,
        cascades: pl.DataFrame,
    ) -> None:
        self.ratio = lake.read_long_short_ratio(symbol)
        self._symbol, self._config, self._scope = symbol, config, scope
        self._liquidations = liquidations
        self._days = lake.iterate_ticker(symbol, config.start_ms, config.end_ms)
        self._cascade_windows = _cascade_windows(cascades, config.cascades.price_max_age_s)
        self._example_windows = _example_windows(cascades)
        reach_ms = _reach_ms(config, scope)
        known_ms = liquidations["known_time"].to_physical().to_numpy()
        self._liquidation_windows = (known_ms - reach_ms, known_ms + reach_ms)
        self._carry_ms = round(1e3 * config.dataset.open_interest_lag_s) + reach_ms

    def run(self, writer: TableWriter, gathered: Gathered, progress: Progress) -> pl.DataFrame:
        """Write the tables of every day; gives the prices near liquidations, for the statistics."""
        near = [schema.TICKER.empty().select(PRICE_COLUMNS)]
        before = schema.TICKER.empty()
        writer.append(schema.LONG_SHORT_RATIO, self.ratio)
        for day_ms, ticker in self._all_days():
            end_ms = min(self._scope.end_ms, day_ms + MS_PER_DAY)
            writer.append(schema.TICKER, ticker)
            self._write_bars(max(self._scope.start_ms, day_ms), end_ms, pl.concat([before, ticker]), writer, gathered)
            prices = ticker.select(PRICE_COLUMNS)
            gathered.near_cascades.append(prices.filter(_inside(prices, *self._cascade_windows)))
            gathered.examples.append(ticker.filter(_inside(ticker, *self._example_windows)))
            gathered.basis.update(_count_basis(ticker))
            near.append(prices.filter(_inside(prices, *self._liquidation_windows)))
            if ticker.height:
                kept_from = pl.lit(end_ms - self._carry_ms, pl.Int64).cast(schema.TIME)
                before = pl.concat([before, ticker]).filter(pl.col("known_time") >= kept_from)
            progress.advance()
        return pl.concat(near)

    def _all_days(self) -> Iterator[tuple[int, pl.DataFrame]]:
        """(midnight, ticker) of every day of the span; an empty frame for a day without ticker."""
        pending = next(self._days, None)
        for day_ms in self._scope.days_ms:
            if pending is not None and pending[0] == day_ms:
                yield pending
                pending = next(self._days, None)
            else:
                yield day_ms, schema.TICKER.empty()

    def _write_bars(
        self, start_ms: int, end_ms: int, ticker: pl.DataFrame, writer: TableWriter, gathered: Gathered
    ) -> None:
        for width in BAR_WIDTHS_MS:
            bars = compute_bars(self._liquidations, width, start_ms, end_ms, [self._symbol], self._scope.coverage)
            writer.append(BARS[width], bars)
            if width == "1m":
                gathered.bars_1m.append(bars)
            if width == "5s":
                dataset = join_dataset(bars, ticker, self.ratio, self._config.dataset, self._scope.ticker_interval_ms)
                writer.append(schema.DATASET, dataset)
                gathered.prices.append(_minute_prices(dataset))


def _reach_ms(config: StudyConfig, scope: Scope) -> int:
    """How far from a moment a price may lie and still be needed: window or horizon, plus tolerance."""
    interval_ms = max((interval or 0 for interval in scope.ticker_interval_ms.values()), default=0)
    window = max(_HORIZON_MS, round(1e3 * config.side_check.window_s), interval_ms)
    tolerance = max(3 * interval_ms, round(1e3 * config.side_check.price_tolerance_s))
    return window + max(tolerance, round(1e3 * (config.dataset.ticker_tolerance_s or 0.0)), 15 * MS_PER_S)


def _cascade_windows(cascades: pl.DataFrame, max_age_s: float) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    max_age_ms = round(1e3 * max_age_s) + 1
    return (
        cascades["first_known"].to_physical().to_numpy() - max_age_ms,
        cascades["ended"].to_physical().to_numpy(),
    )


def _example_windows(cascades: pl.DataFrame) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
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
