"""Rank correlations from codes against SciPy, their influence values, and how often the inference is wrong."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from liqlab.core.errors import ConfigError
from liqlab.core.time import MS_PER_DAY
from liqlab.models import IcConfig, IcEstimates, Target, estimate_ic

Floats = npt.NDArray[np.float64]

START_MS = 20_000 * MS_PER_DAY
TARGET = Target("return", 300)
CONFIG = IcConfig(n_resamples=199, min_pairs=10)

_values = st.one_of(st.sampled_from([0.0, -0.0, 1.0, 2.0, math.nan]), st.floats(-1e6, 1e6))


def estimate(
    x: npt.ArrayLike, y: npt.ArrayLike, target: Target = TARGET, step_s: int = 30, config: IcConfig = CONFIG
) -> IcEstimates:
    """One feature or several (n,) or (n, k) against one label (n,), on a regular grid."""
    features = np.asarray(x, dtype=np.float64)
    features = features[:, None] if features.ndim == 1 else features
    times = START_MS + 1_000 * step_s * np.arange(len(features))
    return estimate_ic(times, features, np.asarray(y, dtype=np.float64)[:, None], (target,), config)


def overlapping_returns(random: np.random.Generator, n: int, steps: int) -> Floats:
    """Forward returns of a random walk over `steps`, from the next step on; the last are NaN."""
    price = np.cumsum(random.standard_normal(n))
    result = np.full(n, np.nan)
    result[: -steps - 1] = price[steps + 1 :] - price[1:-steps]
    return result


@settings(max_examples=60)
@given(st.lists(st.tuples(_values, _values), min_size=1, max_size=60))
def test_correlations_agree_with_scipy_on_complete_pairs_with_ties_and_signed_zeros(
    pairs: list[tuple[float, float]],
) -> None:
    x, y = np.array(pairs).T
    found = estimate(x, y)
    complete = ~(np.isnan(x) | np.isnan(y))
    left, right = x[complete] + 0.0, y[complete] + 0.0
    assert found.n_pairs[0, 0] == complete.sum()
    if complete.sum() > 1 and np.unique(left).size > 1 and np.unique(right).size > 1:
        assert found.ic[0, 0] == pytest.approx(spearmanr(left, right).statistic, abs=1e-12)
    else:
        assert math.isnan(found.ic[0, 0])


def test_each_pair_is_ranked_among_its_own_complete_rows() -> None:
    random = np.random.default_rng(4)
    features = np.where(random.random((500, 3)) < [0.0, 0.3, 0.9], np.nan, random.standard_normal((500, 3)).round(1))
    labels = np.where(random.random((500, 2)) < 0.2, np.nan, random.standard_normal((500, 2)))
    times = START_MS + 5_000 * np.arange(500)
    found = estimate_ic(times, features, labels, (Target("return", 10), Target("return", 30)), CONFIG)
    for label in range(2):
        for feature in range(3):
            complete = ~(np.isnan(features[:, feature]) | np.isnan(labels[:, label]))
            expected = spearmanr(features[complete, feature], labels[complete, label]).statistic
            assert found.ic[label, feature] == pytest.approx(expected, abs=1e-12)


def test_a_monotone_transformation_changes_nothing() -> None:
    random = np.random.default_rng(5)
    x, y = random.standard_normal(2_880), overlapping_returns(random, 2_880, 10)
    plain, bent = estimate(x, y), estimate(np.exp(x), y**3)
    for name in ("p", "ci_low", "ci_high", "p_bootstrap"):
        assert getattr(plain.inference, name) == getattr(bent.inference, name)
    mirrored = estimate(-x, y)
    assert mirrored.ic[0, 0] == pytest.approx(-plain.ic[0, 0], abs=1e-12)
    assert mirrored.inference.p[0, 0] == pytest.approx(plain.inference.p[0, 0], abs=1e-9)
    assert mirrored.inference.ci_low[0, 0] == pytest.approx(-plain.inference.ci_high[0, 0], abs=1e-9)


def test_an_interval_excludes_zero_exactly_when_its_p_is_at_most_one_in_twenty() -> None:
    random = np.random.default_rng(6)
    rejections = 0
    for _ in range(40):
        y = overlapping_returns(random, 2_880, 10)
        found = estimate(0.03 * np.nan_to_num(y) + 3.0 * random.standard_normal(2_880), y).inference
        pairs = (
            (found.p, found.ci_low, found.ci_high),
            (found.p_bootstrap, found.ci_low_bootstrap, found.ci_high_bootstrap),
        )
        for p, low, high in pairs:
            assert (p[0, 0] <= 0.05) == (not low[0, 0] <= 0.0 <= high[0, 0])
            rejections += int(p[0, 0] <= 0.05)
    assert 5 < rejections < 75


def test_intervals_hold_the_correlation_and_stay_within_one() -> None:
    random = np.random.default_rng(7)
    y = random.standard_normal(2_880)
    found = estimate(y + 0.05 * random.standard_normal(2_880), y)
    low, high = found.inference.ci_low[0, 0], found.inference.ci_high[0, 0]
    assert 0.9 < low < found.ic[0, 0] < high < 1.0
    assert found.inference.p[0, 0] < 1e-9


def test_a_silence_longer_than_the_horizon_counts_as_one_horizon() -> None:
    random = np.random.default_rng(8)
    x, y = random.standard_normal((5_760, 1)), random.standard_normal((5_760, 1))
    together = START_MS + 30_000 * np.arange(5_760)
    results = []
    for days in (1, 5):
        times = np.where(np.arange(5_760) < 2_880, together, together + days * MS_PER_DAY)
        results.append(estimate_ic(times, x, y, (TARGET,), CONFIG).inference)
    for name, values in vars(results[0]).items():
        assert values[0, 0] == getattr(results[1], name)[0, 0]
    assert results[0].n_cosines[0, 0] <= 1.05 * estimate(x[:, 0], y[:, 0]).inference.n_cosines[0, 0]


def test_too_short_for_its_horizon_is_not_tested() -> None:
    random = np.random.default_rng(9)
    found = estimate(random.standard_normal(240), random.standard_normal(240), Target("return", 3_600))
    assert not math.isnan(found.ic[0, 0])
    assert math.isnan(found.inference.p[0, 0])
    assert math.isnan(found.inference.p_bootstrap[0, 0])
    assert (found.inference.n_cosines[0, 0], found.inference.n_blocks[0, 0]) == (0, 0)


def test_perfect_agreement_has_a_correlation_of_one_and_no_interval() -> None:
    found = estimate(np.arange(2_880.0), np.arange(2_880.0) ** 3)
    assert found.ic[0, 0] == 1.0
    assert math.isnan(found.inference.p[0, 0])


def test_infinite_values_are_missing() -> None:
    random = np.random.default_rng(10)
    x, y = random.standard_normal((2, 1_000))
    x[::10], y[::7] = np.inf, -np.inf
    finite = np.isfinite(x) & np.isfinite(y)
    found = estimate(x, y)
    assert found.ic[0, 0] == pytest.approx(spearmanr(x[finite], y[finite]).statistic, abs=1e-12)
    assert found.n_pairs[0, 0] == finite.sum()


def test_times_must_ascend() -> None:
    with pytest.raises(ValueError, match="ascending"):
        estimate_ic([0, 0], np.ones((2, 1)), np.ones((2, 1)), (TARGET,), CONFIG)


@pytest.mark.parametrize("half_life_steps", [0.0, 30.0])
def test_pure_noise_with_overlap_is_rejected_about_one_time_in_twenty(half_life_steps: float) -> None:
    random = np.random.default_rng(11)
    n, phi = 2_880, 0.5 ** (1.0 / half_life_steps) if half_life_steps else 0.0
    fixed_b, bootstrap, naive = 0, 0, 0
    for _ in range(200):
        noise = random.standard_normal(n)
        x = noise.copy()
        for step in range(1, n):
            x[step] = phi * x[step - 1] + math.sqrt(1.0 - phi**2) * noise[step]
        y = overlapping_returns(random, n, 30)
        found = estimate(x, y, Target("return", 900))
        fixed_b += int(found.inference.p[0, 0] < 0.05)
        bootstrap += int(found.inference.p_bootstrap[0, 0] < 0.05)
        naive += int(abs(found.ic[0, 0]) * math.sqrt(n) > 1.96)
    assert 2 <= fixed_b <= 20
    assert 2 <= bootstrap <= 20
    # Without regard to overlap a slow feature is called significant most of the time.
    assert naive > 80 or half_life_steps == 0.0


def test_a_planted_correlation_of_one_twentieth_is_found_with_its_sign() -> None:
    random = np.random.default_rng(12)
    n = 2 * 17_280
    for sign in (1.0, -1.0):
        y = random.standard_normal(n)
        x = sign * 0.0523 * y + random.standard_normal(n)
        found = estimate(x, y, Target("return", 10), step_s=5)
        assert found.ic[0, 0] == pytest.approx(sign * 0.05, abs=0.02)
        assert found.inference.p[0, 0] < 1e-6
        assert found.inference.p_bootstrap[0, 0] <= 0.01
        assert found.inference.ci_low[0, 0] < found.ic[0, 0] < found.inference.ci_high[0, 0]


def test_the_inference_agrees_with_leaving_out_blocks_of_time() -> None:
    random = np.random.default_rng(13)
    n = 2_880
    y = random.standard_normal(n)
    x = 0.4 * y + random.standard_normal(n)
    found = estimate(x, y, Target("return", 10), config=IcConfig(n_resamples=999))
    parts = np.arange(n) // 20
    left_out = np.array([spearmanr(x[parts != part], y[parts != part]).statistic for part in range(n // 20)])
    size = left_out.size
    error = math.sqrt((size - 1) / size * ((left_out - left_out.mean()) ** 2).sum())
    width = found.inference.ci_high[0, 0] - found.inference.ci_low[0, 0]
    assert width == pytest.approx(2.0 * 1.96 * error, rel=0.2)
    assert found.inference.ci_high_bootstrap[0, 0] - found.inference.ci_low_bootstrap[0, 0] == pytest.approx(
        width, rel=0.3
    )


def test_horizons_that_are_no_label_are_refused() -> None:
    with pytest.raises(ConfigError, match="return_horizons_s"):
        IcConfig(return_horizons_s=(7,))
    with pytest.raises(ConfigError, match="at least one"):
        IcConfig(return_horizons_s=(), volatility_horizons_s=())
    with pytest.raises(ConfigError, match="n_resamples"):
        IcConfig(n_resamples=10)


def test_the_measured_rates_on_the_page_are_what_is_asked_for(repository: Path) -> None:
    page = (repository / "docs" / "ic.md").read_text(encoding="utf-8")
    block = page.split("<!-- size: begin -->")[1].split("<!-- size: end -->")[0]
    assert "2,000 tables" in block
    rows = re.findall(r"^\| ([\d,]+) \| (?:fixed-b|bootstrap) \| ([\d.]+) .*\| yes \|$", block, re.MULTILINE)
    assert len(rows) == 2 * len(IcConfig().return_horizons_s)
    for horizon, percent in rows:
        short = int(horizon.replace(",", "")) <= 900
        assert (4.0 if short else 0.0) <= float(percent) <= (6.5 if short else 7.5)
