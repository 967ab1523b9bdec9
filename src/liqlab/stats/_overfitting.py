"""Probability of backtest overfitting, by combinatorially symmetric cross-validation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: C(20, 10) = 184,756 combinations; more blocks say no more.
MAX_BLOCKS = 20
#: Sharpe ratios held at a time: few enough to stay in the cache.
_CELLS_AT_ONCE = 1 << 16
#: A sum of squared deviations below this share of the squares is rounding.
_ROUNDING = 1e-24


@dataclass(frozen=True)
class Overfitting:
    """What choosing the best configuration is worth; the arrays hold one number for each combination (c,).

    `probability` is the share of combinations in which the configuration chosen in sample does no better than the
    median out of sample. `in_sample` and `out_of_sample` are its Sharpe ratios per period, `logits` those of its
    relative rank, `chosen` its column. `slope` and `intercept` are those of the least-squares line of out_of_sample on
    in_sample: a slope of about -1 or 0 is what choosing among noise gives. `loss_probability` is the share of
    combinations in which the chosen one loses out of sample. NaN where undefined.
    """

    probability: float
    mean_logit: float
    slope: float
    intercept: float
    loss_probability: float
    n_blocks: int
    n_combinations: int
    n_configurations: int
    logits: Floats
    in_sample: Floats
    out_of_sample: Floats
    chosen: npt.NDArray[np.int64]


def compute_overfitting(returns: npt.ArrayLike, n_blocks: int = 16) -> Overfitting:
    """Probability of backtest overfitting of returns (T, N): T periods in order of time, N configurations.

    The periods are cut into `n_blocks` S of consecutive ones, alike to one period (the first ones longer). Each choice
    of S / 2 blocks is a training set, the rest its test set. The configuration with the highest training Sharpe ratio
    (deviation with n - 1; the first of equals) has the average rank r among the N in the test set, relative rank
    w = r / (N + 1) and logit log(w / (1 - w)); the probability is the share of logits at or below zero. Bailey,
    Borwein, Lopez de Prado and Zhu (2017), "The probability of backtest overfitting", J. Computational Finance 20.

    A configuration that earned nothing at all in a half has the Sharpe ratio 0 there; one with the same return
    throughout, an infinite one. Those are left out of the line. Where all configurations are alike in every half,
    nothing was chosen and everything is NaN. `n_blocks` that is odd or outside [2, 20], fewer than two configurations,
    fewer periods than blocks or fewer than two in a half, and values that are not finite are a ValueError. Beyond its
    input and result it holds a few megabytes.
    """
    table = np.asarray(returns, dtype=np.float64)
    _check(table, n_blocks)
    sizes = np.full(n_blocks, len(table) // n_blocks)
    sizes[: len(table) % n_blocks] += 1
    blocks = _BlockSums.of(table, sizes)
    n_combinations, n_configurations = math.comb(n_blocks, n_blocks // 2), table.shape[1]
    logits, inside, outside = (np.empty(n_combinations) for _ in range(3))
    chosen = np.empty(n_combinations, dtype=np.int64)
    told_apart = False
    for part, member in _combinations(n_blocks, max(_CELLS_AT_ONCE // n_configurations, 1)):
        train, test = blocks.sharpe(member), blocks.sharpe(1.0 - member)
        told_apart |= bool((train != train[:, :1]).any())
        best = train.argmax(axis=1)
        rows = np.arange(len(best))
        chosen[part], inside[part], outside[part] = best, train[rows, best], test[rows, best]
        own = outside[part][:, None]
        rank = (test < own).sum(axis=1) + ((test == own).sum(axis=1) + 1) / 2.0
        logits[part] = np.log(rank / (n_configurations + 1.0 - rank))
    if not told_apart:
        logits = np.full(n_combinations, np.nan)
    slope, intercept = _line(inside, outside) if told_apart else (np.nan, np.nan)
    return Overfitting(
        probability=float((logits <= 0.0).mean()) if told_apart else np.nan,
        mean_logit=float(logits.mean()),
        slope=slope,
        intercept=intercept,
        loss_probability=float((outside < 0.0).mean()) if told_apart else np.nan,
        n_blocks=n_blocks,
        n_combinations=n_combinations,
        n_configurations=n_configurations,
        logits=logits,
        in_sample=inside,
        out_of_sample=outside,
        chosen=chosen,
    )


@dataclass(frozen=True)
class _BlockSums:
    """Each block's length (S,), and its sums and sums of squares (S, N) of returns less their mean (N,)."""

    sizes: Floats
    centre: Floats
    sums: Floats
    squares: Floats
    scale: Floats

    @staticmethod
    def of(table: Floats, sizes: npt.NDArray[np.int64]) -> _BlockSums:
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        centre = table.mean(axis=0)
        # Without the mean the squares suffer no cancellation. A constant column is left with exact zeros.
        constant = np.ptp(table, axis=0) == 0.0
        centred = np.where(constant, 0.0, table - np.where(constant, table[0], centre))
        return _BlockSums(
            sizes=sizes.astype(np.float64),
            centre=np.where(constant, table[0], centre),
            sums=np.add.reduceat(centred, starts, axis=0),
            squares=np.add.reduceat(centred**2, starts, axis=0),
            scale=_ROUNDING * np.abs(table).max(axis=0) ** 2,
        )

    def sharpe(self, member: Floats) -> Floats:
        """Sharpe ratios (c, N) over the blocks that each row of `member` (c, S) marks with 1."""
        count = (member @ self.sizes)[:, None]
        mean = member @ self.sums / count
        squares = member @ self.squares - count * mean**2
        mean += self.centre
        spread = squares > np.maximum(self.scale, 1e-14 * mean**2) * count
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio: Floats = mean / np.sqrt(np.where(spread, squares, 0.0) / (count - 1.0))
        # Earned nothing, or the same throughout: see compute_overfitting.
        nothing = ~spread & (np.abs(mean) <= np.sqrt(self.scale))
        return np.where(nothing, 0.0, ratio)


def _check(table: Floats, n_blocks: int) -> None:
    if table.ndim != 2 or table.shape[1] < 2:
        raise ValueError(f"returns must be (periods, at least 2 configurations), got shape {table.shape}")
    if n_blocks % 2 or not 2 <= n_blocks <= MAX_BLOCKS:
        raise ValueError(f"n_blocks must be even and lie in [2, {MAX_BLOCKS}], got {n_blocks}")
    if len(table) < max(n_blocks, 4):
        raise ValueError(f"{n_blocks} blocks need at least {max(n_blocks, 4)} periods, got {len(table)}")
    if not np.isfinite(table).all():
        raise ValueError("returns must be finite: a period without a trade is a return of 0")


def _combinations(n_blocks: int, at_once: int) -> Iterator[tuple[slice, Floats]]:
    """Every choice of half the blocks, in order, as rows of zeros and ones (c, S)."""
    choices = itertools.combinations(range(n_blocks), n_blocks // 2)
    start = 0
    while part := list(itertools.islice(choices, at_once)):
        member = np.zeros((len(part), n_blocks))
        np.put_along_axis(member, np.array(part), 1.0, axis=1)
        yield slice(start, start + len(part)), member
        start += len(part)


def _line(x: Floats, y: Floats) -> tuple[float, float]:
    """Slope and intercept by least squares over finite pairs; NaN without spread in x."""
    finite = np.isfinite(x) & np.isfinite(y)
    x, y = x[finite], y[finite]
    if x.size < 2 or not np.ptp(x) > 1e-12 * np.abs(x).max():
        return np.nan, np.nan
    centred = x - x.mean()
    slope = float(centred @ y / (centred @ centred))
    return slope, float(y.mean() - slope * x.mean())
