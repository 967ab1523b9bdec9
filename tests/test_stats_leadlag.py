"""Cross-correlations against their definition, and bands against series that have nothing to do with one another."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from liqlab.stats import CrossCorrelation, compute_cross_correlation

Floats = npt.NDArray[np.float64]


def make_autoregression(random: np.random.Generator, n: int, phi: float) -> Floats:
    return np.asarray(lfilter([1.0], [1.0, -phi], random.standard_normal(n + 500))[500:])


def correlate(x: Floats, y: Floats, max_lag: int, **options: int) -> CrossCorrelation:
    """Without the peak's interval, which most tests do not look at."""
    return compute_cross_correlation(x, y, max_lag, **{"n_resamples": 2, "block_length": 2 * max_lag + 1, **options})


VALUES = st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5), st.booleans(), st.booleans()), min_size=12, max_size=40)


@settings(max_examples=60, deadline=None)
@given(VALUES, st.integers(0, 4))
def test_the_correlations_are_those_of_the_definition(
    rows: list[tuple[float, float, bool, bool]], max_lag: int
) -> None:
    x = np.array([math.nan if gone and place % 3 == 0 else a for place, (a, _, gone, _) in enumerate(rows)])
    y = np.array([math.nan if gone and place % 4 == 0 else b for place, (_, b, _, gone) in enumerate(rows)])
    found = correlate(x, y, max_lag)
    if np.isnan(found.correlation).any():
        assert np.isnan(found.correlation).all()
        return
    for lag, correlation, n_pairs in zip(found.lags, found.correlation, found.n_pairs, strict=True):
        pairs = [
            (x[t] - np.nanmean(x)) * (y[t + lag] - np.nanmean(y))
            for t in range(len(x))
            if 0 <= t + lag < len(y) and not math.isnan(x[t] + y[t + lag])
        ]
        assert n_pairs == len(pairs)
        assert correlation == pytest.approx(np.mean(pairs) / (np.nanstd(x) * np.nanstd(y)), rel=1e-6, abs=1e-9)


def test_a_positive_lag_says_that_x_comes_first() -> None:
    random = np.random.default_rng(1)
    x = random.standard_normal(3_000)
    y = np.concatenate([np.zeros(3), 0.3 * x[:-3]]) + random.standard_normal(3_000)
    found = compute_cross_correlation(x, y, 10, n_resamples=999)
    assert found.peak_lag == 3
    assert (found.peak_low, found.peak_high) == (3.0, 3.0)
    assert found.peak_frac > 0.99
    assert found.p == 1.0 / found.n_shifts
    assert found.peak_correlation > 3.0 * found.band
    mirrored = compute_cross_correlation(y, x, 10, n_resamples=999)
    assert mirrored.peak_lag == -3
    assert mirrored.correlation == pytest.approx(found.correlation[::-1])


def test_lag_zero_is_the_correlation_of_pearson() -> None:
    x, y = np.random.default_rng(2).standard_normal((2, 200))
    assert correlate(x, y, 0).correlation[0] == pytest.approx(np.corrcoef(x, y)[0, 1])


@pytest.mark.parametrize(("phi", "n", "max_lag"), [(0.95, 2_000, 10), (0.95, 1_000, 20), (0.0, 1_000, 5)])
def test_independent_series_leave_the_simultaneous_band_one_time_in_twenty(phi: float, n: int, max_lag: int) -> None:
    """1,000 pairs each gave 4.4, 4.2 and, at phi .5, 4.4 %."""
    random = np.random.default_rng(3)
    beyond = significant = 0
    for _ in range(300):
        found = correlate(make_autoregression(random, n, phi), make_autoregression(random, n, phi), max_lag)
        beyond += np.abs(found.correlation).max() > found.band
        significant += found.p <= 0.05
    assert beyond == significant
    assert 4 <= beyond <= 28


def test_the_band_of_bartlett_holds_for_one_lag_where_that_of_white_noise_does_not() -> None:
    random = np.random.default_rng(4)
    bartlett = white = 0
    for _ in range(300):
        found = correlate(make_autoregression(random, 1_500, 0.9), make_autoregression(random, 1_500, 0.9), 2)
        bartlett += abs(found.correlation[2]) > found.pointwise_band
        white += abs(found.correlation[2]) > 1.96 / math.sqrt(1_500)
    assert 5 <= bartlett <= 32
    assert white > 100


def test_the_band_of_bartlett_is_near_its_formula() -> None:
    """Two autoregressions: the sum over h of phi^(2 |h|) is (1 + phi^2) / (1 - phi^2)."""
    random = np.random.default_rng(5)
    found = correlate(make_autoregression(random, 100_000, 0.8), make_autoregression(random, 100_000, 0.8), 1)
    assert found.pointwise_band == pytest.approx(1.96 * math.sqrt(1.64 / 0.36 / 100_000), rel=0.05)
    white = correlate(random.standard_normal(10_000), random.standard_normal(10_000), 1)
    assert white.pointwise_band == pytest.approx(1.96 / 100.0, rel=0.02)


def test_the_maxima_of_turned_series_are_those_of_rolled_ones() -> None:
    """With complete series the band is the order statistic over rolls, one by one."""
    random = np.random.default_rng(6)
    x, y = random.standard_normal((2, 210))
    found = correlate(x, y, 2)
    largest = []
    for window in range(1, 42):
        rolls = [abs(np.corrcoef(x, np.roll(y, -turn))[0, 1]) for turn in range(5 * window - 2, 5 * window + 3)]
        largest.append(max(rolls))
    assert found.n_shifts == 42
    assert found.band == pytest.approx(sorted(largest)[-2])
    assert found.p == pytest.approx((1 + sum(value >= abs(found.peak_correlation) for value in largest)) / 42)


def test_gaps_keep_the_size() -> None:
    random = np.random.default_rng(7)
    beyond = 0
    for _ in range(200):
        x, y = make_autoregression(random, 1_200, 0.9), make_autoregression(random, 1_200, 0.9)
        x[300:420] = np.nan
        y[random.random(1_200) < 0.1] = np.nan
        beyond += correlate(x, y, 8).p <= 0.05
    assert 2 <= beyond <= 20


def test_the_interval_of_the_peak_is_wide_where_there_is_none() -> None:
    random = np.random.default_rng(8)
    found = compute_cross_correlation(random.standard_normal(2_000), random.standard_normal(2_000), 10, n_resamples=999)
    assert found.peak_high - found.peak_low > 5.0
    assert found.peak_frac < 0.9


def test_the_interval_of_the_peak_covers_the_true_lag() -> None:
    random = np.random.default_rng(9)
    covered = 0
    for trial in range(60):
        x = make_autoregression(random, 1_500, 0.7)
        y = np.concatenate([np.zeros(4), 0.25 * x[:-4]]) + make_autoregression(random, 1_500, 0.7)
        found = compute_cross_correlation(x, y, 12, n_resamples=499, seed=trial, block_length=50)
        covered += found.peak_low <= 4.0 <= found.peak_high
    assert covered >= 52


def test_the_same_seed_gives_the_same_answer() -> None:
    x, y = np.random.default_rng(10).standard_normal((2, 500))
    one, other = (compute_cross_correlation(x, y, 5, n_resamples=99, seed=2) for _ in range(2))
    assert repr(one) == repr(other)


def test_units_change_nothing() -> None:
    x, y = np.random.default_rng(11).standard_normal((2, 400))
    one, other = correlate(x, y, 4), correlate(1e6 * x + 5e5, 1e-3 * y, 4)
    assert other.correlation == pytest.approx(one.correlation)
    assert (other.band, other.p, other.peak_lag) == (pytest.approx(one.band), one.p, one.peak_lag)


def test_tiny_and_huge_values_are_values() -> None:
    x, y = np.random.default_rng(13).standard_normal((2, 100))
    one, other = correlate(x, y, 2), correlate(1e-200 * x, 1e200 * y, 2)
    assert other.correlation == pytest.approx(one.correlation)


@pytest.mark.parametrize(
    ("x", "y"), [([], []), ([1.0, 2.0], [1.0, 2.0]), ([1.0] * 30, list(range(30))), ([math.nan] * 30, list(range(30)))]
)
def test_without_spread_or_pairs_everything_is_nan(x: list[float], y: list[float]) -> None:
    found = compute_cross_correlation(x, y, 3)
    assert np.isnan(found.correlation).all()
    assert math.isnan(found.p)
    assert found.peak_lag is None


def test_a_short_series_has_correlations_but_no_band() -> None:
    x, y = np.random.default_rng(12).standard_normal((2, 60))
    found = compute_cross_correlation(x, y, 5, n_resamples=99)
    assert np.isfinite(found.correlation).all()
    assert math.isnan(found.band)
    assert math.isnan(found.p)
    assert math.isnan(found.peak_low)


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        compute_cross_correlation([1.0, 2.0], [1.0], 1)
    with pytest.raises(ValueError, match="max_lag"):
        compute_cross_correlation([1.0, 2.0], [1.0, 2.0], -1)
    with pytest.raises(ValueError, match="one-dimensional"):
        compute_cross_correlation(np.ones((2, 2)), np.ones((2, 2)), 1)
