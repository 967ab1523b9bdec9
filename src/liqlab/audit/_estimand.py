"""Population values: what a quantity is in a world, from many independent seeds and their noise-free twins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liqlab.cascades import detect_cascades, get_preset
from liqlab.core.errors import unknown_name
from liqlab.core.schema import LONG
from liqlab.core.time import MS_PER_S
from liqlab.worlds import MarketTables

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Verdict = Literal["true", "false", "undefined"]

#: With fewer events a population value is not told apart from chance.
MIN_EVENTS = 50
#: Seeds with at least one event that a standard error over seeds needs.
MIN_SEEDS = 10
#: Three intervals of the five-second ticker: a price that comes later is none.
_PRICE_TOLERANCE_MS = 15 * MS_PER_S
_95_PERCENT = 1.959963984540054


@dataclass(frozen=True)
class SeedSums:
    """What one seed says about an estimand: number of events, and sums over them of what was observed and of its twin.

    The twin is the same measurement in the market without any effect of liquidations.
    """

    n: int
    observed: float
    twin: float


@dataclass(frozen=True)
class Estimand:
    """A quantity with a claim about it.

    The claim is that direction x (value - null_value) is at least `delta`, the smallest effect that matters for the
    reason given. `compute` takes the tables of a market and the undisturbed paths (`worlds.compute_free_paths`) of the
    same arguments.
    """

    id: str
    claim: str
    unit: str
    null_value: float
    direction: int
    delta: float
    delta_reason: str
    compute: Callable[[MarketTables, pl.DataFrame], SeedSums]


@dataclass(frozen=True)
class Population:
    """The population value of an estimand with its standard error over seeds, and the mean of its twin with its own.

    All four are None without events. `n_events` over all seeds.
    """

    value: float | None
    standard_error: float | None
    twin_mean: float | None
    twin_standard_error: float | None
    n_seeds: int
    n_events: int
    verdict: Verdict


def compute_impact_30s(tables: MarketTables, free: pl.DataFrame) -> SeedSums:
    """Sums over the cascades of preset `plan` of the pressure-signed log return in bps within 30 s of confirmation.

    From the first ticker price (mark, else last) known at or after the confirmation to the first known at or after 30 s
    later; a cascade for which one of them does not come within 15 s is left out. The twin is the return of the
    undisturbed path from the first of its five-second moments at or after the confirmation to the one of the last
    ticker price. Everything that selects a cascade lies before its confirmation, and the undisturbed path takes no
    notice of liquidations, so the mean of the twin is zero wherever that path is a martingale given its past.
    """
    return _sum_impact(tables, free, 30 * MS_PER_S)


def _sum_impact(tables: MarketTables, free: pl.DataFrame, horizon_ms: int) -> SeedSums:
    cascades = detect_cascades(tables.liquidations, get_preset("plan"))
    n, observed, twin = 0, 0.0, 0.0
    for (symbol,), rows in cascades.partition_by("symbol", as_dict=True).items():
        of_symbol = pl.col("symbol") == symbol
        ticker, path = tables.ticker.filter(of_symbol).sort("known_time"), free.filter(of_symbol)
        pressure = np.where((rows["dominant_side"] == LONG).to_numpy(), -1.0, 1.0)
        confirmed_ms = _milliseconds(rows["confirmed"])
        known_ms = _milliseconds(ticker["known_time"])
        first, ok = _first_at_or_after(known_ms, confirmed_ms)
        last, last_ok = _first_at_or_after(known_ms, confirmed_ms + horizon_ms)
        moment, moment_ok = _first_at_or_after(_milliseconds(path["time"]), confirmed_ms)
        ok &= last_ok & moment_ok
        price = ticker.select(pl.coalesce("mark_price", "last_price").log()).to_series().to_numpy()
        undisturbed = path["free_price"].log().to_numpy()
        # The five-second moment of the path whose state the last ticker price shows.
        end = np.maximum(np.searchsorted(_milliseconds(path["time"]), known_ms[last], side="right") - 1, 0)
        n += int(ok.sum())
        observed += 1e4 * float((pressure * (price[last] - price[first]))[ok].sum())
        twin += 1e4 * float((pressure * (undisturbed[end] - undisturbed[moment]))[ok].sum())
    return SeedSums(n, observed, twin)


def _milliseconds(times: pl.Series) -> Integers:
    return times.to_physical().to_numpy()


def _first_at_or_after(times_ms: Integers, wanted_ms: Integers) -> tuple[Integers, NDArray[np.bool_]]:
    """The row of the first time at or after each wanted one, and whether it comes within the tolerance."""
    rows = np.searchsorted(times_ms, wanted_ms, side="left")
    inside = np.minimum(rows, len(times_ms) - 1)
    return inside, (rows < len(times_ms)) & (times_ms[inside] - wanted_ms <= _PRICE_TOLERANCE_MS)


ESTIMANDS = (
    Estimand(
        "impact_30s",
        "In the 30 seconds after a cascade is confirmed the price moves on with its pressure",
        "bps",
        null_value=0.0,
        direction=1,
        delta=1.0,
        delta_reason="half of Bybit's maker fee of 2 bps: what is smaller pays for nothing",
        compute=compute_impact_30s,
    ),
)


def get_estimand(name: str) -> Estimand:
    """The estimand with this id; `UserError` lists those there are."""
    for estimand in ESTIMANDS:
        if estimand.id == name:
            return estimand
    raise unknown_name("estimand", name, [estimand.id for estimand in ESTIMANDS])


def estimate_population(estimand: Estimand, sums: list[SeedSums]) -> Population:
    """The mean over all events of what was observed less its twin, with a standard error over seeds.

    For seeds with n_i events and sums s_i the value is m = sum(s_i) / N, N = sum(n_i), and its standard error that of a
    ratio of means over k independent clusters (Cochran 1977, section 6.4): sqrt(k / (k - 1) sum((s_i - m n_i)^2)) / N.
    """
    n = np.array([one.n for one in sums], dtype=np.float64)
    observed = np.array([one.observed for one in sums])
    twin = np.array([one.twin for one in sums])
    value, error = _ratio(observed - twin, n)
    twin_mean, twin_error = _ratio(twin, n)
    n_events = int(n.sum())
    enough = n_events >= MIN_EVENTS and int((n > 0).sum()) >= MIN_SEEDS
    verdict = judge(estimand, value, error) if enough else "undefined"
    return Population(value, error, twin_mean, twin_error, len(sums), n_events, verdict)


def _ratio(sums: Floats, n: Floats) -> tuple[float | None, float | None]:
    total, seeds = float(n.sum()), len(n)
    if total == 0.0:
        return None, None
    mean = float(sums.sum()) / total
    if seeds < 2:
        return mean, None
    return mean, float(np.sqrt(seeds / (seeds - 1) * np.sum((sums - mean * n) ** 2)) / total)


def judge(estimand: Estimand, value: float | None, standard_error: float | None) -> Verdict:
    """Whether the claim holds, given the population value with its error.

    With g = direction x (value - null_value) and its 95 % interval [L, U]: true if L >= delta, false if U < delta,
    undefined if the interval holds delta or there is none.
    """
    if value is None or standard_error is None:
        return "undefined"
    effect = estimand.direction * (value - estimand.null_value)
    half = _95_PERCENT * standard_error
    if effect - half >= estimand.delta:
        return "true"
    return "false" if effect + half < estimand.delta else "undefined"
