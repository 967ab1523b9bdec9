"""Question 6: when liquidations come, by hour, session and day of the week, errors clustered by day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.core.time import MS_PER_HOUR
from liqlab.stats import Estimate, adjust_benjamini_hochberg, estimate_by_influence, make_estimate
from liqlab.study._evidence import STEP_MS, Booleans, Evidence, Floats, Integers
from liqlab.study._q6_microstructure_tables import HOURS

#: Sessions in UTC hours.
SESSIONS = {"Asia": (0, 8), "Europe": (8, 13), "US": (13, 21), "late": (21, 24)}
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
#: What a claim on hours or sessions needs, and one on days of the week or weekends.
LEAST_DAYS, LEAST_WEEKS = 5, 4
_LEAST_WEEKEND_HOURS = 24.0
_FIRST_WEEKDAY = 3  # 1970-01-01 was a Thursday
_SATURDAY = 5


@dataclass(frozen=True)
class HourlyRates:
    """By hour since 1970 with covered time: arrays of shape (n,), summed over symbols.

    `covered_h` symbol-hours in which the recorder listened, `n` liquidations known in them, `usd` their notional;
    `listened_h` the share of the hour in which it listened to any symbol.
    """

    hours: Integers
    covered_h: Floats
    n: Floats
    usd: Floats
    listened_h: Floats

    @property
    def days(self) -> Integers:
        """Day of each hour since 1970."""
        return self.hours // 24

    @property
    def weekdays(self) -> Integers:
        """0 for Monday to 6 for Sunday."""
        return (self.days + _FIRST_WEEKDAY) % 7

    @property
    def is_weekend(self) -> Booleans:
        """Saturday or Sunday, UTC."""
        return np.asarray(self.weekdays >= _SATURDAY)

    def in_session(self, name: str) -> Booleans:
        """Whether the hour is of that session."""
        first, end = SESSIONS[name]
        return np.asarray((self.hours % 24 >= first) & (self.hours % 24 < end))

    def count_days(self, inside: Booleans) -> int:
        """Days with such hours."""
        return int(np.unique(self.days[inside]).size)

    def count_weekends(self) -> int:
        """Weekends of which at least a day's worth of hours was listened to."""
        weekends = (self.days + _FIRST_WEEKDAY)[self.is_weekend] // 7
        names, place = np.unique(weekends, return_inverse=True)
        hours = np.bincount(place, weights=self.listened_h[self.is_weekend], minlength=names.size)
        return int((hours >= _LEAST_WEEKEND_HOURS).sum())


def count_by_hour(evidence: Evidence) -> HourlyRates:
    """Liquidations by hour in covered time, by the time at which they were known."""
    first = evidence.start_ms // MS_PER_HOUR
    size = max(int(-(-evidence.end_ms // MS_PER_HOUR) - first), 0)
    covered, n, usd = np.zeros(size), np.zeros(size), np.zeros(size)
    listened: npt.NDArray[np.bool_] | None = None
    edges: Integers = np.empty(0, dtype=np.int64)
    for symbol in evidence.symbols.values():
        edges = symbol.times_ms
        # The bar that ends at an edge belongs to the hour before it.
        covered += np.bincount((edges[symbol.covered] - 1) // MS_PER_HOUR - first, minlength=size)
        listened = symbol.covered if listened is None else listened | symbol.covered
        known = symbol.liquidations["known_time"].to_physical().to_numpy()
        row = (known - evidence.start_ms) // STEP_MS
        inside = (row >= 0) & (row < len(edges))
        inside[inside] = symbol.covered[row[inside]]
        hour = known[inside] // MS_PER_HOUR - first
        n += np.bincount(hour, minlength=size)
        usd += np.bincount(hour, weights=symbol.liquidations["notional_usd"].to_numpy()[inside], minlength=size)
    if listened is None:
        listened = np.zeros(0, dtype=bool)
    heard = np.bincount((edges[listened] - 1) // MS_PER_HOUR - first, minlength=size).astype(np.float64)
    kept = covered > 0.0
    hours = (first + np.arange(size))[kept]
    width = STEP_MS / MS_PER_HOUR
    return HourlyRates(hours, covered[kept] * width, n[kept], usd[kept], heard[kept] * width)


def compare_rates(rates: HourlyRates, inside: Booleans) -> Estimate:
    """Log of the ratio of liquidations per covered hour inside to that outside, errors clustered by day.

    Null hypothesis: the rates are equal; alternative: they are not. With N and T the liquidations and hours of a group
    and r = N / T, hour i of it adds (n_i - r t_i) / N to the log of its rate (delta method). NaN where a group has no
    liquidation.
    """
    total = rates.n[inside].sum(), rates.n[~inside].sum()
    if not min(total) > 0.0:
        return make_estimate(float("nan"), float("nan"), float("nan"), int(sum(total)), 0)
    influence, logs = np.zeros(len(rates.n)), []
    for group, sign in ((inside, 1.0), (~inside, -1.0)):
        rate = rates.n[group].sum() / rates.covered_h[group].sum()
        influence[group] = sign * (rates.n[group] - rate * rates.covered_h[group]) / rates.n[group].sum()
        logs.append(sign * np.log(rate))
    return estimate_by_influence(float(sum(logs)), influence, rates.days)


def describe_hours(rates: HourlyRates) -> pl.DataFrame:
    """Table `q6_hours`. No interval where there are too few days or weeks for one."""
    rows: list[dict[str, Any]] = []
    for split, group, inside, least in _list_parts(rates):
        if not inside.any():
            continue
        days = rates.count_days(inside)
        count = rates.count_weekends() if split == "weekend" else days
        note = "" if count >= least else f"needs {least} {_NEEDED.get(split, 'of them')}, found {count}"
        found = compare_rates(rates, inside)
        known = not note
        hours = float(rates.covered_h[inside].sum())
        rows.append(
            {
                "split": split,
                "group": group,
                "covered_hours": hours,
                "days": days,
                "liquidations": int(rates.n[inside].sum()),
                "per_hour": float(rates.n[inside].sum()) / hours,
                "usd_per_hour": float(rates.usd[inside].sum()) / hours,
                "log_ratio": found.estimate,
                "ci_low": found.ci_low if known else None,
                "ci_high": found.ci_high if known else None,
                "p": found.p if known else float("nan"),
                "note": note,
            }
        )
    if not rows:
        return HOURS.empty()
    adjusted = adjust_benjamini_hochberg([row["p"] for row in rows])
    rows = [row | {"p_adjusted": float(p)} for row, p in zip(rows, adjusted, strict=True)]
    return pl.DataFrame(rows, schema=HOURS.dtypes, orient="row").fill_nan(None)


_NEEDED = {"hour": "days", "session": "days", "weekend": "weekends"}


def _list_parts(rates: HourlyRates) -> list[tuple[str, str, Booleans, int]]:
    """(split, group, hours in it, how many days, of that day of the week or weekends, a test needs)."""
    parts = [("session", name, rates.in_session(name), LEAST_DAYS) for name in SESSIONS]
    parts += [("hour", f"{hour:02d}", rates.hours % 24 == hour, LEAST_DAYS) for hour in range(24)]
    parts += [("weekday", name, rates.weekdays == number, LEAST_WEEKS) for number, name in enumerate(WEEKDAYS)]
    return [*parts, ("weekend", "Saturday and Sunday", rates.is_weekend, LEAST_WEEKS)]
