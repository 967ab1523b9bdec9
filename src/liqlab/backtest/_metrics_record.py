"""One measure of a backtest, and how the results of the bootstraps become one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from liqlab.core.schema import FLOAT, SYMBOL, Column, Table
from liqlab.stats import BootstrapMeans, Estimate

#: Trades below which a strategy is not testable.
MIN_TRADES = 30

METRICS = Table(
    "backtest_metrics",
    "one measure of one strategy",
    (
        Column("strategy", pl.String(), "", "the strategy"),
        Column("symbol", SYMBOL, "", "instrument; `ALL` for the symbols together"),
        Column("metric", pl.String(), "", "the measure, see docs/metrics.md"),
        Column("value", FLOAT, "", "its value; null where it is not defined"),
        Column("ci_low", FLOAT, "", "95 % interval, lower end; null where there is none"),
        Column("ci_high", FLOAT, "", "95 % interval, upper end"),
        Column("unit", pl.String(), "", "unit of the value and its interval"),
        Column("method", pl.String(), "", "how the interval was computed; empty without one"),
        Column("note", pl.String(), "", "why there is no number, or what to mind; empty when nothing"),
    ),
)


@dataclass(frozen=True)
class Metric:
    """A measure with its 95 % interval; None where not defined, and `note` says why."""

    name: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    unit: str
    method: str
    note: str

    def named(self, name: str, unit: str, note: str = "") -> Metric:
        """This measure with its name and unit, and `note` added."""
        notes = [text for text in (self.note, note) if text]
        return replace(self, name=name, unit=unit, note="; ".join(notes))


@dataclass(frozen=True)
class Resampling:
    """How often and from which seed the bootstraps draw."""

    n_resamples: int
    seed: int


def make_metric(
    value: float, ci_low: float = math.nan, ci_high: float = math.nan, method: str = "", note: str = ""
) -> Metric:
    """A measure without a name yet; what is not finite becomes None, and without an interval there is no method."""
    low, high = _known(ci_low), _known(ci_high)
    if low is None or high is None or _known(value) is None:
        low = high = None
    return Metric("", _known(value), low, high, "", method if low is not None else "", note)


def from_bootstrap(found: BootstrapMeans, method: str) -> Metric:
    """The measure of the first column of a bootstrap over blocks."""
    mean, low, high = float(found.mean[0]), float(found.ci_low[0]), float(found.ci_high[0])
    return make_metric(mean, low, high, method, _no_interval(low, int(found.n_blocks[0])))


def from_estimate(found: Estimate, method: str, back: Callable[[float], float] = float) -> Metric:
    """The measure of an estimate, taken `back` from the scale on which it was made (a rising function)."""
    low, high = found.ci_low, found.ci_high
    with np.errstate(over="ignore"):
        value, low, high = (
            float(back(number)) if math.isfinite(number) else number for number in (found.estimate, low, high)
        )
    return make_metric(value, low, high, method, _no_interval(low + high, found.n_clusters))


def _no_interval(bound: float, n_blocks: int) -> str:
    if math.isfinite(bound):
        return ""
    return f"no interval: {n_blocks} blocks of time, with too little spread between them or fewer than 8"


def _known(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
