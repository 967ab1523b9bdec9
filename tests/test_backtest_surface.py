"""The map of a search: a plateau is called one, and so is a peak that stands alone."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqlab.backtest import SURFACE, Axis, SearchSpace, map_surface
from liqlab.core.schema import check_frame

SPACE = SearchSpace(
    (Axis("window", (1.0, 2.0, 3.0, 4.0, 5.0)), Axis("threshold", (10.0, 20.0, 30.0, 40.0))),
    (Axis("stop_frac", (0.0, 0.01, 0.02)),),
)
PLACES = list(SPACE.places())


def _scores(cube: np.ndarray) -> np.ndarray:
    return np.array([cube[place] for place in PLACES])


def test_a_peak_that_stands_alone_is_named_as_one() -> None:
    cube = np.full(SPACE.shape, -0.5)
    cube[2, 1, 1] = 3.0
    plateau = map_surface("s", SPACE, PLACES, _scores(cube)).plateau
    assert plateau.shape == "isolated peak"
    assert plateau.parameters == "window=3, threshold=20, stop_frac=0.01"
    assert (plateau.best, plateau.neighbour_mean, plateau.above_zero_frac, plateau.n_neighbours) == (3.0, -0.5, 0.0, 6)
    assert "isolated peak" in plateau.sentence


def test_a_smooth_hill_is_a_plateau() -> None:
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in SPACE.shape), indexing="ij")
    cube = 2.0 - sum(axis**2 for axis in axes)
    plateau = map_surface("s", SPACE, PLACES, _scores(cube)).plateau
    assert plateau.shape == "plateau"
    assert plateau.neighbour_ratio > 0.5
    assert plateau.above_zero_frac == 1.0


def test_a_surface_below_zero_has_no_peak_worth_a_name() -> None:
    plateau = map_surface("s", SPACE, PLACES, np.linspace(-2.0, 0.0, len(PLACES))).plateau
    assert plateau.shape == "nothing above zero"


def test_steps_along_the_size_are_no_neighbours() -> None:
    space = SearchSpace(
        (Axis("window", (1.0, 2.0, 3.0)),), (Axis("stop_frac", (0.0, 0.01, 0.02)), Axis("weight", (1.0, 2.0)))
    )
    cube = np.full(space.shape, -1.0)
    cube[1, 1] = 4.0
    plateau = map_surface("s", space, list(space.places()), cube.ravel()).plateau
    assert plateau.n_neighbours == 4
    assert plateau.shape == "isolated peak"


def test_too_few_scored_neighbours_are_not_judged() -> None:
    found = map_surface("s", SPACE, [(0, 0, 0), (0, 1, 0), (4, 3, 2)], [2.0, 1.0, 1.5])
    assert found.plateau.shape == "not testable"
    assert found.plateau.n_neighbours == 1


def test_without_a_score_there_is_an_empty_map() -> None:
    found = map_surface("s", SPACE, PLACES, np.full(len(PLACES), np.nan))
    assert found.table.is_empty()
    assert found.plateau.shape == "not testable"
    assert map_surface("s", SPACE, [], []).plateau.shape == "not testable"


@given(st.integers(0, 2**32 - 1), st.floats(0.0, 0.9))
def test_every_pair_of_parameters_is_summed_up_over_all_the_others(seed: int, missing: float) -> None:
    random = np.random.default_rng(seed)
    scores = np.where(random.random(len(PLACES)) < missing, np.nan, random.normal(size=len(PLACES)))
    if np.isnan(scores).all():
        return
    table = check_frame(map_surface("s", SPACE, PLACES, scores).table, SURFACE)
    assert table.height == 5 * 4 + 5 * 3 + 4 * 3
    combinations = [SPACE.combination(place) for place in PLACES]
    best = combinations[int(np.nanargmax(scores))]
    for row in table.iter_rows(named=True):
        fixed = {row["x"]: row["x_value"], row["y"]: row["y_value"]}
        own = [
            score
            for combination, score in zip(combinations, scores, strict=True)
            if fixed.items() <= combination.items() and not np.isnan(score)
        ]
        assert row["n"] == len(own)
        if own:
            assert row["score_mean"] == pytest.approx(np.mean(own))
            assert row["score_max"] == max(own)
            assert row["above_zero_frac"] == pytest.approx(np.mean([score > 0 for score in own]))
        at_best = scores[combinations.index({**best, **fixed})]
        assert row["score_at_best"] == (None if np.isnan(at_best) else at_best)


def test_the_pairs_are_those_of_the_axes() -> None:
    table = map_surface("s", SPACE, PLACES, np.ones(len(PLACES))).table
    pairs = table.select("x", "y").unique(maintain_order=True).rows()
    assert pairs == list(itertools.combinations([axis.name for axis in SPACE.axes], 2))
