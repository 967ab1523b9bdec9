"""Write the pages of docs/ that come from the program itself: tables.md and commands.md.

python tools/make_docs.py          writes them
"""

from __future__ import annotations

import argparse
import importlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from unittest import mock

import polars as pl

from liqlab.core.schema import TABLES, Column, Table

DOCS = Path(__file__).resolve().parent.parent / "docs"
HELP_COLUMNS = 100
_TITLE = "# {title}\n\nMade by `python tools/make_docs.py`; edit {source} instead of this page.\n"
_TABLES_NOTE = """
Times are UTC in milliseconds. Fractions are fractions, not percent. A value that is not known is null, never 0 or NaN.
A results folder keeps each table in `tables/NAME.parquet`.
"""


def build_tables_page(tables: Iterable[Table] = TABLES) -> str:
    """The page of every table: what a row is, and each column with its type, unit and meaning."""
    by_columns: dict[tuple[Column, ...], list[Table]] = {}
    for table in tables:
        by_columns.setdefault(table.columns, []).append(table)
    head = _TITLE.format(title="Tables", source="`liqlab.core.schema`") + _TABLES_NOTE
    return "\n".join([head, *(_table_section(group) for group in by_columns.values())])


def _table_section(tables: list[Table]) -> str:
    rows = "; ".join(table.row for table in tables)
    lines = [f"## {', '.join(table.name for table in tables)}", "", f"One row: {rows}.", ""]
    lines += ["| column | type | unit | meaning |", "|---|---|---|---|"]
    lines += [_column_row(column) for column in tables[0].columns]
    return "\n".join(lines) + "\n"


def _column_row(column: Column) -> str:
    dtype = 'Datetime("ms", "UTC")' if isinstance(column.dtype, pl.Datetime) else str(column.dtype)
    cells = (f"`{column.name}`", dtype, column.unit, column.meaning.replace("|", "\\|"))
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def build_commands_page(parser: argparse.ArgumentParser) -> str:
    """The page of every command: the help text of the program and of each of its commands."""
    head = _TITLE.format(title="Commands", source="the help texts in `liqlab.cli`")
    with mock.patch.dict(os.environ, {"COLUMNS": str(HELP_COLUMNS), "NO_COLOR": "1"}):
        sections = [_help_section("liqlab", parser)]
        sections += [_help_section(f"liqlab {name}", command) for name, command in list_commands(parser).items()]
    return "\n".join([head, *sections])


def list_commands(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    """Name to parser of each command."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _help_section(name: str, parser: argparse.ArgumentParser) -> str:
    text = "\n".join(line.rstrip() for line in parser.format_help().strip().splitlines())
    return f"## {name}\n\n```text\n$ {name} --help\n{text}\n```\n"


def main() -> None:
    """Write both pages."""
    (DOCS / "tables.md").write_text(build_tables_page(), encoding="utf-8")
    cli = importlib.import_module("liqlab.cli")
    (DOCS / "commands.md").write_text(build_commands_page(cli.build_parser()), encoding="utf-8")


if __name__ == "__main__":
    main()
