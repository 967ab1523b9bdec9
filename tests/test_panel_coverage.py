"""Coverage against a second-by-second oracle."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from test_panel_frames import START_MS, deliveries_of

from liqlab.core.errors import ConfigError
from liqlab.core.schema import COVERAGE, check_frame
from liqlab.panel import (
    CoverageConfig,
    Intervals,
    compute_coverage,
    covered_ms,
    list_gaps,
    mark_covered,
    select_intervals,
)

MINUTE_MS = 60_000


def _rows(coverage: pl.DataFrame, symbol: str, stream: str) -> list[tuple[int, int]]:
    """Start and end after START_MS."""
    rows = coverage.filter((pl.col("symbol") == symbol) & (pl.col("stream") == stream))
    edges = rows.select(pl.col("start", "end").to_physical() - START_MS)
    return [(start, end) for start, end in edges.rows()]


def test_runs_closer_than_the_tolerance_become_one_interval() -> None:
    runs = deliveries_of(
        [
            ("A", "liquidation", "bybit", 0, 10_000),
            ("A", "liquidation", "bybit", 10_000 + 15 * MINUTE_MS, 10_000 + 15 * MINUTE_MS),
            ("A", "liquidation", "bybit", 60 * MINUTE_MS, 61 * MINUTE_MS),
        ]
    )
    coverage = check_frame(compute_coverage(runs), COVERAGE)
    expected = [(0, 10_000 + 30 * MINUTE_MS), (60 * MINUTE_MS, 76 * MINUTE_MS)]
    assert _rows(coverage, "A", "liquidation") == expected
    assert _rows(coverage, "ALL", "any") == expected


@pytest.mark.parametrize(
    ("interval_ms", "tolerance_ms"),
    [(5_000, MINUTE_MS), (20_000, MINUTE_MS), (20_001, 15 * MINUTE_MS), (300_000, 15 * MINUTE_MS)],
)
def test_a_ticker_bears_witness_when_it_comes_three_times_a_minute(interval_ms: int, tolerance_ms: int) -> None:
    runs = deliveries_of([("A", "liquidation", "bybit", 0, 0), ("B", "ticker", "bybit", 5_000, 6_000)])
    coverage = compute_coverage(runs, ticker_interval_ms={"bybit": interval_ms})
    assert _rows(coverage, "ALL", "any") == [(0, 6_000 + tolerance_ms)]
    assert _rows(coverage, "A", "liquidation") == [(0, tolerance_ms)]


@pytest.mark.parametrize("intervals", [None, {}, {"bybit": None}, {"okx": 5_000}])
def test_a_ticker_of_unknown_interval_bears_none(intervals: dict[str, int | None] | None) -> None:
    runs = deliveries_of([("A", "ticker", "bybit", 0, 1_000)])
    assert _rows(compute_coverage(runs, ticker_interval_ms=intervals), "ALL", "any") == [(0, 1_000 + 15 * MINUTE_MS)]


def test_an_interval_without_a_ticker_stream_does_not_shorten_the_tolerance() -> None:
    runs = deliveries_of([("A", "liquidation", "bybit", 0, 0)])
    coverage = compute_coverage(runs, ticker_interval_ms={"bybit": 5_000})
    assert _rows(coverage, "ALL", "any") == [(0, 15 * MINUTE_MS)]


def test_downloaded_ratios_witness_nothing() -> None:
    runs = deliveries_of([("A", "long_short_ratio", "bybit", 0, 90 * MINUTE_MS), ("A", "liquidation", "bybit", 0, 0)])
    coverage = compute_coverage(runs)
    assert coverage["stream"].unique().sort().to_list() == ["any", "liquidation"]
    assert _rows(coverage, "ALL", "any") == [(0, 15 * MINUTE_MS)]
    assert_frame_equal(compute_coverage(runs.head(1)), COVERAGE.empty())


def test_exchanges_are_separate_recorders() -> None:
    runs = deliveries_of(
        [("A", "liquidation", "okx", 0, 0), ("A", "ticker", "binance", 10 * MINUTE_MS, 60 * MINUTE_MS)]
    )
    coverage = compute_coverage(runs)
    intervals = select_intervals(coverage, "A")
    assert (intervals.end_ms - START_MS).tolist() == [15 * MINUTE_MS]


def test_the_recorder_of_a_symbol_is_the_one_with_its_liquidations() -> None:
    runs = deliveries_of(
        [("A", "liquidation", "okx", 0, 0), ("B", "liquidation", "bybit", 0, 60_000), ("C", "ticker", "kraken", 0, 5)]
    )
    coverage = compute_coverage(runs)
    ends = {
        symbol: (select_intervals(coverage, symbol).end_ms - START_MS).tolist() for symbol in ("A", "B", "C", "ALL")
    }
    assert ends == {"A": [900_000], "B": [960_000], "C": [960_000], "ALL": [960_000]}
    only_ticker = coverage.filter(pl.col("exchange") == "kraken")
    assert (select_intervals(only_ticker, "C").end_ms - START_MS).tolist() == [900_005]
    assert len(select_intervals(COVERAGE.empty())) == 0


Run = tuple[int, int]
RUNS = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 20)), max_size=8)


def _intervals(runs: list[Run]) -> Intervals:
    rows = [("A", "liquidation", "x", first, first + length) for first, length in runs]
    return select_intervals(compute_coverage(deliveries_of(rows), CoverageConfig(tolerance_alone_s=1.0)))


@given(RUNS, st.integers(0, 1300), st.integers(0, 1300))
def test_marks_lengths_and_gaps_agree_with_looking_at_every_moment(runs: list[Run], start: int, length: int) -> None:
    intervals = _intervals(runs)
    start_ms, end_ms = START_MS + start, START_MS + start + length
    moments = list(range(start_ms, end_ms + 1))
    by_hand = [any(first <= t - START_MS <= first + n + 1_000 for first, n in runs) for t in moments]
    assert mark_covered(moments, intervals).tolist() == by_hand
    cells = [any(first <= t - START_MS < first + n + 1_000 for first, n in runs) for t in moments[:-1]]
    assert covered_ms(intervals, start_ms, end_ms) == sum(cells)
    gaps = list_gaps(intervals, start_ms, end_ms)
    assert sum(end - begin for begin, end in gaps) == length - sum(cells)
    assert all(not cells[t - start_ms] for begin, end in gaps for t in range(begin, end))
    assert gaps == sorted(gaps)


@given(RUNS, RUNS)
def test_more_deliveries_never_cover_less(runs: list[Run], more: list[Run]) -> None:
    moments = np.arange(START_MS, START_MS + 1_300)
    assert not (mark_covered(moments, _intervals(runs)) & ~mark_covered(moments, _intervals(runs + more))).any()


@given(RUNS, st.integers(0, 1300))
def test_deliveries_after_a_moment_do_not_change_whether_it_was_covered(runs: list[Run], at: int) -> None:
    moment = [START_MS + at]
    known = [(first, min(length, at - first)) for first, length in runs if first <= at]
    assert mark_covered(moment, _intervals(runs)).tolist() == mark_covered(moment, _intervals(known)).tolist()


def test_no_coverage_is_one_gap() -> None:
    nothing = select_intervals(COVERAGE.empty())
    assert list_gaps(nothing, 5, 9) == [(5, 9)]
    assert covered_ms(nothing, 5, 9) == 0
    assert mark_covered([5, 6], nothing).tolist() == [False, False]


def test_a_tolerance_out_of_range_is_named() -> None:
    with pytest.raises(ConfigError, match="tolerance_alone_s"):
        CoverageConfig(tolerance_alone_s=0.0)
