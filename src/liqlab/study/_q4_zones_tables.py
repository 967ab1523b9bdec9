"""Exploratory tables of question 4: scores of zones by group, and how far forecasts of reversals can be relied on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.core.schema import COUNT, FLOAT, Column, Table
from liqlab.core.time import MS_PER_HOUR, MS_PER_MINUTE
from liqlab.stats import BrierScore, adjust_benjamini_hochberg, compute_brier, linear_quantile
from liqlab.study._q4_zones_compare import Comparison, compare_pairs, compare_touches
from liqlab.study._q4_zones_levels import ZONE, LevelConfig, Levels, Reactions

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

_TEXT = pl.String()
_INTERVAL = "95 % interval, Student's t over blocks of 6 h"

ZONE_SCORES = Table(
    "zone_scores",
    "one measure at the zones of one group beside matched levels",
    (
        Column("measure", _TEXT, "", "what is measured"),
        Column("group", _TEXT, "", "`all`, a symbol, or which zones"),
        Column("zones", FLOAT, "see measure", "plain mean at zones"),
        Column("other_levels", FLOAT, "see measure", "plain mean at the levels they are compared with"),
        Column("difference", FLOAT, "see measure", "what zones have more, distance and path being equal"),
        Column("ci_low", FLOAT, "see measure", f"{_INTERVAL}, lower end"),
        Column("ci_high", FLOAT, "see measure", "upper end"),
        Column("p", FLOAT, "probability", "two-sided p that the difference is zero, same procedure"),
        Column("p_adjusted", FLOAT, "probability", "Benjamini-Hochberg over this table"),
        Column("n_zones", COUNT, "", "zones, once for each hour, or first touches of them"),
        Column("n_other", COUNT, "", "levels, or first touches of them, they are compared with"),
        Column("unmatched_frac", FLOAT, "fraction", "share of zones without anything to compare with"),
    ),
)

ZONE_FORECASTS = Table(
    "zone_forecasts",
    "forecasts of a reversal at the first touch of one kind of level",
    (
        Column("levels", _TEXT, "", "`zones` or `other levels`"),
        Column("n", COUNT, "", "first touches with a forecast and an outcome"),
        Column("hit_rate", FLOAT, "fraction", "share that reversed before breaking through"),
        Column("decided_hit_rate", FLOAT, "fraction", "the same of those that reached a barrier at all"),
        Column("brier", FLOAT, "", "Brier score of the forecasts: mean squared error, 0.25 for a coin"),
        Column("ci_low", FLOAT, "", "95 % interval, Student's t over blocks of 6 h, lower end"),
        Column("ci_high", FLOAT, "", "upper end"),
        Column("reliability", FLOAT, "", "part of the score that comes from being wrong on average; 0 is perfect"),
        Column("resolution", FLOAT, "", "part that telling touches apart takes away"),
        Column("uncertainty", FLOAT, "", "score of always forecasting the overall share"),
        Column("skill", FLOAT, "fraction", "1 - score / uncertainty"),
    ),
)

ZONE_RELIABILITY = Table(
    "zone_reliability",
    "forecasts of a reversal in one range, beside what happened",
    (
        Column("levels", _TEXT, "", "`zones` or `other levels`"),
        Column("bin_low", FLOAT, "probability", "forecasts from here"),
        Column("bin_high", FLOAT, "probability", "to below here"),
        Column("n", COUNT, "", "forecasts in it"),
        Column("mean_forecast", FLOAT, "probability", "their mean"),
        Column("observed_frac", FLOAT, "fraction", "share that reversed"),
        Column("observed_low", FLOAT, "fraction", "95 % Wilson interval as if touches were independent, lower end"),
        Column("observed_high", FLOAT, "fraction", "upper end"),
    ),
)

_N_BINS = 20
#: Touches that the prior of a forecast is worth: of all symbols towards one half, of one symbol towards all.
_PRIOR_TOUCHES = 20.0
_BLOCK_MS = 6 * MS_PER_HOUR


def score_zones(symbols: tuple[str, ...], levels: Levels, reactions: Reactions) -> pl.DataFrame:
    """The table `ZONE_SCORES`: each measure for all zones, each symbol, side, distance and strength."""
    records = []
    for group, where in _list_groups(symbols, levels):
        for measure, comparison in _compare_all(levels, reactions, where):
            described = comparison.describe()
            records.append(
                (
                    measure,
                    group,
                    comparison.zone_value,
                    comparison.random_value,
                    comparison.effect,
                    described.ci_low,
                    described.ci_high,
                    described.p,
                    comparison.n_zones,
                    comparison.n_random,
                    comparison.unmatched_frac,
                )
            )
    dtypes = {name: dtype for name, dtype in ZONE_SCORES.dtypes.items() if name != "p_adjusted"}
    frame = pl.DataFrame(records, schema=dtypes, orient="row")
    adjusted = pl.Series("p_adjusted", adjust_benjamini_hochberg(frame["p"].to_numpy()), FLOAT)
    return frame.with_columns(adjusted).with_columns(pl.selectors.float().fill_nan(None)).select(ZONE_SCORES.names)


def score_forecasts(levels: Levels, reactions: Reactions, config: LevelConfig) -> dict[str, pl.DataFrame]:
    """The tables `ZONE_FORECASTS` and `ZONE_RELIABILITY`, by name.

    A forecast is the share of earlier touches of the same kind that reversed, of the symbol's and, as a prior, of all
    symbols', as far as their outcome was known at the touch.
    """
    scores, bins = [], []
    for words, kind in (("zones", levels.kind == ZONE), ("other levels", (levels.kind != ZONE) & levels.is_clear)):
        rows = np.flatnonzero(kind & np.isfinite(reactions.reversed))
        rows = rows[np.argsort(reactions.touch_ms[rows], kind="stable")]
        outcome, touch_ms = reactions.reversed[rows], reactions.touch_ms[rows]
        forecast = _forecast(touch_ms, levels.code[rows], outcome, config.barrier_min * MS_PER_MINUTE)
        score = compute_brier(forecast, outcome, _N_BINS, touch_ms // _BLOCK_MS)
        decided = float((reactions.reversed[rows] + reactions.broke[rows]).sum())
        rates = [float(outcome.sum()) / total if total else float("nan") for total in (len(rows), decided)]
        scores.append((words, len(rows), *rates, *_score_columns(score)))
        bins += [(words, *row) for row in _bin_rows(score)]
    frames = {
        "zone_forecasts": pl.DataFrame(scores, schema=ZONE_FORECASTS.dtypes, orient="row"),
        "zone_reliability": pl.DataFrame(bins, schema=ZONE_RELIABILITY.dtypes, orient="row"),
    }
    return {name: frame.with_columns(pl.selectors.float().fill_nan(None)) for name, frame in frames.items()}


def _list_groups(symbols: tuple[str, ...], levels: Levels) -> Iterator[tuple[str, Booleans]]:
    zones = levels.kind == ZONE
    strong = levels.mass_frac >= linear_quantile(levels.mass_frac[zones], 2.0 / 3.0)
    yield "all", zones
    for code, name in enumerate(symbols):
        yield name, zones & (levels.code == code)
    yield "above the price", zones & (levels.side > 0.0)
    yield "below the price", zones & (levels.side < 0.0)
    yield "within one hourly volatility", zones & (levels.distance <= 1.0)
    yield "farther away", zones & (levels.distance > 1.0)
    yield "fullest third", zones & strong
    yield "other two thirds", zones & ~strong


def _compare_all(levels: Levels, reactions: Reactions, where: Booleans) -> Iterator[tuple[str, Comparison]]:
    decided = np.where(reactions.reversed + reactions.broke > 0.0, reactions.reversed, np.nan)
    yield "visit within 60 min (probability)", compare_pairs(levels, reactions.visited, where)
    yield "time near it (fraction of 60 min)", compare_pairs(levels, reactions.near_frac, where)
    for measure, values in (
        ("reversal after first touch (probability)", reactions.reversed),
        ("breakout after first touch (probability)", reactions.broke),
        ("reversal where a barrier was reached (probability)", decided),
        ("move in the 5 min after a breakout (volatilities)", reactions.further),
    ):
        yield measure, compare_touches(levels, reactions, values, where)


def _forecast(touch_ms: Integers, code: Integers, outcome: Floats, known_after_ms: int) -> Floats:
    """For touches in order of time the shrunken share of earlier reversals, of those told when it happened."""
    told = np.searchsorted(touch_ms, touch_ms - known_after_ms, side="right")
    overall = _shrink(_running(outcome)[told], told.astype(np.float64), 0.5)
    forecast = overall.copy()
    for own in np.unique(code).tolist():
        rows = code == own
        hits, count = _running(np.where(rows, outcome, 0.0))[told], _running(rows.astype(np.float64))[told]
        forecast[rows] = _shrink(hits, count, overall)[rows]
    return forecast


def _shrink(hits: Floats, count: Floats, prior: Floats | float) -> Floats:
    return np.asarray((hits + _PRIOR_TOUCHES * prior) / (count + _PRIOR_TOUCHES))


def _running(values: Floats) -> Floats:
    return np.concatenate([[0.0], np.cumsum(values)])


def _score_columns(score: BrierScore) -> tuple[float, ...]:
    parts = (score.reliability, score.resolution, score.uncertainty, score.skill)
    return score.score.estimate, score.score.ci_low, score.score.ci_high, *parts


def _bin_rows(score: BrierScore) -> Iterator[tuple[float, ...]]:
    columns = (
        score.bin_low,
        score.bin_high,
        score.n,
        score.mean_forecast,
        score.observed_frac,
        score.observed_low,
        score.observed_high,
    )
    for row in np.flatnonzero(score.n):
        yield tuple(column[row].item() for column in columns)
