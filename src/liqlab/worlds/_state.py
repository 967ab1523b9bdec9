"""What the kernel works on, as tuples of arrays; a name is all that it adds to an array."""

from __future__ import annotations

from typing import Any, NamedTuple


class Pool(NamedTuple):
    """Positions, one per slot; free slots are chained through `after`.

    `after` and `before` chain the slots of one price cell, or of one due step; `end_after` and `end_before` those that
    end in the same second. `level` is log price. `cause_symbol` and `cause` are the liquidation that triggered it.
    """

    symbol: Any
    side: Any
    lots: Any
    level: Any
    bankruptcy: Any
    end_second: Any
    forced: Any
    key: Any
    after: Any
    before: Any
    end_after: Any
    end_before: Any
    parts_left: Any
    event_ms: Any
    cause_symbol: Any
    cause: Any
    free: Any


class Book(NamedTuple):
    """The state of each symbol, first axis symbols. `state` has the columns from LOG_PRICE on."""

    state: Any
    nearest: Any
    cells: Any
    cell_usd: Any
    ends: Any
    opener_ends: Any
    due: Any
    n_waiting: Any
    lots_open: Any
    accounts: Any
    n_liquidations: Any
    next_entry: Any
    spill: Any
    spill_largest: Any
    spill_cause_symbol: Any
    spill_cause: Any
    memory: Any
    memory_step: Any
    memory_symbol: Any
    memory_cause: Any
    memory_count: Any


class Rules(NamedTuple):
    """The dials of one run, as numbers and as arrays over symbols.

    `rates`: what is left after a step of transient impact, of followers and of feedback, and the weight of the newest
    price in the mark price. `response`: (window_steps, 3), how far lasting, passing and trailing impact of one moves
    the mark price so many steps after the first.
    """

    impact: float
    exponent: float
    transient_frac: float
    follow_frac: float
    feedback: float
    rates: Any
    response: Any
    turn_s: int
    latency_median_ms: float
    latency_log_sd: float
    partial_gap_ms: float
    closing_frac: float
    opener_life_s: float
    contagion_frac: float
    contagion_lag_steps: float
    attraction: float
    attraction_cells: int
    window_steps: int
    horizon_steps: int
    lot: Any
    maintenance: Any
    partial_usd: Any
    spill_out: Any
    spill_in: Any
    volatility: Any
    trade_key: Any


class Entries(NamedTuple):
    """Positions that open, those of symbol s in [first[s], first[s + 1]) by step."""

    first: Any
    step: Any
    side: Any
    usd: Any
    distance: Any
    life_s: Any
    forced: Any
    key: Any


class Fills(NamedTuple):
    """Executed forced orders in order of execution; `count` has one element.

    `market` is the log price just before; `impact` the move of the log price, `closing` whether the counterparty
    closed.
    """

    symbol: Any
    event_ms: Any
    side: Any
    lots: Any
    bankruptcy: Any
    market: Any
    cause_symbol: Any
    cause: Any
    impact: Any
    closing: Any
    count: Any


class Record(NamedTuple):
    """At every so many steps the state (n_symbols, N_RECORDED, n) and the lots open; accounts by side at full hours."""

    states: Any
    lots_open: Any
    accounts: Any
