"""The models that are compared: a catalogue, and how each kind learns.

A model of kind `linear` or `trees` sees scaled columns (`ColumnScaler`) and forecasts a scaled label (`TargetScale`).
One model serves all symbols: columns and labels are scaled within each, so that what differs between symbols is level
and spread, not the relation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from liqlab.core.errors import unknown_name
from liqlab.models._ic_config import RETURN, Target
from liqlab.models._walk_forward_sample import Sample
from liqlab.models._walk_forward_scaling import ColumnScaler, MissingColumns

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class RidgeParameters:
    """Penalty of the squared coefficients, per training row."""

    penalty: float

    def __str__(self) -> str:
        return f"penalty={self.penalty:g}"


@dataclass(frozen=True)
class TreeParameters:
    """Depth and number of boosted trees."""

    depth: int
    trees: int

    def __str__(self) -> str:
        return f"depth={self.depth} trees={self.trees}"


Parameters = RidgeParameters | TreeParameters


@dataclass(frozen=True)
class Model:
    """One entry of the catalogue.

    `columns` says what it sees: nothing, the price and clock columns of the heterogeneous autoregression, everything,
    or everything but what holds liquidations. `grid` are the parameters to choose among, in order of preference.
    """

    name: str
    kind: Literal["zero", "mean", "linear", "trees"]
    columns: Literal["none", "base", "all", "without liquidations"]
    targets: tuple[str, ...]
    grid: tuple[Parameters, ...]
    meaning: str


_BOTH = ("return", "volatility")
_RIDGE_GRID = tuple(RidgeParameters(penalty) for penalty in (1.0, 0.1, 10.0, 0.01, 100.0))
_TREE_GRID = tuple(TreeParameters(3, trees) for trees in (20, 50, 80))
#: Small enough to change nothing, large enough that collinear columns have one solution.
_LEAST_SQUARES = (RidgeParameters(1e-6),)

WITHOUT = "_without_liquidations"
MODELS = (
    Model("zero", "zero", "none", ("return",), (), "no return"),
    Model("mean", "mean", "none", _BOTH, (), "mean label of the symbol in training"),
    Model("har", "linear", "base", ("volatility",), _LEAST_SQUARES, "least squares on past volatility, range and hour"),
    Model("ridge", "linear", "all", _BOTH, _RIDGE_GRID, "ridge regression on all columns"),
    Model(f"ridge{WITHOUT}", "linear", "without liquidations", _BOTH, _RIDGE_GRID, "ridge, no liquidation columns"),
    Model("xgboost", "trees", "all", _BOTH, _TREE_GRID, "gradient boosted trees on all columns"),
    Model(f"xgboost{WITHOUT}", "trees", "without liquidations", _BOTH, _TREE_GRID, "trees, no liquidation columns"),
)


def choose_models(names: Sequence[str] | None) -> tuple[Model, ...]:
    """The models of these names in the order of the catalogue, all for None; `UserError` for an unknown one."""
    known = [model.name for model in MODELS]
    for name in names or ():
        if name not in known:
            raise unknown_name("model", name, known)
    return tuple(model for model in MODELS if names is None or model.name in names)


def model_columns(model: Model, target: Target, sample: Sample, usable: Mask) -> Integers:
    """Places of the usable columns that a model sees; none for the autoregression when no past volatility is usable.

    Models of returns do not see the columns made for volatility: those have a level to explain, not a direction.
    """
    past = [usable[place] for place, name in enumerate(sample.columns) if name.startswith("log_realised_volatility")]
    if model.columns == "base" and not any(past):
        return np.empty(0, dtype=np.int64)
    seen = {
        "none": np.zeros(usable.size, dtype=bool),
        "base": sample.base,
        "all": np.ones(usable.size, dtype=bool),
        "without liquidations": ~sample.with_liquidations,
    }[model.columns]
    if target.kind == RETURN:
        seen = seen & ~sample.base
    return np.flatnonzero(seen & usable)


class Design(Protocol):
    """Turns scaled columns into what a kind of model takes."""

    def matrix(self, scaled: Floats, codes: Integers) -> NDArray[Any]:
        """(n, k) scaled values of the symbols (n,) to the model's matrix."""


class Forecaster(Protocol):
    """A fitted model."""

    def predict(self, matrix: NDArray[Any]) -> Floats:
        """Forecasts (n,), on the model's scale; each depends on its own row only, to the last bit."""


@dataclass(frozen=True)
class LinearDesign:
    """Chosen columns imputed with training medians, then one column per pattern of absence."""

    columns: Integers
    scaler: ColumnScaler
    missing: MissingColumns

    def matrix(self, scaled: Floats, codes: Integers) -> NDArray[Any]:
        """(n, columns + patterns)."""
        imputed = self.scaler.impute(scaled, codes)[:, self.columns]
        return np.ascontiguousarray(np.hstack([imputed, self.missing.transform(scaled[:, self.columns])]))


@dataclass(frozen=True)
class TreeDesign:
    """Chosen columns, missing values left to the trees."""

    columns: Integers

    def matrix(self, scaled: Floats, codes: Integers) -> NDArray[Any]:
        """(n, columns) in single precision."""
        del codes
        return np.ascontiguousarray(scaled[:, self.columns], dtype=np.float32)


def make_design(model: Model, columns: Integers, scaler: ColumnScaler, scaled: Floats) -> Design:
    """The design of a model on its columns, learned from the scaled training rows."""
    if model.kind == "trees":
        return TreeDesign(columns)
    return LinearDesign(columns, scaler, MissingColumns.fit(scaled[:, columns]))


def fit_forecasters(
    grid: Sequence[Parameters], matrix: NDArray[Any], target: Floats, seed: int
) -> list[tuple[Parameters, Forecaster]]:
    """One fitted model per entry of `grid`, of one kind; forecasts are confined to the range of `target` (n,)."""
    bounds = float(target.min()), float(target.max())
    ridges = [parameters for parameters in grid if isinstance(parameters, RidgeParameters)]
    trees = [parameters for parameters in grid if isinstance(parameters, TreeParameters)]
    found: list[tuple[Parameters, Forecaster]] = [
        (parameters, _fit_ridge(parameters, matrix, target, bounds)) for parameters in ridges
    ]
    return found + _fit_trees(trees, matrix, target, bounds, seed)


@dataclass(frozen=True)
class LinearForecaster:
    """Intercept plus a weighted sum of the columns, confined to `bounds`."""

    intercept: float
    weights: Floats
    bounds: tuple[float, float]

    def predict(self, matrix: NDArray[Any]) -> Floats:
        """Summed row by row: a matrix product rounds differently with the number of rows beside."""
        return np.asarray(np.clip(self.intercept + (matrix * self.weights).sum(axis=1), *self.bounds))


def _fit_ridge(
    parameters: RidgeParameters, matrix: NDArray[Any], target: Floats, bounds: tuple[float, float]
) -> LinearForecaster:
    from sklearn.linear_model import Ridge

    ridge = Ridge(alpha=parameters.penalty * target.size, solver="cholesky").fit(matrix, target)
    return LinearForecaster(float(ridge.intercept_), np.asarray(ridge.coef_, dtype=np.float64), bounds)


@dataclass(frozen=True)
class TreeForecaster:
    """The first `trees` trees of a booster, confined to `bounds`."""

    booster: Any
    trees: int
    bounds: tuple[float, float]

    def predict(self, matrix: NDArray[Any]) -> Floats:
        """Missing values take the direction that training gave them."""
        if matrix.shape[0] == 0:
            return np.empty(0)
        found = self.booster.inplace_predict(matrix, iteration_range=(0, self.trees))
        return np.clip(np.asarray(found, dtype=np.float64), *self.bounds)

    def column_gains(self, n_columns: int) -> Floats:
        """Total gain of the splits on each column, (n_columns,)."""
        gains = np.zeros(n_columns)
        for name, gain in self.booster[: self.trees].get_score(importance_type="total_gain").items():
            gains[int(name.removeprefix("f"))] = gain
        return gains


def _fit_trees(
    grid: Sequence[TreeParameters], matrix: NDArray[Any], target: Floats, bounds: tuple[float, float], seed: int
) -> list[tuple[Parameters, Forecaster]]:
    """Configurations that differ only in the number of trees share one booster: its first trees are the shorter one."""
    if not grid:
        return []
    import xgboost

    bins = 32
    rows = xgboost.QuantileDMatrix(matrix, label=target, max_bin=bins, nthread=1)
    settings = {
        "tree_method": "hist",
        "max_bin": bins,
        "eta": 0.06,
        "lambda": 10.0,
        "min_child_weight": 20.0,
        "colsample_bytree": 0.5,
        "base_score": float(target.mean()),
        "nthread": 1,
        "seed": seed,
        "verbosity": 0,
    }
    most = {entry.depth: max(other.trees for other in grid if other.depth == entry.depth) for entry in grid}
    train: Callable[..., Any] = xgboost.train
    boosters = {depth: train({**settings, "max_depth": depth}, rows, num_boost_round=n) for depth, n in most.items()}
    return [(entry, TreeForecaster(boosters[entry.depth], entry.trees, bounds)) for entry in grid]
