"""One symbol's prices as a backtest sees them: observations in order of known time, their extremes, spread, funding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.core.errors import UserError
from liqlab.core.time import MS_PER_HOUR, MS_PER_S
from liqlab.lake import Recording
from liqlab.panel import INTERVALS_PER_TOLERANCE, Scope, select_intervals

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: A pause of prices shorter than this is never a gap.
LEAST_TOLERANCE_MS = 15_000
#: Funding moments where the ticker names none: 00, 08 and 16 o'clock UTC, the common rule of perpetual futures.
USUAL_FUNDING_INTERVAL_MS = 8 * MS_PER_HOUR


@dataclass(frozen=True)
class FundingTimes:
    """When funding is exchanged and the rate last known before it; two arrays of shape (f,), NaN where unknown."""

    time_ms: Integers
    rate: Floats


@dataclass(frozen=True)
class PricePath:
    """The observed prices of one symbol; arrays of shape (n,) unless said otherwise, times in milliseconds UTC, USD.

    `known_ms` is strictly ascending. `price` (> 0) is the mark, else the last price. `low` and `high` are the extremes
    since the observation before, own price included: equal to `price` for ticks. `bid` and `ask` are NaN where
    unknown. `funding_ms` (f,) are the moments of funding, `funding_rate` (f,) the rates known then, NaN unknown.
    `interval_ms` is the typical time between prices, `covered` (m, 2) when the recorder listened. A pause of prices
    longer than `tolerance_ms` is a gap. `UserError` when the arrays contradict this.
    """

    symbol: str
    known_ms: Integers
    price: Floats
    low: Floats
    high: Floats
    bid: Floats
    ask: Floats
    funding_ms: Integers
    funding_rate: Floats
    interval_ms: int
    covered: Integers

    def __post_init__(self) -> None:
        n = self.known_ms.size
        for name in ("price", "low", "high", "bid", "ask"):
            if getattr(self, name).shape != (n,):
                raise UserError(f"prices of {self.symbol}: {name} has {getattr(self, name).size} values, known_ms {n}")
        if self.funding_rate.shape != self.funding_ms.shape:
            raise UserError(
                f"prices of {self.symbol}: {self.funding_rate.size} funding rates for {self.funding_ms.size} moments"
            )
        if n and not np.all(np.diff(self.known_ms) > 0):
            raise UserError(f"prices of {self.symbol}: known_ms must be strictly ascending")
        if n and not np.all((self.low > 0) & (self.low <= self.price) & (self.price <= self.high)):
            raise UserError(f"prices of {self.symbol} must satisfy 0 < low <= price <= high")

    @property
    def tolerance_ms(self) -> int:
        """The longest pause of prices that is not a gap: 15 s, or three typical intervals when that is longer."""
        return max(LEAST_TOLERANCE_MS, INTERVALS_PER_TOLERANCE * self.interval_ms)

    @classmethod
    def from_ticks(
        cls,
        symbol: str,
        known_ms: npt.ArrayLike,
        price: npt.ArrayLike,
        low: npt.ArrayLike | None = None,
        high: npt.ArrayLike | None = None,
        bid: npt.ArrayLike | None = None,
        ask: npt.ArrayLike | None = None,
        funding_ms: npt.ArrayLike = (),
        funding_rate: npt.ArrayLike = (),
        interval_ms: int | None = None,
        covered: npt.ArrayLike | None = None,
    ) -> PricePath:
        """A path from arrays: without `low` and `high` every observation is a tick, without a spread it is unknown.

        `interval_ms` None is the median difference of `known_ms` (0 when there is none); `covered` None is from the
        first observation to the last. No `funding_ms` means that there is no funding.
        """
        known, prices = np.asarray(known_ms, dtype=np.int64), np.asarray(price, dtype=np.float64)
        unknown = np.full(prices.shape, np.nan)
        if interval_ms is None:
            interval_ms = round(float(np.median(np.diff(known)))) if known.size > 1 else 0
        if covered is None:
            covered = [(known[0], known[-1])] if known.size else np.empty((0, 2))
        return cls(
            symbol,
            known,
            prices,
            prices if low is None else np.asarray(low, dtype=np.float64),
            prices if high is None else np.asarray(high, dtype=np.float64),
            unknown if bid is None else np.asarray(bid, dtype=np.float64),
            unknown if ask is None else np.asarray(ask, dtype=np.float64),
            np.asarray(funding_ms, dtype=np.int64),
            np.asarray(funding_rate, dtype=np.float64),
            int(interval_ms),
            np.asarray(covered, dtype=np.int64).reshape(-1, 2),
        )


def read_price_path(lake: Recording, symbol: str, scope: Scope) -> PricePath:
    """The prices of a symbol in the scope, read day by day: at most one observation per second of known time.

    An observation is the last price (mark, else last) of its second, known when that ticker row was; low and high are
    over the prices of the second. Where the ticker does not say when funding is next exchanged, 00, 08 and 16 o'clock
    UTC are taken, with the rate if one was known, else NaN.
    """
    days = [_read_day(day) for _, day in lake.iterate_ticker(symbol, scope.asked_start_ms, scope.asked_end_ms)]
    seconds = pl.concat([pl.DataFrame(schema=_SECONDS), *(day.seconds for day in days)])
    statements = pl.concat([pl.DataFrame(schema=_STATEMENTS), *(day.statements for day in days)])
    funding = find_funding_times(statements, scope.start_ms, scope.end_ms)
    intervals = select_intervals(scope.coverage, symbol)
    return PricePath(
        symbol,
        seconds["known_ms"].to_numpy(),
        seconds["price"].to_numpy(),
        seconds["low"].to_numpy(),
        seconds["high"].to_numpy(),
        seconds["bid"].to_numpy(),
        seconds["ask"].to_numpy(),
        funding.time_ms,
        funding.rate,
        scope.ticker_interval_ms.get(symbol) or 0,
        np.column_stack([intervals.start_ms, intervals.end_ms]).astype(np.int64),
    )


_SECONDS = {"known_ms": pl.Int64(), **dict.fromkeys(("price", "low", "high", "bid", "ask"), pl.Float64())}
_STATEMENTS = {"known_ms": pl.Int64(), "next_ms": pl.Int64(), "rate": pl.Float64()}


@dataclass(frozen=True)
class _TickerDay:
    """A day's observations by second, and what its rows said about funding where they said something new."""

    seconds: pl.DataFrame
    statements: pl.DataFrame


def _read_day(ticker: pl.DataFrame) -> _TickerDay:
    rows = ticker.sort("known_time", maintain_order=True).select(
        known_ms=pl.col("known_time").to_physical(),
        price=pl.coalesce("mark_price", "last_price"),
        bid=pl.col("bid_price").fill_null(np.nan),
        ask=pl.col("ask_price").fill_null(np.nan),
        next_ms=pl.col("next_funding_time").to_physical(),
        rate=pl.col("funding_rate").fill_nan(None),
    )
    return _TickerDay(
        rows.filter(pl.col("price").is_finite() & (pl.col("price") > 0))
        .group_by(pl.col("known_ms") // MS_PER_S, maintain_order=True)
        .agg(
            pl.col("known_ms").last().alias("last_ms"),
            pl.col("price").last().alias("last"),
            pl.col("price").min().alias("low"),
            pl.col("price").max().alias("high"),
            pl.col("bid", "ask").last(),
        )
        .select(known_ms="last_ms", price="last", low="low", high="high", bid="bid", ask="ask"),
        rows.filter(
            # A rate that stays the same is said anew in each interval, for it counts for its own interval only.
            pl.struct("next_ms", "rate", pl.col("known_ms") // USUAL_FUNDING_INTERVAL_MS).rle_id().diff().fill_null(1)
            != 0
        ).select(_STATEMENTS.keys()),
    )


def find_funding_times(statements: pl.DataFrame, start_ms: int, end_ms: int) -> FundingTimes:
    """The moments of funding in (start_ms, end_ms] and the rates known then.

    `statements` has `known_ms` (ascending), `next_ms` (when funding is next exchanged, null unknown) and `rate` (of
    the current interval, null unknown). A moment counts when the last row before it named it: later rows may revise.
    Stretches for which no row names a moment have the usual ones, so that unknown funding is seen as unknown. The rate
    is the last one known strictly before the moment and not before the moment before it, for a row of an earlier
    interval says nothing about this one; NaN when there is none.
    """
    named = statements.filter(pl.col("next_ms") > pl.col("known_ms"))
    begins = named.filter(pl.col("next_ms").rle_id().diff().fill_null(1) != 0)
    said_ms, next_ms = begins["known_ms"].to_numpy(), begins["next_ms"].to_numpy()
    revised_ms = np.append(said_ms[1:], np.iinfo(np.int64).max)
    silent_from = np.concatenate([[start_ms], np.minimum(next_ms, revised_ms)])
    silent_to = np.append(said_ms, end_ms)
    usual = [
        np.arange(begin // USUAL_FUNDING_INTERVAL_MS + 1, end // USUAL_FUNDING_INTERVAL_MS + 1)
        for begin, end in zip(silent_from.tolist(), silent_to.tolist(), strict=True)
    ]
    moments = np.unique(
        np.concatenate([next_ms[next_ms <= revised_ms], *(USUAL_FUNDING_INTERVAL_MS * k for k in usual)])
    )
    moments = moments[(moments > start_ms) & (moments <= end_ms)].astype(np.int64)
    return FundingTimes(moments, _rates_known(statements.drop_nulls("rate"), moments))


def _rates_known(rated: pl.DataFrame, moments: Integers) -> Floats:
    """For each moment the last rate known before it, of its own interval; NaN when there is none."""
    if not moments.size or not rated.height:
        return np.full(moments.shape, np.nan)
    known_ms, rate = rated["known_ms"].to_numpy(), rated["rate"].to_numpy()
    row = np.searchsorted(known_ms, moments, side="left") - 1
    since = np.concatenate([[moments[0] - USUAL_FUNDING_INTERVAL_MS], moments[:-1]])
    usable = (row >= 0) & (known_ms[np.maximum(row, 0)] >= since)
    return np.where(usable, rate[row], np.nan)
