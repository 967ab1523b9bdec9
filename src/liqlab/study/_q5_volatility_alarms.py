"""Alarms before the regime turns volatile: how early, how often right, at one rate of false alarms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liqlab.study._evidence import Booleans, Floats, Integers
from liqlab.study._q5_volatility_forecasts import Design, Forecasts
from liqlab.study._q5_volatility_rows import MINUTES_PER_HOUR, VolatilityRows

#: An alarm is for the next half hour.
REACH_MIN = 30
#: What a level is set for, on the past.
FALSE_PER_HOUR = 1.0 / 6.0
_QUIET, _VOLATILE = 0, 1
#: Candidates for the level, as quantiles of past forecasts in quiet minutes, from the highest down.
_QUANTILES = 1.0 - np.geomspace(0.0005, 0.6, 48)


@dataclass(frozen=True)
class Alarms:
    """One model's alarms out of sample.

    Each transition from quiet to volatile has its symbol, time and `lead_min`, 0 where no alarm was raised in the half
    hour before. `n_right` of the `n_raised` alarms were followed by a transition within half an hour.
    """

    codes: Integers
    times_ms: Integers
    lead_min: Floats
    n_raised: int
    n_right: int
    quiet_hours: float

    @property
    def recall(self) -> float:
        """Share of the transitions that had an alarm."""
        return float((self.lead_min > 0.0).mean()) if self.lead_min.size else float("nan")

    @property
    def precision(self) -> float:
        """Share of the alarms that were right."""
        return self.n_right / self.n_raised if self.n_raised else float("nan")

    @property
    def false_per_6h(self) -> float:
        """False alarms in 6 h of quiet."""
        return 6.0 * (self.n_raised - self.n_right) / self.quiet_hours if self.quiet_hours else float("nan")


def list_turns(regime: Integers) -> tuple[Integers, Integers]:
    """Minutes at which a regime (m,) became volatile, and quiet; those without a regime are skipped."""
    known = np.flatnonzero(regime >= 0)
    change = np.diff(regime[known])
    return known[1:][change > 0], known[1:][change < 0]


def is_followed(turns: Integers, size: int, reach_min: int) -> Booleans:
    """Which of `size` minutes have one of the turns after them, at most `reach_min` later."""
    count = np.zeros(size + reach_min + 1, dtype=np.int64)
    np.add.at(count, turns, 1)
    total = np.cumsum(count)
    followed: Booleans = total[reach_min : reach_min + size] > total[:size]
    return followed


def raise_alarms(rows: VolatilityRows, design: Design, forecasts: Forecasts) -> Alarms:
    """An alarm is raised when the forecast of variance, against the level from which the regime is volatile, crosses a
    level of its own in a quiet minute.

    That level is set for each symbol each day: the lowest at which, and above which, the day's model would have raised
    at most one false alarm in 6 h of quiet on the past.
    """
    parts = [_of_symbol(rows, design, forecasts, code) for code in range(len(rows.symbols))]
    return Alarms(
        codes=np.repeat(np.arange(len(parts)), [part.times_ms.size for part in parts]),
        times_ms=np.concatenate([np.empty(0, np.int64), *(part.times_ms for part in parts)]),
        lead_min=np.concatenate([np.empty(0), *(part.lead_min for part in parts)]),
        n_raised=sum(part.n_raised for part in parts),
        n_right=sum(part.n_right for part in parts),
        quiet_hours=sum(part.quiet_hours for part in parts),
    )


def _of_symbol(rows: VolatilityRows, design: Design, forecasts: Forecasts, code: int) -> Alarms:
    regime = rows.regime[code].astype(np.int64)
    quiet = regime == _QUIET
    turns, _ = list_turns(regime)
    score = forecasts.values[code] - rows.level[code]
    level = _set_levels(design.values[code], rows.level[code], forecasts, quiet, turns)
    above = quiet & (score > level)
    raised = above & ~np.concatenate([[False], above[:-1]])
    followed = is_followed(turns, regime.size, REACH_MIN)
    told = np.isfinite(score) & np.isfinite(level)
    judged = turns[(turns > 0) & told[np.maximum(turns - 1, 0)] & _quiet_before(quiet, turns)]
    return Alarms(
        codes=np.full(judged.size, code),
        times_ms=rows.times_ms[judged],
        lead_min=_lead(above, judged),
        n_raised=int(raised.sum()),
        n_right=int((raised & followed).sum()),
        quiet_hours=float((quiet & told).sum()) / MINUTES_PER_HOUR,
    )


def _quiet_before(quiet: Booleans, turns: Integers) -> Booleans:
    """Which turns come after half an hour of quiet: those that only flicker are one transition, not ten."""
    total = np.concatenate([[0], np.cumsum(quiet)])
    start = np.maximum(turns - REACH_MIN, 0)
    lasting: Booleans = total[turns] - total[start] == REACH_MIN
    return lasting


def _lead(above: Booleans, turns: Integers) -> Floats:
    """Minutes from the first of the half hour before each turn in which an alarm stood to the turn, 0 without one."""
    alarms = np.flatnonzero(above)
    place = np.searchsorted(alarms, turns - REACH_MIN, side="left")
    first = np.append(alarms, np.iinfo(np.int64).max)[place]
    return np.where(first < turns, turns - first, 0).astype(np.float64)


def _set_levels(x: Floats, regime_level: Floats, forecasts: Forecasts, quiet: Booleans, turns: Integers) -> Floats:
    """The level of each minute (m,), from the minutes before its day; NaN where there is no fit."""
    levels = np.full(quiet.shape, np.nan)
    columns = x[:, list(forecasts.columns)]
    for number, coefficients in enumerate(forecasts.coefficients):
        start, stop = np.searchsorted(forecasts.day, [number, number + 1])
        if np.isfinite(coefficients).all() and start > 0:
            past = columns[:start] @ coefficients - regime_level[:start]
            followed = is_followed(turns[turns < start], start, REACH_MIN)
            levels[start:stop] = _set_level(past, quiet[:start], followed)
    return levels


def _set_level(score: Floats, quiet: Booleans, followed: Booleans) -> float:
    """The lowest level at which, as above it, false alarms are rare enough; NaN where nothing is known."""
    known = score[quiet & np.isfinite(score)]
    if not known.size:
        return float("nan")
    levels = np.quantile(known, _QUANTILES)
    above = quiet & (score > levels[:, None])
    raised = above.copy()
    raised[:, 1:] &= ~above[:, :-1]
    rate = (raised & ~followed).sum(axis=1) / (known.size / MINUTES_PER_HOUR)
    frequent = np.flatnonzero(rate > FALSE_PER_HOUR)
    last = frequent[0] if frequent.size else levels.size
    return float(levels[max(last - 1, 0)])
