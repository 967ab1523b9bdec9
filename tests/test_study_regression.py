"""Least squares with influence: against other ways to the same numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st

from liqlab.study._inference import QuestionConfig, infer_from_influence, infer_mean
from liqlab.study._regression import fit_least_squares, infer_coefficient

Floats = npt.NDArray[np.float64]
FAST = QuestionConfig(n_resamples=999)
MINUTE_MS = 60_000


def draw(seed: int, n: int = 40, k: int = 3) -> tuple[Floats, Floats, Floats]:
    """A constant first, regressors that correlate, and weights between a half and two."""
    random = np.random.default_rng(seed)
    x = np.column_stack([np.ones(n), random.normal(size=(n, k - 1)) @ (np.eye(k - 1) + 0.4)])
    y = x @ np.arange(1.0, k + 1.0) + random.normal(size=n) * (1.0 + np.abs(x[:, 1]))
    return y, x, random.uniform(0.5, 2.0, n)


@given(st.integers(0, 2**32 - 1))
def test_leaving_a_row_out_changes_the_coefficients_by_its_influence(seed: int) -> None:
    y, x, weights = draw(seed)
    fit, n = fit_least_squares(y, x, weights), len(y)
    inverse = np.linalg.inv(x.T @ (weights[:, None] * x))
    for row in (0, 7, n - 1):
        rest = np.delete(np.arange(n), row)
        leverage = weights[row] * x[row] @ inverse @ x[row]
        without = fit_least_squares(y[rest], x[rest], weights[rest]).coefficients
        np.testing.assert_allclose(fit.coefficients - without, fit.influence[row] / n / (1.0 - leverage), atol=1e-9)


@given(st.integers(0, 2**32 - 1))
def test_the_squares_of_the_influence_are_the_robust_covariance(seed: int) -> None:
    y, x, weights = draw(seed)
    fit = fit_least_squares(y, x, weights)
    other = sm.WLS(y, x, weights).fit(cov_type="HC0")
    np.testing.assert_allclose(fit.coefficients, other.params, rtol=1e-9)
    np.testing.assert_allclose(fit.influence.T @ fit.influence / len(y) ** 2, other.cov_params(), rtol=1e-7)


def test_influence_has_mean_zero_and_weights_have_mean_one_and_are_those_of_the_partial_regression() -> None:
    y, x, _ = draw(1)
    fit = fit_least_squares(y, x)
    left = x[:, 2] - x[:, :2] @ np.linalg.lstsq(x[:, :2], x[:, 2], rcond=None)[0]
    np.testing.assert_allclose(fit.influence.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(fit.weights.mean(axis=0), 1.0)
    np.testing.assert_allclose(fit.weights[:, 2], left**2 / np.mean(left**2))
    assert fit.coefficients[2] == pytest.approx(left @ y / (left @ left))


def test_a_weight_of_two_is_a_row_given_twice() -> None:
    y, x, _ = draw(2)
    weights = np.where(np.arange(len(y)) < 10, 2.0, 1.0)
    twice = np.concatenate([np.arange(len(y)), np.arange(10)])
    assert fit_least_squares(y, x, weights).coefficients == pytest.approx(
        fit_least_squares(y[twice], x[twice]).coefficients
    )


def test_a_column_that_depends_on_those_before_it_is_left_out_and_changes_nothing() -> None:
    y, x, _ = draw(3)
    more = np.column_stack([x[:, 0], np.zeros(len(y)), x[:, 1], x[:, 0] - 3.0 * x[:, 1], x[:, 2]])
    fit = fit_least_squares(y, more)
    assert np.isnan(fit.coefficients).tolist() == [False, True, False, True, False]
    assert np.isnan(fit.influence).all(axis=0).tolist() == [False, True, False, True, False]
    assert fit.coefficients[[0, 2, 4]] == pytest.approx(fit_least_squares(y, x).coefficients)


def test_columns_of_very_different_size_lose_no_digits() -> None:
    y, x, _ = draw(4, n=2_000, k=4)
    scale = np.array([1.0, 1e-6, 1e7, 1.0])
    moved = x + np.array([0.0, 0.0, 0.0, 1e4])
    exact = np.linalg.lstsq(moved, y, rcond=None)[0]
    np.testing.assert_allclose(fit_least_squares(y, moved * scale).coefficients * scale, exact, rtol=1e-6)


def test_rows_with_something_missing_are_left_out() -> None:
    y, x, weights = draw(5)
    y[3], x[5, 1], weights[7], weights[9], weights[11] = np.nan, np.inf, np.nan, 0.0, -1.0
    fit = fit_least_squares(y, x, weights)
    rest = np.delete(np.arange(len(y)), [3, 5, 7, 9, 11])
    assert np.flatnonzero(fit.used).tolist() == rest.tolist()
    assert fit.coefficients == pytest.approx(fit_least_squares(y[rest], x[rest], weights[rest]).coefficients)


def test_too_few_rows_give_nothing_and_unlike_shapes_are_refused() -> None:
    y, x, _ = draw(6)
    assert np.isnan(fit_least_squares(y[:3], x[:3]).coefficients).all()
    assert fit_least_squares(np.empty(0), np.empty((0, 2))).n == 0
    with pytest.raises(ValueError, match=r"x \(n, k\)"):
        fit_least_squares(y, x[:-1])


def test_a_constant_alone_is_inferred_like_a_mean() -> None:
    random = np.random.default_rng(7)
    times, values = np.arange(2_000) * MINUTE_MS, random.normal(size=2_000)
    fit = fit_least_squares(values, np.ones((2_000, 1)))
    ours, mean = (
        infer_coefficient(fit, 0, times, MINUTE_MS, FAST),
        infer_mean(times, values, MINUTE_MS, FAST),
    )
    assert (ours.ci_low, ours.ci_high, ours.p) == pytest.approx((mean.ci_low, mean.ci_high, mean.p))
    minus = infer_coefficient(fit, 0, times, MINUTE_MS, FAST, sign=-1)
    assert (minus.estimate, minus.ci_low) == pytest.approx((-ours.estimate, -ours.ci_high))


def test_a_coefficient_that_is_not_there_is_not_inferred() -> None:
    fit = fit_least_squares(np.arange(50.0), np.column_stack([np.ones(50), np.zeros(50)]))
    assert np.isnan(infer_coefficient(fit, 1, np.arange(50), MINUTE_MS, FAST).estimate)


def test_with_weights_the_inference_is_that_of_a_ratio_of_sums() -> None:
    random = np.random.default_rng(8)
    times = np.arange(3_000) * MINUTE_MS
    below = random.uniform(0.0, 2.0, 3_000) * (times // (120 * MINUTE_MS) % 2)
    above = 3.0 * below + random.normal(size=3_000) * below
    ratio = above.sum() / below.sum()
    found = infer_from_influence(times, above - ratio * below, ratio, MINUTE_MS, FAST, null=3.0, weights=below)
    assert found.ci_low < 3.0 < found.ci_high
    assert found.ci_high - found.ci_low < 0.4
    doubled = infer_from_influence(times, 2 * (above - ratio * below), ratio, MINUTE_MS, FAST, 3.0, 2 * below)
    assert (doubled.ci_low, doubled.ci_high) == pytest.approx((found.ci_low, found.ci_high))


def test_intervals_of_a_coefficient_cover_it_when_errors_come_in_blocks() -> None:
    covered = []
    for seed in range(60):
        random = np.random.default_rng(seed)
        block = np.arange(4_800) // 60
        x = random.normal(size=80)[block] + random.normal(size=4_800)
        y = 0.5 * x + random.normal(size=80)[block] + random.normal(size=4_800)
        fit = fit_least_squares(y, np.column_stack([np.ones(4_800), x]))
        found = infer_coefficient(fit, 1, np.arange(4_800) * MINUTE_MS, MINUTE_MS, FAST)
        covered.append(found.ci_low < 0.5 < found.ci_high)
    assert sum(covered) >= 50
