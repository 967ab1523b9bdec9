"""Question 1, described: how far the price goes after a cascade begins, and how soon it is back."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from liqlab.core.time import MS_PER_HOUR, MS_PER_MINUTE
from liqlab.stats import SurvivalCurve, compute_survival
from liqlab.study._evidence import STEP_MS, Booleans, Evidence, Floats, Integers, SymbolEvidence
from liqlab.study._placebo import MatchedMoments, MomentMatcher, Moments, Outcome, Outcomes, measure_outcomes
from liqlab.study._placebo_events import find_first_known
from liqlab.study._placebo_inference import describe_columns
from liqlab.study._q1_impact_splits import BLOCK_MIN, MatchedSet
from liqlab.study._q1_impact_tables import EXCURSIONS, RECOVERY

#: Published for February 2026: cascades with adverse movement, and of them back within so many minutes.
PUBLISHED_ADVERSE_FRAC = 0.94
PUBLISHED_RECOVERED = {1.0: 0.065, 60.0: 0.65}
_EXCURSION_MIN = (5, 60)
_MINUTES = (0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 240.0)
_LONGEST_MS = 4 * MS_PER_HOUR
#: Matched moments of an event that are followed for so long.
_CONTROLS = 5
_BPS = 1e4
Splits = Iterator[tuple[str, str, Booleans]]


def describe_excursions(evidence: Evidence, matcher: MomentMatcher) -> pl.DataFrame:
    """Table `q1_excursions`: from the first liquidation of each cascade on, which nobody knew to become one.

    Pressure is that of the whole cascade, so this describes what happened and tests nothing.
    """
    moments = _list_starts(evidence)
    matched, rows = matcher.match(moments), []
    for minutes in _EXCURSION_MIN:
        horizon_ms = minutes * MS_PER_MINUTE
        along, against = (measure_outcomes(evidence, matched, _extreme(sign, horizon_ms)) for sign in (1.0, -1.0))
        for split, group, where in _sides(moments):
            used = where & along.is_known & against.is_known
            if used.any():
                rows.append((split, group, 60.0 * minutes, *_describe_extremes(matched, along, against, used, minutes)))
    return pl.DataFrame(rows, EXCURSIONS.dtypes, orient="row").fill_nan(None)


def describe_recovery(evidence: Evidence, ended: MatchedSet) -> pl.DataFrame:
    """Table `q1_recovery`: cascades that had moved the price with their pressure when their end was known.

    Duration is from that moment to the first price at or beyond the pre-cascade price; censored after four hours, at
    the end of the data, and where prices stop coming. A matched moment is treated alike: its level lies as far away as
    that of the cascade.
    """
    shift = _measure_shift(evidence, ended)
    away = np.isfinite(shift) & (shift > 0.0)
    rows = []
    for split, group, where in _sides(ended.moments):
        chosen = np.flatnonzero(where & away & ended.matched.is_matched)
        if chosen.size:
            rows += _describe_curve(evidence, ended, shift, chosen, (split, group))
    return pl.DataFrame(rows, RECOVERY.dtypes, orient="row").fill_nan(None)


def _list_starts(evidence: Evidence) -> Moments:
    starts = {}
    for name, symbol in evidence.symbols.items():
        is_long = (symbol.cascades["dominant_side"] == "long").to_numpy()
        starts[name] = (find_first_known(symbol.cascades), np.where(is_long, -1.0, 1.0))
    return Moments.gather(starts)


def _sides(moments: Moments) -> Splits:
    yield "all", "all", np.ones(len(moments), dtype=bool)
    yield "side", "long", moments.pressure < 0.0
    yield "side", "short", moments.pressure > 0.0


def _extreme(sign: float, horizon_ms: int) -> Outcome:
    return lambda symbol, times_ms, pressure: _measure_extreme(symbol, times_ms, pressure, sign, horizon_ms)


def _measure_extreme(
    symbol: SymbolEvidence, times_ms: Integers, pressure: Floats, sign: float, horizon_ms: int
) -> Floats:
    """The farthest the price went with (against, for sign -1) the pressure, in bps; at least 0, NaN without a price."""
    base = symbol.prices.first_from(times_ms, symbol.tolerance_ms)
    last = symbol.prices.first_from(times_ms + horizon_ms, symbol.tolerance_ms)
    known, prices = symbol.prices.known_ms, symbol.prices.price
    begin = np.searchsorted(known, times_ms, side="left")
    end = np.searchsorted(known, times_ms + horizon_ms, side="right")
    usable = np.isfinite(base) & np.isfinite(last) & (end > begin)
    found = np.full(len(times_ms), np.nan)
    rows = np.flatnonzero(usable)
    rows = rows[np.argsort(begin[rows], kind="stable")]
    if rows.size:
        places = np.stack([begin[rows], np.minimum(end[rows], len(prices) - 1)], axis=1).ravel()
        highest, lowest = np.maximum.reduceat(prices, places)[::2], np.minimum.reduceat(prices, places)[::2]
        upward = sign * pressure[rows] > 0.0
        move = _BPS * (np.where(upward, highest, lowest) / base[rows] - 1.0)
        found[rows] = np.maximum(np.where(upward, move, -move), 0.0)
    return found


def _describe_extremes(
    matched: MatchedMoments, along: Outcomes, against: Outcomes, used: Booleans, minutes: int
) -> tuple[float | int | None, ...]:
    rows = np.flatnonzero(used)
    adverse = (along.own[rows] > 0.0).astype(np.float64)[:, None]
    mean, low, high = describe_columns(matched.moments.times_ms[rows], adverse, np.ones(rows.size), BLOCK_MIN)
    controls = along.controls[rows]
    share = Outcomes(along.own[rows], np.where(np.isfinite(controls), (controls > 0.0) * 1.0, np.nan)).control_means
    return (
        rows.size,
        float(mean[0]),
        float(low[0]),
        float(high[0]),
        float(share.mean()),
        PUBLISHED_ADVERSE_FRAC if minutes == max(_EXCURSION_MIN) else None,
        float(np.median(along.own[rows])),
        float(np.nanmedian(controls)),
        float(np.median(against.own[rows])),
        float(np.nanmedian(against.controls[rows])),
    )


def _measure_shift(evidence: Evidence, ended: MatchedSet) -> Floats:
    """How far the price is from where it was before the cascade, bps with the pressure, when the end is known."""
    displacement = ended.events.column(evidence, "displacement_bps").astype(np.float64)
    return np.asarray(ended.moments.pressure * displacement)


def _describe_curve(
    evidence: Evidence, ended: MatchedSet, shift: Floats, rows: Integers, names: tuple[str, str]
) -> list[tuple[object, ...]]:
    times = ended.moments.times_ms[rows]
    duration, seen = _measure_durations(evidence, ended.moments, rows, times, shift[rows])
    known = ~np.isnan(duration)
    curve = compute_survival(duration[known], seen[known], times[known] // (BLOCK_MIN * MS_PER_MINUTE))
    controls = ended.matched.control_ms[rows, :_CONTROLS]
    cells = np.nonzero(controls >= 0)
    owner = rows[cells[0]]
    placebo = compute_survival(*_measure_durations(evidence, ended.moments, owner, controls[cells], shift[owner]))
    return [
        (
            *names,
            minutes,
            *_read_curve(curve, minutes),
            1.0 - _survives(placebo, minutes)[0],
            PUBLISHED_RECOVERED.get(minutes),
            curve.n_values,
            int((duration[known] > minutes).sum()),
            curve.n_censored,
        )
        for minutes in _MINUTES
    ]


def _measure_durations(
    evidence: Evidence, moments: Moments, owner: Integers, times_ms: Integers, shift: Floats
) -> tuple[Floats, Booleans]:
    """Minutes until the price has gone `shift` bps against the pressure, and whether that was seen.

    `owner` (n,) are the events that give symbol and pressure. NaN without a first price.
    """
    duration, seen = np.full(len(owner), np.nan), np.zeros(len(owner), dtype=bool)
    for code, name in enumerate(moments.symbols):
        rows = np.flatnonzero(moments.codes[owner] == code)
        if rows.size:
            symbol, pressure = evidence.symbols[name], moments.pressure[owner[rows]]
            duration[rows], seen[rows] = _first_passage(symbol, times_ms[rows], pressure, shift[rows])
    return duration, seen


def _first_passage(
    symbol: SymbolEvidence, times_ms: Integers, pressure: Floats, shift: Floats
) -> tuple[Floats, Booleans]:
    """As `_measure_durations`, for one symbol: looks at ever more prices, for those that are not back yet."""
    known, prices = symbol.prices.known_ms, symbol.prices.price
    base = symbol.prices.first_from(times_ms, symbol.tolerance_ms)
    # From the price now it is this far back to the level before, whatever a bps is of.
    level = base / (1.0 + pressure * shift / _BPS)
    begin = np.searchsorted(known, times_ms, side="left")
    stop = np.minimum(np.searchsorted(known, times_ms + _LONGEST_MS, side="right"), _find_breaks(symbol)[begin])
    seen, place = np.zeros(len(times_ms), dtype=bool), begin.copy()
    waiting, width = np.flatnonzero(np.isfinite(base) & (stop > begin)), 64
    while waiting.size:
        cells = place[waiting, None] + np.arange(width)
        inside = cells < stop[waiting, None]
        ahead = prices[np.minimum(cells, len(prices) - 1)]
        back = inside & (pressure[waiting, None] * (ahead - level[waiting, None]) <= 0.0)
        hit = back.any(axis=1)
        place[waiting] += np.where(hit, back.argmax(axis=1), inside.sum(axis=1))
        seen[waiting[hit]] = True
        waiting = waiting[~hit & (place[waiting] < stop[waiting])]
        width = min(2 * width, 2_048)
    # What was not seen to come back lasted until the last price looked at.
    last = known[np.clip(np.where(seen, place, place - 1), 0, max(len(known) - 1, 0))] if len(known) else times_ms
    minutes = np.maximum(last - times_ms, 0) / MS_PER_MINUTE
    return np.where(np.isfinite(base), minutes, np.nan), seen


def _find_breaks(symbol: SymbolEvidence) -> Integers:
    """For each price (and for none, at the end) the place after it from which prices had stopped coming for a while."""
    known = symbol.prices.known_ms
    size = len(known)
    late = np.flatnonzero(np.diff(known) > max(symbol.tolerance_ms, STEP_MS)) + 1
    ends = np.concatenate([late, [size, size]])
    return ends[np.searchsorted(late, np.arange(size + 1), side="right")]


def _read_curve(curve: SurvivalCurve, minutes: float) -> tuple[float, float, float]:
    """Share back by then, with its interval."""
    share, low, high = _survives(curve, minutes)
    return 1.0 - share, 1.0 - high, 1.0 - low


def _survives(curve: SurvivalCurve, minutes: float) -> tuple[float, float, float]:
    place = int(np.searchsorted(curve.times, minutes, side="right")) - 1
    if place < 0:
        return (1.0, float("nan"), float("nan")) if curve.n_values else (float("nan"),) * 3
    return float(curve.survival[place]), float(curve.ci_low[place]), float(curve.ci_high[place])
