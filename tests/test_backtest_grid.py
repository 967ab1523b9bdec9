"""Many combinations at once give what the engine gives one by one, and what blocks skip holds nothing."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from backtest_reference import run_reference
from hypothesis import given, settings
from hypothesis import strategies as st
from test_backtest_reference import check_agreement, make_case

from liqlab.backtest import NEVER, ExecutionConfig, ExitGrid, Orders, PositionLimits, PricePath, run_engine, run_grid
from liqlab.core.errors import ConfigError, UserError

START_MS = 1_770_595_200_000
DAY_MS = 86_400_000


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_every_combination_has_the_trades_of_the_engine(seed: int) -> None:
    paths, orders, config = make_case(seed)
    random = np.random.default_rng(seed)
    m = 6
    grid = ExitGrid(
        random.choice([0.001, 0.01, np.nan], m),
        random.choice([0.4, 1.0], m),
        random.choice([0.001, 0.01, np.nan], m),
        random.choice([0.001, 0.003, np.nan], m),
        random.choice([5_000, 60_000, NEVER], m),
        random.choice([0.5, 1.0], m),
    )
    check_grid(paths, orders, grid, config)


def check_grid(paths: dict[str, PricePath], orders: Orders, grid: ExitGrid, config: ExecutionConfig) -> None:
    """Raise unless each combination of the grid agrees with the engine."""
    found = run_grid(paths, orders, grid, config)
    for k in range(len(grid)):
        trades = run_engine(paths, grid.apply(orders, k), config).trades
        assert found.n_trades[k] == trades.height
        assert found.net_return_sum[k] == pytest.approx(float(trades["net_return"].sum()), rel=1e-12, abs=1e-14)
        day = (trades["exit_time"].to_physical().to_numpy() - 1 - found.first_day_ms) // DAY_MS
        usd = (trades["net_return"] * trades["notional_usd"]).to_numpy() / config.limits.capital_usd
        n_days = found.daily_returns.shape[1]
        expected = np.bincount(np.clip(day, 0, n_days - 1), weights=usd, minlength=n_days)
        np.testing.assert_allclose(found.daily_returns[k], expected, rtol=1e-12, atol=1e-15)
        assert np.isnan(found.net_return_mean[k]) == (trades.height == 0)


def make_walk(seed: int, n: int, step_s: int = 1) -> PricePath:
    """A random walk with spans, long enough for blocks of every width."""
    random = np.random.default_rng(seed)
    price = 100.0 * np.exp(np.cumsum(random.normal(0.0, 1e-4, n)))
    low, high = price * (1.0 - 1e-4 * random.random(n)), price * (1.0 + 1e-4 * random.random(n))
    return PricePath.from_ticks("A", START_MS + 1_000 * step_s * np.arange(n), price, low, high)


def make_wide_orders(path: PricePath, n_orders: int, seed: int) -> Orders:
    """Orders whose levels lie far enough away that most blocks can be skipped."""
    random = np.random.default_rng(seed)
    decided = np.sort(random.choice(path.known_ms[:-10], n_orders, replace=False))
    row = np.searchsorted(path.known_ms, decided)
    side = random.choice([-1.0, 1.0], n_orders)
    return Orders.gather(
        ("A",),
        0,
        decided,
        side,
        limit_price=np.where(random.random(n_orders) < 0.5, path.price[row] * (1.0 - 0.003 * side), np.nan),
        limit_life_ms=1_500_000,
        target_frac=random.choice([0.004, 0.02, np.nan], n_orders),
        target_share=random.choice([0.5, 1.0], n_orders),
        stop_frac=random.choice([0.004, 0.03, np.nan], n_orders),
        trail_frac=random.choice([0.004, 0.01, 0.03, np.nan], n_orders),
        timeout_ms=random.choice([600_000, 2_500_000], n_orders),
    )


# Walks on which a trade outlasts a large block.
@pytest.mark.parametrize("seed", [0, 1, 2, 3, 5])
def test_what_blocks_skip_holds_no_fill(seed: int) -> None:
    path = make_walk(seed, 20_000)
    orders = make_wide_orders(path, 40, seed)
    config = ExecutionConfig(limits=PositionLimits(cooldown_s=0.0))
    ledger = run_engine({"A": path}, orders, config)
    held = ledger.trades["exit_time"] - ledger.trades["entry_time"]
    assert ledger.trades.height > 5
    assert held.max() > timedelta(seconds=1_500)
    check_agreement(ledger, run_reference({"A": path}, orders, config), orders)


def test_long_paths_agree_for_each_combination_and_for_any_number_of_threads() -> None:
    path = make_walk(7, 40_000, step_s=5)
    orders = make_wide_orders(path, 200, 7)
    grid = ExitGrid.product(
        [0.003, np.nan], [1.0, 0.5], [0.005, np.nan], [0.002, 0.01, np.nan], [900_000, 20_000_000], [1.0]
    )
    config = ExecutionConfig(limits=PositionLimits(cooldown_s=60.0))
    check_grid({"A": path}, orders, grid, config)
    one, two = (run_grid({"A": path}, orders, grid, config, workers=workers) for workers in (1, 2))
    assert np.array_equal(one.net_return_sum, two.net_return_sum)
    assert np.array_equal(one.daily_returns, two.daily_returns)
    assert one.daily_returns.shape == (len(grid), 3)


def test_the_product_varies_its_last_argument_fastest() -> None:
    grid = ExitGrid.product(stop_frac=[0.1, 0.2], timeout_ms=[1, 2, 3])
    assert grid.stop_frac.tolist() == [0.1] * 3 + [0.2] * 3
    assert grid.timeout_ms.tolist() == [1, 2, 3] * 2
    assert np.isnan(grid.trail_frac).all()


def test_days_outside_the_span_asked_for_are_booked_on_the_nearest() -> None:
    path = make_walk(1, 1_000)
    orders = Orders.gather(("A",), 0, [START_MS], 1.0)
    grid = ExitGrid.product(timeout_ms=60_000)
    whole = run_grid({"A": path}, orders, grid)
    wide = run_grid({"A": path}, orders, grid, start_ms=START_MS - DAY_MS, end_ms=START_MS + 2 * DAY_MS)
    assert whole.daily_returns.shape == (1, 1)
    assert wide.daily_returns.tolist() == [[0.0, whole.daily_returns[0, 0], 0.0]]
    with pytest.raises(UserError, match="before it starts"):
        run_grid({"A": path}, orders, grid, start_ms=START_MS, end_ms=START_MS - 1)


def test_a_grid_out_of_range_or_of_unlike_length_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"ExitGrid\.trail_frac must lie in .*, got 2 in row 1"):
        ExitGrid.product(trail_frac=[0.1, 2.0])
    one, two = np.ones(1), np.full(2, 0.5)
    with pytest.raises(ConfigError, match=r"ExitGrid\.target_frac has 2 values for 1 combinations"):
        ExitGrid(two, one, one / 2, one / 2, np.ones(1, np.int64), one)


def test_a_grid_that_coarse_prices_cannot_decide_is_refused() -> None:
    path = make_walk(1, 100, step_s=300)
    orders = Orders.gather(("A",), 0, [START_MS], 1.0)
    with pytest.raises(UserError, match=r"not testable: prices of A every 300 s cannot decide: trailing stop"):
        run_grid({"A": path}, orders, ExitGrid.product(trail_frac=[np.nan, 0.01]))
    assert run_grid({"A": path}, orders, ExitGrid.product(timeout_ms=900_000)).n_trades.tolist() == [1]


def test_a_grid_without_orders_or_without_combinations_is_empty() -> None:
    path = make_walk(1, 100)
    nothing = run_grid({"A": path}, Orders.empty(("A",)), ExitGrid.product(weight=[1.0, 2.0]))
    assert nothing.n_trades.tolist() == [0, 0]
    assert np.isnan(nothing.net_return_mean).all()
    empty = np.empty(0)
    grid = ExitGrid(empty, empty, empty, empty, np.empty(0, np.int64), empty)
    assert run_grid({"A": path}, Orders.gather(("A",), 0, [START_MS], 1.0), grid).n_trades.size == 0
