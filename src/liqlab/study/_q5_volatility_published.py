"""The published test that liquidations lead volatility, which passes wherever volatility clusters; leads by lag."""

from __future__ import annotations

import numpy as np
import polars as pl

from liqlab.core.schema import check_frame
from liqlab.core.time import MS_PER_HOUR
from liqlab.stats import estimate_by_influence
from liqlab.study._evidence import Booleans, Floats, Integers
from liqlab.study._q5_volatility_alarms import list_turns
from liqlab.study._q5_volatility_rows import HAR_MIN, VolatilityRows
from liqlab.study._q5_volatility_tables import LEAD, PUBLISHED

#: How far before a transition the published test looks.
LOOK_BACK_MIN = 60
_LAGS_MIN = range(-60, 61, 5)
_BUCKET_MIN = 5
#: The column of `price` with the log variance of these minutes.
_FIVE = HAR_MIN.index(_BUCKET_MIN)
_BLOCK_MS = 2 * MS_PER_HOUR
_LEAST_BLOCKS = 8


def measure_published_lead(rows: VolatilityRows) -> pl.DataFrame:
    """The published test, as far as its result lets one infer it, on liquidations and, for comparison, on prices.

    A transition from quiet to volatile is "led" when at some minute of the hour before it the rate over 5 min stands
    above its mean over the whole sample. An hour of 60 such looks ends in a hit nearly always, and a regime is called
    volatile because prices have moved, which is also what liquidates: so the share is high where nothing follows from
    liquidations, and as high for price moves. It is no evidence of a lead; see Q5.2 for a test that is.
    """
    variance = np.exp(rows.price[:, :, _FIVE])
    records = []
    for sign, rates in (("liquidations", rows.events_per_min), ("price moves", variance)):
        moments: dict[str, list[Floats]] = {"transitions": [], "any quiet minute": []}
        for code in range(len(rows.symbols)):
            high = _is_high(rates[code])
            turns, _ = list_turns(rows.regime[code].astype(np.int64))
            moments["transitions"].append(_leads(high, turns))
            moments["any quiet minute"].append(_leads(high, np.flatnonzero(rows.regime[code] == 0)))
        for name, parts in moments.items():
            leads = np.concatenate([np.empty(0), *parts])
            led = leads > 0.0
            share = float(led.mean()) if leads.size else float("nan")
            records.append((sign, name, leads.size, share, float(leads[led].mean()) if led.any() else float("nan")))
    return check_frame(pl.DataFrame(records, schema=PUBLISHED.dtypes, orient="row").fill_nan(None), PUBLISHED)


def describe_lead(rows: VolatilityRows) -> pl.DataFrame:
    """Correlation of liquidations with the variance so much later, by lag."""
    every = slice(None, None, _BUCKET_MIN)
    if not len(rows.symbols):
        return LEAD.empty()
    rate = np.log1p(rows.events_per_min)[:, every]
    variance = rows.price[:, every, _FIVE]
    known = np.isfinite(rate) & np.isfinite(variance)
    rate, variance = _standardise(rate, known), _standardise(variance, known)
    times = np.broadcast_to(rows.times_ms[every], rate.shape)
    records = []
    for lag in _LAGS_MIN:
        shift = lag // _BUCKET_MIN
        records.append(
            (lag, *_correlate(rate, variance, times, shift), _correlate(variance, variance, times, shift)[1])
        )
    return check_frame(pl.DataFrame(records, schema=LEAD.dtypes, orient="row").fill_nan(None), LEAD)


def _is_high(rate: Floats) -> Booleans:
    known = np.isfinite(rate)
    mean = float(rate[known].mean()) if known.any() else float("inf")
    return np.asarray(np.where(known, rate, -np.inf) > mean)


def _leads(high: Booleans, moments: Integers) -> Floats:
    """Minutes from the first high minute of the hour before each moment to the moment; 0 without one."""
    minutes = np.flatnonzero(high)
    whole = moments[moments >= LOOK_BACK_MIN]
    place = np.searchsorted(minutes, whole - LOOK_BACK_MIN, side="left")
    first = np.append(minutes, np.iinfo(np.int64).max)[place]
    return np.where(first < whole, whole - first, 0).astype(np.float64)


def _standardise(values: Floats, known: Booleans) -> Floats:
    """Each symbol's values (S, n) with mean 0 and variance 1 where known, NaN elsewhere and without spread."""
    found = np.full(values.shape, np.nan)
    for row, where, into in zip(values, known, found, strict=True):
        if where.any() and row[where].std() > 0.0:
            into[where] = (row[where] - row[where].mean()) / row[where].std()
    return found


def _correlate(x: Floats, y: Floats, times: Integers, shift: int) -> tuple[int, float, float, float]:
    """Pairs, correlation and interval of x with y `shift` columns later."""
    size = x.shape[1] - abs(shift)
    if size <= 0:
        return 0, float("nan"), float("nan"), float("nan")
    first, second = slice(max(-shift, 0), max(-shift, 0) + size), slice(max(shift, 0), max(shift, 0) + size)
    left, right = x[:, first], y[:, second]
    pairs = np.isfinite(left) & np.isfinite(right)
    a, b = left[pairs], right[pairs]
    scale = float(np.sqrt((a @ a) * (b @ b))) if a.size else 0.0
    if not scale > 0.0:
        return a.size, float("nan"), float("nan"), float("nan")
    correlation = float(a @ b) / scale
    influence = a * b / scale - correlation * (a**2 / (2.0 * (a @ a)) + b**2 / (2.0 * (b @ b)))
    blocks = times[:, first][pairs] // _BLOCK_MS
    found = estimate_by_influence(correlation, influence, blocks)
    if found.n_clusters < _LEAST_BLOCKS:
        return a.size, correlation, float("nan"), float("nan")
    return a.size, correlation, found.ci_low, found.ci_high
