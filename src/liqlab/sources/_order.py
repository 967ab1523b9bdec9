"""The canonical order of rows: known time, event time, place in the message, file, line.

Captures come nearly sorted by known time, so sorting by that and then only what ties is several times faster than
sorting by all columns at once.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray

Integers = NDArray[np.int64]

#: Ties up to this many are sorted one by one.
_SHORT_RUN = 64


def sort_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of any table of captures in canonical order; a table without `position` counts it as 0.

    `known_time` must have no null.
    """
    if _is_in_order(rows):
        return rows
    in_order = pl.Enum(rows["source_file"].unique().sort())
    file = rows["source_file"].cast(in_order).to_physical().cast(pl.Int64).to_numpy()
    return rows[compute_order(*_times_and_position(rows), file, rows["source_line"].to_numpy())]


def compute_order(known: Integers, event: Integers, position: Integers, file: Integers, line: Integers) -> Integers:
    """Places of the rows sorted by these columns, the first counting most; int64 of shape (n,) each, and the result."""
    order = np.argsort(known, kind="stable")
    places = np.flatnonzero(_sort_ties(order, known, event, position, file, line))
    rows_there = order[places]
    by_all = (line[rows_there], file[rows_there], position[rows_there], event[rows_there], known[rows_there])
    order[places] = rows_there[np.lexsort(by_all)]
    return order


@njit(cache=True, nogil=True)
def _sort_ties(order, known, event, position, file, line):  # type: ignore[no-untyped-def]
    """Sort short runs of equal known times in place; per place, whether it lies in a longer one that is not sorted."""
    n = order.shape[0]
    unsorted = np.zeros(n, np.bool_)
    start = 0
    while start < n:
        end = start + 1
        while end < n and known[order[end]] == known[order[start]]:
            end += 1
        if end - start <= _SHORT_RUN:
            for i in range(start + 1, end):
                row = order[i]
                key = (event[row], position[row], file[row], line[row])
                j = i
                while j > start:
                    other = order[j - 1]
                    if (event[other], position[other], file[other], line[other]) <= key:
                        break
                    order[j] = other
                    j -= 1
                order[j] = row
        else:
            unsorted[start:end] = True
        start = end
    return unsorted


def _is_in_order(rows: pl.DataFrame) -> bool:
    """Whether the rows are in canonical order; names of files are only looked at where all else ties."""
    is_sorted, tie = _find_ties(*_times_and_position(rows))
    places = np.flatnonzero(tie)
    if not is_sorted or not len(places):
        return bool(is_sorted)
    origin = rows.select("source_file", "source_line")
    before, after = origin[places - 1], origin[places]
    by_file = before["source_file"] < after["source_file"]
    by_line = (before["source_file"] == after["source_file"]) & (before["source_line"] <= after["source_line"])
    return bool((by_file | by_line).all())


@njit(cache=True, nogil=True)
def _find_ties(known, event, position):  # type: ignore[no-untyped-def]
    """(whether the rows are sorted by the three, whether each row equals the one before it in all three)."""
    n = known.shape[0]
    tie = np.zeros(n, np.bool_)
    for i in range(1, n):
        if known[i] == known[i - 1]:
            before, after = (event[i - 1], position[i - 1]), (event[i], position[i])
            if before > after:
                return False, tie
            tie[i] = before == after
        elif known[i] < known[i - 1]:
            return False, tie
    return True, tie


def _times_and_position(rows: pl.DataFrame) -> tuple[Integers, Integers, Integers]:
    position = rows["position"].to_numpy() if "position" in rows.columns else np.zeros(rows.height, np.int64)
    return rows["known_time"].to_physical().to_numpy(), rows["event_time"].to_physical().to_numpy(), position
