"""All backtests of a market: each strategy as declared, scaled and searched, what it must beat, and all together."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.backtest._backtests_config import BacktestConfig
from liqlab.backtest._backtests_tables import BENCHMARKS, EXAMPLES
from liqlab.backtest._benchmarks import buy_and_hold, random_entries, random_sides
from liqlab.backtest._breakdown import compute_breakdown
from liqlab.backtest._capacity import Capacity, compute_capacity
from liqlab.backtest._engine import Engine
from liqlab.backtest._equity import compute_equity
from liqlab.backtest._inputs import MarketInputs
from liqlab.backtest._ledger import Ledger
from liqlab.backtest._metrics import compute_metrics, find_untestable
from liqlab.backtest._metrics_record import Metric
from liqlab.backtest._orders import Orders
from liqlab.backtest._portfolio import PortfolioResult, combine_strategies
from liqlab.backtest._prices import PricePath
from liqlab.backtest._search import search_strategy
from liqlab.backtest._search_evaluate import describe_parameters
from liqlab.backtest._search_tables import SearchResult
from liqlab.backtest._sizing import VolatilityForecast
from liqlab.backtest._sizing_comparison import SIZING, compare_sizings
from liqlab.backtest._strategy import STRATEGIES, Strategy, decide_orders, get_strategy, load_strategy_file
from liqlab.backtest._trials import TrialLedger
from liqlab.core.progress import SILENT, Progress, stage
from liqlab.core.time import MS_PER_HOUR, MS_PER_MINUTE

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

#: The variants of a strategy, in the order in which one reads them.
DEFAULT, SCALED, OUT_OF_FOLD, BENCHMARK = "default", "scaled", "out of fold", "benchmark"
#: The best combination of a search where it was chosen: no result there, only elsewhere.
CHOSEN = "chosen in sample"
VARIANTS = (DEFAULT, SCALED, OUT_OF_FOLD)
BUY_AND_HOLD = "buy_and_hold"
RANDOM_ENTRIES, RANDOM_SIDES = "random entries", "random sides"

#: Prices shown around an example, and how many of them at most.
_AROUND_MS = 10 * MS_PER_MINUTE
_MOST_PRICES = 600
_BPS = 1e4


@dataclass(frozen=True)
class StrategyRun:
    """One strategy in one variant on one market: what it did and what it was worth.

    `by_symbol` holds the metrics of each symbol's trades alone, on the same capital. `benchmarks` is the frame
    BENCHMARKS of this run. `not_testable` says why nothing may be concluded; it is empty otherwise.
    """

    strategy: str
    variant: str
    ledger: Ledger
    equity: pl.DataFrame
    metrics: tuple[Metric, ...]
    by_symbol: Mapping[str, tuple[Metric, ...]]
    breakdown: pl.DataFrame
    capacity: Capacity
    benchmarks: pl.DataFrame

    @property
    def not_testable(self) -> str:
        """Why nothing may be concluded; empty when something may."""
        return find_untestable(self.ledger)

    def find(self, name: str, symbol: str | None = None) -> float:
        """The value of a metric, of all symbols or of one; NaN where it is not defined."""
        rows = self.metrics if symbol is None else self.by_symbol.get(symbol, ())
        values = [metric.value for metric in rows if metric.name == name and metric.value is not None]
        return values[0] if values else math.nan


@dataclass(frozen=True)
class Backtests:
    """Every strategy on one market over [start_ms, end_ms].

    `runs` are in the order of the catalogue and of VARIANTS, buying and holding last. `searches` are by strategy.
    `sizing` is the frame SIZING of the default variants, `portfolio` what the default variants would have earned
    together (None with fewer than two that traded). `examples` is the frame EXAMPLES. `notes` say what to mind.
    """

    config: BacktestConfig
    symbols: tuple[str, ...]
    start_ms: int
    end_ms: int
    descriptions: Mapping[str, str]
    runs: tuple[StrategyRun, ...]
    searches: Mapping[str, SearchResult]
    sizing: pl.DataFrame
    portfolio: PortfolioResult | None
    examples: pl.DataFrame
    notes: tuple[str, ...]

    def find(self, strategy: str, variant: str = DEFAULT) -> StrategyRun | None:
        """The run of a strategy in a variant; None where there is none."""
        own = [run for run in self.runs if (run.strategy, run.variant) == (strategy, variant)]
        return own[0] if own else None

    @property
    def trials(self) -> Mapping[str, int]:
        """Combinations of parameters ever evaluated, by strategy."""
        return {name: search.n_trials for name, search in self.searches.items()}


def resolve_strategies(names: Sequence[str] | None) -> tuple[Strategy, ...]:
    """Strategies by name or by Python file, each once; None is the catalogue. Raises what loading a file raises."""
    if names is None:
        return STRATEGIES
    found = [load_strategy_file(Path(name)) if name.endswith(".py") else get_strategy(name) for name in names]
    return tuple({strategy.name: strategy for strategy in found}.values())


def run_backtests(
    inputs: MarketInputs,
    config: BacktestConfig | None = None,
    trials: TrialLedger | None = None,
    regimes: pl.DataFrame | None = None,
    forecasts: Mapping[str, VolatilityForecast] | None = None,
    progress: Progress = SILENT,
) -> Backtests:
    """Every strategy of the configuration on a market: default, scaled, searched; benchmarks, sizes and a portfolio.

    `trials` counts and keeps what was tried (in memory when None); its count deflates every Sharpe ratio. `regimes` is
    `core.schema.REGIMES` for the breakdown, `forecasts` of volatility by symbol are for sizing. Where prices are too
    coarse for a strategy its runs say so. Raises `UserError` for an unknown strategy, or one of a user that fails.
    """
    settings = config or BacktestConfig()
    strategies = resolve_strategies(settings.strategies)
    engine, counted = Engine(inputs.paths, settings.execution), trials or TrialLedger()
    runs: list[StrategyRun] = []
    searches, sizings, notes = {}, [SIZING.empty()], []
    for strategy in strategies:
        search = search_strategy(strategy, inputs, counted, settings.search, settings.execution, progress=progress)
        searches[strategy.name] = search
        market = _Market(inputs, settings, engine, regimes, search)
        with stage(progress, f"backtest {strategy.name}", 1):
            variants = {DEFAULT: strategy.default}
            if strategy.scaled != strategy.default:
                variants[SCALED] = strategy.scaled
            for variant, parameters in variants.items():
                orders = decide_orders(strategy, inputs, parameters)
                runs.append(market.run(strategy, variant, parameters, orders))
            runs.append(market.describe(OUT_OF_FOLD, search.out_of_fold, market.draw(search.out_of_fold)))
            sizings.append(_compare_sizes(strategy, market, forecasts))
            progress.advance()
        notes += [f"{strategy.name}: {note}" for note in search.notes]
    held = engine.run(buy_and_hold(inputs), BUY_AND_HOLD)
    runs.append(_Market(inputs, settings, engine, regimes, None).describe(BENCHMARK, held))
    return Backtests(
        config=settings,
        symbols=tuple(inputs.symbols),
        start_ms=inputs.start_ms,
        end_ms=inputs.end_ms,
        descriptions={strategy.name: strategy.description for strategy in strategies},
        runs=tuple(runs),
        searches=searches,
        sizing=pl.concat(sizings),
        portfolio=_combine(runs, settings),
        examples=pl.concat([EXAMPLES.empty(), *(_pick_examples(run, inputs.paths) for run in runs)]),
        notes=tuple(dict.fromkeys([*notes, *(note for run in runs for note in run.ledger.notes)])),
    )


@dataclass(frozen=True)
class _Market:
    """What all runs of one strategy share; `search` is None where nothing was chosen."""

    inputs: MarketInputs
    config: BacktestConfig
    engine: Engine
    regimes: pl.DataFrame | None
    search: SearchResult | None

    def run(self, strategy: Strategy, variant: str, parameters: object, orders: Orders) -> StrategyRun:
        """The strategy's orders through the engine, and through it again at random moments and on random sides."""
        changed = describe_parameters(strategy.default, parameters)
        ledger = self.engine.run(orders, strategy.name, changed)
        return self.describe(variant, ledger, self.draw(ledger, orders))

    def describe(self, variant: str, ledger: Ledger, benchmarks: pl.DataFrame | None = None) -> StrategyRun:
        """Everything that follows from a ledger."""
        equity = self._equity(ledger)
        own = {symbol: _select(ledger, symbol) for symbol in self.inputs.symbols}
        return StrategyRun(
            ledger.strategy,
            variant,
            ledger,
            equity,
            self._measure(ledger, equity),
            {symbol: self._measure(part, self._equity(part)) for symbol, part in own.items()},
            compute_breakdown(ledger, self.regimes),
            compute_capacity(ledger, self.config.execution, seed=self.config.seed),
            (BENCHMARKS.empty() if benchmarks is None else benchmarks).with_columns(variant=pl.lit(variant)),
        )

    def _equity(self, ledger: Ledger) -> pl.DataFrame:
        inputs = self.inputs
        start_ms = inputs.start_ms
        if self.search is not None and self.search.choices.height and (ledger.trades["fold"] >= 0).any():
            start_ms = int(self.search.choices["test_start"].to_physical().min())  # type: ignore[arg-type]
        return compute_equity(ledger, inputs.paths, self.config.execution, start_ms, inputs.end_ms)

    def _measure(self, ledger: Ledger, equity: pl.DataFrame) -> tuple[Metric, ...]:
        n_trials = 1 if self.search is None else max(self.search.n_trials, 1)
        sharpes = None if self.search is None else self.search.trial_sharpes.tolist()
        return compute_metrics(
            ledger, equity, self.config.execution, n_trials, sharpes, self.config.seed, self.config.n_resamples
        )

    def draw(self, ledger: Ledger, orders: Orders | None = None) -> pl.DataFrame:
        """The run beside draws of what it must beat; random sides only where its orders are given."""
        if not ledger.trades.height:
            return BENCHMARKS.empty()
        makers: dict[str, Callable[[int], Orders]] = {
            RANDOM_ENTRIES: lambda seed: random_entries(self.inputs, ledger.trades, seed)
        }
        if orders is not None:
            makers[RANDOM_SIDES] = lambda seed: random_sides(orders, self.inputs, seed)
        mean = _mean_net_bps(ledger)
        rows = [(ledger.strategy, "", name, *_summarise(self._means(make), mean)) for name, make in makers.items()]
        return pl.DataFrame(rows, schema=BENCHMARKS.dtypes, orient="row")

    def _means(self, make: Callable[[int], Orders]) -> Floats:
        """Mean net result per trade of each draw that traded, bps."""
        seeds = range(self.config.seed, self.config.seed + self.config.n_draws)
        drawn = (self.engine.net_returns(make(seed)) for seed in seeds)
        return np.array([_BPS * net.mean() for net in drawn if net.size])


def _select(ledger: Ledger, symbol: str) -> Ledger:
    """The trades of one symbol, as they came in the ledger of all."""
    own = pl.col("symbol") == symbol
    return replace(ledger, trades=ledger.trades.filter(own), fills=ledger.fills.filter(own))


def _mean_net_bps(ledger: Ledger) -> float:
    return _BPS * float(ledger.trades["net_return"].mean())  # type: ignore[arg-type]


def _summarise(means: Floats, own: float) -> tuple[float | int | None, ...]:
    """Draws, their mean and 95 % range, the run's own mean, and the share of draws at least as good, itself counted."""
    if not means.size:
        return 0, None, None, None, own, None
    low, high = np.quantile(means, [0.025, 0.975])
    better = (np.count_nonzero(means >= own) + 1) / (means.size + 1)
    return means.size, float(means.mean()), float(low), float(high), own, float(better)


def _compare_sizes(
    strategy: Strategy, market: _Market, forecasts: Mapping[str, VolatilityForecast] | None
) -> pl.DataFrame:
    """The frame SIZING of the default decisions; empty where the prices cannot decide them."""
    orders = decide_orders(strategy, market.inputs, strategy.default)
    assert market.search is not None
    if market.search.default.not_testable or not len(orders):
        return SIZING.empty()
    config = market.config
    return compare_sizings(strategy.name, market.inputs, orders, config.execution, config.sizing, forecasts)


def _combine(runs: Sequence[StrategyRun], config: BacktestConfig) -> PortfolioResult | None:
    """The default variants together, on returns by the hour."""
    own = [run for run in runs if run.variant == DEFAULT and run.ledger.trades.height]
    if len(own) < 2:
        return None
    curves = [_by_hour(run.equity) for run in own]
    times_ms = curves[0][0]
    values = np.column_stack([curve for _, curve in curves]) / config.execution.limits.capital_usd
    settings = replace(config.portfolio, period_s=MS_PER_HOUR // 1_000)
    return combine_strategies(times_ms[1:], np.diff(values, axis=0), [run.strategy for run in own], settings)


def _by_hour(equity: pl.DataFrame) -> tuple[Integers, Floats]:
    """The full hours of a curve, and its value at each."""
    time_ms = equity["time"].to_physical().to_numpy()
    hours = time_ms % MS_PER_HOUR == 0
    return time_ms[hours], equity["equity"].to_numpy()[hours]


def _pick_examples(run: StrategyRun, paths: Mapping[str, PricePath]) -> pl.DataFrame:
    """Prices around the trades with the largest gain and the largest loss."""
    trades = run.ledger.trades
    if run.variant not in (DEFAULT, SCALED) or not trades.height:
        return EXAMPLES.empty()
    ranked = trades.sort("net_return", "trade")
    places = sorted({0, trades.height - 1}, reverse=True)
    frames = [_around(run, ranked.row(place, named=True), paths) for place in places]
    return pl.concat([EXAMPLES.empty(), *frames])


def _around(run: StrategyRun, trade: Mapping[str, object], paths: Mapping[str, PricePath]) -> pl.DataFrame:
    path = paths[str(trade["symbol"])]
    moments = pl.Series([trade["decision_time"], trade["exit_time"]]).cast(run.ledger.trades["exit_time"].dtype)
    decided_ms, left_ms = moments.to_physical().to_list()
    first, last = np.searchsorted(path.known_ms, [decided_ms - _AROUND_MS, left_ms + _AROUND_MS])
    rows = np.unique(np.linspace(first, last - 1, min(int(last - first), _MOST_PRICES)).astype(np.int64))
    return pl.DataFrame(
        {
            "strategy": run.strategy,
            "variant": run.variant,
            "trade": trade["trade"],
            "time": pl.Series(path.known_ms[rows]),
            "price": path.price[rows],
        }
    ).cast(EXAMPLES.dtypes)  # type: ignore[arg-type]
