"""The catalogue for people: a page of the documentation, and the dictionary of a run."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from liqlab.core.schema import COUNT, FLOAT, TIME, Column, Table
from liqlab.features._catalogue import FEATURES
from liqlab.features._feature import FAMILIES, Feature
from liqlab.features._notes import ColumnNote

FEATURE_DICTIONARY = Table(
    "feature_dictionary",
    "one feature: what it is, and how much of it this data gives",
    (
        Column("feature", pl.String(), "", "its name, the column of the table `features`"),
        Column("family", pl.String(), "", f"one of {', '.join(FAMILIES)}"),
        Column("unit", pl.String(), "", "unit of its values"),
        Column("lookback_s", COUNT, "s", "how far back it looks"),
        Column("warm_up_s", COUNT, "s", "after the start of a gapless recording, when its first value can come"),
        Column("meaning", pl.String(), "", "in words"),
        Column("formula", pl.String(), "", "as a formula"),
        Column("source", pl.String(), "", "where the formula comes from"),
        Column("non_null_frac", FLOAT, "fraction", "share of the grid with a value, over all symbols"),
        Column("first_time", TIME, "ms UTC", "the first value of the first symbol that has one"),
        Column("note", pl.String(), "", "what to mind, with the symbols it is about"),
    ),
)

_HEAD = """# Features

Made by `python tools/make_docs.py`; edit the catalogue in `liqlab.features` instead of this page.

The feature table has one row per symbol and moment t of a 5 s grid. **A value at t is computed from rows with
`known_time < t` (bars of liquidations) or `known_time <= t` (ticker and long/short ratio), and from nothing else.** Who
acts on it acts after t: labels start from the first price at or after t + decision delay (5 s).

- q is the quantity of a liquidation; v, n and N are volume, count and notional of the 5 s bar that ends at s; P is the
  price (mark, else last) of the newest ticker row usable at a moment, OI its open interest, f its funding rate.
- A value is null where the recorder did not listen at t, or listened for less than 80 % of the lookback
  (`min_covered_frac`). That is the warm-up as well. Inside a window only covered bars and present values enter, and
  nothing is carried across a gap.
- Where the ticker comes more seldom than a feature's price step, the whole column is null and a note says so. So is a
  feature of other symbols where there are none.
- Infinite values, and prices, open interest or ratios that are not positive, count as missing; a note counts them.
- A standard score includes the value it scores. It is null where fewer than five values or no spread stand behind it.
- Warm-up: how long after the start of a gapless recording the first value can come. Sparse features may come later.

`liqlab features SOURCE -o RESULTS` writes the table, and a dictionary that says for each column how much of it there is
and what to mind.
"""
_COLUMNS = ("feature", "unit", "lookback", "warm-up", "price step", "meaning", "formula", "source")


def render_feature_page() -> str:
    """The page docs/features.md: what holds for all, then a table per family."""
    return "\n".join([_HEAD, *(_family_section(family) for family in FAMILIES)])


def describe_features(notes: Iterable[ColumnNote]) -> pl.DataFrame:
    """The dictionary of a run: one row per feature of the catalogue that has a note, in its order.

    It is the table `FEATURE_DICTIONARY`.
    """
    by_feature: dict[str, list[ColumnNote]] = {}
    for note in notes:
        by_feature.setdefault(note.column, []).append(note)
    rows = [_dictionary_row(feature, by_feature[feature.name]) for feature in FEATURES if feature.name in by_feature]
    dtypes = FEATURE_DICTIONARY.dtypes
    times = {name: COUNT if dtype == TIME else dtype for name, dtype in dtypes.items()}
    return pl.DataFrame(rows, schema=times, orient="row").cast(dtypes)  # type: ignore[arg-type]


def _dictionary_row(feature: Feature, notes: list[ColumnNote]) -> tuple[object, ...]:
    n_times = sum(note.n_times for note in notes)
    symbols_of: dict[str, list[str]] = {}
    for note in notes:
        if note.note:
            symbols_of.setdefault(note.note, []).append(note.symbol)
    whole = len(symbols_of) == 1 and len(notes) == len(next(iter(symbols_of.values())))
    remarks = [text if whole else f"{', '.join(symbols)}: {text}" for text, symbols in symbols_of.items()]
    return (
        feature.name,
        feature.family,
        feature.unit,
        feature.lookback_s,
        feature.warm_up_s,
        feature.meaning,
        feature.formula,
        feature.source,
        sum(note.n_values for note in notes) / n_times if n_times else 0.0,
        min((note.first_ms for note in notes if note.first_ms is not None), default=None),
        " | ".join(remarks),
    )


def _family_section(family: str) -> str:
    lines = [f"## {family.capitalize()}", "", f"| {' | '.join(_COLUMNS)} |", "|" + "---|" * len(_COLUMNS)]
    lines += [_feature_row(feature) for feature in FEATURES if feature.family == family]
    return "\n".join(lines) + "\n"


def _feature_row(feature: Feature) -> str:
    cells = (
        f"`{feature.name}`",
        feature.unit,
        _duration(feature.lookback_s),
        _duration(feature.warm_up_s),
        "" if feature.price_step_s is None else _duration(feature.price_step_s),
        feature.meaning,
        f"`{feature.formula}`",
        feature.source,
    )
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def _duration(seconds: int) -> str:
    """
    >>> _duration(3660), _duration(90), _duration(5)
    ('61 min', '90 s', '5 s')
    """
    if seconds % 3_600 == 0:
        return f"{seconds // 3_600} h"
    return f"{seconds // 60} min" if seconds % 60 == 0 else f"{seconds} s"
