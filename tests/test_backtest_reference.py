"""The compiled engine and the plain one agree trade by trade, and the books of both reconcile."""

from __future__ import annotations

import numpy as np
import polars as pl
from backtest_reference import Reference, run_reference
from hypothesis import example, given, settings
from hypothesis import strategies as st

from liqlab.backtest._engine import run_engine
from liqlab.backtest._equity import compute_equity
from liqlab.backtest._execution import (
    ExecutionConfig,
    FeeModel,
    FillModel,
    FundingModel,
    LatencyModel,
    PositionLimits,
    SlippageModel,
)
from liqlab.backtest._ledger import EQUITY, FILLS, SKIP_REASONS, TRADES, Ledger
from liqlab.backtest._orders import NEVER, Orders
from liqlab.backtest._prices import PricePath
from liqlab.core.schema import check_frame

START_MS = 1_770_595_200_000
SEEDS = st.integers(0, 2**32 - 1)


def make_path(random: np.random.Generator, symbol: str) -> PricePath:
    """A short path on a lattice of prices, so that levels are touched exactly; ticks or spans, gaps, funding."""
    n = int(random.integers(1, 130))
    steps_ms = random.integers(1, 7, n) * 1_000
    steps_ms[random.random(n) < random.choice([0.0, 0.05])] = int(random.integers(15_000, 40_000))
    known_ms = START_MS + int(random.integers(0, 20_000)) + np.cumsum(steps_ms)
    price = 100.0 + 0.1 * np.cumsum(random.integers(-3, 4, n))
    wide = random.choice([0, 4])
    low, high = price - 0.1 * random.integers(0, wide + 1, n), price + 0.1 * random.integers(0, wide + 1, n)
    bid, ask = price - 0.01, price + random.choice([0.01, -0.05], n)
    bid[random.random(n) < 0.5] = np.nan
    moments = np.unique(random.choice(known_ms, min(3, n)) + random.choice([0, 500]))
    rates = random.choice([1e-4, -3e-4, np.nan], moments.size)
    return PricePath.from_ticks(
        symbol, known_ms, price, low, high, bid, ask, moments, rates, interval_ms=int(random.choice([1_000, 7_000]))
    )


def make_orders(random: np.random.Generator, symbols: tuple[str, ...]) -> Orders:
    """Orders with any combination of what orders can ask for."""
    n = int(random.integers(0, 30))

    def some(values: list[float], none: float) -> np.ndarray:
        return np.where(random.random(n) < random.choice([0.0, 0.5, 1.0]), random.choice(values, n), none)

    decision_ms = START_MS + random.integers(0, 500, n) * 1_000
    return Orders.gather(
        symbols,
        random.integers(0, len(symbols), n),
        decision_ms,
        random.choice([-1.0, 1.0], n),
        limit_price=some([99.5, 99.9, 100.0, 100.1, 100.6], np.nan),
        limit_life_ms=some([0, 5_000, 40_000, 200_000], NEVER),
        target_frac=some([0.001, 0.002, 0.01], np.nan),
        target_share=some([0.3, 0.5], 1.0),
        stop_frac=some([0.001, 0.002, 0.01], np.nan),
        stop_price=some([99.0, 100.0, 101.0], np.nan),
        trail_frac=some([0.001, 0.003, 0.01], np.nan),
        timeout_ms=some([1_000, 20_000, 90_000], NEVER),
        exit_signal_ms=np.where(random.random(n) < 0.4, decision_ms + random.integers(0, 60, n) * 1_000, NEVER),
        exit_signal=random.integers(0, 2, n),
        weight=some([0.0, 0.5, 3.0], 1.0),
    )


def make_config(random: np.random.Generator) -> ExecutionConfig:
    """Costs, delays and limits of all kinds."""
    return ExecutionConfig(
        LatencyModel(float(random.choice([0.0, 0.5, 5.0]))),
        FeeModel(float(random.choice([-1.0, 2.0])), float(random.choice([0.0, 5.5]))),
        SlippageModel(float(random.choice([0.0, 0.5])), float(random.choice([0.0, 3.0]))),
        FillModel(queue_ahead_usd=float(random.choice([0.0, 500_000.0]))),
        FundingModel(bool(random.random() < 0.8)),
        PositionLimits(
            max_positions=int(random.integers(1, 4)),
            cooldown_s=float(random.choice([0.0, 10.0])),
            max_gross_usd=float(random.choice([15_000.0, 1e6])),
        ),
    )


def make_case(seed: int) -> tuple[dict[str, PricePath], Orders, ExecutionConfig]:
    """Paths of up to three symbols, one of which may have no prices, with orders and a configuration."""
    random = np.random.default_rng(seed)
    symbols = ("A", "B", "C")[: int(random.integers(1, 4))]
    paths = {symbol: make_path(random, symbol) for symbol in symbols if random.random() < 0.9}
    return paths, make_orders(random, symbols), make_config(random)


@settings(max_examples=400)
@given(SEEDS)
@example(0)
def test_the_engine_and_the_plain_reference_agree_trade_by_trade(seed: int) -> None:
    paths, orders, config = make_case(seed)
    check_agreement(run_engine(paths, orders, config, "random"), run_reference(paths, orders, config), orders)


def check_agreement(ledger: Ledger, expected: Reference, orders: Orders) -> None:
    """Raise unless both have the same trades, costs and reasons."""
    trades = check_frame(ledger.trades, TRADES)
    assert ledger.skipped == dict(expected.skipped)
    assert set(ledger.skipped) <= set(SKIP_REASONS)
    assert trades.height == len(expected.trades)
    assert trades.height + sum(ledger.skipped.values()) == ledger.n_orders == len(orders)
    for name, values in (
        ("decision_time", [int(orders.decision_ms[trade.order]) for trade in expected.trades]),
        ("entry_time", [trade.entry_ms for trade in expected.trades]),
        ("exit_time", [trade.exit_ms for trade in expected.trades]),
    ):
        assert trades[name].to_physical().to_list() == values
    assert trades["exit_reason"].to_list() == [trade.reason for trade in expected.trades]
    assert trades["symbol"].to_list() == [trade.symbol for trade in expected.trades]
    assert trades["funding_known"].to_list() == [not trade.unknown_fundings for trade in expected.trades]
    for name, attribute in (
        ("entry_price", "entry_paid"),
        ("exit_price", "exit_paid"),
        ("gross_return", "gross"),
        ("gross_return_optimistic", "optimistic"),
        ("fees", "fees"),
        ("slippage", "slippage"),
        ("limit_overshoot", "overshoot"),
        ("net_return", "net"),
        ("notional_usd", "notional_usd"),
    ):
        found = [getattr(trade, attribute) for trade in expected.trades]
        np.testing.assert_allclose(trades[name].to_numpy(), found, rtol=1e-11, atol=1e-13, err_msg=name)
    funding = [None if trade.unknown_fundings else trade.funding for trade in expected.trades]
    for own, other in zip(trades["funding"].to_list(), funding, strict=True):
        assert (own is None) == (other is None)
        assert own is None or abs(own - other) < 1e-13


@settings(max_examples=200)
@given(SEEDS)
def test_cash_and_positions_are_the_equity_at_every_row(seed: int) -> None:
    paths, orders, config = make_case(seed)
    ledger = run_engine(paths, orders, config, "random")
    end_ms = START_MS + 8_000_000
    equity = check_frame(compute_equity(ledger, paths, config, START_MS, end_ms), EQUITY)
    cash = run_reference(paths, orders, config).cash
    fills = check_frame(ledger.fills, FILLS)
    for time_ms, value, cash_usd in zip(
        equity["time"].to_physical().to_list(), equity["equity"].to_list(), equity["cash_usd"].to_list(), strict=True
    ):
        assert abs(cash_usd - sum(change for when, change in cash if when <= time_ms)) < 1e-6
        position_usd = 0.0
        for symbol, path in paths.items():
            own = fills.filter((pl.col("symbol") == symbol) & (pl.col("time").to_physical() <= time_ms))
            held = sum(q if side == "buy" else -q for q, side in own.select("quantity", "side").iter_rows())
            known = path.price[path.known_ms <= time_ms]
            position_usd += held * known[-1] if own.height else 0.0
        assert abs(value - (config.limits.capital_usd + cash_usd + position_usd)) < 1e-6
    earned = float((ledger.trades["net_return"] * ledger.trades["notional_usd"]).sum())
    assert abs(equity["equity"][-1] - config.limits.capital_usd - earned) < 1e-6
    assert (equity["drawdown"] <= 0).all()


@settings(max_examples=100)
@given(SEEDS)
def test_in_every_trade_gross_less_costs_is_net(seed: int) -> None:
    paths, orders, config = make_case(seed)
    ledger = run_engine(paths, orders, config, "random")
    trades, fills = ledger.trades, ledger.fills
    assert (trades["slippage"] >= 0).all()
    assert (trades["gross_return_optimistic"] >= trades["gross_return"] - 1e-12).all() or bool(
        (orders.stop_price > 0).any()
    )
    paid = fills.filter(pl.col("kind") == "funding").group_by("trade").agg(funding_usd=-pl.col("cash_usd").sum())
    joined = trades.join(paid, on="trade", how="left").with_columns(pl.col("funding_usd").fill_null(0.0))
    rest = joined.select(
        pl.col("gross_return")
        - pl.col("fees")
        - pl.col("slippage")
        - pl.col("funding_usd") / pl.col("notional_usd")
        - pl.col("net_return")
    ).to_series()
    assert (rest.abs() < 1e-12).all()
    costs = fills.group_by("trade").agg(pl.col("fee_usd").sum(), pl.col("slippage_usd").sum())
    both = trades.join(costs, on="trade")
    np.testing.assert_allclose(both["fee_usd"], both["fees"] * both["notional_usd"], atol=1e-8)
    np.testing.assert_allclose(both["slippage_usd"], both["slippage"] * both["notional_usd"], atol=1e-8)


@settings(max_examples=50)
@given(SEEDS, st.integers(1, 10_000))
def test_what_comes_later_does_not_change_what_was_closed_before(seed: int, kept_s: int) -> None:
    paths, orders, config = make_case(seed)
    cut_ms = START_MS + kept_s * 50
    seen = {symbol: truncate(path, cut_ms) for symbol, path in paths.items() if path.known_ms[0] <= cut_ms}
    whole, part = run_engine(paths, orders, config).trades, run_engine(seen, orders, config).trades
    before = pl.col("exit_time").to_physical() <= cut_ms
    closed = part.filter(pl.col("exit_reason") != "end of data").drop("trade")
    expected = whole.filter(before & (pl.col("exit_reason") != "end of data")).drop("trade")
    keys = ["symbol", "decision_time", "entry_time"]
    assert closed.equals(expected.join(closed.select(keys), on=keys, how="semi", maintain_order="left"))
    assert closed.height <= expected.height <= closed.height + len(paths)


def truncate(path: PricePath, cut_ms: int) -> PricePath:
    """What was known of a path by a moment."""
    known = path.known_ms <= cut_ms
    funded = path.funding_ms <= cut_ms
    return PricePath.from_ticks(
        path.symbol,
        path.known_ms[known],
        path.price[known],
        path.low[known],
        path.high[known],
        path.bid[known],
        path.ask[known],
        path.funding_ms[funded],
        path.funding_rate[funded],
        interval_ms=path.interval_ms,
    )
