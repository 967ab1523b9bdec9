"""The market as a kernel: positions, their liquidation levels, forced orders, and what these do to the price.

Time goes in steps of 100 ms. In each step, symbol by symbol: impact decays and what was caused before arrives; the
price is the undisturbed path plus impact, the mark price follows it; positions end; positions open; every position
whose level the mark price has crossed is sent to liquidation; forced orders whose time has come are executed, their
impact counting from the next step on. Quantities are whole lots, so that open interest is exactly the sum of what is
open.

Random numbers come with each position (its key), never from a shared stream: what impact does to one position leaves
every other draw as it was.

All of it stands in one file: the compiler's cache notices a change only in the file of the function that it looks up.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from liqlab.worlds._compiled import compiled, exponential, inner, mix, normal, uniform
from liqlab.worlds._noise import STEP_MS, STEPS_PER_DAY, STEPS_PER_MINUTE

NONE = -1
LONG_SIDE, SHORT_SIDE = 0, 1

#: Levels are filed by log price in cells of one basis point; far ones share a cell and are told apart by their level.
CELL = 1e-4
N_CELLS = 1 << 14
#: Ends of positions are filed by the second.
N_SECONDS = 1 << 19
LONGEST_LIFE_S = N_SECONDS - 2
#: Symbols take turns after 1, 2, 5 or this many seconds; as often the drift towards dense levels is set.
LONGEST_TURN_S = 10
#: Forced orders wait at most this many steps for their next execution.
N_DUE_STEPS = 256
N_SPILL_STEPS = 1 << 10
N_REMEMBERED = 1 << 12
MAX_PARTS = 12

#: Columns of a symbol's state, the recorded ones first. `_IN`: what the executions of a step add in the next one.
LOG_PRICE, MARK, TRANSIENT, LAST, HIT_BID, N_RECORDED = range(6)
FREE, PERMANENT, FOLLOWING, FEEDBACK, PERMANENT_IN, TRANSIENT_IN, DRIFT, N_STATES = range(5, 13)
#: Columns of a remembered impact.
LASTING, PASSING, TRAILING = range(3)

_STEPS_PER_S = 1_000 // STEP_MS
_SECONDS_PER_HOUR = 3_600
_SECONDS_PER_DAY = 86_400
_TRADE_CHANCE = 0.3
_LONGEST_LATENCY_MS = 5_000.0
_LARGEST_FEEDBACK = 3.0

#: What a position's key is used for; parts of an order count up from the last one.
_LATENCY, _PARENT, _MARGIN, _PER_PART = 0, 2, 3, 16


@inner
def _file_level(pool: Any, book: Any, slot: int, usd: float) -> None:
    """Put a position into the cell of its level."""
    symbol, side, level = pool.symbol[slot], pool.side[slot], pool.level[slot]
    cell = int(np.floor(level / CELL)) & (N_CELLS - 1)
    head = book.cells[symbol, side, cell]
    pool.after[slot], pool.before[slot] = head, NONE
    if head != NONE:
        pool.before[head] = slot
    book.cells[symbol, side, cell] = slot
    book.cell_usd[symbol, side, cell] += usd
    nearest = book.nearest[symbol, side]
    book.nearest[symbol, side] = max(nearest, level) if side == LONG_SIDE else min(nearest, level)


@inner
def _unfile_level(pool: Any, book: Any, slot: int, usd: float) -> None:
    symbol, side = pool.symbol[slot], pool.side[slot]
    cell = int(np.floor(pool.level[slot] / CELL)) & (N_CELLS - 1)
    after, before = pool.after[slot], pool.before[slot]
    if after != NONE:
        pool.before[after] = before
    if before != NONE:
        pool.after[before] = after
    else:
        book.cells[symbol, side, cell] = after
    left = book.cell_usd[symbol, side, cell] - usd
    book.cell_usd[symbol, side, cell] = max(left, 0.0) if book.cells[symbol, side, cell] != NONE else 0.0


@inner
def _file_end(pool: Any, book: Any, slot: int, second: int) -> None:
    """Put a position into the second in which it leaves by itself."""
    symbol, place = pool.symbol[slot], second & (N_SECONDS - 1)
    pool.end_second[slot] = second
    head = book.ends[symbol, place]
    pool.end_after[slot], pool.end_before[slot] = head, NONE
    if head != NONE:
        pool.end_before[head] = slot
    book.ends[symbol, place] = slot


@inner
def _unfile_end(pool: Any, book: Any, slot: int) -> None:
    symbol, place = pool.symbol[slot], pool.end_second[slot] & (N_SECONDS - 1)
    after, before = pool.end_after[slot], pool.end_before[slot]
    if after != NONE:
        pool.end_before[after] = before
    if before != NONE:
        pool.end_after[before] = after
    else:
        book.ends[symbol, place] = after


@inner
def _release(pool: Any, slot: int) -> None:
    pool.lots[slot] = 0
    pool.after[slot] = pool.free[0]
    pool.free[0] = slot


@inner
def _usd(pool: Any, rules: Any, slot: int) -> float:
    """What a position counts at its level: the same when it is filed and when it is taken out."""
    return float(pool.lots[slot] * rules.lot[pool.symbol[slot]] * np.exp(pool.level[slot]))


@inner
def _open_position(
    pool: Any, book: Any, rules: Any, entries: Any, row: int, symbol: int, entry: float, second: int
) -> None:
    """Open the position of `row` at the log price `entry` in `second` (counted from 1970)."""
    slot = pool.free[0]
    pool.free[0] = pool.after[slot]
    side, distance = entries.side[row], entries.distance[row]
    pool.symbol[slot], pool.side[slot] = symbol, side
    pool.lots[slot] = max(np.int64(np.rint(entries.usd[row] / np.exp(entry) / rules.lot[symbol])), 1)
    pool.forced[slot], pool.key[slot] = entries.forced[row], entries.key[row]
    book.lots_open[symbol] += pool.lots[slot]
    book.accounts[symbol, side] += 1
    pool.level[slot] = np.nan
    if not np.isnan(distance):
        sign = -1.0 if side == LONG_SIDE else 1.0
        pool.level[slot] = entry + np.log(max(1.0 + sign * distance, 1e-3))
        bankrupt = max(1.0 + sign * (distance + rules.maintenance[symbol]), 1e-3)
        pool.bankruptcy[slot] = np.exp(entry) * bankrupt
        _file_level(pool, book, slot, _usd(pool, rules, slot))
    _file_end(pool, book, slot, second + 1 + int(min(entries.life_s[row], LONGEST_LIFE_S - 2)))


@compiled
def open_all(pool: Any, book: Any, rules: Any, entries: Any, entry: Any, second: int) -> None:
    """Open every position of `entries` in `second`, at the log prices `entry`."""
    for symbol in range(len(entries.first) - 1):
        for row in range(entries.first[symbol], entries.first[symbol + 1]):
            _open_position(pool, book, rules, entries, row, symbol, entry[row], second)


@compiled
def count_open(pool: Any, book: Any, symbol: int) -> int:
    """The open lots of a symbol, counted one by one: what its open interest must be."""
    lots = np.sum(book.opener_ends[symbol])
    for slot in range(len(pool.lots)):
        if pool.symbol[slot] == symbol:
            lots += pool.lots[slot]
    return int(lots)


@inner
def _send(pool: Any, book: Any, rules: Any, slot: int, now_ms: int) -> None:
    """Hand a position to the liquidation engine: its first order comes after a latency, large ones in several parts."""
    symbol, key = pool.symbol[slot], pool.key[slot]
    latency = rules.latency_median_ms * np.exp(rules.latency_log_sd * normal(key, _LATENCY))
    usd = pool.lots[slot] * rules.lot[symbol] * np.exp(book.state[symbol, LOG_PRICE])
    parts = min(1 + int(np.sqrt(usd / rules.partial_usd[symbol])), MAX_PARTS)
    pool.parts_left[slot] = min(parts, pool.lots[slot])
    pool.event_ms[slot] = now_ms + 1 + int(min(latency, _LONGEST_LATENCY_MS))
    _wait(pool, book, slot)


@inner
def _wait(pool: Any, book: Any, slot: int) -> None:
    symbol, place = pool.symbol[slot], (pool.event_ms[slot] // STEP_MS) & (N_DUE_STEPS - 1)
    pool.after[slot] = book.due[symbol, place]
    book.due[symbol, place] = slot
    book.n_waiting[symbol] += 1


@inner
def _end_positions(pool: Any, book: Any, rules: Any, symbol: int, second: int, now_ms: int) -> None:
    """Positions and taken-over contracts that leave in this second; a forced one is liquidated at the market."""
    place = second & (N_SECONDS - 1)
    book.lots_open[symbol] -= book.opener_ends[symbol, place]
    book.opener_ends[symbol, place] = 0
    slot = book.ends[symbol, place]
    while slot != NONE:
        following = pool.end_after[slot]
        if not np.isnan(pool.level[slot]):
            _unfile_level(pool, book, slot, _usd(pool, rules, slot))
        side = pool.side[slot]
        book.accounts[symbol, side] -= 1
        if pool.forced[slot]:
            sign = -1.0 if side == LONG_SIDE else 1.0
            margin = rules.maintenance[symbol] * (0.8 + 0.4 * uniform(pool.key[slot], _MARGIN))
            pool.bankruptcy[slot] = np.exp(book.state[symbol, LOG_PRICE]) * (1.0 + sign * margin)
            pool.cause_symbol[slot] = pool.cause[slot] = NONE
            _send(pool, book, rules, slot, now_ms)
        else:
            book.lots_open[symbol] -= pool.lots[slot]
            _release(pool, slot)
        slot = following
    book.ends[symbol, place] = NONE


@inner
def _surviving(book: Any, rules: Any, symbol: int, place: int, step: int) -> float:
    """How far the remembered impact at `place` still moves the mark price at `step`."""
    response = rules.response[step - book.memory_step[symbol, place]]
    parts = book.memory[symbol, place]
    return float(
        parts[LASTING] * response[LASTING] + parts[PASSING] * response[PASSING] + parts[TRAILING] * response[TRAILING]
    )


@inner
def _oldest_remembered(book: Any, rules: Any, symbol: int, step: int) -> int:
    """The number of the oldest remembered impact inside the window."""
    count = book.memory_count[symbol]
    number = count
    while number > max(count - N_REMEMBERED, 0):
        if step - book.memory_step[symbol, (number - 1) & (N_REMEMBERED - 1)] >= rules.window_steps:
            break
        number -= 1
    return int(number)


@inner
def _is_crossed_anyway(rules: Any, push: float, missing: float, ahead: Any) -> bool:
    """Whether the undisturbed path, `ahead` from now on, goes `missing` further towards `push` within the horizon."""
    for i in range(min(rules.horizon_steps, len(ahead))):  # noqa: SIM110
        if push * (ahead[i] - ahead[0]) >= missing:
            return True
    return False


@inner
def _find_cause(book: Any, rules: Any, slot: int, pool: Any, step: int, oldest: int, recent: float, ahead: Any) -> None:
    """Write down what triggered the liquidation of `slot`, whose level the mark price has crossed.

    Counterfactual: the mark price less what survives of the impact of liquidations within the attribution window, going
    on with the undisturbed path. If that crosses the level within the attribution horizon, the cause is exogenous:
    impact made it earlier by moments at most. Else the parent is drawn among the remembered impacts that pushed this
    way, with probability proportional to what survives of each.
    """
    symbol = pool.symbol[slot]
    pool.cause_symbol[slot] = pool.cause[slot] = NONE
    push = -1.0 if pool.side[slot] == LONG_SIDE else 1.0
    missing = push * (pool.level[slot] - book.state[symbol, MARK] + recent)
    if push * recent <= 0.0 or _is_crossed_anyway(rules, push, missing, ahead):
        return
    total = 0.0
    for number in range(oldest, book.memory_count[symbol]):
        total += max(push * _surviving(book, rules, symbol, number & (N_REMEMBERED - 1), step), 0.0)
    left = uniform(pool.key[slot], _PARENT) * total
    for number in range(oldest, book.memory_count[symbol]):
        place = number & (N_REMEMBERED - 1)
        pushed = max(push * _surviving(book, rules, symbol, place, step), 0.0)
        if pushed > 0.0:
            pool.cause_symbol[slot] = book.memory_symbol[symbol, place]
            pool.cause[slot] = book.memory_cause[symbol, place]
            left -= pushed
            if left < 0.0:
                return


@inner
def _liquidate_crossed(pool: Any, book: Any, rules: Any, symbol: int, step: int, ahead: Any) -> None:
    """Send every position whose level the mark price has reached, and find the nearest level left on each side."""
    mark = book.state[symbol, MARK]
    oldest = _oldest_remembered(book, rules, symbol, step)
    recent = 0.0
    for number in range(oldest, book.memory_count[symbol]):
        recent += _surviving(book, rules, symbol, number & (N_REMEMBERED - 1), step)
    for side in range(2):
        direction = -1 if side == LONG_SIDE else 1
        if direction * (mark - book.nearest[symbol, side]) < 0.0:
            continue
        first = int(np.floor(book.nearest[symbol, side] / CELL))
        n_cells = min(direction * (int(np.floor(mark / CELL)) - first) + 1, N_CELLS)
        for i in range(n_cells):
            slot = book.cells[symbol, side, (first + direction * i) & (N_CELLS - 1)]
            while slot != NONE:
                following = pool.after[slot]
                if direction * (mark - pool.level[slot]) >= 0.0:
                    _find_cause(book, rules, slot, pool, step, oldest, recent, ahead)
                    _unfile_level(pool, book, slot, _usd(pool, rules, slot))
                    _unfile_end(pool, book, slot)
                    book.accounts[symbol, side] -= 1
                    _send(pool, book, rules, slot, step * STEP_MS)
                slot = following
        book.nearest[symbol, side] = _find_nearest(pool, book, symbol, side)


@inner
def _find_nearest(pool: Any, book: Any, symbol: int, side: int) -> float:
    """The level closest to the mark price on its side of it; infinitely far when there is none."""
    direction = -1 if side == LONG_SIDE else 1
    first = int(np.floor(book.state[symbol, MARK] / CELL))
    nearest = direction * np.inf
    for i in range(N_CELLS):
        cell = first + direction * i
        slot = book.cells[symbol, side, cell & (N_CELLS - 1)]
        while slot != NONE:
            level = pool.level[slot]
            if int(np.floor(level / CELL)) == cell and direction * (nearest - level) > 0.0:
                nearest = level
            slot = pool.after[slot]
        if np.isfinite(nearest):
            break
    return float(nearest)


@inner
def _take_due(pool: Any, book: Any, symbol: int, step_number: int, batch: Any) -> int:
    """Slots of the orders due in this step into `batch`, by time, then by slot; how many."""
    place = step_number & (N_DUE_STEPS - 1)
    slot = book.due[symbol, place]
    book.due[symbol, place] = NONE
    count = 0
    while slot != NONE:
        position = count
        while position > 0:
            other = batch[position - 1]
            if (pool.event_ms[other], pool.key[other]) <= (pool.event_ms[slot], pool.key[slot]):
                break
            batch[position] = other
            position -= 1
        batch[position] = slot
        count += 1
        slot = pool.after[slot]
    book.n_waiting[symbol] -= count
    return count


@inner
def _execute(pool: Any, book: Any, rules: Any, fills: Any, slot: int, depth: float, step: int) -> None:
    """One forced order meets the book: a fill, its impact from the next step on, its counterparty, its next part."""
    symbol, side, key = pool.symbol[slot], pool.side[slot], pool.key[slot]
    parts_left = pool.parts_left[slot]
    counter = _PER_PART + 4 * parts_left
    lots = pool.lots[slot]
    if parts_left > 1:
        share = (0.5 + uniform(key, counter)) / parts_left
        lots = min(max(np.int64(lots * share), 1), lots - (parts_left - 1))
    usd = lots * rules.lot[symbol] * np.exp(book.state[symbol, LOG_PRICE])
    move = rules.impact * (usd / depth) ** rules.exponent
    signed = -move if side == LONG_SIDE else move
    closing = uniform(key, counter + 1) < rules.closing_frac
    row = fills.count[0]
    fills.count[0] += 1
    fills.symbol[row], fills.event_ms[row], fills.side[row] = symbol, pool.event_ms[slot], side
    fills.lots[row], fills.bankruptcy[row], fills.market[row] = (
        lots,
        pool.bankruptcy[slot],
        book.state[symbol, LOG_PRICE],
    )
    fills.cause_symbol[row], fills.cause[row] = pool.cause_symbol[slot], pool.cause[slot]
    fills.impact[row], fills.closing[row] = signed, closing
    number = book.n_liquidations[symbol]
    book.n_liquidations[symbol] += 1
    if closing:
        book.lots_open[symbol] -= lots
    else:
        life_s = 1 + int(min(rules.opener_life_s * exponential(key, counter + 2), LONGEST_LIFE_S - 2))
        book.opener_ends[symbol, (pool.event_ms[slot] // 1_000 + life_s) & (N_SECONDS - 1)] += lots
    if move > 0.0:
        _push(book, rules, symbol, signed, symbol, number, step + 1)
        _spill(book, rules, symbol, signed, number, pool.event_ms[slot], key, counter + 3)
    book.state[symbol, FEEDBACK] += rules.feedback * usd / depth
    pool.lots[slot] -= lots
    pool.parts_left[slot] -= 1
    if pool.lots[slot] > 0:
        gap = rules.partial_gap_ms * min(exponential(mix(key, counter), 0), 10.0)
        # At most one part in a step: the orders due in this one have been taken.
        next_step_ms = (step + 1) * STEP_MS + int(STEP_MS * uniform(mix(key, counter), 1))
        pool.event_ms[slot] = max(pool.event_ms[slot] + int(gap), next_step_ms)
        _wait(pool, book, slot)
    else:
        _release(pool, slot)


@inner
def _push(book: Any, rules: Any, symbol: int, move: float, cause_symbol: int, cause: int, step: int) -> None:
    """Let a forced order's move reach the price at `step`, and remember it for attribution."""
    transient = rules.transient_frac * move
    book.state[symbol, TRANSIENT_IN] += transient
    book.state[symbol, PERMANENT_IN] += move - transient
    book.state[symbol, FOLLOWING] += rules.follow_frac * move
    _remember(book, symbol, move - transient, transient, rules.follow_frac * move, cause_symbol, cause, step)


@inner
def _remember(
    book: Any, symbol: int, permanent: float, transient: float, follow: float, cause_symbol: int, cause: int, step: int
) -> None:
    place = book.memory_count[symbol] & (N_REMEMBERED - 1)
    book.memory_step[symbol, place] = step
    book.memory[symbol, place, LASTING] = permanent
    book.memory[symbol, place, PASSING] = transient
    book.memory[symbol, place, TRAILING] = follow
    book.memory_symbol[symbol, place], book.memory_cause[symbol, place] = cause_symbol, cause
    book.memory_count[symbol] += 1


@inner
def _spill(book: Any, rules: Any, source: int, move: float, number: int, event_ms: int, key: Any, counter: int) -> None:
    """Let a share of the move reach the other symbols after the lag; moves due at once add up under the largest one."""
    strength = rules.contagion_frac * rules.spill_out[source]
    if strength == 0.0 or rules.volatility[source] == 0.0:
        return
    lag = rules.contagion_lag_steps * (0.5 + uniform(key, counter))
    place = (event_ms // STEP_MS + 1 + int(lag)) & (N_SPILL_STEPS - 1)
    for symbol in range(len(book.spill)):
        scale = strength * rules.spill_in[symbol] * rules.volatility[symbol] / rules.volatility[source]
        if symbol == source or scale == 0.0:
            continue
        book.spill[symbol, place] += scale * move
        if abs(scale * move) > book.spill_largest[symbol, place]:
            book.spill_largest[symbol, place] = abs(scale * move)
            book.spill_cause_symbol[symbol, place], book.spill_cause[symbol, place] = source, number


@inner
def _receive(book: Any, symbol: int, step: int) -> None:
    """Contagion that arrives in this step."""
    place = step & (N_SPILL_STEPS - 1)
    move = book.spill[symbol, place]
    if move != 0.0:
        cause_symbol, cause = book.spill_cause_symbol[symbol, place], book.spill_cause[symbol, place]
        book.state[symbol, PERMANENT_IN] += move
        _remember(book, symbol, move, 0.0, 0.0, cause_symbol, cause, step)
        book.spill[symbol, place] = book.spill_largest[symbol, place] = 0.0


@inner
def _find_drift(book: Any, rules: Any, symbol: int) -> float:
    """Log return per step towards the side with more notional at risk within the range."""
    first = int(np.floor(book.state[symbol, MARK] / CELL))
    below = above = 0.0
    for i in range(rules.attraction_cells):
        below += book.cell_usd[symbol, LONG_SIDE, (first - i) & (N_CELLS - 1)]
        above += book.cell_usd[symbol, SHORT_SIDE, (first + i) & (N_CELLS - 1)]
    total = below + above
    return float(rules.attraction * (above - below) / total) if total > 0.0 else 0.0


@inner
def _coast(
    state: Any,
    free: Any,
    first: int,
    stop: int,
    below: float,
    above: float,
    rates: Any,
    trade_key: Any,
    step_number: int,
    every: int,
    states: Any,
) -> int:
    """Move one symbol's price through the steps [first, stop) of the day, recording on the way.

    Stops before the first step whose mark price would not lie between the levels `below` and `above`; returns the step
    at which it stopped. `step_number` is that of `first`. `rates` are those of `Rules`.
    """
    transient_decay, follow_decay, feedback_decay, mark_weight = rates
    for step in range(first, stop):
        transient = transient_decay * state[TRANSIENT] + state[TRANSIENT_IN]
        permanent = state[PERMANENT] + state[PERMANENT_IN] + state[DRIFT]
        arriving = (1.0 - follow_decay) * state[FOLLOWING]
        extra = min(state[FEEDBACK], _LARGEST_FEEDBACK) * (free[step] - state[FREE])
        permanent += arriving + extra
        price = free[step] + permanent + transient
        mark = state[MARK] + mark_weight * (price - state[MARK])
        if mark <= below or mark >= above:
            return step
        state[TRANSIENT], state[PERMANENT], state[LOG_PRICE], state[MARK] = transient, permanent, price, mark
        state[PERMANENT_IN] = state[TRANSIENT_IN] = 0.0
        state[FREE] = free[step]
        state[FOLLOWING] -= arriving
        state[FEEDBACK] *= feedback_decay
        drawn = uniform(trade_key, step_number + step - first)
        if drawn < _TRADE_CHANCE:
            state[LAST], state[HIT_BID] = price, 1.0 if drawn < 0.5 * _TRADE_CHANCE else 0.0
        if step % every == 0:
            states[:, step // every] = state[:N_RECORDED]
    return stop


@inner
def _find_next_due(
    ends: Any, opener_ends: Any, spill: Any, spills: bool, entry_steps: Any, midnight: int, first: int, stop: int
) -> int:
    """The first step of day in [first, stop) in which more is due than the price; `stop` when there is none.

    `entry_steps` are those of the arrivals still to come, `midnight` is the number of the day's first step.
    """
    if len(entry_steps) > 0:
        stop = min(stop, int(entry_steps[0]))
    if spills:
        for step in range(first, stop):
            if spill[(midnight + step) & (N_SPILL_STEPS - 1)] != 0.0:
                stop = step
                break
    for step in range(-(-first // _STEPS_PER_S) * _STEPS_PER_S, stop, _STEPS_PER_S):
        place = ((midnight + step) // _STEPS_PER_S) & (N_SECONDS - 1)
        if ends[place] != NONE or opener_ends[place] != 0:
            return step
    return stop


@inner
def _open_arrivals(pool: Any, book: Any, rules: Any, entries: Any, symbol: int, step: int, second: int) -> None:
    """Everyone who arrives in this step of the day."""
    entry = book.next_entry[symbol]
    while entry < entries.first[symbol + 1] and entries.step[entry] == step:
        _open_position(pool, book, rules, entries, entry, symbol, book.state[symbol, LOG_PRICE], second)
        entry += 1
    book.next_entry[symbol] = entry


@inner
def _move_until(
    symbol: int,
    midnight: int,
    first: int,
    stop: int,
    below: float,
    above: float,
    every: int,
    free: Any,
    book: Any,
    rules: Any,
    record: Any,
) -> int:
    """`_coast` for a symbol, with the open interest that stands meanwhile."""
    reached = _coast(
        book.state[symbol],
        free,
        first,
        stop,
        below,
        above,
        rules.rates,
        rules.trade_key[symbol],
        midnight + first,
        every,
        record.states[symbol],
    )
    for row in range(-(-first // every), (reached - 1) // every + 1):
        record.lots_open[symbol, row] = book.lots_open[symbol]
    return int(reached)


@inner
def _play_step(
    symbol: int,
    midnight: int,
    step: int,
    every: int,
    free: Any,
    depth: float,
    pool: Any,
    book: Any,
    rules: Any,
    entries: Any,
    fills: Any,
    record: Any,
    batch: Any,
) -> None:
    """One step of one symbol with all that can be due in it."""
    number = midnight + step
    if rules.contagion_frac > 0.0:
        _receive(book, symbol, number)
    _move_until(symbol, midnight, step, step + 1, -np.inf, np.inf, every, free, book, rules, record)
    if step % _STEPS_PER_S == 0:
        _end_positions(pool, book, rules, symbol, number // _STEPS_PER_S, number * STEP_MS)
    _open_arrivals(pool, book, rules, entries, symbol, step, number // _STEPS_PER_S)
    mark = book.state[symbol, MARK]
    if mark <= book.nearest[symbol, LONG_SIDE] or mark >= book.nearest[symbol, SHORT_SIDE]:
        _liquidate_crossed(pool, book, rules, symbol, number, free[step:])
    if book.due[symbol, number & (N_DUE_STEPS - 1)] != NONE:
        due = _take_due(pool, book, symbol, number, batch)
        for i in range(due):
            _execute(pool, book, rules, fills, batch[i], depth, number)


@inner
def _play_turn(
    symbol: int,
    midnight: int,
    first: int,
    stop: int,
    every: int,
    free: Any,
    depth: Any,
    pool: Any,
    book: Any,
    rules: Any,
    entries: Any,
    fills: Any,
    record: Any,
    batch: Any,
) -> None:
    """The steps of day [first, stop) of one symbol, many at once where nothing is due but the price."""
    step = first
    while step < stop:
        if book.n_waiting[symbol] == 0:
            due = _find_next_due(
                book.ends[symbol],
                book.opener_ends[symbol],
                book.spill[symbol],
                rules.contagion_frac > 0.0,
                entries.step[book.next_entry[symbol] : entries.first[symbol + 1]],
                midnight,
                step,
                stop,
            )
            below, above = book.nearest[symbol, LONG_SIDE], book.nearest[symbol, SHORT_SIDE]
            step = _move_until(symbol, midnight, step, due, below, above, every, free, book, rules, record)
        if step < stop:
            usual = depth[step // STEPS_PER_MINUTE]
            _play_step(symbol, midnight, step, every, free, usual, pool, book, rules, entries, fills, record, batch)
            step += 1


@compiled
def run_day(
    day: int,
    every: int,
    free: Any,
    depth: Any,
    pool: Any,
    book: Any,
    rules: Any,
    entries: Any,
    fills: Any,
    record: Any,
    batch: Any,
) -> None:
    """Play one day. `free` is (n_symbols, 864,000) log price, `depth` (n_symbols, 1,440) USD; the rest changes in
    place.

    Symbols take turns after `turn_s` seconds: what spills over between them takes longer.
    """
    book.next_entry[:] = entries.first[:-1]
    for second in range(0, _SECONDS_PER_DAY, rules.turn_s):
        for symbol in range(len(free)):
            if second % _SECONDS_PER_HOUR == 0:
                record.accounts[symbol, second // _SECONDS_PER_HOUR] = book.accounts[symbol]
            if rules.attraction > 0.0 and second % LONGEST_TURN_S == 0:
                book.state[symbol, DRIFT] = _find_drift(book, rules, symbol)
            first = second * _STEPS_PER_S
            _play_turn(
                symbol,
                day * STEPS_PER_DAY,
                first,
                first + rules.turn_s * _STEPS_PER_S,
                every,
                free[symbol],
                depth[symbol],
                pool,
                book,
                rules,
                entries,
                fills,
                record,
                batch,
            )
