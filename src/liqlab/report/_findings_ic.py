"""The findings on information coefficients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from liqlab.features import LIQUIDATION_FAMILIES
from liqlab.report._ic_comparison import (
    COMPARISON_ALIGN,
    COMPARISON_HEADER,
    describe_comparison,
    list_comparison_rows,
)
from liqlab.report._ic_reading import (
    LEVEL,
    OTHER_FAMILY,
    REGIME_NAMES,
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
    group_notes,
    name_horizon,
    rank_strongest,
    read_families,
    select_notes,
)
from liqlab.report._text import MISSING, format_count, render_markdown_table
from liqlab.report._words import plural
from liqlab.study import ALL

_NOT_TESTABLE = "**Not testable**"
_STRONGEST = 5
_MOST_SYMBOLS = 8
_MOST_NOTES = 8
_CAUTION = (
    "Every number of this section is exploratory and in-sample: the strongest are picked after looking, so they "
    "will be weaker on new data, and nothing of it is a verdict or a profit. An IC against volatility is expected "
    "whatever liquidations do, since both follow past volatility; only a forecast that beats past volatility counts."
)


def render_ic_section(
    table: pl.DataFrame,
    comparison: pl.DataFrame,
    dictionary: pl.DataFrame,
    notes: Sequence[str] = (),
    pictures: Sequence[str] = (),
    heading: str = "## Information coefficients",
) -> str:
    """What survives the correction, the strongest features, regimes, and the comparison with open interest and funding.

    `table` is `core.schema.IC`, `comparison` that of the groups of features, `dictionary` names the family of each
    feature, `notes` are about the analysis as a whole. What cannot be tested is said with its reason.
    """
    whole = at_all_times(table)
    if count_family(whole).tested == 0:
        reasons = [*select_notes(notes), *(note for note, _ in group_notes(whole))] or ["no feature meets a label"]
        return "\n\n".join(
            [heading, f"{_NOT_TESTABLE}: no coefficient could be tested.", "\n".join(f"- {note}" for note in reasons)]
        )
    families = read_families(dictionary)
    symbol = choose_symbol(whole)
    own = whole.filter(pl.col("symbol") == symbol)
    parts = [
        heading,
        _say_size(whole),
        _CAUTION,
        _count_table(whole, families),
        *_strongest(own, families, symbol),
        _regimes(by_regime(table).filter(pl.col("symbol") == symbol)),
        _comparison(comparison),
        *_absences(whole, notes),
        *pictures,
        f"All of it: [liquidations_ic_{symbol}.txt](liquidations_ic_{symbol}.txt), one file for each symbol, and the "
        "table `ic`.",
    ]
    return "\n\n".join(parts)


def choose_symbol(whole: pl.DataFrame) -> str:
    """All symbols together where they were pooled, else the first symbol that has a coefficient."""
    known = whole.filter(pl.col("ic").is_not_null())["symbol"].unique().sort().to_list()
    return ALL if ALL in known or not known else known[0]


def _say_size(whole: pl.DataFrame) -> str:
    counts = count_family(whole)
    size = (
        f"{plural(whole['feature'].n_unique(), 'feature')}, {_name_symbols(whole)} and "
        f"{plural(whole.select('target', 'horizon_s').n_unique(), 'target')} make {plural(counts.cells, 'cell')}, "
        f"{counts.tested:,} of them tested. If nothing were related to anything, about {counts.by_chance:,.0f} would "
        f"have a raw p below {LEVEL:g} by chance; {counts.raw:,} have."
    )
    if counts.surviving == 0:
        return f"{size} **Nothing survives the correction** (Benjamini-Hochberg over all cells of the same target)."
    survivors = [
        f"{count_family(whole.filter(pl.col('target') == target)).surviving:,} against {TARGET_PLURALS[target]}"
        for target in TARGETS
    ]
    return (
        f"{size} **{counts.surviving:,} survive the correction** (Benjamini-Hochberg over all cells of the same "
        f"target): {' and '.join(survivors)}."
    )


def _name_symbols(whole: pl.DataFrame) -> str:
    names = whole["symbol"].unique()
    n_own = int((names != ALL).sum())
    return plural(n_own, "symbol") + (", all of them together" if n_own < len(names) else "")


def _count_table(whole: pl.DataFrame, families: Mapping[str, str]) -> str:
    """Tests by symbol and target, those of liquidation features apart."""
    rows = []
    about = [name for name in whole["feature"].unique() if families.get(name) in LIQUIDATION_FAMILIES]
    symbols = sorted(whole["symbol"].unique(), key=lambda symbol: (symbol != ALL, symbol))
    for symbol in symbols[:_MOST_SYMBOLS]:
        for target in TARGETS:
            own = whole.filter((pl.col("symbol") == symbol) & (pl.col("target") == target))
            if own.is_empty():
                continue
            counts, ours = count_family(own), count_family(own.filter(pl.col("feature").is_in(about)))
            rows.append(
                [
                    symbol,
                    TARGET_NAMES[target],
                    format_count(counts.tested),
                    format_count(counts.by_chance, 1),
                    format_count(counts.raw),
                    format_count(counts.surviving),
                    f"{ours.surviving:,} of {ours.tested:,}",
                ]
            )
    header = ["symbol", "target", "tested", "raw p < 0.05 by chance", "found", "survive", "of liquidation features"]
    table = render_markdown_table(header, rows, "llrrrrr")
    more = len(symbols) - _MOST_SYMBOLS
    return f"{table}\n\n{plural(more, 'more symbol')} in the table `ic`." if more > 0 else table


def _strongest(own: pl.DataFrame, families: Mapping[str, str], symbol: str) -> Iterator[str]:
    whose = "all symbols together, ranks within each" if symbol == ALL else symbol
    for target in TARGETS:
        mine = own.filter(pl.col("target") == target)
        counts = count_family(mine)
        if mine.is_empty():
            continue
        title = f"### Strongest against {TARGET_PLURALS[target]}"
        if counts.tested == 0:
            yield f"{title}\n\n{_NOT_TESTABLE}: {'; '.join(note for note, _ in group_notes(mine)) or 'no coefficient'}."
            continue
        rows = [
            [
                f"`{row['feature']}`",
                families.get(row["feature"], OTHER_FAMILY),
                name_horizon(row["horizon_s"]),
                format_ic(row["ic"]),
                format_interval(row["ci_low"], row["ci_high"]),
                format_p(row["p"]),
                format_p(row["p_adjusted"]),
                format_p(row["p_bootstrap"]),
                format_count(row["n"]),
            ]
            for row in rank_strongest(mine).head(_STRONGEST).iter_rows(named=True)
        ]
        header = ["feature", "family", "horizon", "IC", "95 % interval", "p", "adjusted p", "bootstrap p", "n"]
        words = _say_survivors(mine, families, whose)
        yield f"{title}\n\n{words}\n\n{render_markdown_table(header, rows, 'lllrrrrrr')}"


def _say_survivors(mine: pl.DataFrame, families: Mapping[str, str], whose: str) -> str:
    """How many survive, whether liquidation features are among them, and which of those is the clearest."""
    survivors = rank_strongest(mine.filter(pl.col("p_adjusted") < LEVEL))
    tested = count_family(mine).tested
    if survivors.is_empty():
        return f"For {whose}, none of {plural(tested, 'cell')} survives; the smallest p, for the record:"
    about = [name for name in survivors["feature"].unique() if families.get(name) in LIQUIDATION_FAMILIES]
    ours = survivors.filter(pl.col("feature").is_in(about))
    words = f"For {whose}, {survivors.height:,} of {plural(tested, 'cell')} survive, "
    if ours.is_empty():
        return f"{words}none of them of a liquidation feature; the smallest p:"
    best = ours.row(0, named=True)
    return (
        f"{words}{ours.height:,} of them of liquidation features, most clearly `{best['feature']}` at "
        f"{name_horizon(best['horizon_s'])} ({format_ic(best['ic'])}); the smallest p:"
    )


def _regimes(split: pl.DataFrame) -> str:
    title = "### By regime"
    if count_family(split).tested == 0:
        reasons = "; ".join(note for note, _ in group_notes(split)) or "no regime was known, or none was asked for"
        return f"{title}\n\n{_NOT_TESTABLE}: {reasons}."
    rows = [_regime_row(split, regime, target) for regime in REGIME_NAMES for target in TARGETS]
    header = ["regime", "target", "tested", "survive", "clearest", "IC", "95 % interval", "adjusted p"]
    words = (
        "A family of its own. That a feature survives in one regime and not in the other is no evidence that "
        "they differ: that difference is not tested here."
    )
    return f"{title}\n\n{words}\n\n{render_markdown_table(header, rows, 'llrrlrrr')}"


def _regime_row(split: pl.DataFrame, regime: str, target: str) -> list[str]:
    own = split.filter((pl.col("regime") == regime) & (pl.col("target") == target))
    counts, ranked = count_family(own), rank_strongest(own)
    head = [regime, TARGET_NAMES[target], format_count(counts.tested), format_count(counts.surviving)]
    if ranked.is_empty():
        return [*head, "none", MISSING, MISSING, MISSING]
    row = ranked.row(0, named=True)
    return [
        *head,
        f"`{row['feature']}`, {name_horizon(row['horizon_s'])}",
        format_ic(row["ic"]),
        format_interval(row["ci_low"], row["ci_high"]),
        format_p(row["p_adjusted"]),
    ]


def _comparison(comparison: pl.DataFrame) -> str:
    title = "### Liquidation features against open interest and funding"
    rows = list_comparison_rows(comparison)
    table = [render_markdown_table(COMPARISON_HEADER, rows, COMPARISON_ALIGN)] if rows else []
    return "\n\n".join([title, *describe_comparison(comparison), *table])


def _absences(whole: pl.DataFrame, notes: Sequence[str]) -> Iterator[str]:
    groups = group_notes(whole)
    lines = [f"- {note}" for note in select_notes(notes)]
    lines += [f"- {note}: {describe_cells(rows, whole)}" for note, rows in groups[:_MOST_NOTES]]
    if len(groups) > _MOST_NOTES:
        lines.append(f"- {plural(len(groups) - _MOST_NOTES, 'more remark')} in the column `note` of the table `ic`")
    if lines:
        yield "\n".join(["### What could not be tested, and what to mind", "", *lines])
