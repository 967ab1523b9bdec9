"""Quantiles, autocorrelation and group sums against second implementations."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqlab.stats import autocorrelation, group_sums, linear_quantile

FINITE = st.floats(-1e6, 1e6)


def _quantile_by_hand(values: list[float], probability: float) -> float:
    ordered = sorted(values)
    place = (len(ordered) - 1) * probability
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


@given(st.lists(FINITE, min_size=1, max_size=60), st.floats(0, 1))
def test_a_quantile_is_the_interpolated_order_statistic(values: list[float], probability: float) -> None:
    expected = _quantile_by_hand(values, probability)
    assert linear_quantile(values, probability) == pytest.approx(expected, rel=1e-9, abs=1e-6)


def test_a_quantile_leaves_nan_out_and_is_nan_without_values() -> None:
    assert linear_quantile([np.nan, 1.0, 3.0], 0.5) == 2.0
    assert math.isnan(linear_quantile([np.nan], 0.5))
    assert math.isnan(linear_quantile([], 0.5))


def test_a_probability_outside_the_unit_interval_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        linear_quantile([1.0], 1.5)


@pytest.mark.parametrize("lag", [1, 5, 60])
def test_autocorrelation_is_that_of_pandas(lag: int) -> None:
    series = np.random.default_rng(lag).standard_normal(300).cumsum()
    series[[7, 100, 101]] = np.nan
    assert autocorrelation(series, lag) == pytest.approx(pd.Series(series).autocorr(lag), rel=1e-12)


def test_autocorrelation_of_a_known_series() -> None:
    # pairs (2,1), (3,2), (1,3): means 2 and 2, cross products 0 + 0 - 1, squares 2 and 2
    assert autocorrelation([1.0, 2.0, 3.0, 1.0], 1) == pytest.approx(-0.5)


@pytest.mark.parametrize(("values", "lag"), [([], 5), ([1.0, 2.0], 1), ([1.0, 2.0], 2), ([4.0, 4.0, 4.0, 4.0], 1)])
def test_autocorrelation_is_nan_without_two_varying_pairs(values: list[float], lag: int) -> None:
    assert math.isnan(autocorrelation(values, lag))


def test_a_lag_below_one_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        autocorrelation([1.0, 2.0, 3.0], 0)


@given(st.lists(st.tuples(st.integers(0, 9), FINITE), max_size=50))
def test_group_sums_are_sums_by_group_and_always_floats(pairs: list[tuple[int, float]]) -> None:
    groups = np.array([group for group, _ in pairs], dtype=np.int64)
    sums = group_sums(groups, [value for _, value in pairs], 10)
    assert sums.dtype == np.float64
    assert sums.tolist() == [sum((value for group, value in pairs if group == wanted), 0.0) for wanted in range(10)]
