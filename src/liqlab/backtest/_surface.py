"""The map of a search's surface: a plateau is a finding, an isolated peak is luck."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.backtest._search_space import SearchSpace, describe
from liqlab.core.schema import COUNT, FLOAT, Column, Table

Floats = npt.NDArray[np.float64]
Place = tuple[int, ...]

#: Neighbours that must have a score before a plateau is judged.
LEAST_NEIGHBOURS = 3
#: Size hardly moves a Sharpe ratio: neighbours along it would make a plateau out of any peak.
NO_STEP_ALONG = ("weight",)
#: A best score whose neighbours keep less than this share of it, in the mean, stands alone.
KEPT_FRAC = 0.5

ISOLATED, PLATEAU, NOTHING, UNKNOWN = "isolated peak", "plateau", "nothing above zero", "not testable"

SURFACE = Table(
    "search_surface",
    "one pair of values of two parameters",
    (
        Column("strategy", pl.String(), "", "the strategy"),
        Column("x", pl.String(), "", "the first parameter"),
        Column("x_value", FLOAT, "", "its value"),
        Column("y", pl.String(), "", "the second parameter"),
        Column("y_value", FLOAT, "", "its value"),
        Column("score_at_best", FLOAT, "", "score with all other parameters as in the best; null without one"),
        Column("score_mean", FLOAT, "", "mean score over the other parameters"),
        Column("score_max", FLOAT, "", "highest score over the other parameters"),
        Column("above_zero_frac", FLOAT, "fraction", "share of the scores above zero"),
        Column("n", COUNT, "", "combinations with a score"),
    ),
)


@dataclass(frozen=True)
class Plateau:
    """How the best combination stands among its neighbours, those one step away along one parameter but the size.

    `shape` is `isolated peak` when the neighbours' mean score is below half of the best or fewer than half of them lie
    above zero, `nothing above zero` when the best does not, `not testable` with fewer than three neighbours, else
    `plateau`. `neighbour_ratio` is their mean over the best. NaN where undefined.
    """

    shape: str
    parameters: str
    best: float
    neighbour_mean: float
    neighbour_ratio: float
    above_zero_frac: float
    n_neighbours: int

    @property
    def sentence(self) -> str:
        """The same in words."""
        if self.shape == NOTHING:
            return "No combination scored above zero."
        if self.shape == UNKNOWN:
            return (
                f"The best combination has {self.n_neighbours} neighbours with a score: too few to call it a plateau."
            )
        return (
            f"The best combination is {'an' if self.shape == ISOLATED else 'on a'} {self.shape}: its "
            f"{self.n_neighbours} neighbours keep {self.neighbour_ratio:.0%} of its score in the mean, "
            f"{self.above_zero_frac:.0%} of them lie above zero."
        )


@dataclass(frozen=True)
class Surface:
    """`table` is the frame SURFACE: every pair of parameters; `plateau` says how the best stands."""

    table: pl.DataFrame
    plateau: Plateau


def map_surface(strategy: str, space: SearchSpace, places: Sequence[Place], scores: npt.ArrayLike) -> Surface:
    """The surface of the scores (m,) at places of the grid of `space`; NaN scores are combinations without one.

    Places not given are unknown, like NaN. The best is the first of equal ones in the order of the grid.
    """
    values = np.asarray(scores, dtype=np.float64)
    index = np.array(places, dtype=np.int64).reshape(len(values), len(space.axes))
    cube = np.full(space.shape, np.nan)
    cube[tuple(index.T)] = values
    if np.isnan(cube).all():
        nan = float("nan")
        return Surface(SURFACE.empty(), Plateau(UNKNOWN, "", nan, nan, nan, nan, 0))
    best = tuple(int(i) for i in np.unravel_index(int(np.nanargmax(cube)), cube.shape))
    return Surface(_map_pairs(strategy, space, cube, best), judge_plateau(space, cube, best))


def judge_plateau(space: SearchSpace, cube: Floats, best: Place) -> Plateau:
    """Compare the score at `best` with those one step away; `cube` has the shape of the space, NaN unknown."""
    around = np.array([cube[place] for place in _neighbours(space, best)], dtype=np.float64)
    around = around[~np.isnan(around)]
    top, mean, share = float(cube[best]), float("nan"), float("nan")
    if around.size:
        mean, share = float(around.mean()), float((around > 0.0).mean())
    ratio = mean / top if top > 0.0 else float("nan")
    if top <= 0.0:
        shape = NOTHING
    elif around.size < LEAST_NEIGHBOURS:
        shape = UNKNOWN
    else:
        shape = ISOLATED if ratio < KEPT_FRAC or share < 0.5 else PLATEAU
    return Plateau(shape, describe(space.combination(best)), top, mean, ratio, share, around.size)


def _neighbours(space: SearchSpace, place: Place) -> list[Place]:
    axes = [axis for axis, found in enumerate(space.axes) if found.name not in NO_STEP_ALONG]
    steps = [(axis, place[axis] + step) for axis in axes for step in (-1, 1)]
    return [(*place[:axis], i, *place[axis + 1 :]) for axis, i in steps if 0 <= i < space.shape[axis]]


def _map_pairs(strategy: str, space: SearchSpace, cube: Floats, best: Place) -> pl.DataFrame:
    rows = []
    for x, y in itertools.combinations(range(cube.ndim), 2):
        flat = np.moveaxis(cube, (x, y), (0, 1)).reshape(cube.shape[x], cube.shape[y], -1)
        for i, j in np.ndindex(flat.shape[:2]):
            scored = flat[i, j][~np.isnan(flat[i, j])]
            place = tuple(i if axis == x else j if axis == y else at for axis, at in enumerate(best))
            axes = (space.axes[x].name, space.axes[x].values[i], space.axes[y].name, space.axes[y].values[j])
            rows.append((strategy, *axes, _known(float(cube[place])), *_summary(scored), scored.size))
    return pl.DataFrame(rows, schema=SURFACE.dtypes, orient="row")


def _summary(scored: Floats) -> tuple[float | None, float | None, float | None]:
    if not scored.size:
        return None, None, None
    return float(scored.mean()), float(scored.max()), float((scored > 0.0).mean())


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value
