"""The Sharpe family against the published numbers, simulation and slow definitions; drawdowns against a loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from liqlab.stats import (
    Drawdown,
    calmar_ratio,
    compute_drawdowns,
    compute_moments,
    deflated_sharpe_benchmark,
    deflated_sharpe_ratio,
    expected_maximum,
    find_max_drawdown,
    minimum_backtest_length,
    minimum_track_record_length,
    probabilistic_sharpe_ratio,
    sharpe_ratio,
    sortino_ratio,
)

RETURNS = st.lists(st.floats(-0.5, 0.5, allow_subnormal=False), min_size=2, max_size=40)
STEPS = st.lists(st.integers(-3, 3), min_size=0, max_size=40)


@pytest.mark.parametrize(
    ("n_trials", "expected", "digits"),
    [(7, 1.386774, 6), (10, 1.574598, 6), (45, 2.235640, 6), (100, 2.5306028932, 10), (1000, 3.255122, 6)],
)
def test_the_expected_maximum_has_its_known_values(n_trials: int, expected: float, digits: int) -> None:
    assert round(expected_maximum(n_trials), digits) == expected


@pytest.mark.parametrize(
    ("n_trials", "expected"),
    [
        (2, 1.0 / math.sqrt(math.pi)),
        (3, 1.5 / math.sqrt(math.pi)),
        (4, 3.0 / math.sqrt(math.pi) * (0.5 + math.asin(1.0 / 3.0) / math.pi)),
        (10, 1.5387527308),
    ],
)
def test_the_exact_expected_maximum_is_that_of_order_statistics(n_trials: int, expected: float) -> None:
    assert expected_maximum(n_trials, exact=True) == pytest.approx(expected, abs=1e-10)


def test_the_exact_expected_maximum_is_that_of_many_draws() -> None:
    draws = np.random.default_rng(1).standard_normal((20_000, 45)).max(axis=1)
    assert abs(draws.mean() - expected_maximum(45, exact=True)) < 4.0 * draws.std() / math.sqrt(draws.size)


@given(st.integers(1, 10**6))
def test_more_trials_expect_more_and_the_formula_nears_the_exact_value(n_trials: int) -> None:
    assert expected_maximum(n_trials) < expected_maximum(n_trials + 1)
    exact = expected_maximum(n_trials, exact=True)
    assert expected_maximum(n_trials) == pytest.approx(exact, rel=0.08 if n_trials < 5 else 0.03)


def test_one_trial_expects_nothing_and_fewer_are_refused() -> None:
    assert expected_maximum(1) == expected_maximum(1, exact=True) == 0.0
    with pytest.raises(ValueError, match="at least 1, got 0"):
        expected_maximum(0)


def test_the_probabilistic_sharpe_ratio_has_its_known_values() -> None:
    monthly = 1.585 / math.sqrt(12)
    assert round(probabilistic_sharpe_ratio(monthly, 24, -2.448, 10.164), 12) == 0.913234306885
    assert round(probabilistic_sharpe_ratio(monthly, 24), 9) == 0.981591236


@pytest.mark.parametrize(
    ("n_trials", "skewness", "kurtosis", "benchmark", "probability"),
    [
        (100, -3.0, 10.0, 0.1131720, 0.900396834449),
        (46, -3.0, 10.0, 0.1003624, 0.950501707),
        (88, 0.0, 3.0, 0.1111458, 0.950490817),
    ],
)
def test_the_deflated_sharpe_ratio_has_its_known_values(
    n_trials: int, skewness: float, kurtosis: float, benchmark: float, probability: float
) -> None:
    assert round(deflated_sharpe_benchmark(0.5 / 250, n_trials), 7) == benchmark
    found = deflated_sharpe_ratio(2.5 / math.sqrt(250), 1250, 0.5 / 250, n_trials, skewness, kurtosis)
    assert found == pytest.approx(probability, abs=6e-10 if n_trials != 100 else 6e-13)


def test_one_trial_or_trials_that_are_alike_deflate_nothing() -> None:
    plain = probabilistic_sharpe_ratio(0.1, 250, -1.0, 6.0)
    assert deflated_sharpe_ratio(0.1, 250, 0.002, 1, -1.0, 6.0) == plain
    assert deflated_sharpe_ratio(0.1, 250, 0.0, 1000, -1.0, 6.0) == plain
    with pytest.raises(ValueError, match=r"trial_variance must be at least 0, got -0\.1"):
        deflated_sharpe_ratio(0.1, 250, -0.1, 10)


@pytest.mark.parametrize(
    ("periods", "skewness", "kurtosis", "years"),
    [(250, 0.0, 3.0, 2.731188), (52, 0.0, 3.0, 2.828834), (12, 0.0, 3.0, 3.239801), (12, -0.72, 5.78, 4.991258)],
)
def test_the_minimum_track_record_has_its_known_values(
    periods: int, skewness: float, kurtosis: float, years: float
) -> None:
    root = math.sqrt(periods)
    length = minimum_track_record_length(2.0 / root, 1.0 / root, skewness, kurtosis)
    assert round(length / periods, 6) == years


@given(st.floats(0.01, 2.0), st.floats(-1.5, 1.5), st.floats(0.0, 8.0), st.floats(0.6, 0.999))
def test_at_the_minimum_track_record_the_probability_is_the_confidence(
    sharpe: float, skewness: float, over: float, confidence: float
) -> None:
    kurtosis = 1.5 + skewness**2 + over
    length = minimum_track_record_length(sharpe, 0.0, skewness, kurtosis, confidence)
    below = probabilistic_sharpe_ratio(sharpe, max(math.floor(length), 2), skewness, kurtosis)
    above = probabilistic_sharpe_ratio(sharpe, max(math.ceil(length), 2), skewness, kurtosis)
    assert above >= confidence - 1e-9
    assert below <= confidence + 1e-9 or length < 2.0


def test_a_sharpe_ratio_not_above_the_benchmark_never_gets_there() -> None:
    assert minimum_track_record_length(0.1, 0.1) == math.inf
    assert minimum_track_record_length(-0.1) == math.inf
    assert math.isnan(minimum_track_record_length(math.nan))
    with pytest.raises(ValueError, match=r"confidence must lie in \(0\.5, 1\), got 0\.5"):
        minimum_track_record_length(0.1, confidence=0.5)


def test_the_minimum_backtest_length_has_its_known_values() -> None:
    assert round(minimum_backtest_length(45), 6) == 4.998087
    assert round(minimum_backtest_length(7), 6) == 1.923143
    assert minimum_backtest_length(45, 2.0) == pytest.approx(minimum_backtest_length(45) / 4.0)
    with pytest.raises(ValueError, match="above 0, got 0"):
        minimum_backtest_length(45, 0.0)


def test_without_skill_the_probabilistic_sharpe_ratio_exceeds_its_level_as_often_as_it_says() -> None:
    samples = np.random.default_rng(3).standard_normal((4_000, 60))
    above = [probabilistic_sharpe_ratio(sharpe_ratio(row), 60) > 0.95 for row in samples]
    assert np.mean(above) == pytest.approx(0.05, abs=4.0 * math.sqrt(0.05 * 0.95 / 4_000))


def test_sharpe_and_sortino_have_their_known_values() -> None:
    annual = [0.259, 0.198, 0.364, -0.081, 0.057, 0.055, 0.188, 0.317, 0.24, 0.184, -0.01, 0.526]
    assert round(sharpe_ratio(annual, benchmark=0.05), 6) == 0.834364
    assert round(sortino_ratio([0.17, 0.15, 0.23, -0.05, 0.12, 0.09, 0.13, -0.04]), 6) == 4.417261


@given(RETURNS, st.floats(0.1, 10.0))
def test_ratios_do_not_change_with_leverage_and_turn_with_the_sign(returns: list[float], leverage: float) -> None:
    values = np.round(returns, 4)
    sharpe, sortino = sharpe_ratio(values), sortino_ratio(values)
    assert sharpe_ratio(leverage * values) == pytest.approx(sharpe, nan_ok=True)
    assert sharpe_ratio(-values) == pytest.approx(-sharpe, nan_ok=True)
    assert sortino_ratio(leverage * values) == pytest.approx(sortino, nan_ok=True)
    assert sharpe_ratio(values, 365.0) == pytest.approx(sharpe * math.sqrt(365.0), nan_ok=True)


@given(RETURNS)
def test_moments_are_those_of_scipy(returns: list[float]) -> None:
    values = np.round(returns, 3)
    found = compute_moments(values)
    assert found.n_values == values.size
    assert found.mean == pytest.approx(values.mean())
    if np.ptp(values) == 0.0:
        assert math.isnan(found.sharpe)
        assert math.isnan(found.skewness)
        return
    assert found.deviation == pytest.approx(values.std(ddof=1))
    assert found.skewness == pytest.approx(float(scipy_stats.skew(values)), abs=1e-6)
    assert found.kurtosis == pytest.approx(float(scipy_stats.kurtosis(values, fisher=False)), rel=1e-6)
    assert 0.0 <= probabilistic_sharpe_ratio(found.sharpe, found.n_values, found.skewness, found.kurtosis) <= 1.0


@pytest.mark.parametrize("returns", [[], [0.01], [0.1] * 7, [0.0] * 9, [math.nan, 0.1], [math.nan] * 3])
def test_returns_without_spread_have_no_sharpe_ratio(returns: list[float]) -> None:
    moments = compute_moments(returns)
    assert math.isnan(moments.sharpe)
    assert math.isnan(sharpe_ratio(returns, 365.0))
    assert math.isnan(probabilistic_sharpe_ratio(moments.sharpe, moments.n_values))


def test_missing_returns_are_left_out_and_infinite_ones_are_refused() -> None:
    assert sharpe_ratio([0.1, math.nan, -0.2, 0.3]) == sharpe_ratio([0.1, -0.2, 0.3])
    assert sortino_ratio([0.1, math.nan, -0.2, 0.3]) == sortino_ratio([0.1, -0.2, 0.3])
    for ratio in (sharpe_ratio, sortino_ratio):
        with pytest.raises(ValueError, match="not infinite"):
            ratio([0.1, math.inf])


def test_without_a_loss_there_is_no_sortino_ratio() -> None:
    assert math.isnan(sortino_ratio([0.1, 0.0, 0.2]))
    assert math.isnan(sortino_ratio([]))
    assert sortino_ratio([0.1, 0.0, 0.2], target=0.05) > 0.0


def test_moments_that_no_distribution_has_are_refused() -> None:
    with pytest.raises(ValueError, match=r"skewness 2\.0 and kurtosis 3\.0"):
        probabilistic_sharpe_ratio(0.1, 100, 2.0, 3.0)
    assert probabilistic_sharpe_ratio(2.0, 9, 1.0, 2.0) == 1.0


def _slow_drawdown(equity: list[float]) -> Drawdown:
    deepest, at, longest = 0.0, (0, 0), 0
    for low in range(len(equity)):
        peak = max(range(low + 1), key=lambda place: (equity[place], place))
        depth = equity[low] / equity[peak] - 1.0
        if depth < deepest:
            deepest, at = depth, (peak, low)
        if depth < 0.0:
            after = [later for later in range(low, len(equity)) if equity[later] >= equity[peak]]
            longest = max(longest, (after[0] if after else len(equity) - 1) - peak)
    peak, low = at
    recovery = next((later for later in range(low, len(equity)) if equity[later] >= equity[peak]), None)
    return Drawdown(deepest, peak, low, recovery, longest)


@given(STEPS)
def test_the_deepest_fall_is_that_of_a_loop(steps: list[int]) -> None:
    equity = np.maximum(20 + np.cumsum([0, *steps]), 1).astype(float)
    assert find_max_drawdown(equity) == _slow_drawdown(equity.tolist())


@given(STEPS, st.floats(0.5, 100.0))
def test_drawdowns_do_not_change_with_the_currency(steps: list[int], rate: float) -> None:
    equity = np.maximum(20 + np.cumsum([0, *steps]), 1).astype(float)
    falls = compute_drawdowns(equity)
    assert (falls <= 0.0).all()
    np.testing.assert_allclose(compute_drawdowns(rate * equity), falls, atol=1e-12)


def test_a_fall_that_is_not_made_good_has_no_recovery() -> None:
    found = find_max_drawdown([100.0, 120.0, 90.0, 110.0, 115.0])
    assert found == Drawdown(depth=-0.25, peak=1, trough=2, recovery=None, longest=3)
    assert find_max_drawdown([100.0]) == find_max_drawdown([100.0, 101.0]) == Drawdown(0.0, 0, 0, 0, 0)


def test_a_lost_account_has_fallen_by_all_of_it_or_more() -> None:
    assert compute_drawdowns([100.0, -20.0]).tolist() == [0.0, -1.2]


@pytest.mark.parametrize("equity", [[0.0, 1.0], [1.0, math.nan], [[1.0, 2.0]], [-1.0]])
def test_what_is_no_equity_curve_is_refused(equity: list[float]) -> None:
    with pytest.raises(ValueError, match="begin above zero"):
        compute_drawdowns(equity)
    with pytest.raises(ValueError, match="at least one value"):
        find_max_drawdown([])


def test_the_calmar_ratio_is_return_over_depth() -> None:
    assert calmar_ratio(0.5, -0.25) == calmar_ratio(0.5, 0.25) == 2.0
    assert calmar_ratio(-0.5, -0.25) == -2.0
    assert math.isnan(calmar_ratio(0.5, 0.0))
