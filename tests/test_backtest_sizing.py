"""Sizes: nothing later changes them, and each does what it says."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest

from liqlab.backtest import (
    SIZING,
    TRADES,
    ExecutionConfig,
    MarketInputs,
    Orders,
    PositionLimits,
    PricePath,
    SizingConfig,
    VolatilityForecast,
    apply_weights,
    compare_sizings,
    forecast_volatility,
    realised_volatility,
    run_engine,
    size_by_kelly,
    size_by_volatility,
    size_fixed,
    trailing_volatility,
)
from liqlab.core.errors import ConfigError, UserError
from liqlab.core.schema import LIQUIDATIONS, TIME, check_frame
from liqlab.core.time import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE, parse_time

START_MS = parse_time("2026-02-09")
N_DAYS = 6
CONFIG = SizingConfig()
YEAR_STEPS = 365 * 1440


def _annual(n: int) -> np.ndarray:
    """Volatility that goes up and down over a day, per 10-second row."""
    return 0.6 * np.exp(np.sin(np.arange(n) * 2 * np.pi / 8640))


def _path(seed: int = 0, n: int = N_DAYS * 8640) -> PricePath:
    noise = np.random.default_rng(seed).normal(0.0, 1.0, n) * _annual(n) / math.sqrt(365 * 8640)
    return PricePath.from_ticks("BTCUSDT", START_MS + 10_000 * np.arange(n), 100.0 * np.exp(np.cumsum(noise)))


def _orders(step_min: int = 30, **columns: Any) -> Orders:
    times = START_MS + np.arange(17_123, N_DAYS * MS_PER_DAY, step_min * MS_PER_MINUTE)
    return Orders.gather(("BTCUSDT",), np.zeros(times.size, int), times, 1.0, timeout_ms=10 * MS_PER_MINUTE, **columns)


def test_trailing_volatility_is_that_of_the_minutes_before() -> None:
    path, orders = _path(), _orders()
    found = trailing_volatility(orders, {"BTCUSDT": path}, CONFIG)
    for row in (5, 40, 200):
        last = orders.decision_ms[row] // MS_PER_MINUTE * MS_PER_MINUTE
        edges = last - MS_PER_MINUTE * np.arange(61)
        prices = path.price[np.searchsorted(path.known_ms, edges, side="right") - 1]
        assert found[row] == pytest.approx(math.sqrt(np.mean(np.diff(np.log(prices)) ** 2) * YEAR_STEPS))
    assert np.isnan(found[0])


def test_what_comes_later_changes_no_size() -> None:
    path, orders = _path(), _orders()
    forecast = VolatilityForecast(START_MS + MS_PER_HOUR * np.arange(100), np.linspace(0.1, 2.0, 100))
    trades = run_engine({"BTCUSDT": path}, orders, ExecutionConfig(), "s").trades
    sizes = _sizes(path, orders, forecast, trades)
    for cut_ms in (START_MS + MS_PER_DAY, START_MS + 3 * MS_PER_DAY + 12_345):
        known = orders.decision_ms <= cut_ms
        rows = path.known_ms <= cut_ms
        cut = PricePath.from_ticks("BTCUSDT", path.known_ms[rows], path.price[rows])
        early = forecast.times_ms <= cut_ms
        short = VolatilityForecast(forecast.times_ms[early], forecast.volatility[early])
        closed = trades.filter(pl.col("exit_time").to_physical() <= cut_ms)
        again = _sizes(cut, orders, short, closed)
        for whole, part in zip(sizes, again, strict=True):
            np.testing.assert_array_equal(whole[known], part[known])


def _sizes(path: PricePath, orders: Orders, forecast: VolatilityForecast, trades: pl.DataFrame) -> list[np.ndarray]:
    return [
        trailing_volatility(orders, {"BTCUSDT": path}, CONFIG),
        forecast_volatility(orders, {"BTCUSDT": forecast}, CONFIG),
        size_by_kelly(orders, trades, PositionLimits(), CONFIG),
    ]


def test_a_forecast_counts_from_the_moment_it_was_made_until_it_is_stale() -> None:
    made = START_MS + MS_PER_HOUR * np.array([1, 2])
    orders = Orders.gather(
        ("BTCUSDT", "ETHUSDT"), [0, 0, 0, 0, 1], [made[0] - 1, made[0], made[1], made[1] + 900_001, made[1]], 1.0
    )
    found = forecast_volatility(orders, {"BTCUSDT": VolatilityForecast(made, np.array([0.5, 0.7]))}, CONFIG)
    by_code = found[orders.codes == 0]
    np.testing.assert_array_equal(by_code, [np.nan, 0.5, 0.7, np.nan])
    assert np.isnan(found[orders.codes == 1]).all()


def test_a_volatility_target_halves_the_size_where_volatility_doubles_within_its_bounds() -> None:
    found = size_by_volatility([0.6, 1.2, 1e-6, 1e6, float("nan"), 0.0], CONFIG)
    assert found.tolist() == [1.0, 0.5, 3.0, 0.1, 1.0, 1.0]


def _trades(net: list[float], exits_ms: list[int]) -> pl.DataFrame:
    frame = TRADES.empty().clear(n=len(net))
    return frame.with_columns(net_return=pl.Series(net), exit_time=pl.Series(exits_ms).cast(TIME))


def test_kelly_is_a_part_of_mean_over_variance_of_closed_trades() -> None:
    config = SizingConfig(kelly_least=3, kelly_trades=4, kelly_frac=0.5, max_weight=500.0)
    net = [0.02, -0.01, 0.03, 0.01, -0.02, 0.015]
    exits = [START_MS + 1_000 * i for i in range(1, 7)]
    orders = Orders.gather(("BTCUSDT",), [0] * 8, [START_MS + 1_000 * i for i in range(8)], 1.0)
    found = size_by_kelly(orders, _trades(net[::-1], exits[::-1]), PositionLimits(), config)
    assert found[:3].tolist() == [1.0, 1.0, 1.0]
    for known in range(3, 7):
        window = np.array(net[max(known - 4, 0) : known])
        expected = 0.5 * window.mean() / window.var(ddof=1) * 100_000 / 10_000
        assert found[known] == pytest.approx(min(max(expected, 0.0), 500.0))
    assert found[7] == found[6]


def test_kelly_never_exceeds_its_cap_and_stands_aside_after_losses() -> None:
    config = SizingConfig(kelly_least=2, max_weight=2.0)
    orders = Orders.gather(("BTCUSDT",), [0], [START_MS + 10_000], 1.0)
    for net, expected in (([0.01, 0.011], 2.0), ([-0.01, -0.011], 0.0), ([0.01, 0.01], 2.0), ([0.0, 0.0], 0.0)):
        trades = _trades(net, [START_MS + 1, START_MS + 2])
        assert size_by_kelly(orders, trades, PositionLimits(), config).tolist() == [expected]


def test_weights_multiply_those_of_the_orders() -> None:
    orders = _orders(weight=2.0)
    found = apply_weights(orders, np.linspace(0.0, 1.0, len(orders)))
    np.testing.assert_allclose(found.weight, 2.0 * np.linspace(0.0, 1.0, len(orders)))
    assert (size_fixed(orders, 0.5) == 0.5).all()


def test_the_comparison_shows_that_a_volatility_target_steadies_the_risk() -> None:
    path, orders = _path(), _orders()
    market = MarketInputs.gather(LIQUIDATIONS.empty(), {"BTCUSDT": path}, int(path.known_ms[0]), int(path.known_ms[-1]))
    # The truth of the hour to come is the best forecast there can be.
    truth = VolatilityForecast(path.known_ms, np.roll(_annual(path.known_ms.size), -180))
    table = check_frame(compare_sizings("s", market, orders, forecasts={"BTCUSDT": truth}), SIZING)
    rows = {row["method"]: row for row in table.iter_rows(named=True)}
    assert list(rows) == ["fixed", "trailing volatility", "volatility forecast", "fractional Kelly"]
    fixed, trailing, forecast = (rows[name] for name in ("fixed", "trailing volatility", "volatility forecast"))
    assert fixed["risk_spread"] > 2 * trailing["risk_spread"] > 2 * forecast["risk_spread"]
    assert trailing["ci_low"] > 0.0
    assert fixed["spread_saved"] == 0.0
    assert forecast["realised_risk"] == pytest.approx(0.6, rel=0.05)
    assert rows["fractional Kelly"]["n_unknown"] >= CONFIG.kelly_least
    assert (table["max_drawdown"] <= 0.0).all()
    without = compare_sizings("s", market, orders)
    assert "volatility forecast" not in without["method"].to_list()


def test_a_comparison_without_orders_has_no_numbers_and_no_error() -> None:
    path = _path(n=1000)
    market = MarketInputs.gather(LIQUIDATIONS.empty(), {"BTCUSDT": path}, int(path.known_ms[0]), int(path.known_ms[-1]))
    table = compare_sizings("s", market, Orders.empty(("BTCUSDT",)))
    assert table["n_trades"].to_list() == [0, 0, 0]
    assert table["risk_spread"].null_count() == 3


def test_realised_volatility_is_unknown_where_the_data_end() -> None:
    found = realised_volatility(_orders(), {"BTCUSDT": _path()}, CONFIG)
    assert np.isnan(found[-2:]).all()
    assert np.isfinite(found[3:-2]).all()


def test_settings_and_forecasts_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="must not exceed"):
        SizingConfig(min_weight=5.0)
    with pytest.raises(ConfigError, match="fit twice"):
        SizingConfig(step_s=3_600, lookback_s=3_600)
    with pytest.raises(UserError, match="ascending"):
        VolatilityForecast(np.array([2, 1]), np.array([0.1, 0.2]))
