"""Empty state for the kernel, and the dials as numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from liqlab.worlds import _engine as engine
from liqlab.worlds._dials import SpillDials, SymbolDials, World
from liqlab.worlds._noise import STEP_MS, STEPS_PER_MINUTE, Floats
from liqlab.worlds._random import named_generator
from liqlab.worlds._state import Book, Entries, Fills, Pool, Record, Rules
from liqlab.worlds._traders import Arrivals

_HOURS = 24


def make_pool(n: int) -> Pool:
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
    return Pool(**columns)


def grow_pool(pool: Pool, n: int) -> Pool:
    """The same positions in a pool of `n` slots, the new ones free."""
    old = len(pool.lots)
    grown = make_pool(n)
    for name in Pool._fields:
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


def make_book(log_price: Floats) -> Book:
    n = len(log_price)
    state = np.zeros((n, engine.N_STATES))
    for column in (engine.LOG_PRICE, engine.MARK, engine.FREE, engine.LAST):
        state[:, column] = log_price
    counts = {name: np.zeros(n, np.int64) for name in ("n_waiting", "lots_open", "n_liquidations", "next_entry")}
    spilling, remembered = (n, engine.N_SPILL_STEPS), (n, engine.N_REMEMBERED)
    return Book(
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


def make_rules(world: World, dials: Sequence[SymbolDials], names: Sequence[str], seed: int) -> Rules:
    book, traders, spill = world.book, world.traders, world.spill
    steps_per_minute, cell_bps = STEPS_PER_MINUTE, engine.CELL * 1e4
    window_steps = round(spill.attribution_window_s * 1e3 / STEP_MS)
    half_lives_s = (book.transient_half_life_s, book.follow_half_life_s, book.feedback_half_life_s)
    rates = (*(_decay(half_life_s) for half_life_s in half_lives_s), 1.0 - _decay(book.mark_half_life_s))
    return Rules(
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


def make_entries(arrivals: Sequence[Arrivals]) -> Entries:
    def join(name: str) -> NDArray[np.generic]:
        return np.concatenate([getattr(part, name) for part in arrivals])

    side = np.where(join("is_long"), engine.LONG_SIDE, engine.SHORT_SIDE).astype(np.int16)
    first = np.cumsum([0, *(len(part.step) for part in arrivals)])
    return Entries(
        first,
        join("step"),
        side,
        join("notional_usd"),
        join("distance_frac"),
        join("life_s"),
        join("forced"),
        join("key"),
    )


def make_fills(n: int) -> Fills:
    whole = {name: np.empty(n, np.int64) for name in ("event_ms", "lots", "cause")}
    small = {name: np.empty(n, np.int16) for name in ("symbol", "side", "cause_symbol")}
    numbers = {name: np.empty(n) for name in ("bankruptcy", "market", "impact")}
    return Fills(**whole, **small, **numbers, closing=np.empty(n, np.bool_), count=np.zeros(1, np.int64))


def make_record(n_symbols: int, n: int) -> Record:
    return Record(
        np.empty((n_symbols, engine.N_RECORDED, n)),
        np.empty((n_symbols, n), np.int64),
        np.zeros((n_symbols, _HOURS, 2), np.int64),
    )
