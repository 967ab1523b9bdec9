"""Forecasts of returns and volatility by models that are refitted as time goes on, and what they are worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl

from liqlab.core.parallel import ordered_map
from liqlab.core.progress import SILENT, Progress, stage
from liqlab.core.schema import PREDICTIONS, TIME
from liqlab.core.time import MS_PER_HOUR, format_time
from liqlab.features import FeatureStore
from liqlab.models._ic_config import Target
from liqlab.models._importance import ColumnGroups, group_columns, summarise_importance
from liqlab.models._models import Model, choose_models
from liqlab.models._splits import Fold, walk_forward_folds
from liqlab.models._walk_forward_config import WalkForwardConfig
from liqlab.models._walk_forward_fit import FoldOutcome, FoldTask, fit_fold
from liqlab.models._walk_forward_sample import Sample, load_sample
from liqlab.models._walk_forward_scaling import ColumnScaler
from liqlab.models._walk_forward_scores import Forecasts, adjust_comparisons, compute_comparisons, compute_scores
from liqlab.models._walk_forward_tables import COMPARISONS, IMPORTANCE, SCORES, TRIALS, WalkForwardResult, empty_result


@dataclass(frozen=True)
class _Study:
    """Targets that share a grid of decision times, and the sample on it."""

    targets: tuple[Target, ...]
    step_ms: int
    overlaps: Mapping[Target, int]
    sample: Sample
    tasks: tuple[FoldTask, ...]
    groups: ColumnGroups | None


def run_walk_forward(
    store: FeatureStore,
    config: WalkForwardConfig | None = None,
    progress: Progress = SILENT,
    workers: int | None = None,
) -> WalkForwardResult:
    """Fit, forecast and judge every model on every target and split of `config`.

    A forecast at t comes from features known at t and from a model whose training labels were final at the last refit
    at or before t: data cut at any moment give the same forecasts up to it, to the last bit, and so does any number of
    `workers` (threads). What cannot be tested is said in the notes. `UserError` for unknown features and models.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    config = config or WalkForwardConfig()
    models = choose_models(config.models)
    studies = [_prepare(store, targets, step_ms, config) for step_ms, targets in _by_step(config).items()]
    notes = _sample_notes(store, studies, config)
    total = sum(len(study.tasks) for study in studies)
    if total == 0:
        return empty_result(notes)
    outcomes: list[list[FoldOutcome]] = []
    # One thread per worker: linear algebra that splits its work among threads may round differently.
    with threadpool_limits(limits=1), stage(progress, "walk-forward", total):
        for study in studies:
            outcomes.append([])
            fit = partial(fit_fold, sample=study.sample, models=models, config=config, groups=study.groups)
            for outcome in ordered_map(fit, study.tasks, workers, kind="threads"):
                outcomes[-1].append(outcome)
                progress.advance()
    return _assemble(studies, outcomes, models, config, notes)


def _by_step(config: WalkForwardConfig) -> dict[int, tuple[Target, ...]]:
    found: dict[int, tuple[Target, ...]] = {}
    for target in config.targets:
        step_ms = config.step_ms(target)
        found[step_ms] = (*found.get(step_ms, ()), target)
    return found


def _prepare(store: FeatureStore, targets: tuple[Target, ...], step_ms: int, config: WalkForwardConfig) -> _Study:
    sample = load_sample(store, targets, step_ms, config)
    tasks = _make_tasks(sample, targets, step_ms, config)
    overlaps = {target: config.overlap_steps(target) for target in targets}
    return _Study(targets, step_ms, overlaps, sample, tasks, _make_groups(sample, tasks, config))


def _make_tasks(
    sample: Sample, targets: tuple[Target, ...], step_ms: int, config: WalkForwardConfig
) -> tuple[FoldTask, ...]:
    """Folds with one training window are one task: a rolling window that reaches to the start is the expanding one."""
    if sample.times_ms.size == 0:
        return ()
    start_ms, end_ms = int(sample.times_ms[0]), int(sample.times_ms[-1]) + step_ms
    found: dict[tuple[int, int], dict[Target, dict[str, Fold]]] = {}
    for target in targets:
        for fold in walk_forward_folds(start_ms, end_ms, config, config.reach_ms(target)):
            by_target = found.setdefault((fold.number, fold.train_start_ms), {})
            by_target.setdefault(target, {})[fold.split] = fold
    return tuple(
        FoldTask(
            number,
            tuple(next(iter(by_target.values()))),
            {target: next(iter(folds.values())) for target, folds in by_target.items()},
        )
        for (number, _), by_target in sorted(found.items(), key=lambda item: (item[0][0], item[0][1]))
    )


def _make_groups(sample: Sample, tasks: Sequence[FoldTask], config: WalkForwardConfig) -> ColumnGroups | None:
    """Groups of correlated columns from the first fold's training time, so that they are the same in every fold."""
    if not config.importance or not tasks:
        return None
    first = next(iter(tasks[0].folds.values()))
    rows = slice(*np.searchsorted(sample.times_ms, [first.train_start_ms, first.test_start_ms]))
    values, codes = sample.values[rows], sample.codes[rows]
    scaled = ColumnScaler.fit(values, codes, len(sample.symbols)).transform(values, codes)
    return group_columns(scaled, sample.columns, config.correlation_threshold)


def _sample_notes(store: FeatureStore, studies: Sequence[_Study], config: WalkForwardConfig) -> tuple[str, ...]:
    notes: list[str] = []
    if len(store.symbols) == 1:
        notes.append(f"one symbol only ({store.symbols[0]}): nothing is pooled, and other assets tell nothing")
    for study in studies:
        notes += _study_notes(study, config)
    missing = [note for note in notes if note.startswith("not testable")]
    return tuple(dict.fromkeys(missing + notes))


def _study_notes(study: _Study, config: WalkForwardConfig) -> list[str]:
    sample = study.sample
    labels = ", ".join(target.column for target in study.targets)
    if sample.times_ms.size == 0:
        return [f"not testable: no row has a feature ({labels})"]
    notes = []
    if sample.n_infinite:
        notes.append(f"{sample.n_infinite:,} infinite feature values count as missing")
    n_folds = len({task.number for task in study.tasks})
    if n_folds < 2:
        hours = (int(sample.times_ms[-1]) - int(sample.times_ms[0])) / MS_PER_HOUR
        notes.append(
            f"not testable: {n_folds} fold{'s' if n_folds != 1 else ''} where two are needed; the data spans "
            f"{hours:.1f} h from {format_time(int(sample.times_ms[0]))} UTC, training takes "
            f"{config.min_train_hours:g} h and a refit comes every {config.refit_hours} h ({labels})"
        )
    return notes


def _assemble(
    studies: Sequence[_Study],
    outcomes: Sequence[Sequence[FoldOutcome]],
    models: Sequence[Model],
    config: WalkForwardConfig,
    notes: tuple[str, ...],
) -> WalkForwardResult:
    predictions: list[pl.DataFrame] = []
    scores: list[pl.DataFrame] = []
    comparisons: list[pl.DataFrame] = []
    importance: list[pl.DataFrame] = []
    trials: list[pl.DataFrame] = []
    said = list(notes)
    for study, found in zip(studies, outcomes, strict=True):
        for target in study.targets:
            for split in config.splits:
                predictions += _prediction_frames(study.sample, found, target, split)
                forecasts = _gather(study, found, models, target, split)
                if forecasts.n_folds == 0:
                    said.append(f"not testable: no forecast of {target.column} ({split})")
                    continue
                scores.append(compute_scores(study.sample, forecasts))
                comparisons.append(compute_comparisons(study.sample, forecasts))
        trials += [_trial_frame(outcome) for outcome in found]
        importance.append(_importance_frame(study, found, config.splits[0]))
        said += _count_complaints(found)
    return WalkForwardResult(
        pl.concat([PREDICTIONS.empty(), *predictions]),
        pl.concat([SCORES.empty(), *scores]),
        adjust_comparisons(pl.concat([COMPARISONS.empty(), *comparisons])),
        pl.concat([IMPORTANCE.empty(), *importance]),
        pl.concat([TRIALS.empty(), *trials]),
        tuple(dict.fromkeys(said)),
    )


def _prediction_frames(
    sample: Sample, outcomes: Iterable[FoldOutcome], target: Target, split: str
) -> list[pl.DataFrame]:
    symbols = np.array(sample.symbols, dtype=object)
    return [
        pl.DataFrame(
            {
                "symbol": pl.Series(symbols[sample.codes[forecast.rows]], dtype=pl.String),
                "time": pl.Series(sample.times_ms[forecast.rows]).cast(TIME),
                "target": target.kind,
                "horizon_s": target.horizon_s,
                "split": split,
                "model": forecast.model,
                "fold": outcome.task.number,
                "prediction": forecast.values,
            },
            schema=PREDICTIONS.dtypes,
        )
        for outcome in outcomes
        if split in outcome.task.splits
        for forecast in outcome.forecasts
        if forecast.target == target
    ]


def _gather(
    study: _Study, outcomes: Iterable[FoldOutcome], models: Sequence[Model], target: Target, split: str
) -> Forecasts:
    n = study.sample.times_ms.size
    by_model = {model.name: np.full(n, np.nan) for model in models if target.kind in model.targets}
    folds = set()
    for outcome in outcomes:
        if split in outcome.task.splits:
            for forecast in outcome.forecasts:
                if forecast.target == target:
                    by_model[forecast.model][forecast.rows] = forecast.values
                    folds.add(outcome.task.number)
    return Forecasts(target, split, study.step_ms, study.overlaps[target], len(folds), by_model)


def _trial_frame(outcome: FoldOutcome) -> pl.DataFrame:
    """Trials of a task stand under the first of the splits that it serves: they were made once."""
    rows = [
        {
            "target": trial.target.kind,
            "horizon_s": trial.target.horizon_s,
            "split": outcome.task.splits[0],
            "fold": outcome.task.number,
            "model": trial.model,
            "parameters": trial.parameters,
            "inner_score": trial.inner_score,
            "chosen": trial.chosen,
        }
        for trial in outcome.trials
    ]
    return pl.DataFrame(rows, schema=TRIALS.dtypes, orient="row")


def _importance_frame(study: _Study, outcomes: Iterable[FoldOutcome], split: str) -> pl.DataFrame:
    if study.groups is None:
        return IMPORTANCE.empty()
    parts = [part for outcome in outcomes if split in outcome.task.splits for part in outcome.importance]
    return summarise_importance(parts, split, study.groups, study.sample.columns)


def _count_complaints(outcomes: Sequence[FoldOutcome]) -> list[str]:
    """One note per complaint, with the number of fits it came from."""
    counts = Counter(complaint for outcome in outcomes for complaint in set(outcome.complaints))
    by_text: dict[tuple[str, int], list[str]] = {}
    for (what, about), count in counts.items():
        by_text.setdefault((what, count), []).append(about)
    return [
        f"{what}: {', '.join(sorted(about))} (in {count} of {len(outcomes)} fits)"
        for (what, count), about in sorted(by_text.items())
    ]
