"""The audit of strategies, on the published cascade fade, which it must flag, and on what it must let pass."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
import pytest
from strategy_market import random_market

from liqlab.audit import (
    CONTRACT,
    LEAST_TRADES,
    PUBLISHED_FILL_RULES,
    FadeMarkets,
    PublishedFade,
    RandomWalkConfig,
    StrategyAuditConfig,
    audit_strategy,
    check_contract,
    check_effort,
    check_fills,
    check_placebo,
    check_truncation,
    find_fade_signals,
    make_fade_market,
    make_minute_bars,
    make_random_walk,
    render_strategy_audit,
    simulate_as_published,
    trade_as_published,
)
from liqlab.backtest import (
    STRATEGIES,
    ExecutionConfig,
    MarketInputs,
    Orders,
    PricePath,
    decide_orders,
    run_engine,
)
from liqlab.core.errors import UserError

SEEDS = (1, 2, 3, 4, 5)
SHORT = RandomWalkConfig(days=2, n_liquidations=109)
FEW = StrategyAuditConfig(n_cuts=4, n_surrogates=20, workers=1)
MS_PER_DAY = 86_400_000


def _measure(rule: str, seed: int) -> tuple[int, float, float, float]:
    """Trades, share won, total net return and daily Sharpe ratio on one random walk, by one fill rule."""
    parameters = PUBLISHED_FILL_RULES[rule]
    walk = make_random_walk(seed)
    bars = make_minute_bars(walk.known_ms, walk.price, walk.price, walk.price)
    signals = find_fade_signals(walk.liquidation_ms, walk.is_long, walk.notional_usd, bars, parameters)
    trades = trade_as_published(signals, bars, parameters)
    net = np.array([trade.net_return for trade in trades])
    days = (bars.label_ms[[trade.exit_bar for trade in trades]] - bars.label_ms[0]) // MS_PER_DAY
    daily = np.bincount(days, weights=net, minlength=11)
    return len(net), float((net > 0.0).mean()), float(net.sum()), float(daily.mean() / daily.std(ddof=1) * 365**0.5)


@pytest.fixture(scope="module")
def measured() -> dict[str, np.ndarray]:
    return {rule: np.median([_measure(rule, seed) for seed in SEEDS], axis=0) for rule in PUBLISHED_FILL_RULES}


def test_the_published_rule_earns_a_sharpe_above_fifty_where_nothing_can_be_earned(
    measured: dict[str, np.ndarray],
) -> None:
    trades, won, total, sharpe = measured[next(iter(PUBLISHED_FILL_RULES))]
    assert 390 <= trades <= 450
    assert 0.74 <= won <= 0.86
    assert 0.13 <= total <= 0.21
    assert sharpe > 50.0


def test_with_fills_and_exits_from_later_bars_it_loses_the_fees(measured: dict[str, np.ndarray]) -> None:
    _, won, total, sharpe = measured[list(PUBLISHED_FILL_RULES)[-1]]
    assert 0.33 <= won <= 0.5
    assert total < 0.0
    assert sharpe < 0.0


def test_what_makes_the_money_is_the_exit_from_the_bar_that_filled(measured: dict[str, np.ndarray]) -> None:
    as_published, later_fill, later_exit, _ = (measured[rule][3] for rule in PUBLISHED_FILL_RULES)
    assert later_fill > 50.0
    assert later_exit < as_published / 3.0


def test_the_audit_flags_the_published_rule_and_names_the_reason() -> None:
    markets = (make_fade_market(seed, SHORT) for seed in (1, 2))
    audit = audit_strategy(PublishedFade(), markets, simulate=simulate_as_published, config=FEW, market="two walks")
    text = render_strategy_audit(audit)
    assert not audit.passed
    assert audit.contract.passed
    assert "it earns where nothing can be earned" in text
    verdict = " ".join(text[text.index("FLAGGED") :].split())
    assert "trades were left in the observation that filled the entry" in verdict
    assert audit.audited is not None
    assert {found.rule for found in audit.audited.fills.findings} >= {"fill observation", "win rate"}
    assert all(check.standard_errors > 10 and check.mean > 5e-4 for check in audit.audited.placebo)
    assert audit.engine is not None
    assert audit.engine.passed
    assert (len(audit.results), len(audit.honest)) == (2, 2)


def test_the_same_signals_through_the_engine_pass() -> None:
    audit = audit_strategy(PublishedFade(), (make_fade_market(1, SHORT),), config=FEW, market="one walk")
    assert audit.passed, render_strategy_audit(audit)


class _Peeking(PublishedFade):
    """Sides with the move of the next five minutes."""

    name = "peeking"

    def decide(self, inputs: MarketInputs, parameters: object) -> Orders:
        orders = super().decide(inputs, parameters)  # type: ignore[arg-type]
        (symbol,) = inputs.symbols.values()
        path = symbol.path
        now = np.minimum(np.searchsorted(path.known_ms, orders.decision_ms, "right"), len(path.price) - 1)
        later = np.minimum(now + 600, len(path.price) - 1)
        side = np.where(path.price[later] >= path.price[now], 1.0, -1.0)
        nothing = np.full(len(side), np.nan)
        return orders.with_values(
            side=side, limit_price=nothing, trail_frac=nothing, target_frac=nothing, timeout_ms=300_000
        )


def test_a_strategy_that_looks_ahead_is_caught_by_removing_and_replacing_what_comes_later() -> None:
    market = make_fade_market(1, SHORT)
    assert not check_truncation(_Peeking(), market, n_cuts=6).passed
    assert check_truncation(PublishedFade(), market, n_cuts=6).passed


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.name)
def test_fills_of_the_engine_raise_no_false_alarm(strategy: object) -> None:
    market = make_fade_market(3, SHORT)
    orders = decide_orders(strategy, market, strategy.scaled)  # type: ignore[arg-type, attr-defined]
    ledger = run_engine(market.paths, orders, ExecutionConfig(), "audited")
    assert check_fills(ledger.trades, market.paths, ledger.fills).passed


def test_a_fill_in_the_deciding_observation_and_a_price_that_never_was_are_found() -> None:
    market = make_fade_market(4, SHORT)
    ledger = run_engine(market.paths, decide_orders(PublishedFade(), market), ExecutionConfig(), "honest")
    assert check_fills(ledger.trades, market.paths, ledger.fills).passed
    at_once = ledger.trades.with_columns(entry_time=pl.col("decision_time"))
    assert not check_fills(at_once, market.paths).passed
    cheap = pl.when(pl.col("side") == "long").then(0.5).otherwise(2.0)
    better = ledger.trades.with_columns(entry_price=pl.col("entry_price") * cheap)
    assert not check_fills(better, market.paths).passed


# The contract, one by one


class _Clock(PublishedFade):
    """Buys every quarter of an hour; each of its kin breaks one rule of the contract."""

    name = "clock"

    def decide(self, inputs: MarketInputs, _parameters: Any) -> Orders:
        return self._order(inputs, np.arange(inputs.start_ms + 1_000, inputs.end_ms + 1, 900_000))

    def _order(self, inputs: MarketInputs, moments: np.ndarray[Any, Any], **columns: Any) -> Orders:
        side = columns.pop("side", 1.0)
        return Orders.gather(
            list(inputs.symbols), 0, moments, np.full(len(moments), side), timeout_ms=300_000, **columns
        )


class _Blind(_Clock):
    def decide(self, _inputs: MarketInputs, _parameters: Any) -> Any:
        return [1, 2]


class _Stranger(_Clock):
    def decide(self, inputs: MarketInputs, _parameters: Any) -> Orders:
        return Orders.gather(["LTCUSDT"], 0, [inputs.start_ms], [1.0])


class _Late(_Clock):
    def decide(self, inputs: MarketInputs, _parameters: Any) -> Orders:
        return self._order(inputs, np.array([inputs.start_ms, inputs.end_ms + 60_000]))


class _EarlySignal(_Clock):
    def decide(self, inputs: MarketInputs, _parameters: Any) -> Orders:
        moments = np.array([inputs.start_ms + 60_000])
        return self._order(inputs, moments, exit_signal_ms=moments - 1)


class _LastDay(_Clock):
    """Knows when the market ends."""

    def decide(self, inputs: MarketInputs, parameters: Any) -> Orders:
        orders = super().decide(inputs, parameters)
        return orders.select(orders.decision_ms > inputs.end_ms - 7_200_000)


class _NextPrice(_Clock):
    """Knows the next price, where there is one."""

    def decide(self, inputs: MarketInputs, parameters: Any) -> Orders:
        orders, path = super().decide(inputs, parameters), next(iter(inputs.symbols.values())).path
        later = np.minimum(np.searchsorted(path.known_ms, orders.decision_ms + 60_000), len(path.price) - 1)
        now = np.searchsorted(path.known_ms, orders.decision_ms)
        return orders.with_values(side=np.where(path.price[later] > path.price[np.minimum(now, later)], 1.0, -1.0))


class _Coin(_Clock):
    def decide(self, inputs: MarketInputs, parameters: Any) -> Orders:
        orders = super().decide(inputs, parameters)
        return orders.with_values(side=np.random.default_rng().choice([-1.0, 1.0], len(orders)))


class _Needy(_Clock):
    """Fails on a market that is shorter than a day."""

    def decide(self, inputs: MarketInputs, parameters: Any) -> Orders:
        if inputs.end_ms - inputs.start_ms < MS_PER_DAY:
            raise UserError("needs a day")
        return super().decide(inputs, parameters)


class _Unpicklable(_Clock):
    def __init__(self) -> None:
        self.helper = lambda: None


BROKEN: list[tuple[type[_Clock], str, str]] = [
    (_Blind, "orders are valid", "decide returned a list instead of Orders"),
    (_Stranger, "orders are valid", "unknown symbol 'LTCUSDT'; the market has RANDOMWALK"),
    (_Late, "orders lie in the span", "1 of 2 orders do not"),
    (_EarlySignal, "exit signals come later", "1 do not, first that of the order decided at 2026-02-09 00:01:00.000"),
    (_LastDay, "later data removed", r"\(order\) is not there, but there with everything after"),
    (_NextPrice, "later data replaced", "side is -?1.0, but -?1.0 with everything after .* replaced"),
    (_Coin, "same decisions again", "side is -?1.0 the first time and -?1.0 the next"),
    (_Needy, "later data removed", "removed it fails: needs a day"),
    (_Unpicklable, "crosses processes", "it cannot be pickled"),
]


@pytest.fixture(scope="module")
def walk() -> MarketInputs:
    return make_fade_market(1, RandomWalkConfig(days=1, tick_s=5.0, n_liquidations=60))


@pytest.mark.parametrize(("strategy", "item", "reason"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_each_breach_of_the_contract_is_found_under_its_name(
    strategy: type[_Clock], item: str, reason: str, walk: MarketInputs
) -> None:
    found = check_contract(strategy(), walk, n_cuts=6)
    assert not found.passed
    assert tuple(one.name for one in found.items) == CONTRACT
    (broken,) = (one for one in found.items if one.name == item)
    assert broken.passed is False
    assert pl.Series([broken.reason]).str.contains(reason).item(), broken.reason


@pytest.mark.parametrize("strategy", [*STRATEGIES, PublishedFade(), _Clock()], ids=lambda strategy: strategy.name)
def test_what_keeps_the_contract_passes_every_item(strategy: Any) -> None:
    found = check_contract(strategy, random_market(1, 8.0), strategy.scaled, n_cuts=4)
    assert found.passed, found.items


def test_orders_that_are_not_valid_are_flagged_and_nothing_else_is_claimed(walk: MarketInputs) -> None:
    audit = audit_strategy(_Late(), (walk,), config=FEW)
    assert not audit.passed
    assert audit.audited is None
    text = render_strategy_audit(audit)
    assert "FLAGGED" in text
    assert "orders lie in the span: no" in text
    assert [line.split(":")[0] for line in audit.not_done] == [
        "(a) later data removed",
        "(a) later data replaced",
        "(a) same decisions again",
        "(a) crosses processes",
        "(b) placebo and (c) fills",
    ]
    json.dumps(audit.to_dict(), allow_nan=False)


def test_what_cannot_be_pickled_is_flagged_and_the_rest_is_done_in_one_process(walk: MarketInputs) -> None:
    audit = audit_strategy(_Unpicklable(), (walk,), config=StrategyAuditConfig(n_cuts=2, n_surrogates=20, workers=2))
    assert not audit.passed
    assert audit.audited is not None
    assert audit.audited.passed


# The placebo, and what could not be done


def test_the_placebo_does_not_depend_on_the_number_of_processes() -> None:
    market = random_market(1, 4.0)
    strategy = STRATEGIES[-1]
    alone, shared = (
        check_placebo(strategy, market, strategy.scaled, data_net=0.0, n_surrogates=20, seed=3, workers=workers)
        for workers in (1, 2)
    )
    assert alone == shared
    assert all(check.n_trades > 5 for check in alone)


def test_the_place_of_the_data_counts_the_surrogates_that_do_as_well(walk: MarketInputs) -> None:
    lowest, highest = (
        check_placebo(_Clock(), walk, data_net=net, n_surrogates=20, workers=1)[0] for net in (-1.0, 1.0)
    )
    assert (lowest.n_as_good, lowest.p) == (10, 1.0)
    assert (highest.n_as_good, highest.p) == (0, 1 / 11)
    assert highest.net == tuple(sorted(highest.net))
    # Costs of about 13 bps in and out, and nothing to earn.
    assert np.mean(highest.net) == pytest.approx(-13e-4, abs=5e-4)


class _Never(_Clock):
    def decide(self, inputs: MarketInputs, _parameters: Any) -> Orders:
        return Orders.empty(list(inputs.symbols))


def test_without_a_trade_the_audit_says_what_it_could_not_do(walk: MarketInputs) -> None:
    audit = audit_strategy(_Never(), (walk,), config=FEW)
    assert audit.passed
    assert not audit.has_trades
    assert [line.split(":")[0] for line in audit.not_done] == [
        "(a) later data removed, replaced",
        "(b) placebo, random walk and shuffled blocks",
        "(b) the place of the data's result among the surrogates",
        "(c) fills",
    ]
    assert all("the strategy gave no order" in line for line in audit.not_done[2:])
    text = render_strategy_audit(audit)
    assert "NO VERDICT: there was no trade" in text
    assert "nan" not in text
    json.dumps(audit.to_dict(), allow_nan=False)


def test_too_few_trades_to_judge_a_win_rate_are_said_to_be_too_few(walk: MarketInputs) -> None:
    audit = audit_strategy(_Clock(), (walk.truncate(walk.start_ms + 4 * 3_600_000),), config=FEW)
    assert audit.passed
    assert audit.has_trades
    assert audit.not_done == (f"(c) win rate: 16 trades say nothing about it, {LEAST_TRADES} are needed",)
    assert "CLEAN as far as could be looked at" in render_strategy_audit(audit)


def test_prices_too_coarse_for_its_exits_leave_no_verdict(walk: MarketInputs) -> None:
    path = walk.paths["RANDOMWALK"]
    coarse = PricePath.from_ticks("RANDOMWALK", path.known_ms[::60], path.price[::60])
    audit = audit_strategy(PublishedFade(), (walk.with_paths({"RANDOMWALK": coarse}),), config=FEW)
    assert audit.passed
    assert not audit.has_trades
    assert audit.not_done[-1] == (
        "(c) fills: prices of RANDOMWALK every 300 s cannot decide: limit, target, trailing stop"
    )


def test_an_audit_that_could_find_nothing_is_refused(walk: MarketInputs) -> None:
    with pytest.raises(UserError, match="at least one cut"):
        check_effort(0, 200)
    with pytest.raises(UserError, match="at least 20 surrogates, got 19"):
        audit_strategy(_Clock(), (walk,), config=StrategyAuditConfig(n_surrogates=19))
    with pytest.raises(UserError, match="at least one market"):
        audit_strategy(_Clock(), ())


def test_the_random_walks_of_the_published_rule_are_made_one_after_the_other() -> None:
    markets = FadeMarkets(range(3, 5), SHORT)
    assert len(markets) == 2
    first, second = markets
    assert not np.array_equal(first.paths["RANDOMWALK"].price, second.paths["RANDOMWALK"].price)
    assert np.array_equal(first.paths["RANDOMWALK"].price, make_fade_market(3, SHORT).paths["RANDOMWALK"].price)


def test_a_position_opened_in_the_last_observation_may_be_closed_there_but_not_better(walk: MarketInputs) -> None:
    end = walk.truncate(walk.start_ms + 1_000_000)
    last_ms = int(end.paths["RANDOMWALK"].known_ms[-1])
    orders = Orders.gather(["RANDOMWALK"], 0, [last_ms - 5_000], [1.0], timeout_ms=60_000)
    ledger = run_engine(end.paths, orders, ExecutionConfig())
    assert ledger.trades["exit_time"].to_list() == ledger.trades["entry_time"].to_list()
    assert check_fills(ledger.trades, end.paths, ledger.fills).passed
    better = ledger.trades.with_columns(exit_price=pl.col("exit_price") * 1.001)
    assert "fill observation" in {found.rule for found in check_fills(better, end.paths).findings}
