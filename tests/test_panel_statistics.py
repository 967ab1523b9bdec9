"""Statistics beside the published block: delays, patterns, sizes, gaps, coverage."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_panel_frames import START_MS, Row, deliveries_of, liquidations_of, random_liquidations, ticker_of

from liqlab.core.schema import LONG, SHORT
from liqlab.panel import compute_coverage, compute_published, compute_statistics

HOUR_MS = 3_600_000
MINUTE_MS = 60_000


def _coverage(runs: list[tuple[int, int]]) -> pl.DataFrame:
    """Coverage of these runs (milliseconds after START_MS), whose ends include the tolerance of 15 minutes."""
    rows = [("A", "liquidation", "bybit", start, end - 15 * MINUTE_MS) for start, end in runs]
    return compute_coverage(deliveries_of(rows))


def _events(at_ms: list[int], side: str = LONG, delay_ms: int = 300) -> pl.DataFrame:
    rows: list[Row] = [("A", START_MS + at, START_MS + at + delay_ms, side, 1.0, 10.0) for at in at_ms]
    return liquidations_of(rows)


def test_delays_are_quantiles_over_all_events() -> None:
    rows = random_liquidations(1, 200)
    statistics = compute_statistics(rows)
    delay = (rows["known_time"].to_physical() - rows["event_time"].to_physical()).to_numpy()
    captured = statistics.event_to_capture
    assert (captured.n, captured.p1_ms, captured.p50_ms, captured.p90_ms, captured.p99_ms) == (
        200,
        *(pytest.approx(np.quantile(delay, p)) for p in (0.01, 0.5, 0.9, 0.99)),
    )
    assert statistics.capture_recorded
    assert statistics.event_to_push.n == 0
    assert statistics.event_to_push.p50_ms is None


def test_push_delays_count_the_events_that_have_one() -> None:
    rows = pl.concat(
        [liquidations_of([("A", START_MS, START_MS + 9, LONG, 1.0, 1.0)], push_delay_ms=7), _events([1_000])]
    )
    pushed = compute_statistics(rows).event_to_push
    assert (pushed.n, pushed.p50_ms) == (1, 7.0)


@pytest.mark.parametrize(
    ("rows", "recorded"),
    [
        (_events([0, 5, 9], delay_ms=0), False),
        (_events([0, 5, 9], delay_ms=1_000), False),
        (_events([0], delay_ms=0), False),
        (_events([0], delay_ms=300), True),
        (pl.concat([_events([0], delay_ms=0), _events([5])]), True),
        (_events([]), None),
    ],
)
def test_a_constant_delay_means_that_no_capture_time_was_recorded(rows: pl.DataFrame, recorded: bool | None) -> None:
    assert compute_statistics(rows, symbol="A").capture_recorded is recorded


def test_patterns_hold_events_by_side_and_covered_hours() -> None:
    rows = pl.concat([_events([5 * MINUTE_MS, 6 * MINUTE_MS]), _events([70 * MINUTE_MS], SHORT)])
    statistics = compute_statistics(rows, _coverage([(0, 90 * MINUTE_MS), (24 * HOUR_MS, 25 * HOUR_MS)]))
    first, second = statistics.hours[:2]
    assert (first.long_events, first.short_events, first.long_notional_usd, first.covered_hours) == (2, 0, 20.0, 2.0)
    assert (second.long_events, second.short_events, second.short_notional_usd) == (0, 1, 10.0)
    assert second.covered_hours == 0.5
    assert first.events_per_covered_hour == 1.0
    assert statistics.hours[2].events_per_covered_hour is None
    monday, tuesday = statistics.weekdays[:2]
    assert (monday.long_events, monday.short_events, monday.covered_hours) == (2, 1, 1.5)
    assert (tuesday.long_events, tuesday.covered_hours) == (0, 1.0)
    assert [bucket.bucket for bucket in statistics.weekdays] == list(range(7))


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(16, 400)), min_size=1, max_size=6), st.integers(0, 99))
def test_covered_hours_of_the_buckets_add_up(runs: list[tuple[int, int]], offset_s: int) -> None:
    spans = [(start * HOUR_MS // 7 + offset_s * 1_000, start * HOUR_MS // 7 + n * MINUTE_MS) for start, n in runs]
    statistics = compute_statistics(_events([0]), _coverage(spans))
    for pattern in (statistics.hours, statistics.weekdays):
        assert sum(bucket.covered_hours for bucket in pattern) == pytest.approx(statistics.covered_hours)


def test_buckets_are_those_of_the_calendar() -> None:
    rows = random_liquidations(2, 150, 9 * 24 * HOUR_MS)
    statistics = compute_statistics(rows)
    moments = [datetime.fromtimestamp(t / 1_000, UTC) for t in rows["event_time"].to_physical()]
    assert [b.long_events + b.short_events for b in statistics.hours] == [
        sum(moment.hour == hour for moment in moments) for hour in range(24)
    ]
    assert [b.long_events + b.short_events for b in statistics.weekdays] == [
        sum(moment.weekday() == day for moment in moments) for day in range(7)
    ]


def test_rates_rest_on_covered_time_and_the_published_block_does_not() -> None:
    rows = _events([MINUTE_MS, 2 * MINUTE_MS, 5 * HOUR_MS])
    coverage = _coverage([(0, HOUR_MS), (2 * HOUR_MS, 3 * HOUR_MS)])
    statistics = compute_statistics(rows, coverage, n_files=2, end_ms=START_MS + 4 * HOUR_MS)
    assert (statistics.covered_hours, statistics.covered_frac) == (2.0, 0.5)
    assert (statistics.events_covered, statistics.events_per_covered_hour) == (2, 1.0)
    assert statistics.published == compute_published(rows, 2)
    assert statistics.published.events == statistics.long.events == 3


def test_without_coverage_there_are_patterns_and_no_rates() -> None:
    statistics = compute_statistics(_events([0, HOUR_MS]))
    assert (statistics.covered_frac, statistics.events_per_covered_hour, statistics.events_covered) == (None, None, 0)
    assert statistics.hours[0].long_events == statistics.hours[1].long_events == 1
    assert (statistics.span_start_ms, statistics.span_end_ms) == (START_MS + 300, START_MS + HOUR_MS + 300)


@given(st.integers(0, 1_000), st.integers(1, 80))
def test_size_bins_hold_every_event_where_it_belongs(seed: int, n: int) -> None:
    rows = random_liquidations(seed, n)
    statistics = compute_statistics(rows)
    for bin_ in statistics.size_bins:
        high = np.inf if bin_.high_usd is None else bin_.high_usd
        inside = rows.filter((pl.col("notional_usd") >= bin_.low_usd) & (pl.col("notional_usd") < high))
        longs = inside.filter(pl.col("liquidated_side") == LONG)
        assert (bin_.long_events, bin_.long_events + bin_.short_events) == (longs.height, inside.height)
        assert bin_.long_notional_usd + bin_.short_notional_usd == pytest.approx(inside["notional_usd"].sum())
    assert sum(bin_.long_events + bin_.short_events for bin_ in statistics.size_bins) == n


def test_the_edges_of_size_bins_are_four_per_factor_of_ten() -> None:
    bins = compute_statistics(_events([0])).size_bins
    assert (bins[0].low_usd, bins[1].low_usd, bins[5].low_usd, bins[-1].low_usd) == (0.0, 1.0, 10.0, 1e8)
    assert bins[-1].high_usd is None
    assert bins[5].long_events == 1


def test_longest_gaps_say_whether_the_recorder_listened() -> None:
    rows = _events([0, HOUR_MS // 2, 3 * HOUR_MS, 3 * HOUR_MS + 1_000])
    gaps = compute_statistics(rows, _coverage([(0, HOUR_MS), (2 * HOUR_MS, 4 * HOUR_MS)])).longest_gaps
    assert [gap.length_s for gap in gaps] == [9_000.0, 1_800.0, 1.0]
    assert [gap.covered for gap in gaps] == [False, True, True]
    assert gaps[0].covered_frac == pytest.approx(0.6, abs=1e-4)
    assert (gaps[0].start_ms, gaps[0].end_ms) == (START_MS + HOUR_MS // 2, START_MS + 3 * HOUR_MS)


def test_only_the_ten_longest_gaps_are_kept_and_ties_by_time() -> None:
    rows = _events([0, *np.cumsum([5_000] * 12 + [9_000]).tolist()])
    gaps = compute_statistics(rows).longest_gaps
    assert [gap.length_s for gap in gaps] == [9.0] + [5.0] * 9
    assert [gap.start_ms - START_MS for gap in gaps[1:]] == [5_000 * index for index in range(9)]


def test_shared_milliseconds_and_busy_seconds() -> None:
    statistics = compute_statistics(_events([0, 0, 0, 999, 1_000, 5_000]))
    assert statistics.shared_millisecond_frac == 0.5
    assert statistics.busy_seconds_frac == pytest.approx(1 / 3)


def test_totals_by_side_add_up() -> None:
    rows = random_liquidations(6, 90, 3_600_000, ("A", "B"))
    one, pooled = compute_statistics(rows, symbol="A"), compute_statistics(rows)
    own = rows.filter(pl.col("symbol") == "A")
    assert one.long.events + one.short.events == own.height
    assert one.long.volume is not None
    assert one.short.volume is not None
    assert one.long.volume + one.short.volume == pytest.approx(own["quantity"].sum())
    assert pooled.symbol == "ALL"
    assert pooled.long.volume is None
    assert pooled.long.notional_usd + pooled.short.notional_usd == pytest.approx(rows["notional_usd"].sum())
    assert (pooled.first_event_ms, pooled.last_event_ms) == (
        rows["event_time"].to_physical().min(),
        rows["event_time"].to_physical().max(),
    )


@pytest.mark.parametrize("symbol", ["A", "ALL", None])
def test_no_liquidation_at_all_still_gives_statistics(symbol: str | None) -> None:
    statistics = compute_statistics(_events([]), _coverage([(0, 2 * HOUR_MS)]), symbol=symbol)
    assert (statistics.covered_hours, statistics.covered_frac, statistics.events_per_covered_hour) == (2.0, 1.0, 0.0)
    assert statistics.first_event_ms is statistics.shared_millisecond_frac is statistics.busy_seconds_frac is None
    assert statistics.longest_gaps == ()
    assert sum(bucket.long_events for bucket in statistics.hours) == 0
    nothing = compute_statistics(_events([]), symbol=symbol)
    assert nothing.span_start_ms is nothing.covered_frac is None


@pytest.mark.parametrize("rows", [_events([0]), _events([0, 0, 0]), _events([0, 9], SHORT), _events([])])
def test_every_result_can_be_written_as_strict_json(rows: pl.DataFrame) -> None:
    ticker = ticker_of("A", [START_MS, START_MS + 5_000, START_MS + 10_000], [1.0, 1.0, 1.0])
    statistics = compute_statistics(rows, _coverage([(0, HOUR_MS)]), ticker, symbol="A")
    assert json.loads(json.dumps(asdict(statistics), allow_nan=False))["symbol"] == "A"


def test_price_moves_come_along_when_there_is_a_ticker() -> None:
    ticker = ticker_of("A", [START_MS + 5_000 * row for row in range(20)], [100.0 + row for row in range(20)])
    assert [move.events for move in compute_statistics(_events([0]), None, ticker).price_moves] == [0, 0, 1, 1, 1, 1]
    assert compute_statistics(_events([0])).price_moves[0].reason == "no ticker prices"
