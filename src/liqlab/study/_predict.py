"""What the features say of the future: regimes, information coefficients, walk-forward prediction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from liqlab.core import schema
from liqlab.core.progress import Progress
from liqlab.core.schema import Table
from liqlab.core.time import MS_PER_S
from liqlab.features import FeatureStore
from liqlab.lake import Lake
from liqlab.models import (
    COMPARISONS,
    IC_COMPARISON,
    IC_DAILY,
    IC_FIFTHS,
    IMPORTANCE,
    SCORES,
    TRIALS,
    IcResult,
    WalkForwardResult,
    compute_ic,
    run_walk_forward,
)
from liqlab.panel import Scope
from liqlab.regimes import RegimeResult, compute_regimes
from liqlab.study._configuration import StudyConfig
from liqlab.study._reuse import compute_key, forget, keep, read_kept
from liqlab.study._writer import TableWriter

#: The tables of information coefficients and forecasts.
PREDICTION_TABLES: tuple[Table, ...] = (
    schema.IC,
    IC_DAILY,
    IC_FIFTHS,
    IC_COMPARISON,
    schema.PREDICTIONS,
    SCORES,
    COMPARISONS,
    IMPORTANCE,
    TRIALS,
)
Timed = Callable[[str], AbstractContextManager[Progress]]

#: A label's price may come at least this late, however fast the ticker is.
_LEAST_TOLERANCE_S = 15.0


@dataclass(frozen=True)
class Prediction:
    """Information coefficients and walk-forward forecasts."""

    ic: IcResult
    walk_forward: WalkForwardResult

    @property
    def tables(self) -> tuple[tuple[Table, pl.DataFrame], ...]:
        """The tables to keep, each with what declares it."""
        ic, walk = self.ic, self.walk_forward
        return (
            (schema.IC, ic.table),
            (IC_DAILY, ic.daily),
            (IC_FIFTHS, ic.fifths),
            (IC_COMPARISON, ic.comparison),
            (schema.PREDICTIONS, walk.predictions),
            (SCORES, walk.scores),
            (COMPARISONS, walk.comparisons),
            (IMPORTANCE, walk.importance),
            (TRIALS, walk.trials),
        )


_NOT_ASKED = ("not testable: no forecast was asked for",)
#: What a study that only describes knows of the future.
NO_PREDICTION = Prediction(
    IcResult(schema.IC.empty(), IC_DAILY.empty(), IC_FIFTHS.empty(), IC_COMPARISON.empty(), _NOT_ASKED),
    WalkForwardResult(
        schema.PREDICTIONS.empty(), SCORES.empty(), COMPARISONS.empty(), IMPORTANCE.empty(), TRIALS.empty(), _NOT_ASKED
    ),
)


def compute_symbol_regimes(
    minute_prices: Mapping[str, list[pl.DataFrame]], scope: Scope, config: StudyConfig, progress: Progress
) -> dict[str, RegimeResult]:
    """The regimes of each symbol from its prices on full minutes, day after day."""
    found = {}
    for symbol, days in minute_prices.items():
        prices = pl.concat(days)
        found[symbol] = compute_regimes(
            symbol,
            prices["time"].to_physical().to_numpy(),
            prices["price"].to_numpy(),
            config.regimes,
            scope.ticker_interval_ms.get(symbol),
        )
        progress.advance()
    return found


def stack_regimes(regimes: Mapping[str, RegimeResult]) -> pl.DataFrame:
    """The regimes of all symbols as one table."""
    return pl.concat([schema.REGIMES.empty(), *(result.table for result in regimes.values())])


def predict(
    lake: Lake,
    tables: Path,
    regimes: Mapping[str, RegimeResult],
    scope: Scope,
    config: StudyConfig,
    timed: Timed,
) -> Prediction:
    """Information coefficients and walk-forward forecasts from the features and labels in the folder `tables`.

    Where the folder holds those of an earlier run, and nothing that they depend on has changed, they are read instead.
    """
    inputs = {"config": config.as_dict(), "symbols": scope.symbols, "span": (scope.start_ms, scope.end_ms)}
    key = compute_key(lake.files, inputs)
    found = _read_kept(tables, key)
    if found is not None:
        with timed("information coefficients and forecasts, unchanged"):
            return found
    forget(tables)
    found = _compute(FeatureStore.from_folder(tables), regimes, scope, config, timed)
    with TableWriter(tables) as writer:
        for table, frame in found.tables:
            writer.append(table, frame)
    keep(tables, key, PREDICTION_TABLES, {"ic": found.ic.notes, "walk_forward": found.walk_forward.notes})
    return found


def _compute(
    store: FeatureStore, regimes: Mapping[str, RegimeResult], scope: Scope, config: StudyConfig, timed: Timed
) -> Prediction:
    """The tolerance of the labels is that of the features, which depends on the ticker."""
    slowest_ms = max((interval or 0 for interval in scope.ticker_interval_ms.values()), default=0)
    tolerance_s = max(_LEAST_TOLERANCE_S, config.features.label_tolerance_intervals * slowest_ms / MS_PER_S)
    with timed("information coefficients") as progress:
        ic = compute_ic(store, stack_regimes(regimes), config.ic, progress)
    with timed("walk-forward prediction") as progress:
        settings = replace(config.walk_forward, label_tolerance_s=tolerance_s)
        walk_forward = run_walk_forward(store, settings, progress)
    return Prediction(ic, walk_forward)


def _read_kept(tables: Path, key: str) -> Prediction | None:
    kept = read_kept(tables, key, PREDICTION_TABLES)
    if kept is None:
        return None
    frames, notes = kept
    return Prediction(
        IcResult(
            table=frames[schema.IC.name],
            daily=frames[IC_DAILY.name],
            fifths=frames[IC_FIFTHS.name],
            comparison=frames[IC_COMPARISON.name],
            notes=tuple(notes["ic"]),
        ),
        WalkForwardResult(
            predictions=frames[schema.PREDICTIONS.name],
            scores=frames[SCORES.name],
            comparisons=frames[COMPARISONS.name],
            importance=frames[IMPORTANCE.name],
            trials=frames[TRIALS.name],
            notes=tuple(notes["walk_forward"]),
        ),
    )
