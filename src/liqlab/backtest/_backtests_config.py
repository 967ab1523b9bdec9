"""What the backtests of a market are asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field

from liqlab.backtest._execution import ExecutionConfig
from liqlab.backtest._portfolio import PortfolioConfig
from liqlab.backtest._search_config import SearchConfig
from liqlab.backtest._sizing import SizingConfig
from liqlab.core.config import bounded, check_bounds


@dataclass(frozen=True)
class BacktestConfig:
    """Settings of `run_backtests`.

    `strategies` are names of the catalogue or Python files; None is the whole catalogue. Random benchmarks are drawn
    `n_draws` times each; intervals rest on `n_resamples`; both begin with `seed`.
    """

    strategies: tuple[str, ...] | None = None
    n_draws: int = bounded(99, 1, 100_000)
    n_resamples: int = bounded(1_999, 99, 1_000_000)
    seed: int = bounded(0, 0, 2**31 - 1)
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    sizing: SizingConfig = field(default_factory=SizingConfig)
    portfolio: PortfolioConfig = field(default_factory=PortfolioConfig)

    def __post_init__(self) -> None:
        check_bounds(self)
