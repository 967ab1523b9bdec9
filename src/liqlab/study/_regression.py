"""Least squares with the influence of every row on every coefficient, for inference over blocks of time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from liqlab.study._inference import BlockInference, Floats, Integers, QuestionConfig, infer_from_influence

Booleans = npt.NDArray[np.bool_]

#: A column of which less than this share (of its norm) is left beside the columns before it depends on them.
_DEPENDENT = 1e-7


@dataclass(frozen=True)
class RegressionFit:
    """Coefficients (k,) and, of the m rows used, influence and weight on each of them (m, k).

    The mean of a coefficient's influence is zero, and coefficient - truth is about the mean that the influence would
    have at the truth: what `infer_from_influence` takes. The weights have a mean of one: the share of a row in what the
    coefficient is divided by, for blocks of which some hold most of the information. `used` (n,) marks the rows.
    """

    coefficients: Floats
    influence: Floats
    weights: Floats
    used: Booleans

    @property
    def n(self) -> int:
        """Rows used."""
        return len(self.influence)


def fit_least_squares(y: npt.ArrayLike, x: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> RegressionFit:
    """Least squares of `y` (n,) on the columns of `x` (n, k), with `weights` (n,) of the squared errors if given.

    With residuals e, weights w and z_j what is left of column j when the other columns are taken out of it (weighted),
    b_j = sum w z_j y / sum w z_j^2 (Frisch and Waugh 1933). The influence of row i on it is w_i z_ij e_i /
    mean(w z_j^2), its weight w_i z_ij^2 / mean(w z_j^2). A constant is a column of ones, given by the caller.

    A column that depends on the columns before it, or is zero throughout, is left out: its coefficient, influence and
    weights are NaN. So controls come first and what is asked about last. Rows with a value that is not finite, or
    without a weight above zero, are left out. With no more rows than columns everything is NaN. Unlike lengths are a
    ValueError.
    """
    target, columns = np.asarray(y, dtype=np.float64), np.asarray(x, dtype=np.float64)
    if target.ndim != 1 or columns.ndim != 2 or len(target) != len(columns):
        raise ValueError(f"y must be (n,) and x (n, k), got {target.shape} and {columns.shape}")
    used = np.isfinite(target) & np.isfinite(columns).all(axis=1)
    root = None
    if weights is not None:
        scale = np.asarray(weights, dtype=np.float64)
        used &= np.isfinite(scale) & (scale > 0.0)
        root = np.sqrt(scale[used])
    target, columns = target[used], columns[used]
    if root is not None:
        target, columns = target * root, columns * root[:, None]
    return _solve(target, columns, used)


def infer_coefficient(
    fit: RegressionFit, column: int, times_ms: Integers, horizon_ms: int, config: QuestionConfig, sign: int = 1
) -> BlockInference:
    """`sign` times a coefficient, over blocks of time; `times_ms` (n,) are those of all rows given to the fit.

    Null hypothesis: the coefficient is zero; alternative: it is not. NaN for a column that was left out.
    """
    influence = fit.influence[:, column]
    if not np.isfinite(fit.coefficients[column]) or not influence.any():
        return BlockInference.unknown(fit.n)
    estimate = sign * float(fit.coefficients[column])
    times = times_ms[fit.used]
    return infer_from_influence(times, sign * influence, estimate, horizon_ms, config, weights=fit.weights[:, column])


def _solve(y: Floats, x: Floats, used: Booleans) -> RegressionFit:
    n, k = x.shape
    coefficients = np.full(k, np.nan)
    norms = np.sqrt(np.einsum("ij,ij->j", x, x))
    kept, factor = _factorise(x, norms) if n > k else (np.zeros(0, np.int64), np.zeros((0, 0)))
    if not kept.size:
        return RegressionFit(coefficients, np.full((n, k), np.nan), np.full((n, k), np.nan), used)
    scaled = x if len(kept) == k else x[:, kept]
    scaled = scaled / norms[kept]
    inverse = _invert_gram(factor)
    solution = inverse @ (scaled.T @ y)
    # One step of refinement: the normal equations alone lose half of the digits.
    solution += inverse @ (scaled.T @ (y - scaled @ solution))
    coefficients[kept] = solution / norms[kept]
    left = (scaled @ inverse) / np.diag(inverse)
    spread = left**2
    mean = spread.mean(axis=0)
    score = left * (y - scaled @ solution)[:, None] / (mean * norms[kept])
    if len(kept) == k:
        return RegressionFit(coefficients, score, spread / mean, used)
    influence, weight = np.full((n, k), np.nan), np.full((n, k), np.nan)
    influence[:, kept], weight[:, kept] = score, spread / mean
    return RegressionFit(coefficients, influence, weight, used)


def _factorise(x: Floats, norms: Floats) -> tuple[Integers, Floats]:
    """Columns that do not depend on those before them, and the triangle R of these, scaled to norm one."""
    kept = np.flatnonzero(norms > 0.0)
    factor = _triangle(x[:, kept] / norms[kept]) if kept.size else np.zeros((0, 0))
    independent = np.abs(np.diag(factor)) > _DEPENDENT
    if not independent.all():
        kept = kept[independent]
        factor = _triangle(factor[:, independent])
    return kept, factor


def _triangle(x: Floats) -> Floats:
    return np.asarray(np.linalg.qr(x, mode="r"))


def _invert_gram(factor: Floats) -> Floats:
    inverse = np.linalg.inv(factor)
    gram: Floats = inverse @ inverse.T
    return gram
