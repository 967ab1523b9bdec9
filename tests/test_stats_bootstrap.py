"""Block resampling: against plain loops, known variances, and the rate of false alarms."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqlab.stats import bootstrap_means, choose_block_length, jackknife_t, studentised_bootstrap

Floats = npt.NDArray[np.float64]


def _autoregression(random: np.random.Generator, n: int, persistence: float) -> Floats:
    series = np.empty(n)
    series[0] = random.standard_normal() / math.sqrt(1 - persistence**2)
    for i, shock in enumerate(random.standard_normal(n - 1), 1):
        series[i] = persistence * series[i - 1] + shock
    return series


# Means of one series


@given(st.integers(1, 9), st.integers(0, 100))
def test_every_mean_is_that_of_whole_circular_blocks_cut_to_the_length(block_length: int, seed: int) -> None:
    # Powers of two tell from the sum which values were drawn, as long as each is drawn once per place.
    values = np.array([1.0, 10.0, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8])
    circle = np.concatenate([values, values])
    n_blocks, rest = divmod(9, block_length)
    whole = [circle[start : start + block_length].sum() for start in range(9)]
    last = [circle[start : start + rest].sum() for start in range(9)] if rest else [0.0]
    possible = np.array([0.0])
    for _ in range(n_blocks):
        possible = np.unique(np.add.outer(possible, whole))
    possible = np.unique(np.add.outer(possible, last))
    sums = 9.0 * bootstrap_means(values, block_length, 20, seed)
    nearest = np.abs(possible[:, None] - sums).min(axis=0)
    assert (nearest < 1e-3).all()


def test_blocks_of_one_have_the_variance_of_the_mean_of_independent_draws() -> None:
    values = np.random.default_rng(1).standard_normal(400) + 5.0
    means = bootstrap_means(values, 1, 20_000, 2)
    assert means.mean() == pytest.approx(values.mean(), abs=5 * values.std() / math.sqrt(400 * 20_000))
    assert means.std() == pytest.approx(values.std() / 20.0, rel=0.03)


def test_blocks_recover_the_variance_that_dependence_adds() -> None:
    series = _autoregression(np.random.default_rng(3), 20_000, 0.9)
    true_error = 10.0 / math.sqrt(20_000)
    assert bootstrap_means(series, 1, 2000, 4).std() < 0.3 * true_error
    assert bootstrap_means(series, 200, 2000, 4).std() == pytest.approx(true_error, rel=0.2)


def test_missing_values_hold_their_place_and_are_left_out() -> None:
    values = np.random.default_rng(5).standard_normal(300) + 100.0
    values[50:150] = np.nan
    means = bootstrap_means(values, 10, 500, 6)
    assert np.nanmin(values) < means.min() < means.max() < np.nanmax(values)
    assert means.mean() == pytest.approx(np.nanmean(values), abs=0.05)
    assert np.isnan(bootstrap_means([np.nan, np.nan], 1, 3, 0)).all()


def test_the_same_seed_gives_the_same_means_and_another_one_others() -> None:
    values = np.random.default_rng(7).standard_normal(100)
    np.testing.assert_array_equal(bootstrap_means(values, 7, 50, 1), bootstrap_means(values, 7, 50, 1))
    assert (bootstrap_means(values, 7, 50, 1) != bootstrap_means(values, 7, 50, 2)).any()


@pytest.mark.parametrize("block_length", [0, 4])
def test_a_block_longer_than_the_series_is_an_error(block_length: int) -> None:
    with pytest.raises(ValueError, match=r"must lie in \[1, 3\]"):
        bootstrap_means([1.0, 2.0, 3.0], block_length, 10, 0)


# Studentised means over blocks


def _studentised_by_hand(
    sums: Floats, counts: Floats, n_resamples: int, seed: int
) -> tuple[float, float, float, float]:
    """One column, resample by resample, with the draws of the generator in rows."""
    n_blocks = len(sums)

    def mean_and_error(drawn: npt.NDArray[np.int64]) -> tuple[float, float]:
        s, c = sums[drawn], counts[drawn]
        mean = s.sum() / c.sum()
        return mean, math.sqrt(n_blocks / (n_blocks - 1) * ((s - mean * c) ** 2).sum()) / c.sum()

    mean, error = mean_and_error(np.arange(n_blocks))
    random = np.random.default_rng(seed)
    t = []
    for _ in range(n_resamples):
        other, spread = mean_and_error(random.integers(0, n_blocks, n_blocks))
        t.append((other - mean) / spread)
    ordered = sorted(t)
    place = round(0.025 * (n_resamples + 1))
    upper, lower = ordered[-place], ordered[place - 1]
    beyond = min(sum(value >= mean / error for value in t), sum(value <= mean / error for value in t))
    return mean, mean - upper * error, mean - lower * error, min(1.0, 2 * (beyond + 1) / (n_resamples + 1))


@given(st.integers(0, 1000), st.integers(8, 30))
def test_it_agrees_with_a_loop_over_resamples(seed: int, n_blocks: int) -> None:
    random = np.random.default_rng(seed)
    counts = random.integers(1, 20, n_blocks).astype(float)
    sums = counts * (random.standard_exponential(n_blocks) - 0.5)
    result = studentised_bootstrap(sums[:, None], counts, 199, seed)
    expected = _studentised_by_hand(sums, counts, 199, seed)
    found = result.mean[0], result.ci_low[0], result.ci_high[0], result.p[0]
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_columns_share_the_draws_and_do_not_disturb_each_other() -> None:
    random = np.random.default_rng(8)
    sums = random.standard_normal((40, 7))
    counts = random.integers(1, 5, (40, 7)).astype(float)
    counts[:10, 3] = 0.0
    sums[20:25, 5] = np.nan
    together = studentised_bootstrap(sums, counts, 399, 9)
    for column in range(7):
        alone = studentised_bootstrap(sums[:, [column]], counts[:, [column]], 399, 9)
        for name in ("mean", "p", "ci_low", "ci_high", "n_blocks"):
            assert getattr(together, name)[column] == pytest.approx(getattr(alone, name)[0], rel=1e-10)
    assert together.n_blocks.tolist() == [40, 40, 40, 30, 40, 35, 40]
    copy = studentised_bootstrap(np.column_stack([sums[:, 0]] * 2), counts[:, [0, 0]], 399, 9)
    assert copy.p[0] == copy.p[1]


def test_the_interval_excludes_zero_exactly_when_p_is_at_most_five_percent() -> None:
    sums = np.random.default_rng(10).standard_normal((30, 500)) + 0.3
    result = studentised_bootstrap(sums, np.ones(30), 399, 11)
    excluded = (result.ci_low > 0.0) | (result.ci_high < 0.0)
    assert 50 < excluded.sum() < 450
    np.testing.assert_array_equal(excluded, result.p <= 0.05 + 1e-12)


def test_more_columns_than_fit_at_once_give_the_same_as_few() -> None:
    sums = np.random.default_rng(12).standard_normal((12, 600))
    many = studentised_bootstrap(sums, np.ones(12), 3999, 13)
    few = studentised_bootstrap(sums[:, 590:], np.ones(12), 3999, 13)
    assert many.p[590:] == pytest.approx(few.p, rel=1e-9)


@pytest.mark.parametrize("shape", ["normal", "skewed", "heavy"])
def test_a_mean_of_zero_is_rejected_about_one_time_in_twenty(shape: str) -> None:
    random = np.random.default_rng(14)
    size = (60, 1200)
    blocks = {
        "normal": random.standard_normal(size),
        "skewed": random.standard_exponential(size) - 1.0,
        "heavy": random.standard_t(4, size),
    }
    result = studentised_bootstrap(blocks[shape], np.ones(60), 399, 15)
    assert 0.03 <= (result.p <= 0.05).mean() <= 0.075


def test_blocks_of_twice_the_overlap_make_overlapping_noise_honest() -> None:
    random = np.random.default_rng(16)
    steps = random.standard_normal((2049, 800)).cumsum(axis=0)
    sums_of_25 = steps[25:] - steps[:-25]
    blocks = sums_of_25[:2000].reshape(40, 50, 800).sum(axis=1)
    result = studentised_bootstrap(blocks, np.full(40, 50.0), 399, 17)
    assert 0.03 <= (result.p <= 0.05).mean() <= 0.08


def test_too_few_blocks_no_spread_and_no_values_are_nan_without_a_warning() -> None:
    sums = np.random.default_rng(18).standard_normal((9, 4))
    sums[:, 1] = 0.7
    sums[:, 2] = np.nan
    sums[2:, 3] = np.nan
    result = studentised_bootstrap(sums, np.full(9, 3.0), 99, 19)
    assert np.isfinite(result.p).tolist() == [True, False, False, False]
    assert np.isfinite(result.mean).tolist() == [True, True, False, True]
    assert result.mean[1] == pytest.approx(0.7 / 3.0)
    assert np.isnan(result.ci_low[1:]).all()


def test_resamples_without_values_widen_the_interval() -> None:
    sums = np.zeros((60, 1))
    counts = np.zeros(60)
    counts[:8] = 1.0
    sums[:8, 0] = 1.0 + 0.01 * np.arange(8)
    result = studentised_bootstrap(sums, counts, 399, 20)
    assert result.n_blocks.tolist() == [8]
    assert result.ci_low[0] < 1.035 < result.ci_high[0]


def test_unlike_shapes_and_too_few_resamples_are_errors() -> None:
    with pytest.raises(ValueError, match=r"block_sums must be \(G, k\)"):
        studentised_bootstrap(np.ones((9, 2)), np.ones(8), 99, 0)
    with pytest.raises(ValueError, match="at least 39"):
        studentised_bootstrap(np.ones((9, 2)), np.ones(9), 38, 0)


# Block length


def test_longer_memory_asks_for_longer_blocks() -> None:
    random = np.random.default_rng(21)
    lengths = [choose_block_length(_autoregression(random, 4000, persistence)) for persistence in (0.0, 0.5, 0.95)]
    assert lengths[0] <= 5
    assert lengths[0] < lengths[1] < lengths[2] <= 4000 // 3


def test_a_block_length_exists_for_what_has_no_memory_to_measure() -> None:
    assert choose_block_length(np.full(100, 2.0)) == 1
    assert choose_block_length([1.0, np.nan, 3.0]) == 1
    assert choose_block_length([]) == 1
    with pytest.raises(ValueError, match="finite"):
        choose_block_length(np.append(np.arange(20.0), np.inf))


def test_a_block_length_of_a_short_series_needs_no_more_lags_than_there_are() -> None:
    random = np.random.default_rng(12)
    for n_values in (10, 11, 12):
        assert 1 <= choose_block_length(random.normal(size=n_values)) <= n_values // 3
    assert choose_block_length([1.0, *[0.0] * 11]) == 1


def test_the_jackknife_error_is_that_of_leaving_out_each_block_in_turn() -> None:
    random = np.random.default_rng(30)
    counts = random.integers(1, 30, 25).astype(np.float64)
    sums = random.standard_normal((25, 2)) * counts[:, None] + 1.0
    found = jackknife_t(sums, counts)
    for column in range(2):
        left_out = [
            np.delete(sums[:, column], block).sum() / np.delete(counts, block).sum() for block in range(len(counts))
        ]
        spread = np.sum((np.array(left_out) - sums[:, column].sum() / counts.sum()) ** 2)
        assert found.standard_error[column] == pytest.approx(np.sqrt(24.0 / 25.0 * spread))
    assert found.mean == pytest.approx(sums.sum(axis=0) / counts.sum())


def test_equal_blocks_give_the_t_test_of_their_means() -> None:
    from scipy.stats import ttest_1samp

    values = np.random.default_rng(31).standard_normal(12) + 0.4
    found, wanted = jackknife_t(values[:, None], np.ones(12)), ttest_1samp(values, 0.0)
    low, high = wanted.confidence_interval(0.95)
    assert found.p[0] == pytest.approx(wanted.pvalue)
    assert (found.ci_low[0], found.ci_high[0]) == pytest.approx((low, high))


def test_one_heavy_block_among_many_leaves_few_degrees_of_freedom() -> None:
    random = np.random.default_rng(32)
    counts = np.concatenate([[200.0], np.ones(40)])
    sums = np.sqrt(counts)[:, None] * random.standard_normal((41, 4000))
    rejected = (jackknife_t(sums, counts).p <= 0.05).mean()
    assert rejected <= 0.06


def test_the_jackknife_of_one_block_or_of_no_spread_is_nan() -> None:
    sums = np.array([[1.0, 2.0, np.nan], [np.nan, 2.0, np.nan], [np.nan, 2.0, np.nan]])
    found = jackknife_t(sums, np.ones(3))
    assert np.isnan(found.p).all()
    assert found.mean[:2].tolist() == [1.0, 2.0]
    assert np.isnan(found.mean[2])
