"""Training before test, always: folds on calendar time, with the labels that reach into the test left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from liqlab.core.time import MS_PER_DAY, MS_PER_HOUR
from liqlab.models._walk_forward_config import WalkForwardConfig

Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Fold:
    """One fit and the stretch on which it is tried. Times in milliseconds UTC.

    Decision times t with train_start_ms <= t <= train_last_ms may train: their labels are final by test_start_ms.
    Decision times in [test_start_ms, test_end_ms) are forecast; test_end_ms is the next refit, wherever the data ends.
    """

    split: str
    number: int
    train_start_ms: int
    train_last_ms: int
    test_start_ms: int
    test_end_ms: int

    def trains(self, times_ms: Integers) -> Mask:
        """Which decision times may train; (n,) to (n,)."""
        return (times_ms >= self.train_start_ms) & (times_ms <= self.train_last_ms)

    def tests(self, times_ms: Integers) -> Mask:
        """Which decision times are forecast; (n,) to (n,)."""
        return (times_ms >= self.test_start_ms) & (times_ms < self.test_end_ms)


def walk_forward_folds(start_ms: int, end_ms: int, config: WalkForwardConfig, reach_ms: int) -> tuple[Fold, ...]:
    """The folds of decision times in [start_ms, end_ms), those of each split of `config` in order.

    Refits happen at multiples of `refit_hours` since 1970, so an earlier `end_ms` gives the same folds, only fewer.
    The first comes once `min_train_hours` have passed since `start_ms`. Purge: a row trains when t + `reach_ms`, the
    moment its label is final, is not after the refit. An embargo would be needed where training follows a test; here
    none does.
    """
    refit = config.refit_ms
    earliest = start_ms + round(config.min_train_hours * MS_PER_HOUR)
    refits = range(-(-earliest // refit) * refit, end_ms, refit)
    window_ms = {"expanding": None, "rolling": round(config.rolling_days * MS_PER_DAY)}
    return tuple(
        Fold(split, number, _train_start(start_ms, moment, window_ms[split]), moment - reach_ms, moment, moment + refit)
        for split in config.splits
        for number, moment in enumerate(refits)
    )


def _train_start(start_ms: int, refit_ms: int, window_ms: int | None) -> int:
    return start_ms if window_ms is None else max(start_ms, refit_ms - window_ms)


def inner_split(fold: Fold, reach_ms: int, inner_frac: float) -> Fold:
    """The last `inner_frac` of a fold's training time as test of the rest: for choosing hyper-parameters.

    Its test ends after the last row that the fold may train on, so nothing of the fold's own test is seen.
    """
    length = fold.test_start_ms - fold.train_start_ms
    moment = fold.test_start_ms - round(length * inner_frac)
    return Fold(fold.split, fold.number, fold.train_start_ms, moment - reach_ms, moment, fold.train_last_ms + 1)


class WalkForwardSplitter:
    """Folds in the form that scikit-learn's model selection takes as `cv`.

    `times_ms` of shape (n,) are the decision times of the rows, in any order; the folds come from `walk_forward_folds`.
    Folds without a training or a test row are left out.
    """

    def __init__(self, times_ms: Integers, folds: Sequence[Fold]) -> None:
        masks = [(fold.trains(times_ms), fold.tests(times_ms)) for fold in folds]
        self._rows = [(np.flatnonzero(train), np.flatnonzero(test)) for train, test in masks]
        self._rows = [(train, test) for train, test in self._rows if train.size and test.size]

    def get_n_splits(self, rows: object = None, labels: object = None, groups: object = None) -> int:  # noqa: ARG002
        """The number of folds; the arguments are those that scikit-learn passes, and are not used."""
        return len(self._rows)

    def split(
        self,
        rows: object = None,  # noqa: ARG002
        labels: object = None,  # noqa: ARG002
        groups: object = None,  # noqa: ARG002
    ) -> Iterator[tuple[Integers, Integers]]:
        """(training rows, test rows) of each fold, as indices; the arguments are not used."""
        yield from self._rows
