"""Filtered state probabilities against reference values, enumeration of all paths, and the arrow of time."""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqlab.stats import filter_states

FloatArray = npt.NDArray[np.float64]

# The weather (rainy, sunny) and what a friend does each day (walk, shop, clean).
WEATHER_START = np.array([0.6, 0.4])
WEATHER_MOVES = np.array([[0.7, 0.3], [0.4, 0.6]])
WALK_SHOP_CLEAN = np.log([[0.1, 0.6], [0.4, 0.3], [0.5, 0.1]])
# Russell and Norvig: is it raining, given the umbrella seen on days 1, 2, 4 and 5?
UMBRELLA = np.log([[0.9, 0.2], [0.9, 0.2], [0.1, 0.8], [0.9, 0.2], [0.9, 0.2]])
UMBRELLA_MOVES = np.array([[0.7, 0.3], [0.3, 0.7]])


def _enumerate(densities: FloatArray, start: FloatArray, moves: FloatArray) -> tuple[FloatArray, float]:
    """The distribution of the last state and the log likelihood, by summing over every path."""
    n, k = densities.shape
    last = np.zeros(k)
    for path in itertools.product(range(k), repeat=n):
        weight = start[path[0]]
        for before, after in itertools.pairwise(path):
            weight *= moves[before, after]
        for row, state in enumerate(path):
            if not np.isnan(densities[row]).any():
                weight *= math.exp(densities[row, state])
        last[path[-1]] += weight
    return last / last.sum(), math.log(last.sum())


def _smooth(densities: FloatArray, start: FloatArray, moves: FloatArray, row: int) -> FloatArray:
    """The distribution of the state at `row` given all observations: forward times backward."""
    forward = filter_states(densities[: row + 1], start, moves)[0][-1]
    backward = np.ones(len(start))
    for later in range(len(densities) - 1, row, -1):
        backward = moves @ (np.exp(densities[later]) * backward)
    return forward * backward / (forward @ backward)


@st.composite
def models(draw: st.DrawFn) -> tuple[FloatArray, FloatArray, FloatArray]:
    n, k = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    densities = random.normal(0.0, draw(st.sampled_from([1.0, 20.0])), (n, k))
    densities[random.random(n) < draw(st.sampled_from([0.0, 0.3]))] = np.nan
    return densities, random.dirichlet(np.ones(k)), random.dirichlet(np.ones(k), k)


def test_the_filtered_weather_is_the_reference_and_not_the_smoothed_one() -> None:
    probabilities, _ = filter_states(WALK_SHOP_CLEAN, WEATHER_START, WEATHER_MOVES)
    np.testing.assert_allclose(probabilities[:, 0], [0.2, 0.531792, 0.863977], atol=5e-7)
    smoothed = [_smooth(WALK_SHOP_CLEAN, WEATHER_START, WEATHER_MOVES, row)[0] for row in range(3)]
    np.testing.assert_allclose(smoothed, [0.231703, 0.624063, 0.863977], atol=5e-7)
    assert abs(smoothed[1] - probabilities[1, 0]) > 0.09


def test_the_umbrella_has_the_log_likelihood_and_smoothed_rain_of_the_reference() -> None:
    _, total = filter_states(UMBRELLA, [0.5, 0.5], UMBRELLA_MOVES)
    assert total == pytest.approx(-3.3725, abs=5e-5)
    smoothed = [_smooth(UMBRELLA, np.array([0.5, 0.5]), UMBRELLA_MOVES, row)[0] for row in range(5)]
    np.testing.assert_allclose(smoothed, [0.8673, 0.8204, 0.3075, 0.8204, 0.8673], atol=5e-5)


@given(models())
def test_on_every_prefix_it_agrees_with_summing_over_all_paths(
    model: tuple[FloatArray, FloatArray, FloatArray],
) -> None:
    densities, start, moves = model
    probabilities, _ = filter_states(densities, start, moves)
    for stop in range(1, len(densities) + 1):
        last, log_likelihood = _enumerate(densities[:stop], start, moves)
        np.testing.assert_allclose(probabilities[stop - 1], last, atol=1e-12)
        assert filter_states(densities[:stop], start, moves)[1] == pytest.approx(log_likelihood, abs=1e-9)


@given(models())
def test_the_answer_at_each_row_does_not_change_when_more_observations_arrive(
    model: tuple[FloatArray, FloatArray, FloatArray],
) -> None:
    densities, start, moves = model
    probabilities, _ = filter_states(densities, start, moves)
    for stop in range(len(densities) + 1):
        np.testing.assert_array_equal(filter_states(densities[:stop], start, moves)[0], probabilities[:stop])


def test_a_missing_observation_is_a_step_of_the_chain_alone() -> None:
    densities = np.vstack([WALK_SHOP_CLEAN[:1], [[np.nan, -1.0]], WALK_SHOP_CLEAN[1:]])
    probabilities, total = filter_states(densities, WEATHER_START, WEATHER_MOVES)
    np.testing.assert_allclose(probabilities[1], probabilities[0] @ WEATHER_MOVES, rtol=1e-15)
    assert total == pytest.approx(_enumerate(densities, WEATHER_START, WEATHER_MOVES)[1])
    unseen, nothing = filter_states(np.full((3, 2), np.nan), WEATHER_START, WEATHER_MOVES)
    np.testing.assert_array_equal(unseen[0], WEATHER_START)
    assert nothing == 0.0


def test_densities_far_below_the_smallest_number_do_not_underflow() -> None:
    far, total = filter_states(WALK_SHOP_CLEAN - 1e4, WEATHER_START, WEATHER_MOVES)
    near, near_total = filter_states(WALK_SHOP_CLEAN, WEATHER_START, WEATHER_MOVES)
    np.testing.assert_allclose(far, near, rtol=1e-9)
    assert total == pytest.approx(near_total - 3e4)


def test_an_impossible_observation_makes_the_whole_impossible_but_not_the_states() -> None:
    densities = np.array([[0.0, -np.inf], [-np.inf, -np.inf], [-np.inf, 0.0]])
    probabilities, total = filter_states(densities, [0.5, 0.5], WEATHER_MOVES)
    assert probabilities.tolist() == [[1.0, 0.0], [0.7, 0.3], [0.0, 1.0]]
    assert total == -np.inf
    # State 1 cannot be reached, so only state 0, which could not make the second observation, remains.
    stuck, total = filter_states([[0.0, 0.0], [-np.inf, 0.0]], [1.0, 0.0], np.eye(2))
    assert stuck.tolist() == [[1.0, 0.0], [1.0, 0.0]]
    assert total == -np.inf


def test_the_log_likelihood_is_that_of_hmmlearn() -> None:
    from hmmlearn.hmm import GaussianHMM

    values = np.random.default_rng(4).normal(size=200)
    means, stds = np.array([-0.3, 0.8]), np.array([0.7, 1.4])
    other = GaussianHMM(n_components=2, init_params="")
    other.startprob_, other.transmat_ = WEATHER_START, WEATHER_MOVES
    other.means_, other.covars_ = means[:, None], (stds**2)[:, None]
    densities = -0.5 * ((values[:, None] - means) / stds) ** 2 - np.log(stds * math.sqrt(2.0 * math.pi))
    total = filter_states(densities, WEATHER_START, WEATHER_MOVES)[1]
    assert total == pytest.approx(other.score(values[:, None]), abs=1e-9)


def test_no_observations_leave_nothing_to_say() -> None:
    probabilities, total = filter_states(np.empty((0, 2)), WEATHER_START, WEATHER_MOVES)
    assert probabilities.shape == (0, 2)
    assert total == 0.0


BAD = {
    "unlike shapes": (np.zeros((3, 3)), WEATHER_START, WEATHER_MOVES, "shapes"),
    "one row as a vector": (np.zeros(2), WEATHER_START, WEATHER_MOVES, "shapes"),
    "an infinite density": (np.array([[np.inf, 0.0]]), WEATHER_START, WEATHER_MOVES, "infinite"),
    "a start above one": (WALK_SHOP_CLEAN, [0.6, 0.6], WEATHER_MOVES, "start must"),
    "a negative start": (WALK_SHOP_CLEAN, [1.5, -0.5], WEATHER_MOVES, "start must"),
    "columns instead of rows": (WALK_SHOP_CLEAN, WEATHER_START, WEATHER_MOVES.T, "transitions must"),
    "a NaN transition": (WALK_SHOP_CLEAN, WEATHER_START, [[np.nan, 0.3], [0.4, 0.6]], "transitions must"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_model_is_an_error(case: str) -> None:
    densities, start, moves, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        filter_states(densities, start, moves)
