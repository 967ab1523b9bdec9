"""One inference for all questions: influence summed over blocks of time of several lengths, the widest interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.core.config import bounded, check_bounds
from liqlab.core.time import MS_PER_MINUTE
from liqlab.stats import MIN_BLOCKS, jackknife_t, studentised_bootstrap
from liqlab.study._protocol import Finding

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


#: Between the least and the longest, blocks of so many times the least are tried.
_BETWEEN = 4


@dataclass(frozen=True)
class QuestionConfig:
    """What all questions share: resamples behind an interval, their seed, and how long blocks of time are.

    Blocks are `block_least_min`, four times that, and `block_longest_min` long, each at least twice the horizon.
    """

    n_resamples: int = bounded(4_999, 999, 1_000_000)
    seed: int = bounded(0, 0, 2**63 - 1)
    block_least_min: int = bounded(30, 5, 1_440)
    block_longest_min: int = bounded(360, 30, 10_080)

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class Answer:
    """What one question gives: a finding for each of its hypotheses, exploratory tables by name, and what to mind.

    The tables have no verdict: splits by symbol, horizon and regime, descriptions, figures' data. `notes` are sentences
    for the reader.
    """

    question: str
    findings: tuple[Finding, ...]
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class BlockInference:
    """An estimate with its 95 % interval and two-sided p against the null value; NaN where it cannot be had.

    `lengths_min` are the lengths of blocks tried, the shortest of which is `block_min`, with `n_blocks` blocks.
    """

    estimate: float
    ci_low: float
    ci_high: float
    p: float
    n: int
    n_blocks: int
    lengths_min: tuple[int, ...]
    resampled: bool = True

    @classmethod
    def unknown(cls, n: int = 0) -> BlockInference:
        """Nothing to infer from."""
        return cls(*(float("nan"),) * 4, n, 0, ())

    @property
    def block_min(self) -> int:
        """The shortest length; 0 where nothing was inferred."""
        return min(self.lengths_min, default=0)

    @property
    def method(self) -> str:
        """In words, for the table of verdicts."""
        lengths = ", ".join(str(length) for length in self.lengths_min)
        how = "studentised bootstrap and jackknife" if self.resampled else "jackknife"
        return f"the widest interval of {how} over blocks of {lengths} min"


def infer_mean(
    times_ms: npt.ArrayLike,
    values: npt.ArrayLike,
    horizon_ms: int,
    config: QuestionConfig,
    null: float = 0.0,
    *,
    resample: bool = True,
) -> BlockInference:
    """The mean of values (n,) observed at times (n,), any order, dependent within blocks of time.

    Null hypothesis: the mean is `null`; alternative: it is not. NaN values are left out. Values of all symbols go in
    together, so that those at the same time share a block. `resample` as in `infer_from_influence`.
    """
    times, sample = np.asarray(times_ms, dtype=np.int64), np.asarray(values, dtype=np.float64)
    known = np.isfinite(sample)
    times, sample = times[known], sample[known]
    if not sample.size:
        return BlockInference.unknown()
    mean = float(sample.mean())
    return infer_from_influence(times, sample - mean, mean, horizon_ms, config, null, resample=resample)


def infer_from_influence(
    times_ms: npt.ArrayLike,
    influence: npt.ArrayLike,
    estimate: float,
    horizon_ms: int,
    config: QuestionConfig,
    null: float = 0.0,
    weights: npt.ArrayLike | None = None,
    *,
    resample: bool = True,
) -> BlockInference:
    """An asymptotically linear estimate: estimate - truth is about the mean of the influence values (n,), of mean zero.

    For a ratio sum a / sum b, `weights` (n,) are b and the influence is a - estimate x b, so that resampled blocks also
    differ in what the estimate is divided by; for a coefficient of a regression both are in its `RegressionFit`.
    Influence is summed over calendar blocks with all symbols of a block together. Null hypothesis: the estimand is
    `null`; alternative: it is not.

    No single length of blocks is right: a short one misses what lasts longer, a long one leaves few blocks, and a
    length chosen by the sample's own autocorrelation is too short where events come in bursts. So `stats.jackknife_t`
    and, unless `resample` is false (few values that differ from zero are resampled badly),
    `stats.studentised_bootstrap` are taken over blocks of each length with at least 8 of them; the interval reaches
    from the lowest end to the highest, and p is the largest. Each is right where its own assumptions hold, so the
    whole errs only where all do.
    """
    times, psi = np.asarray(times_ms, dtype=np.int64), np.asarray(influence, dtype=np.float64)
    size = np.ones(psi.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    lengths = list_lengths_ms(horizon_ms, config)
    found, n_blocks = [], 0
    for length_ms in lengths:
        _, blocks = np.unique(times // length_ms, return_inverse=True)
        counts = np.bincount(blocks, weights=size)
        sums = np.bincount(blocks, weights=psi) + (estimate - null) * counts
        if length_ms == lengths[0]:
            n_blocks = len(counts)
        elif len(counts) < MIN_BLOCKS:
            break
        found.append(jackknife_t(sums[:, None], counts[:, None]))
        if resample:
            found.append(studentised_bootstrap(sums[:, None], counts[:, None], config.n_resamples, config.seed))
    used = tuple(length // MS_PER_MINUTE for length in lengths[: len(found) // (2 if resample else 1)])
    return BlockInference(
        estimate,
        float(np.min([one.ci_low[0] for one in found])) + null,
        float(np.max([one.ci_high[0] for one in found])) + null,
        float(np.max([one.p[0] for one in found])),
        len(psi),
        n_blocks,
        used,
        resample,
    )


def list_lengths_ms(horizon_ms: int, config: QuestionConfig) -> tuple[int, ...]:
    """The lengths of blocks, ascending; the shortest is at least twice the horizon, in whole multiples of the least."""
    least_ms = config.block_least_min * MS_PER_MINUTE
    shortest = max(least_ms, -(-2 * horizon_ms // least_ms) * least_ms)
    longer = (_BETWEEN * least_ms, config.block_longest_min * MS_PER_MINUTE)
    return (shortest, *(length for length in sorted(set(longer)) if length > shortest))
