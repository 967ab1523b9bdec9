"""Backtests that cannot cheat: engine, costs, strategies, search, portfolio.

Strategies decide from what was known; one engine fills every order by one set of rules; nothing reads what came later.
"""

from liqlab.backtest._backtests import (
    BENCHMARK,
    BUY_AND_HOLD,
    CHOSEN,
    DEFAULT,
    OUT_OF_FOLD,
    SCALED,
    VARIANTS,
    Backtests,
    StrategyRun,
    resolve_strategies,
    run_backtests,
)
from liqlab.backtest._backtests_config import BacktestConfig
from liqlab.backtest._backtests_tables import BACKTEST_TABLES, BENCHMARKS, EXAMPLES, FROZEN, list_tables
from liqlab.backtest._benchmarks import buy_and_hold, random_entries, random_sides
from liqlab.backtest._breakdown import BREAKDOWN, compute_breakdown
from liqlab.backtest._capacity import CAPACITY, Capacity, compute_capacity
from liqlab.backtest._cascade_fade import CascadeFade, CascadeFadeParameters
from liqlab.backtest._coarse import describe_coarse
from liqlab.backtest._engine import Engine, run_engine
from liqlab.backtest._equity import compute_daily_returns, compute_equity
from liqlab.backtest._execution import (
    ExecutionConfig,
    FeeModel,
    FillModel,
    FundingModel,
    LatencyModel,
    PositionLimits,
    SlippageModel,
)
from liqlab.backtest._frozen import Frozen, compare_out_of_sample
from liqlab.backtest._grid import ExitGrid, GridResult, run_grid
from liqlab.backtest._imbalance_reversal import ImbalanceReversal, ImbalanceReversalParameters
from liqlab.backtest._inputs import Bars, CascadeSteps, MarketInputs, SymbolInputs, read_inputs
from liqlab.backtest._ledger import (
    EQUITY,
    EXIT_REASONS,
    FILLS,
    SKIP_REASONS,
    TRADES,
    Ledger,
    empty_ledger,
)
from liqlab.backtest._metrics import compute_metrics, find_untestable, make_metrics_frame
from liqlab.backtest._metrics_record import METRICS, MIN_TRADES, Metric
from liqlab.backtest._orders import NEVER, Orders
from liqlab.backtest._out_of_sample import OUT_OF_SAMPLE, OutOfSample, Sample, compare_samples
from liqlab.backtest._portfolio import (
    METHODS,
    PORTFOLIO_RETURNS,
    PORTFOLIO_WEIGHTS,
    PORTFOLIOS,
    PortfolioConfig,
    PortfolioResult,
    cap_weights,
    combine_strategies,
    fit_weights,
)
from liqlab.backtest._prices import FundingTimes, PricePath, find_funding_times, read_price_path
from liqlab.backtest._search import search_strategy
from liqlab.backtest._search_config import SearchConfig
from liqlab.backtest._search_folds import cut_stretches
from liqlab.backtest._search_space import (
    SEARCH_SPACES,
    Axis,
    SearchSpace,
    describe,
    find_space,
    lay_exits,
    make_parameters,
)
from liqlab.backtest._search_tables import CHOICES, BestInSample, SearchResult
from liqlab.backtest._sizing import (
    SizingConfig,
    VolatilityForecast,
    apply_weights,
    forecast_volatility,
    realised_volatility,
    size_by_kelly,
    size_by_volatility,
    size_fixed,
    trailing_volatility,
)
from liqlab.backtest._sizing_comparison import SIZING, compare_sizings
from liqlab.backtest._strategy import (
    STRATEGIES,
    Strategy,
    StrategyFile,
    check_orders,
    decide_orders,
    get_strategy,
    load_strategy_file,
)
from liqlab.backtest._surface import SURFACE, Plateau, Surface, judge_plateau, map_surface
from liqlab.backtest._trials import TRIALS, Trial, TrialLedger
from liqlab.backtest._volatility_breakout import VolatilityBreakout, VolatilityBreakoutParameters
from liqlab.backtest._zone_bounce import ZoneBounce, ZoneBounceParameters

__all__ = [
    "BACKTEST_TABLES",
    "BENCHMARK",
    "BENCHMARKS",
    "BREAKDOWN",
    "BUY_AND_HOLD",
    "CAPACITY",
    "CHOICES",
    "CHOSEN",
    "DEFAULT",
    "EQUITY",
    "EXAMPLES",
    "EXIT_REASONS",
    "FILLS",
    "FROZEN",
    "METHODS",
    "METRICS",
    "MIN_TRADES",
    "NEVER",
    "OUT_OF_FOLD",
    "OUT_OF_SAMPLE",
    "PORTFOLIOS",
    "PORTFOLIO_RETURNS",
    "PORTFOLIO_WEIGHTS",
    "SCALED",
    "SEARCH_SPACES",
    "SIZING",
    "SKIP_REASONS",
    "STRATEGIES",
    "SURFACE",
    "TRADES",
    "TRIALS",
    "VARIANTS",
    "Axis",
    "BacktestConfig",
    "Backtests",
    "Bars",
    "BestInSample",
    "Capacity",
    "CascadeFade",
    "CascadeFadeParameters",
    "CascadeSteps",
    "Engine",
    "ExecutionConfig",
    "ExitGrid",
    "FeeModel",
    "FillModel",
    "Frozen",
    "FundingModel",
    "FundingTimes",
    "GridResult",
    "ImbalanceReversal",
    "ImbalanceReversalParameters",
    "LatencyModel",
    "Ledger",
    "MarketInputs",
    "Metric",
    "Orders",
    "OutOfSample",
    "Plateau",
    "PortfolioConfig",
    "PortfolioResult",
    "PositionLimits",
    "PricePath",
    "Sample",
    "SearchConfig",
    "SearchResult",
    "SearchSpace",
    "SizingConfig",
    "SlippageModel",
    "Strategy",
    "StrategyFile",
    "StrategyRun",
    "Surface",
    "SymbolInputs",
    "Trial",
    "TrialLedger",
    "VolatilityBreakout",
    "VolatilityBreakoutParameters",
    "VolatilityForecast",
    "ZoneBounce",
    "ZoneBounceParameters",
    "apply_weights",
    "buy_and_hold",
    "cap_weights",
    "check_orders",
    "combine_strategies",
    "compare_out_of_sample",
    "compare_samples",
    "compare_sizings",
    "compute_breakdown",
    "compute_capacity",
    "compute_daily_returns",
    "compute_equity",
    "compute_metrics",
    "cut_stretches",
    "decide_orders",
    "describe",
    "describe_coarse",
    "empty_ledger",
    "find_funding_times",
    "find_space",
    "find_untestable",
    "fit_weights",
    "forecast_volatility",
    "get_strategy",
    "judge_plateau",
    "lay_exits",
    "list_tables",
    "load_strategy_file",
    "make_metrics_frame",
    "make_parameters",
    "map_surface",
    "random_entries",
    "random_sides",
    "read_inputs",
    "read_price_path",
    "realised_volatility",
    "resolve_strategies",
    "run_backtests",
    "run_engine",
    "run_grid",
    "search_strategy",
    "size_by_kelly",
    "size_by_volatility",
    "size_fixed",
    "trailing_volatility",
]
