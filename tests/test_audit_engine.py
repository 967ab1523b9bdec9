"""The truth of the engine: nothing is earned on a martingale, and a planted reversion less costs; errors are seen."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from backtest_reference import run_reference
from test_backtest_reference import check_agreement

from liqlab.audit import (
    RANDOM_STRATEGIES,
    EngineTruth,
    FairMean,
    ReversionMean,
    TruthMarket,
    TruthWorld,
    draw_orders,
    imply_net,
    make_truth_market,
    measure_engine_truth,
    render_engine_truth,
)
from liqlab.backtest import STRATEGIES, ExecutionConfig, Ledger, Orders, decide_orders, get_strategy, run_engine
from liqlab.cli import main
from liqlab.core.errors import ConfigError
from liqlab.core.time import MS_PER_MINUTE

BPS = 1e-4
#: Long enough for the zones of the default, which need a day of history.
SHORT = TruthWorld(days=1.5, n_symbols=2)
SMALL = TruthWorld(days=0.2, n_symbols=1)
REVERSION = TruthWorld(days=1.0, push_bps=50.0, back_frac=0.5)
CALM = replace(REVERSION, annual_volatility_frac=0.0)
FADE = get_strategy("cascade_fade")


@pytest.fixture(scope="module")
def truth() -> EngineTruth:
    """Eight seeds."""
    return measure_engine_truth(8, martingale=SHORT, reversions=(REVERSION,), workers=1)


def fade(market: TruthMarket) -> pl.DataFrame:
    """The trades of the scaled cascade fade."""
    return run_engine(market.inputs.paths, decide_orders(FADE, market.inputs, FADE.scaled)).trades


def test_every_strategy_trades_and_none_earns_where_nothing_can_be_earned(truth: EngineTruth) -> None:
    named = {(one.strategy, one.variant) for one in truth.fair}
    assert named == {(one.name, variant) for one in STRATEGIES for variant in ("scaled", "default")} | {
        ("random", one.name) for one in RANDOM_STRATEGIES
    }
    for one in truth.fair:
        assert one.n_trades > 50
        # Eight seeds: Student's distribution with seven degrees of freedom lies beyond 6 once in two thousand.
        assert abs(one.standard_errors) < 6.0, one
        assert one.standard_error < 5.0 * BPS


def test_the_scaled_fade_earns_what_was_planted_less_costs(truth: EngineTruth) -> None:
    (found,) = truth.reversions
    assert found.n_trades >= 500
    assert found.error_frac <= 0.2
    assert abs(found.standard_errors) < 3.0
    assert found.holds
    assert 0.5 * found.noise_free < found.implied < 1.1 * found.noise_free


def test_without_noise_each_fade_earns_size_less_costs_and_delay_to_the_last_digit() -> None:
    market = make_truth_market(4, CALM)
    trades = fade(market)
    assert trades.height > 90
    assert set(trades["exit_reason"]) == {"timeout"}
    for row in trades.iter_rows(named=True):
        own = market.inputs.symbols[row["symbol"]].liquidations
        entry_ms, exit_ms = (int(row[name].timestamp() * 1_000) for name in ("entry_time", "exit_time"))
        decision_ms = int(row["decision_time"].timestamp() * 1_000)
        known_ms, event_ms = (own[name].to_physical().to_numpy() for name in ("known_time", "event_time"))
        cascade = np.abs(known_ms - decision_ms) < MS_PER_MINUTE
        running = np.cumsum(own["notional_usd"].to_numpy()[cascade])
        assert decision_ms == known_ms[cascade][np.argmax(running >= 1e6)]
        assert entry_ms == -(-(decision_ms + 5_000) // 1_000) * 1_000
        assert exit_ms == entry_ms + 15 * MS_PER_MINUTE
        side = 1.0 if row["side"] == "long" else -1.0
        come_back = (entry_ms - event_ms[cascade][-1]) / 300_000
        gross = side * (np.exp(side * 25.0 * BPS * (1.0 - come_back)) - 1.0)
        assert row["gross_return"] == pytest.approx(gross, abs=1e-12)
        slippage = (0.5 + 3.0 * 0.1) * BPS
        # The exit's size has moved with the price, and with it its impact.
        assert row["slippage"] == pytest.approx(2 * slippage, rel=0.01)
        assert row["fees"] == pytest.approx(2 * 5.5 * BPS, rel=0.01)
        assert row["net_return"] == row["gross_return"] - row["fees"] - row["slippage"]
    np.testing.assert_allclose(imply_net(market, trades), trades["net_return"], atol=1e-12)


def test_what_is_planted_is_the_whole_move_without_noise_and_nothing_on_a_martingale() -> None:
    for name, planted in make_truth_market(1, CALM).planted.items():
        path = make_truth_market(1, CALM).inputs.paths[name]
        np.testing.assert_allclose(planted, path.price - path.price[0], atol=1e-8)
    market = make_truth_market(1, SMALL)
    for name, planted in market.planted.items():
        assert planted.shape == market.inputs.paths[name].price.shape
        assert not planted.any()


def test_the_price_less_what_is_planted_is_a_martingale() -> None:
    world = TruthWorld(days=0.2, n_symbols=4, push_bps=200.0)
    ends = []
    for seed in range(40):
        market = make_truth_market(seed, world)
        ends += [
            path.price[-1] - path.price[0] - market.planted[name][-1] for name, path in market.inputs.paths.items()
        ]
    moved = np.array(ends)
    assert abs(moved.mean()) < 3.0 * moved.std(ddof=1) / moved.size**0.5


def test_the_cascades_of_a_seed_are_the_same_at_any_volatility() -> None:
    calm, rough = (make_truth_market(3, world).inputs for world in (CALM, REVERSION))
    columns = ["known_time", "liquidated_side", "notional_usd"]
    for name in calm.symbols:
        assert calm.symbols[name].liquidations.select(columns).equals(rough.symbols[name].liquidations.select(columns))
    assert not np.array_equal(calm.symbols["SYMBOL0"].path.price, rough.symbols["SYMBOL0"].path.price)


@pytest.mark.parametrize("drawn", RANDOM_STRATEGIES, ids=lambda drawn: drawn.name)
def test_the_plain_reference_makes_the_same_trades_of_random_orders(drawn: Any) -> None:
    inputs = make_truth_market(7, SMALL).inputs
    orders = draw_orders(drawn, inputs, np.random.default_rng(1), 150)
    orders = orders.with_values(timeout_ms=np.minimum(orders.timeout_ms, 10 * MS_PER_MINUTE))
    assert len(orders) > 120
    kinds = {
        "limit": orders.limit_price,
        "stop": orders.stop_frac,
        "target": orders.target_frac,
        "trail": orders.trail_frac,
    }
    for kind, values in kinds.items():
        assert bool(np.isfinite(values).any()) == getattr(drawn, kind)
    ledger = run_engine(inputs.paths, orders, drawn.execution)
    assert ledger.trades.height > 10
    check_agreement(ledger, run_reference(inputs.paths, orders, drawn.execution), orders)


def test_a_fill_from_before_the_decision_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_early(paths: Any, orders: Orders, execution: ExecutionConfig | None = None) -> Ledger:
        earlier = np.maximum(orders.decision_ms - MS_PER_MINUTE, 0)
        return run_engine(paths, orders.with_values(decision_ms=earlier), execution)

    monkeypatch.setattr("liqlab.audit._engine_truth.run_engine", too_early)
    found = measure_engine_truth(6, martingale=replace(SHORT, days=0.5), reversions=(), workers=1)
    random = {one.variant: one for one in found.fair if one.strategy == "random"}
    # Who buys after a fall, filled at the market a minute early, buys before it; a limit has its price either way.
    assert random["market, stop, target, timeout"].standard_errors < -4.0
    assert not random["market, trailing stop, timeout"].holds
    # Who follows the trend buys before it.
    assert all(one.standard_errors > 4.0 for one in found.fair if one.strategy == "volatility_breakout")
    assert not found.passed
    assert "NO" in render_engine_truth(found)


def test_stops_filled_better_than_the_market_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def kinder(paths: Any, orders: Orders, execution: ExecutionConfig | None = None) -> Ledger:
        ledger = run_engine(paths, orders, execution)
        stopped = pl.col("exit_reason").is_in(["stop", "trailing stop"])
        gift = pl.when(stopped).then(5.0 * BPS).otherwise(0.0)
        return replace(ledger, trades=ledger.trades.with_columns(net_return=pl.col("net_return") + gift))

    monkeypatch.setattr("liqlab.audit._engine_truth.run_engine", kinder)
    found = measure_engine_truth(6, martingale=replace(SHORT, days=0.5), reversions=(), workers=1)
    random = {one.variant: one for one in found.fair if one.strategy == "random"}
    assert random["market, timeout"].holds
    assert random["limit, everything, no delay"].standard_errors > 3.0
    assert not found.passed


def test_more_workers_give_the_same_numbers() -> None:
    tiny = TruthWorld(days=0.2, n_symbols=1)
    alone, together = (measure_engine_truth(2, martingale=tiny, reversions=(), workers=n) for n in (1, 2))
    assert repr(alone) == repr(together)


def test_one_seed_has_no_standard_error() -> None:
    with pytest.raises(ConfigError, match="at least 2 seeds"):
        measure_engine_truth(1)


def test_what_did_not_trade_or_is_not_sharp_does_not_hold() -> None:
    nan = float("nan")
    assert not FairMean("zone_bounce", "default", 0, nan, nan).holds
    good = ReversionMean(0.6, 50.0, 25.0, 600, 1e-3, 1e-4, 1.05e-3, 1e-4, 1.1e-3)
    assert good.holds
    assert not replace(good, n_trades=499).holds
    assert not replace(good, standard_error=2.2e-4).holds
    assert not replace(good, implied=1.5e-3).holds


def test_the_command_prints_both_tables_writes_them_and_fails_when_one_does_not_hold(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fair = FairMean("zone_bounce", "scaled", 900, 1e-5, 1e-5)
    planted = ReversionMean(0.6, 50.0, 25.0, 600, 1e-3, 1e-4, 1.05e-3, 1e-4, 1.1e-3)
    asked: list[int] = []

    def measured(n_seeds: int, **_: object) -> EngineTruth:
        asked.append(n_seeds)
        return EngineTruth(
            n_seeds, (fair,) if n_seeds == 200 else (replace(fair, n_trades=0, mean=float("nan")),), (planted,)
        )

    monkeypatch.setattr("liqlab.audit.measure_engine_truth", measured)
    assert main(["audit", "engine", "-o", str(tmp_path / "truth.json")]) == 0
    text = capsys.readouterr().out
    assert "zone_bounce, scaled" in text
    assert "25 of 50 bps come back" in text
    assert text.endswith("everything holds\n")
    rows = json.loads((tmp_path / "truth.json").read_text())
    assert rows["seeds"] == 200
    assert rows["fair"][0]["standard_errors"] == 1.0
    assert main(["audit", "engine", "--seeds", "3"]) == 1
    assert capsys.readouterr().out.endswith("1 of 2 do NOT hold\n")
    assert main(["audit", "engine", "--seeds", "3", "-o", str(tmp_path / "null.json"), "--quiet"]) == 1
    assert json.loads((tmp_path / "null.json").read_text())["fair"][0]["mean"] is None
    assert asked == [200, 3, 3]
