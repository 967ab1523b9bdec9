"""Survival with censoring against published numbers, statsmodels, definitions and simulations."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.duration.survfunc import SurvfuncRight

from liqlab.stats import (
    compare_restricted_means,
    compute_log_rank,
    compute_survival,
    restricted_mean,
    survival_quantile,
)

# Freireich et al. (1963), remission of leukaemia in weeks, treated with 6-MP; censored ones with observed = 0.
TREATED = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
TREATED_OBSERVED = [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]


def make_censored(
    random: np.random.Generator, n: int, rate: float = 1.0
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    true, limit = random.exponential(1.0 / rate, n), random.exponential(1.5, n)
    return np.minimum(true, limit), true <= limit


def test_the_published_curve_of_freireich() -> None:
    """Kalbfleisch and Prentice (1980); Cox and Oakes (1984), table 4.1."""
    curve = compute_survival(TREATED, TREATED_OBSERVED)
    assert curve.times.tolist() == [6, 7, 10, 13, 16, 22, 23]
    assert curve.n_at_risk.tolist() == [21, 17, 15, 12, 11, 7, 6]
    assert curve.survival == pytest.approx([0.8571, 0.8067, 0.7529, 0.6902, 0.6275, 0.5378, 0.4482], abs=5e-5)
    assert curve.standard_error == pytest.approx([0.0764, 0.0869, 0.0963, 0.1068, 0.1141, 0.1282, 0.1346], abs=5e-5)
    assert (curve.n_values, curve.n_censored) == (21, 12)
    assert survival_quantile(curve).estimate == 23.0
    assert survival_quantile(curve).ci_low == 13.0
    assert survival_quantile(curve).ci_high == math.inf


def test_the_published_log_rank_of_freireich() -> None:
    """Chi-square 16.79 on one degree of freedom."""
    found = compute_log_rank(TREATED + PLACEBO, TREATED_OBSERVED + [1] * 21, [0] * 21 + [1] * 21)
    assert found.statistic == pytest.approx(16.79, abs=0.005)
    assert found.p == pytest.approx(4.17e-5, rel=0.01)
    assert found.n_events == 30


CENSORED = st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=3, max_size=40).filter(
    lambda rows: any(seen for _, seen in rows)
)


@given(CENSORED)
def test_the_curve_is_that_of_statsmodels(rows: list[tuple[int, bool]]) -> None:
    durations, observed = np.array([row[0] for row in rows], float), np.array([row[1] for row in rows])
    curve = compute_survival(durations, observed)
    with np.errstate(all="ignore"):
        other = SurvfuncRight(durations, observed.astype(int))
    inside = other.surv_prob > 0.0
    assert curve.times.tolist() == other.surv_times.tolist()
    assert curve.survival == pytest.approx(other.surv_prob, abs=1e-12)
    assert curve.standard_error[inside] == pytest.approx(other.surv_prob_se[inside], abs=1e-12)


def test_the_band_and_the_interval_of_the_median_are_those_of_statsmodels() -> None:
    durations, observed = make_censored(np.random.default_rng(1), 200)
    curve, other = compute_survival(durations, observed), SurvfuncRight(durations, observed.astype(int))
    found = survival_quantile(curve, 0.5)
    assert found.estimate == other.quantile(0.5)
    with np.errstate(all="ignore"):
        assert (found.ci_low, found.ci_high) == other.quantile_ci(0.5)
    assert (curve.ci_low[:-1] < curve.survival[:-1]).all()
    assert (curve.survival < curve.ci_high).all()
    assert curve.ci_low.min() >= 0.0
    assert curve.ci_high.max() <= 1.0


def test_without_censoring_it_is_the_share_that_lasts_longer() -> None:
    durations = np.random.default_rng(2).integers(1, 9, 50).astype(float)
    curve = compute_survival(durations, np.ones(50))
    assert curve.survival == pytest.approx([(durations > time).mean() for time in curve.times])
    assert (curve.ci_low[-1], curve.ci_high[-1]) == (0.0, curve.ci_high[-2])
    assert survival_quantile(compute_survival([1.0, 2.0, 3.0, 4.0], [1, 1, 1, 1])).estimate == 2.0


def test_clusters_of_one_give_the_error_of_greenwood_and_copies_widen_it() -> None:
    durations, observed = make_censored(np.random.default_rng(3), 80)
    plain, alone = compute_survival(durations, observed), compute_survival(durations, observed, np.arange(80))
    assert alone.standard_error[:-1] == pytest.approx(plain.standard_error[:-1] * math.sqrt(80 / 79), rel=1e-9)
    copies = compute_survival(np.repeat(durations, 4), np.repeat(observed, 4), np.repeat(np.arange(80), 4))
    early = plain.times < np.quantile(durations, 0.5)
    assert copies.survival[early] == pytest.approx(plain.survival[early])
    assert copies.standard_error[early] == pytest.approx(alone.standard_error[early], rel=0.03)


def test_the_restricted_mean_without_censoring_is_a_mean() -> None:
    durations = np.random.default_rng(4).exponential(1.0, 60)
    found = restricted_mean(durations, np.ones(60), 1.5)
    cut = np.minimum(durations, 1.5)
    assert found.estimate == pytest.approx(cut.mean())
    assert found.standard_error == pytest.approx(cut.std(ddof=1) / math.sqrt(60), rel=1e-9)


def test_the_restricted_mean_of_freireich_is_the_area_under_its_curve() -> None:
    curve = compute_survival(TREATED, TREATED_OBSERVED)
    grid = (np.arange(35_000) + 0.5) / 1_000
    steps = np.concatenate([[1.0], curve.survival])[np.searchsorted(curve.times, grid, side="right")]
    found = restricted_mean(TREATED, TREATED_OBSERVED, 35.0)
    assert found.estimate == pytest.approx(steps.mean() * 35.0, rel=1e-9)
    areas = [steps[grid > time].sum() / 1_000 for time in curve.times]
    d, y = curve.n_events, curve.n_at_risk
    greenwood = sum(area**2 * events / (risk * (risk - events)) for area, events, risk in zip(areas, d, y, strict=True))
    assert found.standard_error == pytest.approx(math.sqrt(greenwood * 21 / 20), rel=1e-6)


def test_the_interval_of_the_restricted_mean_covers_under_censoring_and_clusters() -> None:
    random = np.random.default_rng(5)
    covered = 0
    truth = 4.0 / 3.0 * (1.0 - 1.5**-3)  # a gamma frailty of shape 4 and mean 1: S(t) = (1 + t / 4)^-4
    for _ in range(300):
        frailty = np.repeat(random.gamma(4.0, 0.25, 30), 6)
        true, limit = random.exponential(1.0, 180) / frailty, random.uniform(0.5, 4.0, 180)
        found = restricted_mean(np.minimum(true, limit), true <= limit, 2.0, np.repeat(np.arange(30), 6))
        covered += found.ci_low <= truth <= found.ci_high
    assert 272 <= covered <= 297


def test_two_groups_that_differ_are_told_apart_and_equal_ones_seldom() -> None:
    random = np.random.default_rng(6)
    labels, group = np.repeat(np.arange(20), 10), np.arange(200) % 2 == 0
    rejected = 0
    for _ in range(300):
        shared = np.repeat(random.gamma(4.0, 0.25, 20), 10)
        true, limit = random.exponential(1.0, 200) / shared, random.uniform(0.5, 4.0, 200)
        rejected += compare_restricted_means(np.minimum(true, limit), true <= limit, group, 2.0, labels).p < 0.05
    assert 5 <= rejected <= 28
    durations, observed = make_censored(random, 200)
    slower = compare_restricted_means(durations * np.where(group, 3.0, 1.0), observed, group, 2.0)
    assert slower.p < 0.01
    assert slower.estimate > 0.2


def test_a_difference_is_that_of_the_two_means() -> None:
    durations, observed = np.array(TREATED + PLACEBO, float), np.array(TREATED_OBSERVED + [1] * 21)
    group = np.arange(42) < 21
    found = compare_restricted_means(durations, observed, group, 20.0)
    first, second = (restricted_mean(durations[side], observed[side], 20.0) for side in (group, ~group))
    assert found.estimate == pytest.approx(first.estimate - second.estimate)
    both = math.hypot(first.standard_error, second.standard_error)
    assert found.standard_error == pytest.approx(both * math.sqrt(42 / 41 * 20 / 21), rel=1e-9)


def test_a_horizon_beyond_what_was_seen_is_unknown_unless_all_have_ended() -> None:
    assert math.isnan(restricted_mean([1.0, 2.0], [1, 0], 3.0).estimate)
    assert restricted_mean([1.0, 2.0], [1, 1], 3.0).estimate == 1.5
    assert restricted_mean([1.0, 5.0], [1, 0], 3.0).estimate == 2.0


def test_nan_goes_and_nothing_is_left_of_nothing() -> None:
    assert compute_survival([1.0, np.nan, 2.0], [1, 1, 0]).n_values == 2
    for durations, observed in (([], []), ([1.0, 2.0], [0, 0])):
        curve = compute_survival(durations, observed)
        assert curve.times.size == 0
        assert math.isnan(survival_quantile(curve).estimate)
        assert math.isnan(compute_log_rank(durations, observed, np.arange(len(durations))).p)
    assert math.isnan(restricted_mean([], [], 1.0).estimate)
    assert math.isnan(compute_log_rank([1.0, 2.0], [1, 1], [0, 0]).p)
    assert compute_survival([2.0], [1]).ci_high.tolist() == [1.0]


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="alike"):
        compute_survival([1.0], [1, 0])
    with pytest.raises(ValueError, match="negative"):
        compute_survival([-1.0], [1])
    with pytest.raises(ValueError, match="two values"):
        compute_log_rank([1.0, 2.0, 3.0], [1, 1, 1], [0, 1, 2])
    with pytest.raises(ValueError, match=r"\(0, 1\)"):
        survival_quantile(compute_survival([1.0], [1]), 1.0)
