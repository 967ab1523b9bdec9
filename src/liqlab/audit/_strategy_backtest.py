"""What an audit of a strategy looks at: a ledger, the observations behind its fills, and what it sums up to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.backtest import ExecutionConfig, Ledger, MarketInputs, PricePath, Strategy, decide_orders, run_engine
from liqlab.core.time import MS_PER_DAY
from liqlab.stats import sharpe_ratio

Floats = npt.NDArray[np.float64]

DAYS_PER_YEAR = 365


@dataclass(frozen=True)
class Backtest:
    """A ledger, and the observations that its fills are stamped with: bars for a backtest on bars."""

    ledger: Ledger
    paths: Mapping[str, PricePath]


#: How a strategy with its parameters becomes trades on a market. It must pickle: surrogates are made in processes.
Simulate = Callable[[MarketInputs, Strategy, Any, ExecutionConfig], Backtest]


def simulate_honestly(
    inputs: MarketInputs, strategy: Strategy, parameters: Any, execution: ExecutionConfig
) -> Backtest:
    """The strategy's orders through the engine."""
    orders = decide_orders(strategy, inputs, parameters)
    return Backtest(run_engine(inputs.paths, orders, execution, strategy.name), inputs.paths)


@dataclass(frozen=True)
class StrategyResult:
    """What a backtest claims: returns are fractions of the notional of a trade, added up.

    `sharpe` is daily: mean over standard deviation of the sums by UTC day of exit, days without a trade included, times
    sqrt(365). NaN where there is nothing to divide.
    """

    n_orders: int
    n_trades: int
    win_rate: float
    gross: float
    net: float
    sharpe: float


def summarise(backtest: Backtest, inputs: MarketInputs) -> StrategyResult:
    """The result of a backtest over the whole span of the market."""
    trades = backtest.ledger.trades
    net = trades["net_return"].to_numpy()
    return StrategyResult(
        n_orders=backtest.ledger.n_orders,
        n_trades=trades.height,
        win_rate=float((net > 0.0).mean()) if net.size else float("nan"),
        gross=float(trades["gross_return"].sum()),
        net=float(net.sum()),
        sharpe=sharpe_ratio(_sum_by_day(trades, inputs), DAYS_PER_YEAR),
    )


def _sum_by_day(trades: pl.DataFrame, inputs: MarketInputs) -> Floats:
    first, last = inputs.start_ms // MS_PER_DAY, (inputs.end_ms - 1) // MS_PER_DAY
    day = trades["exit_time"].to_physical().to_numpy() // MS_PER_DAY - first
    n_days = max(last - first + 1, 1)
    sums: Floats = np.bincount(np.clip(day, 0, n_days - 1), trades["net_return"].to_numpy(), n_days).astype(np.float64)
    return sums
