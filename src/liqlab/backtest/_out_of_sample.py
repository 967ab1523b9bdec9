"""Out of sample: the same frozen parameters on data that nobody chose them on, side by side with where they were."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.backtest._ledger import Ledger
from liqlab.backtest._metrics_record import MIN_TRADES, Metric
from liqlab.core.errors import UserError
from liqlab.core.schema import FLOAT, Column, Table
from liqlab.core.time import MS_PER_DAY, format_time
from liqlab.stats import Estimate, compare_means

#: Days with trades below which nothing is said about survival; the numbers are listed all the same.
LEAST_DAYS = 5
#: The value above which a metric is good; the other metrics have no good side.
NEUTRAL = {
    "net_return": 0.0,
    "gross_return": 0.0,
    "mean_net_bps": 0.0,
    "mean_gross_bps": 0.0,
    "profit_factor": 1.0,
    "sharpe": 0.0,
    "probabilistic_sharpe": 0.95,
    "deflated_sharpe": 0.95,
    "sortino": 0.0,
    "calmar": 0.0,
}

NULL = "the mean net return per trade is the same out of sample as in sample"
ALTERNATIVE = "it differs"

OUT_OF_SAMPLE = Table(
    "out_of_sample",
    "one metric of a strategy with frozen parameters, in sample and out of sample",
    (
        Column("strategy", pl.String(), "", "the strategy"),
        Column("parameters", pl.String(), "", "the frozen parameters; empty for the default"),
        Column("metric", pl.String(), "", "the metric"),
        Column("unit", pl.String(), "", "its unit"),
        Column("in_sample", FLOAT, "", "its value where the parameters were chosen; null when undefined"),
        Column("in_ci_low", FLOAT, "", "95 % interval, lower end; null where there is none"),
        Column("in_ci_high", FLOAT, "", "95 % interval, upper end"),
        Column("out_of_sample", FLOAT, "", "its value on other data; null when undefined"),
        Column("out_ci_low", FLOAT, "", "95 % interval, lower end; null where there is none"),
        Column("out_ci_high", FLOAT, "", "95 % interval, upper end"),
        Column("difference", FLOAT, "", "out of sample - in sample"),
        Column("neutral", FLOAT, "", "the value above which it is good; null where neither side is"),
        Column("kept", pl.Boolean(), "", "good in sample and still good out of sample; null where not good in sample"),
    ),
)


@dataclass(frozen=True)
class Sample:
    """One strategy on one stretch [start_ms, end_ms): its ledger and the metrics that `compute_metrics` gave."""

    ledger: Ledger
    metrics: tuple[Metric, ...]
    start_ms: int
    end_ms: int


@dataclass(frozen=True)
class OutOfSample:
    """What is left of a result on data that it was not chosen on.

    `table` is the frame OUT_OF_SAMPLE. `survival_ratio` is the Sharpe ratio out of sample over that in sample, NaN
    where the latter is not above zero: nothing was there to survive. `kept_frac` is the share of the metrics of
    `NEUTRAL` that were good in sample and still are, NaN where none was. `degradation` is the difference of the mean
    net return per trade, out of sample less in sample: below zero is worse. `not_testable` says why nothing may be
    concluded; it is empty otherwise.
    """

    table: pl.DataFrame
    survival_ratio: float
    kept_frac: float
    degradation: Estimate
    not_testable: str

    @property
    def sentence(self) -> str:
        """The same in words."""
        change = self.degradation
        if not math.isfinite(change.estimate):
            return f"Not testable: {self.not_testable}."
        text = f"Mean net return per trade changed by {change.estimate * 1e4:+.1f} bps"
        if math.isfinite(change.ci_low):
            text += f" (95 % interval {change.ci_low * 1e4:+.1f} to {change.ci_high * 1e4:+.1f}, p = {change.p:.3f})"
        if math.isfinite(self.survival_ratio):
            text += f"; the Sharpe ratio kept {self.survival_ratio:.0%}"
        return f"Not testable: {self.not_testable}. {text}." if self.not_testable else f"{text}."


def compare_samples(inside: Sample, outside: Sample) -> OutOfSample:
    """Side by side, survival and degradation of one strategy with one set of parameters on two stretches of time.

    Null hypothesis of the degradation: equal means of the net return per trade; alternative: they differ. The error is
    clustered over UTC days of decision (`stats.compare_means`), for trades of a day share its moves; the interval is by
    Student's t with as many degrees of freedom as days with trades, less one. Not testable with fewer than 30 trades or
    5 days with trades on either side. `UserError` when strategy or parameters differ, or when the stretches overlap.
    """
    _check_frozen(inside, outside)
    before, after = (_find(sample, "sharpe") for sample in (inside, outside))
    left, right = outside.ledger.trades, inside.ledger.trades
    degradation = compare_means(left["net_return"], _days(left), right["net_return"], _days(right))
    rows = list(_rows(inside, outside))
    kept = [row[-1] for row in rows if row[-1] is not None]
    head = (inside.ledger.strategy, inside.ledger.parameters)
    return OutOfSample(
        table=pl.DataFrame([(*head, *row) for row in rows], schema=OUT_OF_SAMPLE.dtypes, orient="row"),
        survival_ratio=after / before if before > 0.0 else math.nan,
        kept_frac=sum(map(bool, kept)) / len(kept) if kept else math.nan,
        degradation=degradation,
        not_testable="; ".join(_reasons(inside, outside)),
    )


def _check_frozen(inside: Sample, outside: Sample) -> None:
    for what in ("strategy", "parameters"):
        found = getattr(inside.ledger, what), getattr(outside.ledger, what)
        if found[0] != found[1]:
            raise UserError(f"out of sample needs the same {what} on both sides, found {found[0]!r} and {found[1]!r}")
    if inside.start_ms < outside.end_ms and outside.start_ms < inside.end_ms:
        raise UserError(
            f"out of sample must be other data: {format_time(outside.start_ms)} to {format_time(outside.end_ms)} UTC "
            f"overlaps {format_time(inside.start_ms)} to {format_time(inside.end_ms)}"
        )


def _days(trades: pl.DataFrame) -> npt.NDArray[np.int64]:
    return trades["decision_time"].to_physical().to_numpy() // MS_PER_DAY


def _find(sample: Sample, name: str) -> float:
    """The value of a metric; NaN when it is missing or undefined."""
    values = [metric.value for metric in sample.metrics if metric.name == name and metric.value is not None]
    return values[0] if values else math.nan


def _rows(inside: Sample, outside: Sample) -> Iterator[tuple[object, ...]]:
    """One row per metric that both sides have, in the order of the first."""
    others = {metric.name: metric for metric in outside.metrics}
    for metric in inside.metrics:
        if metric.name not in others:
            continue
        other, neutral = others[metric.name], NEUTRAL.get(metric.name)
        both = metric.value is not None and other.value is not None
        kept = None
        if neutral is not None and metric.value is not None and metric.value > neutral:
            kept = other.value is not None and other.value > neutral
        yield (
            *(metric.name, metric.unit, metric.value, metric.ci_low, metric.ci_high),
            *(other.value, other.ci_low, other.ci_high),
            other.value - metric.value if both else None,  # type: ignore[operator]
            neutral,
            kept,
        )


def _reasons(inside: Sample, outside: Sample) -> Iterator[str]:
    for label, sample in (("in sample", inside), ("out of sample", outside)):
        trades = sample.ledger.trades
        days = int(np.unique(_days(trades)).size)
        if sample.ledger.not_testable:
            yield f"{label}: {sample.ledger.not_testable}"
        elif trades.height < MIN_TRADES:
            yield f"{trades.height} trades {label}, at least {MIN_TRADES} are needed"
        elif days < LEAST_DAYS:
            yield f"trades on {days} days {label}, at least {LEAST_DAYS} are needed"
