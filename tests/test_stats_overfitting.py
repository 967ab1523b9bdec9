"""The probability of backtest overfitting: reference values, a slow definition, invariances, degenerate input."""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import linregress, rankdata

from liqlab.stats import compute_overfitting

Floats = npt.NDArray[np.float64]


def _noise(edge: float = 0.0) -> Floats:
    returns = np.random.default_rng(0).standard_normal((1000, 100))
    returns[:, 0] += edge
    return returns


@pytest.mark.parametrize(
    ("n_blocks", "n_combinations", "edge", "probability"),
    [
        (8, 70, 0.0, 0.5285714),
        (8, 70, 0.15, 0.0142857),
        (10, 252, 0.0, 0.5158730),
        (10, 252, 0.15, 0.0317460),
    ],
)
def test_the_probability_has_its_known_values(
    n_blocks: int, n_combinations: int, edge: float, probability: float
) -> None:
    found = compute_overfitting(_noise(edge), n_blocks)
    assert found.n_combinations == found.logits.size == n_combinations
    assert round(found.probability, 7) == probability


def test_the_mean_logit_has_its_known_values() -> None:
    assert round(compute_overfitting(_noise(), 8).mean_logit, 7) == -0.0738756
    assert round(compute_overfitting(_noise(0.15), 8).mean_logit, 7) == 4.3941993


def test_sixteen_blocks_make_12870_combinations() -> None:
    found = compute_overfitting(np.random.default_rng(1).standard_normal((200, 20)))
    assert (found.n_blocks, found.n_combinations, found.n_configurations) == (16, 12_870, 20)
    assert 0.0 <= found.probability <= 1.0


def _slow_sharpe(returns: Floats) -> Floats:
    return np.array([column.mean() / column.std(ddof=1) for column in returns.T])


def _slow(returns: Floats, n_blocks: int) -> tuple[list[float], list[int], list[float], list[float]]:
    blocks = np.array_split(np.arange(len(returns)), n_blocks)
    logits, chosen, inside, outside = [], [], [], []
    for half in itertools.combinations(range(n_blocks), n_blocks // 2):
        train = np.concatenate([blocks[block] for block in half])
        test = np.concatenate([blocks[block] for block in range(n_blocks) if block not in half])
        in_sample, out_of_sample = _slow_sharpe(returns[train]), _slow_sharpe(returns[test])
        best = int(in_sample.argmax())
        relative = rankdata(out_of_sample)[best] / (returns.shape[1] + 1)
        logits.append(math.log(relative / (1 - relative)))
        chosen.append(best)
        inside.append(float(in_sample[best]))
        outside.append(float(out_of_sample[best]))
    return logits, chosen, inside, outside


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([2, 4, 6, 8]), st.integers(8, 60), st.integers(2, 9))
def test_it_is_what_the_slow_definition_says(seed: int, n_blocks: int, n_periods: int, n_configurations: int) -> None:
    returns = 1e-3 * np.random.default_rng(seed).standard_normal((n_periods, n_configurations)) + 1e-3
    found = compute_overfitting(returns, n_blocks)
    logits, chosen, inside, outside = _slow(returns, n_blocks)
    np.testing.assert_allclose(found.logits, logits, atol=1e-9)
    np.testing.assert_array_equal(found.chosen, chosen)
    np.testing.assert_allclose(found.in_sample, inside, rtol=1e-9)
    np.testing.assert_allclose(found.out_of_sample, outside, rtol=1e-9, atol=1e-12)
    assert found.probability == np.mean(np.array(found.logits) <= 0.0)
    assert found.mean_logit == pytest.approx(np.mean(logits), abs=1e-9)
    assert found.loss_probability == np.mean(np.array(outside) < 0.0)
    line = linregress(inside, outside)
    assert (found.slope, found.intercept) == (pytest.approx(line.slope), pytest.approx(line.intercept))


@given(st.integers(0, 10**6), st.floats(0.01, 100.0))
def test_order_and_leverage_of_configurations_and_reversed_time_change_nothing(seed: int, leverage: float) -> None:
    random = np.random.default_rng(seed)
    returns = random.standard_normal((48, 6))
    found = compute_overfitting(returns, 6)
    order, leverages = random.permutation(6), leverage * np.arange(1.0, 7.0)
    for other in (returns[:, order], returns * leverages, returns[::-1]):
        again = compute_overfitting(other, 6)
        assert again.probability == found.probability
        assert again.mean_logit == pytest.approx(found.mean_logit)
        assert again.slope == pytest.approx(found.slope)


def test_among_noise_the_best_in_sample_gets_worse_out_of_sample() -> None:
    found = compute_overfitting(_noise(), 10)
    assert found.in_sample.mean() > 0.05
    assert abs(found.out_of_sample.mean()) < 0.03
    assert found.slope < 0.0


def test_over_many_worlds_of_noise_the_probability_is_one_half() -> None:
    random = np.random.default_rng(5)
    found = [compute_overfitting(random.standard_normal((120, 11)), 6).probability for _ in range(200)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.08)


def test_a_configuration_without_trades_has_the_ratio_zero() -> None:
    random = np.random.default_rng(2)
    losers = random.standard_normal((80, 4)) - 3.0
    found = compute_overfitting(np.column_stack([losers, np.zeros(80)]), 4)
    assert (found.chosen == 4).all()
    assert (found.in_sample == 0.0).all()
    assert found.probability == 0.0
    assert found.loss_probability == 0.0
    assert math.isnan(found.slope)


def test_a_return_that_never_changes_is_infinitely_good_or_bad() -> None:
    random = np.random.default_rng(2)
    returns = np.column_stack([random.standard_normal((80, 4)), np.full(80, 1e-9), np.full(80, -1e-9)])
    found = compute_overfitting(returns, 4)
    assert (found.chosen == 4).all()
    assert np.isposinf(found.in_sample).all()
    assert found.probability == 0.0
    assert math.isnan(found.slope)


def test_where_all_are_alike_nothing_was_chosen() -> None:
    for returns in (np.zeros((40, 5)), np.repeat(np.random.default_rng(1).standard_normal((40, 1)), 5, axis=1)):
        found = compute_overfitting(returns, 4)
        assert math.isnan(found.probability)
        assert math.isnan(found.mean_logit)
        assert math.isnan(found.loss_probability)


def test_a_large_mean_does_not_drown_the_spread() -> None:
    returns = np.random.default_rng(4).standard_normal((60, 5))
    shifted = compute_overfitting(1e6 + returns, 6)
    _, chosen, inside, _ = _slow(1e6 + returns, 6)
    np.testing.assert_array_equal(shifted.chosen, chosen)
    np.testing.assert_allclose(shifted.in_sample, inside, rtol=1e-9)


@pytest.mark.parametrize(
    ("shape", "n_blocks", "message"),
    [
        ((100, 5), 7, r"even and lie in \[2, 20\], got 7"),
        ((100, 5), 22, "got 22"),
        ((100, 5), 0, "got 0"),
        ((100, 1), 8, "at least 2 configurations"),
        ((100,), 8, r"got shape \(100,\)"),
        ((9, 5), 10, "at least 10 periods, got 9"),
        ((3, 5), 2, "at least 4 periods, got 3"),
    ],
)
def test_what_cannot_be_halved_is_refused(shape: tuple[int, ...], n_blocks: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compute_overfitting(np.ones(shape), n_blocks)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_missing_returns_are_refused(value: float) -> None:
    returns = _noise()
    returns[3, 4] = value
    with pytest.raises(ValueError, match="a period without a trade is a return of 0"):
        compute_overfitting(returns, 8)
