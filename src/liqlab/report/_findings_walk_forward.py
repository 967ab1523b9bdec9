"""The findings on walk-forward prediction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from liqlab.models import WalkForwardResult
from liqlab.report._figures_importance import name_group
from liqlab.report._figures_walk_forward import BASELINE, BASELINE_NAMES, PLAIN, WITHOUT, name_model
from liqlab.report._ic_reading import (
    LEVEL,
    TARGET_PLURALS,
    TARGETS,
    format_ic,
    format_interval,
    format_p,
    list_horizons,
    name_horizon,
)
from liqlab.report._text import MISSING, format_count, render_markdown_table
from liqlab.report._words import percent, plural
from liqlab.study import ALL

_NOT_TESTABLE = "**Not testable**"
_BASELINES = {"return": ("zero", "mean"), "volatility": ("mean", "har")}
_TOP_GROUPS = 3
#: Forecasts that do not vary have no IC, which is no news.
_CONSTANT = ("zero", "mean")
_SQUARED_ERROR = "squared error"
#: Models that see every column, and comparisons of such a model with itself without liquidations.
_IS_FULL = ~pl.col("model").is_in(PLAIN) & ~pl.col("model").str.ends_with(WITHOUT)
_IS_WITH_AND_WITHOUT = pl.col("against") == pl.col("model") + pl.lit(WITHOUT)
_CAUTION = (
    "Out of sample means: after the training window, within this recording. A few days hold few independent "
    "stretches, and all of them may be of one kind of market. No cost of trading is in any of these numbers, and "
    "none is a verdict."
)


def render_walk_forward_section(
    result: WalkForwardResult, pictures: Sequence[str] = (), heading: str = "## Walk-forward prediction"
) -> str:
    """Scores, comparisons, importance and trials of the forecasts, as Markdown; without a forecast, why there is none.

    Scores and comparisons are those of all symbols together and of the first split; the tables hold the others.
    """
    if result.scores.is_empty() or result.predictions.is_empty():
        reasons = result.notes or ("there is no forecast",)
        return "\n\n".join(
            [heading, f"{_NOT_TESTABLE}: there is no forecast.", "\n".join(f"- {reason}" for reason in reasons)]
        )
    split = str(result.scores["split"][0])
    parts = [
        heading,
        _describe(result, split),
        _CAUTION,
        _conclude(result.comparisons, result.scores, split),
        *_scores(result.scores, split),
        _say_other_splits(result.scores, split),
        *_liquidations(result.comparisons, split),
        *_baselines(result.comparisons, split),
        *_importance(result.importance),
        _trials(result.trials),
        *_mind(result, split),
        *pictures,
    ]
    return "\n\n".join(part for part in parts if part)


def _describe(result: WalkForwardResult, split: str) -> str:
    own = result.predictions.filter(pl.col("split") == split)
    models = ", ".join(map(name_model, own["model"].unique(maintain_order=True)))
    return (
        f"Models are refitted as time goes on and forecast only what comes after: "
        f"{plural(own['fold'].n_unique(), 'fold')}, {split} training window (the tables below; other windows where "
        f"said). Labels that reach into the test time are left out of training. Models: {models}. R² is 1 - squared "
        "error / squared error of the baseline: above 0 "
        "is better than it. IC is the rank correlation of forecast and outcome, the hit rate the share of forecasts on "
        "the right side of zero (for volatility, of the training mean). Intervals are 95 % and allow for overlap; "
        "simultaneous symbols are one moment."
    )


def _conclude(comparisons: pl.DataFrame, scores: pl.DataFrame, split: str) -> str:
    """What came out for each target, before all tables."""
    lines = []
    for target in TARGETS:
        baseline = BASELINE[target]
        full = (pl.col("target") == target) & (pl.col("split") == split) & (pl.col("symbol") == ALL) & _IS_FULL
        r2 = scores.filter(full & (pl.col("metric") == "r2") & (pl.col("against") == baseline))["value"].drop_nulls()
        if not len(r2):
            continue
        own = comparisons.filter(full & (pl.col("against") == baseline) & (pl.col("loss") == _SQUARED_ERROR))
        lines.append(
            f"- Against {TARGET_PLURALS[target]}, {int((r2 > 0).sum())} of {len(r2)} forecasts that see everything are "
            f"better than {BASELINE_NAMES[baseline]} out of sample. {_count_gains(own)}"
        )
    added = comparisons.filter((pl.col("split") == split) & (pl.col("symbol") == ALL) & _IS_WITH_AND_WITHOUT)
    if added.height:
        lines.append(f"- Liquidation columns: {_count_gains(added)}")
    return "\n".join(lines)


def _mind(result: WalkForwardResult, split: str) -> Iterator[str]:
    """The notes of the result, and what the scores of all symbols together say about themselves."""
    own = result.scores.filter((pl.col("split") == split) & (pl.col("symbol") == ALL))
    noted = own.filter((pl.col("note").fill_null("") != "") & ~pl.col("model").is_in(_CONSTANT))
    lines = [f"- {note}" for note in result.notes]
    for note in noted["note"].unique(maintain_order=True):
        targets = noted.filter(pl.col("note") == note).select("target", "horizon_s").unique(maintain_order=True)
        names = ", ".join(f"{target} {name_horizon(horizon)}" for target, horizon in targets.iter_rows())
        lines.append(f"- {note}: {names}")
    if lines:
        yield "\n".join(["### What could not be tested, and what to mind", "", *lines])


def _scores(scores: pl.DataFrame, split: str) -> Iterator[str]:
    own = scores.filter((pl.col("split") == split) & (pl.col("symbol") == ALL))
    for target in TARGETS:
        mine = own.filter(pl.col("target") == target)
        if mine.is_empty():
            continue
        rows = []
        for horizon in list_horizons(mine, target):
            here = mine.filter(pl.col("horizon_s") == horizon)
            for place, model in enumerate(here["model"].unique(maintain_order=True)):
                found = _read_scores(here.filter(pl.col("model") == model))
                rows.append(
                    [name_horizon(horizon) if place == 0 else "", name_model(model), *_score_cells(found, target)]
                )
        against = [f"R² against {BASELINE_NAMES[baseline]}" for baseline in _BASELINES[target]]
        header = ["horizon", "model", *against, "IC", "hit rate", "n"]
        yield f"### {TARGET_PLURALS[target].capitalize()}\n\n{render_markdown_table(header, rows, 'llrrrrr')}"


def _read_scores(rows: pl.DataFrame) -> dict[tuple[str, str], dict[str, Any]]:
    """(metric, against) to its row."""
    return {(row["metric"], row["against"] or ""): row for row in rows.iter_rows(named=True)}


def _score_cells(found: dict[tuple[str, str], dict[str, Any]], target: str) -> list[str]:
    shares = [_share(found.get(("r2", baseline)), "") for baseline in _BASELINES[target]]
    ic = found.get(("ic", ""))
    n = max((row["n"] for row in found.values()), default=None)
    return [*shares, _correlation(ic), _share(found.get(("hit_rate", "")), "hit"), format_count(n)]


def _share(row: dict[str, Any] | None, kind: str) -> str:
    """A share in per cent with its interval; with a sign unless it is a hit rate."""
    if row is None or row["value"] is None:
        return MISSING
    sign, decimals = ("", 1) if kind == "hit" else ("+", 2)
    return f"{100 * row['value']:{sign}.{decimals}f} %{_interval(row, sign, decimals)}"


def _interval(row: dict[str, Any], sign: str, decimals: int) -> str:
    if row["ci_low"] is None or row["ci_high"] is None:
        return ""
    return f" ({100 * row['ci_low']:{sign}.{decimals}f} to {100 * row['ci_high']:{sign}.{decimals}f})"


def _correlation(row: dict[str, Any] | None) -> str:
    if row is None or row["value"] is None:
        return MISSING
    interval = format_interval(row["ci_low"], row["ci_high"])
    return format_ic(row["value"]) + (f" ({interval})" if interval != MISSING else "")


def _say_other_splits(scores: pl.DataFrame, split: str) -> str:
    """Whether the forecasts are better than the baseline with other training windows too."""
    beaten = pl.col("target").replace_strict(BASELINE, return_dtype=pl.String)
    r2 = scores.filter(
        (pl.col("symbol") == ALL)
        & (pl.col("metric") == "r2")
        & (pl.col("against") == beaten)
        & pl.col("value").is_finite()
    )
    key = ["target", "horizon_s", "model"]
    main = r2.filter(pl.col("split") == split)
    words = []
    for other in r2["split"].unique(maintain_order=True):
        if other != split:
            both = main.join(r2.filter(pl.col("split") == other), on=key, suffix="_other", maintain_order="left")
            same = int(((both["value"] > 0) == (both["value_other"] > 0)).sum())
            words.append(
                f"With a {other} training window R² against the baseline (zero, or HAR) has the same sign in {same} of "
                f"{both.height} cases."
            )
    return " ".join(words)


def _liquidations(comparisons: pl.DataFrame, split: str) -> Iterator[str]:
    """Each model against itself without liquidation columns."""
    own = comparisons.filter(
        (pl.col("symbol") == ALL) & (pl.col("split") == split) & _IS_WITH_AND_WITHOUT & pl.col("gain").is_not_null()
    )
    title = "### Do liquidations add anything?"
    if own.is_empty():
        yield f"{title}\n\n{_NOT_TESTABLE}: no model could be compared with itself without liquidation columns."
        return
    words = (
        "Each model against the same model without any column that holds liquidations (Diebold-Mariano test; null: the "
        f"expected loss is equal). {_count_gains(own)}"
    )
    rows = [_comparison_row(row) for row in own.iter_rows(named=True)]
    yield f"{title}\n\n{words}\n\n{render_markdown_table(_COMPARISON_HEADER, rows, 'llllrrr')}"


_COMPARISON_HEADER = ["target", "model", "against", "loss", "loss saved (95 % interval)", "p", "adjusted p"]


def _baselines(comparisons: pl.DataFrame, split: str) -> Iterator[str]:
    """The models that see everything against the baselines, by squared error."""
    own = comparisons.filter(
        (pl.col("symbol") == ALL)
        & (pl.col("split") == split)
        & (pl.col("loss") == _SQUARED_ERROR)
        & pl.col("against").is_in(PLAIN)
        & _IS_FULL
        & pl.col("gain").is_not_null()
    )
    if not own.is_empty():
        words = (
            f"Diebold-Mariano tests by squared error. {_count_gains(own)} The correction runs over all "
            f"{plural(comparisons.height, 'comparison')} of the table `walk_forward_comparisons`, an exploratory "
            "family."
        )
        rows = [_comparison_row(row) for row in own.iter_rows(named=True)]
        table = render_markdown_table(_COMPARISON_HEADER, rows, "llllrrr")
        yield f"### Against the baselines\n\n{words}\n\n{table}"


def _count_gains(own: pl.DataFrame) -> str:
    better = own.filter((pl.col("p_adjusted") < LEVEL) & (pl.col("gain") > 0)).height
    worse = own.filter((pl.col("p_adjusted") < LEVEL) & (pl.col("gain") < 0)).height
    tested = own["p"].count()
    if tested == 0:
        return f"{_NOT_TESTABLE}: none of {plural(own.height, 'comparison')} has a p."
    untested = f" ({own.height - tested:,} more have no p)" if tested < own.height else ""
    if better == 0 and worse == 0:
        return f"**None of {plural(tested, 'tested comparison')} survives the correction**{untested}."
    return (
        f"Of {plural(tested, 'tested comparison')}{untested}, {better or 'none'} survive the correction as better and "
        f"{worse or 'none'} as worse."
    )


def _comparison_row(row: dict[str, Any]) -> list[str]:
    gain = {"value": row["gain"], "ci_low": row["ci_low"], "ci_high": row["ci_high"]}
    return [
        f"{row['target']}, {name_horizon(row['horizon_s'])}",
        name_model(row["model"]),
        BASELINE_NAMES.get(row["against"], "without liquidations"),
        row["loss"],
        _share(gain, ""),
        format_p(row["p"]),
        format_p(row["p_adjusted"]),
    ]


def _importance(importance: pl.DataFrame) -> Iterator[str]:
    known = importance.filter(pl.col("mean").is_not_null() & pl.col("mean").is_finite())
    if known.is_empty():
        return
    rows = []
    keys = ["target", "horizon_s", "model", "kind"]
    for (target, horizon, model, kind), own in known.group_by(keys, maintain_order=True):
        ranked = own.sort("mean", "group", descending=[True, False], maintain_order=True)
        top = ", ".join(map(_group_words, ranked.head(_TOP_GROUPS).iter_rows(named=True)))
        agreement = ranked["rank_agreement"][0]
        rows.append(
            [
                f"{target}, {name_horizon(int(str(horizon)))}",
                name_model(str(model)),
                str(kind),
                top,
                MISSING if agreement is None else f"{agreement:+.2f}",
                format_count(ranked["folds"][0]),
            ]
        )
    words = (
        "Groups of correlated columns, named by their first; `+ 3` says that three more belong to it. Permutation: R² "
        "lost out of sample when the group is shuffled (near or below 0: the model does not need it). Gain: share of "
        "what the trees' splits gained in training. In brackets, the share of folds in which the group is among the "
        "five largest; rank agreement is the mean rank correlation of two folds' importances, and near 0 the order is "
        "chance."
    )
    header = ["target", "model", "kind", "largest groups", "rank agreement", "folds"]
    yield f"### What the forecasts rest on\n\n{words}\n\n{render_markdown_table(header, rows, 'llllrr')}"


def _group_words(row: dict[str, Any]) -> str:
    return f"`{name_group(row['group'], row['features'])}` {100 * row['mean']:.1f} % ({percent(row['top5_frac'], 0)})"


def _trials(trials: pl.DataFrame) -> str:
    if trials.is_empty():
        return ""
    by_model = trials.group_by("model", maintain_order=True).len().sort("model")
    counts = ", ".join(f"{name_model(model)} {count:,}" for model, count in by_model.iter_rows())
    return (
        f"Hyper-parameters are chosen inside each training window; {plural(trials.height, 'configuration')} tried in "
        f"all ({counts}), every one counted as a trial in the table `walk_forward_trials`."
    )
