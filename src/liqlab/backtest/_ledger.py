"""What a backtest leaves behind: its trades, every fill, what was skipped and why; declared like `core.schema`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from liqlab.core.schema import COUNT, FLOAT, SYMBOL, TIME, Column, Table

TARGET, STOP, TRAILING_STOP, TIMEOUT, SIGNAL, SIGNAL_STOP, GAP, END_OF_DATA = range(8)
#: Why a position was closed, by code.
EXIT_REASONS = ("target", "stop", "trailing stop", "timeout", "signal", "signal stop", "gap", "end of data")

#: Why an order made no trade, by code; the first is none.
SKIP_REASONS = (
    "",
    "no prices of the symbol",
    "no size",
    "symbol occupied",
    "cooldown",
    "position limit",
    "gross limit",
    "no price",
    "exit signal before the fill",
    "limit not reached",
    "gap before the fill",
    "end of data before the fill",
)

_STRATEGY = Column("strategy", pl.String(), "", "the strategy")
_TRADE = Column("trade", COUNT, "", "number of the trade in its ledger, from 0, in order of decision")

TRADES = Table(
    "trades",
    "one position from its entry to its last exit; returns are fractions of the entry notional at observed prices",
    (
        _STRATEGY,
        Column("symbol", SYMBOL, "", "instrument, as the exchange writes it"),
        Column("decision_time", TIME, "ms UTC", "when the strategy decided"),
        Column("entry_time", TIME, "ms UTC", "known time of the observation that filled the entry"),
        Column("exit_time", TIME, "ms UTC", "known time of the observation that filled the last exit"),
        Column("side", pl.String(), "", "`long` or `short`"),
        Column("entry_price", FLOAT, "USD", "paid, slippage included"),
        Column("exit_price", FLOAT, "USD", "received, slippage included; mean over partial exits"),
        Column("quantity", FLOAT, "base units", "size of the position"),
        Column("gross_return", FLOAT, "fraction", "by observed prices, a filled limit at its own price"),
        Column("fees", FLOAT, "fraction", "maker and taker fees"),
        Column("slippage", FLOAT, "fraction", "half spread and impact; >= 0"),
        Column("funding", FLOAT, "fraction", "funding paid (+) or received (-); null when a rate is unknown"),
        Column(
            "limit_overshoot",
            FLOAT,
            "fraction",
            "how far prices lay beyond the limits that they filled, and for stops from the worst of their span: "
            "net_return + fees + slippage + funding + limit_overshoot has mean zero on a martingale",
        ),
        Column("net_return", FLOAT, "fraction", "gross_return - fees - slippage - funding (of known rates)"),
        Column("exit_reason", pl.String(), "", " | ".join(f"`{reason}`" for reason in EXIT_REASONS)),
        Column("fold", COUNT, "", "number of the fold, -1 for none"),
        Column("trade", COUNT, "", _TRADE.meaning),
        Column("parameters", pl.String(), "", "what was changed from the default; empty for none"),
        Column("entry_reason", pl.String(), "", "`market` or `limit`"),
        Column("notional_usd", FLOAT, "USD", "quantity x observed entry price"),
        Column(
            "gross_return_optimistic",
            FLOAT,
            "fraction",
            "gross_return had the target been taken wherever one observation could hit both target and stop",
        ),
        Column("funding_known", pl.Boolean(), "", "the rate was known at every funding moment of the trade"),
    ),
)

FILLS = Table(
    "fills",
    "one change of cash: a fill of an order, or a funding payment",
    (
        _TRADE,
        Column("symbol", SYMBOL, "", "instrument, as the exchange writes it"),
        Column("time", TIME, "ms UTC", "known time of the observation, or the moment of funding"),
        Column("side", pl.String(), "", "`buy` or `sell`; empty for funding"),
        Column("price", FLOAT, "USD", "paid or received, slippage included; the price known, for funding"),
        Column("observed_price", FLOAT, "USD", "before slippage; the limit for a filled limit order"),
        Column("quantity", FLOAT, "base units", "size; 0 for funding"),
        Column("fee_usd", FLOAT, "USD", "fee"),
        Column("slippage_usd", FLOAT, "USD", "slippage, >= 0"),
        Column("kind", pl.String(), "", "`entry`, `funding`, or the reason of the exit"),
        Column("maker", pl.Boolean(), "", "a resting order was filled"),
        Column("cash_usd", FLOAT, "USD", "change of cash, fee included"),
    ),
)

EQUITY = Table(
    "equity",
    "the value of a strategy's account: at every hour, fill and the end of the span",
    (
        _STRATEGY,
        Column("time", TIME, "ms UTC", "at this moment, after its fills"),
        Column("equity", FLOAT, "USD", "capital + cash + positions at the last price known"),
        Column("drawdown", FLOAT, "fraction", "equity against its highest value so far; <= 0"),
        Column("cash_usd", FLOAT, "USD", "change of cash since the start"),
        Column("position_usd", FLOAT, "USD", "open positions at the last price known, short ones negative"),
    ),
)


@dataclass(frozen=True)
class Ledger:
    """The result of one backtest.

    `trades` is the table TRADES in order of decision, `fills` the table FILLS in order of time. `skipped` counts
    orders without a trade by reason; with the trades they add up to `n_orders`. `notes` say what to mind.
    `not_testable` says why nothing could be decided; it is empty otherwise.
    """

    strategy: str
    trades: pl.DataFrame
    fills: pl.DataFrame
    skipped: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    n_orders: int = 0
    not_testable: str = ""
    parameters: str = ""


def empty_ledger(
    strategy: str, parameters: str = "", n_orders: int = 0, not_testable: str = "", notes: tuple[str, ...] = ()
) -> Ledger:
    """A ledger without trades, and why."""
    return Ledger(strategy, TRADES.empty(), FILLS.empty(), {}, notes, n_orders, not_testable, parameters)
