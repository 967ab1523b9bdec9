"""Prices as a step in time, and the typical ticker interval."""

from __future__ import annotations

import bisect

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_panel_frames import START_MS, ticker_of

from liqlab.core.schema import TICKER
from liqlab.panel import PriceSeries, measure_ticker_interval_ms


@given(st.lists(st.integers(0, 50), max_size=12), st.integers(-5, 60), st.integers(0, 20))
def test_lookups_agree_with_bisection(known: list[int], at: int, tolerance: int) -> None:
    known.sort()
    prices = PriceSeries.from_ticker(
        ticker_of("A", [START_MS + t for t in known], [1.0 + i for i in range(len(known))])
    )
    before = bisect.bisect_right(known, at) - 1
    after = bisect.bisect_left(known, at)
    expected_before = before + 1.0 if before >= 0 and at - known[before] <= tolerance else np.nan
    expected_after = after + 1.0 if after < len(known) and known[after] - at <= tolerance else np.nan
    np.testing.assert_equal(prices.last_known([START_MS + at], tolerance), [expected_before])
    np.testing.assert_equal(prices.first_from([START_MS + at], tolerance), [expected_after])


def test_without_a_tolerance_any_distance_will_do() -> None:
    prices = PriceSeries.from_ticker(ticker_of("A", [START_MS], [7.0]))
    assert prices.last_known([START_MS + 10**9]).tolist() == [7.0]
    assert prices.first_from([START_MS - 10**9]).tolist() == [7.0]


def test_the_price_is_mark_else_last_and_rows_without_one_are_left_out() -> None:
    times = [START_MS + t for t in range(5)]
    ticker = ticker_of("A", times, [1.0, None, None, float("nan"), 0.0], last_price=[9.0, 2.0, None, 5.0, None])
    prices = PriceSeries.from_ticker(ticker)
    assert prices.price.tolist() == [1.0, 2.0]


def test_of_prices_known_together_the_last_is_current_and_the_first_comes_first() -> None:
    prices = PriceSeries.from_ticker(ticker_of("A", [START_MS + 1, START_MS, START_MS], [3.0, 1.0, 2.0]))
    assert prices.last_known([START_MS]).tolist() == [2.0]
    assert prices.first_from([START_MS]).tolist() == [1.0]


def test_the_interval_is_the_median_over_symbols_of_rows_with_a_price() -> None:
    one = ticker_of("A", [START_MS + t for t in (0, 1, 5_000, 10_000, 60_000)], [1.0, None, 1.0, 1.0, 1.0])
    other = ticker_of("B", [START_MS + t for t in (2_500, 7_500)], [1.0, 1.0])
    assert measure_ticker_interval_ms(pl.concat([one, other])) == 5_000


def test_the_interval_of_fewer_than_two_prices_is_unknown() -> None:
    assert measure_ticker_interval_ms(TICKER.empty()) is None
    two_symbols = [ticker_of("A", [START_MS], [1.0]), ticker_of("B", [START_MS + 9], [1.0])]
    assert measure_ticker_interval_ms(pl.concat(two_symbols)) is None


@pytest.mark.parametrize("later_interval_ms", [10, 60_000])
def test_the_interval_does_not_change_once_a_thousand_rows_are_in(later_interval_ms: int) -> None:
    times = [START_MS + 5_000 * row for row in range(1_000)]
    later = [times[-1] + later_interval_ms * row for row in range(1, 4_000)]
    assert measure_ticker_interval_ms(ticker_of("A", times + later, [1.0] * 4_999)) == 5_000
