"""The market day by day: undisturbed paths and arrivals in, forced orders and the state of every symbol out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from liqlab.core.time import MS_PER_DAY
from liqlab.worlds import _engine as engine
from liqlab.worlds._dials import SpillDials, SymbolDials, World
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
from liqlab.worlds._random import named_generator
from liqlab.worlds._traders import TRAILING_MINUTES, Arrivals, count_history_days, draw_arrivals, draw_history

#: Steps from one state of the five-second ticker to the next.
REST_STEPS = 50

_HOURS = 24
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

    Recorded states, arrays of n, are those at `every`-th steps of 100 ms from midnight on: log price, log mark price,
    the transient part of the log price, the log price and side of the last trade, open interest in base units (counted
    once), and `free_log_price`: the path without any liquidation's impact. `long_accounts` and `short_accounts` stand
    for the start of each hour, (24,). `volume_before` is the base units traded in each minute of the day before,
    (1440,).
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


def sum_of_positions(market_pool: engine.Pool, book: engine.Book, symbol: int) -> int:
    """Open lots of a symbol counted one by one: every position and every taken-over contract."""
    is_open = market_pool.lots > 0
    mine = market_pool.symbol == symbol
    return int(market_pool.lots[is_open & mine].sum() + book.opener_ends[symbol].sum())


@dataclass
class _Market:
    world: World
    names: tuple[str, ...]
    seed: int
    first_day: int
    pool: engine.Pool = field(init=False)
    book: engine.Book = field(init=False)

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
        self.pool = _make_pool(0)
        self.book = _make_book(self.free_end)
        self.rules = _make_rules(self.world, self.dials, self.names, self.seed)
        entries = _make_entries([history.positions for history in histories])
        self._make_room(len(entries.step))
        second = self.first_day * _SECONDS_PER_DAY
        for place, history in enumerate(histories):
            for row, entry in enumerate(history.entry.tolist(), entries.first[place]):
                engine.open_position(self.pool, self.book, self.rules, entries, row, place, entry, second)

    def play(self, day: int, every: int) -> MarketDay:
        nodes = next(self.walk)
        hours_before = (day - self.first_day) * 24.0
        free = draw_free_paths(self.world, self.names, self.seed, nodes, self.free_end, hours_before)
        arrivals = [self._draw_arrivals(place, nodes[place].day, free[place]) for place in range(len(self.names))]
        entries = _make_entries(arrivals)
        n_open = self._make_room(len(entries.step))
        fills = _make_fills((n_open + len(entries.step)) * engine.MAX_PARTS)
        record = _make_record(len(self.names), -(-STEPS_PER_DAY // every))
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
            self.pool = _grow(self.pool, n_open + n_more + n_more // 4)
        return n_open

    def _symbol_day(
        self,
        place: int,
        nodes: DayNodes,
        every: int,
        free: Floats,
        fills: engine.Fills,
        record: engine.Record,
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
            states[:, engine.LOG_PRICE].copy(),
            states[:, engine.MARK].copy(),
            states[:, engine.TRANSIENT].copy(),
            states[:, engine.LAST].copy(),
            states[:, engine.HIT_BID] > 0.5,
            dials.open_interest + record.lots_open[place] * dials.quantity_step,
            record.accounts[place, :, engine.LONG_SIDE] + dials.holders * dials.holders_long_frac,
            record.accounts[place, :, engine.SHORT_SIDE] + dials.holders * (1.0 - dials.holders_long_frac),
            volume_before,
        )


def _select_fills(fills: engine.Fills, place: int, dials: SymbolDials, first_number: int) -> LiquidationArrays:
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


def _make_pool(n: int) -> engine.Pool:
    whole = ("lots", "end_second", "event_ms", "cause")
    flags = ("forced",)
    numbers = ("level", "bankruptcy")
    small = ("symbol", "side", "parts_left", "cause_symbol")
    columns: dict[str, NDArray[np.generic]] = {name: np.zeros(n, np.int64) for name in whole}
    columns |= {name: np.zeros(n, np.bool_) for name in flags}
    columns |= {name: np.full(n, np.nan) for name in numbers}
    columns |= {name: np.zeros(n, np.int16) for name in small}
    columns |= {name: np.full(n, engine.NONE, np.int32) for name in ("before", "end_after", "end_before")}
    columns["key"] = np.zeros(n, np.uint64)
    columns["after"] = np.append(np.arange(1, n), [engine.NONE] * min(n, 1)).astype(np.int32)
    columns["free"] = np.array([0 if n else engine.NONE], np.int32)
    return engine.Pool(**columns)


def _grow(pool: engine.Pool, n: int) -> engine.Pool:
    """The same positions in a pool of `n` slots, the new ones free."""
    old = len(pool.lots)
    grown = _make_pool(n)
    for name in engine.Pool._fields:
        if name != "free":
            getattr(grown, name)[:old] = getattr(pool, name)
    grown.free[0] = pool.free[0]
    last_free = engine.NONE
    slot = int(pool.free[0])
    while slot != engine.NONE:
        last_free, slot = slot, int(pool.after[slot])
    if last_free == engine.NONE:
        grown.free[0] = old
    else:
        grown.after[last_free] = old
    return grown


def _make_book(log_price: Floats) -> engine.Book:
    n = len(log_price)
    state = np.zeros((n, engine.N_STATES))
    for column in (engine.LOG_PRICE, engine.MARK, engine.FREE, engine.LAST):
        state[:, column] = log_price
    counts = {name: np.zeros(n, np.int64) for name in ("n_waiting", "lots_open", "n_liquidations", "next_entry")}
    spilling, remembered = (n, engine.N_SPILL_STEPS), (n, engine.N_REMEMBERED)
    return engine.Book(
        state=state,
        nearest=np.tile([-np.inf, np.inf], (n, 1)),
        cells=np.full((n, 2, engine.N_CELLS), engine.NONE, np.int32),
        cell_usd=np.zeros((n, 2, engine.N_CELLS)),
        ends=np.full((n, engine.N_SECONDS), engine.NONE, np.int32),
        opener_ends=np.zeros((n, engine.N_SECONDS), np.int64),
        due=np.full((n, engine.N_DUE_STEPS), engine.NONE, np.int32),
        accounts=np.zeros((n, 2), np.int64),
        spill=np.zeros(spilling),
        spill_largest=np.zeros(spilling),
        spill_cause_symbol=np.full(spilling, engine.NONE, np.int64),
        spill_cause=np.full(spilling, engine.NONE, np.int64),
        memory=np.zeros((*remembered, 3)),
        memory_step=np.zeros(remembered, np.int64),
        memory_symbol=np.zeros(remembered, np.int64),
        memory_cause=np.zeros(remembered, np.int64),
        memory_count=np.zeros(n, np.int64),
        **counts,
    )


def _decay(half_life_s: float) -> float:
    """What is left after one step."""
    return float(0.5 ** (STEP_MS / 1e3 / half_life_s)) if half_life_s > 0 else 0.0


def _turn(spill: SpillDials) -> int:
    """Seconds after which symbols take turns: no longer than the shortest lag of contagion."""
    if spill.contagion_frac == 0.0:
        return engine.LONGEST_TURN_S
    return next(turn for turn in (10, 5, 2, 1) if turn <= 0.5 * spill.contagion_lag_s)


def _compute_response(rates: tuple[float, ...], n: int) -> Floats:
    """How far an impact of one moves the mark price 0 to n - 1 steps after it first counts: (n, 3).

    With a = 1 - weight of the newest price, after k steps an impact that stays moves it by 1 - a^k, one that decays by
    d per step by (1 - a) (d^k - a^k) / (d - a); of the followers a share 1 - f^k has come (the mark's lag left out).
    """
    decay, follow_decay, _, weight = rates
    steps = np.arange(1, n + 1)
    mark_left = (1.0 - weight) ** steps
    gap = decay - (1.0 - weight)
    passing = steps * decay ** (steps - 1) if abs(gap) < 1e-12 else (decay**steps - mark_left) / gap
    return np.column_stack([1.0 - mark_left, weight * passing, 1.0 - follow_decay**steps])


def _make_rules(world: World, dials: Sequence[SymbolDials], names: Sequence[str], seed: int) -> engine.Rules:
    book, traders, spill = world.book, world.traders, world.spill
    steps_per_minute, cell_bps = STEPS_PER_MINUTE, engine.CELL * 1e4
    window_steps = round(spill.attribution_window_s * 1e3 / STEP_MS)
    half_lives_s = (book.transient_half_life_s, book.follow_half_life_s, book.feedback_half_life_s)
    rates = (*(_decay(half_life_s) for half_life_s in half_lives_s), 1.0 - _decay(book.mark_half_life_s))
    return engine.Rules(
        impact=book.impact_bps / 1e4,
        exponent=book.impact_exponent,
        transient_frac=book.transient_frac,
        follow_frac=book.follow_frac,
        feedback=book.volatility_feedback,
        rates=rates,
        response=_compute_response(rates, window_steps),
        turn_s=_turn(spill),
        latency_median_ms=traders.latency_median_ms,
        latency_log_sd=traders.latency_log_sd,
        partial_gap_ms=traders.partial_gap_mean_ms,
        closing_frac=traders.counterparty_closing_frac,
        opener_life_s=traders.opener_holding_mean_h * 3_600.0,
        contagion_frac=spill.contagion_frac,
        contagion_lag_steps=spill.contagion_lag_s * 1e3 / STEP_MS,
        attraction=spill.attraction_bps_per_min / 1e4 / steps_per_minute,
        attraction_cells=max(round(spill.attraction_range_bps / cell_bps), 1),
        window_steps=window_steps,
        horizon_steps=round(spill.attribution_horizon_s * 1e3 / STEP_MS) + 1,
        lot=np.array([one.quantity_step for one in dials]),
        maintenance=np.array([one.maintenance_margin_frac for one in dials]),
        partial_usd=np.array([one.partial_order_usd for one in dials]),
        spill_out=np.array([one.contagion_out_frac for one in dials]),
        spill_in=np.array([one.contagion_in_frac for one in dials]),
        volatility=np.array([one.annual_volatility_frac for one in dials]),
        trade_key=np.array([_trade_key(seed, name) for name in names]),
    )


def _trade_key(seed: int, name: str) -> np.uint64:
    return named_generator(seed, name, "trades").integers(0, 2**63, dtype=np.uint64)


def _make_entries(arrivals: Sequence[Arrivals]) -> engine.Entries:
    def join(name: str) -> NDArray[np.generic]:
        return np.concatenate([getattr(part, name) for part in arrivals])

    side = np.where(join("is_long"), engine.LONG_SIDE, engine.SHORT_SIDE).astype(np.int16)
    first = np.cumsum([0, *(len(part.step) for part in arrivals)])
    return engine.Entries(
        first,
        join("step"),
        side,
        join("notional_usd"),
        join("distance_frac"),
        join("life_s"),
        join("forced"),
        join("key"),
    )


def _make_fills(n: int) -> engine.Fills:
    whole = {name: np.empty(n, np.int64) for name in ("event_ms", "lots", "cause")}
    small = {name: np.empty(n, np.int16) for name in ("symbol", "side", "cause_symbol")}
    numbers = {name: np.empty(n) for name in ("bankruptcy", "market", "impact")}
    return engine.Fills(**whole, **small, **numbers, closing=np.empty(n, np.bool_), count=np.zeros(1, np.int64))


def _make_record(n_symbols: int, n: int) -> engine.Record:
    return engine.Record(
        np.empty((n_symbols, n, engine.N_RECORDED)),
        np.empty((n_symbols, n), np.int64),
        np.zeros((n_symbols, _HOURS, 2), np.int64),
    )
