"""The backtests of a study: verdicts, scorecard and what is handed to them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from small_market import Market
from strategy_market import random_market

from liqlab.backtest import (
    CHOSEN,
    DEFAULT,
    OUT_OF_FOLD,
    BacktestConfig,
    Backtests,
    Engine,
    MarketInputs,
    SearchConfig,
    TrialLedger,
    compare_out_of_sample,
    decide_orders,
    get_strategy,
    list_tables,
    run_backtests,
)
from liqlab.core.errors import UserError
from liqlab.core.schema import PREDICTIONS, check_frame
from liqlab.core.time import MS_PER_HOUR
from liqlab.lake import Lake
from liqlab.panel import find_scope
from liqlab.study import HYPOTHESES
from liqlab.study._backtest import (
    NO_BACKTEST,
    STRATEGY_OF,
    find_defaults,
    judge_strategies,
    read_forecasts,
    score_strategies,
)

CONFIG = BacktestConfig(
    strategies=("volatility_breakout", "imbalance_reversal"),
    n_draws=9,
    n_resamples=199,
    search=SearchConfig(train_days=1, min_trades=3),
)


@pytest.fixture(scope="module")
def backtests() -> Backtests:
    """Three days of a random walk with events."""
    return run_backtests(random_market(3, 72.0), CONFIG)


def test_each_hypothesis_of_a_strategy_names_one_of_the_catalogue() -> None:
    assert [one.id for one in HYPOTHESES if one.id.startswith("S")] == list(STRATEGY_OF)
    assert [get_strategy(name).name for name in STRATEGY_OF.values()] == list(STRATEGY_OF.values())


def test_without_a_backtest_the_strategies_are_not_testable_and_say_why(market: Market) -> None:
    with Lake(market.lake) as lake:
        scope = find_scope(lake, None, None, None, market.study.config.coverage)
    findings = judge_strategies(None, market.study.config.questions, scope)
    assert [finding.id for finding in findings] == list(STRATEGY_OF)
    assert {finding.shortfall for finding in findings} == {NO_BACKTEST}


def test_the_calibrated_test_is_that_of_the_run(market: Market) -> None:
    config = market.study.config
    with Lake(market.lake) as lake:
        scope = find_scope(lake, config.symbols, config.start_ms, config.end_ms, config.coverage)
        alone = find_defaults(lake, config)
    assert [repr(one) for one in alone] == [
        repr(one) for one in judge_strategies(market.study.backtests, config.questions, scope)
    ]


def test_the_effect_of_a_finding_is_the_mean_net_return_of_the_default_trades(
    backtests: Backtests, market: Market
) -> None:
    with Lake(market.lake) as lake:
        scope = replace(
            find_scope(lake, None, None, None, market.study.config.coverage), ticker_interval_ms={"A": 5_000}
        )
    findings = {one.id: one for one in judge_strategies(backtests, market.study.config.questions, scope)}
    run = backtests.find("volatility_breakout")
    assert run is not None
    mean = run.ledger.trades["net_return"].mean()
    assert findings["S4"].effect == pytest.approx(1e4 * mean)  # type: ignore[operator]
    assert findings["S4"].n == run.ledger.trades.height
    assert findings["S1"].shortfall == NO_BACKTEST


def test_every_table_is_as_declared_and_trades_do_not_mix_what_was_chosen_on_them(backtests: Backtests) -> None:
    tables = {table.name: check_frame(frame, table) for table, frame in list_tables(backtests)}
    trades = tables["trades"]
    assert set(trades["variant"]) <= {DEFAULT, "scaled", OUT_OF_FOLD, "benchmark"}
    assert trades.filter(pl.col("variant") == OUT_OF_FOLD)["fold"].min() >= 0  # type: ignore[operator]
    assert (trades.filter(pl.col("variant") != OUT_OF_FOLD)["fold"] == -1).all()


def test_chance_is_drawn_for_what_was_chosen_out_of_fold_too(backtests: Backtests) -> None:
    run = backtests.find("volatility_breakout", OUT_OF_FOLD)
    assert run is not None
    assert run.benchmarks["benchmark"].to_list() == ["random entries"]
    assert run.benchmarks["n_draws"].to_list() == [9]


def test_trials_found_again_change_nothing(backtests: Backtests) -> None:
    inputs, trials = random_market(3, 72.0), TrialLedger()
    first, second = (run_backtests(inputs, CONFIG, trials) for _ in range(2))
    assert first.trials == second.trials == backtests.trials
    for (table, one), (_, other) in zip(list_tables(first), list_tables(second), strict=True):
        assert one.equals(other), table.name


def test_the_scorecard_takes_sharpe_ratios_out_of_fold_only_from_enough_trades(backtests: Backtests) -> None:
    scores = score_strategies(backtests)
    assert set(scores) == {name + end for name in CONFIG.strategies or () for end in ("", ", scaled")}
    outside = backtests.find("imbalance_reversal", OUT_OF_FOLD)
    assert outside is not None
    expected = None if outside.ledger.trades.height < 30 else outside.find("sharpe")
    assert scores["imbalance_reversal"].sharpe_out_of_sample == expected


def test_out_of_sample_freezes_the_parameters_and_changes_with_neither_sides_data_of_the_other(
    backtests: Backtests,
) -> None:
    inside = random_market(3, 72.0)
    outside = _later(random_market(5, 48.0), 72)
    found = compare_out_of_sample(backtests, inside, outside)
    assert {(one.strategy, one.variant) for one in found} >= {("volatility_breakout", DEFAULT)}
    for one in found:
        assert one.inside.ledger.parameters == one.outside.ledger.parameters
        if one.variant != CHOSEN:
            strategy = get_strategy(one.strategy)
            own = strategy.default if one.variant == DEFAULT else strategy.scaled
            alone = Engine(outside.paths, CONFIG.execution).run(decide_orders(strategy, outside, own), one.strategy)
            assert alone.trades["net_return"].equals(one.outside.ledger.trades["net_return"])
        else:
            best = backtests.searches[one.strategy].best
            assert one.inside.ledger.parameters == best.parameters


def test_out_of_sample_on_the_same_time_is_refused(backtests: Backtests) -> None:
    inside = random_market(3, 72.0)
    with pytest.raises(UserError, match="must be other data"):
        compare_out_of_sample(backtests, inside, random_market(5, 48.0))


def test_forecasts_become_annual_and_keep_their_time() -> None:
    frame = pl.DataFrame(
        {
            "symbol": ["A", "A", "A"],
            "time": [0, 1_000, 2_000],
            "target": ["volatility", "volatility", "return"],
            "horizon_s": [900, 900, 900],
            "split": ["expanding"] * 3,
            "model": ["ridge"] * 3,
            "fold": [0, 0, 0],
            "prediction": [0.01, 0.02, 0.5],
        }
    ).cast(PREDICTIONS.dtypes)  # type: ignore[arg-type]
    found = read_forecasts(frame)
    assert found is not None
    assert found["A"].times_ms.tolist() == [0, 1_000]
    assert np.allclose(found["A"].volatility, np.array([0.01, 0.02]) * math.sqrt(365 * 96))
    assert read_forecasts(frame.clear()) is None


def _later(inputs: MarketInputs, hours: int) -> MarketInputs:
    """The same market, so many hours later."""
    shift = hours * MS_PER_HOUR
    paths = {
        name: replace(
            path,
            known_ms=path.known_ms + shift,
            funding_ms=path.funding_ms + shift,
            covered=path.covered + shift,
        )
        for name, path in inputs.paths.items()
    }
    liquidations = pl.concat([one.liquidations for one in inputs.symbols.values()])
    moved = liquidations.with_columns(
        (pl.col(name) + pl.duration(milliseconds=shift)).cast(liquidations.schema[name])
        for name in ("event_time", "push_time", "known_time")
    )
    return MarketInputs.gather(moved, paths, inputs.start_ms + shift, inputs.end_ms + shift)
