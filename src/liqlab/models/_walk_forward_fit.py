"""One fold: scales and parameters from its training window, forecasts for the time after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liqlab.core.time import MS_PER_S
from liqlab.models._ic_config import RETURN, Target
from liqlab.models._importance import ColumnGroups, FoldImportance, gain_importance, permutation_importance
from liqlab.models._models import Forecaster, Model, TreeForecaster, fit_forecasters, make_design, model_columns
from liqlab.models._splits import Fold, inner_split
from liqlab.models._walk_forward_config import WalkForwardConfig
from liqlab.models._walk_forward_sample import Sample
from liqlab.models._walk_forward_scaling import ColumnScaler, LogScale, ReturnScale

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

#: A symbol with fewer labelled training rows has no scale of its own, hence no forecast.
MIN_SYMBOL_ROWS = 50


@dataclass(frozen=True)
class FoldTask:
    """The folds of all targets with one training window, which serve one or more splits."""

    number: int
    splits: tuple[str, ...]
    folds: Mapping[Target, Fold]


@dataclass(frozen=True)
class Forecast:
    """Forecasts of one model for the rows `rows` of the sample, both (n,)."""

    target: Target
    model: str
    rows: Integers
    values: Floats


@dataclass(frozen=True)
class Trial:
    """One configuration and its error on the inner test."""

    target: Target
    model: str
    parameters: str
    inner_score: float
    chosen: bool


@dataclass
class FoldOutcome:
    """Everything one fold gave. `complaints` are (what, about) pairs, counted over folds later."""

    task: FoldTask
    forecasts: list[Forecast] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    importance: list[FoldImportance] = field(default_factory=list)
    complaints: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class _Window:
    """The rows of a fold under one scaler: `scaled` (n, k) of the rows `rows` (n,) of the sample."""

    rows: Integers
    scaler: ColumnScaler
    scaled: Floats


@dataclass(frozen=True)
class _Side:
    """Training rows with their target on the model's scale, and the rows to forecast."""

    window: _Window
    train: Mask
    ahead: Mask
    scale: ReturnScale | LogScale
    target: Floats


def fit_fold(
    task: FoldTask, sample: Sample, models: Sequence[Model], config: WalkForwardConfig, groups: ColumnGroups | None
) -> FoldOutcome:
    """Fit every model to every target of one fold, and forecast the rows until the next refit.

    Scalers learn from the feature rows before the refit (for choosing parameters: before the inner test), labels from
    the purged rows only. `groups` asks for importances, None for none.
    """
    outcome = FoldOutcome(task)
    any_fold = next(iter(task.folds.values()))
    outer = _scale_window(sample, any_fold.train_start_ms, any_fold.test_start_ms, any_fold.test_end_ms)
    moment = inner_split(any_fold, 0, config.inner_frac).test_start_ms
    inner = _scale_window(sample, any_fold.train_start_ms, moment, any_fold.test_start_ms)
    for column in np.flatnonzero(~outer.scaler.varies):
        outcome.complaints.append(("constant or empty in training, dropped", f"column {sample.columns[column]}"))
    for target, fold in task.folds.items():
        _fit_target(outcome, target, fold, _Context(sample, outer, inner, config, groups), models)
    return outcome


@dataclass(frozen=True)
class _Context:
    sample: Sample
    outer: _Window
    inner: _Window
    config: WalkForwardConfig
    groups: ColumnGroups | None


def _scale_window(sample: Sample, start_ms: int, fit_end_ms: int, end_ms: int) -> _Window:
    """Rows in [start_ms, end_ms), scaled by what those before `fit_end_ms` say."""
    first, fit_end, end = np.searchsorted(sample.times_ms, [start_ms, fit_end_ms, end_ms], side="left")
    scaler = ColumnScaler.fit(sample.values[first:fit_end], sample.codes[first:fit_end], len(sample.symbols))
    scaled = scaler.transform(sample.values[first:end], sample.codes[first:end])
    return _Window(np.arange(first, end), scaler, scaled)


def _fit_target(outcome: FoldOutcome, target: Target, fold: Fold, context: _Context, models: Sequence[Model]) -> None:
    config, sample = context.config, context.sample
    outer = _make_side(context.outer, sample, target, fold)
    if outer is None or outer.target.size < config.min_train_rows:
        n = 0 if outer is None else outer.target.size
        what = f"fewer than {config.min_train_rows} training rows with a label"
        outcome.complaints.append((what, f"{target.column} (at best {n})" if n else target.column))
        return
    inner = _make_side(context.inner, sample, target, inner_split(fold, config.reach_ms(target), config.inner_frac))
    if inner is not None and not _can_choose(inner, sample, target, config.min_train_rows // 2):
        inner = None
    if inner is None:
        outcome.complaints.append(("too little data for choosing parameters, first of the grid taken", target.column))
    if not outer.ahead.any():
        return
    for model in models:
        if target.kind in model.targets:
            _fit_model(outcome, model, target, outer, inner, context)


def _make_side(window: _Window, sample: Sample, target: Target, fold: Fold) -> _Side | None:
    """Training and test rows of a fold in a window; None without a symbol that has rows enough."""
    times, codes = sample.times_ms[window.rows], sample.codes[window.rows]
    labels = sample.labels[target.column][window.rows]
    train = fold.trains(times) & np.isfinite(labels)
    counts = np.bincount(codes[train], minlength=len(sample.symbols))
    served = (counts >= MIN_SYMBOL_ROWS)[codes]
    train &= served
    if not train.any():
        return None
    volatility = sample.trailing_volatility[window.rows]
    maker: Any = ReturnScale if target.kind == RETURN else LogScale
    scale = maker.fit(labels[train], codes[train], volatility[train], len(sample.symbols))
    scaled_target = scale.forward(labels[train], codes[train], volatility[train])
    return _Side(window, train, fold.tests(times) & served, scale, scaled_target)


def _can_choose(side: _Side, sample: Sample, target: Target, least_rows: int) -> bool:
    return side.target.size >= least_rows and bool(_labelled(side, sample, target).any())


def _labelled(side: _Side, sample: Sample, target: Target) -> Mask:
    """Rows to forecast whose outcome is known."""
    return side.ahead & np.isfinite(sample.labels[target.column][side.window.rows])


def _fit_model(
    outcome: FoldOutcome, model: Model, target: Target, outer: _Side, inner: _Side | None, context: _Context
) -> None:
    sample = context.sample
    rows = outer.window.rows[outer.ahead]
    if model.kind in ("zero", "mean"):
        outcome.forecasts.append(Forecast(target, model.name, rows, _constant(model, target, outer, sample)))
        return
    columns = model_columns(model, target, sample, outer.window.scaler.varies)
    if columns.size == 0:
        outcome.complaints.append(("no usable column", f"model {model.name}"))
        return
    choice = _choose(model, target, inner, context)
    outcome.trials.extend(choice.trials)
    fitted = _fit_side(model, (choice.chosen,), columns, outer, target, context)
    scaled, codes = outer.window.scaled[outer.ahead], sample.codes[rows]
    forecaster = fitted.forecasters[0][1]
    forecast = forecaster.predict(fitted.design.matrix(scaled, codes))
    back = outer.scale.back(forecast, codes, sample.trailing_volatility[rows], choice.factor)
    outcome.forecasts.append(Forecast(target, model.name, rows, back))
    if context.groups is not None and model.columns == "all":
        outcome.importance.extend(_importance(model, target, outer, fitted, context))


def _constant(model: Model, target: Target, side: _Side, sample: Sample) -> Floats:
    """Zero, or the mean training label of each symbol."""
    codes, ahead = sample.codes[side.window.rows], side.ahead
    if model.kind == "zero":
        return np.zeros(int(ahead.sum()))
    labels = sample.labels[target.column][side.window.rows][side.train]
    sums = np.bincount(codes[side.train], weights=labels, minlength=len(sample.symbols))
    counts = np.bincount(codes[side.train], minlength=len(sample.symbols))
    return np.asarray(sums[codes[ahead]] / counts[codes[ahead]])


@dataclass(frozen=True)
class _Fitted:
    design: Any
    columns: Integers
    forecasters: list[tuple[Any, Forecaster]]


def _fit_side(
    model: Model, grid: Sequence[Any], columns: Integers, side: _Side, target: Target, context: _Context
) -> _Fitted:
    """Fit one model with every entry of `grid`.

    Trees learn from times a quarter of the horizon apart: labels that overlap more say little new, and cost the same.
    """
    rows = np.flatnonzero(side.train)
    learned = side.target
    if model.kind == "trees":
        step_ms = context.config.step_ms(target)
        spacing_ms = step_ms * max(1, target.horizon_s * MS_PER_S // (4 * step_ms))
        spaced = context.sample.times_ms[side.window.rows[rows]] % spacing_ms == 0
        rows, learned = rows[spaced], learned[spaced]
    scaled = side.window.scaled[rows]
    design = make_design(model, columns, side.window.scaler, scaled)
    matrix = design.matrix(scaled, context.sample.codes[side.window.rows[rows]])
    return _Fitted(design, columns, fit_forecasters(grid, matrix, learned, context.config.seed))


@dataclass(frozen=True)
class _Choice:
    chosen: Any
    factor: float
    trials: tuple[Trial, ...]


def _choose(model: Model, target: Target, side: _Side | None, context: _Context) -> _Choice:
    """The parameters with the smallest error on the inner test, and the smearing factor of its residuals there."""
    sample = context.sample
    columns = np.empty(0, dtype=np.int64)
    if side is not None:
        columns = model_columns(model, target, sample, side.window.scaler.varies)
    if side is None or columns.size == 0:
        return _Choice(model.grid[0], 1.0, ())
    fitted = _fit_side(model, model.grid, columns, side, target, context)
    rows = _labelled(side, sample, target)
    codes = sample.codes[side.window.rows][rows]
    labels = sample.labels[target.column][side.window.rows][rows]
    truth = side.scale.forward(labels, codes, sample.trailing_volatility[side.window.rows][rows])
    matrix = fitted.design.matrix(side.window.scaled[rows], codes)
    residuals = [truth - forecaster.predict(matrix) for _, forecaster in fitted.forecasters]
    errors = [float(np.mean(residual**2)) for residual in residuals]
    best = int(np.argmin(errors))
    factor = side.scale.smearing_factor(residuals[best], codes) if isinstance(side.scale, LogScale) else 1.0
    trials = tuple(
        Trial(target, model.name, str(parameters), error, place == best)
        for place, (parameters, error) in enumerate(zip(model.grid, errors, strict=True))
    )
    return _Choice(model.grid[best], factor, trials)


def _importance(model: Model, target: Target, side: _Side, fitted: _Fitted, context: _Context) -> list[FoldImportance]:
    sample, groups = context.sample, context.groups
    rows = _labelled(side, sample, target)
    if groups is None or not rows.any():
        return []
    places = side.window.rows[rows]
    codes = sample.codes[places]
    truth = side.scale.forward(sample.labels[target.column][places], codes, sample.trailing_volatility[places])
    forecaster = fitted.forecasters[0][1]

    def predict(scaled: Floats) -> Floats:
        return forecaster.predict(fitted.design.matrix(scaled, codes))

    found = permutation_importance(
        predict, side.window.scaled[rows], truth, sample.times_ms[places], codes, groups, context.config
    )
    parts = [FoldImportance(target, model.name, "permutation", found)]
    if isinstance(forecaster, TreeForecaster):
        gains = np.zeros(len(sample.columns))
        gains[fitted.columns] = forecaster.column_gains(fitted.columns.size)
        parts.append(FoldImportance(target, model.name, "gain", gain_importance(gains, groups)))
    return parts
