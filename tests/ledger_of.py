"""Ledgers and equity curves made by hand, for tests that need no engine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.backtest import EQUITY, FILLS, TRADES, Ledger
from liqlab.core.schema import TIME
from liqlab.core.time import MS_PER_HOUR

#: A midnight.
START_MS = 1_770_681_600_000 - 1_770_681_600_000 % 86_400_000
PRICE = 100.0


def make_ledger(
    entry_ms: npt.ArrayLike,
    exit_ms: npt.ArrayLike,
    gross: npt.ArrayLike,
    fees: npt.ArrayLike = 0.0,
    slippage: npt.ArrayLike = 0.0,
    funding: npt.ArrayLike = 0.0,
    notional_usd: npt.ArrayLike = 10_000.0,
    symbols: Sequence[str] | None = None,
    sides: Sequence[str] | None = None,
    reasons: Sequence[str] | None = None,
    gross_optimistic: npt.ArrayLike | None = None,
) -> Ledger:
    """Trades with these results; NaN funding is unknown. Each has an entry and an exit at the price 100."""
    entry, last = np.asarray(entry_ms, dtype=np.int64), np.asarray(exit_ms, dtype=np.int64)
    n = entry.size
    earned, fee, slip, paid, usd = (
        np.broadcast_to(np.asarray(values, dtype=np.float64), (n,))
        for values in (gross, fees, slippage, funding, notional_usd)
    )
    optimistic = earned if gross_optimistic is None else np.broadcast_to(np.asarray(gross_optimistic), (n,))
    trades = pl.DataFrame(
        {
            "strategy": ["test"] * n,
            "symbol": ["BTCUSDT"] * n if symbols is None else list(symbols),
            "decision_time": pl.Series(entry - 5_000).cast(TIME),
            "entry_time": pl.Series(entry).cast(TIME),
            "exit_time": pl.Series(last).cast(TIME),
            "side": ["long"] * n if sides is None else list(sides),
            "entry_price": [PRICE] * n,
            "exit_price": [PRICE] * n,
            "quantity": usd / PRICE,
            "gross_return": earned,
            "fees": fee,
            "slippage": slip,
            "funding": pl.Series(paid).fill_nan(None),
            "limit_overshoot": [0.0] * n,
            "net_return": earned - fee - slip - np.nan_to_num(paid),
            "exit_reason": ["timeout"] * n if reasons is None else list(reasons),
            "fold": [-1] * n,
            "trade": np.arange(n),
            "parameters": [""] * n,
            "entry_reason": ["market"] * n,
            "notional_usd": usd,
            "gross_return_optimistic": optimistic,
            "funding_known": ~np.isnan(paid),
        },
        schema=TRADES.dtypes,
    )
    return Ledger("test", trades, _make_fills(trades), n_orders=n)


def _make_fills(trades: pl.DataFrame) -> pl.DataFrame:
    def one(time: str, side: str, kind: str) -> pl.DataFrame:
        return trades.select(
            "trade",
            "symbol",
            pl.col(time).alias("time"),
            pl.lit(side).alias("side"),
            pl.lit(PRICE).alias("price"),
            pl.lit(PRICE).alias("observed_price"),
            "quantity",
            pl.lit(0.0).alias("fee_usd"),
            pl.lit(0.0).alias("slippage_usd"),
            pl.lit(kind).alias("kind"),
            pl.lit(False).alias("maker"),
            pl.lit(0.0).alias("cash_usd"),
        )

    fills = pl.concat([one("entry_time", "buy", "entry"), one("exit_time", "sell", "timeout")])
    return fills.sort("time", "trade", maintain_order=True).select(FILLS.names).cast(FILLS.dtypes)


def make_equity(ledger: Ledger, start_ms: int, end_ms: int, capital_usd: float = 100_000.0) -> pl.DataFrame:
    """The curve that moves at exits only: at every hour, every exit and both ends."""
    exits = ledger.trades["exit_time"].to_physical().to_numpy()
    usd = (ledger.trades["net_return"] * ledger.trades["notional_usd"]).to_numpy()
    hours = np.arange(start_ms, end_ms, MS_PER_HOUR)
    times = np.unique(np.concatenate([[start_ms, end_ms], hours, exits]))
    curve = np.array([capital_usd + usd[exits <= time].sum() for time in times])
    return pl.DataFrame(
        {
            "strategy": [ledger.strategy] * times.size,
            "time": pl.Series(times).cast(TIME),
            "equity": curve,
            "drawdown": curve / np.maximum.accumulate(curve) - 1.0,
            "cash_usd": curve - capital_usd,
            "position_usd": np.zeros(times.size),
        },
        schema=EQUITY.dtypes,
    )
