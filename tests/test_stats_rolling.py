"""Trailing windows against two passes over every window with exact sums."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqlab.stats import rolling_correlation, rolling_count, rolling_max, rolling_moments, rolling_sum

NAN = float("nan")
#: Numbers of several magnitudes, many of them equal, and missing ones.
VALUES = st.one_of(
    st.floats(-1e6, 1e6), st.sampled_from([0.0, -0.0, 1.0, 71_000.0, 71_000.1, 71_000.2, 1e12, NAN, NAN])
)
SERIES = st.lists(VALUES, max_size=60)
WINDOWS = st.integers(1, 70)


def _windows(values: list[float], window: int) -> list[list[float]]:
    return [values[max(0, i - window + 1) : i + 1] for i in range(len(values))]


def _present(values: list[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values) if values else NAN


def _std(values: list[float]) -> float:
    if len(values) < 2:
        return NAN
    mean = _mean(values)
    # The second term takes back what the rounding of the mean adds.
    squares = math.fsum((value - mean) ** 2 for value in values)
    return math.sqrt(
        max(squares - math.fsum(value - mean for value in values) ** 2 / len(values), 0) / (len(values) - 1)
    )


def _correlation(pairs: list[tuple[float, float]]) -> float:
    x, y = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    if len(pairs) < 2 or len(set(x)) == 1 or len(set(y)) == 1:
        return NAN
    products = math.fsum((a - _mean(x)) * (b - _mean(y)) for a, b in pairs)
    return products / (_std(x) * _std(y) * (len(pairs) - 1))


@given(SERIES, WINDOWS)
def test_moments_are_those_of_two_passes_over_each_window(values: list[float], window: int) -> None:
    result = rolling_moments(values, window)
    expected = [_present(inside) for inside in _windows(values, window)]
    assert result.count.tolist() == [len(inside) for inside in expected]
    assert result.mean == pytest.approx([_mean(inside) for inside in expected], rel=1e-9, abs=1e-9, nan_ok=True)
    assert result.std == pytest.approx([_std(inside) for inside in expected], rel=1e-9, abs=1e-9, nan_ok=True)
    for inside, std in zip(expected, result.std.tolist(), strict=True):
        if len(inside) > 1 and len(set(inside)) == 1:
            assert std == 0.0


@given(SERIES, WINDOWS)
def test_counts_sums_and_maxima_are_those_of_each_window(values: list[float], window: int) -> None:
    expected = [_present(inside) for inside in _windows(values, window)]
    assert rolling_count(values, window).tolist() == [len(inside) for inside in expected]
    sums = [math.fsum(inside) if inside else NAN for inside in expected]
    scale = sum(abs(value) for value in _present(values))
    assert rolling_sum(values, window) == pytest.approx(sums, rel=1e-12, abs=1e-14 * scale, nan_ok=True)
    assert rolling_max(values, window).tolist() == pytest.approx(
        [max(i, default=NAN) for i in expected], abs=0, nan_ok=True
    )


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), max_size=40), st.integers(2, 50))
def test_correlation_is_that_of_two_passes(pairs: list[tuple[float, float]], window: int) -> None:
    rounded = [(round(x, 2), round(y, 2)) for x, y in pairs]
    result = rolling_correlation([x for x, _ in rounded], [y for _, y in rounded], window)
    expected = [_correlation(rounded[max(0, i - window + 1) : i + 1]) for i in range(len(rounded))]
    assert result == pytest.approx(expected, abs=1e-7, nan_ok=True)


def test_pairs_with_a_missing_side_are_left_out() -> None:
    x, y = np.random.default_rng(2).standard_normal((2, 50))
    x[[3, 10, 11, 12]] = np.nan
    y[[4, 11, 30]] = np.nan
    pairs = list(zip(x.tolist(), y.tolist(), strict=True))
    complete = [[pair for pair in pairs[max(0, i - 6) : i + 1] if not math.isnan(sum(pair))] for i in range(50)]
    assert rolling_correlation(x, y, 7) == pytest.approx([_correlation(p) for p in complete], abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("window", [2, 12, 720])
def test_prices_near_71_000_keep_nine_digits(window: int) -> None:
    random = np.random.default_rng(window)
    prices = np.round(71_000 + 0.05 * random.standard_normal(3000).cumsum(), 1).tolist()
    result = rolling_moments(prices, window).std
    for i in range(0, 3000, 37):
        inside = prices[max(0, i - window + 1) : i + 1]
        assert result[i] == pytest.approx(_std(inside), rel=1e-9, abs=0.0, nan_ok=True)


@pytest.mark.parametrize("place", [0, 1, 99, 100, 101, 150])
def test_a_spike_leaves_no_trace_once_it_is_out_of_the_window(place: int) -> None:
    values = 71_000 + np.random.default_rng(4).standard_normal(400)
    spiked = values.copy()
    spiked[place] = 1e12
    clean, dirty = rolling_moments(values, 100), rolling_moments(spiked, 100)
    after = slice(place + 100, None)
    assert dirty.std[after] == pytest.approx(clean.std[after], rel=1e-12)
    assert dirty.mean[after] == pytest.approx(clean.mean[after], rel=1e-15)
    assert dirty.std[place + 99] > 1e10
    assert rolling_sum(spiked, 100)[after] == pytest.approx(rolling_sum(values, 100)[after], rel=1e-14)
    other = np.random.default_rng(5).standard_normal(400)
    assert rolling_correlation(spiked, other, 100)[after] == pytest.approx(
        rolling_correlation(values, other, 100)[after], rel=1e-9
    )


def test_only_windows_that_hold_an_infinite_value_are_not_finite() -> None:
    values = np.random.default_rng(6).standard_normal(300)
    values[[120, 130]] = np.inf, -np.inf
    held = np.zeros(300, bool)
    held[120 : 130 + 25] = True
    moments = rolling_moments(values, 25)
    assert np.isnan(moments.mean[held]).all()
    assert np.isnan(moments.std[held]).all()
    assert np.isfinite(moments.mean[~held]).all()
    assert np.isfinite(moments.std[~held][1:]).all()
    assert not np.isfinite(rolling_sum(values, 25)[held]).any()
    assert np.isfinite(rolling_sum(values, 25)[~held]).all()
    assert (np.isinf(rolling_max(values, 25)) == (np.isin(np.arange(300), np.arange(120, 145)))).all()
    other = np.arange(300.0)
    assert (np.isnan(rolling_correlation(values, other, 25)[1:]) == held[1:]).all()


def test_a_constant_window_has_no_spread_and_no_correlation() -> None:
    values = np.concatenate([np.arange(10.0), np.full(30, 0.1), np.arange(5.0)])
    std = rolling_moments(values, 8).std
    constant = slice(17, 40)
    assert (std[constant] == 0.0).all()
    assert (std[1:17] > 0.0).all()
    assert np.isnan(rolling_correlation(values, np.arange(45.0), 8)[constant]).all()
    assert rolling_correlation(values, 3.0 - 2.0 * values, 8)[1:17] == pytest.approx(np.full(16, -1.0), abs=1e-12)


@given(st.lists(VALUES, min_size=1, max_size=40), st.integers(1, 12))
def test_what_comes_later_changes_nothing(values: list[float], window: int) -> None:
    whole = rolling_moments(values, window)
    line = np.arange(len(values), dtype=float)
    correlation = rolling_correlation(values, line, window)
    for stop in range(1, len(values)):
        part = rolling_moments(values[:stop], window)
        np.testing.assert_array_equal(part.std, whole.std[:stop])
        np.testing.assert_array_equal(part.mean, whole.mean[:stop])
        np.testing.assert_array_equal(rolling_correlation(values[:stop], line[:stop], window), correlation[:stop])


def test_nothing_in_gives_nothing_out_and_all_missing_gives_nan() -> None:
    assert rolling_moments([], 5).std.shape == rolling_sum([], 5).shape == rolling_max([], 5).shape == (0,)
    missing = rolling_moments([NAN, NAN], 5)
    assert missing.count.tolist() == [0, 0]
    assert np.isnan([missing.mean, missing.std, rolling_sum([NAN, NAN], 5), rolling_max([NAN, NAN], 5)]).all()


def test_a_window_below_one_and_unlike_series_are_errors() -> None:
    with pytest.raises(ValueError, match="at least 1 row, got 0"):
        rolling_moments([1.0], 0)
    with pytest.raises(ValueError, match="one shape"):
        rolling_correlation([1.0], [1.0, 2.0], 2)
    with pytest.raises(ValueError, match="one-dimensional"):
        rolling_sum([[1.0]], 2)


def test_the_time_does_not_grow_with_the_window() -> None:
    values = np.random.default_rng(7).standard_normal(160_000)
    rolling_moments(values, 2)
    seconds = {}
    for window in (10, 10_000):
        laps = []
        for _ in range(5):
            start = time.perf_counter()
            rolling_moments(values, window)
            laps.append(time.perf_counter() - start)
        seconds[window] = min(laps)
    assert seconds[10_000] < 20 * seconds[10]
