"""Intervals for shares, differences, ranges and forecasts of events: definitions, other libraries, and their size."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from sklearn.metrics import brier_score_loss, roc_auc_score

from liqlab.stats import (
    bootstrap_clusters,
    cluster_mean_t,
    compare_means,
    compute_auc,
    compute_brier,
    compute_range_p,
    compute_wilson,
    estimate_by_influence,
)

CASES = [(8, 10, 0.4902, 0.9433), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0)]


@pytest.mark.parametrize(("successes", "trials", "low", "high"), CASES)
def test_the_wilson_interval_has_its_known_values(successes: int, trials: int, low: float, high: float) -> None:
    assert compute_wilson(successes, trials) == (
        successes / trials,
        pytest.approx(low, abs=1e-4),
        pytest.approx(high, abs=1e-4),
    )


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_wilson_interval_is_that_of_scipy(case: tuple[int, int]) -> None:
    expected = scipy_stats.binomtest(*case).proportion_ci(method="wilson")
    _, low, high = compute_wilson(*case)
    assert (low, high) == (pytest.approx(expected.low, abs=1e-12), pytest.approx(expected.high, abs=1e-12))


def test_without_trials_there_is_no_share_and_nonsense_is_refused() -> None:
    assert compute_wilson(0, 0) == (None, None, None)
    with pytest.raises(ValueError, match=r"\[0, 3\], got 4"):
        compute_wilson(4, 3)


def test_a_difference_without_clusters_is_the_test_of_welch() -> None:
    random = np.random.default_rng(1)
    x, y = random.normal(0.3, 1.0, 400), random.normal(0.0, 2.0, 300)
    found = compare_means(x, np.arange(400), y, 400 + np.arange(300))
    welch = scipy_stats.ttest_ind(x, y, equal_var=False)
    assert found.estimate == pytest.approx(x.mean() - y.mean())
    assert found.estimate / found.standard_error == pytest.approx(welch.statistic, rel=5e-3)
    assert found.p == pytest.approx(welch.pvalue, rel=0.05)


def test_a_difference_within_shared_clusters_is_the_paired_test() -> None:
    random = np.random.default_rng(2)
    day = random.normal(0.0, 5.0, 30)
    x, y = day + random.normal(0.5, 1.0, 30), day + random.normal(0.0, 1.0, 30)
    found, paired = compare_means(x, np.arange(30), y, np.arange(30)), scipy_stats.ttest_rel(x, y)
    assert found.p == pytest.approx(paired.pvalue, rel=1e-9)
    interval = paired.confidence_interval()
    assert (found.ci_low, found.ci_high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert found.n_clusters == 30


def test_a_mean_by_influence_is_the_clustered_mean() -> None:
    random = np.random.default_rng(3)
    values, labels = random.normal(0.2, 1.0, 60), random.integers(0, 9, 60)
    expected = cluster_mean_t(values, labels)
    found = estimate_by_influence(values.mean(), (values - values.mean()) / 60, labels)
    assert found.standard_error == pytest.approx(expected.standard_error, rel=1e-12)
    shifted = estimate_by_influence(values.mean(), (values - values.mean()) / 60, labels, null=values.mean())
    assert shifted.p == pytest.approx(1.0)


def test_a_difference_leaves_nan_out_and_needs_two_clusters() -> None:
    assert compare_means([1.0, np.nan, 3.0], [0, 1, 2], [1.0], [3]).estimate == 1.0
    assert math.isnan(compare_means([], [], [1.0], [0]).estimate)
    alone = compare_means([1.0, 2.0], [0, 0], [1.0], [0])
    assert alone.estimate == 0.5
    assert math.isnan(alone.p)
    with pytest.raises(ValueError, match="alike"):
        compare_means([1.0], [0, 1], [1.0], [0])


def test_a_difference_keeps_its_size_with_dependence_inside_days_that_both_sides_share() -> None:
    random = np.random.default_rng(4)
    labels = np.repeat(np.arange(12), 10)
    rejected = 0
    for _ in range(400):
        day = np.repeat(random.standard_normal(12), 10)
        x, y = day + random.standard_normal(120), day + random.standard_normal(120)
        rejected += compare_means(x, labels, y, labels).p < 0.05
    assert 8 <= rejected <= 36


def test_the_bootstrap_of_a_ratio_is_near_the_clustered_interval_and_repeats_itself() -> None:
    random = np.random.default_rng(5)
    counts = random.integers(5, 30, 80).astype(float)
    totals = np.column_stack([counts, 0.3 * counts + random.normal(0.0, 3.0, 80)])
    found = bootstrap_clusters(totals, lambda t: t[:, 1] / t[:, 0], 4_999, seed=9)
    share = totals[:, 1].sum() / counts.sum()
    linear = estimate_by_influence(share, (totals[:, 1] - share * counts) / counts.sum(), np.arange(80))
    assert found.estimate == pytest.approx(share)
    assert found.standard_error == pytest.approx(linear.standard_error, rel=0.05)
    assert found.ci_low == pytest.approx(linear.ci_low, abs=0.25 * linear.standard_error)
    assert found.ci_high == pytest.approx(linear.ci_high, abs=0.25 * linear.standard_error)
    assert repr(found) == repr(bootstrap_clusters(totals, lambda t: t[:, 1] / t[:, 0], 4_999, seed=9))


def test_the_bootstrap_of_a_mean_of_clusters_has_the_jackknife_error() -> None:
    values = np.random.default_rng(6).exponential(1.0, 25)
    found = bootstrap_clusters(np.column_stack([np.ones(25), values]), lambda t: t[:, 1] / t[:, 0], 999, seed=1)
    assert found.standard_error == pytest.approx(values.std(ddof=1) / 5.0, rel=1e-9)


def test_interval_and_p_of_the_bootstrap_agree() -> None:
    random = np.random.default_rng(7)
    for shift in np.linspace(-0.6, 0.6, 13):
        totals = np.column_stack([np.ones(30), random.standard_normal(30) + shift])
        found = bootstrap_clusters(totals, lambda t: t[:, 1] / t[:, 0], 999, seed=3)
        assert (found.p > 0.05) == (found.ci_low <= 0.0 <= found.ci_high)


def test_the_bootstrap_covers_a_skewed_ratio_of_clusters() -> None:
    random = np.random.default_rng(8)
    covered = 0
    for trial in range(150):
        weight = random.gamma(2.0, 1.0, 30)
        totals = np.column_stack([weight, weight * random.exponential(1.0, 30)])
        found = bootstrap_clusters(totals, lambda t: t[:, 1] / t[:, 0], 999, seed=trial, null=1.0)
        covered += found.ci_low <= 1.0 <= found.ci_high
    assert 132 <= covered <= 149


def test_few_clusters_or_no_spread_give_an_estimate_alone() -> None:
    def ratio(t: np.ndarray) -> np.ndarray:
        return t[:, 1] / t[:, 0]

    few = bootstrap_clusters(np.ones((5, 2)) * np.arange(1.0, 6.0)[:, None], ratio, 999, seed=1)
    flat = bootstrap_clusters(np.ones((20, 2)), ratio, 999, seed=1)
    for found in (few, flat):
        assert found.estimate == 1.0
        assert math.isnan(found.p)
    assert math.isnan(bootstrap_clusters(np.full((3, 2), np.nan), ratio, 999, seed=1).estimate)
    with pytest.raises(ValueError, match="n_resamples"):
        bootstrap_clusters(np.ones((20, 2)), ratio, 10, seed=1)


def test_a_claim_of_a_range_is_two_one_sided_tests() -> None:
    random = np.random.default_rng(9)
    x = random.normal(-0.5, 1.0, 50)
    error = x.std(ddof=1) / math.sqrt(50)
    above = scipy_stats.ttest_1samp(x, -1.0, alternative="greater").pvalue
    below = scipy_stats.ttest_1samp(x, 0.0, alternative="less").pvalue
    assert compute_range_p(x.mean(), error, -1.0, 0.0, 49) == pytest.approx(max(above, below))
    assert compute_range_p(0.0, 1.0, 0.0, 5.0) == 0.5
    assert compute_range_p(9.0, 1.0, 0.0, 5.0) > 0.99
    assert math.isnan(compute_range_p(0.5, float("nan"), 0.0, 1.0))
    with pytest.raises(ValueError, match="low must be"):
        compute_range_p(0.5, 0.1, 1.0, 0.0)


def test_a_claim_of_a_range_on_its_border_is_accepted_at_most_one_time_in_twenty() -> None:
    random = np.random.default_rng(10)
    estimates = random.standard_t(20, 2_000) * 0.1
    accepted = sum(compute_range_p(float(value), 0.1, 0.0, 1.0, 20) < 0.05 for value in estimates)
    assert 70 <= accepted <= 130


@given(st.lists(st.tuples(st.integers(0, 10).map(lambda n: n / 10), st.integers(0, 1)), min_size=1, max_size=60))
def test_the_brier_score_is_its_parts_where_forecasts_are_equal_within_bins(pairs: list[tuple[float, int]]) -> None:
    p, o = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    found = compute_brier(p, o, n_bins=11)
    assert found.score.estimate == pytest.approx(sum((a - b) ** 2 for a, b in pairs) / len(pairs))
    if len(set(o)) == 2:
        assert found.score.estimate == pytest.approx(brier_score_loss(o, p))
    assert found.reliability - found.resolution + found.uncertainty == pytest.approx(found.score.estimate, abs=1e-12)
    assert found.n.sum() == len(pairs)


def test_the_reliability_table_says_what_happened() -> None:
    found = compute_brier([0.05, 0.05, 0.95, 1.0, np.nan], [0, 1, 1, 1, 0], n_bins=2)
    assert found.n.tolist() == [2, 2]
    assert found.mean_forecast.tolist() == pytest.approx([0.05, 0.975])
    assert found.observed_frac.tolist() == [0.5, 1.0]
    assert (found.observed_low[1], found.observed_high[1]) == pytest.approx(compute_wilson(2, 2)[1:])
    assert np.isnan(compute_brier([0.1], [0], n_bins=2).observed_frac[1])


def test_a_forecast_of_the_overall_share_has_no_skill() -> None:
    o = np.r_[np.ones(30), np.zeros(70)]
    assert compute_brier(np.full(100, 0.3), o).skill == pytest.approx(0.0)
    assert compute_brier(o, o).skill == 1.0
    clustered = compute_brier(np.full(100, 0.3), o, clusters=np.repeat(np.arange(10), 10))
    assert clustered.score.standard_error > compute_brier(np.full(100, 0.3), o).score.standard_error


def test_nothing_and_nonsense_for_the_brier_score() -> None:
    empty = compute_brier([], [])
    assert math.isnan(empty.score.estimate)
    assert math.isnan(empty.reliability)
    for p, o, message in (([1.2], [1], "probabilities"), ([0.5], [2], "0 or 1"), ([0.5, 0.5], [1], "alike")):
        with pytest.raises(ValueError, match=message):
            compute_brier(p, o)


LABELLED = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 1)), min_size=4, max_size=40).filter(
    lambda pairs: 2 <= sum(o for _, o in pairs) <= len(pairs) - 2
)


@given(LABELLED)
def test_the_area_and_its_error_are_those_over_all_pairs(pairs: list[tuple[int, int]]) -> None:
    """DeLong's structural components, pair by pair."""
    events, others = [s for s, o in pairs if o], [s for s, o in pairs if not o]
    won = {
        (i, j): (a > b) + 0.5 * (a == b) for (i, a), (j, b) in itertools.product(enumerate(events), enumerate(others))
    }
    m, n = len(events), len(others)
    of_events = [sum(won[i, j] for j in range(n)) / n for i in range(m)]
    of_others = [sum(won[i, j] for i in range(m)) / m for j in range(n)]
    variance = np.var(of_events, ddof=1) / m + np.var(of_others, ddof=1) / n
    found = compute_auc([s for s, _ in pairs], [o for _, o in pairs])
    assert found.estimate == pytest.approx(roc_auc_score([o for _, o in pairs], [s for s, _ in pairs]))
    if variance > 1e-20:
        assert found.standard_error == pytest.approx(math.sqrt(variance), rel=1e-9)
    else:
        assert math.isnan(found.standard_error)


def test_the_area_stays_within_its_range_and_agrees_with_its_p() -> None:
    random = np.random.default_rng(12)
    for shift in np.linspace(0.0, 3.0, 13):
        o = (np.arange(60) % 3 == 0).astype(float)
        found = compute_auc(random.standard_normal(60) + shift * o, o)
        assert 0.0 < found.ci_low < found.estimate < found.ci_high < 1.0
        assert (found.p > 0.05) == (found.ci_low <= 0.5 <= found.ci_high)


def test_the_area_keeps_its_size_with_clusters_and_would_not_without() -> None:
    random = np.random.default_rng(13)
    labels = np.repeat(np.arange(40), 10)
    clustered = alone = 0
    for _ in range(300):
        scores = np.repeat(random.standard_normal(40), 10) + 0.3 * random.standard_normal(400)
        o = (np.repeat(random.standard_normal(40), 10) + 0.5 * random.standard_normal(400) > 0.5).astype(float)
        clustered += compute_auc(scores, o, labels).p < 0.05
        alone += compute_auc(scores, o).p < 0.05
    assert 4 <= clustered <= 30
    assert alone > 80


def test_one_class_or_a_perfect_score_gives_no_error() -> None:
    assert math.isnan(compute_auc([1.0, 2.0], [1, 1]).estimate)
    perfect = compute_auc([1.0, 2.0, 3.0, 4.0], [0, 0, 1, 1])
    assert perfect.estimate == 1.0
    assert math.isnan(perfect.p)
    assert compute_auc([1.0, np.nan, 2.0, 0.0], [0, 0, 1, 1]).n_values == 3
