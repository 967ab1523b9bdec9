"""Rank correlations among subsets of rows, without sorting again.

Each column is sorted once and becomes codes: whole numbers below the number of rows that order like the values, equal
where they are equal, -1 where there is none. The ranks among any subset of rows follow from counting codes, in time
linear in the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def _compiled(function: Function) -> Function:
    """`function` compiled at its first call, cached on disk, run without the interpreter lock."""
    compiled: Function = njit(cache=True, nogil=True)(function)
    return compiled


@_compiled
def pick(codes: Any, keep: Any) -> Any:
    """The rows to keep whose code is not missing, and their codes, renumbered without holes; codes are below (n,)."""
    places = np.full(len(codes), np.int32(-1))
    n_rows = 0
    for row in range(len(codes)):
        if keep[row] and codes[row] >= 0:
            places[codes[row]] = 0
            n_rows += 1
    n_codes = np.int32(0)
    for code in range(len(codes)):
        if places[code] == 0:
            places[code] = n_codes
            n_codes += np.int32(1)
    rows, picked = np.empty(n_rows, np.int32), np.empty(n_rows, np.int32)
    place = 0
    for row in range(len(codes)):
        if keep[row] and codes[row] >= 0:
            rows[place] = row
            picked[place] = places[codes[row]]
            place += 1
    return rows, picked


@_compiled
def correlate(rows: Any, x: Any, y: Any) -> Any:
    """Spearman's correlation of codes x (p,), which belong to `rows` (p,), with y (n,), and its complete pairs.

    NaN with fewer than two pairs, or where a side does not vary among them.
    """
    x_ranks, y_ranks = np.empty(len(x), np.int32), np.empty(len(y), np.int32)
    n_pairs, x_squares, y_squares = _rank_pairs(rows, x, y, x_ranks, y_ranks)
    products = 0.0
    for place in range(len(rows)):
        other = y[rows[place]]
        if other >= 0:
            products += float(x_ranks[x[place]]) * float(y_ranks[other])
    return _divide(products, x_squares, y_squares), n_pairs


@_compiled
def correlate_days(x: Any, y: Any, starts: Any, stops: Any, correlations: Any, counts: Any) -> None:
    """Spearman's correlation within each stretch of rows [start, stop), ranked within it, and its complete pairs.

    `x` and `y` hold codes of `code_days`, which are below the length of the stretch's day.
    """
    everything = np.ones(len(x), np.bool_)
    for day in range(len(starts)):
        stretch = slice(starts[day], stops[day])
        size = max(1, stops[day] - starts[day])
        for row in range(starts[day], stops[day]):
            size = max(size, x[row] + 1, y[row] + 1)
        padded, others = np.full(size, np.int32(-1)), np.full(size, np.int32(-1))
        padded[: stops[day] - starts[day]] = x[stretch]
        others[: stops[day] - starts[day]] = y[stretch]
        rows, picked = pick(padded, everything[:size])
        correlations[day], counts[day] = correlate(rows, picked, others)


@_compiled
def code_days(codes: Any, day: Any, n_days: int) -> Any:
    """Codes that order like `codes` within each day and start at 0 there; `day` (n,) numbers the day of each row."""
    starts = np.zeros(len(codes) + 1, np.int64)
    for row in range(len(codes)):
        if codes[row] >= 0:
            starts[codes[row] + 1] += 1
    for code in range(len(codes)):
        starts[code + 1] += starts[code]
    order = np.empty(starts[-1], np.int64)
    for row in range(len(codes)):
        if codes[row] >= 0:
            order[starts[codes[row]]] = row
            starts[codes[row]] += 1
    last_code, last_number = np.full(n_days, -1), np.full(n_days, -1)
    result = np.full(len(codes), np.int32(-1))
    for row in order:
        now = day[row]
        if codes[row] != last_code[now]:
            last_code[now] = codes[row]
            last_number[now] += 1
        result[row] = last_number[now]
    return result


@_compiled
def measure_pair(
    rows: Any, x: Any, y: Any, labels: Any, block: Any, influence: Any, counts: Any, fifth_sums: Any, fifth_counts: Any
) -> Any:
    """Spearman's correlation of codes x (p,), which belong to `rows` (p,), with y (n,), and what its inference needs.

    `block` (n,) numbers the block of time of each row and ascends. With z the standardised ranks (mean 0, variance 1
    over the complete pairs), writes to `influence` (blocks,) the sum of z_x z_y - ic (z_x^2 + z_y^2) / 2 over each
    block, to `counts` the pairs in it, and to `fifth_sums` and `fifth_counts` the labels (n,) and pairs by the fifth of
    x. Returns the correlation and the number of complete pairs; NaN, and nothing is written, with fewer than two pairs
    or where a side does not vary among them. What is written to must hold zeros.
    """
    x_ranks, y_ranks = np.empty(len(x), np.int32), np.empty(len(y), np.int32)
    n_pairs, x_squares, y_squares = _rank_pairs(rows, x, y, x_ranks, y_ranks)
    if x_squares == 0.0 or y_squares == 0.0:
        return np.nan, n_pairs
    n_fifths = len(fifth_sums)
    fifth_of = np.empty(len(x), np.int32)
    for code in range(len(x)):
        fifth_of[code] = n_fifths * (np.int64(x_ranks[code]) + n_pairs) // (2 * n_pairs)
    x_sums, y_sums = np.zeros(len(influence)), np.zeros(len(influence))
    here, n_here, both, left_squares, right_squares, products = 0, 0, 0.0, 0.0, 0.0, 0.0
    for place in range(len(rows)):
        row = rows[place]
        if y[row] < 0:
            continue
        if block[row] != here:
            influence[here], x_sums[here], y_sums[here], counts[here] = both, left_squares, right_squares, n_here
            products += both
            here, n_here, both, left_squares, right_squares = block[row], 0, 0.0, 0.0, 0.0
        left, right = float(x_ranks[x[place]]), float(y_ranks[y[row]])
        n_here += 1
        both += left * right
        left_squares += left * left
        right_squares += right * right
        fifth = fifth_of[x[place]]
        fifth_sums[fifth] += labels[row]
        fifth_counts[fifth] += 1
    influence[here], x_sums[here], y_sums[here], counts[here] = both, left_squares, right_squares, n_here
    correlation = _divide(products + both, x_squares, y_squares)
    scale = n_pairs / np.sqrt(x_squares * y_squares)
    x_scale, y_scale = correlation * n_pairs / x_squares / 2.0, correlation * n_pairs / y_squares / 2.0
    for here in range(len(influence)):
        influence[here] = scale * influence[here] - x_scale * x_sums[here] - y_scale * y_sums[here]
    return correlation, n_pairs


@_compiled
def _divide(products: Any, x_squares: Any, y_squares: Any) -> Any:
    if x_squares == 0.0 or y_squares == 0.0:
        return np.nan
    return min(1.0, max(-1.0, products / np.sqrt(x_squares * y_squares)))


@_compiled
def _rank_pairs(rows: Any, x: Any, y: Any, x_ranks: Any, y_ranks: Any) -> Any:
    """The complete pairs and the sums of squared ranks; fills 2 rank - n - 1 by code into `*_ranks`."""
    x_ranks[:] = 0
    y_ranks[:] = 0
    n_pairs = 0
    for place in range(len(rows)):
        other = y[rows[place]]
        if other >= 0:
            x_ranks[x[place]] += 1
            y_ranks[other] += 1
            n_pairs += 1
    return n_pairs, _rank_counts(x_ranks, n_pairs), _rank_counts(y_ranks, n_pairs)


@_compiled
def _rank_counts(counts: Any, n_pairs: int) -> float:
    """Replace how often each code occurs by 2 rank - n - 1, the rank being the mean over ties; the sum of squares."""
    below, squares = 0, 0.0
    for code in range(len(counts)):
        count = counts[code]
        value = 2 * below + count - n_pairs
        counts[code] = value
        squares += float(count) * float(value) * float(value)
        below += count
    return squares
