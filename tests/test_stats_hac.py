"""Means of autocorrelated series: reference values, definitions spelt out, and sizes under the null."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student

from liqlab.stats import (
    choose_cosines,
    fixed_b_mean,
    fixed_b_means,
    newey_west_mean,
    newey_west_regression,
)

Floats = npt.NDArray[np.float64]


def _macrodata() -> dict[str, Floats]:
    frame = sm.datasets.macrodata.load_pandas().data
    return {str(name): frame[name].to_numpy() for name in frame.columns}


def _moving_sums(random: np.random.Generator, n_times: int, overlap: int) -> Floats:
    steps = random.standard_normal(n_times + overlap - 1)
    sums = np.concatenate([[0.0], steps.cumsum()])
    return sums[overlap:] - sums[:-overlap]


# Newey-West


@pytest.mark.parametrize(("lags", "t"), [(0, 17.39195554), (4, 9.38776045), (8, 7.47585414), (12, 6.57899994)])
def test_the_mean_of_inflation_has_the_published_t(lags: int, t: float) -> None:
    result = newey_west_mean(_macrodata()["infl"], lags)
    assert result.mean == pytest.approx(3.96133005, abs=1e-8)
    assert result.t == pytest.approx(t, abs=1e-8)
    assert result.n == 203


@pytest.mark.parametrize(
    ("small_sample", "errors"),
    [(True, [0.33125645, 0.29582348, 1.18593381]), (False, [0.32878742, 0.29361855, 1.17709443])],
)
def test_the_investment_regression_has_the_published_errors(small_sample: bool, errors: list[float]) -> None:
    data = _macrodata()
    investment, product = (400 * np.diff(np.log(data[name])) for name in ("realinv", "realgdp"))
    regressors = np.column_stack([product, data["realint"][:-1], np.ones(202)])
    fit = newey_west_regression(investment, regressors, 4, small_sample)
    assert fit.coefficients == pytest.approx([4.3742217, -0.6139970, -9.4816728], abs=5e-8)
    assert fit.standard_errors == pytest.approx(errors, abs=5e-9)
    assert fit.t == pytest.approx(fit.coefficients / fit.standard_errors, rel=1e-12)
    assert fit.n == 202


def test_the_mean_is_the_regression_on_a_constant() -> None:
    series = _moving_sums(np.random.default_rng(1), 300, 5) + 1.0
    fit = newey_west_regression(series, np.ones((300, 1)), 7, small_sample=False)
    result = newey_west_mean(series, 7)
    assert result.t == pytest.approx(fit.t[0], rel=1e-10)
    assert result.p == pytest.approx(fit.p[0], rel=1e-8)


def test_columns_that_depend_on_each_other_and_missing_rows() -> None:
    x = np.random.default_rng(2).standard_normal((40, 2))
    y = x @ [1.0, 2.0]
    singular = newey_west_regression(y, np.column_stack([x, x[:, 0]]), 2)
    assert np.isnan(singular.coefficients).all()
    y[3], x[5, 1] = np.nan, np.inf
    assert newey_west_regression(y, x, 2).n == 38


# Cosines


def _fixed_b_by_hand(values: Floats, n_cosines: int) -> tuple[float, float, float]:
    """Standard error, t and degrees of freedom from the written definition, cosine by cosine, NaN as missing."""
    rows = np.flatnonzero(~np.isnan(values))
    x = values[rows[0] : rows[-1] + 1]
    a = (~np.isnan(x)).astype(float)
    n, present = len(x), a.sum()
    deviations = np.where(a > 0, x - np.nanmean(x), 0.0)
    moments = np.sqrt(2 / n) * np.array(
        [np.cos(np.pi * j * (np.arange(n) + 0.5) / n) * a for j in range(1, n_cosines + 1)]
    )
    moments -= a * (moments.sum(axis=1) / present)[:, None]
    gram = moments @ moments.T
    error = math.sqrt(((moments @ deviations) ** 2).sum() / np.trace(gram) / present)
    return error, np.nanmean(x) / error, np.trace(gram) ** 2 / np.trace(gram @ gram)


@given(st.integers(0, 10_000), st.integers(1, 30), st.sampled_from(["none", "single", "gap", "half"]))
def test_the_mean_follows_its_definition_with_and_without_missing_times(seed: int, n_cosines: int, hole: str) -> None:
    random = np.random.default_rng(seed)
    series = random.standard_normal(80).cumsum() / 4 + 1.0
    gaps = {"none": [], "single": random.permutation(80)[:20], "gap": range(20, 50), "half": range(40)}
    series[list(gaps[hole])] = np.nan
    error, t, degrees = _fixed_b_by_hand(series, n_cosines)
    result = fixed_b_mean(series, n_cosines)
    assert result.standard_error == pytest.approx(error, rel=1e-9)
    assert result.t == pytest.approx(t, rel=1e-9)
    assert result.degrees_of_freedom == pytest.approx(degrees, rel=1e-9)
    assert result.p == pytest.approx(2 * student.sf(abs(t), degrees), rel=1e-9)
    assert result.n == (~np.isnan(series)).sum()


def test_the_interval_excludes_zero_exactly_when_p_is_below_five_percent() -> None:
    table = np.random.default_rng(3).standard_normal((60, 400)) + 0.2
    result = fixed_b_means(table, 8)
    excluded = (result.ci_low > 0.0) | (result.ci_high < 0.0)
    assert 20 < excluded.sum() < 380
    np.testing.assert_array_equal(excluded, result.p < 0.05)


def test_columns_are_tested_each_with_its_own_cosines() -> None:
    table = np.random.default_rng(4).standard_normal((100, 3))
    table[:30, 1] = np.nan
    together = fixed_b_means(table, [4, 9, 0])
    assert together[0] == fixed_b_mean(table[:, 0], 4)
    assert together[1] == fixed_b_mean(table[:, 1], 9)
    assert math.isnan(together[2].p)
    assert together[2].mean == table[:, 2].mean()


def test_missing_times_at_the_ends_do_not_count_as_time() -> None:
    series = np.random.default_rng(5).standard_normal(90)
    padded = np.concatenate([np.full(40, np.nan), series, np.full(7, np.nan)])
    assert fixed_b_mean(padded, 6) == fixed_b_mean(series, 6)
    present = np.zeros(137, bool)
    present[40:130] = True
    assert fixed_b_mean(np.nan_to_num(padded, nan=9.0), 6, present) == fixed_b_mean(series, 6)


def test_a_shift_of_the_values_shifts_the_mean_alone_and_a_scale_leaves_t() -> None:
    series = _moving_sums(np.random.default_rng(6), 500, 10)
    plain, shifted, scaled = (fixed_b_mean(values, 10) for values in (series, series + 1e3, -4.0 * series))
    assert shifted.standard_error == pytest.approx(plain.standard_error, rel=1e-9)
    assert shifted.mean == pytest.approx(plain.mean + 1e3, rel=1e-12)
    assert scaled.t == pytest.approx(-plain.t, rel=1e-12)


@pytest.mark.parametrize("values", [[], [1.0], [np.nan, np.nan], [2.0] * 50, [0.1] * 50, [1.0, np.inf, 2.0] * 9])
def test_what_cannot_be_tested_is_nan_without_a_warning(values: list[float]) -> None:
    for result in (fixed_b_mean(values, 4), newey_west_mean(values, 4)):
        assert np.isnan([result.standard_error, result.t, result.p, result.ci_low, result.ci_high]).all()


def test_as_many_cosines_as_values_cannot_be_tested() -> None:
    assert math.isnan(fixed_b_mean([1.0, 2.0, 4.0, 3.0], 4).p)
    assert fixed_b_mean([1.0, 2.0, 4.0, 3.0], 3).p > 0.0


@given(st.integers(1, 400_000), st.integers(1, 3000))
def test_cosines_stay_in_the_flat_band(n_times: int, overlap: int) -> None:
    chosen = choose_cosines(n_times, overlap)
    if chosen is None:
        assert n_times < 12 * overlap
    else:
        assert 4 <= chosen <= max(4, n_times / (4 * overlap))
        assert chosen <= max(4, 0.4 * n_times ** (2 / 3))
        assert np.sinc(chosen * overlap / (2 * n_times)) ** 2 > 0.9


def test_the_number_of_cosines_grows_with_the_time_and_falls_with_the_overlap() -> None:
    assert [choose_cosines(155_520, overlap) for overlap in (1, 12, 180, 720, 2880)] == [1156, 1156, 216, 54, 13]
    assert [choose_cosines(days * 17_280, 2880) for days in (1, 2, 9, 30)] == [None, 4, 13, 45]
    with pytest.raises(ValueError, match="at least 1 step"):
        choose_cosines(100, 0)


# Size under the null: 1,200 series give a standard error of 0.6 percentage points at 5 %.

N_SERIES = 1200


def _rejected(series: Floats, overlap: int) -> float:
    n_cosines = choose_cosines(len(series), overlap)
    assert n_cosines is not None
    return float((fixed_b_means(series, n_cosines).p < 0.05).mean())


@pytest.mark.parametrize(("n_times", "overlap"), [(600, 2), (1080, 20), (1300, 100)])
def test_overlapping_noise_is_called_significant_one_time_in_twenty(n_times: int, overlap: int) -> None:
    random = np.random.default_rng(overlap)
    series = np.column_stack([_moving_sums(random, n_times, overlap) for _ in range(N_SERIES)])
    assert 0.03 <= _rejected(series, overlap) <= 0.075
    naive = series.mean(axis=0) / (series.std(axis=0, ddof=1) / np.sqrt(n_times))
    assert (np.abs(naive) > 1.96).mean() > 0.14, "the simple t-test must fail here, or this shows nothing"


@pytest.mark.parametrize("hole", ["day in three", "every other", "first half rare"])
def test_missing_times_leave_the_size_alone(hole: str) -> None:
    random = np.random.default_rng(7)
    series = np.column_stack([_moving_sums(random, 1200, 20) for _ in range(N_SERIES)])
    rows = np.arange(1200)
    missing = {
        "day in three": rows % 300 < 100,
        "every other": rows % 2 == 0,
        "first half rare": (rows < 600) & (rows % 20 > 0),
    }
    series[missing[hole]] = np.nan
    assert 0.03 <= _rejected(series, 20) <= 0.08


def test_products_of_a_persistent_feature_and_overlapping_returns_have_the_right_size() -> None:
    random = np.random.default_rng(8)
    columns = []
    for _ in range(N_SERIES):
        feature = np.empty(1000)
        feature[0] = random.standard_normal() / np.sqrt(1 - 0.95**2)
        for i, shock in enumerate(random.standard_normal(999), 1):
            feature[i] = 0.95 * feature[i - 1] + shock
        columns.append(feature * _moving_sums(random, 1000, 15))
    assert 0.03 <= _rejected(np.column_stack(columns), 15) <= 0.075
