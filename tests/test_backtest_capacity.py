"""Capacity: the re-priced curve against the engine run again at each size, and what the curve must look like."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from ledger_of import START_MS, make_ledger

from liqlab.backtest import (
    CAPACITY,
    Capacity,
    ExecutionConfig,
    FeeModel,
    Ledger,
    Orders,
    PositionLimits,
    PricePath,
    SlippageModel,
    compute_capacity,
    empty_ledger,
    run_engine,
)
from liqlab.backtest._capacity import SIZES_USD
from liqlab.core.schema import check_frame
from liqlab.core.time import MS_PER_DAY, MS_PER_HOUR

LIMITS = PositionLimits(notional_usd=10_000.0, max_gross_usd=1e12, cooldown_s=0.0)
CONFIG = ExecutionConfig(limits=LIMITS)


def _paths(seed: int, n: int = 40_000) -> dict[str, PricePath]:
    random = np.random.default_rng(seed)
    price = 100.0 * np.exp(np.cumsum(2e-4 * random.standard_normal((2, n)), axis=1))
    known_ms = START_MS + 1_000 * np.arange(n)
    return {
        name: PricePath.from_ticks(name, known_ms, row, bid=row * (1 - 5e-5), ask=row * (1 + 5e-5))
        for name, row in zip(("BTCUSDT", "ETHUSDT"), price, strict=True)
    }


def _orders(seed: int, weight: npt.ArrayLike = 1.0) -> Orders:
    random = np.random.default_rng(seed)
    n = 120
    decision_ms = START_MS + 1_000 * np.sort(random.integers(10, 39_000, n))
    return Orders.gather(
        ("BTCUSDT", "ETHUSDT"),
        random.integers(0, 2, n),
        decision_ms,
        random.choice([-1.0, 1.0], n),
        target_frac=random.choice([math.nan, 0.002], n),
        target_share=0.5,
        stop_frac=random.choice([math.nan, 0.003], n),
        timeout_ms=600_000,
        weight=weight,
    )


def _at_size(config: ExecutionConfig, size_usd: float) -> ExecutionConfig:
    return replace(config, limits=replace(config.limits, notional_usd=size_usd))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_curve_is_that_of_the_engine_run_again_at_each_size(seed: int) -> None:
    paths = _paths(seed)
    orders = _orders(seed, np.random.default_rng(seed).choice([0.5, 1.0, 3.0], 120))
    ledger = run_engine(paths, orders, CONFIG, "test")
    assert ledger.trades.height > 30
    assert set(ledger.fills["maker"]) == {False, True}
    found = compute_capacity(ledger, CONFIG)
    for size, bps, usd in found.curve.select("notional_usd", "mean_net_bps", "mean_net_usd").iter_rows():
        again = run_engine(paths, orders, _at_size(CONFIG, size), "test").trades
        assert again.height == ledger.trades.height
        assert bps == pytest.approx(1e4 * again["net_return"].mean(), abs=1e-7)
        assert usd == pytest.approx((again["net_return"] * again["notional_usd"]).mean())


def _profitable(seed: int = 1, n: int = 200, gross: float = 40e-4) -> tuple[Ledger, Capacity]:
    random = np.random.default_rng(seed)
    entry = START_MS + np.sort(random.integers(0, 20 * MS_PER_DAY, n))
    ledger = make_ledger(entry, entry + 60_000, gross + 5e-3 * random.standard_normal(n), slippage=6e-4)
    return ledger, compute_capacity(ledger, CONFIG)


def test_at_the_size_where_nothing_is_left_the_mean_is_zero() -> None:
    ledger, found = _profitable()
    assert found.zero_usd is not None
    at = compute_capacity(ledger, CONFIG, [found.zero_usd, found.zero_usd / 2, found.zero_usd * 2])
    zero, half, twice = at.curve["mean_net_bps"]
    assert zero == pytest.approx(0.0, abs=1e-9)
    assert half > 0.0 > twice


def test_no_size_earns_more_than_four_ninths_of_the_size_where_nothing_is_left() -> None:
    ledger, found = _profitable()
    assert found.zero_usd is not None
    assert found.best_usd == pytest.approx(4 / 9 * found.zero_usd)
    sizes = found.best_usd * np.array([0.5, 0.9, 1.0, 1.1, 2.0])
    earned = compute_capacity(ledger, CONFIG, sizes).curve["mean_net_usd"]
    assert earned.arg_max() == 2


def test_larger_is_worse_and_the_intervals_hold_the_means() -> None:
    _, found = _profitable()
    curve = check_frame(found.curve, CAPACITY)
    assert curve["notional_usd"].to_list() == list(SIZES_USD)
    assert (curve["mean_net_bps"].diff().drop_nulls() < 0).all()
    assert (curve["impact_bps"].diff().drop_nulls() > 0).all()
    assert ((curve["ci_low"] < curve["mean_net_bps"]) & (curve["mean_net_bps"] < curve["ci_high"])).all()
    assert found.ci_low is not None
    assert found.ci_high is not None
    assert 0.0 <= found.ci_low < (found.zero_usd or math.nan) < found.ci_high


def test_an_edge_of_known_size_ends_where_the_square_root_says() -> None:
    # Two taker fills of impact 3 bps sqrt(N / $1M) each eat 12 bps at N = $4M.
    entry = START_MS + MS_PER_HOUR * np.arange(1, 101)
    impact = 2 * 3e-4 * math.sqrt(0.01)
    ledger = make_ledger(entry, entry + 60_000, 12e-4 + impact + 1e-3 * np.tile([-1.0, 1.0], 50), slippage=impact)
    found = compute_capacity(ledger, replace(CONFIG, fees=FeeModel(taker_bps=0.0)))
    assert found.zero_usd == pytest.approx(4e6 * (1 + impact / 12e-4) ** 2)


def test_a_strategy_that_loses_before_impact_has_no_capacity() -> None:
    _, found = _profitable(gross=-40e-4)
    assert (found.zero_usd, found.best_usd) == (0.0, 0.0)
    assert found.note == "loses at any size: nothing is left before impact"
    assert (found.curve["mean_net_bps"] < 0).all()


def test_without_impact_there_is_no_end_and_it_says_so() -> None:
    ledger, _ = _profitable()
    found = compute_capacity(ledger, replace(CONFIG, slippage=SlippageModel(impact_bps=0.0)))
    assert found.zero_usd is None
    assert found.note == "no impact was paid: the rules know no size at which it ends"
    assert found.curve["mean_net_bps"].n_unique() == 1


def test_few_trades_give_a_curve_without_intervals() -> None:
    found = compute_capacity(make_ledger([START_MS], [START_MS + 60_000], [0.01]), CONFIG)
    assert found.curve["ci_low"].null_count() == len(SIZES_USD)
    assert found.zero_usd is not None
    assert (found.ci_low, found.ci_high) == (None, None)
    assert found.note == "no interval: too few blocks of time"


def test_without_trades_there_is_no_curve() -> None:
    found = compute_capacity(empty_ledger("test"), CONFIG)
    assert check_frame(found.curve, CAPACITY).height == 0
    assert (found.zero_usd, found.note) == (None, "no trades")


@pytest.mark.parametrize("sizes", [[0.0], [1e4, -1.0], [math.nan]])
def test_sizes_that_are_not_above_zero_are_refused(sizes: list[float]) -> None:
    with pytest.raises(ValueError, match="sizes_usd must be above 0"):
        compute_capacity(empty_ledger("test"), CONFIG, sizes)
