"""The statistics text: the published table's own words and decimals, and what stands beside it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from liqlab.panel import (
    ActivityBucket,
    DelayQuantiles,
    EventGap,
    PriceMove,
    PublishedBlock,
    SideCheck,
    SideTotals,
    SizeBin,
    SymbolStatistics,
)
from liqlab.report import render_statistics

#: Statistics published for the plan's data set of 2026-02-09 to 2026-02-18, as they are written there.
PUBLISHED = """
| | BTCUSDT | ETHUSDT | SOLUSDT | DOGEUSDT | XRPUSDT |
| hourly files | 197 | 199 | 197 | 178 | 192 |
| events | 16,756 | 10,476 | 8,147 | 2,541 | 5,122 |
| volume (base units) | 2,356.08 | 43,815.93 | 305,677.70 | 79,947,680 | 13,651,933.8 |
| notional (USD) | 160,199,296 | 87,121,189 | 25,482,677 | 8,094,650 | 20,133,680 |
| mean size (USD) | 9,561 | 8,316 | 3,128 | 3,186 | 3,931 |
| P50 size (USD) | 921 | 789 | 440 | 196 | 359 |
| P75 | 3,570 | 3,396 | 1,836 | 1,019 | 1,689 |
| P90 | 13,314 | 13,179 | 6,798 | 4,825 | 6,980 |
| P95 | 29,172 | 28,955 | 14,306 | 10,194 | 16,005 |
| P99 | 136,378 | 148,940 | 49,511 | 57,916 | 71,777 |
| Buy (long liquidated), events % | 55.8 | 62.0 | 57.3 | 56.9 | 56.3 |
| Buy, volume % | 52.5 | 60.4 | 58.0 | 70.1 | 60.7 |
| most active hour (UTC), events | 15: 2,647 | 15: 1,438 | 15: 1,010 | 14: 253 | 14: 536 |
| least active hour (UTC), events | 23: 166 | 23: 110 | 10: 126 | 7: 22 | 2: 75 |
| mean gap (s) | 43.1 | 68.8 | 88.5 | 282.9 | 140.7 |
| median gap (s) | 0.1 | 0.2 | 0.4 | 3.5 | 1.1 |
| longest gap (s) | 8,028 | 6,013 | 5,970 | 9,847 | 10,796 |
| rapid, % | 76.95 | 70.43 | 60.70 | 39.35 | 48.79 |
| cascades | 138 | 101 | 85 | 24 | 44 |
| mean cascade duration (s) | 28.4 | 21.9 | 18.4 | 14.3 | 24.9 |
| mean cascade events | 4.7 | 3.6 | 3.0 | 2.3 | 3.0 |
| mean cascade notional (USD) | 658,190 | 421,565 | 110,747 | 101,155 | 165,734 |
| Buy-dominated cascades, % | 47.8 | 70.3 | 61.2 | 70.8 | 63.6 |
| 1-min bars / non-empty % | 12,025 / 14.5 | 12,005 / 13.0 | 12,022 / 13.9 | 11,978 / 7.7 | 12,008 / 11.3 |
| imbalance mean / sd | -.0052 / .3791 | -.0135 / .3601 | -.0044 / .3716 | -.0067 / .2762 | -.0064 / .3355 |
| bars with imbalance < -0.7 / > 0.7 | 895 / 835 | 861 / 700 | 858 / 803 | 497 / 417 | 715 / 638 |
"""
AUTOCORRELATION = {
    "BTCUSDT": ".124 .055 -.007",
    "ETHUSDT": ".081 .044 -.005",
    "SOLUSDT": ".097 .022 .001",
    "DOGEUSDT": ".072 .011 .000",
    "XRPUSDT": ".095 .049 .011",
}
SYMBOLS = list(AUTOCORRELATION)


def published_cells(symbol: str) -> dict[str, str]:
    """Row name to what is printed for `symbol`, in the table's order."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in PUBLISHED.strip().splitlines()]
    column = lines[0].index(symbol)
    cells = {line[0]: line[column] for line in lines[1:]}
    return {**cells, "imbalance autocorrelation at 5, 15, 60 bars": AUTOCORRELATION[symbol]}


def numbers(cell: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d*\.?\d+", cell.replace(",", ""))]


def published_block(symbol: str, /, **changes: Any) -> PublishedBlock:
    """A block that holds exactly the published numbers."""
    cells = {name: numbers(cell) for name, cell in published_cells(symbol).items()}
    hours = (cells["most active hour (UTC), events"], cells["least active hour (UTC), events"])
    bars, below_above = cells["1-min bars / non-empty %"], cells["bars with imbalance < -0.7 / > 0.7"]
    block = PublishedBlock(
        symbol=symbol,
        hourly_files=int(cells["hourly files"][0]),
        events=int(cells["events"][0]),
        volume=cells["volume (base units)"][0],
        volume_unit="base units",
        notional_usd=cells["notional (USD)"][0],
        mean_size_usd=cells["mean size (USD)"][0],
        p50_size_usd=cells["P50 size (USD)"][0],
        p75_size_usd=cells["P75"][0],
        p90_size_usd=cells["P90"][0],
        p95_size_usd=cells["P95"][0],
        p99_size_usd=cells["P99"][0],
        buy_events_frac=cells["Buy (long liquidated), events %"][0] / 100,
        buy_volume_frac=cells["Buy, volume %"][0] / 100,
        most_active_hour=int(hours[0][0]),
        most_active_hour_events=int(hours[0][1]),
        least_active_hour=int(hours[1][0]),
        least_active_hour_events=int(hours[1][1]),
        mean_gap_s=cells["mean gap (s)"][0],
        median_gap_s=cells["median gap (s)"][0],
        longest_gap_s=cells["longest gap (s)"][0],
        rapid_frac=cells["rapid, %"][0] / 100,
        cascades=int(cells["cascades"][0]),
        mean_cascade_duration_s=cells["mean cascade duration (s)"][0],
        mean_cascade_events=cells["mean cascade events"][0],
        mean_cascade_notional_usd=cells["mean cascade notional (USD)"][0],
        buy_cascades_frac=cells["Buy-dominated cascades, %"][0] / 100,
        bars=int(bars[0]),
        nonempty_bars_frac=bars[1] / 100,
        imbalance_mean=cells["imbalance mean / sd"][0],
        imbalance_sd=cells["imbalance mean / sd"][1],
        bars_imbalance_below=int(below_above[0]),
        bars_imbalance_above=int(below_above[1]),
        imbalance_autocorrelation=tuple(cells["imbalance autocorrelation at 5, 15, 60 bars"]),
    )
    return replace(block, **changes)


def statistics(**changes: Any) -> SymbolStatistics:
    """Statistics of BTCUSDT with a few events in hour 15 and on Mondays."""
    start_ms, hour_ms = 1_770_595_200_000, 3_600_000
    hours = [ActivityBucket(hour, 0, 0, 0.0, 0.0, 8.0) for hour in range(24)]
    hours[15] = ActivityBucket(15, 60, 20, 600_000.0, 200_000.0, 8.0)
    weekdays = [ActivityBucket(day, 0, 0, 0.0, 0.0, 24.0 if day < 6 else 0.0) for day in range(7)]
    weekdays[0] = ActivityBucket(0, 60, 20, 600_000.0, 200_000.0, 24.0)
    made = SymbolStatistics(
        symbol="BTCUSDT",
        published=published_block("BTCUSDT"),
        price_moves=(
            PriceMove(1.0, 0, None, None, None, "ticker prices come every 5 s: too coarse for 1 s"),
            PriceMove(5.0, 837, 1.94, 3.26, 10.94, None),
        ),
        span_start_ms=start_ms,
        span_end_ms=start_ms + 200 * hour_ms,
        first_event_ms=start_ms + 1_000,
        last_event_ms=start_ms + 199 * hour_ms,
        covered_hours=192.0,
        covered_frac=0.96,
        events_covered=16_000,
        events_per_covered_hour=83.3,
        long=SideTotals(9_350, 1_237.0, 84_000_000.0),
        short=SideTotals(7_406, 1_119.08, 76_199_296.0),
        event_to_push=DelayQuantiles(16_756, 7.0, 250.0, 450.0, 497.0),
        event_to_capture=DelayQuantiles(16_756, 30.0, 303.0, 505.0, 588.0),
        capture_recorded=True,
        hours=tuple(hours),
        weekdays=tuple(weekdays),
        size_bins=(
            SizeBin(0.0, 100.0, 0, 0, 0.0, 0.0),
            SizeBin(100.0, 1_000.0, 60, 20, 30_000.0, 10_000.0),
            SizeBin(1_000.0, None, 10, 10, 50_000.0, 50_000.0),
        ),
        longest_gaps=(EventGap(start_ms, start_ms + 8_028_000, 8_028.0, 0.38),),
        shared_millisecond_frac=0.068,
        busy_seconds_frac=0.323,
    )
    return replace(made, **changes)


def side_check(verdict: str = "consistent", **changes: Any) -> SideCheck:
    made = SideCheck(verdict, "because of the prices", 12.2, 0.9, 13.6, 298, 4_516, 4_519, 60.0, 300.0)
    return replace(made, **changes)


def section(text: str, title: str) -> str:
    """The body below a title."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(title))
    body = lines[start + 2 :]
    stop = next((number for number, line in enumerate(body) if line.startswith("===")), len(body) + 1)
    return "\n".join(body[: stop - 1])


def row(text: str, name: str) -> str:
    """The rest of the line that begins with `name`."""
    return next(line[len(name) :] for line in text.splitlines() if line.startswith(f"{name} ")).strip()


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_the_published_numbers_are_printed_as_they_were_published(symbol: str) -> None:
    text = section(render_statistics(statistics(published=published_block(symbol))), "PUBLISHED BLOCK")
    assert {name: row(text, name) for name in published_cells(symbol)} == published_cells(symbol)


def test_the_rows_of_the_published_block_come_in_the_order_of_the_table() -> None:
    text = section(render_statistics(statistics()), "PUBLISHED BLOCK")
    places = [text.index(f"\n{name} ") for name in published_cells("BTCUSDT")]
    assert places == sorted(places)


def test_all_symbols_stand_side_by_side_and_first() -> None:
    blocks = [published_block(symbol) for symbol in SYMBOLS]
    pooled = published_block("BTCUSDT", symbol="ALL", volume=301_031_492.0, volume_unit="USD", notes=("volume in USD",))
    text = render_statistics(statistics(symbol="ALL", published=pooled), None, "", [*blocks, pooled])
    comparison = section(text, "Published table, symbol by symbol")
    assert text.index("Published table, symbol by symbol") < text.index("PUBLISHED BLOCK")
    for name in published_cells("BTCUSDT"):
        cells = [published_cells(symbol)[name] for symbol in SYMBOLS]
        printed = " ".join(line[len(name) :] for line in comparison.splitlines() if line.startswith(f"{name} "))
        assert re.sub(r"\s+", " ", printed).startswith(" " + " ".join(cells))
    assert "301,031,492 USD" in row(section(text, "PUBLISHED BLOCK"), "volume (base units)")
    assert "- volume in USD" in text


def test_undefined_figures_are_not_invented() -> None:
    nothing = dict.fromkeys(
        ("mean_size_usd", "most_active_hour", "mean_gap_s", "rapid_frac", "nonempty_bars_frac", "imbalance_sd")
    )
    block = published_block("BTCUSDT", imbalance_autocorrelation=(None, None, None), **nothing)
    text = section(render_statistics(statistics(published=block)), "PUBLISHED BLOCK")
    assert row(text, "mean size (USD)") == "n/a"
    assert row(text, "most active hour (UTC), events") == "n/a"
    assert row(text, "1-min bars / non-empty %") == "12,025 / n/a"
    assert row(text, "imbalance mean / sd") == "-.0052 / n/a"
    assert row(text, "imbalance autocorrelation at 5, 15, 60 bars") == "n/a n/a n/a"


@pytest.mark.parametrize(("value", "printed"), [(-0.00001, ".0000"), (1.0, "1.0000"), (-0.5, "-.5000"), (0.0, ".0000")])
def test_imbalance_is_written_without_the_zero_before_the_point(value: float, printed: str) -> None:
    text = render_statistics(statistics(published=published_block("BTCUSDT", imbalance_mean=value)))
    assert row(text, "imbalance mean / sd") == f"{printed} / .3791"


def test_no_line_is_wider_than_100_columns() -> None:
    symbols = [published_block(symbol) for symbol in SYMBOLS] * 3
    text = render_statistics(
        statistics(), side_check("contradicted"), "Data: captures " + "x" * 40 + " y" * 60, symbols
    )
    assert max(map(len, text.splitlines())) <= 100


def test_coverage_and_rates_come_from_the_statistics() -> None:
    text = section(render_statistics(statistics()), "Coverage and rates")
    assert "192.00 h, 96.0 % of the span" in text
    assert "16,000 of 16,756" in text
    assert row(text, "events per covered hour") == "83.3"
    other = section(render_statistics(statistics(covered_hours=96.0, covered_frac=0.48)), "Coverage and rates")
    assert "96.00 h, 48.0 % of the span" in other


def test_unknown_coverage_is_said() -> None:
    changes = {"covered_hours": 0.0, "covered_frac": None, "events_covered": 0, "events_per_covered_hour": None}
    text = section(render_statistics(statistics(**changes)), "Coverage and rates")
    assert "unknown: no record of deliveries" in text
    assert row(text, "events per covered hour") == "n/a"


def test_delays_are_tabulated_when_they_were_recorded() -> None:
    text = section(render_statistics(statistics()), "Delivery delays")
    assert row(text, "event to push").split() == ["16,756", "7", "250", "450", "497"]
    assert row(text, "event to capture").split() == ["16,756", "30", "303", "505", "588"]


def test_a_recording_without_capture_times_has_no_delays() -> None:
    text = section(render_statistics(statistics(capture_recorded=False)), "Delivery delays")
    assert "Not testable" in text
    assert "303" not in text


def test_negative_delays_are_called_wrong_clocks() -> None:
    early = DelayQuantiles(10, -40.0, 250.0, 450.0, 497.0)
    assert "clocks" in section(render_statistics(statistics(event_to_capture=early)), "Delivery delays")
    assert "clocks" not in section(render_statistics(statistics()), "Delivery delays")


def test_hours_and_weekdays_show_rate_side_and_a_bar() -> None:
    text = render_statistics(statistics())
    assert row(section(text, "Hours of the day"), "15").split() == [
        *("8.0", "80", "10.0", "75", "%", "$800K"),
        "L" * 27 + "S" * 9,
    ]
    assert row(section(text, "Weekdays"), "Mon").split()[:3] == ["24.0", "80", "3.3"]
    assert row(section(text, "Weekdays"), "Sun").split() == ["0.0", "0", "n/a", "n/a", "$0"]


def test_the_size_histogram_leaves_out_empty_ends_and_counts_all_events() -> None:
    text = section(render_statistics(statistics()), "Sizes")
    assert "$0 " not in text
    assert re.search(r"\$100 +\$1\.0K +80 +80\.0 % +\$40K", text)
    assert re.search(r"\$1\.0K +20 +100\.0 % +\$100K", text)


def test_long_gaps_say_whether_anybody_listened() -> None:
    text = section(render_statistics(statistics()), "Longest gaps")
    assert "8,028  no, only 38 %" in text
    heard = (EventGap(0, 8_028_000, 8_028.0, 1.0),)
    assert "8,028  yes" in section(render_statistics(statistics(longest_gaps=heard)), "Longest gaps")


def test_price_moves_that_cannot_be_measured_say_why() -> None:
    text = section(render_statistics(statistics()), "Absolute price moves")
    assert re.search(r"5 s +837 +1\.9 +3\.3 +10\.9", text)
    assert "not testable at 1 s: ticker prices come every 5 s" in text


def test_horizons_with_one_reason_share_a_line() -> None:
    reasons = [f"ticker prices come every 300 s: too coarse for {horizon:g} s" for horizon in (0.5, 60.0)]
    moves = (
        PriceMove(0.5, 0, None, None, None, reasons[0]),
        PriceMove(60.0, 0, None, None, None, f"{reasons[1]}; ticker prices come every 299 s: too coarse for 60 s"),
        PriceMove(30.0, 0, None, None, None, "ticker prices come every 300 s: too coarse for 30 s"),
    )
    text = section(render_statistics(statistics(price_moves=moves)), "Absolute price moves")
    assert "not testable at 0.5, 30 s: ticker prices come every 300 s" in text
    assert "not testable at 60 s: ticker prices come every 300 s (other symbols alike)" in text


def test_a_contradicted_side_test_stands_at_the_top() -> None:
    text = render_statistics(statistics(), side_check("contradicted"))
    assert "SIDES CONTRADICTED" in "\n".join(text.splitlines()[:4])
    assert "SIDES CONTRADICTED" not in render_statistics(statistics(), side_check("consistent"))


def test_the_side_test_shows_its_numbers() -> None:
    text = section(render_statistics(statistics(), side_check()), "Side self-test")
    text = re.sub(r"\s+", " ", text)
    assert "+12.2 bps, standard error 0.9, t = 13.6; 298 blocks of 300 s, 4,516 of 4,519 events" in text
    undecided = side_check("undecided", mean_bps=None, standard_error_bps=None, t=None)
    assert "bps" not in section(render_statistics(statistics(), undecided), "Side self-test")


def test_the_last_lines_say_which_data_and_version() -> None:
    text = render_statistics(statistics(), None, "Data: captures (3 files, hash abc); liqlab 1.2.3")
    assert text.endswith("Data: captures (3 files, hash abc); liqlab 1.2.3\n")


def test_a_symbol_without_events_still_has_its_text() -> None:
    none = DelayQuantiles(0, None, None, None, None)
    empty = tuple(ActivityBucket(hour, 0, 0, 0.0, 0.0, 1.0) for hour in range(24))
    text = render_statistics(
        statistics(
            published=published_block("BTCUSDT", events=0, volume=0.0, notional_usd=0.0),
            first_event_ms=None,
            last_event_ms=None,
            long=SideTotals(0, 0.0, 0.0),
            short=SideTotals(0, 0.0, 0.0),
            event_to_push=none,
            event_to_capture=none,
            capture_recorded=None,
            hours=empty,
            weekdays=empty[:7],
            size_bins=(),
            longest_gaps=(),
            price_moves=(),
            shared_millisecond_frac=None,
            busy_seconds_frac=None,
        )
    )
    assert section(text, "Sizes").strip() == "no events"
    assert section(text, "Delivery delays").strip() == "no events"
    assert row(section(text, "Sides"), "longs liquidated").split()[:3] == ["0", "n/a", "0.00"]
