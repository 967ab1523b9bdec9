"""Where a strategy's result comes from: by regime, hour, session, symbol, reason of the exit and side."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.backtest._blocks import assign_blocks
from liqlab.backtest._ledger import TRADES, Ledger
from liqlab.core.schema import COUNT, FLOAT, REGIMES, Column, Table, check_frame
from liqlab.core.time import MS_PER_HOUR
from liqlab.stats import adjust_benjamini_hochberg, compute_wilson, estimate_by_influence

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

BPS = 1e4
#: Sessions of the day, UTC: name and the hour at which it ends.
SESSIONS = (("Asia 00-08", 8), ("Europe 08-13", 13), ("US 13-21", 21), ("late 21-24", 24))
UNKNOWN = "unknown"

BREAKDOWN = Table(
    "backtest_breakdown",
    "the trades of one strategy in one group; exploratory, without a verdict",
    (
        Column("strategy", pl.String(), "", "the strategy"),
        Column("by", pl.String(), "", "`all`, `regime`, `session`, `hour`, `symbol`, `exit reason` or `side`"),
        Column("group", pl.String(), "", "the group; regime, session and hour (UTC) are those of the entry"),
        Column("n_trades", COUNT, "", "trades"),
        Column("mean_net_bps", FLOAT, "bps", "mean net result of a trade"),
        Column("ci_low", FLOAT, "bps", "95 % interval by Student's t over blocks of time, lower end; null without one"),
        Column("ci_high", FLOAT, "bps", "95 % interval, upper end"),
        Column("p", FLOAT, "probability", "two-sided p that the mean is zero, same procedure"),
        Column("p_adjusted", FLOAT, "probability", "Benjamini-Hochberg over the groups of this strategy, `all` apart"),
        Column("win_rate", FLOAT, "fraction", "share of trades with a net gain"),
        Column("win_rate_low", FLOAT, "fraction", "95 % interval (Wilson), lower end"),
        Column("win_rate_high", FLOAT, "fraction", "95 % interval (Wilson), upper end"),
        Column("total_net_usd", FLOAT, "USD", "sum of the net results"),
        Column("total_costs_usd", FLOAT, "USD", "sum of fees, slippage and funding"),
        Column("n_blocks", COUNT, "", "blocks of time that hold its trades"),
    ),
)


def compute_breakdown(ledger: Ledger, regimes: pl.DataFrame | None = None) -> pl.DataFrame:
    """The table `BREAKDOWN` of a ledger: only groups that hold trades, in their natural order; none without trades.

    `regimes` is `core.schema.REGIMES`: a trade's regime is the last one known at its entry, `unknown` before there was
    one; without the frame there are no rows by regime. The interval of a mean is that of `estimate_by_influence` with
    the blocks of `assign_blocks` as clusters, so that simultaneous symbols count once; a group within one block has
    none. Groups by exit reason are chosen by the result: targets win and stops lose, whatever the strategy is worth.
    """
    trades = check_frame(ledger.trades, TRADES)
    if not trades.height:
        return BREAKDOWN.empty()
    block = assign_blocks(trades).block
    net = BPS * trades["net_return"].to_numpy()
    cost = pl.col("gross_return") - pl.col("net_return")
    usd = trades.select(net=pl.col("net_return") * pl.col("notional_usd"), cost=cost * pl.col("notional_usd"))
    net_usd, cost_usd = usd["net"].to_numpy(), usd["cost"].to_numpy()
    rows = []
    for by, group, row in _groups(trades, regimes):
        totals = (float(net_usd[row].sum()), float(cost_usd[row].sum()))
        rows.append((ledger.strategy, by, group, *_measure(net[row], block[row], totals)))
    frame = pl.DataFrame(rows, schema=BREAKDOWN.dtypes, orient="row").with_columns(pl.col(pl.Float64).fill_nan(None))
    return _adjust(frame)


def _measure(net: Floats, block: Integers, totals_usd: tuple[float, float]) -> tuple[float | int | None, ...]:
    mean = float(net.mean())
    found = estimate_by_influence(mean, (net - mean) / net.size, block)
    wins = compute_wilson(int((net > 0.0).sum()), net.size)
    return (net.size, mean, found.ci_low, found.ci_high, found.p, None, *wins, *totals_usd, found.n_clusters)


def _groups(trades: pl.DataFrame, regimes: pl.DataFrame | None) -> Iterator[tuple[str, str, Integers]]:
    """(by, group, rows of its trades) for every group that holds trades."""
    yield "all", "all", np.arange(trades.height)
    hour = trades["entry_time"].to_physical().to_numpy() // MS_PER_HOUR % 24
    session = np.searchsorted([end for _, end in SESSIONS], hour, side="right")
    labels = {
        "regime": None if regimes is None else _find_regimes(trades, regimes),
        "session": np.array([name for name, _ in SESSIONS], dtype=object)[session],
        "hour": np.array([f"{number:02d}" for number in range(24)], dtype=object)[hour],
        "symbol": trades["symbol"].to_numpy(),
        "exit reason": trades["exit_reason"].to_numpy(),
        "side": trades["side"].to_numpy(),
    }
    for by, names in labels.items():
        if names is None:
            continue
        for name in sorted(set(names.tolist())):
            yield by, name, np.flatnonzero(names == name)


def _find_regimes(trades: pl.DataFrame, regimes: pl.DataFrame) -> npt.NDArray[np.object_]:
    """The regime of each trade's symbol last known at its entry."""
    known = check_frame(regimes, REGIMES).select("symbol", "time", "regime").sort("time", maintain_order=True)
    entries = trades.select("symbol", "entry_time").with_row_index("row").sort("entry_time", maintain_order=True)
    joined = entries.join_asof(
        known, left_on="entry_time", right_on="time", by="symbol", strategy="backward", check_sortedness=False
    )
    found: npt.NDArray[np.object_] = joined.sort("row")["regime"].fill_null(UNKNOWN).to_numpy().astype(object)
    return found


def _adjust(frame: pl.DataFrame) -> pl.DataFrame:
    """`p_adjusted` over the groups that have a p; the row of all trades is no part of the family."""
    p = frame["p"].to_numpy().copy()
    family = np.flatnonzero(np.isfinite(p) & (frame["by"] != "all").to_numpy())
    adjusted = np.full(p.size, np.nan)
    if family.size:
        adjusted[family] = adjust_benjamini_hochberg(p[family])
    return frame.with_columns(p_adjusted=pl.Series(adjusted).fill_nan(None)).select(BREAKDOWN.names)
