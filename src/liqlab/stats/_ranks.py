"""Ranks by radix sort, and Spearman correlations of many pairs of columns at once.

Each column is sorted once. Its ranks among any subset of rows (those where the partner is not missing) follow from one
walk along that order, so columns with the same pattern of missing values share their ranks, and others cost a walk
instead of a sort.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])
Floats = npt.NDArray[np.float64]

DIGIT_BITS = 11
N_BUCKETS = 1 << DIGIT_BITS
#: Passes over the leading digits; what they leave undecided is settled run by run.
N_PASSES = 3
#: Rows up to which insertion is the faster sort.
SHORT_RUN = 32
_DIGIT = np.uint64(N_BUCKETS - 1)
_SIGN_BIT = np.uint64(63)
_SIGN = np.uint64(1 << 63)
#: Floats hold every whole number up to here.
_EXACT_INTEGERS = 2**53
#: Columns copied together out of a matrix stored row by row: as many floats as a cache line holds.
COLUMNS_OF_A_LINE = 8
#: Columns whose ranks are held at a time, for each of the two sides.
COLUMNS_AT_ONCE = 16
#: Rows of one exact partial product: small enough to stay in cache.
ROWS_AT_ONCE = 8192
#: Fewer are not worth a call; with more than 2.9 million rows the last bits may depend on the linear algebra library.
ROWS_AT_LEAST = 1024


def _compiled(function: Function) -> Function:
    """`function` compiled at its first call, cached on disk, run without the interpreter lock."""
    compiled: Function = njit(cache=True, nogil=True)(function)
    return compiled


def rank_average(values: npt.ArrayLike) -> Floats:
    """Ranks 1..n of the values (n,), ties sharing the mean of their ranks; NaN stay NaN and are not counted.

    -0.0 equals 0.0, and infinities rank as the extremes. The mid-ranks of Kendall (1945), "The treatment of ties in
    ranking problems", Biometrika 33; `scipy.stats.rankdata` and `pandas.Series.rank` by default.

    >>> rank_average([3.0, 1.0, float("nan"), 3.0]).tolist()
    [2.5, 1.0, nan, 2.5]
    """
    column = np.ascontiguousarray(values, dtype=np.float64)
    if column.ndim != 1:
        raise ValueError(f"values must be one-dimensional, got shape {column.shape}")
    present = ~np.isnan(column)
    doubled = np.zeros(column.size, dtype=np.int32)
    _walk(_sorted_order(column), present, int(present.sum()), doubled)
    return np.where(present, (doubled + (present.sum() + 1.0)) / 2.0, np.nan)


def rank_columns(matrix: npt.ArrayLike, workers: int = 1) -> Floats:
    """`rank_average` of each column of `matrix` (n, k), by `workers` threads; the result has shape (n, k)."""
    table = _matrix(matrix, "matrix")
    ranks = np.empty(table.shape, order="F")

    def rank(column: int) -> None:
        ranks[:, column] = rank_average(table[:, column])

    _for_each(rank, table.shape[1], workers)
    return ranks


def spearman_matrix(features: npt.ArrayLike, labels: npt.ArrayLike, workers: int = 1) -> Floats:
    """Spearman's rank correlation of each column of `features` (n, k) with each column of `labels` (n, m): (k, m).

    Each pair uses the rows where neither side is NaN, ranked among those rows: the Pearson correlation of mid-ranks r
    and s (Spearman 1904, "The proof and measurement of association between two things"), with N complete rows

        sum (2 r_i - N - 1)(2 s_i - N - 1) / sqrt(R S),   R = (N^3 - N - sum over ties of (t^3 - t)) / 3, S alike.

    Doubled and centred ranks are whole numbers, and their products are added in pieces that a float holds exactly, so
    up to 2.9 million rows the result depends neither on the number of `workers` (threads) nor on the linear algebra
    library. Infinite values rank as extremes. NaN where fewer than two complete rows are left, or where a side does not
    vary among them. Beyond its input it holds a 4-byte order per value and the 4-byte ranks of up to 16 columns of each
    side. Unlike numbers of rows are a ValueError.

    >>> spearman_matrix([[1.0], [2.0], [3.0]], [[1.0, 5.0], [4.0, 5.0], [9.0, 5.0]]).tolist()
    [[1.0, nan]]
    """
    left, right = _matrix(features, "features"), _matrix(labels, "labels")
    if left.shape[0] != right.shape[0]:
        raise ValueError(f"features and labels must have the same rows, got {left.shape[0]} and {right.shape[0]}")
    result = np.full((left.shape[1], right.shape[1]), np.nan)
    n_rows = left.shape[0]
    (left_orders, left_groups), (right_orders, right_groups) = _prepare(left, workers), _prepare(right, workers)
    for right_pattern, right_columns in right_groups.items():
        for left_pattern, left_columns in left_groups.items():
            keep = _present(left_pattern, n_rows) & _present(right_pattern, n_rows)
            for columns in _pieces(right_columns):
                others = _rank_among(right_orders, columns, keep, workers)
                for rows in _pieces(left_columns):
                    ranked = _rank_among(left_orders, rows, keep, workers)
                    result[np.ix_(rows, columns)] = _correlate(ranked, others)
    return result


@dataclass(frozen=True)
class _Ranked:
    """Doubled, centred ranks of some columns (columns, n), 0 in rows left out, and the sum of their squares."""

    doubled: npt.NDArray[np.int32]
    squares: Floats
    n_rows: int


def _matrix(values: npt.ArrayLike, name: str) -> Floats:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"{name} must be two-dimensional, got shape {table.shape}")
    if table.shape[0] > np.iinfo(np.int32).max // 2:
        raise ValueError(f"{name} may have at most {np.iinfo(np.int32).max // 2} rows, got {table.shape[0]}")
    return table


def _for_each(work: Callable[[int], None], count: int, workers: int) -> None:
    """`work` of 0..count-1; the compiled kernels run without the interpreter lock, so threads share the cores."""
    if workers == 1 or count < 2:
        for item in range(count):
            work(item)
        return
    with ThreadPoolExecutor(workers) as pool:
        for future in [pool.submit(work, item) for item in range(count)]:
            future.result()


def _prepare(table: Floats, workers: int) -> tuple[list[npt.NDArray[np.int32]], dict[bytes, list[int]]]:
    """The order of each column, see `_sorted_order`, and the columns by their packed pattern of missing values."""
    n_columns = table.shape[1]
    orders: list[npt.NDArray[np.int32]] = [np.empty(0, np.int32)] * n_columns
    patterns = [b""] * n_columns

    def prepare(piece: int) -> None:
        columns = range(piece * COLUMNS_OF_A_LINE, min((piece + 1) * COLUMNS_OF_A_LINE, n_columns))
        for column, values in zip(columns, _split(table[:, columns.start : columns.stop]), strict=True):
            orders[column] = _sorted_order(values)
            patterns[column] = np.packbits(np.isnan(values)).tobytes()

    _for_each(prepare, -(-n_columns // COLUMNS_OF_A_LINE), workers)
    groups: dict[bytes, list[int]] = {}
    for column, pattern in enumerate(patterns):
        groups.setdefault(pattern, []).append(column)
    return orders, groups


def _split(table: Floats) -> Floats:
    """The columns as the rows of an array, each contiguous; a copy only where they are not."""
    if table.T.flags.c_contiguous:
        return table.T
    columns = np.empty(table.shape[::-1])
    _transpose(table, columns)
    return columns


def _present(pattern: bytes, n_rows: int) -> npt.NDArray[np.bool_]:
    present: npt.NDArray[np.bool_] = np.unpackbits(np.frombuffer(pattern, np.uint8), count=n_rows) == 0
    return present


def _pieces(columns: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(columns), COLUMNS_AT_ONCE):
        yield columns[start : start + COLUMNS_AT_ONCE]


def _rank_among(
    orders: list[npt.NDArray[np.int32]], columns: list[int], keep: npt.NDArray[np.bool_], workers: int
) -> _Ranked:
    doubled = np.zeros((len(columns), keep.size), np.int32)
    squares = np.empty(len(columns))
    n_rows = int(keep.sum())

    def walk(place: int) -> None:
        squares[place] = _walk(orders[columns[place]], keep, n_rows, doubled[place])

    _for_each(walk, len(columns), workers)
    return _Ranked(doubled, squares, n_rows)


def _correlate(left: _Ranked, right: _Ranked) -> Floats:
    """The correlation of each column of `left` with each of `right`, both ranked among the same rows."""
    # Products are below n^2: so many of them add up without rounding, in whatever order.
    rows = min(max(_EXACT_INTEGERS // max(left.n_rows, 1) ** 2, ROWS_AT_LEAST), ROWS_AT_ONCE)
    products = np.zeros((left.squares.size, right.squares.size))
    for start in range(0, left.doubled.shape[1], rows):
        part = slice(start, start + rows)
        products += left.doubled[:, part].astype(np.float64) @ right.doubled[:, part].astype(np.float64).T
    scale = np.sqrt(left.squares[:, None] * right.squares)  # exact, hence 1.0, where both are alike
    correlation = np.divide(products, scale, out=np.full(scale.shape, np.nan), where=scale > 0.0)
    clipped: Floats = np.clip(correlation, -1.0, 1.0)
    return clipped


@_compiled
def _walk(order: Any, keep: Any, n_keep: int, doubled: Any) -> float:
    """Write 2 rank - n_keep - 1 of the rows to keep, ranked among them; return the sum of the squares.

    `doubled` must hold zeros. `order` is of `_sorted_order`; `keep` may only hold rows that it has.
    """
    below, start, size = 0, 0, len(order)
    ties = 0.0
    while start < size:
        stop = start + 1
        n_equal = 1 if keep[order[start]] else 0
        while stop < size and order[stop] < 0:
            if keep[~order[stop]]:
                n_equal += 1
            stop += 1
        value = 2 * below + n_equal - n_keep
        if keep[order[start]]:
            doubled[order[start]] = value
        for place in range(start + 1, stop):
            if keep[~order[place]]:
                doubled[~order[place]] = value
        below += n_equal
        ties += float(n_equal) ** 3 - n_equal
        start = stop
    return (float(n_keep) ** 3 - n_keep - ties) / 3.0


@_compiled
def _transpose(table: Any, columns: Any) -> None:
    """Read row by row, so that each cache line of the table is fetched once."""
    for row in range(table.shape[0]):
        for column in range(table.shape[1]):
            columns[column, row] = table[row, column]


@_compiled
def _sorted_order(values: Any) -> Any:
    """Rows of the values that are not NaN, ascending and stable; ~row where the value equals the one before."""
    keys, smallest, largest, size = _order_keys(values)
    if size == 0:
        return np.empty(0, np.int32)
    row_bits = _bit_length(np.uint64(len(values)))
    key_bits = _bit_length(largest - smallest)
    dropped = max(key_bits - min(N_PASSES * DIGIT_BITS, 64 - row_bits), 0)
    packed = np.empty(size, np.uint64)
    place = 0
    for row in range(len(values)):
        if not np.isnan(values[row]):
            leading = (keys[row] - smallest) >> np.uint64(dropped)
            packed[place] = leading << np.uint64(row_bits) | np.uint64(row)
            place += 1
    packed = _radix_sort(packed, row_bits, key_bits - dropped)
    order = np.empty(size, np.int32)
    row_mask = (np.uint64(1) << np.uint64(row_bits)) - np.uint64(1)
    for place in range(size):
        order[place] = np.int32(packed[place] & row_mask)
    _settle_runs(order, packed, keys, row_bits)
    return order


@_compiled
def _order_keys(values: Any) -> Any:
    """Whole numbers that sort like the values, those of NaN meaningless; the smallest, the largest, how many count."""
    bits = (values + 0.0).view(np.uint64)  # -0.0 + 0.0 is 0.0
    keys = np.empty(len(values), np.uint64)
    for row in range(np.uint64(len(values))):
        keys[row] = bits[row] ^ ((np.uint64(0) - (bits[row] >> _SIGN_BIT)) | _SIGN)
    lowest, highest, size = -1, -1, 0
    for row in range(len(values)):
        size += 1 if values[row] == values[row] else 0
        if values[row] == values[row] and (lowest < 0 or values[row] < values[lowest]):
            lowest = row
        if values[row] == values[row] and (highest < 0 or values[row] > values[highest]):
            highest = row
    return keys, keys[lowest], keys[highest], size


@_compiled
def _bit_length(number: Any) -> int:
    length = 0
    while number > np.uint64(0):
        number >>= np.uint64(1)
        length += 1
    return length


@_compiled
def _radix_sort(keys: Any, lowest_bit: int, n_bits: int) -> Any:
    """The keys in ascending order of `n_bits` bits from `lowest_bit`, equal ones as they came.

    Least significant digit first (Knuth, The Art of Computer Programming 3, algorithm 5.2.5R), without the passes over
    a digit that is the same everywhere.
    """
    other = np.empty_like(keys)
    for bit in range(lowest_bit, lowest_bit + n_bits, DIGIT_BITS):
        shift = np.uint64(bit)
        counts = np.zeros(N_BUCKETS, np.int64)
        for place in range(len(keys)):
            counts[np.int64((keys[place] >> shift) & _DIGIT)] += 1
        if counts.max() == len(keys):
            continue
        targets = np.cumsum(counts) - counts
        for place in range(len(keys)):
            digit = np.int64((keys[place] >> shift) & _DIGIT)
            other[targets[digit]] = keys[place]
            targets[digit] += 1
        keys, other = other, keys
    return keys


@_compiled
def _settle_runs(order: Any, packed: Any, keys: Any, row_bits: int) -> None:
    """Sort the rows within each run of equal leading bits by their whole keys, and mark the ties."""
    shift = np.uint64(row_bits)
    start = 0
    while start < len(order):
        leading = packed[start] >> shift
        stop = start + 1
        is_sorted = True
        while stop < len(order) and packed[stop] >> shift == leading:
            is_sorted = is_sorted and keys[order[stop - 1]] <= keys[order[stop]]
            stop += 1
        if not is_sorted:
            _sort_run(order[start:stop], keys)
        for place in range(stop - 1, start, -1):
            if keys[order[place]] == keys[order[place - 1]]:
                order[place] = ~order[place]
        start = stop


@_compiled
def _sort_run(order: Any, keys: Any) -> None:
    """Sort the rows by their keys, stably: by insertion where they are few."""
    if len(order) > SHORT_RUN:
        order[:] = order[np.argsort(keys[order], kind="mergesort")]
        return
    for place in range(1, len(order)):
        row = order[place]
        hole = place
        while hole > 0 and keys[order[hole - 1]] > keys[row]:
            order[hole] = order[hole - 1]
            hole -= 1
        order[hole] = row
