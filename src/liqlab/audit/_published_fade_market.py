"""The published cascade fade on a market: its signals as honest orders, its own fills as a ledger. For tests only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from liqlab.audit._published_fade import (
    FadeSignals,
    FadeTrade,
    MinuteBars,
    PublishedFadeParameters,
    find_fade_signals,
    make_minute_bars,
    place_signals,
    trade_as_published,
)
from liqlab.audit._published_fade_world import RandomWalkConfig, make_random_walk
from liqlab.audit._strategy_backtest import Backtest
from liqlab.backtest import (
    FILLS,
    TRADES,
    ExecutionConfig,
    Ledger,
    MarketInputs,
    Orders,
    PricePath,
    Strategy,
    SymbolInputs,
)
from liqlab.core.schema import LIQUIDATIONS, LONG, SHORT, TIME
from liqlab.core.time import MS_PER_MINUTE

WALK_SYMBOL = "RANDOMWALK"
_NOTIONAL_USD = 10_000.0


class PublishedFade:
    """The published signals as orders that know only what was known: a limit at the end of the bar that sets it."""

    name = "published_fade"
    description = "The published cascade fade, whose own fill rule earns on a random walk. For tests only"
    Parameters = PublishedFadeParameters
    default = PublishedFadeParameters()
    scaled = PublishedFadeParameters()

    def decide(self, inputs: MarketInputs, parameters: PublishedFadeParameters) -> Orders:
        """One limit order per cascade, decided at the right edge of the bar whose close sets its limit."""
        names, parts = list(inputs.symbols), []
        for code, name in enumerate(names):
            bars, signals = _find_signals(inputs.symbols[name], parameters)
            placed = place_signals(signals, parameters)
            decision_ms = bars.known_ms[placed.bar]
            parts.append((np.full(len(decision_ms), code), decision_ms, placed.side, placed.limit_price))
        codes, decision_ms, side, limit_price = (np.concatenate(column) for column in zip(*parts, strict=True))
        known = decision_ms <= inputs.end_ms
        life_ms = parameters.timeout_min * MS_PER_MINUTE
        return Orders.gather(
            names,
            codes[known],
            decision_ms[known],
            side[known],
            limit_price=limit_price[known],
            limit_life_ms=life_ms,
            target_frac=parameters.target_frac,
            target_share=parameters.target_share,
            trail_frac=parameters.trail_frac,
            timeout_ms=life_ms,
        )


def simulate_as_published(
    inputs: MarketInputs, strategy: Strategy, parameters: PublishedFadeParameters, _execution: ExecutionConfig
) -> Backtest:
    """The trades that the published fill rule books, stamped with the known times of its bars.

    Nothing but its own fees is charged, whatever the execution.
    """
    trades: list[dict[str, Any]] = []
    fills: list[dict[str, Any]] = []
    paths, n_signals = {}, 0
    for name, one in inputs.symbols.items():
        bars, signals = _find_signals(one, parameters)
        booked = trade_as_published(signals, bars, parameters)
        n_signals += len(signals.end_ms)
        paths[name] = _as_path(name, bars)
        first = len(trades)
        trades += [_trade_row(name, first + k, trade, signals, bars) for k, trade in enumerate(booked)]
        fills += [row for k, trade in enumerate(booked) for row in _fill_rows(name, first + k, trade, bars, parameters)]
    ledger = Ledger(strategy.name, _frame(trades, TRADES), _frame(fills, FILLS), n_orders=n_signals)
    return Backtest(ledger, paths)


def make_fade_market(seed: int, config: RandomWalkConfig | None = None) -> MarketInputs:
    """A random walk with random liquidations as the inputs of a strategy: nothing can be earned on it."""
    config = config or RandomWalkConfig()
    walk = make_random_walk(seed, config)
    price = walk.price[np.maximum(np.searchsorted(walk.known_ms, walk.liquidation_ms, side="right") - 1, 0)]
    n = len(walk.liquidation_ms)
    times = pl.Series(walk.liquidation_ms).cast(TIME)
    rows = pl.DataFrame(
        {
            "symbol": pl.repeat(WALK_SYMBOL, n, eager=True),
            "exchange": pl.repeat("random walk", n, eager=True),
            "event_time": times,
            "push_time": times,
            "known_time": times,
            "liquidated_side": np.where(walk.is_long, LONG, SHORT),
            "quantity": walk.notional_usd / price,
            "price": price,
            "notional_usd": walk.notional_usd,
            "source_file": pl.repeat("", n, eager=True),
            "source_line": np.arange(1, n + 1),
            "position": np.zeros(n, np.int64),
        }
    )
    liquidations = rows.select([pl.col(column.name).cast(column.dtype) for column in LIQUIDATIONS.columns])
    path = PricePath.from_ticks(WALK_SYMBOL, walk.known_ms, walk.price)
    end_ms = config.start_ms + round(config.days * 24 * 60) * MS_PER_MINUTE
    return MarketInputs.gather(liquidations, {WALK_SYMBOL: path}, config.start_ms, end_ms)


@dataclass(frozen=True)
class FadeMarkets:
    """`make_fade_market` of each seed, made when it is asked for and not kept."""

    seeds: range
    config: RandomWalkConfig = field(default_factory=RandomWalkConfig)

    def __len__(self) -> int:
        return len(self.seeds)

    def __iter__(self) -> Iterator[MarketInputs]:
        return (make_fade_market(seed, self.config) for seed in self.seeds)


def _find_signals(inputs: SymbolInputs, parameters: PublishedFadeParameters) -> tuple[MinuteBars, FadeSignals]:
    path = inputs.path
    bars = make_minute_bars(path.known_ms, path.price, path.low, path.high)
    return bars, find_fade_signals(inputs.known_ms, inputs.is_long, inputs.notional_usd, bars, parameters)


def _as_path(symbol: str, bars: MinuteBars) -> PricePath:
    return PricePath.from_ticks(symbol, bars.known_ms, bars.close, bars.low, bars.high, interval_ms=MS_PER_MINUTE)


def _trade_row(symbol: str, number: int, trade: FadeTrade, signals: FadeSignals, bars: MinuteBars) -> dict[str, Any]:
    known_ms = bars.known_ms
    return {
        "strategy": PublishedFade.name,
        "symbol": symbol,
        "decision_time": known_ms[signals.bar[trade.signal]],
        "entry_time": known_ms[trade.entry_bar],
        "exit_time": known_ms[trade.exit_bar],
        "side": LONG if trade.side > 0 else SHORT,
        "entry_price": trade.entry_price,
        "exit_price": trade.entry_price * (1.0 + trade.side * trade.gross_return),
        "quantity": _NOTIONAL_USD / trade.entry_price,
        "gross_return": trade.gross_return,
        "fees": trade.fees,
        "slippage": 0.0,
        "funding": 0.0,
        "limit_overshoot": 0.0,
        "net_return": trade.net_return,
        "exit_reason": trade.reason,
        "fold": -1,
        "trade": number,
        "parameters": "",
        "entry_reason": "limit",
        "notional_usd": _NOTIONAL_USD,
        "gross_return_optimistic": trade.gross_return,
        "funding_known": True,
    }


def _fill_rows(
    symbol: str, number: int, trade: FadeTrade, bars: MinuteBars, rule: PublishedFadeParameters
) -> list[dict[str, Any]]:
    share = rule.target_share if trade.target_bar >= 0 else 0.0
    quantity = _NOTIONAL_USD / trade.entry_price
    legs = [
        ("entry", trade.entry_bar, trade.entry_price, 1.0, trade.side, rule.maker_bps),
        ("target", trade.target_bar, trade.target_price, share, -trade.side, rule.maker_bps),
        (trade.reason, trade.exit_bar, trade.exit_price, 1.0 - share, -trade.side, _rest_bps(trade, rule)),
    ]
    return [
        {
            "trade": number,
            "symbol": symbol,
            "time": bars.known_ms[bar],
            "side": "buy" if side > 0 else "sell",
            "price": price,
            "observed_price": price,
            "quantity": part * quantity,
            "fee_usd": part * quantity * price * bps * 1e-4,
            "slippage_usd": 0.0,
            "kind": kind,
            "maker": kind != "timeout",
            "cash_usd": -side * part * quantity * price - part * quantity * price * bps * 1e-4,
        }
        for kind, bar, price, part, side, bps in legs
        if part > 0.0
    ]


def _rest_bps(trade: FadeTrade, rule: PublishedFadeParameters) -> float:
    return rule.taker_bps if trade.reason == "timeout" else rule.maker_bps


def _frame(rows: Sequence[dict[str, Any]], table: Any) -> pl.DataFrame:
    times = [column.name for column in table.columns if column.dtype == TIME]
    schema = {**table.dtypes, **dict.fromkeys(times, pl.Int64())}
    return pl.DataFrame(rows, schema=schema, strict=False).cast(table.dtypes)
