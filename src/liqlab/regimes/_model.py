"""The two-state Gaussian model of log volatility: fitting it, and filtering with it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from liqlab.stats import filter_states

FloatArray = npt.NDArray[np.float64]

#: The volatile state is the more likely one above this.
HALF = 0.5

_START = np.array([0.5, 0.5])
_MAX_ITERATIONS = 300
#: Expectation maximisation stops when an iteration gains less than this per observation.
_TOLERANCE = 1e-5
#: Starts whose log likelihood per observation is this near the best one found the same optimum.
_SAME_OPTIMUM = 1e-3
#: Added to a state's summed squares: keeps its variance above zero, and is nothing beside a few real observations.
_VARIANCE_PRIOR = 1e-3
#: A state with a spread below this (in logs: one per cent of volatility) sits on repeated values.
_LEAST_STD = 0.01
_LEAST_STATE_FRAC = 0.02
#: Gaps up to this long are passed over in fitting: parted there, scattered gaps leave no transitions to learn from.
_LONGEST_BRIDGED = 3


@dataclass(frozen=True)
class Model:
    """A model, the quiet state first: `means` and `stds` of shape (2,), `transitions` (2, 2) from row to column."""

    means: FloatArray
    stds: FloatArray
    transitions: FloatArray
    log_likelihood: float

    def filter_volatile(self, observations: FloatArray) -> tuple[FloatArray, float]:
        """Probability of the volatile state at each observation from those up to it, and the log likelihood of all.

        Shape (n,) in and out; NaN observations are missing. Before the first both states are equally likely.
        """
        scaled = (observations[:, None] - self.means) / self.stds
        log_densities = -0.5 * (scaled * scaled + np.log(2.0 * np.pi)) - np.log(self.stds)
        probabilities, total = filter_states(log_densities, _START, self.transitions)
        return probabilities[:, 1], total


@dataclass(frozen=True)
class FitOutcome:
    """The best usable model, or None and the reason; how many of the starts came to the same optimum as it did."""

    model: Model | None
    starts_at_best: int
    problem: str


def fit_model(observations: FloatArray, n_random_starts: int, split_quantile: float, seed: list[int]) -> FitOutcome:
    """The most likely usable model over all starting points. `observations` of shape (n,), NaN where missing.

    Up to three missing observations in a row are passed over; longer gaps part separate sequences of one model. A fit
    is unusable when it did not converge, when a parameter is not finite, or when a state has less than 2 % of the time
    or hardly any spread: the likelihood of such a fit has no upper bound, so it must not win.
    """
    present = observations[~np.isnan(observations)]
    if np.ptp(present) == 0.0:
        return FitOutcome(None, 0, "volatility is the same in every stretch")
    starts = [_split_start(present, split_quantile)]
    starts += _random_starts(present, n_random_starts, np.random.default_rng(seed))
    lengths = _sequence_lengths(observations)
    found = [_fit_once(observations, present, lengths, start) for start in starts]
    models = [outcome for outcome in found if isinstance(outcome, Model)]
    if not models:
        problems = dict.fromkeys(outcome for outcome in found if isinstance(outcome, str))
        return FitOutcome(None, 0, "; ".join(problems))
    best = max(models, key=lambda model: model.log_likelihood)
    allowance = _SAME_OPTIMUM * present.size
    return FitOutcome(best, sum(model.log_likelihood >= best.log_likelihood - allowance for model in models), "")


def _split_start(present: FloatArray, quantile: float) -> Model:
    border = np.quantile(present, quantile)
    low, high = present[present <= border], present[present > border]
    if not high.size:
        low, high = present[present < border], present[present >= border]
    spread = present.std()
    stds = np.maximum([low.std(), high.std()], 0.1 * spread)
    return Model(np.array([low.mean(), high.mean()]), stds, _stay(0.95, 0.95), -np.inf)


def _random_starts(present: FloatArray, count: int, random: np.random.Generator) -> list[Model]:
    """Means at one random quantile on each side of the median, in random order: equal ones would be a saddle."""
    places = random.permuted(random.uniform([0.02, 0.52], [0.48, 0.98], (count, 2)), axis=1)
    stays = random.uniform(0.6, 0.99, (count, 2))
    stds = np.full(2, present.std())
    return [Model(np.quantile(present, places[i]), stds, _stay(*stays[i]), -np.inf) for i in range(count)]


def _stay(quiet: float, volatile: float) -> FloatArray:
    return np.array([[quiet, 1.0 - quiet], [1.0 - volatile, volatile]])


def _sequence_lengths(observations: FloatArray) -> npt.NDArray[np.int64]:
    """Lengths of the sequences that long gaps leave, in order, counting the present observations."""
    places = np.flatnonzero(~np.isnan(observations))
    edges = np.flatnonzero(np.diff(places) > _LONGEST_BRIDGED + 1) + 1
    return np.diff(np.concatenate([[0], edges, [places.size]]))


def _fit_once(
    observations: FloatArray, present: FloatArray, lengths: npt.NDArray[np.int64], start: Model
) -> Model | str:
    """The model that expectation maximisation reaches from `start`, or why it cannot be used."""
    for implementation in ("scaling", "log"):
        try:
            with _hmmlearn_hushed():
                fitted = _maximise(present, lengths, start, implementation)
        except ValueError:
            # hmmlearn raises this when densities underflow, which logarithms avoid, and when a variance is not finite.
            continue
        return _judge(fitted, observations)
    return "a parameter is not finite"


def _maximise(present: FloatArray, lengths: npt.NDArray[np.int64], start: Model, implementation: str) -> Any:
    from hmmlearn.hmm import GaussianHMM

    fitted = GaussianHMM(
        n_components=2,
        init_params="",
        # The start is not estimated: from one sequence it can only become 0 or 1.
        params="tmc",
        covars_prior=_VARIANCE_PRIOR,
        n_iter=_MAX_ITERATIONS,
        tol=_TOLERANCE * present.size,
        implementation=implementation,
    )
    fitted.startprob_ = _START
    fitted.transmat_ = start.transitions
    fitted.means_ = start.means[:, None]
    fitted.covars_ = (start.stds**2)[:, None]
    return fitted.fit(present[:, None], lengths)


def _judge(fitted: Any, observations: FloatArray) -> Model | str:
    order = np.argsort(fitted.means_[:, 0], kind="stable")
    means, stds = fitted.means_[order, 0], np.sqrt(fitted.covars_[order, 0, 0])
    transitions = np.ascontiguousarray(fitted.transmat_[np.ix_(order, order)])
    history = fitted.monitor_.history
    if not all(np.isfinite(values).all() for values in (means, stds, transitions, history[-1])):
        return "a parameter is not finite"
    if len(history) == _MAX_ITERATIONS and history[-1] - history[-2] >= fitted.tol:
        return f"no convergence in {_MAX_ITERATIONS} iterations"
    if (transitions.sum(axis=1) < 0.5).any():
        # hmmlearn leaves a row of zeros where it never saw a state being left.
        return "a state is never left"
    if stds.min() < _LEAST_STD:
        return "a state has no spread"
    model = Model(means, stds, transitions, float(history[-1]))
    probabilities, log_likelihood = model.filter_volatile(observations)
    volatile = probabilities[~np.isnan(observations)].mean()
    if min(volatile, 1.0 - volatile) < _LEAST_STATE_FRAC:
        return f"a state has less than {_LEAST_STATE_FRAC:.0%} of the time"
    return replace(model, log_likelihood=log_likelihood)


@contextmanager
def _hmmlearn_hushed() -> Iterator[None]:
    """Without hmmlearn's log messages and NumPy's warnings: what they say about a fit is judged afterwards."""
    logger = logging.getLogger("hmmlearn")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with np.errstate(all="ignore"):
            yield
    finally:
        logger.setLevel(level)
