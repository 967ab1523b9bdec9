"""Every change of cash behind the trades: entries, partial exits, last exits, funding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.backtest import _kernel as kernel
from liqlab.backtest._ledger import EXIT_REASONS, FILLS, TARGET
from liqlab.backtest._orders import Orders
from liqlab.core.schema import TIME

if TYPE_CHECKING:
    from liqlab.backtest._engine import Trades

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

#: Of changes at the same moment funding comes first, then a trade's own order.
_FUNDING, _ENTRY, _PARTIAL, _LAST = range(4)


def make_fills(
    market: kernel.Market, orders: Orders, trades: Trades, notional_usd: Floats, rules: kernel.Rules
) -> pl.DataFrame:
    """The table `FILLS` of the trades, in order of time; their cash adds up to net_return x notional_usd."""
    rows, values = trades.rows, trades.values
    limit = orders.limit_price[trades.order]
    is_limit = ~np.isnan(limit)
    side = orders.side[trades.order]
    entry = np.where(is_limit, limit, market.price[rows[:, kernel.ENTRY_ROW]])
    quantity = notional_usd / entry
    partial = rows[:, kernel.PARTIAL_ROW] >= 0
    share = np.where(partial, values[:, kernel.TARGET_SHARE], 0.0)
    at_target = rows[:, kernel.EXIT_REASON] == TARGET
    target = values[:, kernel.TARGET_PRICE]
    names = np.array(EXIT_REASONS, dtype=object)
    every = np.ones(entry.shape, dtype=np.bool_)
    make = _Maker(market, orders, trades, rules)
    frames = [
        make.fills(every, _ENTRY, kernel.ENTRY_ROW, side, quantity, entry, values[:, kernel.ENTRY_PAID], is_limit),
        make.fills(partial, _PARTIAL, kernel.PARTIAL_ROW, -side, quantity * share, target, target, partial),
        make.fills(
            every,
            _LAST,
            kernel.EXIT_ROW,
            -side,
            quantity - quantity * share,
            values[:, kernel.EXIT_OBSERVED],
            values[:, kernel.EXIT_PAID],
            at_target,
            names[rows[:, kernel.EXIT_REASON]],
        ),
        make.funding(side, quantity, share),
    ]
    return pl.concat(frames).sort("time", "rank", "trade", maintain_order=True).select(FILLS.names)


class _Maker:
    """Frames of fills of one ledger."""

    def __init__(self, market: kernel.Market, orders: Orders, trades: Trades, rules: kernel.Rules) -> None:
        self.market, self.trades, self.rules = market, trades, rules
        self.codes = orders.codes[trades.order]
        self.symbols = np.array(orders.symbols, dtype=object)

    def fills(
        self,
        chosen: Booleans,
        rank: int,
        row: int,
        side: Floats,
        quantity: Floats,
        observed: Floats,
        paid: Floats,
        maker: Booleans,
        kinds: npt.NDArray[np.object_] | None = None,
    ) -> pl.DataFrame:
        """One fill of each chosen trade, at the price observed and the price paid."""
        trade = np.flatnonzero(chosen)
        fee_usd = np.where(maker, self.rules.maker, self.rules.taker) * quantity * paid
        kind = {_ENTRY: "entry", _PARTIAL: EXIT_REASONS[TARGET]}.get(rank, "")
        named = [kind] * trade.size if kinds is None else kinds[trade].tolist()
        return self._frame(
            trade,
            self.market.known_ms[self.trades.rows[trade, row]],
            np.where(side > 0, "buy", "sell")[trade].tolist(),
            paid[trade],
            observed[trade],
            quantity[trade],
            fee_usd[trade],
            (quantity * side * (paid - observed))[trade],
            named,
            maker[trade],
            (-side * quantity * paid - fee_usd)[trade],
            rank,
        )

    def funding(self, side: Floats, quantity: Floats, share: Floats) -> pl.DataFrame:
        """One payment of each trade at each moment of funding with a known rate after its entry, up to its exit."""
        market, rows = self.market, self.trades.rows
        entry_ms, exit_ms = market.known_ms[rows[:, kernel.ENTRY_ROW]], market.known_ms[rows[:, kernel.EXIT_ROW]]
        partial_ms = market.known_ms[np.maximum(rows[:, kernel.PARTIAL_ROW], 0)] if rows.size else entry_ms
        pairs = [np.empty((2, 0), np.int64)]
        for code in np.unique(self.codes) if self.rules.charge_funding else ():
            begin, end = market.funding_begin[code], market.funding_begin[code + 1]
            own = np.flatnonzero(self.codes == code)
            first = begin + np.searchsorted(market.funding_ms[begin:end], entry_ms[own], side="right")
            counts = begin + np.searchsorted(market.funding_ms[begin:end], exit_ms[own], side="right") - first
            within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            pairs.append(np.stack([np.repeat(own, counts), np.repeat(first, counts) + within]))
        trade, moment = np.concatenate(pairs, axis=1)
        known = ~np.isnan(market.funding_rate[moment])
        trade, moment = trade[known], moment[known]
        reduced = (share[trade] > 0) & (partial_ms[trade] < market.funding_ms[moment])
        held = np.where(reduced, quantity[trade] - quantity[trade] * share[trade], quantity[trade])
        price = market.funding_price[moment]
        nothing = np.zeros(trade.size)
        return self._frame(
            trade,
            market.funding_ms[moment],
            [""] * trade.size,
            price,
            price,
            nothing,
            nothing,
            nothing,
            ["funding"] * trade.size,
            np.zeros(trade.size, np.bool_),
            -side[trade] * held * price * market.funding_rate[moment],
            _FUNDING,
        )

    def _frame(
        self,
        trade: npt.NDArray[np.intp],
        time_ms: npt.NDArray[np.int64],
        side: list[str],
        price: Floats,
        observed: Floats,
        quantity: Floats,
        fee_usd: Floats,
        slippage_usd: Floats,
        kind: list[str],
        maker: Booleans,
        cash_usd: Floats,
        rank: int,
    ) -> pl.DataFrame:
        columns = {
            "trade": trade,
            "symbol": self.symbols[self.codes[trade]].tolist(),
            "time": pl.Series(time_ms, dtype=pl.Int64).cast(TIME),
            "side": side,
            "price": price,
            "observed_price": observed,
            "quantity": quantity,
            "fee_usd": fee_usd,
            "slippage_usd": slippage_usd,
            "kind": kind,
            "maker": maker,
            "cash_usd": cash_usd,
        }
        return pl.DataFrame(columns, schema=FILLS.dtypes).with_columns(rank=pl.lit(rank, pl.Int8))
