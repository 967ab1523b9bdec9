"""Descriptive statistics of one symbol or of all: the published block and, beside it, what coverage makes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.core.schema import COVERAGE, LONG, TICKER
from liqlab.core.time import MS_PER_DAY, MS_PER_HOUR, MS_PER_S
from liqlab.panel._coverage import Intervals, covered_before, covered_ms, mark_covered, select_intervals
from liqlab.panel._price_moves import PriceMove, compute_price_moves
from liqlab.panel._published import PublishedBlock, compute_published, defined, select_symbol
from liqlab.stats import group_sums, linear_quantile

IntArray = npt.NDArray[np.int64]
_BucketOf = Callable[[IntArray], IntArray]

#: Edges of the size histogram in USD: four bins per factor of ten, from $1 to $100M.
SIZE_EDGES_USD = tuple(float(edge) for edge in 10.0 ** (np.arange(33) / 4))
_N_LONGEST_GAPS = 10
_HOURS_PER_DAY = 24
_DAYS_PER_WEEK = 7
#: 1970-01-01 was a Thursday, day 3 of a week that starts on Monday.
_WEEKDAY_OF_DAY_ZERO = 3


@dataclass(frozen=True)
class DelayQuantiles:
    """Percentiles of a delay in milliseconds over `n` events; None without any."""

    n: int
    p1_ms: float | None
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True)
class ActivityBucket:
    """One hour of the day (UTC, 0-23) or one weekday (Monday 0): covered events, and how long it was covered."""

    bucket: int
    long_events: int
    short_events: int
    long_notional_usd: float
    short_notional_usd: float
    covered_hours: float

    @property
    def events_per_covered_hour(self) -> float | None:
        """Events of both sides per covered hour; None when the bucket was never covered."""
        return (self.long_events + self.short_events) / self.covered_hours if self.covered_hours > 0 else None


@dataclass(frozen=True)
class SizeBin:
    """Liquidations with low <= notional < high; the last bin has no upper edge."""

    low_usd: float
    high_usd: float | None
    long_events: int
    short_events: int
    long_notional_usd: float
    short_notional_usd: float


@dataclass(frozen=True)
class EventGap:
    """A silence between consecutive events by `T`; `covered_frac` of it the recorder listened."""

    start_ms: int
    end_ms: int
    length_s: float
    covered_frac: float

    @property
    def covered(self) -> bool:
        """Whether the recorder listened throughout, so that the silence is the market's."""
        return self.covered_frac >= 1.0


@dataclass(frozen=True)
class SideTotals:
    """All liquidations of one side; volume in base units, a sum over unlike units for `ALL` and then None."""

    events: int
    volume: float | None
    notional_usd: float


@dataclass(frozen=True)
class SymbolStatistics:
    """Statistics of one symbol, or of `ALL`. `None`: undefined for so little data. Shares are fractions of 1.

    `capture_recorded` is False when every event was captured the same number of milliseconds after it happened (for a
    single event: at once): then the recording kept no capture time, and the delays say nothing about a network.
    `events_covered` of the events lie in covered time; the patterns and rates rest on these. `shared_millisecond_frac`
    is the share of events whose `T` another event has too, `busy_seconds_frac` the share of the seconds with events
    that have two or more.
    """

    symbol: str
    published: PublishedBlock
    price_moves: tuple[PriceMove, ...]
    span_start_ms: int | None
    span_end_ms: int | None
    first_event_ms: int | None
    last_event_ms: int | None
    covered_hours: float
    covered_frac: float | None
    events_covered: int
    events_per_covered_hour: float | None
    long: SideTotals
    short: SideTotals
    event_to_push: DelayQuantiles
    event_to_capture: DelayQuantiles
    capture_recorded: bool | None
    hours: tuple[ActivityBucket, ...]
    weekdays: tuple[ActivityBucket, ...]
    size_bins: tuple[SizeBin, ...]
    longest_gaps: tuple[EventGap, ...]
    shared_millisecond_frac: float | None
    busy_seconds_frac: float | None


@dataclass(frozen=True)
class _Span:
    """What is described: [start, end] in milliseconds UTC and when in it the recorder listened."""

    start_ms: int | None
    end_ms: int | None
    intervals: Intervals

    @property
    def covered_hours(self) -> float:
        if self.start_ms is None or self.end_ms is None:
            return 0.0
        return covered_ms(self.intervals, self.start_ms, self.end_ms) / MS_PER_HOUR


def compute_statistics(
    liquidations: pl.DataFrame,
    coverage: pl.DataFrame | None = None,
    ticker: pl.DataFrame | None = None,
    *,
    symbol: str | None = None,
    n_files: int = 0,
    start_ms: int | None = None,
    end_ms: int | None = None,
    ticker_interval_ms: Mapping[str, int | None] | None = None,
) -> SymbolStatistics:
    """Everything that is said about the liquidations of one symbol, or of all of them pooled.

    `symbol` picks one or `ALL`; by default it is the symbol of the rows when they have only one, else `ALL`. `n_files`
    is the number of hourly files with liquidation rows. [`start_ms`, `end_ms`] is the span whose covered time counts;
    by default it reaches from the first covered moment to the last, or without coverage from the first event to the
    last. The published block follows its literal definitions and knows no coverage. The hour and weekday patterns and
    the rates hold covered events and covered time only; with no coverage table, all events and no rates. Events fall
    into hours and weekdays by `T`, into covered time by known_time. Empty or one-sided samples give None where a figure
    is undefined. For `ticker` and `ticker_interval_ms` see `compute_price_moves`.
    """
    rows, name = select_symbol(liquidations, symbol)
    rows = rows.sort("event_time", maintain_order=True)
    span = _find_span(rows, COVERAGE.empty() if coverage is None else coverage, name, start_ms, end_ms)
    covered = _covered_rows(rows, span)
    event_ms = rows["event_time"].to_physical().to_numpy()
    span_hours = None if span.start_ms is None or span.end_ms is None else (span.end_ms - span.start_ms) / MS_PER_HOUR
    event_to_capture, capture_recorded = _capture_delay(rows)
    return SymbolStatistics(
        symbol=name,
        published=compute_published(rows, n_files, name),
        price_moves=compute_price_moves(rows, TICKER.empty() if ticker is None else ticker, ticker_interval_ms),
        span_start_ms=span.start_ms,
        span_end_ms=span.end_ms,
        first_event_ms=int(event_ms[0]) if event_ms.size else None,
        last_event_ms=int(event_ms[-1]) if event_ms.size else None,
        covered_hours=span.covered_hours,
        covered_frac=span.covered_hours / span_hours if span_hours and len(span.intervals) else None,
        events_covered=covered.height if len(span.intervals) else 0,
        events_per_covered_hour=covered.height / span.covered_hours if span.covered_hours > 0 else None,
        long=_side_totals(rows, True),
        short=_side_totals(rows, False),
        event_to_push=_delay_quantiles(rows["push_time"].to_physical() - rows["event_time"].to_physical()),
        event_to_capture=event_to_capture,
        capture_recorded=capture_recorded,
        hours=_pattern(covered, span, _hour_of_day, _HOURS_PER_DAY),
        weekdays=_pattern(covered, span, _weekday, _DAYS_PER_WEEK),
        size_bins=_size_bins(rows),
        longest_gaps=_longest_gaps(rows, span.intervals),
        shared_millisecond_frac=_shared_frac(event_ms),
        busy_seconds_frac=_busy_frac(event_ms // MS_PER_S),
    )


def _find_span(
    rows: pl.DataFrame, coverage: pl.DataFrame, symbol: str, start_ms: int | None, end_ms: int | None
) -> _Span:
    intervals = select_intervals(coverage, symbol)
    known_ms = rows["known_time"].to_physical()
    if start_ms is None:
        start_ms = int(intervals.start_ms[0]) if len(intervals) else _optional_int(known_ms.min())
    if end_ms is None:
        end_ms = int(intervals.end_ms[-1]) if len(intervals) else _optional_int(known_ms.max())
    return _Span(start_ms, end_ms, intervals)


def _optional_int(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _covered_rows(rows: pl.DataFrame, span: _Span) -> pl.DataFrame:
    """The rows known in covered time of the span; all rows when no coverage is known at all."""
    if not len(span.intervals):
        return rows
    known_ms = rows["known_time"].to_physical().to_numpy()
    in_span = (known_ms >= (span.start_ms or 0)) & (known_ms <= (span.end_ms or 0))
    return rows.filter(pl.Series(mark_covered(known_ms, span.intervals) & in_span))


def _side_totals(rows: pl.DataFrame, is_long: bool) -> SideTotals:
    side = rows.filter((pl.col("liquidated_side") == LONG) == is_long)
    one_unit = rows["symbol"].n_unique() < 2
    return SideTotals(
        side.height, float(side["quantity"].sum()) if one_unit else None, float(side["notional_usd"].sum())
    )


def _capture_delay(rows: pl.DataFrame) -> tuple[DelayQuantiles, bool | None]:
    delay = rows["known_time"].to_physical() - rows["event_time"].to_physical()
    constant = delay.n_unique() == 1 and (len(delay) > 1 or delay[0] == 0)
    return _delay_quantiles(delay), None if delay.is_empty() else not constant


def _delay_quantiles(delay_ms: pl.Series) -> DelayQuantiles:
    values = delay_ms.drop_nulls().to_numpy()
    p1, p50, p90, p99 = (defined(linear_quantile(values, probability)) for probability in (0.01, 0.5, 0.9, 0.99))
    return DelayQuantiles(len(values), p1, p50, p90, p99)


def _hour_of_day(times_ms: IntArray) -> IntArray:
    return times_ms // MS_PER_HOUR % _HOURS_PER_DAY


def _weekday(times_ms: IntArray) -> IntArray:
    return (times_ms // MS_PER_DAY + _WEEKDAY_OF_DAY_ZERO) % _DAYS_PER_WEEK


def _pattern(rows: pl.DataFrame, span: _Span, bucket_of: _BucketOf, n_buckets: int) -> tuple[ActivityBucket, ...]:
    totals = _by_side(rows, bucket_of(rows["event_time"].to_physical().to_numpy()), n_buckets)
    hours = _covered_hours(span, bucket_of, n_buckets)
    return tuple(
        ActivityBucket(bucket, *totals_of_bucket, covered_hours)
        for bucket, (totals_of_bucket, covered_hours) in enumerate(zip(totals, hours, strict=True))
    )


def _covered_hours(span: _Span, bucket_of: _BucketOf, n_buckets: int) -> list[float]:
    """Hours of covered time in each bucket."""
    if span.start_ms is None or span.end_ms is None or span.end_ms <= span.start_ms:
        return [0.0] * n_buckets
    first_full = (span.start_ms // MS_PER_HOUR + 1) * MS_PER_HOUR
    inner = np.arange(first_full, span.end_ms, MS_PER_HOUR, dtype=np.int64)
    edges = np.concatenate([[span.start_ms], inner, [span.end_ms]])
    covered = np.diff(covered_before(span.intervals, edges)) / MS_PER_HOUR
    hours: list[float] = group_sums(bucket_of(edges[:-1]), covered, n_buckets).tolist()
    return hours


def _size_bins(rows: pl.DataFrame) -> tuple[SizeBin, ...]:
    lows, highs = (0.0, *SIZE_EDGES_USD), (*SIZE_EDGES_USD, None)
    place = np.searchsorted(SIZE_EDGES_USD, rows["notional_usd"].to_numpy(), side="right")
    totals = _by_side(rows, place, len(lows))
    return tuple(SizeBin(low, high, *bin_totals) for low, high, bin_totals in zip(lows, highs, totals, strict=True))


def _by_side(
    rows: pl.DataFrame, bucket: npt.NDArray[np.integer], n_buckets: int
) -> list[tuple[int, int, float, float]]:
    """Per bucket: events of liquidated longs, of shorts, notional in USD of longs, of shorts."""
    is_long = (rows["liquidated_side"] == LONG).to_numpy()
    notional = rows["notional_usd"].to_numpy()
    sides = (is_long, ~is_long)
    events = (np.bincount(bucket[side], minlength=n_buckets).tolist() for side in sides)
    usd = (group_sums(bucket[side], notional[side], n_buckets).tolist() for side in sides)
    return list(zip(*events, *usd, strict=True))


def _longest_gaps(rows: pl.DataFrame, intervals: Intervals) -> tuple[EventGap, ...]:
    """The longest silences, longest first, ties by time; covered between the known times of their two events."""
    event_ms = rows["event_time"].to_physical().to_numpy()
    known_ms = rows["known_time"].to_physical().to_numpy()
    lengths = np.diff(event_ms)
    longest = np.argsort(-lengths, kind="stable")[:_N_LONGEST_GAPS]
    gaps = []
    for index in longest[lengths[longest] > 0]:
        known = sorted((int(known_ms[index]), int(known_ms[index + 1])))
        covered = covered_ms(intervals, *known) / (known[1] - known[0]) if known[1] > known[0] else 1.0
        gaps.append(EventGap(int(event_ms[index]), int(event_ms[index + 1]), float(lengths[index]) / MS_PER_S, covered))
    return tuple(gaps)


def _shared_frac(event_ms: IntArray) -> float | None:
    """Share of events whose millisecond holds another event."""
    _, counts = np.unique(event_ms, return_counts=True)
    return int(counts[counts > 1].sum()) / event_ms.size if event_ms.size else None


def _busy_frac(seconds: IntArray) -> float | None:
    """Share of the seconds present that hold two events or more."""
    _, counts = np.unique(seconds, return_counts=True)
    return int((counts > 1).sum()) / counts.size if counts.size else None
