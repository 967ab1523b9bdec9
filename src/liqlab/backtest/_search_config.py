"""What a search is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from liqlab.core.config import bounded, check_bounds
from liqlab.core.errors import ConfigError, unknown_name

Method = Literal["grid", "optuna"]
Score = Literal["sharpe", "mean_net"]


@dataclass(frozen=True)
class SearchConfig:
    """Settings of `search_strategy`.

    `train_days` are the least before the first fold, `test_days` the length of each; training always begins with the
    data. `score` chooses a fold's parameters on its training time: `sharpe`, the daily Sharpe ratio with days without
    a trade included, because a mean net return per trade is highest where three lucky trades are all there is, and
    because this is the ratio that is deflated by the number of trials; or `mean_net`. Combinations with fewer than
    `min_trades` in training cannot be chosen. `method` tries the whole grid, or `n_optuna` combinations of it per fold
    by Optuna's TPE sampler with `seed`. `n_blocks` is the largest number of blocks for the probability of overfitting.
    """

    method: str = "grid"
    score: str = "sharpe"
    train_days: int = bounded(4, 1, 3_660)
    test_days: int = bounded(1, 1, 3_660)
    min_trades: int = bounded(10, 1, 1_000_000)
    n_optuna: int = bounded(200, 1, 1_000_000)
    n_blocks: int = bounded(16, 2, 20)
    max_combinations: int = bounded(20_000, 1, 1_000_000)
    seed: int = bounded(0, 0, 2**31 - 1)

    def __post_init__(self) -> None:
        check_bounds(self)
        if self.method not in get_args(Method):
            raise unknown_name("search method", self.method, list(get_args(Method)))
        if self.score not in get_args(Score):
            raise unknown_name("score", self.score, list(get_args(Score)))
        if self.n_blocks % 2:
            raise ConfigError(f"SearchConfig.n_blocks must be even, got {self.n_blocks}")
