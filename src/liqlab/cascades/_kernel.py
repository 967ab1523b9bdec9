"""The detector of one symbol over arrays: the rules of `_machine`, compiled.

Without the small ones, clusters are runs of the array, so the work splits in three: which liquidations take part, where
the runs begin, and the sums of each run. Sums are plain additions in input order, without fast-math: they equal the
machine's bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])

#: Columns of the integer rows.
FIRST_INDEX, FIRST_KNOWN, START, END, LAST_KNOWN, CONFIRMED, COUNT, PRICE_LEVELS, COUNT_AT_CONFIRMATION = range(9)
#: Columns of the float rows.
VOLUME, NOTIONAL, LONG_VOLUME, SHORT_VOLUME, LONG_NOTIONAL, SHORT_NOTIONAL, LOW, HIGH, NOTIONAL_AT_CONFIRMATION = range(
    9
)
N_COLUMNS = 9

_HASH_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)


def _compiled(function: Function) -> Function:
    """`function` compiled at its first call, cached on disk, run without the interpreter lock."""
    compiled: Function = njit(cache=True, nogil=True)(function)
    return compiled


@_compiled
def is_sorted(first: Any, second: Any, third: Any, fourth: Any) -> bool:
    """Whether the rows (first[i], second[i], third[i], fourth[i]) never go down."""
    for i in range(1, len(first)):
        if first[i] != first[i - 1]:
            if first[i] < first[i - 1]:
                return False
        elif second[i] != second[i - 1]:
            if second[i] < second[i - 1]:
                return False
        elif third[i] != third[i - 1]:
            if third[i] < third[i - 1]:
                return False
        elif fourth[i] < fourth[i - 1]:
            return False
    return True


@_compiled
def _search(values: Any, count: int, value: float) -> int:
    """First place in values[:count] (ascending) that is not below `value`."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if values[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@_compiled
def _move_up(values: Any, first: int, stop: int) -> None:
    """Move values[first:stop] one place up. Unsigned indices cannot be negative: the loop becomes one block move."""
    for steps in range(np.uint64(stop - first)):
        place = np.uint64(stop) - steps
        values[place] = values[place - np.uint64(1)]


@_compiled
def _move_down(values: Any, first: int, stop: int) -> None:
    """Move values[first:stop] one place down."""
    for place in range(np.uint64(first), np.uint64(stop)):
        values[place - np.uint64(1)] = values[place]


@_compiled
def _insert_sorted(values: Any, count: int, value: float) -> None:
    place = _search(values, count, value)
    _move_up(values, place, count)
    values[place] = value


@_compiled
def _replace_sorted(values: Any, count: int, old: float, new: float) -> None:
    """Take `old` out of values[:count] and put `new` in: only what lies between them moves."""
    hole = _search(values, count, old)
    place = _search(values, count, new)
    if new > old:
        place -= 1
        _move_down(values, hole + 1, place + 1)
    else:
        _move_up(values, place, hole)
    values[place] = new


@_compiled
def _interpolate(values: Any, count: int, quantile: float) -> float:
    """NumPy's linear quantile of values[:count] (ascending), rounding included."""
    place = quantile * (count - 1)
    low = int(place)
    if low + 1 >= count:
        return float(values[count - 1])
    below, above, weight = values[low], values[low + 1], place - low
    if weight < 0.5:
        return float(below + (above - below) * weight)
    return float(above - (above - below) * (1.0 - weight))


@_compiled
def compute_thresholds(notional: Any, quantile: float, window: int, min_history: int, fallback: float) -> Any:
    """The size threshold in force at each liquidation, from those strictly before it: float64 of n."""
    thresholds = np.empty(len(notional), np.float64)
    ordered = np.empty(window, np.float64)
    for i in range(len(notional)):
        count = min(i, window)
        thresholds[i] = fallback if count < min_history else _interpolate(ordered, count, quantile)
        if count < window:
            _insert_sorted(ordered, count, notional[i])
        else:
            _replace_sorted(ordered, count, notional[i - window], notional[i])
    return thresholds


@_compiled
def _find_edges(known_ms: Any, max_gap_ms: int) -> Any:
    """First index of each cluster, and n: int64 of the number of clusters + 1."""
    edges = np.empty(len(known_ms) + 1, np.int64)
    count = 0
    for i in range(len(known_ms)):
        edges[count] = i
        count += i == 0 or known_ms[i] - known_ms[i - 1] > max_gap_ms
    edges[count] = len(known_ms)
    return edges[: count + 1]


@_compiled
def _make_table(largest: int) -> Any:
    """Keys and stamps of a hash table that a cluster of `largest` prices fills at most by half."""
    size = 16
    while size < 2 * largest:
        size *= 2
    return np.empty(size, np.uint64), np.full(size, -1, np.int64)


@_compiled
def _is_new_price(bits: Any, keys: Any, stamps: Any, stamp: int) -> bool:
    """Enter a price (its 64 bits) for the cluster `stamp`; False when it was there. Older stamps count as empty."""
    mask = len(keys) - 1
    # Round prices differ in their upper bits alone: those must reach the slot too.
    slot = int(((bits ^ (bits >> _HALF)) * _HASH_MULTIPLIER) >> _HALF) & mask
    while stamps[slot] == stamp:
        if keys[slot] == bits:
            return False
        slot = (slot + 1) & mask
    stamps[slot] = stamp
    keys[slot] = bits
    return True


@_compiled
def _open(whole: Any, parts: Any, index: int, known_ms: int, event_ms: int, price: float) -> None:
    whole[:] = 0
    parts[:] = 0.0
    whole[FIRST_INDEX] = index
    whole[FIRST_KNOWN] = known_ms
    whole[START] = event_ms
    whole[END] = event_ms
    parts[LOW] = price
    parts[HIGH] = price


@_compiled
def _add(whole: Any, parts: Any, known_ms: int, event_ms: int, is_long: bool, quantity: float, price: float) -> None:
    notional = price * quantity
    whole[START] = min(whole[START], event_ms)
    whole[END] = max(whole[END], event_ms)
    whole[LAST_KNOWN] = known_ms
    whole[COUNT] += 1
    other_side = 0 if is_long else 1
    parts[VOLUME] += quantity
    parts[NOTIONAL] += notional
    parts[LONG_VOLUME + other_side] += quantity
    parts[LONG_NOTIONAL + other_side] += notional
    parts[LOW] = min(parts[LOW], price)
    parts[HIGH] = max(parts[HIGH], price)


@_compiled
def _find_confirmation(
    quantity: Any, price: Any, first: int, stop: int, min_liquidations: int, min_notional: float
) -> int:
    """Index of the liquidation with which the cluster [first, stop) crosses every threshold; `stop` when none does."""
    notional = 0.0
    for i in range(first, stop):
        notional += price[i] * quantity[i]
        if i - first + 1 >= min_liquidations and notional >= min_notional:
            return i
    return stop


@_compiled
def _mark_confirmation(whole: Any, parts: Any) -> None:
    whole[CONFIRMED] = whole[LAST_KNOWN]
    whole[COUNT_AT_CONFIRMATION] = whole[COUNT]
    parts[NOTIONAL_AT_CONFIRMATION] = parts[NOTIONAL]


@_compiled
def fold(
    known_ms: Any,
    event_ms: Any,
    is_long: Any,
    quantity: Any,
    price: Any,
    bits: Any,
    max_gap_ms: int,
    min_liquidations: int,
    min_notional: float,
) -> Any:
    """The cascades of one symbol: an int64 and a float64 row each, as (m, N_COLUMNS).

    Arrays of n, in input order: `known_ms`, `event_ms` int64, `is_long` bool, `quantity`, `price` float64, `bits` the
    price as uint64.
    """
    edges = _find_edges(known_ms, max_gap_ms)
    keys, stamps = _make_table(np.max(np.diff(edges))) if len(edges) > 1 else _make_table(0)
    capacity = len(known_ms) // min_liquidations + 1
    wholes = np.empty((capacity, N_COLUMNS), np.int64)
    parts = np.empty((capacity, N_COLUMNS), np.float64)
    row = 0
    for k in range(len(edges) - 1):
        first, stop = edges[k], edges[k + 1]
        confirming = _find_confirmation(quantity, price, first, stop, min_liquidations, min_notional)
        if confirming == stop:
            continue
        whole, part = wholes[row], parts[row]
        _open(whole, part, first, known_ms[first], event_ms[first], price[first])
        for i in range(first, stop):
            _add(whole, part, known_ms[i], event_ms[i], is_long[i], quantity[i], price[i])
            whole[PRICE_LEVELS] += _is_new_price(bits[i], keys, stamps, k)
            if i == confirming:
                _mark_confirmation(whole, part)
        row += 1
    return wholes[:row].copy(), parts[:row].copy()


@_compiled
def unfold(
    known_ms: Any,
    event_ms: Any,
    is_long: Any,
    quantity: Any,
    price: Any,
    bits: Any,
    cascades: Any,
) -> Any:
    """Each cascade as it stood at confirmation, at each later liquidation, and once more for its end.

    `cascades` are the int64 rows of `fold` over the same arrays. Returns int64 and float64 rows, cascade by cascade.
    """
    n_events = len(cascades) + np.sum(cascades[:, COUNT] - cascades[:, COUNT_AT_CONFIRMATION] + 1)
    wholes = np.empty((n_events, N_COLUMNS), np.int64)
    parts = np.empty((n_events, N_COLUMNS), np.float64)
    keys, stamps = _make_table(np.max(cascades[:, COUNT])) if len(cascades) > 0 else _make_table(0)
    row = 0
    for k in range(len(cascades)):
        first = cascades[k, FIRST_INDEX]
        whole, part = np.empty(N_COLUMNS, np.int64), np.empty(N_COLUMNS, np.float64)
        _open(whole, part, first, known_ms[first], event_ms[first], price[first])
        for i in range(first, first + cascades[k, COUNT]):
            _add(whole, part, known_ms[i], event_ms[i], is_long[i], quantity[i], price[i])
            whole[PRICE_LEVELS] += _is_new_price(bits[i], keys, stamps, k)
            if whole[COUNT] == cascades[k, COUNT_AT_CONFIRMATION]:
                _mark_confirmation(whole, part)
            if whole[COUNT] >= cascades[k, COUNT_AT_CONFIRMATION]:
                wholes[row], parts[row] = whole, part
                row += 1
        wholes[row], parts[row] = whole, part
        row += 1
    return wholes, parts
