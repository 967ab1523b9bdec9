"""Hidden Markov models, forward in time only: what the observations so far say about the state now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from numba import njit

FloatArray = npt.NDArray[np.float64]
Function = TypeVar("Function", bound=Callable[..., Any])

#: How far a distribution may be from adding up to one: rounding, not a mistake.
_SUM_TOLERANCE = 1e-6


def _compiled(function: Function) -> Function:
    """`function` compiled at its first call, cached on disk, run without the interpreter lock."""
    compiled: Function = njit(cache=True, nogil=True)(function)
    return compiled


def filter_states(
    log_likelihood: npt.ArrayLike, start: npt.ArrayLike, transitions: npt.ArrayLike
) -> tuple[FloatArray, float]:
    """Filtered state probabilities, shape (n, k), and the log likelihood of all observations.

    Row t of the result is P(state at t | observations 0..t): later observations never change it. *Smoothed*
    probabilities, which is what most libraries call `predict_proba`, also use the observations after t.

    `log_likelihood` of shape (n, k) holds log p(observation t | state), `start` of shape (k,) the distribution of the
    state at row 0, and `transitions` of shape (k, k) the probability of moving from the row's state to the column's.
    With f the filtered probabilities, b = exp(log_likelihood) and A the transitions, the scaled forward recursion is

        p(t) = f(t-1) A;  c(t) = sum p(t) b(t);  f(t) = p(t) b(t) / c(t);  log likelihood = sum log c(t)

    with p(0) = start: Rabiner (1989), "A tutorial on hidden Markov models", section V.A. A row with a NaN is a missing
    observation: f(t) = p(t), and nothing is added. The same holds for an observation that no reachable state could
    make, which turns the log likelihood into minus infinity. Without rows the log likelihood is 0. Unlike shapes, an
    infinite density, and distributions that are negative or do not add up to one are a ValueError.
    """
    densities = np.ascontiguousarray(log_likelihood, dtype=np.float64)
    initial = np.ascontiguousarray(start, dtype=np.float64)
    moves = np.ascontiguousarray(transitions, dtype=np.float64)
    _check_model(densities, initial, moves)
    probabilities, total = _filter(densities, initial, moves)
    return probabilities, float(total)


def _check_model(densities: FloatArray, initial: FloatArray, moves: FloatArray) -> None:
    states = initial.size
    if initial.shape != (states,) or moves.shape != (states, states) or densities.shape != (len(densities), states):
        raise ValueError(
            "shapes must be (n, k), (k,) and (k, k), got "
            f"{densities.shape}, {initial.shape} and {moves.shape} for log_likelihood, start and transitions"
        )
    if np.isposinf(densities).any():
        raise ValueError("log_likelihood holds an infinite density")
    for name, rows in (("start", initial[None, :]), ("transitions", moves)):
        # Written so that NaN fails too.
        if not ((rows >= 0.0).all() and (np.abs(rows.sum(axis=1) - 1.0) <= _SUM_TOLERANCE).all()):
            raise ValueError(f"{name} must hold probabilities that add up to one, got {rows.tolist()}")


@_compiled
def _predict(before: Any, moves: Any, now: Any) -> None:
    now[:] = 0.0
    for origin in range(len(before)):
        for state in range(len(now)):
            now[state] += before[origin] * moves[origin, state]


@_compiled
def _update(now: Any, densities: Any) -> float:
    """Bayes' rule on `now` in place; the log of what it was divided by. Impossible observations change nothing."""
    highest = -np.inf
    for state in range(len(now)):
        if now[state] > 0.0:
            highest = max(highest, densities[state])
    if highest == -np.inf:
        return -np.inf
    scale = 0.0
    for state in range(len(now)):
        # A state that cannot be reached may have any density: times zero, infinity would be NaN.
        now[state] = now[state] * np.exp(densities[state] - highest) if now[state] > 0.0 else 0.0
        scale += now[state]
    for state in range(len(now)):
        now[state] /= scale
    return float(np.log(scale) + highest)


@_compiled
def _filter(densities: Any, initial: Any, moves: Any) -> Any:
    probabilities = np.empty(densities.shape)
    total = 0.0
    for row in range(len(densities)):
        now = probabilities[row]
        if row == 0:
            now[:] = initial
        else:
            _predict(probabilities[row - 1], moves, now)
        if not np.isnan(densities[row]).any():
            total += _update(now, densities[row])
    return probabilities, total
