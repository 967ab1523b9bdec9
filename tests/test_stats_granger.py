"""Granger tests: the reference numbers, nested regressions, conditions, gaps, and how often a true null is rejected."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import statsmodels.api as sm
from statsmodels.tsa.stattools import grangercausalitytests

from liqlab.core.errors import ConfigError
from liqlab.stats import COVARIANCES, GrangerConfig, compute_granger

Floats = npt.NDArray[np.float64]


def growth(name: str) -> Floats:
    return np.diff(np.log(sm.datasets.macrodata.load_pandas().data[name].to_numpy()))


def make_driven(
    random: np.random.Generator, n: int, effect: float, memory: float = 0.4
) -> tuple[Floats, Floats, Floats]:
    """`z` drives both one step later, with common bursts of variance; x drives y by `effect`."""
    z = random.standard_normal(n)
    burst = np.exp(0.3 * np.convolve(random.standard_normal(n), 0.8 ** np.arange(20), "same"))
    x, y = random.standard_normal(n) * burst, random.standard_normal(n) * burst
    for t in range(1, n):
        x[t] += memory * x[t - 1] + 0.5 * z[t - 1]
        y[t] += memory * y[t - 1] + 0.5 * z[t - 1] + effect * x[t - 1]
    return x, y, z


REFERENCE = [
    ("realgdp", "realcons", [2.8807908, 0.243097, 1.0555993, 1.3208257]),
    ("realcons", "realgdp", [28.9969709, 19.0353176, 13.5290023, 11.0070212]),
]


@pytest.mark.parametrize(("cause", "effect", "expected"), REFERENCE)
def test_the_reference_numbers(cause: str, effect: str, expected: list[float]) -> None:
    """dlog macrodata, lags 1 to 4; equal to lmtest in R."""
    for lags, statistic in enumerate(expected, start=1):
        config = GrangerConfig(lags=lags, covariance="classical")
        found = compute_granger(growth(effect), growth(cause), config=config)
        assert found.statistic == pytest.approx(statistic, abs=6e-8 if lags != 2 or statistic > 1 else 6e-7)
        assert found.degrees_of_freedom == lags
        assert found.degrees_of_freedom_residual == 202 - lags - 2 * lags - 1


def test_the_reference_p_value() -> None:
    config = GrangerConfig(lags=2, covariance="classical")
    found = compute_granger(growth("realcons"), growth("realgdp"), config=config)
    assert found.p == pytest.approx(0.7844328, abs=5e-8)
    assert found.degrees_of_freedom_residual == 195


def test_the_classical_test_is_that_of_statsmodels() -> None:
    random = np.random.default_rng(1)
    pair = random.standard_normal((120, 2)).cumsum(axis=0)
    for lags, (tests, _) in grangercausalitytests(pair, 3).items():
        found = compute_granger(pair[:, 0], pair[:, 1], config=GrangerConfig(lags=lags, covariance="classical"))
        assert (found.statistic, found.p) == pytest.approx(tests["ssr_ftest"][:2], rel=1e-8)


def test_the_conditional_test_is_that_of_nested_regressions() -> None:
    random = np.random.default_rng(2)
    x, y, z = make_driven(random, 200, 0.2)
    rows = [[1.0] + [s[t - lag] for s in (y, x, z) for lag in (1, 2)] for t in range(2, 200)]
    full = sm.OLS(y[2:], np.array(rows)).fit()
    part = sm.OLS(y[2:], np.delete(np.array(rows), [3, 4], axis=1)).fit()
    statistic, p, _ = full.compare_f_test(part)
    found = compute_granger(y, x, z, GrangerConfig(lags=2, covariance="classical"))
    assert (found.statistic, found.p) == pytest.approx((statistic, p), rel=1e-9)
    assert found.coefficients == pytest.approx(full.params[3:5], rel=1e-9)
    assert found.gain_frac == pytest.approx(1.0 - full.ssr / part.ssr, rel=1e-9)
    total = full.t_test(np.array([[0, 0, 0, 1, 1, 0, 0]]))
    assert found.coefficient_sum == pytest.approx(float(total.effect[0]), rel=1e-9)
    assert found.sum_p == pytest.approx(float(total.pvalue), rel=1e-8)
    assert (found.ci_low, found.ci_high) == pytest.approx(tuple(total.conf_int()[0]), rel=1e-8)


def test_the_robust_test_is_the_sum_over_rows() -> None:
    """One lag: the score of each row by hand, residuals without the cause."""
    x, y, z = make_driven(np.random.default_rng(3), 150, 0.0)
    others = np.column_stack([np.ones(149), y[:-1], z[:-1]])
    own = sm.OLS(x[:-1], others).fit().resid
    residuals = sm.OLS(y[1:], others).fit().resid
    variance = 149 / 146 * sum((a * e) ** 2 for a, e in zip(own, residuals, strict=True)) / (own @ own) ** 2
    slope = own @ residuals / (own @ own)
    found = compute_granger(y, x, z, GrangerConfig(lags=1, covariance="robust"))
    assert found.coefficient_sum == pytest.approx(slope)
    assert found.standard_error == pytest.approx(math.sqrt(variance))
    assert found.statistic == pytest.approx(slope**2 / variance)
    assert found.p == pytest.approx(found.sum_p)


def test_a_common_driver_is_causation_until_it_is_given() -> None:
    x, y, z = make_driven(np.random.default_rng(4), 2_000, 0.0)
    x_early = np.concatenate([x[1:], [0.0]])  # x hears of the driver one step before y does
    assert compute_granger(y, x_early, config=GrangerConfig(lags=2)).p < 0.005
    assert compute_granger(y, x_early, z, GrangerConfig(lags=2)).p > 0.05


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_a_direct_effect_is_found_with_its_sign_and_its_size(covariance: str) -> None:
    x, y, z = make_driven(np.random.default_rng(5), 1_500, -0.3)
    found = compute_granger(y, x, z, GrangerConfig(covariance=covariance))  # type: ignore[arg-type]
    assert found.p < 1e-3
    assert found.sum_p < 1e-3
    assert found.ci_high < 0.0
    assert found.coefficients[0] == pytest.approx(-0.3, abs=0.1)
    assert found.n_effective > 15
    assert compute_granger(x, y, z, GrangerConfig(covariance="cosines")).p > 0.01


def test_the_criterion_finds_the_order_and_counts_each_row_once() -> None:
    random = np.random.default_rng(6)
    y = random.standard_normal(1_500)
    for t in range(3, 1_500):
        y[t] += 0.3 * y[t - 1] + 0.4 * y[t - 3]
    found = compute_granger(y, random.standard_normal(1_500), config=GrangerConfig(max_lags=6))
    assert found.lags == 3
    assert found.n == 1_497
    rows = np.array([[1.0] + [s[t - lag] for s in (y, y[::-1]) for lag in (1, 2)] for t in range(2, 60)])
    by_hand = [
        58 * math.log(sm.OLS(y[2:60], columns).fit().ssr / 58) + columns.shape[1] * math.log(58)
        for columns in (rows[:, [0, 1, 3]], rows)
    ]
    chosen = compute_granger(y[:60], y[::-1][:60], config=GrangerConfig(max_lags=2)).lags
    assert chosen == int(np.argmin(by_hand)) + 1


def test_a_gap_drops_the_windows_that_hold_it_and_bridges_nothing() -> None:
    x, y, z = make_driven(np.random.default_rng(7), 300, 0.2)
    holed = x.copy()
    holed[100:110] = np.nan
    found = compute_granger(y, holed, z, GrangerConfig(lags=3, covariance="robust"))
    assert found.n == 297 - 13
    rows = [t for t in range(3, 300) if not 100 <= t < 113]
    table = np.array([[1.0] + [s[t - lag] for s in (y, x, z) for lag in (1, 2, 3)] for t in rows])
    assert found.coefficients == pytest.approx(sm.OLS(y[rows], table).fit().params[4:7])


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_units_and_levels_change_no_test(covariance: str) -> None:
    x, y, z = make_driven(np.random.default_rng(8), 300, 0.1)
    config = GrangerConfig(lags=2, covariance=covariance)  # type: ignore[arg-type]
    one, other = compute_granger(y, x, z, config), compute_granger(1e6 * y + 3e6, 1e-6 * x - 2.0, z + 50.0, config)
    assert other.statistic == pytest.approx(one.statistic, rel=1e-5)
    assert other.sum_p == pytest.approx(one.sum_p, rel=1e-5)


@pytest.mark.parametrize("covariance", ["robust", "newey_west", "cosines"])
def test_a_true_null_with_common_bursts_is_rejected_about_one_time_in_twenty(covariance: str) -> None:
    random = np.random.default_rng(9)
    config = GrangerConfig(lags=2, covariance=covariance)  # type: ignore[arg-type]
    joint = total = covered = 0
    for _ in range(250):
        x, y, z = make_driven(random, 400, 0.0)
        found = compute_granger(y, x, z, config)
        joint += found.p < 0.05
        total += found.sum_p < 0.05
        covered += found.ci_low <= 0.0 <= found.ci_high
    assert 2 <= joint <= 25
    assert 2 <= total <= 25
    assert covered == 250 - total


def test_with_common_bursts_the_classical_test_is_wrong() -> None:
    random = np.random.default_rng(10)
    rejected = 0
    for _ in range(150):
        x, y, z = make_driven(random, 400, 0.0)
        rejected += compute_granger(y, x, z, GrangerConfig(lags=2, covariance="classical")).p < 0.05
    assert rejected > 20


def test_rare_coincidences_show_in_the_effective_number_of_rows() -> None:
    random = np.random.default_rng(11)
    rare = [np.where(random.random(3_000) < 0.03, random.lognormal(0.0, 1.0, 3_000), 0.0) for _ in range(2)]
    assert compute_granger(*rare, config=GrangerConfig(lags=6)).n_effective < 5
    often = random.standard_normal((2, 3_000))
    assert compute_granger(often[0], often[1], config=GrangerConfig(lags=6)).n_effective > 200


@pytest.mark.parametrize(
    ("effect", "cause"),
    [
        (np.arange(10.0), np.ones(10)),
        (np.random.default_rng(1).standard_normal(100), np.ones(100)),
        (np.full(100, np.nan), np.zeros(100)),
        (np.empty(0), np.empty(0)),
    ],
)
def test_what_cannot_be_asked_is_nan(effect: Floats, cause: Floats) -> None:
    found = compute_granger(effect, cause)
    assert math.isnan(found.p)
    assert math.isnan(found.coefficient_sum)


def test_a_condition_that_is_the_cause_itself_leaves_nothing_to_test() -> None:
    random = np.random.default_rng(12)
    x = random.standard_normal(200)
    assert math.isnan(compute_granger(random.standard_normal(200), x, 2.0 * x).p)


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="same rows"):
        compute_granger([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="finite"):
        compute_granger([1.0, np.inf], [1.0, 2.0])
    with pytest.raises(ConfigError, match="covariance"):
        GrangerConfig(covariance="white")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="lags"):
        GrangerConfig(lags=0)
