"""Each rule of the engine in a case small enough to follow by hand, and its honesty on prices that cannot be beaten."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest

from liqlab.backtest import (
    NEVER,
    ExecutionConfig,
    FeeModel,
    FillModel,
    LatencyModel,
    Ledger,
    Orders,
    PositionLimits,
    PricePath,
    SlippageModel,
    compute_daily_returns,
    compute_equity,
    run_engine,
)
from liqlab.core.errors import ConfigError, UserError

START_MS = 1_770_595_200_000
DAY_MS = 86_400_000


def free(delay_s: float = 0.0, **limits: Any) -> ExecutionConfig:
    """Without costs and cooldown."""
    return ExecutionConfig(
        latency=LatencyModel(delay_s),
        fees=FeeModel(0.0, 0.0),
        slippage=SlippageModel(0.0, 0.0),
        limits=PositionLimits(**{"cooldown_s": 0.0, **limits}),
    )


def path_of(prices: list[float], symbol: str = "A", **columns: Any) -> PricePath:
    """Prices one second apart from START_MS."""
    return PricePath.from_ticks(symbol, START_MS + 1_000 * np.arange(len(prices)), prices, **columns)


def order_of(at_s: Any = 0.0, side: Any = 1.0, **columns: Any) -> Orders:
    """Orders of symbol A; times in seconds after START_MS."""
    at_ms = START_MS + np.atleast_1d(np.asarray(at_s) * 1_000).astype(np.int64)
    return Orders.gather(("A",), 0, at_ms, side, **columns)


def run(prices: list[float], orders: Orders, config: ExecutionConfig | None = None, **columns: Any) -> Ledger:
    """The ledger of orders on prices one second apart."""
    return run_engine({"A": path_of(prices, **columns)}, orders, config or free())


def only(ledger: Ledger) -> dict[str, Any]:
    """The one trade, with its times in seconds after START_MS."""
    assert ledger.trades.height == 1, ledger.skipped
    row: dict[str, Any] = ledger.trades.with_columns(
        (pl.col("entry_time", "exit_time").to_physical() - START_MS) / 1_000
    ).row(0, named=True)
    return row


def test_a_market_order_fills_at_the_first_price_after_the_delay_and_never_at_the_deciding_one() -> None:
    prices = [100.0, 101.0, 102.0, 103.0, 104.0]
    without = only(run(prices, order_of(0.0)))
    assert (without["entry_time"], without["entry_price"]) == (1.0, 101.0)
    delayed = only(run(prices, order_of(0.0), free(1.5)))
    assert (delayed["entry_time"], delayed["entry_price"]) == (2.0, 102.0)


def test_a_limit_needs_a_later_price_strictly_beyond_it_and_fills_at_the_limit() -> None:
    buy = order_of(0.0, limit_price=99.0)
    touched = run([100.0, 99.5, 99.0, 99.0, 99.0], buy)
    assert touched.skipped == {"end of data before the fill": 1}
    crossed = only(run([100.0, 99.5, 99.0, 98.0, 98.0], buy))
    assert (crossed["entry_time"], crossed["entry_price"], crossed["entry_reason"]) == (3.0, 99.0, "limit")
    assert crossed["limit_overshoot"] == pytest.approx((99.0 - 98.0) / 99.0 + 0.0)
    short = only(run([100.0, 100.5, 101.0, 102.0, 102.0], order_of(0.0, -1.0, limit_price=101.0)))
    assert (short["entry_time"], short["entry_price"]) == (3.0, 101.0)


def test_the_observation_at_which_a_limit_becomes_active_cannot_fill_it() -> None:
    buy = order_of(0.0, limit_price=99.0, limit_life_ms=10_000)
    assert run([100.0, 98.0, 99.5, 99.5, 99.5], buy).skipped == {"end of data before the fill": 1}
    assert only(run([100.0, 98.0, 98.5, 99.5], buy))["entry_time"] == 2.0


def test_a_limit_is_cancelled_after_its_life_and_by_the_exit_signal_with_its_delay() -> None:
    prices = [100.0, 100.0, 100.0, 100.0, 100.0, 98.0, 98.0]
    alive = order_of(0.0, limit_price=99.0, limit_life_ms=5_000)
    assert only(run(prices, alive))["entry_time"] == 5.0
    assert run(prices, alive.with_values(limit_life_ms=4_999)).skipped == {"limit not reached": 1}
    late = alive.with_values(limit_life_ms=NEVER, exit_signal_ms=START_MS + 3_000)
    assert run(prices, late).skipped == {"exit signal before the fill": 1}
    assert only(run(prices[1:], late, free(1.5)))["entry_time"] == 4.0
    assert run(prices[1:], late, free(1.0)).skipped == {"exit signal before the fill": 1}


def test_a_stop_fills_at_the_price_that_triggered_it_not_at_its_level() -> None:
    trade = only(run([100.0, 100.0, 99.5, 97.0, 99.0], order_of(0.0, stop_frac=0.01)))
    assert (trade["exit_time"], trade["exit_price"], trade["exit_reason"]) == (3.0, 97.0, "stop")
    assert trade["gross_return"] == pytest.approx(-0.03)
    short = only(run([100.0, 100.0, 100.5, 103.0, 99.0], order_of(0.0, -1.0, stop_frac=0.01)))
    assert (short["exit_price"], short["exit_reason"]) == (103.0, "stop")


def test_the_nearer_of_two_stops_holds() -> None:
    prices = [100.0, 100.0, 99.4, 98.9, 97.9]
    both = order_of(0.0, stop_frac=0.02, stop_price=99.0)
    assert only(run(prices, both))["exit_price"] == 98.9
    assert only(run(prices, both.with_values(stop_frac=0.005)))["exit_price"] == 99.4


def test_with_stop_and_target_in_one_span_the_stop_is_taken_and_the_target_stands_beside() -> None:
    prices, low, high = [100.0, 100.0, 100.5, 100.5], [100.0, 100.0, 98.5, 100.5], [100.0, 100.0, 102.0, 100.5]
    orders = order_of(0.0, stop_frac=0.01, target_frac=0.015)
    ledger = run(prices, orders, low=low, high=high)
    trade = only(ledger)
    assert (trade["exit_reason"], trade["exit_price"]) == ("stop", 98.5)
    assert trade["gross_return"] == pytest.approx(-0.015)
    assert trade["gross_return_optimistic"] == pytest.approx(0.015)
    assert trade["limit_overshoot"] == pytest.approx(0.02)
    assert any("gross_return_optimistic" in note for note in ledger.notes)


def test_no_exit_is_read_from_the_observation_that_filled_the_entry() -> None:
    low, high = [100.0, 100.0, 90.0, 99.0, 99.0], [100.0, 100.0, 110.0, 99.0, 99.0]
    orders = order_of(0.0, limit_price=99.5, stop_frac=0.05, target_frac=0.05, trail_frac=0.05)
    trade = only(run([100.0, 100.0, 99.0, 99.0, 99.0], orders, low=low, high=high))
    assert (trade["entry_time"], trade["exit_time"], trade["exit_reason"]) == (2.0, 4.0, "end of data")


def test_the_trail_takes_in_an_observation_only_after_it_was_tested() -> None:
    prices, low, high = [100.0, 100.0, 101.0, 100.9], [100.0, 100.0, 99.5, 100.9], [100.0, 100.0, 103.0, 100.9]
    trade = only(run(prices, order_of(0.0, trail_frac=0.01), low=low, high=high))
    assert (trade["exit_time"], trade["exit_reason"], trade["exit_price"]) == (3.0, "trailing stop", 100.9)


def test_a_partial_target_leaves_the_rest_to_the_other_exits() -> None:
    orders = order_of(0.0, target_frac=0.01, target_share=0.25, timeout_ms=3_000)
    ledger = run([100.0, 100.0, 101.5, 103.0, 102.0, 90.0], orders)
    trade = only(ledger)
    assert (trade["exit_time"], trade["exit_reason"]) == (4.0, "timeout")
    assert trade["gross_return"] == pytest.approx(0.25 * 0.01 + 0.75 * 0.02)
    assert trade["exit_price"] == pytest.approx(0.25 * 101.0 + 0.75 * 102.0)
    assert ledger.fills["kind"].to_list() == ["entry", "target", "timeout"]
    assert ledger.fills["maker"].to_list() == [False, True, False]
    assert ledger.fills["quantity"].to_list() == pytest.approx([100.0, 25.0, 75.0])


def test_an_exit_signal_takes_the_delay_and_a_timeout_does_not() -> None:
    prices = [100.0 + i for i in range(12)]
    signal = order_of(0.0, exit_signal_ms=START_MS + 4_000, exit_signal=[1])
    trade = only(run(prices, signal, free(2.0)))
    assert (trade["entry_time"], trade["exit_time"], trade["exit_reason"]) == (2.0, 6.0, "signal stop")
    assert only(run(prices, signal.with_values(exit_signal=0), free(2.0)))["exit_reason"] == "signal"
    timeout = only(run(prices, signal.with_values(timeout_ms=3_000), free(2.0)))
    assert (timeout["exit_time"], timeout["exit_reason"]) == (5.0, "timeout")


def test_when_an_exit_is_due_only_the_price_can_reach_the_target() -> None:
    prices, high = [100.0, 100.0, 100.0, 100.5], [100.0, 100.0, 100.0, 105.0]
    orders = order_of(0.0, target_frac=0.01, timeout_ms=2_000)
    assert only(run(prices, orders, high=high))["exit_reason"] == "timeout"
    assert only(run([100.0, 100.0, 100.0, 105.0], orders))["exit_reason"] == "target"


def test_a_gap_while_a_position_is_open_ends_it_at_the_first_price_after() -> None:
    known_ms = START_MS + 1_000 * np.array([0, 1, 2, 40, 41])
    path = PricePath.from_ticks("A", known_ms, [100.0, 100.0, 100.0, 150.0, 160.0])
    ledger = run_engine({"A": path}, order_of(0.0, target_frac=0.01, stop_frac=0.01), free())
    trade = only(ledger)
    assert (trade["exit_time"], trade["exit_price"], trade["exit_reason"]) == (40.0, 150.0, "gap")
    assert any("gap" in note for note in ledger.notes)


def test_a_gap_cancels_a_resting_order() -> None:
    known_ms = START_MS + 1_000 * np.array([0, 1, 2, 40, 41])
    path = PricePath.from_ticks("A", known_ms, [100.0, 100.0, 100.0, 90.0, 90.0])
    assert run_engine({"A": path}, order_of(0.0, limit_price=99.0), free()).skipped == {"gap before the fill": 1}


def test_without_a_price_within_the_tolerance_a_market_order_does_not_fill() -> None:
    known_ms = START_MS + 1_000 * np.array([0, 1, 17, 18, 19])
    path = PricePath.from_ticks("A", known_ms, [100.0] * 5)
    assert run_engine({"A": path}, order_of(1.5), free()).skipped == {"no price": 1}
    assert only(run_engine({"A": path}, order_of(2.0), free()))["entry_time"] == 17.0
    assert run_engine({"A": path}, order_of(19.0), free()).skipped == {"no price": 1}


def test_what_is_open_at_the_end_is_closed_at_the_last_price_and_told() -> None:
    ledger = run([100.0, 100.0, 101.0], order_of(0.0))
    assert (only(ledger)["exit_price"], only(ledger)["exit_reason"]) == (101.0, "end of data")
    assert any("end of the prices" in note for note in ledger.notes)


def test_orders_that_may_not_be_opened_are_counted_by_reason() -> None:
    prices = [100.0] * 60
    orders = order_of([0.0, 3.0, 12.0, 30.0], timeout_ms=5_000)
    assert run(prices, orders, free(cooldown_s=10.0)).skipped == {"symbol occupied": 1, "cooldown": 1}
    two = {"A": path_of(prices), "B": path_of(prices, "B")}
    both = Orders.gather(("A", "B"), [0, 1], [START_MS, START_MS + 1], 1.0)
    assert run_engine(two, both, free()).trades.height == 2
    assert run_engine(two, both, free(max_positions=1)).skipped == {"position limit": 1}
    assert run_engine(two, both, free(max_gross_usd=15_000.0)).skipped == {"gross limit": 1}
    assert run_engine(two, both.with_values(weight=[1.0, 0.0]), free()).skipped == {"no size": 1}
    assert run_engine({"A": two["A"]}, both, free()).skipped == {"no prices of the symbol": 1}


def test_no_orders_give_an_empty_ledger_that_says_so() -> None:
    ledger = run([100.0, 100.0], Orders.empty(("A",)))
    assert (ledger.trades.height, ledger.n_orders, ledger.skipped) == (0, 0, {})
    assert ledger.notes == ("there was no order",)
    equity = compute_equity(ledger, {}, free(), START_MS, START_MS + 2 * DAY_MS)
    assert compute_daily_returns(equity, 1.0).tolist() == [0.0, 0.0]


def test_a_path_without_prices_is_no_path() -> None:
    assert run([], order_of(0.0)).skipped == {"no prices of the symbol": 1}


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"stop_frac": -0.1}, r"Orders\.stop_frac must lie in \[1e-09, 0\.99\] or be NaN \(none\), got -0\.1 in row 0"),
        ({"target_share": 1.5}, r"Orders\.target_share must lie in \[1e-06, 1\], got 1\.5"),
        ({"timeout_ms": 0}, r"Orders\.timeout_ms must lie in \[1, .*\], got 0"),
        ({"weight": math.nan}, r"Orders\.weight must lie in \[0, 1e\+06\], got nan"),
        ({"exit_signal": 2}, r"Orders\.exit_signal must lie in \[0, 1\], got 2"),
        ({"stop_frac": [0.1, 0.2]}, r"Orders\.stop_frac has 2 values for 1 orders"),
    ],
)
def test_orders_out_of_range_or_of_unlike_length_are_refused_by_name(columns: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        order_of(0.0, **columns)


def test_sides_and_codes_are_checked_too() -> None:
    with pytest.raises(ConfigError, match=r"side must be \+1 or -1, got 0"):
        order_of(0.0, 0.0)
    with pytest.raises(ConfigError, match=r"codes must lie in \[0, 0\], got 1"):
        Orders.gather(("A",), 1, [START_MS], 1.0)


def test_orders_are_sorted_by_decision_then_symbol_and_keep_their_order_beyond() -> None:
    orders = Orders.gather(("A", "B"), [1, 0, 0, 0], [5, 5, 5, 1], 1.0, weight=[1.0, 2.0, 3.0, 4.0])
    assert orders.weight.tolist() == [4.0, 2.0, 3.0, 1.0]


def test_prices_too_coarse_to_decide_an_order_give_no_result_and_the_reason() -> None:
    path = PricePath.from_ticks("A", START_MS + 300_000 * np.arange(50), np.full(50, 100.0))
    refused = run_engine({"A": path}, order_of(0.0, stop_frac=0.01, timeout_ms=600_000), free())
    assert refused.trades.height == 0
    assert refused.not_testable == "prices of A every 300 s cannot decide: stop, timeout under 3 intervals"
    plain = run_engine({"A": path}, order_of(0.0, timeout_ms=900_000), free())
    assert plain.trades.height == 1
    assert plain.not_testable == ""
    assert any("300 s" in note for note in plain.notes)
    finer = ExecutionConfig(fills=FillModel(coarse_s=400.0))
    assert run_engine({"A": path}, order_of(0.0, stop_frac=0.01), finer).not_testable == ""


def test_equity_is_marked_at_every_hour_and_days_without_a_trade_count() -> None:
    hours = np.arange(3 * 24 * 60 + 1)
    path = PricePath.from_ticks("A", START_MS + 60_000 * hours, 100.0 + hours / 60.0)
    orders = Orders.gather(("A",), 0, [START_MS], 1.0, timeout_ms=DAY_MS)
    config = free()
    config = ExecutionConfig(
        config.latency, config.fees, config.slippage, FillModel(coarse_s=60.0), limits=config.limits
    )
    ledger = run_engine({"A": path}, orders, config)
    equity = compute_equity(ledger, {"A": path}, config, START_MS, START_MS + 3 * DAY_MS)
    quantity = ledger.trades["quantity"][0]
    at_noon = equity.filter(pl.col("time").to_physical() == START_MS + DAY_MS // 2)["equity"][0]
    assert at_noon == pytest.approx(100_000.0 + quantity * (12.0 - 1.0 / 60.0))
    daily = compute_daily_returns(equity, config.limits.capital_usd)
    assert daily.tolist() == pytest.approx([quantity * (24.0 - 1.0 / 60.0) / 1e5, quantity / 60.0 / 1e5, 0.0])
    with pytest.raises(UserError, match="before it starts"):
        compute_equity(ledger, {"A": path}, config, START_MS, START_MS - 1)
    with pytest.raises(UserError, match="start it earlier"):
        compute_equity(ledger, {"A": path}, config, START_MS + DAY_MS, START_MS + 2 * DAY_MS)


@pytest.mark.parametrize("ticks_per_span", [1, 5])
def test_nothing_is_earned_on_a_martingale_but_what_limits_cost(ticks_per_span: int) -> None:
    """Over 200 random walks: the mean within 3 standard errors of 0; without the overshoot it is not."""
    honest, naive = np.array([earn_on_walk(seed, ticks_per_span) for seed in range(200)]).T
    assert abs(z_score(honest)) < 3.0
    assert z_score(naive) < -3.0
    assert z_score(honest - naive) > 5.0


def z_score(values: np.ndarray) -> float:
    """The mean in standard errors."""
    return float(values.mean() / (values.std(ddof=1) / math.sqrt(values.size)))


def earn_on_walk(seed: int, ticks_per_span: int) -> tuple[float, float]:
    """Sums over the trades of one walk, costs given back: with and without the overshoot of limits."""
    random = np.random.default_rng([seed, ticks_per_span])
    n, n_orders = 4_000, 60
    ticks = 100.0 * np.cumprod(1.0 + 1e-4 * random.choice([-2.0, -1.0, 1.0, 2.0], n * ticks_per_span))
    spans = ticks.reshape(n, ticks_per_span)
    path = PricePath.from_ticks(
        "A",
        START_MS + 1_000 * np.arange(n),
        spans[:, -1],
        spans.min(axis=1),
        spans.max(axis=1),
        funding_ms=[START_MS + 2_000_000],
        funding_rate=[1e-4],
    )
    decided = np.sort(random.integers(0, n - 50, n_orders))
    side = random.choice([-1.0, 1.0], n_orders)

    def some(values: np.ndarray) -> np.ndarray:
        return np.where(random.random(n_orders) < 0.6, values, np.nan)

    orders = Orders.gather(
        ("A",),
        0,
        START_MS + 1_000 * decided,
        side,
        limit_price=some(path.price[decided] * (1.0 - side * random.uniform(-2e-4, 1e-3, n_orders))),
        limit_life_ms=60_000,
        target_frac=some(random.uniform(2e-4, 3e-3, n_orders)),
        target_share=random.choice([0.5, 1.0], n_orders),
        stop_frac=some(random.uniform(2e-4, 3e-3, n_orders)),
        trail_frac=some(random.uniform(3e-4, 3e-3, n_orders)),
        timeout_ms=random.integers(5, 600, n_orders) * 1_000,
    )
    trades = run_engine({"A": path}, orders, ExecutionConfig(limits=PositionLimits(cooldown_s=0.0))).trades
    before = trades["net_return"] + trades["fees"] + trades["slippage"] + trades["funding"]
    return float((before + trades["limit_overshoot"]).sum()), float(before.sum())
