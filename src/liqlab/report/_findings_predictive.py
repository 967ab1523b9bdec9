"""The findings on regimes and on features."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from liqlab.regimes import RegimeConfig, RegimeSummary
from liqlab.report._ic_reading import group_features, read_families
from liqlab.report._style import format_span
from liqlab.report._text import MISSING, format_count, render_markdown_table
from liqlab.report._words import join_names, percent, plural

DICTIONARY = "liquidations_features.txt"
NOT_TESTABLE = "**Not testable**"

_MS_PER_S = 1_000
_HOURS_PER_DAY = 24


def render_regime_section(
    summaries: Sequence[RegimeSummary],
    config: RegimeConfig | None = None,
    pictures: Sequence[str] = (),
    heading: str = "## Regimes",
) -> str:
    """How often each regime held, how it changed, and how far the two methods and the refits agree, as Markdown.

    One summary for each symbol; without any known regime the section says why. `config` is that of the run.
    """
    parts = [heading, _define_regimes(config or RegimeConfig())]
    known = [summary for summary in summaries if summary.known_frac or summary.known_hmm_frac]
    if not known:
        reasons = [note for note, _ in _group_notes(summaries)] or ["there is no symbol with prices"]
        parts.append(
            f"{NOT_TESTABLE}: no regime is known at any time: {'; '.join(reasons)}. Nothing is split by regime."
        )
        return "\n\n".join(parts)
    rows = [_regime_row(summary) for summary in summaries]
    header = [
        "symbol",
        "",
        "known",
        "volatile",
        "transitions",
        "median stay",
        "both agree",
        "refits used",
        "worst refit",
    ]
    parts += [render_markdown_table(header, [line for row in rows for line in row], "llrrrrrrr"), _REGIME_WORDS]
    notes = [f"- {note} ({join_names(symbols)})" for note, symbols in _group_notes(summaries)]
    if notes:
        parts.append("\n".join(["Mind:", "", *notes]))
    return "\n\n".join([*parts, *pictures])


_REGIME_WORDS = (
    "Known: share of the minutes at which a regime is known. Both agree: share of the minutes, of those known to both "
    "methods, to which both give the same. Worst refit: the lowest agreement of two consecutive fits of the model on "
    "the time that both saw. Volatile means volatile for these days: the threshold follows the market, so regimes of "
    "two recordings are not the same thing."
)


def _define_regimes(config: RegimeConfig) -> str:
    return (
        f"By quantile (the primary one): volatile when the realised volatility of the last "
        f"{format_span(_MS_PER_S * config.volatility_window_s)} lies above the {100 * config.quantile:g} % quantile of "
        f"those of the last {config.quantile_window_days:g} days. By model: a hidden Markov model with two states, "
        f"refitted every {config.hmm_refit_hours} h on the last {config.hmm_window_days:g} days; only its filtered "
        "probabilities are used. Either is known at its minute from what came before it."
    )


def _regime_row(summary: RegimeSummary) -> list[list[str]]:
    symbol = summary.symbol or MISSING
    quantile = [
        symbol,
        "quantile",
        percent(summary.known_frac),
        percent(summary.volatile_frac),
        format_count(summary.n_transitions),
        _stay(summary.median_stay_s),
        percent(summary.agreement_frac),
        "",
        "",
    ]
    model = [
        "",
        "model",
        percent(summary.known_hmm_frac),
        percent(summary.volatile_hmm_frac),
        format_count(summary.n_transitions_hmm),
        _stay(summary.median_stay_hmm_s),
        "",
        f"{summary.n_fits_used} of {summary.n_fits}",
        percent(summary.worst_refit_agreement_frac),
    ]
    return [quantile, model]


def _stay(seconds: float | None) -> str:
    return MISSING if seconds is None else format_span(_MS_PER_S * seconds)


def _group_notes(summaries: Sequence[RegimeSummary]) -> list[tuple[str, list[str]]]:
    groups: dict[str, list[str]] = {}
    for summary in summaries:
        for note in summary.notes:
            groups.setdefault(note, []).append(summary.symbol or MISSING)
    return list(groups.items())


def render_feature_section(
    dictionary: pl.DataFrame,
    notes: Sequence[str] = (),
    pictures: Sequence[str] = (),
    heading: str = "## Features",
) -> str:
    """How many features there are, how much of each family there is, and what to mind, as Markdown.

    `dictionary` is that of the run (see `render_feature_dictionary`); `notes` are about features or labels as a whole.
    """
    if dictionary.is_empty():
        return f"{heading}\n\n{NOT_TESTABLE}: no feature was computed."
    groups = group_features(dictionary["feature"].to_list(), read_families(dictionary))
    empty = dictionary.filter(pl.col("non_null_frac").fill_null(0.0) == 0.0)["feature"].to_list()
    parts = [
        heading,
        f"{plural(dictionary.height, 'feature')} in {plural(len(groups), 'family', 'families')} on a grid of 5 s, each "
        f"from what was known at its time. Every one is described in [{DICTIONARY}]({DICTIONARY}): meaning, formula, "
        f"lookback, warm-up. {_say_empty(empty)}",
        render_markdown_table(
            ["family", "features", "present: median", "least", "least present", "without a value"],
            [_family_row(dictionary, family, features) for family, features in groups.items()],
            "lrrrlr",
        ),
        "Present: share of the grid, over all symbols. Imbalances need a liquidation in their window, so they are "
        "sparse by nature.",
    ]
    remarks = [f"- {note}" for note in notes] + [f"- {line}" for line in _list_remarks(dictionary)]
    if remarks:
        parts.append("\n".join(["Mind:", "", *remarks]))
    return "\n\n".join([*parts, *pictures])


def _say_empty(empty: Sequence[str]) -> str:
    if not empty:
        return "All of them have values."
    return f"{plural(len(empty), 'of them has', 'of them have')} no value at all, for the reasons below."


def _family_row(dictionary: pl.DataFrame, family: str, features: Sequence[str]) -> list[str]:
    own = dictionary.filter(pl.col("feature").is_in(list(features)))
    shares = own.sort("non_null_frac", "feature", nulls_last=False, maintain_order=True)
    least = shares.row(0, named=True)
    median = own["non_null_frac"].median()
    return [
        family,
        format_count(len(features)),
        percent(median if isinstance(median, float) else None),
        percent(least["non_null_frac"]),
        f"`{least['feature']}`",
        format_count(int((own["non_null_frac"].fill_null(0.0) == 0.0).sum())),
    ]


def _list_remarks(dictionary: pl.DataFrame) -> list[str]:
    """Each remark once, with the features it is about."""
    groups: dict[str, list[str]] = {}
    for feature, note in dictionary.select("feature", "note").iter_rows():
        if note:
            groups.setdefault(note, []).append(f"`{feature}`")
    return [f"{note}: {_name(features, dictionary.height)}" for note, features in groups.items()]


def _name(features: Sequence[str], n_all: int) -> str:
    if len(features) == n_all and n_all > 1:
        return "all features"
    if len(features) <= 8:
        return ", ".join(features)
    return f"{', '.join(features[:6])} and {len(features) - 6} more"
