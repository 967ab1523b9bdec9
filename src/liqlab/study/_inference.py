"""One inference for all questions: influence summed over blocks of time, then the studentised block bootstrap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.core.config import bounded, check_bounds
from liqlab.core.time import MS_PER_MINUTE
from liqlab.stats import choose_block_length, studentised_bootstrap
from liqlab.study._protocol import Finding

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class QuestionConfig:
    """What all questions share: resamples behind an interval, their seed, and how long a block of time may be.

    Blocks are at least `block_least_min` and at most `block_longest_min` long, whatever the data asks for, and at least
    twice the horizon.
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
    """An estimate with its 95 % interval and two-sided p against the null value; NaN where it cannot be had."""

    estimate: float
    ci_low: float
    ci_high: float
    p: float
    n: int
    n_blocks: int
    block_min: int

    @property
    def method(self) -> str:
        """In words, for the table of verdicts."""
        return f"studentised bootstrap of {self.n_blocks} blocks of {self.block_min} min"


def infer_mean(
    times_ms: npt.ArrayLike, values: npt.ArrayLike, horizon_ms: int, config: QuestionConfig, null: float = 0.0
) -> BlockInference:
    """The mean of values (n,) observed at times (n,), any order, dependent within blocks of time.

    Null hypothesis: the mean is `null`; alternative: it is not. NaN values are left out. Values of all symbols go in
    together, so that those at the same time share a block.
    """
    times, sample = np.asarray(times_ms, dtype=np.int64), np.asarray(values, dtype=np.float64)
    known = np.isfinite(sample)
    times, sample = times[known], sample[known]
    if not sample.size:
        return BlockInference(*(float("nan"),) * 4, 0, 0, 0)
    return infer_from_influence(times, sample - sample.mean(), float(sample.mean()), horizon_ms, config, null)


def infer_from_influence(
    times_ms: npt.ArrayLike,
    influence: npt.ArrayLike,
    estimate: float,
    horizon_ms: int,
    config: QuestionConfig,
    null: float = 0.0,
    weights: npt.ArrayLike | None = None,
) -> BlockInference:
    """An asymptotically linear estimate: estimate - truth is about the mean of the influence values (n,), of mean zero.

    For a ratio sum a / sum b, `weights` (n,) are b and the influence is a - estimate x b, so that resampled blocks also
    differ in what the estimate is divided by; for a coefficient of a regression both are in its `RegressionFit`.
    Influence is summed over calendar blocks with all symbols of a block together; interval and p are those of
    `stats.studentised_bootstrap` on the blocks. Null hypothesis: the estimand is `null`; alternative: it is not.
    """
    times, psi = np.asarray(times_ms, dtype=np.int64), np.asarray(influence, dtype=np.float64)
    block_ms = choose_block_ms(times, psi, horizon_ms, config)
    _, blocks = np.unique(times // block_ms, return_inverse=True)
    counts = np.bincount(blocks, weights=None if weights is None else np.asarray(weights)).astype(np.float64)
    sums = np.bincount(blocks, weights=psi) + (estimate - null) * counts
    drawn = studentised_bootstrap(sums[:, None], counts[:, None], config.n_resamples, config.seed)
    return BlockInference(
        estimate,
        float(drawn.ci_low[0]) + null,
        float(drawn.ci_high[0]) + null,
        float(drawn.p[0]),
        len(psi),
        len(counts),
        block_ms // MS_PER_MINUTE,
    )


def choose_block_ms(times_ms: Integers, influence: Floats, horizon_ms: int, config: QuestionConfig) -> int:
    """Length of a block of time: the rule of Politis and White on sums over the shortest blocks, within the bounds.

    At least twice the horizon, in whole multiples of the shortest block.
    """
    least_ms = config.block_least_min * MS_PER_MINUTE
    bins = times_ms // least_ms
    sums = np.bincount(bins - bins.min(), weights=influence)
    wanted = choose_block_length(sums) * least_ms
    shortest = max(least_ms, -(-2 * horizon_ms // least_ms) * least_ms)
    longest = max(shortest, config.block_longest_min * MS_PER_MINUTE // least_ms * least_ms)
    return int(min(max(wanted, shortest), longest))
