"""The dictionary of the feature table of a run, as plain text of at most 100 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

import polars as pl

from liqlab.report._ic_reading import group_features, name_horizon, read_families
from liqlab.report._text import MISSING, TEXT_WIDTH, render_table
from liqlab.report._words import percent, plural

_INDENT = "  "
_HANGING = " " * 11
_WORDS = (
    "A value at t is computed from rows known by t and from nothing else; it is null where the recorder did not "
    "listen, or not for long enough. Present: share of the grid with a value, over all symbols. Lookback: how far "
    "back a value looks. Warm-up: how long after the start of a gapless recording the first value can come."
)


def render_feature_dictionary(dictionary: pl.DataFrame, origin: str = "") -> str:
    """The text of `liquidations_features.txt`: a table of all features by family, then each in words.

    `dictionary` has feature, family, unit, lookback_s, warm_up_s, meaning, formula, source, non_null_frac, first_time
    (null when there never was a value) and note. `origin` says data and version, for the last lines.
    """
    families = group_features(dictionary["feature"].to_list(), read_families(dictionary))
    title = f"FEATURES\n{plural(dictionary.height, 'feature')} in {plural(len(families), 'family', 'families')}"
    parts = [title, _wrap(_WORDS)]
    rows = {row["feature"]: row for row in dictionary.iter_rows(named=True)}
    if rows:
        parts.append(_section("Overview", _overview(families, rows)))
    for family, features in families.items():
        parts.append(_section(family.capitalize(), "\n\n".join(_describe(rows[name]) for name in features)))
    return "\n\n".join([*parts, *([_wrap(origin)] if origin else [])]) + "\n"


def _section(title: str, body: str) -> str:
    return f"{title}\n{'=' * len(title)}\n{body}"


def _wrap(text: str) -> str:
    return textwrap.fill(text, TEXT_WIDTH, break_on_hyphens=False)


def _overview(families: dict[str, list[str]], rows: dict[str, dict[str, Any]]) -> str:
    lines = []
    for family, features in families.items():
        lines.append([f"[{family}]", *[""] * 4])
        lines += [_overview_row(rows[name]) for name in features]
    header = ["feature", "lookback", "warm-up", "present", "first value (UTC)"]
    table = render_table(header, lines, "lrrrr")
    empty = [name for name, row in rows.items() if not row["non_null_frac"]]
    words = f"{plural(len(empty), 'feature has', 'features have')} no value at all: the notes below say why."
    return f"{table}\n{words}" if empty else table


def _overview_row(row: dict[str, Any]) -> list[str]:
    first = row["first_time"]
    return [
        row["feature"],
        name_horizon(row["lookback_s"]),
        name_horizon(row["warm_up_s"]),
        percent(row["non_null_frac"]),
        MISSING if first is None else f"{first:%Y-%m-%d %H:%M}",
    ]


def _describe(row: dict[str, Any]) -> str:
    return "\n".join([row["feature"], *_lines(row)])


def _lines(row: dict[str, Any]) -> Iterator[str]:
    for name in ("meaning", "unit", "formula", "source", "note"):
        if row[name]:
            words = f"{_INDENT}{name + ':':<9}{row[name]}"
            yield textwrap.fill(
                words, TEXT_WIDTH, subsequent_indent=_HANGING, break_on_hyphens=False, break_long_words=True
            )
