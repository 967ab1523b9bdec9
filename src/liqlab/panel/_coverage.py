"""When the recorder is known to have listened: "no message" is not "no liquidation".

A moment is covered when any stream or symbol of the recorder (one per exchange) delivered within the tolerance before
it. A missing hourly file is no outage by itself: recorders write none for a silent hour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.core.config import bounded, check_bounds
from liqlab.core.schema import COVERAGE, TIME
from liqlab.core.time import MS_PER_S

IntArray = npt.NDArray[np.int64]

EVERY_SYMBOL = "ALL"
ANY_STREAM = "any"
_LIQUIDATION = "liquidation"
_TICKER = "ticker"
#: Streams whose rows show that the recorder was listening; ratio rows are downloaded afterwards and show nothing.
_WITNESSES = (_LIQUIDATION, _TICKER)
#: A ticker bears witness when its tolerance holds at least this many of its typical intervals.
_INTERVALS_PER_TOLERANCE = 3


@dataclass(frozen=True)
class CoverageConfig:
    """How long after a delivery the recorder still counts as listening."""

    tolerance_with_ticker_s: float = bounded(60.0, 1.0, 86_400.0)
    tolerance_alone_s: float = bounded(900.0, 1.0, 86_400.0)

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class Intervals:
    """Disjoint closed intervals [start, end] in milliseconds UTC, in order of time; two arrays of shape (n,)."""

    start_ms: IntArray
    end_ms: IntArray

    def __len__(self) -> int:
        return len(self.start_ms)


def compute_coverage(
    deliveries: pl.DataFrame,
    config: CoverageConfig | None = None,
    ticker_interval_ms: Mapping[str, int | None] | None = None,
) -> pl.DataFrame:
    """The coverage table (`core.schema.COVERAGE`) of runs of deliveries.

    `deliveries` has the columns symbol, stream, exchange, first_ms, last_ms: one row per run, inside which no silence
    exceeds a minute. The result holds, for each symbol and stream of an exchange, the union of [first, last +
    tolerance]; and for each exchange, as symbol `ALL` and stream `any`, the union over all of them. The tolerance of
    an exchange is `tolerance_with_ticker_s` when it delivers a ticker whose typical interval (`ticker_interval_ms`, by
    exchange) fits into it three times, else `tolerance_alone_s`. Rows of `long_short_ratio` are downloads: they
    witness nothing and give no interval. Rows sorted by exchange, symbol, stream, start.
    """
    config = config or CoverageConfig()
    witnesses = deliveries.filter(pl.col("stream").is_in(_WITNESSES))
    rows: list[pl.DataFrame] = []
    for (exchange,), runs in witnesses.sort("exchange").partition_by("exchange", as_dict=True).items():
        streams = set(runs["stream"].to_list())
        tolerance_ms = _tolerance_ms(config, _TICKER in streams, (ticker_interval_ms or {}).get(exchange))
        for (symbol, stream), part in runs.partition_by("symbol", "stream", as_dict=True).items():
            rows.append(_coverage_rows(part, tolerance_ms, symbol, stream, exchange))
        rows.append(_coverage_rows(runs, tolerance_ms, EVERY_SYMBOL, ANY_STREAM, exchange))
    if not rows:
        return COVERAGE.empty()
    return pl.concat(rows).sort("exchange", "symbol", "stream", "start", maintain_order=True)


def select_intervals(coverage: pl.DataFrame, symbol: str = EVERY_SYMBOL) -> Intervals:
    """When the recorder of a symbol's liquidations listened, from a coverage table.

    That recorder is the exchange (or the exchanges: their union) with a liquidation stream of `symbol`; when no
    liquidation of it was ever delivered, or for `ALL`, those with any liquidation stream; failing that, all.
    """
    streams = coverage.filter(pl.col("stream") == _LIQUIDATION)
    own = streams.filter(pl.col("symbol") == symbol)
    exchanges = (own if own.height else streams)["exchange"].unique()
    recorders = coverage.filter((pl.col("symbol") == EVERY_SYMBOL) & (pl.col("stream") == ANY_STREAM))
    if len(exchanges):
        recorders = recorders.filter(pl.col("exchange").is_in(exchanges.implode()))
    return _merge(recorders["start"].to_physical().to_numpy(), recorders["end"].to_physical().to_numpy())


def mark_covered(times_ms: npt.ArrayLike, intervals: Intervals) -> npt.NDArray[np.bool_]:
    """Which of the times (milliseconds UTC, shape (n,), any order) lie in an interval, both ends included."""
    times = np.asarray(times_ms, dtype=np.int64)
    if not len(intervals):
        return np.zeros(times.shape, dtype=np.bool_)
    position = np.searchsorted(intervals.start_ms, times, side="right") - 1
    covered: npt.NDArray[np.bool_] = (position >= 0) & (times <= intervals.end_ms[position])
    return covered


def covered_ms(intervals: Intervals, start_ms: int, end_ms: int) -> int:
    """Milliseconds of [start, end] that the intervals cover."""
    before = covered_before(intervals, np.array([start_ms, end_ms]))
    return max(0, int(before[1] - before[0]))


def list_gaps(intervals: Intervals, start_ms: int, end_ms: int) -> list[tuple[int, int]]:
    """The stretches of [start, end] that no interval covers, in order, as (start, end) in milliseconds."""
    starts = [start_ms, *(int(end) for end in intervals.end_ms)]
    ends = [*(int(start) for start in intervals.start_ms), end_ms]
    clipped = ((max(start, start_ms), min(end, end_ms)) for start, end in zip(starts, ends, strict=True))
    return [(start, end) for start, end in clipped if start < end]


def covered_before(intervals: Intervals, times_ms: IntArray) -> IntArray:
    """For each time (shape (n,)) the milliseconds covered before it, over all of history."""
    if not len(intervals):
        return np.zeros(times_ms.shape, dtype=np.int64)
    lengths = intervals.end_ms - intervals.start_ms
    whole = np.concatenate([[0], np.cumsum(lengths)])
    position = np.searchsorted(intervals.start_ms, times_ms, side="right")
    last = np.maximum(position - 1, 0)
    overhang = np.where(position > 0, np.maximum(intervals.end_ms[last] - times_ms, 0), 0)
    before: IntArray = whole[position] - overhang
    return before


def _tolerance_ms(config: CoverageConfig, has_ticker: bool, interval_ms: int | None) -> int:
    with_ticker_ms = round(config.tolerance_with_ticker_s * MS_PER_S)
    if has_ticker and interval_ms is not None and interval_ms * _INTERVALS_PER_TOLERANCE <= with_ticker_ms:
        return with_ticker_ms
    return round(config.tolerance_alone_s * MS_PER_S)


def _coverage_rows(runs: pl.DataFrame, tolerance_ms: int, symbol: str, stream: str, exchange: str) -> pl.DataFrame:
    union = _merge(runs["first_ms"].to_numpy(), runs["last_ms"].to_numpy() + tolerance_ms)
    return pl.DataFrame({"start": union.start_ms, "end": union.end_ms}).select(
        symbol=pl.lit(symbol),
        stream=pl.lit(stream),
        exchange=pl.lit(exchange),
        start=pl.col("start").cast(TIME),
        end=pl.col("end").cast(TIME),
    )


def _merge(starts: npt.ArrayLike, ends: npt.ArrayLike) -> Intervals:
    """The union of closed intervals; those that touch become one."""
    first, last = np.asarray(starts, dtype=np.int64), np.asarray(ends, dtype=np.int64)
    if first.size == 0:
        return Intervals(first, last)
    order = np.argsort(first, kind="stable")
    first, reach = first[order], np.maximum.accumulate(last[order])
    opens = np.concatenate([[True], first[1:] > reach[:-1]])
    closes = np.concatenate([opens[1:], [True]])
    return Intervals(first[opens], reach[closes])
