"""Parameters searched inside walk-forward folds: chosen on the past, traded on what came after, every trial counted."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.backtest._engine import run_engine
from liqlab.backtest._execution import ExecutionConfig
from liqlab.backtest._inputs import MarketInputs
from liqlab.backtest._ledger import Ledger, empty_ledger
from liqlab.backtest._orders import Orders
from liqlab.backtest._search_config import SearchConfig
from liqlab.backtest._search_evaluate import (
    Evaluator,
    evaluate_parameters,
    fingerprint,
    longest_timeout_ms,
    sum_by_day,
)
from liqlab.backtest._search_folds import Stretch, count_purged, cut_stretches, join_orders
from liqlab.backtest._search_space import SearchSpace, describe, find_space, lay_exits
from liqlab.backtest._search_tables import CHOICES, BestInSample, SearchResult
from liqlab.backtest._strategy import Strategy, decide_orders
from liqlab.backtest._surface import map_surface
from liqlab.backtest._trials import DAYS_PER_YEAR, Trial, TrialLedger
from liqlab.core.errors import ConfigError
from liqlab.core.progress import SILENT, Progress, stage
from liqlab.stats import Overfitting, compute_moments, compute_overfitting, deflated_sharpe_ratio

Floats = npt.NDArray[np.float64]
Place = tuple[int, ...]

#: What Optuna hears of a combination that cannot be chosen: worse than any score.
_WORST = -1e9
#: A deviation below this share of the largest value is rounding.
_ROUNDING = 1e-12


def search_strategy(
    strategy: Strategy,
    inputs: MarketInputs,
    trials: TrialLedger,
    config: SearchConfig | None = None,
    execution: ExecutionConfig | None = None,
    space: SearchSpace | None = None,
    progress: Progress = SILENT,
) -> SearchResult:
    """Search a strategy's space inside walk-forward folds and trade each fold with what the time before it chose.

    Time is cut at midnights UTC (`cut_stretches`). A combination's result on a stretch comes from the orders decided in
    it whose trade is over by its end with any exit of the space (purge), on prices that end there. Fold k chooses by
    the score over stretches before k; its own stretch is read only to trade it. The out-of-fold orders of all folds run
    through the engine together, so that limits and cooldowns hold across them. A fold in which nothing could be chosen
    trades the default, and says so. Every evaluation is recorded in `trials`; interrupted and begun again with the same
    ledger, the search gives the same answer.

    `ConfigError` for a space whose parameters the strategy does not have, or with more than `max_combinations` (grid).
    """
    config, execution = config or SearchConfig(), execution or ExecutionConfig()
    space = space or find_space(strategy)
    if config.method == "grid" and space.size > config.max_combinations:
        raise ConfigError(
            f"{space.size:,} combinations are more than max_combinations = {config.max_combinations:,}; "
            "leave out values, or search with method optuna"
        )
    days = (config.train_days, config.test_days)
    source = fingerprint(strategy, inputs, execution, days, longest_timeout_ms(space))
    evaluator = Evaluator(strategy, inputs, space, execution, trials, source)
    stretches = cut_stretches(inputs.start_ms, inputs.end_ms, *days)
    default = evaluate_parameters(strategy, inputs, execution, trials)
    if default.not_testable:
        return _not_searched(evaluator, default, default.not_testable)
    if len(stretches) < 2:
        return _not_searched(evaluator, default, _describe_short(config))
    with stage(progress, f"search {strategy.name}", space.size if config.method == "grid" else len(stretches)):
        visit = _visit_grid if config.method == "grid" else _visit_by_sampler
        results = visit(evaluator, stretches, config, progress)
    return _conclude(evaluator, stretches, config, results, default)


@dataclass(frozen=True)
class Results:
    """Combinations (c,) on stretches (s,): trades and sums of net returns (c, s), net results by day (c, d), and the
    stretch (its place) of each day (d,)."""

    places: tuple[Place, ...]
    n_trades: npt.NDArray[np.int64]
    net_sum: Floats
    daily: Floats
    stretch_of_day: npt.NDArray[np.int64]

    @classmethod
    def of(cls, places: Sequence[Place], trials: Sequence[Sequence[Trial]], stretches: Sequence[Stretch]) -> Results:
        """From the trials of each stretch, in the order of the places."""
        lengths = [len(stretch.days) for stretch in stretches]
        shape = (len(places), len(stretches))
        return cls(
            tuple(places),
            np.array([[trial.n_trades for trial in part] for part in trials], dtype=np.int64).reshape(shape[::-1]).T,
            np.array([[trial.net_sum for trial in part] for part in trials], dtype=np.float64).reshape(shape[::-1]).T,
            np.hstack([np.array([trial.daily for trial in part]).reshape(len(places), -1) for part in trials]),
            np.repeat(np.arange(len(stretches)), lengths),
        )

    def before(self, n_stretches: int) -> Results:
        """The same with the first stretches alone."""
        days = self.stretch_of_day < n_stretches
        return Results(
            self.places,
            self.n_trades[:, :n_stretches],
            self.net_sum[:, :n_stretches],
            self.daily[:, days],
            self.stretch_of_day[days],
        )

    def sharpes(self) -> Floats:
        """Daily Sharpe ratio per day of each combination, (c,); NaN without spread."""
        if self.daily.shape[1] < 2:
            return np.full(len(self.places), np.nan)
        deviation = self.daily.std(axis=1, ddof=1)
        spread = deviation > _ROUNDING * np.abs(self.daily).max(axis=1, initial=0.0)
        ratios: Floats = np.divide(
            self.daily.mean(axis=1), deviation, out=np.full(len(self.places), np.nan), where=spread
        )
        return ratios

    def scores(self, config: SearchConfig) -> Floats:
        """What combinations are chosen by, (c,); NaN for those that cannot be."""
        count = self.n_trades.sum(axis=1)
        if config.score == "sharpe":
            values = self.sharpes() * math.sqrt(DAYS_PER_YEAR)
        else:
            values = self.net_sum.sum(axis=1) / np.maximum(count, 1)
        return np.where(count >= config.min_trades, values, np.nan)


def _visit_grid(
    evaluator: Evaluator, stretches: Sequence[Stretch], config: SearchConfig, progress: Progress
) -> Results:
    """Every combination on every stretch, one set of entry parameters after the other."""
    del config
    by_entry: dict[tuple[float, ...], list[Place]] = {}
    for place in evaluator.space.places():
        by_entry.setdefault(evaluator.space.entry_of(evaluator.space.combination(place)), []).append(place)
    trials: list[list[Trial]] = [[] for _ in stretches]
    for places in by_entry.values():
        for part, stretch in zip(trials, stretches, strict=True):
            part.extend(evaluator.evaluate(places, stretch))
        progress.advance(len(places))
    return Results.of([place for places in by_entry.values() for place in places], trials, stretches)


def _visit_by_sampler(
    evaluator: Evaluator, stretches: Sequence[Stretch], config: SearchConfig, progress: Progress
) -> Results:
    """What Optuna asked for in each fold, on the stretches before it; then all of these on all stretches."""
    visited: dict[Place, None] = {}
    for fold in range(1, len(stretches) + 1):
        for place in _sample(evaluator, stretches[:fold], config):
            visited.setdefault(place)
        progress.advance()
    places = list(visited)
    return Results.of(places, [evaluator.evaluate(places, stretch) for stretch in stretches], stretches)


def _sample(evaluator: Evaluator, training: Sequence[Stretch], config: SearchConfig) -> Iterator[Place]:
    """The places of the grid that a seeded TPE sampler asks for, given the scores on the training stretches."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=config.seed + len(training))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for _ in range(config.n_optuna):
        asked = study.ask()
        axes = evaluator.space.axes
        place = tuple(asked.suggest_int(axis.name, 0, len(axis.values) - 1) for axis in axes)
        results = Results.of([place], [evaluator.evaluate([place], stretch) for stretch in training], training)
        score = float(results.scores(config)[0])
        study.tell(asked, _WORST if math.isnan(score) else score)
        yield place


def _conclude(
    evaluator: Evaluator, stretches: Sequence[Stretch], config: SearchConfig, results: Results, default: Ledger
) -> SearchResult:
    strategy, trials = evaluator.strategy, evaluator.trials
    n_trials = trials.count(strategy.name)
    chosen = [_choose(results.before(fold + 1), config, n_trials) for fold in range(len(stretches) - 1)]
    out_of_fold = _trade_folds(evaluator, stretches[1:], [choice.place for choice in chosen])
    overfitting, why_not = _measure_overfitting(results, config)
    whole = _choose(results, config, n_trials)
    days = range(stretches[1].days.start, stretches[-1].days.stop)
    return SearchResult(
        strategy=strategy.name,
        default=default,
        out_of_fold=out_of_fold,
        out_of_fold_daily=sum_by_day(out_of_fold, days, evaluator.execution),
        choices=_list_choices(evaluator, stretches, chosen, out_of_fold),
        trials=trials.table(strategy.name, evaluator.source),
        surface=map_surface(strategy.name, evaluator.space, results.places, results.scores(config)),
        overfitting=overfitting,
        best=BestInSample(
            "" if whole.place is None else describe(evaluator.space.combination(whole.place)),
            whole.sharpe,
            whole.deflated_sharpe,
            whole.n_trades,
            n_trials,
            {} if whole.place is None else evaluator.space.combination(whole.place),
        ),
        n_trials=n_trials,
        trial_sharpes=results.sharpes() * math.sqrt(DAYS_PER_YEAR),
        notes=tuple(_notes(evaluator, stretches, chosen, config, why_not)),
    )


@dataclass(frozen=True)
class _Choice:
    place: Place | None
    score: float
    sharpe: float
    deflated_sharpe: float
    n_trades: int
    n_eligible: int


def _choose(results: Results, config: SearchConfig, n_trials: int) -> _Choice:
    """The combination with the highest score, the first of equals; none when none can be scored."""
    scores = results.scores(config)
    n_eligible = int(np.count_nonzero(~np.isnan(scores)))
    if not n_eligible:
        return _Choice(None, math.nan, math.nan, math.nan, 0, 0)
    best = int(np.nanargmax(scores))
    sharpes = results.sharpes()
    spread = sharpes[~np.isnan(sharpes)]
    variance = float(spread.var(ddof=1)) if spread.size > 1 else 0.0
    moments = compute_moments(results.daily[best])
    deflated = deflated_sharpe_ratio(
        moments.sharpe, moments.n_values, variance, max(n_trials, 1), moments.skewness, moments.kurtosis
    )
    return _Choice(
        place=results.places[best],
        score=float(scores[best]),
        sharpe=moments.sharpe * math.sqrt(DAYS_PER_YEAR),
        deflated_sharpe=deflated,
        n_trades=int(results.n_trades[best].sum()),
        n_eligible=n_eligible,
    )


def _trade_folds(evaluator: Evaluator, tests: Sequence[Stretch], places: Sequence[Place | None]) -> Ledger:
    """The trades of each fold with its own parameters, all in one pass of the engine."""
    names = [describe(evaluator.space.combination(place)) if place is not None else "" for place in places]
    parts = [_orders_of(evaluator, place, test) for place, test in zip(places, tests, strict=True)]
    orders = join_orders(parts, tuple(evaluator.inputs.symbols))
    ledger = run_engine(
        evaluator.inputs.paths, orders, evaluator.execution, evaluator.strategy.name, "chosen in each fold"
    )
    decision_ms = ledger.trades["decision_time"].to_physical().to_numpy()
    place = np.searchsorted([test.start_ms for test in tests], decision_ms, side="right") - 1
    labels = pl.Series("parameters", [names[i] for i in place], dtype=pl.String)
    numbers = pl.Series("fold", [tests[i].number for i in place], dtype=pl.Int64)
    return dataclasses.replace(ledger, trades=ledger.trades.with_columns(numbers, labels))


def _orders_of(evaluator: Evaluator, place: Place | None, test: Stretch) -> Orders:
    if place is None:
        orders = decide_orders(evaluator.strategy, evaluator.inputs)
        return orders.select(test.holds(orders.decision_ms))
    combination = evaluator.space.combination(place)
    orders = evaluator.decide(combination)
    return lay_exits(orders.select(test.holds(orders.decision_ms)), combination)


def _measure_overfitting(results: Results, config: SearchConfig) -> tuple[Overfitting | None, str]:
    """The probability of overfitting among the combinations that trade; None, and why, when it has no meaning."""
    days = results.daily.shape[1]
    rows = np.flatnonzero(results.n_trades.sum(axis=1) >= config.min_trades)
    n_blocks = min(config.n_blocks, days // 2 * 2)
    if n_blocks < 4 or rows.size < 2:
        return None, (
            f"the probability of overfitting needs 4 days and two combinations with {config.min_trades} trades, found "
            f"{days} days and {rows.size} combinations"
        )
    found = compute_overfitting(results.daily[rows].T, n_blocks)
    if math.isnan(found.probability):
        return None, "all combinations earned the same: nothing was chosen"
    return found, ""


def _list_choices(
    evaluator: Evaluator, stretches: Sequence[Stretch], chosen: Sequence[_Choice], out_of_fold: Ledger
) -> pl.DataFrame:
    rows = []
    for test, choice in zip(stretches[1:], chosen, strict=True):
        own = out_of_fold.trades.filter(pl.col("fold") == test.number)["net_return"]
        text = "" if choice.place is None else describe(evaluator.space.combination(choice.place))
        times = (stretches[0].start_ms, test.start_ms, test.end_ms)
        values = (_known(choice.score), _known(choice.sharpe), _known(choice.deflated_sharpe))
        counts = (choice.n_trades, choice.n_eligible, own.len())
        rows.append((evaluator.strategy.name, test.number, *times, text, *values, *counts, own.mean()))
    integers = {name: pl.Int64() if name in _TIMES else dtype for name, dtype in CHOICES.dtypes.items()}
    return pl.DataFrame(rows, schema=integers, orient="row").cast(CHOICES.dtypes)  # type: ignore[arg-type]


_TIMES = ("train_start", "test_start", "test_end")


def _notes(
    evaluator: Evaluator, stretches: Sequence[Stretch], chosen: Sequence[_Choice], config: SearchConfig, why_not: str
) -> Iterator[str]:
    idle = [test.number for test, choice in zip(stretches[1:], chosen, strict=True) if choice.place is None]
    if idle:
        yield (
            f"in {len(idle)} of {len(chosen)} folds no combination had {config.min_trades} trades and a score in "
            "training: the default was traded there"
        )
    if why_not:
        yield why_not
    orders = decide_orders(evaluator.strategy, evaluator.inputs)
    if len(orders):
        reach_ms = evaluator.reach_of(orders)
        purged = sum(count_purged(orders, reach_ms, stretch) for stretch in stretches)
        yield (
            f"{purged:,} of {len(orders):,} orders of the default could reach over the end of a fold and did not train"
        )
    if stretches[-1].days.stop - stretches[0].days.start < MIN_DAYS:
        yield f"fewer than {MIN_DAYS} days: daily Sharpe ratios, and what is made of them, say little"


#: Days below which the notes say that daily ratios rest on little.
MIN_DAYS = 30


def _describe_short(config: SearchConfig) -> str:
    return f"the data do not reach {config.train_days} days and a midnight, so there is no fold to test"


def _not_searched(evaluator: Evaluator, default: Ledger, reason: str) -> SearchResult:
    """The result where nothing could be chosen and tested: nothing is out of fold."""
    name, nan = evaluator.strategy.name, math.nan
    n_trials = evaluator.trials.count(name)
    return SearchResult(
        strategy=name,
        default=default,
        out_of_fold=empty_ledger(name, not_testable=reason),
        out_of_fold_daily=np.empty(0),
        choices=CHOICES.empty(),
        trials=evaluator.trials.table(name, evaluator.source),
        surface=map_surface(name, evaluator.space, [], []),
        overfitting=None,
        best=BestInSample("", nan, nan, 0, n_trials),
        n_trials=n_trials,
        trial_sharpes=np.empty(0),
        notes=(f"not testable: {reason}",),
    )


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
