"""Adjusted p-values for families of tests, some of which could not be made.

A NaN p-value is a test that could not be made: it stays NaN, and counts as p = 1 in its family, so that a test which
fails for want of data never makes the others easier. Adjusted values are compared with the level directly.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def adjust_bonferroni(p: npt.ArrayLike, family_size: int | None = None) -> Floats:
    """min(1, N p) of p-values (n,), N the size of the family: the chance of any false rejection is at most the level.

    Holds under any dependence. `adjust_holm` promises the same and rejects at least as much. See `adjust_holm` for
    `family_size` and errors.
    """
    return _adjust(p, _bonferroni, family_size)


def adjust_holm(p: npt.ArrayLike, family_size: int | None = None) -> Floats:
    """Holm's adjusted p-values of p (n,): the chance of any false rejection is at most the level, under any dependence.

    In ascending order p_(1) <= ..., adjusted_(i) = max_{j <= i} min(1, (N - j + 1) p_(j)): Holm (1979), "A simple
    sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6. N is `family_size`, by
    default n; tests of the family that are not in p count as p = 1. NaN stays NaN and counts as 1. A p outside [0, 1]
    and a family smaller than p are ValueErrors.

    >>> adjust_holm([0.01, float("nan"), 0.02]).tolist()
    [0.03, nan, 0.04]
    """
    return _adjust(p, _holm, family_size)


def adjust_benjamini_hochberg(p: npt.ArrayLike, family_size: int | None = None) -> Floats:
    """Adjusted p-values (n,) that bound the expected share of false rejections among all, for independent tests.

    In ascending order adjusted_(i) = min_{j >= i} min(1, N p_(j) / j): Benjamini and Hochberg (1995), "Controlling the
    false discovery rate", Journal of the Royal Statistical Society B 57; it holds under positive dependence too
    (Benjamini and Yekutieli 2001). Computed by SciPy. See `adjust_holm` for `family_size`, NaN and errors.

    >>> adjust_benjamini_hochberg([0.01, float("nan"), 0.02]).round(6).tolist()
    [0.03, nan, 0.03]
    """
    return _adjust(p, _false_discovery("bh"), family_size)


def adjust_benjamini_yekutieli(p: npt.ArrayLike, family_size: int | None = None) -> Floats:
    """Like `adjust_benjamini_hochberg`, times sum_{j=1..N} 1 / j: holds under any dependence.

    Benjamini and Yekutieli (2001), "The control of the false discovery rate in multiple testing under dependency",
    Annals of Statistics 29. See `adjust_holm` for `family_size`, NaN and errors.
    """
    return _adjust(p, _false_discovery("by"), family_size)


def _adjust(p: npt.ArrayLike, method: Callable[[Floats], Floats], family_size: int | None) -> Floats:
    values = np.asarray(p, dtype=np.float64)
    tested = ~np.isnan(values)
    size = values.size if family_size is None else family_size
    if ((values[tested] < 0.0) | (values[tested] > 1.0)).any():
        raise ValueError("p-values must lie in [0, 1]")
    if values.ndim != 1 or size < values.size:
        raise ValueError(f"p must be one-dimensional with at most family_size={size} entries, got shape {values.shape}")
    adjusted = np.full(values.shape, np.nan)
    if tested.any():
        family = np.ones(size)
        family[: values.size][tested] = values[tested]
        adjusted[tested] = method(family)[: values.size][tested]
    return adjusted


def _bonferroni(family: Floats) -> Floats:
    return np.minimum(family.size * family, 1.0)


def _holm(family: Floats) -> Floats:
    # statsmodels has it too, with a full garbage collection per call, which takes longer than a large table's tests.
    order = np.argsort(family, kind="stable")
    adjusted = np.empty_like(family)
    adjusted[order] = np.maximum.accumulate(np.arange(family.size, 0, -1) * family[order])
    return np.minimum(adjusted, 1.0)


def _false_discovery(method: Literal["bh", "by"]) -> Callable[[Floats], Floats]:
    from scipy.stats import false_discovery_control

    return partial(false_discovery_control, method=method)
