"""How large a strategy can get: net result per trade against size, and the size at which nothing is left."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.backtest._blocks import assign_blocks
from liqlab.backtest._execution import BPS as BPS_FRAC
from liqlab.backtest._execution import ExecutionConfig
from liqlab.backtest._ledger import FILLS, TRADES, Ledger
from liqlab.core.schema import FLOAT, Column, Table, check_frame
from liqlab.stats import bootstrap_clusters, studentised_bootstrap

Floats = npt.NDArray[np.float64]

#: Sizes of an order of weight 1, USD, at which the curve is given.
SIZES_USD = (1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6, 3e6, 1e7)

CAPACITY = Table(
    "backtest_capacity",
    "the mean net result of a strategy's trades at one size",
    (
        Column("strategy", pl.String(), "", "the strategy"),
        Column("notional_usd", FLOAT, "USD", "size of an order of weight 1"),
        Column("mean_net_bps", FLOAT, "bps", "mean net result of a trade at that size"),
        Column("ci_low", FLOAT, "bps", "95 % interval, studentised bootstrap over blocks of time; null without one"),
        Column("ci_high", FLOAT, "bps", "95 % interval, upper end"),
        Column("impact_bps", FLOAT, "bps", "mean impact paid at that size, part of the result"),
        Column("mean_net_usd", FLOAT, "USD", "mean net result of a trade in money"),
    ),
)


@dataclass(frozen=True)
class Capacity:
    """The curve (table `CAPACITY`) and the size of an order of weight 1 at which the mean net result is zero.

    `zero_usd` is 0 when even the smallest size loses, None when it is not defined; `note` says why. `ci_low` and
    `ci_high` are its 95 % interval, None without one. `best_usd` is the size with the largest mean result in USD: four
    ninths of `zero_usd`.
    """

    curve: pl.DataFrame
    zero_usd: float | None
    ci_low: float | None
    ci_high: float | None
    best_usd: float | None
    note: str


def compute_capacity(
    ledger: Ledger,
    config: ExecutionConfig,
    sizes_usd: Sequence[float] = SIZES_USD,
    seed: int = 0,
    n_resamples: int = 1_999,
) -> Capacity:
    """The curve of mean net result against size, by re-pricing the impact of every fill of the ledger; exact.

    With f = size / config.limits.notional_usd, the impact of each taker fill of notional N is impact_bps sqrt(f N /
    $1M), and its fee is taken on the price paid. Everything else in the rules is the same at any size, so that the
    result of a trade is a - b sqrt(f) with a free of impact, and the mean is zero at f = (mean a / mean b)^2. That is
    what running the engine with other notionals gives, as long as limits on gross exposure let in the same trades.
    `config` must be the one that made the ledger. Position limits are not applied anew, nor the queue of resting
    orders: a size near the depth of the book is beyond what this, or any record of tickers, can say.

    Sizes that are not above zero are a ValueError. Without trades the curve is empty.
    """
    sizes = np.asarray(sizes_usd, dtype=np.float64)
    if not np.all(sizes > 0.0):
        raise ValueError(f"sizes_usd must be above 0, got {sizes.min():g}")
    trades, fills = check_frame(ledger.trades, TRADES), check_frame(ledger.fills, FILLS)
    if not trades.height:
        return Capacity(CAPACITY.empty(), None, None, None, None, "no trades")
    root = np.sqrt(sizes / config.limits.notional_usd)
    impact = _impact_of_trades(trades, fills, config)
    free = trades["net_return"].to_numpy() + impact
    blocks = assign_blocks(trades)
    count, free_sums, impact_sums = (blocks.sums(values) for values in (np.ones(impact.size), free, impact))
    found = studentised_bootstrap(free_sums[:, None] - impact_sums[:, None] * root, count, n_resamples, seed)
    weight = trades["notional_usd"].to_numpy() / config.limits.notional_usd
    curve = pl.DataFrame(
        {
            "strategy": [ledger.strategy] * sizes.size,
            "notional_usd": sizes,
            "mean_net_bps": found.mean / BPS_FRAC,
            "ci_low": found.ci_low / BPS_FRAC,
            "ci_high": found.ci_high / BPS_FRAC,
            "impact_bps": impact.mean() * root / BPS_FRAC,
            "mean_net_usd": sizes * ((weight @ free) - (weight @ impact) * root) / impact.size,
        },
        schema=CAPACITY.dtypes,
    ).with_columns(pl.col(pl.Float64).fill_nan(None))
    return _find_zero(curve, np.column_stack([free_sums, impact_sums]), config.limits.notional_usd, n_resamples, seed)


def _find_zero(curve: pl.DataFrame, totals: Floats, notional_usd: float, n_resamples: int, seed: int) -> Capacity:
    free, impact = totals.sum(axis=0)
    if free <= 0.0:
        return Capacity(curve, 0.0, None, None, 0.0, "loses at any size: nothing is left before impact")
    if not impact > 0.0:
        return Capacity(curve, None, None, None, None, "no impact was paid: the rules know no size at which it ends")
    found = bootstrap_clusters(totals, _ratio, n_resamples, seed)
    zero, low, high = (max(value, 0.0) ** 2 * notional_usd for value in (found.estimate, found.ci_low, found.ci_high))
    if not math.isfinite(found.ci_low) or not math.isfinite(found.ci_high):
        return Capacity(curve, zero, None, None, 4.0 / 9.0 * zero, "no interval: too few blocks of time")
    return Capacity(curve, zero, low, high, 4.0 / 9.0 * zero, "")


def _impact_of_trades(trades: pl.DataFrame, fills: pl.DataFrame, config: ExecutionConfig) -> Floats:
    """The impact that each trade paid, fee on it included, as a fraction of its entry notional; (n,)."""
    taken = fills.filter(~pl.col("maker") & (pl.col("quantity") > 0.0))
    size_usd = (taken["observed_price"] * taken["quantity"]).to_numpy()
    sign = np.where((taken["side"] == "buy").to_numpy(), 1.0, -1.0)
    fee = config.fees.taker_bps * BPS_FRAC
    paid_usd = size_usd * config.slippage.impact_frac(size_usd) * (1.0 + sign * fee)
    by_trade = pl.DataFrame({"trade": taken["trade"], "paid_usd": paid_usd}).group_by("trade").agg(pl.sum("paid_usd"))
    joined = trades.select("trade", "notional_usd").join(by_trade, on="trade", how="left", maintain_order="left")
    return (joined["paid_usd"].fill_null(0.0) / joined["notional_usd"]).to_numpy()


def _ratio(totals: Floats) -> Floats:
    ratio: Floats = np.full(len(totals), np.nan)
    return np.divide(totals[:, 0], totals[:, 1], out=ratio, where=totals[:, 1] > 0.0)
