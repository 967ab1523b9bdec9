"""What a strategy must beat: holding, entering at random for as long, and its own entries on random sides."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.backtest._inputs import MarketInputs
from liqlab.backtest._orders import BUY, SELL, Orders
from liqlab.backtest._signals import Columns, gather_orders
from liqlab.core.schema import LONG
from liqlab.core.time import MS_PER_MINUTE, MS_PER_S

Integers = npt.NDArray[np.int64]

#: Between two random trades of a symbol: the usual delay, fill and cooldown after an exit.
DEFAULT_SPACING_MS = 5 * MS_PER_MINUTE + 30 * MS_PER_S


def buy_and_hold(inputs: MarketInputs) -> Orders:
    """One order per symbol with a price: bought at its first one, held to the end of the data."""
    firsts = {name: one.path.known_ms[:1] for name, one in inputs.symbols.items()}
    return gather_orders(inputs, {name: {"decision_ms": first, "side": BUY} for name, first in firsts.items()})


def random_entries(
    inputs: MarketInputs, trades: pl.DataFrame, seed: int, spacing_ms: int = DEFAULT_SPACING_MS
) -> Orders:
    """As many trades per symbol as there are in `trades`, each as long, on the same sides, at random moments.

    `trades` is a ledger's: needed are symbol, side, entry_time and exit_time. The trades of a symbol come in random
    order and do not overlap: the time that they and the `spacing_ms` between them leave free is split at uniform
    points. Where they leave none, they follow one another from the start. Holding times and sides stay together.
    """
    symbol = trades["symbol"].to_numpy()
    held_ms = (trades["exit_time"] - trades["entry_time"]).dt.total_milliseconds().to_numpy().astype(np.int64)
    side = np.where((trades["side"] == LONG).to_numpy(), BUY, SELL)
    parts = {}
    for code, (name, one) in enumerate(inputs.symbols.items()):
        # One stream per symbol: another symbol's trades must not move this one's.
        generator = np.random.default_rng([seed, code])
        own = generator.permutation(np.flatnonzero(symbol == name))
        times = one.path.known_ms
        start_ms, end_ms = (int(times[0]), int(times[-1])) if len(times) else (inputs.start_ms, inputs.start_ms)
        decision_ms = _place(held_ms[own], start_ms, end_ms, spacing_ms, generator)
        parts[name] = _timed(decision_ms, side[own], held_ms[own], inputs.end_ms)
    return gather_orders(inputs, parts)


def random_sides(orders: Orders, inputs: MarketInputs, seed: int) -> Orders:
    """The same orders on random sides; a limit or stop price is mirrored at the price known at the decision."""
    drawn = np.where(np.random.default_rng(seed).random(len(orders)) < 0.5, BUY, SELL)
    price = np.full(len(orders), np.nan)
    for code, name in enumerate(orders.symbols):
        own = orders.codes == code
        price[own] = inputs.symbols[name].price_at(orders.decision_ms[own])
    is_turned = drawn != orders.side
    mirrored = {
        name: np.where(is_turned, 2.0 * price - getattr(orders, name), getattr(orders, name))
        for name in ("limit_price", "stop_price")
    }
    return orders.with_values(side=drawn, **mirrored)


def _place(held_ms: Integers, start_ms: int, end_ms: int, spacing_ms: int, generator: np.random.Generator) -> Integers:
    """The start of each stay, in the order given, so that none overlap where there is room for all."""
    taken = held_ms + spacing_ms
    free_ms = max(0, end_ms - start_ms - int(taken.sum()))
    breaks = np.sort(generator.integers(0, free_ms + 1, len(held_ms)))
    return np.asarray(start_ms + breaks + np.cumsum(taken) - taken, dtype=np.int64)


def _timed(decision_ms: Integers, side: npt.NDArray[np.float64], held_ms: Integers, end_ms: int) -> Columns:
    fits = decision_ms <= end_ms
    return {"decision_ms": decision_ms[fits], "side": side[fits], "timeout_ms": np.maximum(held_ms[fits], 1)}
