"""The audit of strategies, on the published cascade fade, which it must flag, and on what it must let pass."""

from __future__ import annotations

import numpy as np
import pytest

from liqlab.audit import (
    PUBLISHED_FILL_RULES,
    PublishedFade,
    RandomWalkConfig,
    StrategyAuditConfig,
    audit_strategy,
    check_fills,
    check_truncation,
    find_fade_signals,
    make_fade_market,
    make_minute_bars,
    make_random_walk,
    render_strategy_audit,
    simulate_as_published,
    trade_as_published,
)
from liqlab.backtest import STRATEGIES, ExecutionConfig, MarketInputs, Orders, decide_orders, run_engine

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
    assert "fill" in text


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
    import polars as pl

    market = make_fade_market(4, SHORT)
    ledger = run_engine(market.paths, decide_orders(PublishedFade(), market), ExecutionConfig(), "honest")
    assert check_fills(ledger.trades, market.paths, ledger.fills).passed
    at_once = ledger.trades.with_columns(entry_time=pl.col("decision_time"))
    assert not check_fills(at_once, market.paths).passed
    cheap = pl.when(pl.col("side") == "long").then(0.5).otherwise(2.0)
    better = ledger.trades.with_columns(entry_price=pl.col("entry_price") * cheap)
    assert not check_fills(better, market.paths).passed
