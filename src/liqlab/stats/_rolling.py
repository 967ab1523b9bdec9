"""Trailing windows in one pass, as accurate as two.

A window of `window` rows that ends at row i covers the tail of one block of `window` rows and the head of the next.
So each block is folded once from its front and once from its back, and every window is the merger of a tail and a head:
the blocks of van Herk (1992) and Gil and Werman (1993). Nothing is ever subtracted from a running total, hence a value
that has left the window leaves no trace, however large it was. Moments are folded by Welford's (1962) recursion, around
a value of the window itself, and merged by the formula of Chan, Golub and LeVeque (1983).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])
Floats = npt.NDArray[np.float64]


def _compiled(function: Function) -> Function:
    """`function` compiled at its first call, cached on disk, run without the interpreter lock."""
    compiled: Function = njit(cache=True, nogil=True)(function)
    return compiled


@dataclass(frozen=True)
class RollingMoments:
    """Count, mean and standard deviation (n - 1) of the values in each trailing window; each of shape (n,)."""

    count: npt.NDArray[np.int64]
    mean: Floats
    std: Floats


def rolling_moments(values: npt.ArrayLike, window: int) -> RollingMoments:
    """Moments of the last `window` rows up to and including each row; `values` has shape (n,).

    NaN values are left out, `count` says how many are in; the first rows have shorter windows, which `count` says too.
    The mean is NaN in a window without values, the standard deviation (divided by count - 1) in one with fewer than
    two; it is exactly 0.0 where all values are equal. A window that holds an infinite value has NaN for both, and no
    other window is touched by it. Row i depends on rows up to i only. `window` below 1 is a ValueError.

    With a tail (n_a, mean_a, M2_a) and a head (n_b, mean_b, M2_b), M2 the sum of squared deviations, and
    d = mean_a - mean_b: mean = mean_b + d n_a / (n_a + n_b), M2 = M2_a + M2_b + d^2 n_a n_b / (n_a + n_b).
    Chan, Golub and LeVeque (1983), "Algorithms for computing the sample variance", The American Statistician 37.

    >>> rolling_moments([1.0, 3.0, float("nan"), 5.0], 2).mean.tolist()
    [1.0, 2.0, 3.0, 5.0]
    """
    sample = _series(values, window)
    return RollingMoments(*_fold_moments(sample, min(window, max(sample.size, 1))))


def rolling_count(values: npt.ArrayLike, window: int) -> npt.NDArray[np.int64]:
    """How many of the last `window` rows are not NaN, for each row of `values` (n,)."""
    counts = np.cumsum(~np.isnan(_series(values, window)), dtype=np.int64)
    counts[window:] -= counts[:-window].copy()
    return counts


def rolling_sum(values: npt.ArrayLike, window: int) -> Floats:
    """Sum of the last `window` rows up to and including each row; `values` and the result have shape (n,).

    NaN values are left out; a window without values gives NaN, one with an infinite value is not finite. The sum of a
    tail and a head, each added up from its own values: no difference of running totals. `window` below 1 is a
    ValueError.

    >>> rolling_sum([1.0, 2.0, 4.0], 2).tolist()
    [1.0, 3.0, 6.0]
    """
    sample = _series(values, window)
    sums: Floats = _fold_sum(sample, min(window, max(sample.size, 1)))
    return sums


def rolling_max(values: npt.ArrayLike, window: int) -> Floats:
    """Largest of the last `window` rows up to and including each row; `values` and the result have shape (n,).

    NaN values are left out; a window without values gives NaN. van Herk (1992), "A fast algorithm for local minimum
    and maximum filters", Pattern Recognition Letters 13. `window` below 1 is a ValueError.

    >>> rolling_max([3.0, 2.0, 1.0], 2).tolist()
    [3.0, 3.0, 2.0]
    """
    sample = _series(values, window)
    largest: Floats = _fold_max(sample, min(window, max(sample.size, 1)))
    return largest


def rolling_correlation(x: npt.ArrayLike, y: npt.ArrayLike, window: int) -> Floats:
    """Pearson correlation of the last `window` rows of `x` and `y` (both of shape (n,)), for each row.

    Rows where either is NaN are left out. NaN where fewer than two rows are left, where either side does not vary
    within the window, and where the window holds an infinite value; else within [-1, 1]. With C the sum of products of
    deviations, correlation = C / sqrt(M2_x M2_y); tail and head merge like the moments of `rolling_moments`, with
    C = C_a + C_b + d_x d_y n_a n_b / (n_a + n_b). Unlike shapes and a `window` below 1 are ValueErrors.

    >>> rolling_correlation([1.0, 2.0, 3.0], [1.0, 0.0, 5.0], 2).tolist()
    [nan, -1.0, 1.0]
    """
    left, right = _series(x, window), _series(y, window)
    if left.shape != right.shape:
        raise ValueError(f"x and y must have one shape, got {left.shape} and {right.shape}")
    correlations: Floats = _fold_correlation(left, right, min(window, max(left.size, 1)))
    return correlations


def _series(values: npt.ArrayLike, window: int) -> Floats:
    if window < 1:
        raise ValueError(f"window must be at least 1 row, got {window}")
    series = np.ascontiguousarray(values, dtype=np.float64)
    if series.ndim != 1:
        raise ValueError(f"values must be one-dimensional, got shape {series.shape}")
    return series


@_compiled
def _reciprocals(size: int) -> Any:
    table = np.empty(size + 1)
    table[0] = np.nan
    for count in range(1, size + 1):
        table[count] = 1.0 / count
    return table


@_compiled
def _fold_moments(values: Any, window: int) -> Any:
    n = len(values)
    count, mean, std = np.empty(n, np.int64), np.empty(n), np.empty(n)
    one_over = _reciprocals(window)
    tail_count, tail_mean, tail_m2 = np.zeros(window + 1, np.int64), np.zeros(window + 1), np.zeros(window + 1)
    tail_origin = 0.0
    for start in range(0, n, window):
        stop = min(start + window, n)
        n_head, origin, head_mean, head_m2 = 0, 0.0, 0.0, 0.0
        for i in range(start, stop):
            if not np.isnan(values[i]):
                if n_head == 0:
                    origin = values[i]
                n_head += 1
                deviation = (values[i] - origin) - head_mean
                head_mean += deviation * one_over[n_head]
                head_m2 += deviation * ((values[i] - origin) - head_mean)
            place = i - start + 1
            n_tail = tail_count[place]
            n_all = n_tail + n_head
            if n_tail == 0:
                m2, centre = head_m2, origin + head_mean
            elif n_head == 0:
                m2, centre = tail_m2[place], tail_origin + tail_mean[place]
            else:
                gap = (tail_origin - origin) + (tail_mean[place] - head_mean)
                share = n_tail * one_over[n_all]
                m2 = tail_m2[place] + head_m2 + gap * gap * share * n_head
                centre = origin + (head_mean + gap * share)
            count[i] = n_all
            mean[i] = centre if n_all > 0 and m2 == m2 else np.nan
            std[i] = np.sqrt(m2 * one_over[n_all - 1]) if n_all > 1 else np.nan
        if stop - start == window:
            tail_origin = _fold_tail(values, start, window, one_over, tail_count, tail_mean, tail_m2)
    return count, mean, std


@_compiled
def _fold_tail(values: Any, start: int, window: int, one_over: Any, count: Any, mean: Any, m2: Any) -> float:
    """Moments of values[start + place : start + window] for each place; means are relative to the origin returned."""
    n, origin, centre, squares = 0, 0.0, 0.0, 0.0
    for place in range(window - 1, 0, -1):
        value = values[start + place]
        if not np.isnan(value):
            if n == 0:
                origin = value
            n += 1
            deviation = (value - origin) - centre
            centre += deviation * one_over[n]
            squares += deviation * ((value - origin) - centre)
        count[place], mean[place], m2[place] = n, centre, squares
    return origin


@_compiled
def _fold_sum(values: Any, window: int) -> Any:
    n = len(values)
    result = np.empty(n)
    tail = np.full(window + 1, np.nan)
    for start in range(0, n, window):
        stop = min(start + window, n)
        head = np.nan
        for i in range(start, stop):
            head = _plus(head, values[i])
            result[i] = _plus(tail[i - start + 1], head)
        if stop - start == window:
            total = np.nan
            for place in range(window - 1, 0, -1):
                total = _plus(total, values[start + place])
                tail[place] = total
    return result


@_compiled
def _plus(total: float, value: float) -> float:
    """The sum of what is there, where NaN is nothing; infinities of both signs stay together as one infinity."""
    if np.isnan(value):
        return total
    if np.isnan(total):
        return value
    if np.isinf(total):
        return total
    return total + value


@_compiled
def _fold_max(values: Any, window: int) -> Any:
    n = len(values)
    result = np.empty(n)
    tail = np.full(window + 1, np.nan)
    for start in range(0, n, window):
        stop = min(start + window, n)
        head = np.nan
        for i in range(start, stop):
            head = _larger(head, values[i])
            result[i] = _larger(tail[i - start + 1], head)
        if stop - start == window:
            largest = np.nan
            for place in range(window - 1, 0, -1):
                largest = _larger(largest, values[start + place])
                tail[place] = largest
    return result


@_compiled
def _larger(left: float, right: float) -> float:
    if np.isnan(left) or right > left:
        return right
    return left


@_compiled
def _fold_correlation(x: Any, y: Any, window: int) -> Any:
    n = len(x)
    result = np.empty(n)
    one_over = _reciprocals(window)
    tail = np.zeros((window + 1, 6))
    head = np.zeros(6)
    tail_x, tail_y = 0.0, 0.0
    for start in range(0, n, window):
        stop = min(start + window, n)
        head[:] = 0.0
        origin_x, origin_y = 0.0, 0.0
        for i in range(start, stop):
            if not (np.isnan(x[i]) or np.isnan(y[i])):
                if head[0] == 0.0:
                    origin_x, origin_y = x[i], y[i]
                _add_pair(head, x[i] - origin_x, y[i] - origin_y, one_over)
            other = tail[i - start + 1]
            result[i] = _merged_correlation(other, head, tail_x - origin_x, tail_y - origin_y, one_over)
        if stop - start == window:
            tail_x, tail_y = _fold_pair_tail(x, y, start, window, one_over, tail)
    return result


@_compiled
def _fold_pair_tail(x: Any, y: Any, start: int, window: int, one_over: Any, tail: Any) -> Any:
    state = np.zeros(6)
    origin_x, origin_y = 0.0, 0.0
    for place in range(window - 1, 0, -1):
        left, right = x[start + place], y[start + place]
        if not (np.isnan(left) or np.isnan(right)):
            if state[0] == 0.0:
                origin_x, origin_y = left, right
            _add_pair(state, left - origin_x, right - origin_y, one_over)
        for column in range(6):
            tail[place, column] = state[column]
    return origin_x, origin_y


@_compiled
def _add_pair(state: Any, x: float, y: float, one_over: Any) -> None:
    """Welford's step for (count, mean x, mean y, M2 x, M2 y, C)."""
    state[0] += 1.0
    share = one_over[int(state[0])]
    from_x, from_y = x - state[1], y - state[2]
    state[1] += from_x * share
    state[2] += from_y * share
    state[3] += from_x * (x - state[1])
    state[4] += from_y * (y - state[2])
    state[5] += from_x * (y - state[2])


@_compiled
def _merged_correlation(tail: Any, head: Any, origins_x: float, origins_y: float, one_over: Any) -> float:
    n_tail, n_head = tail[0], head[0]
    n_all = n_tail + n_head
    if n_all < 2.0:
        return np.nan
    if n_tail == 0.0:
        squares_x, squares_y, products = head[3], head[4], head[5]
    elif n_head == 0.0:
        squares_x, squares_y, products = tail[3], tail[4], tail[5]
    else:
        weight = n_tail * n_head * one_over[int(n_all)]
        gap_x, gap_y = origins_x + (tail[1] - head[1]), origins_y + (tail[2] - head[2])
        squares_x = tail[3] + head[3] + gap_x * gap_x * weight
        squares_y = tail[4] + head[4] + gap_y * gap_y * weight
        products = tail[5] + head[5] + gap_x * gap_y * weight
    if not (squares_x > 0.0 and squares_y > 0.0):
        return np.nan
    scale = np.sqrt(squares_x * squares_y)  # exact where both are alike
    if not 1e-140 < scale < 1e140:
        scale = np.sqrt(squares_x) * np.sqrt(squares_y)
    correlation = products / scale
    return max(-1.0, min(1.0, correlation)) if correlation == correlation else np.nan
