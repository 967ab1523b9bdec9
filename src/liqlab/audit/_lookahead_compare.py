"""Two runs of one chain side by side: whatever was claimed to be known at a moment must be the same in both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.core.schema import TIME
from liqlab.core.time import MS_PER_S, format_time

Booleans = npt.NDArray[np.bool_]
Tables = Mapping[str, pl.DataFrame]

#: Columns that tell rows apart, as far as a table has them; rows equal in all of them are numbered in the order given.
IDENTITY = (
    "symbol",
    "time",
    "cascade_id",
    "target",
    "horizon_s",
    "split",
    "model",
    "source_file",
    "source_line",
    "position",
)
#: In place of a column's name when it is the row, or the whole table, that is not there.
WHOLE_ROW = "(row)"
WHOLE_TABLE = "(table)"
_NUMBER = "_number"


@dataclass(frozen=True)
class Cut:
    """A moment (milliseconds UTC) at which the past is cut off from what came after, and why this one."""

    time_ms: int
    kind: str


@dataclass(frozen=True)
class WrongValue:
    """A value that should have been the same: where it stands, what it is in the full run, what at the cut.

    `time_ms` and `symbol` are None when a whole column or table differs; `cut` is None when the rule needs no cut.
    """

    time_ms: int | None
    symbol: str | None
    full: str
    at_cut: str
    cut: Cut | None


@dataclass(frozen=True)
class ColumnCheck:
    """One column of one table: values looked at, how many were wrong, the first wrong one."""

    table: str
    column: str
    n_values: int
    n_wrong: int
    first: WrongValue | None


def compare_tables(full: Tables, at_cut: Tables, cut: Cut) -> list[ColumnCheck]:
    """Every column of every table of two runs, rows with `time` at or before the cut.

    Rows are matched by `IDENTITY`. Null equals null, NaN equals NaN, other floats must agree bit for bit; a row, column
    or table that only one of them has, or a column of another type, is wrong.
    """
    checks: list[ColumnCheck] = []
    for name in [*full, *(name for name in at_cut if name not in full)]:
        if name not in full or name not in at_cut:
            checks.append(_missing(name, WHOLE_TABLE, "table", name in full, cut))
        else:
            checks.extend(_compare_table(name, _known_by(full[name], cut), _known_by(at_cut[name], cut), cut))
    return checks


def describe_value(value: Any) -> str:
    """A value as text that tells different values apart.

    >>> describe_value(None), describe_value(0.1), describe_value(-0.0)
    ('null', '0.1', '-0.0')
    """
    if value is None:
        return "null"
    return describe_time(round(value.timestamp() * MS_PER_S)) if hasattr(value, "timestamp") else str(value)


def describe_time(time_ms: int) -> str:
    """UTC time to the millisecond.

    >>> describe_time(1770665589949)
    '2026-02-09 19:33:09.949'
    """
    return f"{format_time(time_ms // MS_PER_S * MS_PER_S)}.{time_ms % MS_PER_S:03d}"


def _known_by(frame: pl.DataFrame, cut: Cut) -> pl.DataFrame:
    return frame.filter(pl.col("time") <= pl.lit(cut.time_ms, pl.Int64).cast(TIME))


def _missing(table: str, column: str, what: str, in_full: bool, cut: Cut) -> ColumnCheck:
    there, gone = f"a {what}", f"no {what}"
    values = (there, gone) if in_full else (gone, there)
    return ColumnCheck(table, column, 1, 1, WrongValue(None, None, *values, cut))


def _compare_table(name: str, full: pl.DataFrame, at_cut: pl.DataFrame, cut: Cut) -> Iterator[ColumnCheck]:
    keys = [key for key in IDENTITY if key in full.columns and key in at_cut.columns]
    if not full.select(keys).equals(at_cut.select(keys)):
        full, at_cut = _number_rows(full, keys), _number_rows(at_cut, keys)
        keys = [*keys, _NUMBER]
        yield _compare_rows(name, full, at_cut, keys, cut)
        full, at_cut = _align(full, at_cut, keys), _align(at_cut, full, keys)
    for column in [*full.columns, *(column for column in at_cut.columns if column not in full.columns)]:
        if column in keys:
            continue
        if column not in full.columns or column not in at_cut.columns:
            yield _missing(name, column, "column", column in full.columns, cut)
        else:
            yield _compare_column(name, column, full, at_cut, cut)


def _number_rows(frame: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    return frame.with_columns(pl.int_range(pl.len()).over(keys).alias(_NUMBER))


def _align(frame: pl.DataFrame, other: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    return frame.join(other.select(keys), on=keys, how="semi", nulls_equal=True).sort(keys)


def _compare_rows(table: str, full: pl.DataFrame, at_cut: pl.DataFrame, keys: list[str], cut: Cut) -> ColumnCheck:
    gone = full.join(at_cut.select(keys), on=keys, how="anti", nulls_equal=True).select("symbol", "time")
    new = at_cut.join(full.select(keys), on=keys, how="anti", nulls_equal=True).select("symbol", "time")
    odd = pl.concat([gone.with_columns(gone=True), new.with_columns(gone=False)])
    first = None
    if odd.height:
        symbol, time_ms, is_gone = odd.with_columns(pl.col("time").to_physical()).sort("time", "symbol").row(0)
        first = WrongValue(time_ms, symbol, *(("a row", "no row") if is_gone else ("no row", "a row")), cut)
    return ColumnCheck(table, WHOLE_ROW, max(full.height, at_cut.height), odd.height, first)


def _compare_column(table: str, column: str, full: pl.DataFrame, at_cut: pl.DataFrame, cut: Cut) -> ColumnCheck:
    left, right = full[column], at_cut[column]
    if left.dtype != right.dtype:
        return ColumnCheck(table, column, 1, 1, WrongValue(None, None, str(left.dtype), str(right.dtype), cut))
    places = np.flatnonzero(_differs(left, right))
    if not len(places):
        return ColumnCheck(table, column, len(left), 0, None)
    wrong = full[places].select("symbol", pl.col("time").to_physical()).with_columns(place=pl.Series(places))
    symbol, time_ms, place = wrong.sort("time", "symbol", maintain_order=True).row(0)
    values = describe_value(left[place]), describe_value(right[place])
    return ColumnCheck(table, column, len(left), len(places), WrongValue(time_ms, symbol, *values, cut))


def _differs(left: pl.Series, right: pl.Series) -> Booleans:
    """Where two columns of one type differ, shape (n,)."""
    if not left.dtype.is_float():
        return left.ne_missing(right).to_numpy()
    ours, theirs = left.to_numpy().astype(np.float64), right.to_numpy().astype(np.float64)
    same_bits = ours.view(np.uint64) == theirs.view(np.uint64)
    both_nan = np.isnan(ours) & np.isnan(theirs)
    differs: Booleans = ~(same_bits | both_nan) | left.is_null().ne_missing(right.is_null()).to_numpy()
    return differs
