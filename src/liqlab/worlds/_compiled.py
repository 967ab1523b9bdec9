"""How the kernels of this folder are compiled, and the draws that they make by counting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_30, _27, _31, _11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_UNIT = 1.0 / 9007199254740992.0


def compiled(function: Function) -> Function:
    """`function` compiled at its first call, cached on disk, run without the interpreter lock."""
    made: Function = njit(cache=True, nogil=True)(function)
    return made


def inner(function: Function) -> Function:
    """`function` compiled as part of the compiled functions that call it: nothing else can call it."""
    made: Function = njit(nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)
    return made


@compiled
def mix(key: Any, counter: int) -> Any:
    """The `counter`-th of the stream `key` as 64 random bits (SplitMix64): the same on any machine and in any order."""
    z = key + _GOLDEN * np.uint64(counter + 1)
    z = (z ^ (z >> _30)) * _FIRST
    z = (z ^ (z >> _27)) * _SECOND
    return z ^ (z >> _31)


@compiled
def uniform(key: Any, counter: int) -> float:
    """The `counter`-th uniform in [0, 1) of the stream `key`."""
    return float(mix(key, counter) >> _11) * _UNIT


@compiled
def exponential(key: Any, counter: int) -> float:
    """The `counter`-th exponential with mean one of the stream `key`."""
    return float(-np.log(1.0 - uniform(key, counter)))


@compiled
def normal(key: Any, counter: int) -> float:
    """A standard normal from the draws `counter` and `counter` + 1 of the stream `key` (Box and Muller 1958)."""
    radius = np.sqrt(-2.0 * np.log(1.0 - uniform(key, counter)))
    return float(radius * np.cos(2.0 * np.pi * uniform(key, counter + 1)))
