"""Open interest before cascades: spikes beside matched moments, and the path of open interest around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.core.schema import COUNT, FLOAT, LONG, Column, Table
from liqlab.core.time import MS_PER_MINUTE
from liqlab.study._evidence import STEP_MS, STEPS_PER_MINUTE, Evidence, SymbolEvidence
from liqlab.study._inference import QuestionConfig
from liqlab.study._placebo import MatchedMoments, MomentMatcher, Moments, Outcome, Outcomes, measure_outcomes
from liqlab.study._placebo_inference import Excess, compute_influence, describe_influence, infer_excess

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

OI_EVENT_STUDY = Table(
    "oi_event_study",
    "open interest at one offset from the moment 1 min before cascades began, beside matched moments",
    (
        Column("offset_min", COUNT, "min", "minutes after that moment"),
        Column("cascades_frac", FLOAT, "fraction", "mean change of open interest since 60 min before that moment"),
        Column("matched_frac", FLOAT, "fraction", "the same at matched moments"),
        Column("difference_frac", FLOAT, "fraction", "the one less the other"),
        Column("ci_low", FLOAT, "fraction", "95 % interval, Student's t over blocks of 2 h, lower end"),
        Column("ci_high", FLOAT, "fraction", "upper end"),
        Column("n", COUNT, "", "cascades with a matched moment and known open interest"),
    ),
)

#: What a spike is: the change over the last 15 min above the 95 % quantile of the 3 days before, once a day is there.
_CHANGE_MIN = 15
_QUANTILE = 0.95
_WINDOW_MIN, _HISTORY_MIN = 4_320, 1_440
_BEFORE_MS = MS_PER_MINUTE
_STUDY_BEFORE_MIN = 60
_OFFSETS_MIN = range(-60, 35, 5)
_BLOCK_MIN = 120


@dataclass(frozen=True)
class Spikes:
    """Cascades' reference moments with their matches, and whether a spike of open interest came before either."""

    matched: MatchedMoments
    outcomes: Outcomes

    def infer(self, config: QuestionConfig) -> Excess:
        """The share of cascades with a spike before them less that of matched moments."""
        return infer_excess(self.matched, self.outcomes, 2 * _CHANGE_MIN * MS_PER_MINUTE, config)


def find_spikes(evidence: Evidence, symbols: Sequence[str]) -> Spikes:
    """Spikes before the cascades of the symbols: the reference moment is 1 min before the first liquidation."""
    moments = Moments.gather({name: _reference_moments(evidence.symbols[name]) for name in symbols})
    matched = MomentMatcher(evidence).match(moments)
    series = {name: spike_series(evidence.symbols[name]) for name in symbols}
    return Spikes(matched, measure_outcomes(evidence, matched, _read(series)))


def spike_series(symbol: SymbolEvidence) -> Floats:
    """On the grid 1 where open interest has just spiked, 0 where not, NaN where unknown.

    The threshold at a time is the trailing quantile of the changes at the full minutes up to one minute before it.
    """
    change = _change(symbol.grid["open_interest"], _CHANGE_MIN * STEPS_PER_MINUTE)
    minutes = pl.Series(change[STEPS_PER_MINUTE - 1 :: STEPS_PER_MINUTE]).fill_nan(None)
    quantile = minutes.rolling_quantile(
        _QUANTILE, interpolation="linear", window_size=_WINDOW_MIN, min_samples=_HISTORY_MIN
    )
    by_minute = np.concatenate([[np.nan], quantile.cast(pl.Float64).fill_null(float("nan")).to_numpy()])
    threshold = np.repeat(by_minute, STEPS_PER_MINUTE)[: len(change)]
    known = np.isfinite(change) & np.isfinite(threshold)
    return np.where(known, change > threshold, np.nan)


def study_events(evidence: Evidence, spikes: Spikes) -> pl.DataFrame:
    """The table `OI_EVENT_STUDY`."""
    records = []
    for offset_min in _OFFSETS_MIN:
        outcomes = measure_outcomes(evidence, spikes.matched, _path_outcome(offset_min))
        known = outcomes.is_known
        influence = compute_influence(spikes.matched, outcomes)
        found = describe_influence(influence, _BLOCK_MIN)
        own, others = (
            float(values[known].mean()) if known.any() else float("nan")
            for values in (outcomes.own, outcomes.control_means)
        )
        records.append((offset_min, own, others, influence.estimate, found.ci_low, found.ci_high, int(known.sum())))
    frame = pl.DataFrame(records, schema=OI_EVENT_STUDY.dtypes, orient="row")
    return frame.with_columns(pl.selectors.float().fill_nan(None))


def _reference_moments(symbol: SymbolEvidence) -> tuple[Integers, Floats]:
    cascades = symbol.cascades
    pressure = np.where((cascades["dominant_side"] == LONG).to_numpy(), -1.0, 1.0)
    return cascades["start"].to_physical().to_numpy() - _BEFORE_MS, pressure


def _read(series: dict[str, Floats]) -> Outcome:
    """The value of a symbol's series on the grid at each time."""

    def read(symbol: SymbolEvidence, times_ms: Integers, pressure: Floats) -> Floats:
        del pressure
        return _at(series[symbol.symbol], symbol.rows_at(times_ms))

    return read


def _path_outcome(offset_min: int) -> Outcome:
    """Change of open interest from an hour before a moment to `offset_min` after it, as a share."""

    def read(symbol: SymbolEvidence, times_ms: Integers, pressure: Floats) -> Floats:
        del pressure
        level = symbol.grid["open_interest"]
        end_ms = symbol.times_ms[-1] + STEP_MS if len(symbol.times_ms) else 0
        later_ms = times_ms + offset_min * MS_PER_MINUTE
        before = _at(level, symbol.rows_at(times_ms - _STUDY_BEFORE_MIN * MS_PER_MINUTE))
        later = np.where(later_ms < end_ms, _at(level, symbol.rows_at(later_ms)), np.nan)
        return np.asarray(np.divide(later, before, out=np.full(len(before), np.nan), where=before > 0.0) - 1.0)

    return read


def _at(values: Floats, rows: Integers) -> Floats:
    found = np.full(len(rows), np.nan)
    found[rows >= 0] = values[rows[rows >= 0]]
    return found


def _change(level: Floats, steps: int) -> Floats:
    found = np.full(len(level), np.nan)
    if len(level) > steps:
        before = level[:-steps]
        found[steps:] = np.divide(level[steps:] - before, before, out=np.full(len(before), np.nan), where=before > 0.0)
    return found
