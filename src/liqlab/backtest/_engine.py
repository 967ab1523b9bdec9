"""The engine: orders and prices in, a ledger out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.backtest import _kernel as kernel
from liqlab.backtest._coarse import describe_coarse, find_undecidable
from liqlab.backtest._execution import ExecutionConfig
from liqlab.backtest._fills import make_fills
from liqlab.backtest._ledger import EXIT_REASONS, SKIP_REASONS, TRADES, Ledger, empty_ledger
from liqlab.backtest._orders import Orders
from liqlab.backtest._prices import PricePath
from liqlab.backtest._stack import compute_entries, make_decisions, make_exits, make_rules, stack_paths
from liqlab.core.schema import TIME

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Trades:
    """What the kernel found: the orders that traded (t,), their rows (t, 5) and values (t, 12)."""

    order: Integers
    rows: Integers
    values: Floats


def run_engine(
    paths: Mapping[str, PricePath],
    orders: Orders,
    config: ExecutionConfig | None = None,
    strategy: str = "",
    parameters: str = "",
    fold: int = -1,
) -> Ledger:
    """What the orders would have earned on the prices, after costs.

    An order is at the exchange `delay` after its decision. A market order fills at the first observation from then on,
    and after the decision; without one within the path's tolerance it does not. A limit order fills at its limit, at
    the first observation after the one at which it became active whose extreme lies strictly beyond it; it is
    cancelled after its life, by the exit signal (which takes the delay too) or by a gap. Exits are looked for from the
    observation after the fill. At each, in this order: after a gap the position is closed at that price; a stop or
    trail at or beyond its level closes it at the worse extreme of that observation; a target strictly exceeded closes
    its share at the target's price; a timeout or exit signal that is due closes it at that price (in that observation
    only its price can reach the target). The trail hangs on the best extreme of the observations before. Levels are
    measured from the observed entry price. What is open at the end is closed at the last price, and marked.

    An order of a symbol that has a position or resting order, or an exit less than the cooldown ago, is skipped, as is
    one beyond the limits over all symbols; each is counted by reason. Funding is exchanged at the moments in (entry,
    exit], before fills at the same moment; where a rate is unknown the trade's `funding` is null, its `net_return` is
    before it, and the notes say so. Prices too coarse to decide an order give an empty ledger with the reason.
    `ConfigError` for orders out of range.
    """
    return Engine(paths, config).run(orders, strategy, parameters, fold)


@dataclass(frozen=True)
class Engine:
    """Prices and rules made ready once, for many sets of orders: `Engine(paths, config).run` is `run_engine`."""

    paths: Mapping[str, PricePath]
    config: ExecutionConfig | None = None
    _stacked: dict[tuple[str, ...], kernel.Market] = field(default_factory=dict, repr=False, compare=False)

    def run(self, orders: Orders, strategy: str = "", parameters: str = "", fold: int = -1) -> Ledger:
        """What the orders would have earned; see `run_engine`."""
        config = self.config or ExecutionConfig()
        orders.check()
        if reason := find_undecidable(self.paths, orders, config):
            return empty_ledger(strategy, parameters, len(orders), not_testable=reason)
        market, rules = self._stack(orders.symbols, config), make_rules(config)
        status, trades = _simulate(market, orders, rules)
        notional_usd = rules.notional_usd * orders.weight[trades.order]
        return Ledger(
            strategy,
            _make_trades(market, orders, trades, notional_usd, (strategy, parameters, fold)),
            make_fills(market, orders, trades, notional_usd, rules),
            {SKIP_REASONS[code]: int(count) for code, count in enumerate(np.bincount(status)) if code and count},
            (*_notes(orders, trades, config), *describe_coarse(self.paths, orders, config)),
            len(orders),
            parameters=parameters,
        )

    def net_returns(self, orders: Orders) -> Floats:
        """The column `net_return` of the ledger that `run` would give, (t,), without making the ledger."""
        config = self.config or ExecutionConfig()
        orders.check()
        if find_undecidable(self.paths, orders, config):
            return np.empty(0)
        _, trades = _simulate(self._stack(orders.symbols, config), orders, make_rules(config))
        return trades.values[:, kernel.NET]

    def _stack(self, symbols: tuple[str, ...], config: ExecutionConfig) -> kernel.Market:
        if symbols not in self._stacked:
            self._stacked[symbols] = stack_paths(self.paths, symbols, config.slippage)
        return self._stacked[symbols]


def _simulate(market: kernel.Market, orders: Orders, rules: kernel.Rules) -> tuple[Integers, Trades]:
    """The status of each order (n,), and the trades."""
    n = len(orders)
    status = np.zeros(n, np.int64)
    rows, values = np.zeros((n, kernel.N_ROWS), np.int64), np.zeros((n, kernel.N_VALUES))
    decisions = make_decisions(orders)
    entries = compute_entries(market, decisions, rules)
    # One order would be taken for "the same of all", which is the same here.
    kernel.simulate(market, decisions, make_exits(orders), entries, rules, status, rows, values, 0, np.empty(0))
    traded = np.flatnonzero(status == 0)
    return status, Trades(traded, rows[traded], values[traded])


def _make_trades(
    market: kernel.Market, orders: Orders, trades: Trades, notional_usd: Floats, labels: tuple[str, str, int]
) -> pl.DataFrame:
    strategy, parameters, fold = labels
    n, rows, values, order = trades.order.size, trades.rows, trades.values, trades.order
    funding_known = rows[:, kernel.UNKNOWN_FUNDING] == 0
    share = values[:, kernel.TARGET_SHARE]
    exit_price = values[:, kernel.EXIT_PAID]
    partial = rows[:, kernel.PARTIAL_ROW] >= 0
    exit_price = np.where(partial, share * values[:, kernel.TARGET_PRICE] + (1.0 - share) * exit_price, exit_price)
    entry_price = _entry_observed(market, orders, trades)
    return pl.DataFrame(
        {
            "strategy": pl.repeat(strategy, n, dtype=pl.String, eager=True),
            "symbol": pl.Series(np.array(orders.symbols, dtype=object)[orders.codes[order]].tolist(), dtype=pl.String),
            "decision_time": _times(orders.decision_ms[order]),
            "entry_time": _times(market.known_ms[rows[:, kernel.ENTRY_ROW]]),
            "exit_time": _times(market.known_ms[rows[:, kernel.EXIT_ROW]]),
            "side": pl.Series(np.where(orders.side[order] > 0, "long", "short").tolist(), dtype=pl.String),
            "entry_price": values[:, kernel.ENTRY_PAID],
            "exit_price": exit_price,
            "quantity": notional_usd / entry_price,
            "gross_return": values[:, kernel.GROSS],
            "fees": values[:, kernel.FEES],
            "slippage": values[:, kernel.SLIPPAGE],
            "funding": pl.Series(np.where(funding_known, values[:, kernel.FUNDING], np.nan)).fill_nan(None),
            "limit_overshoot": values[:, kernel.OVERSHOOT],
            "net_return": values[:, kernel.NET],
            "exit_reason": pl.Series([EXIT_REASONS[code] for code in rows[:, kernel.EXIT_REASON]], dtype=pl.String),
            "fold": np.full(n, fold, np.int64),
            "trade": np.arange(n, dtype=np.int64),
            "parameters": pl.repeat(parameters, n, dtype=pl.String, eager=True),
            "entry_reason": pl.Series(
                np.where(np.isnan(orders.limit_price[order]), "market", "limit").tolist(), dtype=pl.String
            ),
            "notional_usd": notional_usd,
            "gross_return_optimistic": values[:, kernel.OPTIMISTIC],
            "funding_known": funding_known,
        },
        schema=TRADES.dtypes,
    )


def _entry_observed(market: kernel.Market, orders: Orders, trades: Trades) -> Floats:
    limit = orders.limit_price[trades.order]
    return np.where(np.isnan(limit), market.price[trades.rows[:, kernel.ENTRY_ROW]], limit)


def _times(milliseconds: Integers) -> pl.Series:
    return pl.Series(milliseconds, dtype=pl.Int64).cast(TIME)


def _notes(orders: Orders, trades: Trades, config: ExecutionConfig) -> tuple[str, ...]:
    """What a reader must know beside the numbers."""
    notes = []
    if not len(orders):
        notes.append("there was no order")
    unknown = trades.rows[:, kernel.UNKNOWN_FUNDING]
    if unknown.any():
        notes.append(
            f"{np.count_nonzero(unknown):,} of {unknown.size:,} trades were open at {unknown.sum():,} moments of "
            "funding whose rate was not recorded: their funding is unknown, and their net result is before it"
        )
    if not config.funding.charge:
        notes.append("funding is not charged")
    ends = int(np.count_nonzero(trades.rows[:, kernel.EXIT_REASON] == EXIT_REASONS.index("end of data")))
    if ends:
        notes.append(f"{_count(ends)} still open at the end of the prices and closed at the last one")
    gaps = int(np.count_nonzero(trades.rows[:, kernel.EXIT_REASON] == EXIT_REASONS.index("gap")))
    if gaps:
        notes.append(f"{_count(gaps)} open during a gap of the prices and closed at the first price after it")
    both = int(np.count_nonzero(trades.values[:, kernel.OPTIMISTIC] != trades.values[:, kernel.GROSS]))
    if both:
        notes.append(
            f"{both:,} stops had their target within reach of the same observation; gross_return_optimistic bounds them"
        )
    return tuple(notes)


def _count(n: int) -> str:
    return "1 trade was" if n == 1 else f"{n:,} trades were"
