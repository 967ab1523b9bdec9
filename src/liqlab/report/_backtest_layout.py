"""Layout of the text of backtests: sections, paragraphs, and tables that fit however wide their numbers are."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from liqlab.report._text import TEXT_WIDTH, render_table


def section(title: str, body: str) -> str:
    """A title, underlined, and what stands below it; a title of more than 100 columns is cut."""
    shown = cut(title)
    return f"{shown}\n{'=' * len(shown)}\n{body}"


def cut(text: str) -> str:
    """`text` in at most 100 columns, with `…` where it was cut."""
    return text if len(text) <= TEXT_WIDTH else f"{text[: TEXT_WIDTH - 1]}…"


def wrap(text: str, indent: str = "") -> str:
    """`text` as a paragraph of at most 100 columns."""
    return textwrap.fill(text, TEXT_WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def wrap_item(text: str) -> str:
    """`text` as one item of a list."""
    return wrap(f"- {text}", "  ")


def render_columns(title: str, labels: Sequence[str], names: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """A table with a row for each label and a column of `cells` for each name.

    Where it would be wider than 100 columns it becomes several tables below each other, with fewer columns each.

    >>> print(render_columns("metric", ["trades", "net"], ["default", "scaled"], [["216", "-7.8"], ["583", "-10.0"]]))
    metric  default  scaled
    ------  -------  ------
    trades      216     583
    net        -7.8   -10.0
    """
    for size in range(max(len(names), 1), 0, -1):
        tables = [
            _render_part(title, labels, names[first : first + size], cells[first : first + size])
            for first in range(0, max(len(names), 1), size)
        ]
        if size == 1 or max(len(line) for table in tables for line in table.split("\n")) <= TEXT_WIDTH:
            break
    return "\n\n".join(tables)


def _render_part(title: str, labels: Sequence[str], names: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    rows = [[label, *row] for label, row in zip(labels, zip(*cells, strict=True), strict=True)] if cells else []
    # Labels are never cut: a metric without its name says nothing.
    return render_table([title, *names], rows, "l" + "r" * len(names), width=max(TEXT_WIDTH, 10 * TEXT_WIDTH))


def render_groups(header: Sequence[str], groups: Mapping[str, Sequence[Sequence[str]]], align: str) -> str:
    """A table whose rows stand below the name of their group, which may be longer than their first column.

    >>> print(render_groups(["variant", "trades"], {"volatility_breakout": [["default", "926"]]}, "lr"))
    variant    trades
    ---------  ------
    volatility_breakout
      default     926
    """
    rows = [[f"  {first}", *others] for own in groups.values() for first, *others in own]
    head, rule, *body = render_table(header, rows, align).split("\n")
    lines = [head, rule]
    for name, own in groups.items():
        lines += [cut(name), *body[: len(own)]]
        body = body[len(own) :]
    return "\n".join(lines)
