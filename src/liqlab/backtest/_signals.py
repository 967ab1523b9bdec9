"""What the strategies share: trailing sums on the grid, edges of a condition, its next moment, columns into orders."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from numba import njit

from liqlab.backtest._inputs import BAR_MS, MarketInputs
from liqlab.backtest._orders import NEVER, SIGNAL_NORMAL, SIGNAL_STOP, Orders
from liqlab.core.time import MS_PER_HOUR, MS_PER_MINUTE
from liqlab.stats import rolling_count, rolling_sum

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]
#: Columns of `Orders` by name, each (n,) or one value for all; `decision_ms` is always an array.
Columns = dict[str, Any]

Function = TypeVar("Function", bound=Callable[..., Any])

#: An order is filled within this time of its activation or not at all: later exit signals find nothing to close.
FILL_SLACK_MS = MS_PER_HOUR
#: Share of a trailing window in which the recorder must have listened for the window to be judged.
LEAST_COVERED_FRAC = 0.8


def compiled(function: Function) -> Function:
    """`function` compiled at its first call, cached on disk, run without the interpreter lock."""
    result: Function = njit(cache=True, nogil=True)(function)
    return result


def rows_of(minutes: float) -> int:
    """Rows of the 5-second grid in so many minutes, at least 1."""
    return max(1, round(minutes * MS_PER_MINUTE / BAR_MS))


def hide_uncovered(values: npt.NDArray[Any], covered: Booleans) -> Floats:
    """The values, NaN where the recorder was not listening; (n,)."""
    return np.where(covered, values, np.nan).astype(np.float64)


def sum_covered(values: npt.NDArray[Any], covered: Booleans, rows: int) -> Floats:
    """Sum over the covered ones of the last `rows` bars; NaN where none is; (n,)."""
    return rolling_sum(hide_uncovered(values, covered), rows)


def find_ready(covered: Booleans, rows: int) -> Booleans:
    """Where the recorder listens and did so in enough of the last `rows` bars, the first of them included; (n,)."""
    heard = rolling_count(np.where(covered, 0.0, np.nan), rows)
    return covered & (heard >= math.ceil(LEAST_COVERED_FRAC * rows - 1e-9))


def find_edges(holds: Booleans, is_ready: Booleans) -> Integers:
    """The rows at which a condition begins to hold, where it could be told there and in the row before; (k,)."""
    begins = holds[1:] & ~holds[:-1] & is_ready[1:] & is_ready[:-1]
    return np.flatnonzero(begins) + 1


def find_next(holds: Booleans, rows: Integers) -> Integers:
    """For each row the first later one at which a condition holds; the number of rows where none does."""
    places = np.flatnonzero(holds)
    following = np.searchsorted(places, rows, side="right")
    return np.append(places, len(holds))[following].astype(np.int64)


def time_of(times_ms: Integers, rows: Integers) -> Integers:
    """The time of each row, `NEVER` for a row past the end."""
    return np.append(times_ms, NEVER)[rows].astype(np.int64)


def join_signals(normal_ms: Integers, stop_ms: Integers, last_ms: Integers) -> tuple[Integers, Integers]:
    """`exit_signal_ms` and `exit_signal`: the earlier of the two, the stop of equal ones; none after `last_ms`."""
    first_ms = np.minimum(normal_ms, stop_ms)
    is_found = first_ms <= last_ms
    code = np.where(is_found & (stop_ms <= normal_ms), SIGNAL_STOP, SIGNAL_NORMAL)
    return np.where(is_found, first_ms, NEVER), code


def off_at_zero(value: float) -> float:
    """A parameter for which 0 means none, as the orders want it: NaN."""
    return value if value > 0.0 else math.nan


def gather_orders(inputs: MarketInputs, parts: Mapping[str, Columns]) -> Orders:
    """The orders of several symbols, from the columns that each one's decisions have in common."""
    names = tuple(inputs.symbols)
    filled = [(names.index(name), part) for name, part in parts.items() if len(part["decision_ms"])]
    if not filled:
        return Orders.empty(names)
    counts = [len(part["decision_ms"]) for _, part in filled]
    codes = np.repeat([code for code, _ in filled], counts)
    columns = {
        name: np.concatenate([np.broadcast_to(part[name], (n,)) for n, (_, part) in zip(counts, filled, strict=True)])
        for name in filled[0][1]
    }
    return Orders.gather(names, codes, **columns)
