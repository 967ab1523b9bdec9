"""Write the pages of docs/ that come from the program itself: tables, commands, dials, features and hypotheses.

python tools/make_docs.py          writes them
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import os
import tomllib
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from unittest import mock

import polars as pl

from liqlab.core.schema import Column, Table
from liqlab.features import render_feature_page
from liqlab.study import RESULT_TABLES, build_hypotheses_page
from liqlab.worlds import TRUTH_TABLES, SymbolDials, World, load_world

TOOLS = Path(__file__).resolve().parent
DOCS = TOOLS.parent / "docs"
HELP_COLUMNS = 100
_TITLE = "# {title}\n\nMade by `python tools/make_docs.py`; edit {source} instead of this page.\n"
_TABLES_NOTE = """
Times are UTC in milliseconds. Fractions are fractions, not percent. A value that is not known is null, never 0 or NaN.
A results folder keeps each table in `tables/NAME.parquet`.
"""
#: Endings of dials' names; the first that fits.
_UNITS = {
    "_bps_per_min": "bps per minute",
    "_per_day": "per day",
    "_bps": "bps",
    "_usd": "USD",
    "_frac": "fraction",
    "_log_sd": "of the log",
    "_sd_minutes": "minutes' sd",
    "_min": "min",
    "_ms": "ms",
    "_s": "s",
    "_h": "h",
    "leverage_median": "times",
    "leverage_max": "times",
    "_scale": "factor",
    "_price": "USD",
    "_tick": "USD",
    "_interest": "base units",
    "_24h": "base units",
}
_DIALS_NOTE = """
A world is a TOML file with the tables below; a dial that it does not name keeps the value of the world it starts
from (`base = "plan"`, the default, another named world, or `"none"` for the defaults). `[symbols.ALL]` holds for
every symbol that the base names. What worlds are for: [worlds.md](worlds.md).
"""
_TRUTH_NOTE = """# Tables of the truth

They lie in `truth/` beside the captures, with `world.toml` (every dial, loadable as a world) and `manifest.json`
(world, seed, span, symbols, counts, branching ratios). Times are UTC in milliseconds.
"""


def build_tables_page(tables: Iterable[Table] = RESULT_TABLES) -> str:
    """The page of every table: what a row is, and each column with its type, unit and meaning."""
    by_columns: dict[tuple[Column, ...], list[Table]] = {}
    for table in tables:
        by_columns.setdefault(table.columns, []).append(table)
    head = (
        _TITLE.format(title="Tables", source="`liqlab.core.schema` and the tables beside the code that makes them")
        + _TABLES_NOTE
    )
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
        for name, command in list_commands(parser).items():
            sections.append(_help_section(f"liqlab {name}", command))
            parts = list_commands(command).items()
            sections += [_help_section(f"liqlab {name} {part}", inner) for part, inner in parts]
    return "\n".join([head, *sections])


def build_dials_page() -> str:
    """The page of every dial of a world, and of the tables of its truth."""
    meanings = tomllib.loads((TOOLS / "dial_meanings.toml").read_text(encoding="utf-8"))
    head = _TITLE.format(title="Dials and truth of a world", source="`liqlab.worlds` and `tools/dial_meanings.toml`")
    plan, hints = load_world("plan"), typing.get_type_hints(World)
    sections = [head, _DIALS_NOTE]
    for field in dataclasses.fields(World):
        if dataclasses.is_dataclass(hints[field.name]):
            values = dataclasses.asdict(getattr(plan, field.name))
            sections.append(_dials_section(field.name, hints[field.name], meanings[field.name], values))
    sections.append(_dials_section("symbols", SymbolDials, meanings["symbols"], None))
    return "\n".join([*sections, _TRUTH_NOTE, *(_table_section([table]) for table in TRUTH_TABLES)])


def _dials_section(name: str, dials: type, meanings: Mapping[str, str], plan: Mapping[str, object] | None) -> str:
    """`plan` are the plan world's values; None where each symbol has its own."""
    fields = dataclasses.fields(dials)
    if [field.name for field in fields] != list(meanings):
        raise ValueError(f"tools/dial_meanings.toml: [{name}] must hold the fields of {dials.__name__} in their order")
    heading = "[symbols.SYMBOL]" if plan is None else f"[{name}]"
    lines = [f"## {heading}", "", *_paragraphs(dials.__doc__ or ""), ""]
    columns = ["dial", "unit", "range", "default", *([] if plan is None else ["plan"]), "meaning"]
    lines += [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    for field in fields:
        low, high = (f"{field.metadata[edge]:g}" for edge in ("low", "high"))
        own = [] if plan is None else [f"{plan[field.name]:g}"]
        cells = [f"`{field.name}`", _unit(field.name), f"{low} to {high}", f"{field.default:g}", *own]
        lines.append(f"| {' | '.join([*cells, meanings[field.name]])} |".replace("|  |", "| |"))
    return "\n".join(lines) + "\n"


def _paragraphs(docstring: str) -> Iterator[str]:
    """The text of a docstring, each paragraph in one line, a blank line between them."""
    parts = [" ".join(part.split()) for part in docstring.split("\n\n")]
    return (line for number, part in enumerate(parts) for line in ([""] if number else []) + [part])


def _unit(name: str) -> str:
    """What the end of a dial's name says."""
    for ending, unit in _UNITS.items():
        if name.endswith(ending):
            return unit
    return ""


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
    """Write the pages."""
    (DOCS / "tables.md").write_text(build_tables_page(), encoding="utf-8")
    (DOCS / "dials.md").write_text(build_dials_page(), encoding="utf-8")
    (DOCS / "features.md").write_text(render_feature_page(), encoding="utf-8")
    (DOCS / "hypotheses.md").write_text(build_hypotheses_page(), encoding="utf-8")
    cli = importlib.import_module("liqlab.cli")
    (DOCS / "commands.md").write_text(build_commands_page(cli.build_parser()), encoding="utf-8")


if __name__ == "__main__":
    main()
