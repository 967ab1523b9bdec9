"""The information coefficients of one symbol, or of all, as plain text of at most 100 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from liqlab.report._ic_comparison import (
    COMPARISON_ALIGN,
    COMPARISON_HEADER,
    describe_comparison,
    list_comparison_rows,
)
from liqlab.report._ic_details import render_days, render_decay, render_details, render_regimes
from liqlab.report._ic_reading import (
    LEVEL,
    TARGET_NAMES,
    TARGET_PLURALS,
    TARGETS,
    at_all_times,
    by_regime,
    count_family,
    describe_cells,
    format_ic,
    format_interval,
    format_p,
    group_features,
    group_notes,
    list_horizons,
    name_horizon,
    rank_strongest,
    read_families,
    select_notes,
)
from liqlab.report._text import MISSING, TEXT_WIDTH, format_count, render_table
from liqlab.report._words import plural
from liqlab.study import ALL

_MOST_PER_HORIZON = 5
_LONGEST_NAME = 30
_READING = (
    "IC: Spearman rank correlation of a feature known at t with what came after, -1 to +1; 0 is nothing. Neighbouring "
    "labels overlap, so n is not a number of independent cases; the 95 % interval and p (fixed-b HAC) allow for that, "
    "and `p boot.` (studentised block bootstrap) is a second opinion. Adjusted p: corrected (Benjamini-Hochberg) for "
    f"all that was looked at; below {LEVEL:g} is called surviving and marked *. All of it is exploratory and "
    "in-sample: no verdict, no forecast."
)


def render_ic(
    table: pl.DataFrame,
    daily: pl.DataFrame,
    comparison: pl.DataFrame,
    symbol: str,
    dictionary: pl.DataFrame,
    origin: str = "",
    notes: Sequence[str] = (),
) -> str:
    """The text of `liquidations_ic_SYMBOL.txt`; no line is longer than 100 columns.

    `table` is `core.schema.IC` of all symbols, since the correction runs over all of it; `daily` holds the daily ICs
    (day, symbol, target, feature, horizon_s, ic, n), `comparison` that of the groups of features. `dictionary` names
    the family of each feature, `notes` what to mind about the whole analysis, `origin` data and version for the end.
    Values that do not exist are `n/a`; what cannot be tested is said with its reason.
    """
    own = table.filter(pl.col("symbol") == symbol)
    whole, split = at_all_times(own), by_regime(own)
    families = read_families(dictionary)
    parts = [_header(table, symbol), _section("Family of tests", _describe_family(table, symbol))]
    if whole["ic"].count():
        days = daily.filter(pl.col("symbol") == symbol)
        parts += [
            *_strongest(whole),
            *_everything(whole, families),
            _section("Days, turnover and fifths of the strongest", render_details(whole)),
            _section("Decay over the horizon", render_decay(whole)),
            _section("Stability over days: IC by day", render_days(whole, days)),
            _section("By regime", render_regimes(whole, split)),
            *_list_methods(whole),
        ]
    else:
        parts.append(
            _section("Not testable", _wrap(f"No information coefficient of {symbol} can be computed: see notes."))
        )
    parts.append(_section("Liquidation features against open interest and funding", _compare(comparison)))
    parts.append(_section("Notes: what is not testable, and what to mind", "\n".join(_notes(whole, notes))))
    return "\n\n".join([*parts, *([_wrap(origin)] if origin else [])]) + "\n"


def _section(title: str, body: str) -> str:
    return f"{title}\n{'=' * len(title)}\n{body}"


def _wrap(text: str, indent: str = "") -> str:
    return textwrap.fill(text, TEXT_WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def _header(table: pl.DataFrame, symbol: str) -> str:
    own = at_all_times(table).filter(pl.col("symbol") == symbol)
    n_symbols = table.filter(pl.col("symbol") != ALL)["symbol"].n_unique()
    whose = f"{plural(n_symbols, 'symbol')} together, ranks within each" if symbol == ALL else "one symbol"
    horizons = ", ".join(
        f"{len(list_horizons(own, target))} for {TARGET_PLURALS[target]}"
        for target in TARGETS
        if list_horizons(own, target)
    )
    title = f"INFORMATION COEFFICIENTS  {symbol}"
    contents = f"{plural(own['feature'].n_unique(), 'feature')}, {whose}; horizons: {horizons or 'none'}."
    return f"{title}\n{_wrap(contents)}\n\n{_wrap(_READING)}"


def _describe_family(table: pl.DataFrame, symbol: str) -> str:
    whole = at_all_times(table)
    own = whole.filter(pl.col("symbol") == symbol)
    rows = [
        _family_row(f"{whose}, {TARGET_NAMES[target]}", part.filter(pl.col("target") == target))
        for whose, part in (("whole table", whole), (symbol, own))
        for target in TARGETS
        if list_horizons(part, target)
    ]
    header = ["", "cells", "tested", "raw p < 0.05", "expected by chance", "survive the correction"]
    words = [_wrap(describe_survivors(own, symbol))]
    return "\n".join([render_table(header, rows, "lrrrrr"), *words])


def _family_row(name: str, rows: pl.DataFrame) -> list[str]:
    counts = count_family(rows)
    numbers = (counts.cells, counts.tested, counts.raw)
    return [name, *map(format_count, numbers), format_count(counts.by_chance, 1), format_count(counts.surviving)]


def describe_survivors(own: pl.DataFrame, symbol: str) -> str:
    """Whether anything of `own`, the cells of a symbol, survives the correction, in plain words."""
    counts = count_family(own)
    if not counts.tested:
        return f"Nothing of {symbol} could be tested."
    if not counts.surviving:
        return (
            f"NOTHING SURVIVES for {symbol}: none of {plural(counts.tested, 'tested cell')} has an adjusted p below "
            f"{LEVEL:g}. What looks strong below is no stronger than the best of so many tries."
        )
    by_target = [
        f"{count_family(own.filter(pl.col('target') == target)).surviving:,} against {TARGET_PLURALS[target]}"
        for target in TARGETS
        if list_horizons(own, target)
    ]
    return (
        f"Of {symbol}, {plural(counts.surviving, 'cell survives', 'cells survive')}: {' and '.join(by_target)}. Each "
        f"target is a family of its own over all symbols, features and horizons; the correction lets about one in "
        f"{1 / LEVEL:.0f} of a family's survivors be false."
    )


def _strongest(whole: pl.DataFrame) -> Iterator[str]:
    for target in TARGETS:
        horizons = list_horizons(whole, target)
        if not horizons:
            continue
        title = f"Strongest against the {TARGET_NAMES[target]}, by p"
        if not _is_known(whole, target):
            yield _section(title, "Not testable: there is no coefficient at any horizon; see the notes.")
            continue
        rows = [row for horizon in horizons for row in _strongest_rows(whole, target, horizon)]
        header = ["horizon", "feature", "IC", "95 % interval", "p", "adjusted p", "p boot.", "n"]
        body = render_table(header, rows, "rlrrrrrr")
        yield _section(title, f"{body}\n{_count_horizons(whole, target)}")


def _is_known(whole: pl.DataFrame, target: str) -> bool:
    return whole.filter(pl.col("target") == target)["ic"].count() > 0


def _strongest_rows(whole: pl.DataFrame, target: str, horizon_s: int) -> Iterator[list[str]]:
    own = whole.filter((pl.col("target") == target) & (pl.col("horizon_s") == horizon_s))
    found = rank_strongest(own).head(_MOST_PER_HORIZON)
    for place, row in enumerate(found.iter_rows(named=True)):
        yield [
            name_horizon(horizon_s) if place == 0 else "",
            row["feature"],
            format_ic(row["ic"]) + _mark(row["p"], row["p_adjusted"]),
            format_interval(row["ci_low"], row["ci_high"]),
            format_p(row["p"]),
            format_p(row["p_adjusted"]),
            format_p(row["p_bootstrap"]),
            format_count(row["n"]),
        ]
    if found.is_empty():
        yield [name_horizon(horizon_s), "not testable: see notes", *[MISSING] * 6]


def _mark(p: float | None, p_adjusted: float | None) -> str:
    """`*` survives, `?` has no p, a blank otherwise, so that the columns stay aligned."""
    if p is None:
        return "?"
    return "*" if p_adjusted is not None and p_adjusted < LEVEL else " "


def _count_horizons(whole: pl.DataFrame, target: str) -> str:
    counts = [
        f"{name_horizon(horizon)} {count_family(rows).surviving} of {count_family(rows).tested}"
        for horizon in list_horizons(whole, target)
        for rows in [whole.filter((pl.col("target") == target) & (pl.col("horizon_s") == horizon))]
    ]
    return _wrap(f"Surviving by horizon: {', '.join(counts)}.")


def _everything(whole: pl.DataFrame, families: Mapping[str, str]) -> Iterator[str]:
    groups = group_features(whole["feature"].unique().to_list(), families)
    for target in TARGETS:
        horizons = list_horizons(whole, target)
        if not _is_known(whole, target):
            continue
        cells = {
            (feature, horizon): format_ic(ic) + _mark(p, adjusted) if ic is not None else f"{MISSING} "
            for feature, horizon, ic, p, adjusted in whole.filter(pl.col("target") == target)
            .select("feature", "horizon_s", "ic", "p", "p_adjusted")
            .iter_rows()
        }
        rows = []
        for family, features in groups.items():
            rows.append([f"[{family}]", *[""] * len(horizons)])
            rows += [[_cut(name), *(cells.get((name, horizon), MISSING) for horizon in horizons)] for name in features]
        header = ["feature", *(f"{name_horizon(horizon)} " for horizon in horizons)]
        words = "* survives the correction; ? has no interval and p."
        body = render_table(header, rows, "l" + "r" * len(horizons))
        yield _section(f"Every feature against the {TARGET_NAMES[target]}", f"{body}\n{words}")


def _cut(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


def _compare(comparison: pl.DataFrame) -> str:
    words = "\n".join(map(_wrap, describe_comparison(comparison)))
    rows = list_comparison_rows(comparison)
    return f"{words}\n\n{render_table(COMPARISON_HEADER, rows, COMPARISON_ALIGN)}" if rows else words


def _notes(whole: pl.DataFrame, notes: Sequence[str]) -> Iterator[str]:
    groups = group_notes(whole)
    for note in select_notes(notes):
        yield _wrap(f"- {note}", "  ")
    for note, rows in groups:
        yield _wrap(f"- {note}: {describe_cells(rows, whole)}", "  ")
    if not notes and not groups:
        yield "- none"


def _list_methods(whole: pl.DataFrame) -> Iterator[str]:
    """The most frequent method of each horizon: how many cosines and blocks, so how much there is to go by."""
    rows = []
    for target in TARGETS:
        for horizon in list_horizons(whole, target):
            own = whole.filter(
                (pl.col("target") == target) & (pl.col("horizon_s") == horizon) & pl.col("p").is_not_null()
            )
            if own.height:
                rows.append([target, name_horizon(horizon), str(own["method"].fill_null(MISSING).mode().sort()[0])])
    if rows:
        yield _section("How intervals and p were computed", render_table(["target", "horizon", "method"], rows, "lrl"))
