"""What a backtest is worth: every measure of a ledger, with its interval, its method and what to mind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.backtest._blocks import TradeBlocks, assign_blocks
from liqlab.backtest._execution import ExecutionConfig
from liqlab.backtest._ledger import EQUITY, FILLS, TRADES, Ledger
from liqlab.backtest._metrics_days import measure_days
from liqlab.backtest._metrics_record import (
    METRICS,
    MIN_TRADES,
    Metric,
    Resampling,
    from_bootstrap,
    from_estimate,
    make_metric,
)
from liqlab.core.schema import check_frame
from liqlab.stats import bootstrap_clusters, compute_wilson, studentised_bootstrap

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

BPS = 1e4

#: Every metric in the order of the table: name and unit.
METRIC_UNITS = {
    "n_trades": "trades",
    "n_days": "days",
    "net_return": "fraction of capital",
    "net_return_optimistic": "fraction of capital",
    "gross_return": "fraction of capital",
    "mean_net_bps": "bps per trade",
    "mean_gross_bps": "bps per trade",
    "win_rate": "fraction",
    "profit_factor": "ratio",
    "cost_share": "fraction",
    "cost_share_of_gross": "fraction",
    "sharpe": "per sqrt(year)",
    "probabilistic_sharpe": "probability",
    "deflated_sharpe": "probability",
    "minimum_track_record": "days",
    "sortino": "per sqrt(year)",
    "calmar": "per year",
    "max_drawdown": "fraction",
    "drawdown_length": "days",
    "turnover": "capital per day",
    "exposure": "fraction of time",
    "gross_exposure": "fraction of capital",
    "mean_holding": "s",
}


@dataclass(frozen=True)
class _Trades:
    """The columns that the measures need, (n,) each, of trades in order; USD where said."""

    net: Floats
    gross: Floats
    costs: Floats
    notional_usd: Floats
    entry_ms: Integers
    exit_ms: Integers
    blocks: TradeBlocks

    @staticmethod
    def of(frame: pl.DataFrame) -> _Trades:
        return _Trades(
            net=frame["net_return"].to_numpy(),
            gross=frame["gross_return"].to_numpy(),
            costs=(frame["gross_return"] - frame["net_return"]).to_numpy(),
            notional_usd=frame["notional_usd"].to_numpy(),
            entry_ms=frame["entry_time"].to_physical().to_numpy(),
            exit_ms=frame["exit_time"].to_physical().to_numpy(),
            blocks=assign_blocks(frame),
        )


def compute_metrics(
    ledger: Ledger,
    equity: pl.DataFrame,
    config: ExecutionConfig,
    n_trials: int = 1,
    trial_sharpes: Sequence[float] | None = None,
    seed: int = 0,
    n_resamples: int = 1_999,
) -> tuple[Metric, ...]:
    """Every measure of a ledger, in the order of `METRIC_UNITS`; 95 % intervals where they make sense.

    `equity` is the curve of the same ledger: its first and last time are the span, days without trades included.
    `n_trials` counts every combination ever tried for this strategy, `trial_sharpes` are their annual Sharpe ratios of
    daily returns (NaN left out); without at least two of those their variance is taken as 1 / (days - 1) per day, that
    of independent trials without skill.

    A measure that is not defined has the value None and a note that says why. Without trades everything is None but
    their number. Fewer than 30 trades are not testable: `find_untestable` says so, and the first metric's note. How
    each is computed stands in docs/metrics.md. `n_trials` below 1 is a ValueError.
    """
    if n_trials < 1:
        raise ValueError(f"n_trials must be at least 1, got {n_trials}")
    check_frame(ledger.trades, TRADES)
    check_frame(ledger.fills, FILLS)
    check_frame(equity, EQUITY)
    reason = find_untestable(ledger)
    if not ledger.trades.height:
        return _nothing(reason)
    trades, resampling = _Trades.of(ledger.trades), Resampling(n_resamples, seed)
    capital_usd = config.limits.capital_usd
    times = equity["time"].to_physical()
    if equity.height < 2 or times[-1] <= times[0]:
        raise ValueError(f"the equity curve of {ledger.strategy} needs at least two moments, it has {equity.height}")
    span_ms = (int(times[0]), int(times[-1]))
    # A trade's gross result counts on the day of its exit; the equity curve marks open positions.
    gross_usd = (trades.exit_ms, trades.gross * trades.notional_usd)
    days = measure_days(equity, capital_usd, gross_usd, n_trials, trial_sharpes, resampling)
    found = {
        "n_trades": make_metric(float(ledger.trades.height), note=reason),
        **days,
        **_measure_trades(trades, resampling),
        **_measure_costs(trades, resampling),
        **_measure_use(trades, ledger.fills, span_ms, capital_usd, resampling),
        "net_return_optimistic": _bound(ledger.trades, capital_usd, days["net_return"]),
    }
    unknown = _unknown_funding(ledger.trades)
    return tuple(found[name].named(name, unit, unknown if name in _NET else "") for name, unit in METRIC_UNITS.items())


def find_untestable(ledger: Ledger) -> str:
    """Why the ledger's strategy cannot be tested; empty when it can: at least 30 trades."""
    if ledger.not_testable:
        return f"not testable: {ledger.not_testable}"
    n_trades = ledger.trades.height
    if not n_trades:
        return "not testable: no trades"
    return "" if n_trades >= MIN_TRADES else f"not testable: {n_trades} trades, at least {MIN_TRADES} needed"


def make_metrics_frame(metrics: Sequence[Metric], strategy: str, symbol: str = "ALL") -> pl.DataFrame:
    """The table `METRICS` of one strategy's metrics."""
    rows = [
        (strategy, symbol, one.name, one.value, one.ci_low, one.ci_high, one.unit, one.method, one.note)
        for one in metrics
    ]
    return pl.DataFrame(rows, schema=METRICS.dtypes, orient="row")


#: Measures of the net result: they lack a funding payment whose rate is unknown.
_NET = {
    "net_return",
    "net_return_optimistic",
    "mean_net_bps",
    "win_rate",
    "profit_factor",
    "cost_share",
    "cost_share_of_gross",
    "sharpe",
}


def _nothing(reason: str) -> tuple[Metric, ...]:
    found = {name: make_metric(math.nan, note=reason) for name in METRIC_UNITS}
    found["n_trades"] = make_metric(0.0, note=reason)
    return tuple(found[name].named(name, unit) for name, unit in METRIC_UNITS.items())


def _unknown_funding(trades: pl.DataFrame) -> str:
    unknown = int((~trades["funding_known"]).sum())
    if not unknown:
        return ""
    return f"funding unknown in {unknown:,} of {trades.height:,} trades: their net result lacks it"


def _bound(trades: pl.DataFrame, capital_usd: float, net: Metric) -> Metric:
    better = trades.select(
        ((pl.col("gross_return_optimistic") - pl.col("gross_return")) * pl.col("notional_usd")).sum()
    ).item()
    value = math.nan if net.value is None else net.value + better / capital_usd
    return make_metric(value, note="upper bound: targets taken wherever stop and target were in one observation")


def _measure_trades(trades: _Trades, resampling: Resampling) -> dict[str, Metric]:
    wins = int((trades.net > 0.0).sum())
    share, low, high = compute_wilson(wins, trades.net.size)
    return {
        "mean_net_bps": _mean_over_blocks(BPS * trades.net, trades.blocks, resampling),
        "mean_gross_bps": _mean_over_blocks(BPS * trades.gross, trades.blocks, resampling),
        "win_rate": Metric("", share, low, high, "", "Wilson's interval: trades taken as independent", ""),
        "profit_factor": _profit_factor(trades, resampling),
    }


def _mean_over_blocks(values: Floats, blocks: TradeBlocks, resampling: Resampling) -> Metric:
    found = studentised_bootstrap(
        blocks.sums(values)[:, None], blocks.sums(np.ones(values.size)), resampling.n_resamples, resampling.seed
    )
    return from_bootstrap(found, f"studentised bootstrap over {found.n_blocks[0]} blocks of {blocks.words}")


def _profit_factor(trades: _Trades, resampling: Resampling) -> Metric:
    """Sum of gains over sum of losses; the interval is that of its logarithm, which is nearer to symmetric."""
    usd = trades.net * trades.notional_usd
    totals = np.column_stack(
        [trades.blocks.sums(np.maximum(usd, 0.0)), trades.blocks.sums(np.maximum(-usd, 0.0))],
    )
    gains, losses = totals.sum(axis=0)
    if not losses > 0.0:
        return make_metric(math.nan, note="no losing trade: the ratio is not defined")
    if not gains > 0.0:
        return make_metric(0.0, note="no winning trade")
    found = bootstrap_clusters(totals, _log_ratio, resampling.n_resamples, resampling.seed)
    return from_estimate(found, _block_method(trades.blocks, "of its logarithm "), np.exp)


def _measure_costs(trades: _Trades, resampling: Resampling) -> dict[str, Metric]:
    costs = trades.blocks.sums(trades.costs * trades.notional_usd)
    gross = trades.gross * trades.notional_usd
    moved, net_of_losses = trades.blocks.sums(np.abs(gross)), trades.blocks.sums(gross)
    method = _block_method(trades.blocks)
    if not moved.sum() > 0.0:
        return dict.fromkeys(
            ("cost_share", "cost_share_of_gross"), make_metric(math.nan, note="no trade moved: nothing to share")
        )
    share = bootstrap_clusters(np.column_stack([costs, moved]), _ratio, resampling.n_resamples, resampling.seed)
    of_gross = make_metric(math.nan, note="the gross result is not positive: costs add to a loss")
    if net_of_losses.sum() > 0.0:
        value = float(costs.sum() / net_of_losses.sum())
        of_gross = make_metric(value, note="costs took all of the gross result and more" if value > 1.0 else "")
    return {"cost_share": from_estimate(share, method), "cost_share_of_gross": of_gross}


def _measure_use(
    trades: _Trades, fills: pl.DataFrame, span_ms: tuple[int, int], capital_usd: float, resampling: Resampling
) -> dict[str, Metric]:
    start_ms, end_ms = span_ms
    length_ms = end_ms - start_ms
    held_ms = np.clip(trades.exit_ms, start_ms, end_ms) - np.clip(trades.entry_ms, start_ms, end_ms)
    traded_usd = float((fills["price"] * fills["quantity"]).sum())
    in_position = _union_ms(trades.entry_ms, trades.exit_ms, start_ms, end_ms)
    holding_s = (trades.exit_ms - trades.entry_ms) / 1_000.0
    return {
        "turnover": make_metric(traded_usd / capital_usd / (length_ms / 86_400_000)),
        "exposure": make_metric(in_position / length_ms),
        "gross_exposure": make_metric(float(trades.notional_usd @ held_ms) / length_ms / capital_usd),
        "mean_holding": _mean_over_blocks(holding_s, trades.blocks, resampling),
    }


def _union_ms(begin_ms: Integers, end_ms: Integers, first_ms: int, last_ms: int) -> int:
    """Time covered by any of the intervals, within [first_ms, last_ms]."""
    order = np.argsort(begin_ms, kind="stable")
    begins, ends = np.clip(begin_ms[order], first_ms, last_ms), np.clip(end_ms[order], first_ms, last_ms)
    reached = np.concatenate([[first_ms], np.maximum.accumulate(ends)[:-1]])
    return int(np.maximum(ends - np.maximum(begins, reached), 0).sum())


def _block_method(blocks: TradeBlocks, of: str = "") -> str:
    return f"studentised bootstrap {of}over {blocks.n_blocks} blocks of {blocks.words}"


def _ratio(totals: Floats) -> Floats:
    ratio: Floats = np.full(len(totals), np.nan)
    return np.divide(totals[:, 0], totals[:, 1], out=ratio, where=totals[:, 1] > 0.0)


def _log_ratio(totals: Floats) -> Floats:
    ratio = _ratio(totals)
    logarithm: Floats = np.full(ratio.shape, np.nan)
    return np.log(ratio, out=logarithm, where=ratio > 0.0)
