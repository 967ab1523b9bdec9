"""What a search leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.backtest._ledger import Ledger
from liqlab.backtest._surface import Surface
from liqlab.core.schema import COUNT, FLOAT, TIME, Column, Table
from liqlab.stats import Overfitting

Floats = npt.NDArray[np.float64]

CHOICES = Table(
    "search_choices",
    "one fold of a search: what was chosen on its training time",
    (
        Column("strategy", pl.String(), "", "the strategy"),
        Column("fold", COUNT, "", "number of the fold, from 0"),
        Column("train_start", TIME, "ms UTC", "first decision that may train"),
        Column("test_start", TIME, "ms UTC", "end of training, start of the test"),
        Column("test_end", TIME, "ms UTC", "end of the test"),
        Column("parameters", pl.String(), "", "the combination chosen; empty: none could be, the default was traded"),
        Column("score", FLOAT, "", "its score on the training time"),
        Column("sharpe", FLOAT, "per sqrt(year)", "its daily Sharpe ratio there"),
        Column("deflated_sharpe", FLOAT, "probability", "that its true Sharpe exceeds what luck gives the best of all"),
        Column("n_trades", COUNT, "", "its trades there"),
        Column("n_eligible", COUNT, "", "combinations with enough trades to be chosen"),
        Column("n_tested", COUNT, "", "out-of-fold trades"),
        Column("test_mean_net", FLOAT, "fraction", "their mean net return; null without trades"),
    ),
)


@dataclass(frozen=True)
class BestInSample:
    """The best combination on all the data, which is no result: `deflated_sharpe` is the probability that its true
    Sharpe ratio exceeds what luck alone gives the best of `n_trials`. NaN, "" and no combination where nothing could be
    scored."""

    parameters: str
    sharpe: float
    deflated_sharpe: float
    n_trades: int
    n_trials: int
    combination: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class SearchResult:
    """A search inside walk-forward folds.

    `out_of_fold` holds the trades of each fold with the parameters chosen before it, `fold` and `parameters` filled in;
    `default` those of the default parameters on the same folds' time and before, fold -1. `choices` is the frame
    CHOICES, `trials` the frame TRIALS of this source. `n_trials` counts the combinations ever evaluated for the
    strategy, `trial_sharpes` (c,) are the annual Sharpe ratios of this search's daily returns, NaN undefined.
    `overfitting` is None where `notes` say why. `out_of_fold_daily` (d,) are net results by day of the folds, as
    fractions of the capital.
    """

    strategy: str
    default: Ledger
    out_of_fold: Ledger
    out_of_fold_daily: Floats
    choices: pl.DataFrame
    trials: pl.DataFrame
    surface: Surface
    overfitting: Overfitting | None
    best: BestInSample
    n_trials: int
    trial_sharpes: Floats
    notes: tuple[str, ...]
