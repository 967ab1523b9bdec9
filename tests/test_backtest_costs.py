"""Fees, spread, impact, queue and funding, by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_backtest_engine import START_MS, free, only, order_of, path_of, run

from liqlab.backtest import (
    ExecutionConfig,
    FeeModel,
    FillModel,
    FundingModel,
    LatencyModel,
    PositionLimits,
    SlippageModel,
    run_engine,
)
from liqlab.core.errors import ConfigError

AT_ONCE = LatencyModel(0.0)
NO_FEES, NO_SLIPPAGE = FeeModel(0.0, 0.0), SlippageModel(0.0, 0.0)


def test_takers_and_makers_pay_their_fee_on_what_they_trade() -> None:
    config = ExecutionConfig(AT_ONCE, FeeModel(2.0, 5.5), NO_SLIPPAGE)
    taker = only(run([100.0, 100.0, 110.0], order_of(0.0), config))
    assert taker["fees"] == pytest.approx(5.5e-4 * (1.0 + 1.1))
    maker = only(run([100.0, 100.0, 98.0, 98.0, 102.0], order_of(0.0, limit_price=99.0, target_frac=0.02), config))
    assert maker["fees"] == pytest.approx(2e-4 * (1.0 + 1.02))
    assert maker["slippage"] == 0.0


def test_half_the_spread_is_paid_where_it_is_known_and_assumed_where_it_is_not() -> None:
    config = ExecutionConfig(AT_ONCE, NO_FEES, SlippageModel(assumed_half_spread_bps=10.0, impact_bps=0.0))
    bid, ask = [99.0, 99.0, math.nan], [101.0, 101.0, 101.0]
    trade = only(run([100.0, 100.0, 100.0], order_of(0.0), config, bid=bid, ask=ask))
    assert trade["entry_price"] == pytest.approx(101.0)
    assert trade["exit_price"] == pytest.approx(99.9)
    assert trade["slippage"] == pytest.approx(0.01 + 0.001)
    crossed = only(run([100.0, 100.0, 100.0], order_of(0.0), config, bid=[102.0] * 3, ask=[101.0] * 3))
    assert crossed["slippage"] == pytest.approx(0.002)


def test_impact_grows_with_the_root_of_the_size() -> None:
    config = ExecutionConfig(
        AT_ONCE,
        NO_FEES,
        SlippageModel(0.0, impact_bps=3.0),
        limits=PositionLimits(notional_usd=1e6, max_gross_usd=1e9, capital_usd=1e7),
    )
    prices = [100.0, 100.0, 100.0]
    assert only(run(prices, order_of(0.0), config))["slippage"] == pytest.approx(6e-4)
    assert only(run(prices, order_of(0.0, weight=4.0), config))["slippage"] == pytest.approx(12e-4)


def test_size_ahead_must_be_eaten_through_before_a_limit_fills() -> None:
    queue = FillModel(queue_ahead_usd=1_000_000.0, depth_usd_per_bps=100_000.0)
    config = ExecutionConfig(AT_ONCE, NO_FEES, NO_SLIPPAGE, queue)
    prices = [100.0, 100.0, 98.95, 98.91, 98.90, 98.0, 98.0]
    assert only(run(prices, order_of(0.0, limit_price=99.0)))["entry_time"] == 2.0
    assert only(run(prices, order_of(0.0, limit_price=99.0), config))["entry_time"] == 4.0


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_longs_pay_funding_to_shorts_on_the_price_known_then(side: float) -> None:
    columns: dict[str, Any] = {"funding_ms": [START_MS + 2_500], "funding_rate": [0.001]}
    ledger = run([100.0, 100.0, 120.0, 110.0], order_of(0.0, side), **columns)
    trade = only(ledger)
    assert trade["funding"] == pytest.approx(side * 0.001 * 1.2)
    assert trade["net_return"] == pytest.approx(trade["gross_return"] - trade["funding"])
    assert "funding" in ledger.fills["kind"].to_list()


@pytest.mark.parametrize(("moment_s", "is_charged"), [(0.5, False), (1.0, False), (1.001, True), (3.0, True)])
def test_funding_is_due_after_the_entry_up_to_the_exit(moment_s: float, is_charged: bool) -> None:
    columns: dict[str, Any] = {"funding_ms": [START_MS + round(moment_s * 1_000)], "funding_rate": [0.001]}
    orders = order_of(0.0, timeout_ms=2_000)
    trade = only(run([100.0, 100.0, 100.0, 100.0, 100.0], orders, **columns))
    assert (trade["funding"] > 0.0) == is_charged


def test_funding_on_what_is_left_after_a_partial_exit() -> None:
    columns: dict[str, Any] = {"funding_ms": [START_MS + 2_000, START_MS + 2_500], "funding_rate": [0.001, 0.001]}
    orders = order_of(0.0, target_frac=0.01, target_share=0.75)
    trade = only(run([100.0, 100.0, 102.0, 102.0], orders, **columns))
    assert trade["funding"] == pytest.approx(0.001 * 1.02 + 0.25 * 0.001 * 1.02)


def test_unknown_funding_is_null_and_told_and_never_zero() -> None:
    columns: dict[str, Any] = {"funding_ms": [START_MS + 1_500, START_MS + 2_500], "funding_rate": [math.nan, 0.001]}
    ledger = run([100.0, 100.0, 100.0, 100.0], order_of(0.0), **columns)
    trade = only(ledger)
    assert trade["funding"] is None
    assert not trade["funding_known"]
    assert trade["net_return"] == pytest.approx(-0.001)
    assert any("1 of 1 trades were open at 1 moments of funding" in note for note in ledger.notes)


def test_funding_that_is_not_charged_is_told() -> None:
    config = ExecutionConfig(AT_ONCE, NO_FEES, NO_SLIPPAGE, funding=FundingModel(charge=False))
    columns: dict[str, Any] = {"funding_ms": [START_MS + 2_000], "funding_rate": [0.01]}
    ledger = run([100.0] * 4, order_of(0.0), config, **columns)
    assert only(ledger)["net_return"] == 0.0
    assert "funding is not charged" in ledger.notes


def test_slippage_is_never_negative_and_costs_lower_the_result_by_what_they_are() -> None:
    paths = {"A": path_of([100.0, 100.0, 101.0, 99.0, 103.0])}
    for side in (1.0, -1.0):
        costly = only(run_engine(paths, order_of(0.0, side), ExecutionConfig(AT_ONCE)))
        cheap = only(run_engine(paths, order_of(0.0, side), free()))
        assert costly["slippage"] > 0.0
        assert costly["gross_return"] == cheap["gross_return"]
        assert cheap["net_return"] - costly["net_return"] == pytest.approx(costly["slippage"] + costly["fees"])
        paid = side * (costly["exit_price"] / 100.0 - costly["entry_price"] / 100.0)
        assert paid == pytest.approx(costly["gross_return"] - costly["slippage"])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: LatencyModel(-1.0), r"LatencyModel\.delay_s must lie in \[0, 3600\], got -1\.0"),
        (lambda: FeeModel(taker_bps=101.0), r"FeeModel\.taker_bps must lie in \[0, 100\], got 101\.0"),
        (lambda: SlippageModel(impact_bps=-1.0), r"SlippageModel\.impact_bps must lie in \[0, 100\], got -1\.0"),
        (lambda: FillModel(coarse_s=0.0), r"FillModel\.coarse_s must lie in \[0\.1, 86400\], got 0\.0"),
        (lambda: PositionLimits(max_positions=0), r"PositionLimits\.max_positions must lie in \[1, 1000\], got 0"),
        (
            lambda: PositionLimits(notional_usd=np.nan),
            r"PositionLimits\.notional_usd must lie in \[1, 1e\+09\], got nan",
        ),
    ],
)
def test_a_parameter_out_of_range_is_refused_by_name(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make()
