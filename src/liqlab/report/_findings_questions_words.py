"""Numbers, intervals and blocks for the sections of the findings that answer the questions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from liqlab.report._text import MISSING, render_markdown_table
from liqlab.report._words import percent
from liqlab.study import ALPHA, Study

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Block:
    """One description below the verdicts of a question.

    `serves` are the items of the research plan that find their answer here, `tables` the files it is taken from.
    `render` gives Markdown, empty where this data has nothing to describe.
    """

    title: str
    serves: tuple[str, ...]
    tables: tuple[str, ...]
    render: Callable[[Study], str]


def find_table(study: Study, name: str) -> pl.DataFrame:
    """An exploratory table of the answers; an empty frame without columns where there is none."""
    return study.question_tables.get(name, pl.DataFrame())


def list_rows(frame: pl.DataFrame, **equal: object) -> list[dict[str, Any]]:
    """The rows whose columns hold exactly these values; none of an empty frame."""
    if frame.is_empty():
        return []
    return list(frame.filter(*(pl.col(name) == value for name, value in equal.items())).iter_rows(named=True))


def find_row(frame: pl.DataFrame, **equal: object) -> dict[str, Any] | None:
    """The first of `list_rows`."""
    return next(iter(list_rows(frame, **equal)), None)


def signed(value: float | None, decimals: int = 1) -> str:
    """A number with its sign; zero has none.

    >>> signed(7.075), signed(-0.02), signed(-0.02, 2), signed(None)
    ('+7.1', '0.0', '-0.02', 'n/a')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    rounded = round(value, decimals)
    return f"{rounded:+,.{decimals}f}" if rounded else f"{0.0:.{decimals}f}"


def plain(value: float | None, decimals: int = 1) -> str:
    """A number without a plus sign.

    >>> plain(1234.56), plain(0.5, 2), plain(None)
    ('1,234.6', '0.50', 'n/a')
    """
    return MISSING if value is None or not math.isfinite(value) else f"{value:,.{decimals}f}"


def spread(
    value: float | None,
    low: float | None,
    high: float | None,
    decimals: int = 1,
    write: Callable[[float | None, int], str] = signed,
) -> str:
    """An estimate with its interval, which is left out where there is none.

    >>> spread(7.07, 5.37, 8.78), spread(0.42, None, None, 2, plain), spread(None, None, None)
    ('+7.1 (+5.4 to +8.8)', '0.42', 'n/a')
    """
    text = write(value, decimals)
    if text == MISSING or low is None or high is None:
        return text
    return f"{text} ({write(low, decimals)} to {write(high, decimals)})"


def share_spread(value: float | None, low: float | None, high: float | None, decimals: int = 1) -> str:
    """A share in % with its interval.

    >>> share_spread(0.992, 0.9859, 0.9981)
    '99.2 % (98.6 to 99.8)'
    """
    if value is None or low is None or high is None:
        return percent(value, decimals)
    return f"{percent(value, decimals)} ({100 * low:.{decimals}f} to {100 * high:.{decimals}f})"


def stand_out(text: str, p_adjusted: float | None) -> str:
    """`text` in bold where its adjusted p is below 0.05."""
    return f"**{text}**" if p_adjusted is not None and p_adjusted < ALPHA else text


def tabulate(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose first column is text and whose others are numbers; empty without rows."""
    return render_markdown_table(header, rows, "l" + "r" * (len(header) - 1)) if rows else ""


def paragraph(words: str, *tables: str) -> str:
    """Words with tables below; empty when all tables are."""
    shown = [table for table in tables if table]
    return "\n\n".join([words, *shown]) if shown else ""


def scaled(row: Row, factor: float, *names: str) -> tuple[float | None, ...]:
    """These values of a row times a factor, missing ones as they are.

    >>> scaled({"a": 0.5, "b": None}, 100.0, "a", "b")
    (50.0, None)
    """
    return tuple(None if row[name] is None else factor * row[name] for name in names)


def spread_of(row: Row, value: str, decimals: int = 1, factor: float = 1.0) -> str:
    """The estimate in the column `value` with the interval from `ci_low` to `ci_high`, each times a factor.

    >>> spread_of({"excess_frac": 0.292, "ci_low": 0.27, "ci_high": 0.314}, "excess_frac", factor=100.0)
    '+29.2 (+27.0 to +31.4)'
    """
    estimate, low, high = scaled(row, factor, value, "ci_low", "ci_high")
    return spread(estimate, low, high, decimals)
