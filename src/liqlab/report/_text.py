"""Plain words and tables: amounts, counts, and tables for text files and Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

#: What stands for a value that does not exist.
MISSING = "n/a"

#: Widest line of a text file.
TEXT_WIDTH = 100

_LEFT_AND_RIGHT = {"l", "r"}
_USD_SCALES = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"))


def format_usd(amount: float | None) -> str:
    """An amount of US dollars in two or three digits; `n/a` for None, NaN and infinity.

    >>> [format_usd(amount) for amount in (0, 0.5, 921, 9_561, 29_172, 1_234_567, -136_378)]
    ['$0', '$0.50', '$921', '$9.6K', '$29K', '$1.2M', '-$136K']
    """
    if amount is None or not math.isfinite(amount):
        return MISSING
    sign, size = ("-" if amount < 0 else ""), abs(amount)
    if 0 < size < 0.01:
        return f"{sign}<$0.01"
    if size < 9.95:
        return f"{sign}${size:.2f}".removesuffix(".00")
    for scale, letter in _USD_SCALES:
        if size >= 0.9995 * scale:
            return f"{sign}${_short(size / scale)}{letter}"
    return f"{sign}${size:.0f}"


def _short(size: float) -> str:
    return f"{size:.1f}" if size < 9.95 else f"{size:,.0f}"


def format_count(count: float | None, decimals: int = 0) -> str:
    """A number with thousands separators; `n/a` for None, NaN and infinity.

    >>> format_count(16756), format_count(2356.084, decimals=2), format_count(None)
    ('16,756', '2,356.08', 'n/a')
    """
    if count is None or not math.isfinite(count):
        return MISSING
    return f"{count:,.{decimals}f}"


def format_number_of(count: int, noun: str) -> str:
    """A count with its noun, in the plural unless it is one.

    >>> format_number_of(1, "liquidation"), format_number_of(5717, "liquidation")
    ('1 liquidation', '5,717 liquidations')
    """
    return f"{format_count(count)} {noun}" + ("" if count == 1 else "s")


def render_table(header: Sequence[str], rows: Sequence[Sequence[str]], align: str, width: int = TEXT_WIDTH) -> str:
    """An aligned table in plain text, without a line break at its end.

    `align` holds `l` or `r` for each column. Columns are two spaces apart, or one if the table would not fit otherwise;
    if that is not enough the widest left-aligned columns are cut, with `…` at the cut. Numbers are never cut: a table
    whose numbers alone are wider than `width` is as wide as they need. Raises `ValueError` when the lengths disagree.

    >>> print(render_table(["symbol", "events"], [["BTCUSDT", "16,756"], ["DOGEUSDT", "2,541"]], "lr"))
    symbol    events
    --------  ------
    BTCUSDT   16,756
    DOGEUSDT   2,541
    """
    _check_table(header, rows, align)
    widths = [max(len(cell) for cell in column) for column in zip(header, *rows, strict=True)]
    gap = 2 if sum(widths) + 2 * (len(widths) - 1) <= width else 1
    widths = _shrink(widths, align, width - gap * (len(widths) - 1))
    lines = [header, ["-" * size for size in widths], *rows]
    return "\n".join((" " * gap).join(map(_pad, line, widths, align)).rstrip() for line in lines)


def render_markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> str:
    """A Markdown table, without a line break at its end; vertical bars and line breaks in cells are escaped.

    `align` holds `l` or `r` for each column. Raises `ValueError` when the lengths disagree.

    >>> print(render_markdown_table(["symbol", "events"], [["BTCUSDT", "16,756"]], "lr"))
    | symbol | events |
    |:---|---:|
    | BTCUSDT | 16,756 |
    """
    _check_table(header, rows, align)
    rule = "|" + "|".join("---:" if side == "r" else ":---" for side in align) + "|"
    first, *others = ["| " + " | ".join(map(_escape, line)) + " |" for line in (header, *rows)]
    return "\n".join((first, rule, *others))


def _check_table(header: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> None:
    if not header or len(align) != len(header) or not set(align) <= _LEFT_AND_RIGHT:
        raise ValueError(f"align must hold l or r for each of the {len(header)} columns, got {align!r}")
    for number, row in enumerate(rows):
        if len(row) != len(header):
            raise ValueError(f"row {number} has {len(row)} cells, the header {len(header)}: {list(row)}")


def _shrink(widths: list[int], align: str, available: int) -> list[int]:
    """`widths` with the widest left-aligned column cut, character by character, until their sum is `available`."""
    shrunk = list(widths)
    cuttable = [index for index, side in enumerate(align) if side == "l"]
    while cuttable and sum(shrunk) > available:
        widest = max(cuttable, key=lambda index: shrunk[index])
        if shrunk[widest] <= 2:
            break
        shrunk[widest] -= 1
    return shrunk


def _pad(cell: str, width: int, side: str) -> str:
    if len(cell) > width:
        return cell[: width - 1] + "…"
    return cell.rjust(width) if side == "r" else cell.ljust(width)


def _escape(cell: str) -> str:
    return " ".join(cell.split("\n")).replace("|", "\\|")
