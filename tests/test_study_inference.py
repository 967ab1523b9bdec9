"""The inference that all questions share: blocks of several lengths, the widest interval."""

from __future__ import annotations

import numpy as np
import pytest

from liqlab.core.time import MS_PER_HOUR, MS_PER_MINUTE
from liqlab.stats import jackknife_t, studentised_bootstrap
from liqlab.study._inference import QuestionConfig, infer_from_influence, infer_mean, list_lengths_ms

FAST = QuestionConfig(n_resamples=999, seed=3)
HOUR_MS = MS_PER_HOUR


def _burst_sample(random: np.random.Generator, hours: int = 216) -> tuple[np.ndarray, np.ndarray]:
    """Values in bursts of which each shares one shock: hours with none, hours with many."""
    sizes = random.geometric(0.15, hours) * (random.random(hours) < 0.5)
    times = np.repeat(np.arange(hours), sizes) * HOUR_MS + random.integers(0, HOUR_MS, sizes.sum())
    shock = np.repeat(random.standard_t(4, hours), sizes)
    return times, shock + random.standard_normal(times.size)


def test_the_interval_is_the_hull_of_all_lengths_and_both_procedures() -> None:
    times, values = _burst_sample(np.random.default_rng(1))
    found = infer_mean(times, values, MS_PER_MINUTE, FAST)
    ends, p = [], []
    for minutes in (30, 120, 360):
        _, blocks = np.unique(times // (minutes * MS_PER_MINUTE), return_inverse=True)
        sums, counts = np.bincount(blocks, values), np.bincount(blocks).astype(np.float64)
        for one in (
            jackknife_t(sums[:, None], counts),
            studentised_bootstrap(sums[:, None], counts, FAST.n_resamples, FAST.seed),
        ):
            ends.append((one.ci_low[0], one.ci_high[0]))
            p.append(one.p[0])
    assert found.ci_low == pytest.approx(min(low for low, _ in ends))
    assert found.ci_high == pytest.approx(max(high for _, high in ends))
    assert found.p == pytest.approx(max(p))
    assert found.lengths_min == (30, 120, 360)


def test_a_true_null_in_bursts_with_heavy_tails_is_rejected_no_more_than_five_times_in_a_hundred() -> None:
    random = np.random.default_rng(2)
    config = QuestionConfig(n_resamples=999)
    rejected = [infer_mean(*_burst_sample(random), MS_PER_MINUTE, config).p <= 0.05 for _ in range(200)]
    assert 0.0 < np.mean(rejected) <= 0.08


def test_p_is_against_the_null_value_and_agrees_with_the_interval() -> None:
    times, values = _burst_sample(np.random.default_rng(4))
    found = infer_mean(times, values, MS_PER_MINUTE, FAST)
    for null in (found.ci_low - 0.01, found.ci_high + 0.01):
        assert infer_mean(times, values, MS_PER_MINUTE, FAST, null).p < 0.05
    for null in (found.ci_low + 0.01, found.ci_high - 0.01, found.estimate):
        assert infer_mean(times, values, MS_PER_MINUTE, FAST, null).p > 0.05


def test_blocks_are_at_least_twice_the_horizon_and_at_most_the_longest() -> None:
    minutes = [
        [length // MS_PER_MINUTE for length in list_lengths_ms(horizon_ms, FAST)]
        for horizon_ms in (MS_PER_MINUTE, 20 * MS_PER_MINUTE, HOUR_MS, 4 * HOUR_MS)
    ]
    assert minutes == [[30, 120, 360], [60, 120, 360], [120, 360], [480]]


def test_a_length_with_too_few_blocks_is_left_out_and_the_method_says_which_were_used() -> None:
    times = np.arange(12) * HOUR_MS
    found = infer_mean(times, np.random.default_rng(5).standard_normal(12), MS_PER_MINUTE, FAST)
    assert found.lengths_min == (30,)
    assert found.n_blocks == 12
    assert "blocks of 30 min" in found.method


def test_without_resampling_only_the_jackknife_decides() -> None:
    times = np.arange(120) * HOUR_MS
    values = np.where(np.arange(120) % 40 == 0, 5.0, 0.0)
    found = infer_mean(times, values, MS_PER_MINUTE, FAST, resample=False)
    assert np.isfinite([found.ci_low, found.ci_high]).all()
    assert "bootstrap" not in found.method


def test_the_order_of_the_values_does_not_matter() -> None:
    random = np.random.default_rng(6)
    times, values = _burst_sample(random)
    order = random.permutation(times.size)
    found, other = (
        infer_mean(times, values, MS_PER_MINUTE, FAST),
        infer_mean(times[order], values[order], MS_PER_MINUTE, FAST),
    )
    assert (found.ci_low, found.ci_high, found.p) == pytest.approx((other.ci_low, other.ci_high, other.p))


def test_nothing_and_no_spread_give_no_interval() -> None:
    assert np.isnan(infer_mean([], [], MS_PER_MINUTE, FAST).p)
    flat = infer_mean(np.arange(40) * HOUR_MS, np.ones(40), MS_PER_MINUTE, FAST)
    assert flat.estimate == 1.0
    assert np.isnan([flat.ci_low, flat.ci_high, flat.p]).all()


def test_a_ratio_is_inferred_from_its_influence_and_weights() -> None:
    random = np.random.default_rng(7)
    times = np.sort(random.integers(0, 200 * HOUR_MS, 3000))
    below = random.exponential(1.0, times.size)
    above = 2.0 * below + random.standard_normal(times.size)
    estimate = above.sum() / below.sum()
    scale = below.size / below.sum()
    found = infer_from_influence(
        times, (above - estimate * below) * scale, estimate, MS_PER_MINUTE, FAST, weights=below * scale
    )
    assert found.ci_low < 2.0 < found.ci_high
    assert found.ci_high - found.ci_low < 0.2
