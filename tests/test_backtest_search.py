"""The search: the past chooses, the future is traded, everything evaluated is counted, and noise is called noise."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from liqlab.backtest import (
    CHOICES,
    SEARCH_SPACES,
    STRATEGIES,
    TRIALS,
    Axis,
    ExecutionConfig,
    FeeModel,
    LatencyModel,
    MarketInputs,
    Orders,
    PositionLimits,
    PricePath,
    SearchConfig,
    SearchSpace,
    SlippageModel,
    TrialLedger,
    cut_stretches,
    describe,
    find_space,
    lay_exits,
    make_parameters,
    run_engine,
    search_strategy,
)
from liqlab.core.config import bounded, check_bounds
from liqlab.core.errors import ConfigError, UserError
from liqlab.core.schema import LIQUIDATIONS, check_frame
from liqlab.core.time import MS_PER_DAY, MS_PER_MINUTE, parse_time

START_MS = parse_time("2026-02-09T06:00")
STEP_MS = 10_000
COSTLESS = ExecutionConfig(
    latency=LatencyModel(0.0),
    fees=FeeModel(0.0, 0.0),
    slippage=SlippageModel(0.0, 0.0),
    limits=PositionLimits(cooldown_s=0.0),
)
CONFIG = SearchConfig(train_days=2, min_trades=5, n_blocks=8)


@dataclass(frozen=True)
class ClockParameters:
    """Every `phase`-th kind of moment; `timeout_min` bounds the trade."""

    phase: int = bounded(0, 0, 100)
    timeout_min: float = bounded(10.0, 1.0, 600.0)

    def __post_init__(self) -> None:
        check_bounds(self)


class Clock:
    """Buys every 20 minutes, at a minute that depends on `phase`: it earns what the prices were made to give."""

    name = "clock"
    description = "Buys at set times"
    Parameters = ClockParameters
    default = ClockParameters()
    scaled = ClockParameters()

    def decide(self, inputs: MarketInputs, parameters: Any) -> Orders:
        """One order every 20 minutes and symbol."""
        first = inputs.start_ms + (parameters.phase + 1) * MS_PER_MINUTE
        times = np.arange(first, inputs.end_ms, 20 * MS_PER_MINUTE)
        return Orders.gather(
            tuple(inputs.symbols), np.zeros(times.size, int), times, 1.0, timeout_ms=10 * MS_PER_MINUTE
        )


SPACE = SearchSpace(
    (Axis("phase", (0.0, 2.0, 4.0, 6.0)),),
    (Axis("stop_frac", (0.0, 0.002, 0.004)), Axis("trail_frac", (0.0, 0.003)), Axis("timeout_min", (5.0, 10.0))),
)


def _market(
    n_days: float = 6.0, seed: int = 0, volatility: float = 2e-4, prices: np.ndarray | None = None
) -> MarketInputs:
    n = round(n_days * MS_PER_DAY / STEP_MS)
    times = START_MS + STEP_MS * np.arange(n)
    if prices is None:
        prices = 100.0 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0.0, volatility, n)))
    path = PricePath.from_ticks("BTCUSDT", times, prices)
    return MarketInputs.gather(LIQUIDATIONS.empty(), {"BTCUSDT": path}, int(times[0]), int(times[-1]))


def _search(market: MarketInputs, trials: TrialLedger | None = None, **changes: Any) -> Any:
    config = changes.pop("config", CONFIG)
    return search_strategy(Clock(), market, trials or TrialLedger(), config, COSTLESS, changes.pop("space", SPACE))


def test_the_count_is_that_of_the_combinations_and_the_default() -> None:
    trials = TrialLedger()
    found = _search(_market(), trials)
    assert SPACE.size == 48
    assert found.n_trials == trials.count("clock") == 48 + 1
    n_stretches = found.choices.height + 1
    # Each combination once per stretch, and the default over the whole span.
    assert trials.count_evaluations("clock") == 48 * n_stretches + 1
    assert check_frame(found.trials, TRIALS).height == 48 * n_stretches
    assert _search(_market(), trials).n_trials == 49
    assert _search(_market(seed=1), trials).n_trials == 49


def test_a_combination_scores_what_the_engine_gives_on_its_stretch() -> None:
    market = _market()
    found = _search(market)
    for row in found.trials.sample(12, seed=1).iter_rows(named=True):
        values = {key: float(value) for key, value in (part.split("=") for part in row["parameters"].split(", "))}
        stretch = cut_stretches(market.start_ms, market.end_ms, 2, 1)[row["fold"] + 1]
        orders = lay_exits(Clock().decide(market, make_parameters(Clock.default, values)), values)
        longest = 10 * MS_PER_MINUTE + 2 * market.symbols["BTCUSDT"].path.tolerance_ms
        inside = (orders.decision_ms >= stretch.start_ms) & (orders.decision_ms + longest < stretch.end_ms)
        trades = run_engine(market.paths, orders.select(inside), COSTLESS).trades
        assert row["n_trades"] == trades.height
        assert row["mean_net"] == pytest.approx(trades["net_return"].mean(), abs=1e-14)


def test_an_interrupted_search_goes_on_and_gives_the_same_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _search(_market(), TrialLedger(tmp_path / "whole"))
    calls = 0
    decide = Clock.decide

    def fail_later(self: Clock, inputs: MarketInputs, parameters: Any) -> Orders:
        nonlocal calls
        calls += 1
        if calls > 3:
            raise KeyboardInterrupt
        return decide(self, inputs, parameters)

    monkeypatch.setattr(Clock, "decide", fail_later)
    with pytest.raises(KeyboardInterrupt):
        _search(_market(), TrialLedger(tmp_path / "cut"))
    monkeypatch.setattr(Clock, "decide", decide)
    done = TrialLedger(tmp_path / "cut").count("clock")
    assert 1 < done < 49
    file = tmp_path / "cut" / "clock.jsonl"
    file.write_bytes(file.read_bytes()[:-20])
    resumed = _search(_market(), TrialLedger(tmp_path / "cut"))
    assert resumed.n_trials == 49
    assert resumed.choices.equals(whole.choices)
    assert resumed.out_of_fold.trades.equals(whole.out_of_fold.trades)
    assert resumed.surface.table.equals(whole.surface.table)
    assert resumed.overfitting is not None
    assert whole.overfitting is not None
    assert resumed.overfitting.probability == whole.overfitting.probability
    assert resumed.best == whole.best


def test_no_parameter_is_chosen_from_its_own_test_fold() -> None:
    market = _market(8.0)
    days = cut_stretches(market.start_ms, market.end_ms, 2, 1)
    path = market.symbols["BTCUSDT"].path
    # On every stretch another phase earns a fortune: a look ahead would pick it, the past cannot know it.
    drift = np.zeros(path.known_ms.size)
    winners = []
    for stretch in days:
        winner = stretch.number + 1
        winners.append(winner)
        minute = (path.known_ms - market.start_ms) // MS_PER_MINUTE % 20
        held = stretch.holds(path.known_ms) & (minute >= winner + 1) & (minute < winner + 2)
        drift += np.where(held, 1e-3, 0.0) - np.where(stretch.holds(path.known_ms) & (minute == 19), 1e-3, 0.0)
    prices = path.price * np.exp(np.cumsum(drift))
    planted = _market(8.0, prices=prices)
    phases = Axis("phase", tuple(float(phase) for phase in range(8)))
    space = SearchSpace((phases,), (Axis("timeout_min", (1.0,)),))
    found = _search(planted, space=space)
    for row in found.choices.iter_rows(named=True):
        assert f"phase={winners[row['fold'] + 1]}," not in row["parameters"]
        assert row["parameters"] != ""
    # Changing a fold's own prices, or any later ones, leaves its choice as it was.
    for fold in range(found.choices.height):
        later = path.known_ms >= days[fold + 1].start_ms
        shift = np.random.default_rng(fold).normal(0.0, 1e-3, later.size)
        changed = _search(_market(8.0, prices=prices * np.exp(np.cumsum(np.where(later, shift, 0.0)))), space=space)
        columns = ["parameters", "score", "n_trades"]
        assert changed.choices[: fold + 1].select(columns).equals(found.choices[: fold + 1].select(columns))


def test_purge_leaves_out_trades_that_reach_over_the_border_and_no_others() -> None:
    market = _market()
    reach = 10 * MS_PER_MINUTE + 2 * market.symbols["BTCUSDT"].path.tolerance_ms
    found = _search(market)
    for stretch in cut_stretches(market.start_ms, market.end_ms, 2, 1):
        decided = Clock().decide(market, Clock.default).decision_ms
        inside = decided[stretch.holds(decided)]
        own = found.trials.filter((pl.col("fold") == stretch.number) & pl.col("parameters").str.starts_with("phase=0,"))
        assert set(own["n_trades"]) == {int((inside + reach < stretch.end_ms).sum())}
        assert (inside + reach >= stretch.end_ms).sum() in (0, 1)
    assert any("could reach over the end of a fold" in note for note in found.notes)


def test_out_of_fold_trades_carry_their_fold_and_its_parameters() -> None:
    market = _market()
    found = _search(market)
    check_frame(found.choices, CHOICES)
    trades = found.out_of_fold.trades
    assert trades.height > 100
    for row in found.choices.iter_rows(named=True):
        own = trades.filter(pl.col("fold") == row["fold"])
        assert own.height == row["n_tested"]
        assert set(own["parameters"]) == {row["parameters"]}
        assert own["decision_time"].min() >= row["test_start"]
        assert own["decision_time"].max() < row["test_end"]
        assert row["test_mean_net"] == pytest.approx(own["net_return"].mean())
    assert found.out_of_fold_daily.sum() == pytest.approx(trades["net_return"].sum() / 10)
    assert set(found.default.trades["fold"]) == {-1}


def test_in_a_world_of_noise_the_best_of_many_is_called_luck() -> None:
    probabilities, deflated, raw = [], [], []
    for seed in range(8):
        found = _search(_market(12.0, seed=seed))
        assert found.overfitting is not None
        probabilities.append(found.overfitting.probability)
        deflated.append(found.best.deflated_sharpe)
        raw.append(found.best.sharpe)
    assert np.mean(raw) > 2.0
    assert np.mean(probabilities) > 0.3
    assert sum(value > 0.95 for value in deflated) <= 1


def test_a_real_effect_is_found_and_survives() -> None:
    market = _market(12.0)
    path = market.symbols["BTCUSDT"].path
    minute = (path.known_ms - market.start_ms) // MS_PER_MINUTE % 20
    drift = np.where((minute >= 3) & (minute < 8), 1e-4, 0.0) - np.where(minute >= 15, 1e-4, 0.0)
    found = _search(_market(12.0, prices=path.price * np.exp(np.cumsum(drift))))
    assert found.overfitting is not None
    assert found.overfitting.probability < 0.1
    assert found.out_of_fold.trades["net_return"].mean() > 1e-3
    # Both hold a position over the rise.
    assert found.best.parameters.startswith(("phase=0,", "phase=2,"))
    assert found.surface.plateau.best > 0.0


def test_a_seeded_sampler_searches_the_same_space_and_counts_each_combination_once(tmp_path: Path) -> None:
    config = replace(CONFIG, method="optuna", n_optuna=15, seed=3)
    trials = TrialLedger(tmp_path)
    found = _search(_market(4.0), trials, config=config)
    named = set(found.trials["parameters"])
    assert named <= {describe(SPACE.combination(place)) for place in SPACE.places()}
    assert found.n_trials == len(named) + 1 == trials.count("clock")
    again = _search(_market(4.0), TrialLedger(tmp_path), config=config)
    assert again.choices.equals(found.choices)
    assert again.n_trials == found.n_trials
    other = _search(_market(4.0), config=replace(config, seed=4))
    assert set(other.trials["parameters"]) != named


def test_data_too_short_for_a_fold_are_not_testable_and_still_mapped() -> None:
    found = _search(_market(1.5))
    assert found.choices.is_empty()
    assert found.out_of_fold.trades.is_empty()
    assert found.notes[0].startswith("not testable")
    assert found.default.trades.height > 0


def test_a_fold_without_a_combination_trades_the_default_and_says_so() -> None:
    found = _search(_market(4.0), config=replace(CONFIG, min_trades=100_000))
    assert set(found.choices["parameters"]) == {""}
    assert any("the default was traded" in note for note in found.notes)
    assert found.overfitting is None
    assert found.surface.plateau.shape == "not testable"


def test_stretches_cover_the_span_once_and_end_at_midnight() -> None:
    stretches = cut_stretches(START_MS, START_MS + 6 * MS_PER_DAY, 2, 1)
    assert stretches[0].start_ms == START_MS
    assert stretches[-1].end_ms == START_MS + 6 * MS_PER_DAY + 1
    for before, after in itertools.pairwise(stretches):
        assert before.end_ms == after.start_ms
        assert after.start_ms % MS_PER_DAY == 0
        assert before.days[-1] < after.days[0]
    assert [stretch.number for stretch in stretches] == [-1, 0, 1, 2, 3]


def test_orders_without_an_end_and_unknown_parameters_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="no parameter 'window'"):
        _search(_market(3.0), space=SearchSpace((Axis("window", (1.0,)),)))
    with pytest.raises(ConfigError, match="max_combinations"):
        _search(_market(3.0), config=replace(CONFIG, max_combinations=10))
    decide = Clock.decide

    def endless(self: Clock, inputs: MarketInputs, parameters: Any) -> Orders:
        return decide(self, inputs, parameters).with_values(timeout_ms=2**62)

    monkeypatch.setattr(Clock, "decide", endless)
    with pytest.raises(ConfigError, match="give each a timeout"):
        _search(_market(3.0), space=SearchSpace(exits=(Axis("stop_frac", (0.0, 0.01)),)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Axis("a", ()), "needs finite values"),
        (lambda: Axis("a", (2.0, 1.0)), "must ascend"),
        (lambda: SearchSpace((Axis("stop_frac", (0.1,)),)), "is an exit"),
        (lambda: SearchSpace(exits=(Axis("window", (0.1,)),)), "unknown exit axis 'window'"),
        (lambda: SearchSpace((Axis("a", (1.0,)), Axis("a", (2.0,)))), "each axis once"),
        (lambda: SearchConfig(method="random"), "unknown search method"),
        (lambda: SearchConfig(n_blocks=7), "must be even"),
    ],
)
def test_a_space_or_search_that_makes_no_sense_is_refused(make: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.name)
def test_each_strategy_has_a_space_of_its_own_parameters_around_its_default(strategy: Any) -> None:
    space = find_space(strategy)
    assert space is SEARCH_SPACES[strategy.name]
    assert 500 <= space.size <= 2_000
    for place in (tuple(0 for _ in space.shape), tuple(n - 1 for n in space.shape)):
        combination = space.combination(place)
        parameters = make_parameters(strategy.default, combination)
        assert all(getattr(parameters, axis.name) == combination[axis.name] for axis in space.entry)
    for axis in space.axes:
        if hasattr(strategy.default, axis.name) and getattr(strategy.default, axis.name):
            assert axis.values[0] <= getattr(strategy.default, axis.name) <= axis.values[-1]
