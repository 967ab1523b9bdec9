"""The value of a strategy's account over time, and its daily returns."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.backtest._execution import ExecutionConfig
from liqlab.backtest._ledger import EQUITY, Ledger
from liqlab.backtest._metrics_days import split_by_day
from liqlab.backtest._prices import PricePath
from liqlab.core.errors import UserError
from liqlab.core.schema import TIME
from liqlab.core.time import MS_PER_HOUR, format_time

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def compute_equity(
    ledger: Ledger, paths: Mapping[str, PricePath], config: ExecutionConfig, start_ms: int, end_ms: int
) -> pl.DataFrame:
    """The table `EQUITY` of a ledger: at the start, at every full hour, at each change of cash, and at the end.

    equity = capital + cash so far + sum over symbols of position x the last price known. A row is after everything
    that happened at its moment. The last fill is in it, even where it comes after `end_ms`. `UserError` when the span
    is empty or a fill lies before it.
    """
    fills = ledger.fills
    time_ms = fills["time"].to_physical().to_numpy()
    if end_ms < start_ms:
        raise UserError(f"equity cannot end at {format_time(end_ms)}, before it starts at {format_time(start_ms)}")
    if time_ms.size and time_ms[0] < start_ms:
        raise UserError(
            f"the equity curve starts at {format_time(start_ms)}, "
            f"after the first fill at {format_time(int(time_ms[0]))}; start it earlier"
        )
    hours = np.arange(-(-start_ms // MS_PER_HOUR), end_ms // MS_PER_HOUR + 1, dtype=np.int64) * MS_PER_HOUR
    times = np.unique(np.concatenate([[start_ms, end_ms], hours, time_ms]).astype(np.int64))
    cash_usd = _total_by(times, time_ms, fills["cash_usd"].to_numpy())
    position_usd = np.zeros(times.shape)
    signed = (fills["quantity"] * (2.0 * (fills["side"] == "buy").cast(pl.Float64) - 1.0)).to_numpy()
    for symbol in sorted(set(fills["symbol"].to_list())):
        own = (fills["symbol"] == symbol).to_numpy()
        held = _total_by(times, time_ms[own], signed[own])
        path = paths[symbol]
        row = np.searchsorted(path.known_ms, times, side="right") - 1
        position_usd += np.where(held == 0.0, 0.0, held * path.price[np.maximum(row, 0)])
    equity = config.limits.capital_usd + cash_usd + position_usd
    return pl.DataFrame(
        {
            "strategy": pl.repeat(ledger.strategy, times.size, dtype=pl.String, eager=True),
            "time": pl.Series(times, dtype=pl.Int64).cast(TIME),
            "equity": equity,
            "drawdown": equity / np.maximum.accumulate(equity) - 1.0,
            "cash_usd": cash_usd,
            "position_usd": position_usd,
        },
        schema=EQUITY.dtypes,
    )


def compute_daily_returns(equity: pl.DataFrame, capital_usd: float) -> Floats:
    """The change of equity on each UTC day as a part of the capital, (days,), days without a trade included.

    `equity` is the table `EQUITY`; the days reach from its first row to its last. A row at midnight belongs to the day
    that ends then.
    """
    returns: Floats = split_by_day(equity["time"].to_physical().to_numpy(), equity["equity"].to_numpy()) / capital_usd
    return returns


def _total_by(times: Integers, changed_ms: Integers, changes: Floats) -> Floats:
    """The sum of the changes at or before each time; `changed_ms` ascends."""
    totals = np.concatenate([[0.0], np.cumsum(changes)])
    total: Floats = totals[np.searchsorted(changed_ms, times, side="right")]
    return total
