"""Comparing forecasts: known winners, draws, and what cannot be compared."""

from __future__ import annotations

import math

import numpy as np
import pytest

from liqlab.stats import choose_cosines, diebold_mariano, fixed_b_mean, out_of_sample_r2


def test_the_test_is_that_of_the_mean_difference_of_the_losses() -> None:
    first, second = np.random.default_rng(1).standard_normal((2, 600)) ** 2
    result = diebold_mariano(first, second, 5)
    assert result == fixed_b_mean(first - second, choose_cosines(600, 5) or 0)
    assert diebold_mariano(second, first, 5).t == pytest.approx(-result.t)


def test_the_better_forecast_has_the_smaller_loss_and_wins() -> None:
    target, noise = np.random.default_rng(2).standard_normal((2, 2000))
    better = diebold_mariano((target - target) ** 2, (target - noise) ** 2, 1)
    assert better.mean < 0.0
    assert better.p < 1e-6


def test_equally_good_forecasts_of_overlapping_targets_are_told_apart_one_time_in_twenty() -> None:
    random = np.random.default_rng(3)
    rejected = 0
    for _ in range(600):
        steps = random.standard_normal(619).cumsum()
        target = steps[20:] - steps[:-20]
        first, second = random.standard_normal((2, 599))
        rejected += diebold_mariano((target - first) ** 2, (target - second) ** 2, 20).p < 0.05
    assert 0.02 <= rejected / 600 <= 0.085


def test_missing_losses_on_either_side_are_missing_times() -> None:
    first, second = np.random.default_rng(4).standard_normal((2, 300))
    first[10:20], second[100:130] = np.nan, np.nan
    assert diebold_mariano(first, second, 3).n == 260


def test_too_short_a_series_is_not_tested_and_says_so_with_nan() -> None:
    first, second = np.random.default_rng(5).standard_normal((2, 100))
    result = diebold_mariano(first, second, 9)
    assert math.isnan(result.p)
    assert result.n == 100
    assert math.isnan(diebold_mariano(first, first, 1).p)


def test_the_r2_is_one_minus_the_ratio_of_squared_errors() -> None:
    result = out_of_sample_r2([1.0, 2.0, 3.0], [1.0, 2.0, 2.0], [0.0, 0.0, 0.0])
    assert result.r2 == pytest.approx(1.0 - 1.0 / 14.0)
    assert result.n == 3
    assert math.isnan(result.ci_low)


def test_the_interval_holds_the_true_value_about_nineteen_times_in_twenty() -> None:
    # y = x + e with the variances 1 and 3: the forecast x has R2 = 0.25 against zero.
    random = np.random.default_rng(6)
    inside = 0
    for seed in range(200):
        x, noise = random.standard_normal((2, 400))
        y = x + math.sqrt(3.0) * noise
        result = out_of_sample_r2(y, x, np.zeros(400), n_resamples=399, seed=seed)
        inside += result.ci_low <= 0.25 <= result.ci_high
    assert 178 <= inside <= 199


def test_overlapping_targets_get_longer_blocks_and_a_wider_interval() -> None:
    random = np.random.default_rng(7)
    steps = random.standard_normal(3050).cumsum()
    y = steps[50:] - steps[:-50]
    forecast = 0.3 * y + random.standard_normal(3000)
    naive = out_of_sample_r2(random.permutation(y), forecast, np.zeros(3000))
    honest = out_of_sample_r2(y, forecast, np.zeros(3000), min_block_length=100)
    assert honest.block_length >= 100
    assert honest.ci_low < honest.r2 < honest.ci_high
    assert naive.block_length < 100


def test_values_that_are_not_finite_are_left_out_together() -> None:
    y, forecast = np.random.default_rng(8).standard_normal((2, 60))
    dirty = y.copy()
    dirty[5] = np.nan
    forecast[9] = np.inf
    result = out_of_sample_r2(dirty, forecast, np.zeros(60))
    kept = np.delete(np.arange(60), [5, 9])
    assert result == out_of_sample_r2(y[kept], forecast[kept], np.zeros(58))


def test_a_perfect_baseline_and_no_values_give_nan() -> None:
    assert math.isnan(out_of_sample_r2([1.0, 2.0], [0.0, 0.0], [1.0, 2.0]).r2)
    assert math.isnan(out_of_sample_r2([], [], []).r2)


def test_unlike_series_are_errors() -> None:
    with pytest.raises(ValueError, match="alike"):
        diebold_mariano([1.0], [1.0, 2.0], 1)
    with pytest.raises(ValueError, match="alike"):
        out_of_sample_r2([1.0], [1.0], [1.0, 2.0])
