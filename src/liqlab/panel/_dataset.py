"""The unified dataset: each 5-second bar with the ticker and long/short ratio that were known at its right edge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.core.config import bounded, check_bounds
from liqlab.core.schema import DATASET, FLOAT, TICKER
from liqlab.core.time import MS_PER_MINUTE, MS_PER_S
from liqlab.panel._prices import INTERVALS_PER_TOLERANCE, PRICE, measure_ticker_interval_ms

_OPEN_INTEREST = ("open_interest", "open_interest_value", "open_interest_basis")
_TICKER_JOINED = tuple(name for name in TICKER.names if name in DATASET.names and name != "symbol")
_RATIO_JOINED = ("buy_ratio", "sell_ratio", "ratio")
_LEAST_TICKER_TOLERANCE_MS = 15_000


@dataclass(frozen=True)
class DatasetConfig:
    """When a ticker or ratio row may be used, and until when.

    A row may be used from known_time + lag until known_time + lag + tolerance, both included. A ticker tolerance of
    None means three typical ticker intervals of the symbol, at least 15 s.
    """

    ticker_tolerance_s: float | None = bounded(None, 0.0, 86_400.0)
    open_interest_lag_s: float = bounded(0.0, 0.0, 86_400.0)
    ratio_lag_s: float = bounded(3_600.0, 0.0, 604_800.0)
    ratio_tolerance_s: float = bounded(10_800.0, 0.0, 604_800.0)

    def __post_init__(self) -> None:
        check_bounds(self)


def join_dataset(
    bars_5s: pl.DataFrame,
    ticker: pl.DataFrame,
    ratio: pl.DataFrame,
    config: DatasetConfig | None = None,
    ticker_interval_ms: Mapping[str, int | None] | None = None,
) -> pl.DataFrame:
    """`bars_5s` with, per symbol, the last ticker and ratio row usable at each right edge: `core.schema.DATASET`.

    A backward as-of join on known_time + lag <= t. Rows known at the same time count in the order given: the last one
    wins, so feed frames in their canonical order; they need not be sorted by time. A row past its tolerance gives
    nulls in all its columns, and is not replaced by an older one: nothing is carried across a gap. A ratio row stamped
    T describes a period that may only end an hour after T, hence the default `ratio_lag_s`. With an
    `open_interest_lag_s` the three open interest columns come from an as-of join of their own; `ticker_age_s` is the
    age of the row that gave the others.

    `ticker_interval_ms` gives the typical ticker interval by symbol (see `measure_ticker_interval_ms`); without it, it
    is measured on `ticker`. Who joins day by day measures it once, and adds the rows known before the first bar as far
    back as lag and tolerance reach. Empty ticker or ratio frames give nulls. Order of `bars_5s`: kept per symbol,
    symbols sorted.
    """
    config = config or DatasetConfig()
    tickers = ticker.partition_by("symbol", as_dict=True)
    ratios = ratio.partition_by("symbol", as_dict=True)
    frames = []
    for (symbol,), bars in sorted(bars_5s.partition_by("symbol", as_dict=True).items()):
        rows = tickers.get((symbol,), ticker.clear())
        interval = measure_ticker_interval_ms(rows) if ticker_interval_ms is None else ticker_interval_ms.get(symbol)
        with_ticker = _join_ticker(bars, rows, config, _ticker_tolerance_ms(config, interval))
        frames.append(_join_ratio(with_ticker, ratios.get((symbol,), ratio.clear()), config))
    return pl.concat(frames).select(DATASET.names) if frames else DATASET.empty()


def list_minute_prices(dataset: pl.DataFrame) -> pl.DataFrame:
    """symbol, time, price at each full minute of a dataset: the ticker price (mark, else last; USD) known then.

    Null when there was none or it was stale. Rows in the order of `dataset`.
    """
    on_minute = pl.col("time").to_physical() % MS_PER_MINUTE == 0
    return dataset.filter(on_minute).select("symbol", "time", price=PRICE)


def reach_ms(config: DatasetConfig, interval_ms: int | None) -> int:
    """How long before a bar a ticker row may have become known and still be joined to it."""
    return round(config.open_interest_lag_s * MS_PER_S) + _ticker_tolerance_ms(config, interval_ms)


def _ticker_tolerance_ms(config: DatasetConfig, interval_ms: int | None) -> int:
    if config.ticker_tolerance_s is not None:
        return round(config.ticker_tolerance_s * MS_PER_S)
    return max(_LEAST_TICKER_TOLERANCE_MS, INTERVALS_PER_TOLERANCE * (interval_ms or 0))


def _join_ticker(bars: pl.DataFrame, ticker: pl.DataFrame, config: DatasetConfig, tolerance_ms: int) -> pl.DataFrame:
    ordered = ticker.sort("known_time", maintain_order=True)
    prompt = _usable_rows(bars, ordered, 0, tolerance_ms)
    lag_ms = round(config.open_interest_lag_s * MS_PER_S)
    lagged = _usable_rows(bars, ordered, lag_ms, tolerance_ms) if lag_ms else prompt
    columns = [ordered[name].gather(lagged if name in _OPEN_INTEREST else prompt) for name in _TICKER_JOINED]
    return bars.with_columns(*columns, _age_s(bars, ordered["known_time"].gather(prompt)).alias("ticker_age_s"))


def _join_ratio(bars: pl.DataFrame, ratio: pl.DataFrame, config: DatasetConfig) -> pl.DataFrame:
    ordered = ratio.select(*_RATIO_JOINED, "known_time", "event_time").sort("known_time", maintain_order=True)
    rows = _usable_rows(bars, ordered, round(config.ratio_lag_s * MS_PER_S), round(config.ratio_tolerance_s * MS_PER_S))
    columns = [ordered[name].gather(rows) for name in _RATIO_JOINED]
    return bars.with_columns(*columns, _age_s(bars, ordered["event_time"].gather(rows)).alias("ratio_age_s"))


def _usable_rows(bars: pl.DataFrame, ordered: pl.DataFrame, lag_ms: int, tolerance_ms: int) -> pl.Series:
    """For each bar the position in `ordered` of its last usable row, null when there is none or it is stale."""
    times: npt.NDArray[np.int64] = bars["time"].to_physical().to_numpy()
    usable_from = ordered["known_time"].to_physical().to_numpy() + lag_ms
    position = np.searchsorted(usable_from, times, side="right") - 1
    usable = position >= 0
    usable[usable] = times[usable] - usable_from[position[usable]] <= tolerance_ms
    return pl.select(pl.when(pl.Series(usable)).then(pl.Series(position.astype(np.uint32)))).to_series()


def _age_s(bars: pl.DataFrame, since: pl.Series) -> pl.Series:
    age_ms = (bars["time"].to_physical() - since.to_physical()).cast(FLOAT)
    # NumPy divides; Polars multiplies by the rounded inverse, which turns 0.959 s into 0.9590000000000001.
    return pl.Series(age_ms.to_numpy() / MS_PER_S).fill_nan(None)
