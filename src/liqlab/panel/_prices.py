"""Ticker prices as a step in time: the last one known at a moment, the first one observed from it on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

#: Rows of each feed from which its typical interval is taken: enough to be stable, early enough to stay.
_ROWS_FOR_INTERVAL = 1_000
#: A price further away than this many typical intervals does not answer for the moment asked for.
INTERVALS_PER_TOLERANCE = 3

#: The price of a ticker row: mark, else last.
PRICE = pl.coalesce("mark_price", "last_price")


@dataclass(frozen=True)
class PriceSeries:
    """The ticker prices (mark, else last; USD) of one symbol by the time at which each was known.

    Two arrays of shape (n,), `known_ms` ascending. Rows without a positive price are left out.
    """

    known_ms: IntArray
    price: FloatArray

    @classmethod
    def from_ticker(cls, ticker: pl.DataFrame) -> PriceSeries:
        """From ticker rows of one symbol; of rows known at the same time the order given is kept."""
        rows = _priced_rows(ticker).sort("known_time", maintain_order=True)
        return cls(rows["known_time"].to_physical().to_numpy(), rows["price"].to_numpy())

    def last_known(self, times_ms: npt.ArrayLike, tolerance_ms: int | None = None) -> FloatArray:
        """The last price known at or before each time; NaN when none, or older than `tolerance_ms`."""
        times = np.asarray(times_ms, dtype=np.int64)
        return self._at(np.searchsorted(self.known_ms, times, side="right") - 1, times, tolerance_ms)

    def first_from(self, times_ms: npt.ArrayLike, tolerance_ms: int | None = None) -> FloatArray:
        """The first price known at or after each time; NaN when none, or later than `tolerance_ms`."""
        times = np.asarray(times_ms, dtype=np.int64)
        return self._at(np.searchsorted(self.known_ms, times, side="left"), times, tolerance_ms)

    def _at(self, rows: npt.NDArray[np.intp], times: IntArray, tolerance_ms: int | None) -> FloatArray:
        prices = np.full(times.shape, np.nan)
        usable = (rows >= 0) & (rows < len(self.known_ms))
        if tolerance_ms is not None:
            distance = np.abs(self.known_ms[rows[usable]] - times[usable])
            usable[usable] = distance <= tolerance_ms
        prices[usable] = self.price[rows[usable]]
        return prices


def measure_ticker_interval_ms(ticker: pl.DataFrame) -> int | None:
    """The typical time between two ticker rows in milliseconds; None when no symbol has two rows with a price.

    Median difference of known times, pooled over symbols, within the first 1,000 rows with a price of each symbol (of
    each exchange, when the frame says which): once those are in, later rows change nothing.
    """
    feed = [name for name in ("symbol", "exchange") if name in ticker.columns]
    differences = (
        _priced_rows(ticker)
        .sort("known_time", maintain_order=True)
        .group_by(feed, maintain_order=True)
        .head(_ROWS_FOR_INTERVAL)
        .select(pl.col("known_time").to_physical().diff().over(feed))
        .to_series()
        .drop_nulls()
        .to_numpy()
    )
    return round(float(np.median(differences))) if differences.size else None


def _priced_rows(ticker: pl.DataFrame) -> pl.DataFrame:
    return ticker.with_columns(price=PRICE).filter(pl.col("price").is_finite() & (pl.col("price") > 0))
