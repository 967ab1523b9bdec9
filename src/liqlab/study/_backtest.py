"""The backtests of a study: made from its recording, and what they say in verdicts and in the scorecard."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import polars as pl

from liqlab.backtest import (
    DEFAULT,
    MIN_TRADES,
    OUT_OF_FOLD,
    SCALED,
    Backtests,
    Engine,
    Ledger,
    TrialLedger,
    VolatilityForecast,
    decide_orders,
    get_strategy,
    read_inputs,
    run_backtests,
)
from liqlab.core.progress import SILENT, Progress
from liqlab.core.time import MS_PER_DAY, MS_PER_S
from liqlab.lake import Recording
from liqlab.panel import Scope, find_scope
from liqlab.study._configuration import StudyConfig
from liqlab.study._hypotheses import find_hypothesis
from liqlab.study._hypotheses_minima import find_shortfall
from liqlab.study._inference import QuestionConfig, infer_mean
from liqlab.study._protocol import Finding
from liqlab.study._scorecard_measures import StrategyResult

#: The strategy that each hypothesis is about.
STRATEGY_OF: Mapping[str, str] = {
    "S1": "cascade_fade",
    "S2": "imbalance_reversal",
    "S3": "zone_bounce",
    "S4": "volatility_breakout",
}
NO_BACKTEST = "needs a backtest, and none was asked for"

_BPS = 1e4
_SECONDS_PER_YEAR = 365 * MS_PER_DAY // MS_PER_S
#: A forecast of volatility made from this much of the future is used for sizing.
_FORECAST_HORIZON_S = 900
_FORECAST_MODEL = "ridge"


def backtest_recording(
    lake: Recording,
    scope: Scope,
    config: StudyConfig,
    trials: TrialLedger | None = None,
    regimes: pl.DataFrame | None = None,
    predictions: pl.DataFrame | None = None,
    progress: Progress = SILENT,
) -> Backtests:
    """Every strategy of the configuration on a recording; see `backtest.run_backtests`.

    `predictions` is `core.schema.PREDICTIONS`: its out-of-fold forecasts of volatility with liquidation features are
    for sizing.
    """
    inputs = read_inputs(lake, scope, config.cascades.resolve(), config.assumed_delay_s)
    forecasts = None if predictions is None else read_forecasts(predictions)
    return run_backtests(inputs, config.backtest, trials, regimes, forecasts, progress)


def read_forecasts(predictions: pl.DataFrame) -> dict[str, VolatilityForecast] | None:
    """The forecasts of each symbol's volatility over 15 min, as annual volatility; None where there are none.

    The label is the root of the sum of squared returns over its horizon, so the year's is that times the root of the
    number of horizons in a year.
    """
    own = predictions.filter(
        (pl.col("target") == "volatility")
        & (pl.col("horizon_s") == _FORECAST_HORIZON_S)
        & (pl.col("split") == "expanding")
        & (pl.col("model") == _FORECAST_MODEL)
    )
    scale = math.sqrt(_SECONDS_PER_YEAR / _FORECAST_HORIZON_S)
    found = {
        str(symbol): VolatilityForecast(
            rows["time"].to_physical().to_numpy(), scale * np.maximum(rows["prediction"].to_numpy(), 0.0)
        )
        for (symbol,), rows in own.sort("symbol", "time", maintain_order=True)
        .partition_by("symbol", as_dict=True)
        .items()
    }
    return found or None


def judge_strategies(backtests: Backtests | None, config: QuestionConfig, scope: Scope) -> tuple[Finding, ...]:
    """The findings of S1 to S4: mean net return of the trades of each default variant.

    Without a backtest, or without that strategy in it, a finding says so.
    """
    ledgers = (
        {} if backtests is None else {run.strategy: run.ledger for run in backtests.runs if run.variant == DEFAULT}
    )
    return tuple(
        _find(name, ledgers[strategy], config, scope) if strategy in ledgers else Finding(name, shortfall=NO_BACKTEST)
        for name, strategy in STRATEGY_OF.items()
    )


def find_defaults(lake: Recording, config: StudyConfig) -> tuple[Finding, ...]:
    """The findings of S1 to S4 alone, nothing searched: what `judge_strategies` says of a whole backtest."""
    scope = find_scope(lake, config.symbols, config.start_ms, config.end_ms, config.coverage)
    inputs = read_inputs(lake, scope, config.cascades.resolve(), config.assumed_delay_s)
    engine = Engine(inputs.paths, config.backtest.execution)
    ledgers = {name: engine.run(decide_orders(get_strategy(name), inputs), name) for name in STRATEGY_OF.values()}
    return tuple(_find(name, ledgers[strategy], config.questions, scope) for name, strategy in STRATEGY_OF.items())


def _find(name: str, ledger: Ledger, config: QuestionConfig, scope: Scope) -> Finding:
    trades = ledger.trades
    decided_ms, left_ms = (trades[column].to_physical().to_numpy() for column in ("decision_time", "exit_time"))
    longest_ms = int((left_ms - decided_ms).max()) if trades.height else 0
    found = infer_mean(decided_ms, _BPS * trades["net_return"].to_numpy(), longest_ms, config)
    slowest_ms = max((interval for interval in scope.ticker_interval_ms.values() if interval), default=None)
    missing = find_shortfall(
        find_hypothesis(name),
        n_events=None if ledger.not_testable else trades.height,
        n_blocks=None if ledger.not_testable else found.n_blocks,
        ticker_interval_s=math.inf if slowest_ms is None else slowest_ms / MS_PER_S,
    )
    known = trades.height and bool(trades["funding_known"].all())
    return Finding(
        name,
        effect=found.estimate,
        ci_low=found.ci_low,
        ci_high=found.ci_high,
        p=found.p,
        n=found.n,
        n_blocks=found.n_blocks,
        method=found.method,
        note="" if known or not trades.height else "funding unknown for some trades, and not charged there",
        shortfall="; ".join(text for text in (missing, ledger.not_testable) if text),
    )


def score_strategies(backtests: Backtests) -> dict[str, StrategyResult]:
    """What the scorecard needs of each strategy and variant: Sharpe ratios in sample and out of fold, and trades.

    Out of fold belongs to the strategy, whichever variant it is set beside: its parameters were chosen anew.
    """
    found = {}
    for run in backtests.runs:
        if run.variant not in (DEFAULT, SCALED):
            continue
        outside = backtests.find(run.strategy, OUT_OF_FOLD)
        enough = outside is not None and outside.ledger.trades.height >= MIN_TRADES
        name = run.strategy if run.variant == DEFAULT else f"{run.strategy}, {run.variant}"
        found[name] = StrategyResult(
            _known(run.find("sharpe")),
            _known(outside.find("sharpe")) if outside is not None and enough else None,
            run.ledger.trades.height,
        )
    return found


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
