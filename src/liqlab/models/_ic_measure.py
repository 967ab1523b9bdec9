"""Rank correlations of one symbol, with what their inference needs: sums over blocks of time, days, fifths."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial, reduce

import numpy as np
import numpy.typing as npt

from liqlab.core.parallel import count_workers, ordered_map
from liqlab.core.time import MS_PER_DAY, MS_PER_S
from liqlab.models._ic_config import IcConfig, Target, block_ms
from liqlab.models._ic_kernel import code_days, correlate, correlate_days, measure_pair, pick
from liqlab.stats import rank_columns

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Clock:
    """How time is cut: blocks of `block_ms` and whole UTC days, counted from `start_ms` (a midnight) on."""

    start_ms: int
    block_ms: int
    n_blocks: int

    @classmethod
    def over(cls, first_ms: int, last_ms: int, config: IcConfig) -> Clock:
        """The clock for times from `first_ms` to `last_ms`, with blocks as long as `config` wants them."""
        start = first_ms // MS_PER_DAY * MS_PER_DAY
        length = block_ms(config, last_ms - start + 1)
        return cls(start, length, (last_ms - start) // length + 1)

    @property
    def n_days(self) -> int:
        """Days that the blocks reach into."""
        return -(-self.n_blocks * self.block_ms // MS_PER_DAY)


@dataclass(frozen=True)
class Rows:
    """Some columns of one symbol: times ascending (n,), codes of features (k, n) and labels (m, n), labels (m, n).

    `subsets` (s, n) marks the times of each subset, the first of which is all times; `n_infinite` (k,) counts the
    infinite feature values, which are taken for missing. `partners` remembers what `find_partners` found.
    """

    times_ms: Integers
    features: Codes
    labels: Codes
    label_values: Floats
    subsets: npt.NDArray[np.bool_]
    n_infinite: Integers
    partners: dict[int, Integers] = field(default_factory=dict)

    @classmethod
    def from_arrays(
        cls,
        times_ms: npt.ArrayLike,
        features: Floats,
        labels: Floats,
        subsets: npt.NDArray[np.bool_] | None = None,
        workers: int | None = None,
    ) -> Rows:
        """From features (n, k) and labels (n, m) with NaN where missing, in ascending order of time."""
        times = np.asarray(times_ms, dtype=np.int64)
        if (np.diff(times) <= 0).any():
            raise ValueError("times must be strictly ascending")
        keep = np.ones((1, times.size), np.bool_) if subsets is None else subsets
        infinite = np.isinf(features)
        finite_features, finite_labels = (
            np.where(infinite, np.nan, features),
            np.where(np.isinf(labels), np.nan, labels),
        )
        return cls(
            times,
            _code(finite_features, workers),
            _code(finite_labels, workers),
            np.ascontiguousarray(finite_labels.T),
            keep,
            infinite.sum(axis=0),
        )

    def find_partners(self, lag_ms: int) -> Integers:
        """For each row the row whose time is `lag_ms` earlier, -1 where there is none."""
        if lag_ms not in self.partners:
            wanted = self.times_ms - lag_ms
            rows = np.searchsorted(self.times_ms, wanted)
            found = self.times_ms[np.minimum(rows, self.times_ms.size - 1)] == wanted
            self.partners[lag_ms] = np.where(found, rows, -1)
        return self.partners[lag_ms]


@dataclass(frozen=True)
class Presence:
    """What is there: times of each subset (s,), feature values (s, k) and label values (s, m) in it, infinite feature
    values (k,), and which features (k,) and labels (m,) take more than one value."""

    times: Integers
    features: Integers
    labels: Integers
    infinite: Integers
    feature_varies: npt.NDArray[np.bool_]
    label_varies: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, rows: Rows) -> Presence:
        """Of one symbol."""
        return cls(
            rows.subsets.sum(axis=1),
            np.array([[(codes[keep] >= 0).sum() for codes in rows.features] for keep in rows.subsets]),
            np.array([[(codes[keep] >= 0).sum() for codes in rows.labels] for keep in rows.subsets]),
            rows.n_infinite,
            _varies(rows.features),
            _varies(rows.labels),
        )

    @classmethod
    def pooled(cls, parts: list[Presence]) -> Presence:
        """Of several symbols together."""
        return cls(
            *(
                np.sum([getattr(part, name) for part in parts], axis=0)
                for name in ("times", "features", "labels", "infinite")
            ),
            *(np.any([getattr(part, name) for part in parts], axis=0) for name in ("feature_varies", "label_varies")),
        )


@dataclass(frozen=True)
class Measures:
    """What is measured for s subsets, m labels and k features, over b blocks, d days and f fifths.

    `ic` and `n_pairs` have shape (s, m, k); `influence` and `counts` (s, m, k, b); `fifth_sums` and `fifth_counts`
    (s, m, k, f). `daily_ic` and `daily_pairs` (m, k, d) and `persistence` and `persistence_pairs` (m, k), the rank
    correlation of a feature with itself a horizon earlier, are over all times. NaN where there is no correlation.
    """

    ic: Floats
    n_pairs: Integers
    influence: Floats
    counts: Codes
    fifth_sums: Floats
    fifth_counts: Integers
    daily_ic: Floats
    daily_pairs: Integers
    persistence: Floats
    persistence_pairs: Integers
    presence: Presence

    @classmethod
    def empty(cls, rows: Rows, clock: Clock, config: IcConfig) -> Measures:
        """Of these rows, before anything is measured."""
        pairs = (len(rows.labels), len(rows.features))
        cells, days = (len(rows.subsets), *pairs), (*pairs, clock.n_days)
        return cls(
            ic=np.full(cells, np.nan),
            n_pairs=np.zeros(cells, np.int64),
            influence=np.zeros((*cells, clock.n_blocks)),
            counts=np.zeros((*cells, clock.n_blocks), np.int32),
            fifth_sums=np.zeros((*cells, config.n_fifths)),
            fifth_counts=np.zeros((*cells, config.n_fifths), np.int64),
            daily_ic=np.full(days, np.nan),
            daily_pairs=np.zeros(days, np.int64),
            persistence=np.full(pairs, np.nan),
            persistence_pairs=np.zeros(pairs, np.int64),
            presence=Presence.of(rows),
        )


def measure(
    rows: Rows,
    targets: tuple[Target, ...],
    clock: Clock,
    config: IcConfig,
    workers: int | None = None,
    whole_only: bool = False,
) -> Measures:
    """Every feature of `rows` against every label, those of `targets` in order, on `workers` threads.

    Spearman's correlation of the complete pairs; sums over the blocks of `clock` for the inference; the correlation
    within each day among pairs whose label ends in it, so that days share no return, NaN below `min_day_pairs` of them;
    mean labels by fifth; persistence.
    With `whole_only` days and persistence are left out.
    """
    result = Measures.empty(rows, clock, config)
    features = range(len(rows.features))
    block = ((rows.times_ms - clock.start_ms) // clock.block_ms).astype(np.int32)
    tasks = [partial(_measure_whole, rows, block, result, feature) for feature in features]
    if not whole_only:
        days = _Days.of(rows, targets, clock, config)
        tasks += [partial(_measure_days, rows, days, result, feature) for feature in features]
        tasks += [partial(_measure_persistence, rows, targets, result, feature) for feature in features]
        for target in targets:
            rows.find_partners(target.horizon_s * MS_PER_S)
    for _ in ordered_map(_run, tasks, workers, kind="threads"):
        pass
    result.daily_ic[result.daily_pairs < config.min_day_pairs] = np.nan
    return result


def pool(by_symbol: list[Measures]) -> Measures:
    """The symbols together: pairs ranked within their symbol, blocks and days of the same time added up.

    A pooled correlation is the mean of the symbols' weighted by pairs, which is the mean product of ranks standardised
    within symbols. A symbol without a correlation takes no part.
    """
    added = {
        name: reduce(np.add, [getattr(each, name) for each in by_symbol])
        for name in ("influence", "counts", "fifth_sums", "fifth_counts")
    }
    ic, n_pairs = _weigh([(each.ic, each.n_pairs) for each in by_symbol])
    daily_ic, daily_pairs = _weigh([(each.daily_ic, each.daily_pairs) for each in by_symbol])
    persistence, persistence_pairs = _weigh([(each.persistence, each.persistence_pairs) for each in by_symbol])
    return Measures(
        ic=ic,
        n_pairs=n_pairs,
        daily_ic=daily_ic,
        daily_pairs=daily_pairs,
        persistence=persistence,
        persistence_pairs=persistence_pairs,
        presence=Presence.pooled([each.presence for each in by_symbol]),
        **added,
    )


def _code(matrix: Floats, workers: int | None) -> Codes:
    """Codes (k, n) of the columns of a matrix (n, k), -1 where NaN."""
    # A tie's mean rank lies between the ranks it takes, so its whole part is its own.
    ranks = np.nan_to_num(np.floor(rank_columns(matrix, count_workers(workers))), nan=0.0) - 1.0
    return np.ascontiguousarray(ranks.T, dtype=np.int32)


def _varies(columns: Codes) -> npt.NDArray[np.bool_]:
    """Codes begin at 0 and ties share one, so more than one value means a code above that of the smallest."""
    smallest = np.where(columns >= 0, columns, np.iinfo(np.int32).max).min(axis=1)
    return np.asarray(columns.max(axis=1) > smallest)


@dataclass(frozen=True)
class _Days:
    """The day of each row (n,), its first row (d,), by label one past the last row whose label ends in it (m, d), and
    the labels' codes within days (m, n)."""

    day: Integers
    starts: Integers
    stops: Integers
    labels: Codes

    @classmethod
    def of(cls, rows: Rows, targets: tuple[Target, ...], clock: Clock, config: IcConfig) -> _Days:
        day = (rows.times_ms - clock.start_ms) // MS_PER_DAY
        edges = clock.start_ms + MS_PER_DAY * np.arange(clock.n_days + 1)
        starts = np.searchsorted(rows.times_ms, edges[:-1])
        lengths_ms = [round((target.horizon_s + config.decision_delay_s) * MS_PER_S) for target in targets]
        stops = [
            np.maximum(starts, np.searchsorted(rows.times_ms, edges[1:] - length_ms, side="right"))
            for length_ms in lengths_ms
        ]
        labels = [code_days(codes, day, clock.n_days) for codes in rows.labels]
        return cls(day, starts, np.array(stops), np.array(labels))


def _run(task: partial[None]) -> None:
    task()


def _measure_whole(rows: Rows, block: Codes, result: Measures, feature: int) -> None:
    for subset, keep in enumerate(rows.subsets):
        places, codes = pick(rows.features[feature], keep)
        for label, others in enumerate(rows.labels):
            at = (subset, label, feature)
            result.ic[at], result.n_pairs[at] = measure_pair(
                places,
                codes,
                others,
                rows.label_values[label],
                block,
                result.influence[at],
                result.counts[at],
                result.fifth_sums[at],
                result.fifth_counts[at],
            )


def _measure_days(rows: Rows, days: _Days, result: Measures, feature: int) -> None:
    codes = code_days(rows.features[feature], days.day, result.daily_ic.shape[-1])
    for label, others in enumerate(days.labels):
        at = (label, feature)
        correlate_days(codes, others, days.starts, days.stops[label], result.daily_ic[at], result.daily_pairs[at])


def _measure_persistence(rows: Rows, targets: tuple[Target, ...], result: Measures, feature: int) -> None:
    codes = rows.features[feature]
    places, picked = pick(codes, rows.subsets[0])
    by_horizon: dict[int, tuple[float, int]] = {}
    for label, target in enumerate(targets):
        if target.horizon_s not in by_horizon:
            partners = rows.find_partners(target.horizon_s * MS_PER_S)
            earlier = np.where(partners >= 0, codes[partners], np.int32(-1))
            by_horizon[target.horizon_s] = correlate(places, picked, earlier)
        result.persistence[label, feature], result.persistence_pairs[label, feature] = by_horizon[target.horizon_s]


def _weigh(parts: list[tuple[Floats, Integers]]) -> tuple[Floats, Integers]:
    """The mean of the correlations weighted by their pairs, and those pairs; where there is none NaN, and all pairs."""
    values, pairs = np.array([part[0] for part in parts]), np.array([part[1] for part in parts])
    weights = np.where(np.isnan(values), 0, pairs)
    total = weights.sum(axis=0)
    summed = (np.nan_to_num(values) * weights).sum(axis=0)
    mean = np.divide(summed, total, out=np.full(total.shape, np.nan), where=total > 0)
    return mean, np.where(total > 0, total, pairs.sum(axis=0))
