"""Information coefficients of features against labels, symbol by symbol and together, with inference that holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.core import schema
from liqlab.core.errors import SourceError
from liqlab.core.progress import SILENT, Progress, stage
from liqlab.features import FEATURES, FeatureStore
from liqlab.models._ic_comparison import compare_families
from liqlab.models._ic_config import ALL_REGIMES, ALL_SYMBOLS, IcConfig
from liqlab.models._ic_inference import infer
from liqlab.models._ic_measure import Clock, Integers, Measures, Rows, measure, pool
from liqlab.models._ic_table import (
    DAILY,
    FIFTHS,
    Part,
    adjust_p,
    build_frame,
    list_daily_rows,
    list_fifth_rows,
    list_rows,
)
from liqlab.regimes import QUIET, VOLATILE, regime_at

_ORDER = ("target", "regime", "symbol", "horizon_s", "feature")


@dataclass(frozen=True)
class IcResult:
    """The analysis of information coefficients.

    `table` has the columns of `core.schema.IC`; `daily` (day, symbol, feature, target, horizon_s, ic, n) the
    correlations within days, of pairs whose label ends in the day; `fifths` (symbol, feature, target, horizon_s,
    regime, fifth, mean_label, n) the mean label by fifth of the feature, fifths taken over the whole sample, so a
    description and not a strategy; `comparison` is that of `compare_families`. `notes` say what to mind about it all.
    """

    table: pl.DataFrame
    daily: pl.DataFrame
    fifths: pl.DataFrame
    comparison: pl.DataFrame
    notes: tuple[str, ...]


def compute_ic(
    store: FeatureStore,
    regimes: pl.DataFrame | None = None,
    config: IcConfig | None = None,
    progress: Progress = SILENT,
    workers: int | None = None,
) -> IcResult:
    """Spearman correlation of every feature of the store with every label, by symbol, together and by regime.

    `regimes` is a table of that name, None for no split. Symbol `ALL` takes the pairs of all symbols, ranked within
    each; observations of different symbols at the same time count as one point in time. Null of every p: the rank
    correlation is zero; alternative: it is not; see `infer` for the two procedures. `p_adjusted` is of Benjamini and
    Hochberg over all rows of the same target at all times, and over those by regime: exploratory families, no verdict.
    Constant or empty columns, short samples and regimes that never occur are said in `note`; infinite values are left
    out. `SourceError` when the store has no row. The result does not depend on the number of `workers` (threads).
    """
    config = config or IcConfig()
    symbols, names = store.symbols, store.feature_names
    subsets = (ALL_REGIMES, QUIET, VOLATILE) if config.regimes and regimes is not None else (ALL_REGIMES,)
    study = _Study(store, symbols, subsets, regimes, _find_clock(store, symbols, config), config, workers)
    groups = [names[start : start + config.features_at_once] for start in range(0, len(names), config.features_at_once)]
    rows: list[dict[str, Any]] = []
    daily: list[dict[str, Any]] = []
    fifths: list[dict[str, Any]] = []
    with stage(progress, "information coefficients", len(groups) * (len(symbols) + 1)):
        for group in groups:
            for part in _measure_group(study, group):
                rows += list_rows(part, config)
                daily += list_daily_rows(part, study.clock, config)
                fifths += list_fifth_rows(part, config)
                progress.advance()
    table = adjust_p(build_frame(rows, schema.IC.dtypes).sort(_ORDER, maintain_order=True))
    daily_frame = build_frame(daily, DAILY.dtypes).sort(
        "target", "symbol", "horizon_s", "feature", "day", maintain_order=True
    )
    return IcResult(
        schema.check_frame(table, schema.IC),
        daily_frame,
        build_frame(fifths, FIFTHS.dtypes).sort(*_ORDER, "fifth", maintain_order=True),
        compare_families(daily_frame, {feature.name: feature.family for feature in FEATURES}),
        tuple(_list_notes(table, symbols)),
    )


@dataclass(frozen=True)
class _Study:
    """What stays the same for every group of features."""

    store: FeatureStore
    symbols: tuple[str, ...]
    subsets: tuple[str, ...]
    regimes: pl.DataFrame | None
    clock: Clock
    config: IcConfig
    workers: int | None

    def part(self, symbol: str, group: tuple[str, ...], measures: Measures, n_symbols: int) -> Part:
        """What was measured, with its inference."""
        inference = infer(measures, self.config.targets, self.clock, self.config, self.workers)
        return Part(symbol, group, self.subsets, measures, inference, n_symbols)


def _find_clock(store: FeatureStore, symbols: tuple[str, ...], config: IcConfig) -> Clock:
    times = [_times(store.read(symbol, features=(), labels=())) for symbol in symbols]
    spans = [(int(found[0]), int(found[-1])) for found in times if found.size]
    if not spans:
        raise SourceError("the feature table has no row; nothing can be correlated")
    return Clock.over(min(first for first, _ in spans), max(last for _, last in spans), config)


def _times(frame: pl.DataFrame) -> Integers:
    times: Integers = frame["time"].to_physical().to_numpy()
    return times


def _measure_group(study: _Study, group: tuple[str, ...]) -> Iterator[Part]:
    """Some features: each symbol, then all together."""
    together: Measures | None = None
    for symbol in study.symbols:
        rows = _read_rows(study, symbol, group)
        found = measure(rows, study.config.targets, study.clock, study.config, study.workers)
        yield study.part(symbol, group, found, 1)
        together = found if together is None else pool([together, found])
    if together is not None:
        yield study.part(ALL_SYMBOLS, group, together, len(study.symbols))


def _read_rows(study: _Study, symbol: str, group: tuple[str, ...]) -> Rows:
    labels = [target.column for target in study.config.targets]
    frame = study.store.read(symbol, features=group, labels=labels)
    times = _times(frame)
    keep = [np.ones(times.size, np.bool_)]
    if study.regimes is not None and len(study.subsets) > 1:
        regime = regime_at(study.regimes.filter(pl.col("symbol") == symbol), times)
        keep += [(regime == name).fill_null(False).to_numpy() for name in study.subsets[1:]]
    return Rows.from_arrays(times, _matrix(frame, group), _matrix(frame, labels), np.array(keep), study.workers)


def _matrix(frame: pl.DataFrame, names: tuple[str, ...] | list[str]) -> npt.NDArray[np.float64]:
    """The columns (n, k), null as NaN."""
    columns = [frame[name].cast(pl.Float64).fill_null(float("nan")).to_numpy() for name in names]
    return np.array(columns, dtype=np.float64).reshape(len(names), frame.height).T


def _list_notes(table: pl.DataFrame, symbols: tuple[str, ...]) -> Iterator[str]:
    if len(symbols) == 1:
        yield f"one symbol only ({symbols[0]}): the rows of {ALL_SYMBOLS} repeat it"
    pooled = table.filter(pl.col("symbol") == ALL_SYMBOLS)
    whole = pooled.filter(pl.col("regime") == ALL_REGIMES)
    for note, found in whole.filter(pl.col("ic").is_null()).group_by("note", maintain_order=True):
        features = found["feature"].unique(maintain_order=True).to_list()
        yield f"no coefficient, {note[0]}: {', '.join(features)}"
    untested = whole.filter(pl.col("ic").is_not_null() & pl.col("p").is_null())
    for (target, horizon), found in untested.group_by("target", "horizon_s", maintain_order=True):
        yield f"{found.height} coefficients with the {target} over {horizon:,} s are not testable"
    for regime in pooled["regime"].unique(maintain_order=True):
        if pooled.filter(pl.col("regime") == regime)["n"].max() == 0:
            yield f"the {regime} regime never occurs together with a feature and a label"
