"""Intervals and p-values of rank correlations that hold under overlap: from sums of influence values over time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from liqlab.core.parallel import ordered_map
from liqlab.core.time import MS_PER_S
from liqlab.models._ic_config import IcConfig, Target
from liqlab.models._ic_measure import Clock, Codes, Floats, Integers, Measures, Rows, measure
from liqlab.stats import BootstrapMeans, choose_cosines, fixed_b_means, studentised_bootstrap

#: The bootstrap's blocks are at least this many horizons long.
HORIZONS_PER_BLOCK = 2
#: Steps of the fixed-b series within one horizon: as many as its cosines could tell apart, and more.
STEPS_PER_HORIZON = 12
#: Correlations whose bootstrap is drawn together.
_CELLS_AT_ONCE = 192


#: The subset of all times, the first; only it is bootstrapped, for a second opinion on every regime would cost thrice.
EVERY_TIME = 0


@dataclass(frozen=True)
class IcInference:
    """Intervals and two-sided p-values of correlations, in arrays of one shape; NaN where they cannot be had.

    `n_cosines` and `n_blocks` are what the two procedures had to work with, 0 where it was too little.
    """

    p: Floats
    ci_low: Floats
    ci_high: Floats
    p_bootstrap: Floats
    ci_low_bootstrap: Floats
    ci_high_bootstrap: Floats
    n_cosines: Integers
    n_blocks: Integers

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> IcInference:
        """Nothing known yet."""
        p, low, high, p_bootstrap, low_bootstrap, high_bootstrap = np.full((6, *shape), np.nan)
        n_cosines, n_blocks = np.zeros((2, *shape), np.int64)
        return cls(p, low, high, p_bootstrap, low_bootstrap, high_bootstrap, n_cosines, n_blocks)


@dataclass(frozen=True)
class IcEstimates:
    """Rank correlations (m, k) of k features with m labels, their numbers of pairs, and their inference."""

    ic: Floats
    n_pairs: Integers
    inference: IcInference


def estimate_ic(
    times_ms: npt.ArrayLike,
    features: npt.ArrayLike,
    labels: npt.ArrayLike,
    targets: tuple[Target, ...],
    config: IcConfig,
    workers: int | None = 1,
) -> IcEstimates:
    """Rank correlations with their inference from arrays: what `compute_ic` does for one symbol, without the rest.

    `times_ms` (n,) strictly ascending, `features` (n, k), `labels` (n, m) those of `targets` in order; NaN is missing,
    and so are infinite values. Columns that do not vary give NaN.
    """
    columns, targeted = np.asarray(features, np.float64), np.asarray(labels, np.float64)
    rows = Rows.from_arrays(times_ms, columns, targeted, workers=workers)
    clock = Clock.over(int(rows.times_ms[0]), int(rows.times_ms[-1]), config)
    measures = measure(rows, targets, clock, config, workers, whole_only=True)
    found = infer(measures, targets, clock, config, workers)
    whole = IcInference(**{name: values[0] for name, values in vars(found).items()})
    return IcEstimates(measures.ic[0], measures.n_pairs[0], whole)


def infer(
    measures: Measures, targets: tuple[Target, ...], clock: Clock, config: IcConfig, workers: int | None = None
) -> IcInference:
    """Inference for every correlation of `measures`, of shape (s, m, k) like them.

    Null hypothesis: the rank correlation is zero; alternative: it is not. A rank correlation r moves with each pair by
    psi / n, psi = z_x z_y - r (z_x^2 + z_y^2) / 2: the influence of a correlation (Devlin, Gnanadesikan and Kettenring
    1975, "Robust estimation and outlier detection with correlation coefficients", Biometrika 62), which for ranks holds
    where the mean rank of one side is linear in that of the other, so exactly under independence. Sums of psi over
    blocks of time, added over the symbols that are observed in them, make a series whose mean is zero and whose
    long-run variance is that of r. Both work on atanh r (Fisher 1921), so that intervals stay within -1 and 1:

    - fixed-b: `fixed_b_means` on the series of blocks, the cosines chosen for an overlap of the horizon;
    - bootstrap: `studentised_bootstrap` of longer blocks, at least twice the horizon. Blocks of L miss what neighbours
      share. For a triangular autocovariance of length h, which overlap gives to a feature that hardly moves and to no
      other one more, that is h / 3L of the long-run variance; the standard error is enlarged by it.

    Time without any pair that lasts longer than the horizon counts as one horizon: no label reaches across it.
    """
    result = IcInference.empty(measures.ic.shape)
    places = [(subset, label) for subset in range(len(measures.ic)) for label in range(len(targets))]
    infer_at = partial(_infer_fixed_b, result, measures, targets, clock, config)
    blocks = [found for part in ordered_map(infer_at, places, workers, kind="threads") for found in part]
    draw = partial(_draw, config)
    batches = list(_batch(blocks))
    for batch, drawn in zip(batches, ordered_map(draw, batches, workers, kind="threads"), strict=True):
        _fill_bootstrap(result, batch, drawn)
    return result


@dataclass(frozen=True)
class _Blocks:
    """One correlation cut into blocks for the bootstrap: sums of influence on atanh r, and pairs, both (g,).

    `kept` is the share of the standard error that blocks of this length see.
    """

    at: tuple[int, int, int]
    centre: float
    sums: Floats
    counts: Floats
    kept: float


def _infer_fixed_b(
    result: IcInference,
    measures: Measures,
    targets: tuple[Target, ...],
    clock: Clock,
    config: IcConfig,
    place: tuple[int, int],
) -> list[_Blocks]:
    """Fill the fixed-b part of one subset and label; return the blocks of its bootstrap."""
    ic, n_pairs, counts = measures.ic[place], measures.n_pairs[place], measures.counts[place]
    steps = max(1, -(-targets[place[1]].dependence_s(config) * MS_PER_S // clock.block_ms))
    testable = np.flatnonzero((n_pairs >= config.min_pairs) & (np.abs(ic) < 1.0))
    found: list[_Blocks] = []
    for times, columns in _by_time(counts, testable, steps):
        centre = np.arctanh(ic[columns])
        moves = measures.influence[place][np.ix_(columns, times)] / (1.0 - ic[columns, None] ** 2)
        occupied = counts[np.ix_(columns, times)]
        _fill_fixed_b(result, place, columns, centre, moves / n_pairs[columns, None], steps)
        edges = _cut(times.size, steps, config)
        if place[0] == EVERY_TIME and edges.size >= config.min_blocks:
            kept = float(np.sqrt(1.0 - steps * edges.size / (3.0 * times.size)))
            sums, pairs = np.add.reduceat(moves, edges, axis=1), np.add.reduceat(occupied, edges, axis=1)
            found += [
                _Blocks((*place, column), float(middle), column_sums, column_pairs.astype(np.float64), kept)
                for column, middle, column_sums, column_pairs in zip(columns.tolist(), centre, sums, pairs, strict=True)
            ]
    return found


def _by_time(counts: Codes, columns: Integers, steps: int) -> list[tuple[Integers, Integers]]:
    """Columns that live on the same blocks of time, and those blocks before them.

    A block counts when a pair lies in it or less than `steps` blocks before it, between the first pair and the last.
    """
    blocks_of: dict[bytes, Integers] = {}
    columns_of: dict[bytes, list[int]] = {}
    index = np.arange(counts.shape[1])
    for column in columns.tolist():
        latest = np.maximum.accumulate(np.where(counts[column] > 0, index, -steps))
        blocks = np.flatnonzero(index - latest < steps)
        blocks = blocks[blocks <= latest[-1]]
        key = blocks.tobytes()
        blocks_of[key] = blocks
        columns_of.setdefault(key, []).append(column)
    return [(blocks_of[key], np.array(found)) for key, found in columns_of.items()]


def _fill_fixed_b(
    result: IcInference, place: tuple[int, int], columns: Integers, centre: Floats, moves: Floats, steps: int
) -> None:
    """Fixed-b inference of columns with `moves` (columns, times), the part of each time in atanh r."""
    together = max(1, steps // STEPS_PER_HORIZON)
    if together > 1:
        moves = np.add.reduceat(moves, np.arange(0, moves.shape[1], together), axis=1)
    n_times = moves.shape[1]
    n_cosines = choose_cosines(n_times, -(-steps // together))
    if n_cosines is None:
        return
    found = fixed_b_means((centre[:, None] + n_times * moves).T, n_cosines)
    at = (*place, columns)
    result.n_cosines[at] = n_cosines
    result.p[at] = found.p
    result.ci_low[at], result.ci_high[at] = np.tanh(found.ci_low), np.tanh(found.ci_high)


def _cut(n_times: int, steps: int, config: IcConfig) -> Integers:
    """Where the bootstrap's blocks begin: `bootstrap_blocks` of equal length, or fewer, none too short."""
    n_blocks = min(config.bootstrap_blocks, n_times // (HORIZONS_PER_BLOCK * steps))
    return np.arange(n_blocks) * n_times // max(n_blocks, 1)


def _batch(blocks: list[_Blocks]) -> Iterator[list[_Blocks]]:
    """Correlations with equally many blocks can share their draws."""
    by_size: dict[int, list[_Blocks]] = {}
    for found in blocks:
        by_size.setdefault(found.sums.size, []).append(found)
    for same in by_size.values():
        for start in range(0, len(same), _CELLS_AT_ONCE):
            yield same[start : start + _CELLS_AT_ONCE]


def _draw(config: IcConfig, batch: list[_Blocks]) -> BootstrapMeans:
    counts = np.column_stack([found.counts for found in batch])
    # t = mean / (error / kept) is the t of a mean shrunk by `kept`; deviations from the mean stay what they are.
    shrunk = np.array([found.kept * found.centre for found in batch])
    sums = np.column_stack([found.sums for found in batch]) + shrunk * counts
    return studentised_bootstrap(sums, counts, config.n_resamples, config.seed)


def _fill_bootstrap(result: IcInference, batch: list[_Blocks], drawn: BootstrapMeans) -> None:
    for place, found in enumerate(batch):
        result.n_blocks[found.at] = found.sums.size
        result.p_bootstrap[found.at] = drawn.p[place]
        result.ci_low_bootstrap[found.at] = np.tanh(drawn.ci_low[place] / found.kept)
        result.ci_high_bootstrap[found.at] = np.tanh(drawn.ci_high[place] / found.kept)
