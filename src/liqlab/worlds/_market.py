"""The market day by day: undisturbed paths and arrivals in, forced orders and the state of every symbol out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from liqlab.core.time import MS_PER_DAY
from liqlab.worlds import _engine as engine
from liqlab.worlds._dials import SymbolDials, World
from liqlab.worlds._named import check_symbols
from liqlab.worlds._noise import (
    STEP_MS,
    STEPS_PER_DAY,
    STEPS_PER_MINUTE,
    DayNodes,
    Floats,
    Integers,
    draw_free_paths,
    walk_days,
)
from liqlab.worlds._setup import grow_pool, make_book, make_entries, make_fills, make_pool, make_record, make_rules
from liqlab.worlds._state import Book, Fills, Pool, Record
from liqlab.worlds._traders import TRAILING_MINUTES, Arrivals, count_history_days, draw_arrivals, draw_history

#: Steps from one state of the five-second ticker to the next.
REST_STEPS = 50

_SECONDS_PER_DAY = 86_400


@dataclass(frozen=True)
class LiquidationArrays:
    """Forced orders of one symbol, n of them by `event_ms`; `price` is the bankruptcy price, `quantity` base units.

    Truth beside them: `number` counts the symbol's liquidations from 0 over the whole simulation; `cause_symbol` is the
    place of the triggering liquidation's symbol in `MarketDay.names` and `cause` its number there, both -1 for an
    exogenous one; `market_price` is the price just before, `impact_bps` the signed move that the order caused at once,
    `closing` whether its counterparty closed a position, so that open interest fell.
    """

    event_ms: Integers
    is_long: NDArray[np.bool_]
    quantity: Floats
    price: Floats
    number: Integers
    cause_symbol: Integers
    cause: Integers
    market_price: Floats
    impact_bps: Floats
    closing: NDArray[np.bool_]

    def take(self, rows: slice | NDArray[np.bool_] | Integers) -> LiquidationArrays:
        """The orders of `rows`."""
        return LiquidationArrays(*(getattr(self, part.name)[rows] for part in fields(self)))


@dataclass(frozen=True)
class SymbolDay:
    """One symbol's day as it happened.

    Recorded states, arrays of n, are those at `every`-th steps of 100 ms from midnight on: `free_log_price`, the path
    without any liquidation's impact, log price, log mark price, the transient part of the log price, the log price and
    side of the last trade, open interest in base units (counted once). `last_open_interest` is that at the end of the
    day, `counted_open_interest` the same counted position by position. `long_accounts` and `short_accounts` stand for
    the start of each hour, (24,). `volume_before` is the base units traded in each minute of the day before, (1440,).
    """

    symbol: str
    dials: SymbolDials
    nodes: DayNodes
    every: int
    liquidations: LiquidationArrays
    free_log_price: Floats
    log_price: Floats
    log_mark: Floats
    transient: Floats
    last_log_price: Floats
    last_hit_bid: NDArray[np.bool_]
    open_interest: Floats
    last_open_interest: float
    counted_open_interest: float
    long_accounts: Floats
    short_accounts: Floats
    volume_before: Floats

    @property
    def time_ms(self) -> Integers:
        """The moment of each recorded state."""
        steps = np.arange(0, STEPS_PER_DAY, self.every, dtype=np.int64)
        return self.nodes.day * MS_PER_DAY + steps * STEP_MS


@dataclass(frozen=True)
class MarketDay:
    """All symbols' day, in the order of `names`, which is alphabetical."""

    day: int
    names: tuple[str, ...]
    symbols: tuple[SymbolDay, ...]

    def of(self, symbol: str) -> SymbolDay:
        """The day of one symbol."""
        return self.symbols[self.names.index(symbol)]


def iterate_market(
    world: World, symbols: Sequence[str], seed: int, start_ms: int, end_ms: int, *, every: int = REST_STEPS
) -> Iterator[MarketDay]:
    """The market of `world` over the UTC days that [start_ms, end_ms) touches, each whole, one after the other.

    The market begins at the midnight before `start_ms`; what was there before is drawn by the minute. A longer span
    begins with exactly the days of a shorter one. `every` says which steps of 100 ms are recorded, and changes nothing
    else. Memory does not grow with the span. All symbols move together, so a symbol's day depends on which others are
    simulated only where contagion is on.
    """
    names = tuple(sorted(check_symbols(symbols)))
    first, last = start_ms // MS_PER_DAY, (end_ms - 1) // MS_PER_DAY
    market = _Market(world, names, seed, first)
    for day in range(first, last + 1):
        yield market.play(day, every)


@dataclass
class _Market:
    world: World
    names: tuple[str, ...]
    seed: int
    first_day: int
    pool: Pool = field(init=False)
    book: Book = field(init=False)

    def __post_init__(self) -> None:
        self.dials = [self.world.dials_of(name) for name in self.names]
        history_days = count_history_days(self.world)
        self.walk = walk_days(self.world, self.names, self.seed, self.first_day - history_days)
        past = list(zip(*islice(self.walk, history_days), strict=True))
        self.volume_before = [days[-1].volume for days in past]
        self.free_end = np.array([np.log(dials.start_price) for dials in self.dials])
        histories = [
            draw_history(self.world, name, self.seed, days) for name, days in zip(self.names, past, strict=True)
        ]
        self.closes = [history.closes for history in histories]
        self.pool = make_pool(0)
        self.book = make_book(self.free_end)
        self.rules = make_rules(self.world, self.dials, self.names, self.seed)
        entries = make_entries([history.positions for history in histories])
        self._make_room(len(entries.step))
        second = self.first_day * _SECONDS_PER_DAY
        entry = np.concatenate([history.entry for history in histories])
        engine.open_all(self.pool, self.book, self.rules, entries, entry, second)

    def play(self, day: int, every: int) -> MarketDay:
        nodes = next(self.walk)
        hours_before = (day - self.first_day) * 24.0
        free = draw_free_paths(self.world, self.names, self.seed, nodes, self.free_end, hours_before)
        arrivals = [self._draw_arrivals(place, nodes[place].day, free[place]) for place in range(len(self.names))]
        entries = make_entries(arrivals)
        n_open = self._make_room(len(entries.step))
        fills = make_fills((n_open + len(entries.step)) * engine.MAX_PARTS)
        record = make_record(len(self.names), -(-STEPS_PER_DAY // every))
        depth = np.array([one.depth_usd for one in nodes])
        numbered = self.book.n_liquidations.copy()
        batch = np.empty(len(self.pool.side), np.int64)
        engine.run_day(day, every, free, depth, self.pool, self.book, self.rules, entries, fills, record, batch)
        self.free_end = free[:, -1].copy()
        volumes, self.volume_before = self.volume_before, [one.volume for one in nodes]
        days = [
            self._symbol_day(place, nodes[place], every, free, fills, record, numbered, volumes[place])
            for place in range(len(self.names))
        ]
        return MarketDay(day, self.names, tuple(days))

    def _draw_arrivals(self, place: int, day: int, free: Floats) -> Arrivals:
        """The closes before and of the day, up to the start of its last minute, tell who comes."""
        now = np.concatenate([self.free_end[place : place + 1], free[STEPS_PER_MINUTE - 1 :: STEPS_PER_MINUTE]])
        closes = np.concatenate([self.closes[place], now[:-1]])
        self.closes[place] = now[-1 - TRAILING_MINUTES : -1]
        return draw_arrivals(self.world, self.names[place], self.seed, day, closes)

    def _make_room(self, n_more: int) -> int:
        """Slots for `n_more` positions; how many are taken."""
        n_open = int((self.pool.lots > 0).sum())
        if n_open + n_more > len(self.pool.lots):
            self.pool = grow_pool(self.pool, n_open + n_more + n_more // 4)
        return n_open

    def _symbol_day(
        self,
        place: int,
        nodes: DayNodes,
        every: int,
        free: Floats,
        fills: Fills,
        record: Record,
        numbered: Integers,
        volume_before: Floats,
    ) -> SymbolDay:
        dials, states = self.dials[place], record.states[place]
        return SymbolDay(
            self.names[place],
            dials,
            nodes,
            every,
            _select_fills(fills, place, dials, int(numbered[place])),
            free[place, ::every].copy(),
            states[engine.LOG_PRICE],
            states[engine.MARK],
            states[engine.TRANSIENT],
            states[engine.LAST],
            states[engine.HIT_BID] > 0.5,
            dials.open_interest + record.lots_open[place] * dials.quantity_step,
            dials.open_interest + int(self.book.lots_open[place]) * dials.quantity_step,
            dials.open_interest + engine.count_open(self.pool, self.book, place) * dials.quantity_step,
            record.accounts[place, :, engine.LONG_SIDE] + dials.holders * dials.holders_long_frac,
            record.accounts[place, :, engine.SHORT_SIDE] + dials.holders * (1.0 - dials.holders_long_frac),
            volume_before,
        )


def _select_fills(fills: Fills, place: int, dials: SymbolDials, first_number: int) -> LiquidationArrays:
    """One symbol's forced orders by event time. Orders are numbered as executed, which is by time in each step."""
    rows = np.flatnonzero(fills.symbol[: fills.count[0]] == place)
    ticks = np.maximum(np.rint(fills.bankruptcy[rows] / dials.price_tick), 1.0)
    return LiquidationArrays(
        fills.event_ms[rows],
        fills.side[rows] == engine.LONG_SIDE,
        np.round(fills.lots[rows] * dials.quantity_step, dials.quantity_decimals),
        np.round(ticks * dials.price_tick, dials.price_decimals),
        first_number + np.arange(len(rows), dtype=np.int64),
        fills.cause_symbol[rows].astype(np.int64),
        fills.cause[rows],
        np.exp(fills.market[rows]),
        1e4 * fills.impact[rows],
        fills.closing[rows],
    )
