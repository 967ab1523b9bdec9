"""The tables of a walk-forward result, declared like those of `core.schema`."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from liqlab.core.schema import COUNT, FLOAT, PREDICTIONS, Column, Table

#: The symbol of a row about all symbols together.
ALL = "ALL"

_TARGET = (
    Column("target", pl.String(), "", "`return` or `volatility`"),
    Column("horizon_s", COUNT, "s", "forward length of the label"),
    Column("split", pl.String(), "", "`expanding` or `rolling`"),
)
_SYMBOL = Column("symbol", pl.String(), "", "instrument; `ALL` for the symbols together, each with the same weight")
_MODEL = Column("model", pl.String(), "", "the model")
_NOTE = Column("note", pl.String(), "", "why there is no number, or what to mind; empty when nothing")

SCORES = Table(
    "walk_forward_scores",
    "one measure of one model's out-of-fold forecasts",
    (
        *_TARGET,
        _SYMBOL,
        _MODEL,
        Column("metric", pl.String(), "", "`r2`, `ic`, `hit_rate` or `qlike`"),
        Column("against", pl.String(), "", "baseline of `r2`; empty for the others"),
        Column("value", FLOAT, "", "the measure over all folds"),
        Column("ci_low", FLOAT, "", "95 % interval, lower end; simultaneous symbols are one time point"),
        Column("ci_high", FLOAT, "", "95 % interval, upper end"),
        Column("n", COUNT, "", "forecasts with an outcome"),
        Column("n_times", COUNT, "", "distinct decision times among them"),
        _NOTE,
    ),
)

COMPARISONS = Table(
    "walk_forward_comparisons",
    "one model's losses against those of another",
    (
        *_TARGET,
        _SYMBOL,
        Column("loss", pl.String(), "", "`squared error` or `QLIKE`"),
        _MODEL,
        Column("against", pl.String(), "", "the model it is compared with"),
        Column("gain", FLOAT, "fraction", "mean loss saved, as a share of the mean loss of `against`; > 0 is better"),
        Column("ci_low", FLOAT, "fraction", "95 % interval of `gain`, lower end"),
        Column("ci_high", FLOAT, "fraction", "95 % interval of `gain`, upper end"),
        Column("t", FLOAT, "", "Diebold-Mariano statistic, fixed-b"),
        Column("p", FLOAT, "probability", "two-sided p of `null`"),
        Column("p_adjusted", FLOAT, "probability", "Benjamini-Hochberg over this table, an exploratory family"),
        Column("n_times", COUNT, "", "decision times compared"),
        Column("null", pl.String(), "", "the null hypothesis in words"),
        Column("alternative", pl.String(), "", "the alternative in words"),
        _NOTE,
    ),
)

IMPORTANCE = Table(
    "walk_forward_importance",
    "one group of correlated columns in one model",
    (
        *_TARGET,
        _MODEL,
        Column("kind", pl.String(), "", "`gain` (share of the trees' gain) or `permutation` (loss of R2 out of fold)"),
        Column("group", pl.String(), "", "first column of the group"),
        Column("features", pl.String(), "", "all its columns, separated by commas"),
        Column("mean", FLOAT, "fraction", "importance, mean over the folds"),
        Column("spread", FLOAT, "fraction", "standard deviation over the folds"),
        Column("top5_frac", FLOAT, "fraction", "share of the folds in which it is among the five largest"),
        Column("folds", COUNT, "", "folds"),
        Column("rank_agreement", FLOAT, "correlation", "mean rank correlation of the importances of two folds"),
    ),
)

TRIALS = Table(
    "walk_forward_trials",
    "one configuration tried inside a training window",
    (
        *_TARGET,
        Column("fold", COUNT, "", "number of the fold, from 0"),
        _MODEL,
        Column("parameters", pl.String(), "", "what was tried"),
        Column("inner_score", FLOAT, "", "mean squared error on the end of the training window, model's scale"),
        Column("chosen", pl.Boolean(), "", "it had the smallest error, and made the forecasts"),
    ),
)


@dataclass(frozen=True)
class WalkForwardResult:
    """Forecasts and what they are worth.

    `predictions` is `core.schema.PREDICTIONS`; `scores`, `comparisons`, `importance` and `trials` are the tables of
    this module, without rows where nothing could be tested. `notes` say in words what is missing and why; the first
    begins with "not testable" when there is no forecast at all.
    """

    predictions: pl.DataFrame
    scores: pl.DataFrame
    comparisons: pl.DataFrame
    importance: pl.DataFrame
    trials: pl.DataFrame
    notes: tuple[str, ...]


def empty_result(notes: tuple[str, ...]) -> WalkForwardResult:
    """A result without forecasts, and why."""
    return WalkForwardResult(
        PREDICTIONS.empty(), SCORES.empty(), COMPARISONS.empty(), IMPORTANCE.empty(), TRIALS.empty(), notes
    )
