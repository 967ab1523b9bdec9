"""The fill rules, compiled: one pass over the orders of all symbols, each followed from its entry to its last exit.

The rules are in `docs` and in the docstring of `run_engine`; the tests hold them a second time, in plain Python.

Prices are searched by blocks: a stop, target or limit that the extremes of a whole block do not reach is not looked for
inside it. A trailing stop skips a block when the block's low stays above the trail that the block's own high would
give, which is the highest the trail can be anywhere in it. To have one code for both sides, extremes are kept signed:
the first half of each array holds (low, high), the second (-high, -low), so that the worse side is always down; `line`
0 or 1 says which half.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: Blocks hold 2^4 and 2^7 rows.
_SHIFT, _BIG_SHIFT = 4, 7
BLOCK, BIG_BLOCK = 1 << _SHIFT, 1 << _BIG_SHIFT

_TARGET, _STOP, _TRAILING_STOP, _TIMEOUT, _SIGNAL, _SIGNAL_STOP, _GAP, _END_OF_DATA = range(8)
_NOTHING = -1
(
    _TRADED,
    _NO_PRICES,
    _NO_SIZE,
    _OCCUPIED,
    _COOLDOWN,
    _POSITION_LIMIT,
    _GROSS_LIMIT,
    _NO_PRICE,
    _SIGNAL_BEFORE_FILL,
    _LIMIT_NOT_REACHED,
    _GAP_BEFORE_FILL,
    _END_BEFORE_FILL,
) = range(12)

#: Columns of a trade's rows and values.
ENTRY_ROW, PARTIAL_ROW, EXIT_ROW, EXIT_REASON, UNKNOWN_FUNDING = range(5)
(
    GROSS,
    OPTIMISTIC,
    FEES,
    SLIPPAGE,
    FUNDING,
    OVERSHOOT,
    NET,
    ENTRY_PAID,
    TARGET_PRICE,
    EXIT_OBSERVED,
    EXIT_PAID,
    TARGET_SHARE,
) = range(12)
N_ROWS, N_VALUES = 5, 12

_MS_PER_DAY = 86_400_000
_IMPACT_NOTIONAL_USD = 1e6


class Market(NamedTuple):
    """The paths of all symbols, one after the other; `begin` (k + 1,) are the first rows of each."""

    begin: Integers
    known_ms: Integers
    price: Floats
    half_spread: Floats
    low: Floats
    high: Floats
    block_low: Floats
    block_high: Floats
    big_low: Floats
    big_high: Floats
    gap_rows: Integers
    tolerance_ms: Integers
    funding_begin: Integers
    funding_ms: Integers
    funding_rate: Floats
    funding_price: Floats


class Decisions(NamedTuple):
    """What an order says beside its exits; arrays of shape (n,), `code` numbers the symbols of the market, -1 none."""

    code: Integers
    decision_ms: Integers
    side: Floats
    limit_price: Floats
    limit_life_ms: Integers
    stop_price: Floats
    signal_ms: Integers
    signal: Integers


class Exits(NamedTuple):
    """The exits and size of orders; arrays of shape (n,), or (1,) for the same of all."""

    target_frac: Floats
    target_share: Floats
    stop_frac: Floats
    trail_frac: Floats
    timeout_ms: Integers
    weight: Floats


class Entries(NamedTuple):
    """What becomes of each order that is let in; arrays of shape (n,).

    `status` 0: filled at `row` at the observed `price`, and `gap_row` is the first row after the next gap. Otherwise
    the reason, and `until_ms` when the symbol is free again.
    """

    status: Integers
    row: Integers
    price: Floats
    until_ms: Integers
    gap_row: Integers


class Rules(NamedTuple):
    """Costs as fractions, limits in USD and milliseconds."""

    delay_ms: int
    through: float
    maker: float
    taker: float
    impact: float
    charge_funding: bool
    notional_usd: float
    max_positions: int
    max_gross_usd: float
    cooldown_ms: int
    capital_usd: float


def _compiled(function: Function) -> Function:
    """`function` compiled at its first call, cached on disk, run without the interpreter lock."""
    compiled: Function = njit(cache=True, nogil=True)(function)
    return compiled


@_compiled
def _first_at(known_ms: Integers, begin: int, end: int, time_ms: int) -> int:
    """First row in [begin, end) known at or after a time; `end` when there is none. Near rows are found sooner."""
    step = 64
    low, high = begin, begin
    while high < end and known_ms[high] < time_ms:
        low = high + 1
        high += step
        step *= 8
    high = min(high, end)
    while low < high:
        middle = (low + high) >> 1
        if known_ms[middle] < time_ms:
            low = middle + 1
        else:
            high = middle
    return low


@_compiled
def _bisect_right(values: Integers, begin: int, end: int, value: int) -> int:
    """First place in [begin, end) of the ascending `values` that is above `value`; `end` when there is none."""
    while begin < end:
        middle = (begin + end) >> 1
        if values[middle] <= value:
            begin = middle + 1
        else:
            end = middle
    return begin


@_compiled
def _first_below(low: Floats, block_low: Floats, line: int, begin: int, end: int, level: float) -> int:
    """First row in [begin, end) whose low is strictly below the level; `end` when there is none."""
    rows, blocks = line * (low.size >> 1), line * (block_low.size >> 1)
    row = begin
    while row < end:
        if row & (BLOCK - 1) == 0 and row + BLOCK <= end and not block_low[blocks + (row >> _SHIFT)] < level:
            row += BLOCK
            continue
        if low[rows + row] < level:
            return row
        row += 1
    return end


@_compiled
def find_entries(market: Market, decisions: Decisions, rules: Rules, entries: Entries) -> None:
    """Fill `entries`: what becomes of each order, were it let in."""
    for i in range(decisions.code.size):
        code = decisions.code[i]
        if code < 0 or market.begin[code] == market.begin[code + 1]:
            entries.status[i] = _NO_PRICES
            continue
        active_ms = decisions.decision_ms[i] + rules.delay_ms
        cancel_ms = decisions.signal_ms[i] + rules.delay_ms
        end = market.begin[code + 1]
        row = _first_at(market.known_ms, market.begin[code], end, max(active_ms, decisions.decision_ms[i] + 1))
        late_ms = active_ms + market.tolerance_ms[code]
        given_up_ms, reason = late_ms, _NO_PRICE
        if not np.isnan(decisions.limit_price[i]) and active_ms + decisions.limit_life_ms[i] < late_ms:
            given_up_ms, reason = active_ms + decisions.limit_life_ms[i], _LIMIT_NOT_REACHED
        if row == end or market.known_ms[row] > given_up_ms:
            entries.status[i] = reason
            entries.until_ms[i] = given_up_ms
            if cancel_ms <= given_up_ms:
                entries.status[i] = _SIGNAL_BEFORE_FILL
                entries.until_ms[i] = cancel_ms
            continue
        if np.isnan(decisions.limit_price[i]):
            entries.row[i] = row
            entries.price[i] = market.price[row]
            if cancel_ms <= market.known_ms[row]:
                entries.status[i] = _SIGNAL_BEFORE_FILL
                entries.until_ms[i] = cancel_ms
        else:
            _find_limit_fill(market, decisions, rules, entries, i, row + 1, end)
        if entries.status[i] == _TRADED:
            gap = _bisect_right(market.gap_rows, 0, market.gap_rows.size, entries.row[i])
            entries.gap_row[i] = market.gap_rows[gap] if gap < market.gap_rows.size else end
            entries.gap_row[i] = min(entries.gap_row[i], end)


@_compiled
def _find_limit_fill(
    market: Market, decisions: Decisions, rules: Rules, entries: Entries, i: int, begin: int, end: int
) -> None:
    """Where a resting order fills, from the row after the one at which it became active."""
    side, limit = decisions.side[i], decisions.limit_price[i]
    cancel_ms = decisions.signal_ms[i] + rules.delay_ms
    expiry_ms = decisions.decision_ms[i] + rules.delay_ms + decisions.limit_life_ms[i]
    gap = _bisect_right(market.gap_rows, 0, market.gap_rows.size, begin - 1)
    gap_row = market.gap_rows[gap] if gap < market.gap_rows.size else end
    status, until_ms = _LIMIT_NOT_REACHED, expiry_ms
    stop = _first_at(market.known_ms, begin, end, expiry_ms + 1)
    if cancel_ms <= expiry_ms:
        status, until_ms = _SIGNAL_BEFORE_FILL, cancel_ms
        stop = _first_at(market.known_ms, begin, end, cancel_ms)
    if gap_row < stop:
        status, until_ms, stop = _GAP_BEFORE_FILL, market.known_ms[gap_row], gap_row
    elif stop == end and until_ms > market.known_ms[end - 1]:
        status = _END_BEFORE_FILL
    line = 0 if side > 0 else 1
    row = _first_below(market.low, market.block_low, line, begin, stop, side * limit - limit * rules.through)
    if row < stop:
        entries.row[i], entries.price[i] = row, limit
    else:
        entries.status[i], entries.until_ms[i] = status, until_ms


@_compiled
def _stays_open(
    lowest: float, highest: float, level: float, fixed: float, target: float, keep: float, peak: float
) -> bool:
    """Whether a position surely stays open over a block with these extremes."""
    if lowest <= level or highest > target:
        return False
    return bool(np.isnan(keep) or highest <= peak or lowest > max(fixed, highest * keep))


@_compiled
def _scan(
    low: Floats,
    high: Floats,
    block_low: Floats,
    block_high: Floats,
    big_low: Floats,
    big_high: Floats,
    line: int,
    begin: int,
    end: int,
    fixed: float,
    target: float,
    share: float,
    keep: float,
    peak: float,
) -> tuple[int, int, int, float]:
    """(row, reason, row of a partial exit, peak) of the first stop or target in [begin, end), signed prices.

    `fixed` is the level of the stop (-inf: none), `target` must be exceeded (inf: none), `keep` times the peak is the
    trail (NaN: none). The reason is _NOTHING when neither is reached.
    """
    rows, blocks, bigs = line * (low.size >> 1), line * (block_low.size >> 1), line * (big_low.size >> 1)
    partial = -1
    level = fixed
    if not np.isnan(keep):
        level = max(fixed, peak * keep)
    row = begin
    while row < end:
        if row & (BLOCK - 1) == 0:
            width, highest = 0, -np.inf
            if row & (BIG_BLOCK - 1) == 0 and row + BIG_BLOCK <= end:
                highest = big_high[bigs + (row >> _BIG_SHIFT)]
                if _stays_open(big_low[bigs + (row >> _BIG_SHIFT)], highest, level, fixed, target, keep, peak):
                    width = BIG_BLOCK
            if width == 0 and row + BLOCK <= end:
                highest = block_high[blocks + (row >> _SHIFT)]
                if _stays_open(block_low[blocks + (row >> _SHIFT)], highest, level, fixed, target, keep, peak):
                    width = BLOCK
            if width > 0:
                if highest > peak:
                    peak = highest
                    if not np.isnan(keep):
                        level = max(fixed, peak * keep)
                row += width
                continue
        until = min(end, ((row >> _SHIFT) + 1) << _SHIFT)
        while row < until:
            if low[rows + row] <= level:
                return row, (_STOP if level == fixed else _TRAILING_STOP), partial, peak
            if high[rows + row] > target:
                if share >= 1.0:
                    return row, _TARGET, partial, peak
                partial, target = row, np.inf
            if high[rows + row] > peak:
                peak = high[rows + row]
                if not np.isnan(keep):
                    level = max(fixed, peak * keep)
            row += 1
    return end, _NOTHING, partial, peak


@_compiled
def _follow(
    market: Market, decisions: Decisions, exits: Exits, entries: Entries, rules: Rules, i: int, j: int, rows: Integers
) -> tuple[float, bool]:
    """Follow an open position to its last exit: fills `rows`, returns the target's price and whether it was in reach.

    In reach means in the very observation that stopped the position out.
    """
    code, side, entry, price = decisions.code[i], decisions.side[i], entries.row[i], entries.price[i]
    line = 0 if side > 0 else 1
    signed = line * market.price.size
    end = market.begin[code + 1]
    timeout_ms = market.known_ms[entry] + exits.timeout_ms[j]
    signal_ms = decisions.signal_ms[i] + max(rules.delay_ms, 1)
    due_row = _first_at(market.known_ms, entry + 1, end, min(timeout_ms, signal_ms))
    forced = min(entries.gap_row[i], due_row, end - 1)

    fixed = -np.inf
    if not np.isnan(exits.stop_frac[j]):
        fixed = side * (price * (1.0 - side * exits.stop_frac[j]))
    if not np.isnan(decisions.stop_price[i]):
        fixed = max(fixed, side * decisions.stop_price[i])
    target_price, beyond = np.nan, np.inf
    if not np.isnan(exits.target_frac[j]):
        target_price = price * (1.0 + side * exits.target_frac[j])
        beyond = side * target_price + target_price * rules.through
    keep = 1.0 - side * exits.trail_frac[j]

    row, reason, partial, peak = _scan(
        market.low,
        market.high,
        market.block_low,
        market.block_high,
        market.big_low,
        market.big_high,
        line,
        entry + 1,
        forced,
        fixed,
        beyond,
        exits.target_share[j],
        keep,
        side * price,
    )
    reached = False
    if reason == _NOTHING:
        row = forced
        is_due = row == due_row
        if row == entries.gap_row[i]:
            reason = _GAP
        elif row <= entry:
            row, reason = entry, _END_OF_DATA
        else:
            level = fixed if np.isnan(keep) else max(fixed, peak * keep)
            best = side * market.price[row] if is_due else market.high[signed + row]
            if market.low[signed + row] <= level:
                reason = _STOP if level == fixed else _TRAILING_STOP
                reached = partial < 0 and best > beyond
            else:
                if is_due:
                    signal = _SIGNAL if decisions.signal[i] == 0 else _SIGNAL_STOP
                    reason = _TIMEOUT if timeout_ms <= signal_ms else signal
                else:
                    reason = _END_OF_DATA
                if partial < 0 and best > beyond:
                    if exits.target_share[j] >= 1.0:
                        reason = _TARGET
                    else:
                        partial = row
    elif reason != _TARGET:
        reached = partial < 0 and market.high[signed + row] > beyond
    rows[ENTRY_ROW], rows[PARTIAL_ROW], rows[EXIT_ROW], rows[EXIT_REASON] = entry, partial, row, reason
    return target_price, reached


@_compiled
def _settle(
    market: Market,
    code: int,
    side: float,
    price: float,
    is_limit: bool,
    share: float,
    notional_usd: float,
    target_price: float,
    reached: bool,
    rules: Rules,
    rows: Integers,
    values: Floats,
) -> None:
    """The result of a followed position into `values`, fractions of its notional; `rows` gets unknown fundings."""
    entry, partial, row, reason = rows[ENTRY_ROW], rows[PARTIAL_ROW], rows[EXIT_ROW], rows[EXIT_REASON]
    slippage = overshoot = gross = exit_paid = 0.0
    rest = 1.0
    if is_limit:
        entry_paid, fees = price, rules.maker
        overshoot = side * (price - market.price[entry]) / price
    else:
        slippage = market.half_spread[entry] + rules.impact * np.sqrt(notional_usd / _IMPACT_NOTIONAL_USD)
        entry_paid = price * (1.0 + side * slippage)
        fees = rules.taker * entry_paid / price
    if partial >= 0 or reason == _TARGET:
        part = share if partial >= 0 else 1.0
        at = partial if partial >= 0 else row
        rest = 1.0 - part
        gross += part * side * (target_price - price) / price
        fees += part * rules.maker * target_price / price
        overshoot += part * side * (market.price[at] - target_price) / price
        exit_paid += part * target_price
    values[EXIT_OBSERVED] = values[EXIT_PAID] = target_price
    optimistic = gross
    if reason != _TARGET:
        observed = market.price[row]
        if reason in (_STOP, _TRAILING_STOP):
            observed = market.low[row] if side > 0 else market.high[row]
            overshoot += rest * side * (market.price[row] - observed) / price
        size = notional_usd * rest * observed / price
        slip = market.half_spread[row] + rules.impact * np.sqrt(size / _IMPACT_NOTIONAL_USD)
        paid = observed * (1.0 - side * slip)
        final = side * (observed - price) / price
        gross += rest * final
        slippage += rest * slip * observed / price
        fees += rest * rules.taker * paid / price
        exit_paid += rest * paid
        values[EXIT_OBSERVED], values[EXIT_PAID] = observed, paid
        optimistic = gross
        if reached:
            optimistic = share * side * (target_price - price) / price + (1.0 - share) * final
    funding, unknown = _funding_between(market, code, side, price, rest, rows)
    if not rules.charge_funding:
        funding, unknown = 0.0, 0
    rows[UNKNOWN_FUNDING] = unknown
    values[GROSS], values[OPTIMISTIC], values[FEES], values[SLIPPAGE] = gross, optimistic, fees, slippage
    values[FUNDING], values[OVERSHOOT], values[NET] = funding, overshoot, gross - fees - slippage - funding
    values[ENTRY_PAID], values[TARGET_PRICE], values[TARGET_SHARE] = entry_paid, target_price, 1.0 - rest


@_compiled
def _funding_between(
    market: Market, code: int, side: float, price: float, rest: float, rows: Integers
) -> tuple[float, int]:
    """(funding paid as a fraction of the notional, moments with unknown rate) after the entry, up to the exit."""
    partial = rows[PARTIAL_ROW]
    exit_ms = market.known_ms[rows[EXIT_ROW]]
    end = market.funding_begin[code + 1]
    moment = _bisect_right(market.funding_ms, market.funding_begin[code], end, market.known_ms[rows[ENTRY_ROW]])
    paid, unknown = 0.0, 0
    while moment < end and market.funding_ms[moment] <= exit_ms:
        held = rest if partial >= 0 and market.known_ms[partial] < market.funding_ms[moment] else 1.0
        if np.isnan(market.funding_rate[moment]):
            unknown += 1
        else:
            paid += side * held * market.funding_price[moment] * market.funding_rate[moment] / price
        moment += 1
    return paid, unknown


@_compiled
def _refuse(
    status: int,
    now_ms: int,
    code: int,
    notional_usd: float,
    busy_ms: Integers,
    rest_ms: Integers,
    held_usd: Floats,
    rules: Rules,
) -> int:
    """Why an order is not let in; _TRADED when it is. The three arrays (k,) say what each symbol is doing."""
    if status == _NO_PRICES:
        return _NO_PRICES
    if not notional_usd > 0.0:
        return _NO_SIZE
    if now_ms < busy_ms[code]:
        return _OCCUPIED
    if now_ms < rest_ms[code]:
        return _COOLDOWN
    positions, gross_usd = 0, notional_usd
    for other in range(busy_ms.size):
        if now_ms < busy_ms[other]:
            positions += 1
            gross_usd += held_usd[other]
    if positions >= rules.max_positions:
        return _POSITION_LIMIT
    return _GROSS_LIMIT if gross_usd > rules.max_gross_usd else _TRADED


@_compiled
def simulate(
    market: Market,
    decisions: Decisions,
    exits: Exits,
    entries: Entries,
    rules: Rules,
    status: Integers,
    rows: Integers,
    values: Floats,
    first_day: int,
    daily: Floats,
) -> tuple[int, float]:
    """One pass in order of decision: who is let in, and what comes of it. Returns (trades, sum of net returns).

    `status` (n,) gets the reason why an order made no trade, `rows` (n, 5) and `values` (n, 12) its trade; each may
    have length 1 when only sums are wanted. `daily` (days,) gets net results as parts of the capital by day of exit.

    Whether a position is open at a decision is known then, for its exit comes at a known time; so following an order to
    its end before looking at the next one lets nothing look ahead.
    """
    n_symbols = market.begin.size - 1
    busy_ms = np.full(n_symbols, -1, np.int64)
    rest_ms = np.full(n_symbols, -1, np.int64)
    held_usd = np.zeros(n_symbols)
    exits_step = 1 if exits.weight.size > 1 else 0
    keep_step = 1 if status.size > 1 else 0
    codes, decision_ms, filled, weight = decisions.code, decisions.decision_ms, entries.status, exits.weight
    trades, total = 0, 0.0
    for i in range(codes.size):
        j, k = i * exits_step, i * keep_step
        code, now_ms = codes[i], decision_ms[i]
        notional_usd = rules.notional_usd * weight[j]
        status[k] = _refuse(filled[i], now_ms, code, notional_usd, busy_ms, rest_ms, held_usd, rules)
        if status[k] != _TRADED:
            continue
        held_usd[code] = notional_usd
        status[k] = filled[i]
        if filled[i] != _TRADED:
            busy_ms[code] = entries.until_ms[i]
            continue
        target_price, reached = _follow(market, decisions, exits, entries, rules, i, j, rows[k])
        _settle(
            market,
            code,
            decisions.side[i],
            entries.price[i],
            not np.isnan(decisions.limit_price[i]),
            exits.target_share[j],
            notional_usd,
            target_price,
            reached,
            rules,
            rows[k],
            values[k],
        )
        exit_ms = market.known_ms[rows[k, EXIT_ROW]]
        busy_ms[code], rest_ms[code] = exit_ms, exit_ms + rules.cooldown_ms
        trades += 1
        total += values[k, NET]
        if daily.size:
            day = min(max((exit_ms - 1) // _MS_PER_DAY - first_day, 0), daily.size - 1)
            daily[day] += values[k, NET] * notional_usd / rules.capital_usd
    return trades, total


@_compiled
def simulate_grid(
    market: Market,
    decisions: Decisions,
    grid: Exits,
    entries: Entries,
    rules: Rules,
    begin: int,
    end: int,
    first_day: int,
    trades: Integers,
    total: Floats,
    daily: Floats,
) -> None:
    """`simulate` with each combination [begin, end) of `grid`: results into `trades`, `total` (m,), `daily` (m, d)."""
    status, rows, values = np.zeros(1, np.int64), np.zeros((1, N_ROWS), np.int64), np.zeros((1, N_VALUES))
    for combination in range(begin, end):
        exits = Exits(
            grid.target_frac[combination : combination + 1],
            grid.target_share[combination : combination + 1],
            grid.stop_frac[combination : combination + 1],
            grid.trail_frac[combination : combination + 1],
            grid.timeout_ms[combination : combination + 1],
            grid.weight[combination : combination + 1],
        )
        trades[combination], total[combination] = simulate(
            market, decisions, exits, entries, rules, status, rows, values, first_day, daily[combination]
        )
