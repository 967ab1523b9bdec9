"""What strategies look at: read from a recording, cut short, moved onto other prices."""

from __future__ import annotations

import itertools
import pickle
from functools import lru_cache

import numpy as np
import polars as pl
import pytest
from evidence_of import market_of
from strategy_market import START_MS, SYMBOLS, frame_rows, random_market, write_rows

from liqlab.backtest._benchmarks import buy_and_hold, random_entries, random_sides
from liqlab.backtest._inputs import MarketInputs, SymbolInputs, read_inputs
from liqlab.backtest._orders import NEVER, Orders
from liqlab.backtest._prices import PricePath
from liqlab.backtest._strategy import STRATEGIES
from liqlab.backtest._zone_bounce import ZoneBounce
from liqlab.cascades import get_preset
from liqlab.core import schema
from liqlab.core.errors import UserError
from liqlab.core.schema import LIQUIDATIONS, LONG, TIME
from liqlab.core.time import MS_PER_HOUR, MS_PER_MINUTE
from liqlab.lake import FrameLake
from liqlab.panel import PriceGrid, ZoneConfig, compute_bars, find_scope


@lru_cache(maxsize=1)
def _lake() -> FrameLake:
    tables = market_of("plan", days=0.5, symbols=SYMBOLS)
    return FrameLake(tables.liquidations, tables.ticker, tables.long_short_ratio)


@pytest.fixture(scope="module")
def read() -> MarketInputs:
    return read_inputs(_lake(), find_scope(_lake()))


def test_a_recording_is_read_whole(read: MarketInputs) -> None:
    assert tuple(read.symbols) == SYMBOLS
    for name, inputs in read.symbols.items():
        assert inputs.liquidations.equals(_lake().read_liquidations(name))
        assert inputs.path.symbol == name
        assert len(inputs.path.price) > 5_000
        assert inputs.cascades.height > 0
    assert read.paths["BTCUSDT"] is read.symbols["BTCUSDT"].path


def test_the_grid_holds_the_bars_of_the_panel(read: MarketInputs) -> None:
    scope = find_scope(_lake())
    for name, inputs in read.symbols.items():
        wanted = compute_bars(inputs.liquidations, "5s", read.start_ms, read.end_ms, [name], scope.coverage)
        bars = inputs.bars
        assert bars.times_ms.tolist() == wanted["time"].to_physical().to_list()
        for ours, theirs in (
            (bars.buy_usd, "liq_buy_notional"),
            (bars.sell_usd, "liq_sell_notional"),
            (bars.buy_volume, "liq_buy_volume"),
            (bars.sell_volume, "liq_sell_volume"),
            (bars.count, "liq_count"),
            (bars.covered, "covered"),
        ):
            assert ours.tolist() == wanted[theirs].to_list()
        assert bars.covered.any()


def test_an_assumed_delay_moves_the_known_times(read: MarketInputs) -> None:
    late = read_inputs(_lake(), find_scope(_lake()), assumed_delay_s=2.0).symbols["BTCUSDT"].liquidations
    assert ((late["known_time"] - late["event_time"]).dt.total_milliseconds() == 2_000).all()
    assert late.height == read.symbols["BTCUSDT"].liquidations.height


def _slow_steps(inputs: SymbolInputs) -> list[tuple[int, int, int, float, float]]:
    """Cascade, known time, first known time, notional of longs and of shorts, by the rules of preset `plan`."""
    rows = inputs.liquidations.with_columns(known=pl.col("known_time").to_physical())
    cluster: list[tuple[int, bool, float]] = []
    steps, number, last = [], -1, None
    for known, side, quantity, price in rows.select("known", "liquidated_side", "quantity", "price").rows():
        if last is not None and known - last > 5_000:
            cluster = []
        last = known
        was_cascade = len(cluster) >= 3 and sum(usd for _, _, usd in cluster) >= 100_000.0
        cluster.append((known, side == LONG, quantity * price))
        total = sum(usd for _, _, usd in cluster)
        if len(cluster) >= 3 and total >= 100_000.0:
            number += not was_cascade
            longs = sum(usd for _, is_long, usd in cluster if is_long)
            steps.append((number, known, cluster[0][0], longs, total - longs))
    return [list(group)[-1] for _, group in itertools.groupby(steps, key=lambda step: step[:2])]


@pytest.mark.parametrize("seed", range(3))
def test_the_steps_of_cascades_are_those_of_a_slow_detector(seed: int) -> None:
    for inputs in random_market(seed, 8.0).symbols.values():
        steps, wanted = inputs.steps, _slow_steps(inputs)
        assert len(wanted) > 20
        found = zip(steps.cascade, steps.known_ms, steps.first_known_ms, strict=True)
        assert [tuple(map(int, row)) for row in found] == [row[:3] for row in wanted]
        assert steps.long_usd == pytest.approx([row[3] for row in wanted])
        assert steps.short_usd == pytest.approx([row[4] for row in wanted], abs=1e-3)
        assert steps.notional_usd == pytest.approx([row[3] + row[4] for row in wanted])


def test_the_last_step_of_a_cascade_is_the_whole_of_it(read: MarketInputs) -> None:
    for inputs in read.symbols.values():
        steps = inputs.steps
        last = np.append(np.diff(steps.cascade) != 0, True)
        assert steps.notional_usd[last].tolist() == inputs.cascades["notional_usd"].to_list()
        assert inputs.events.filter(pl.col("type") == "ended").height == inputs.cascades.height


def test_a_price_is_the_last_one_known_and_not_a_stale_one() -> None:
    path = PricePath.from_ticks(
        "BTCUSDT", START_MS + np.array([1_000, 6_000, 60_000]), [1.0, 2.0, 3.0], interval_ms=5_000
    )
    market = MarketInputs.gather(LIQUIDATIONS.empty(), {"BTCUSDT": path}, START_MS, START_MS + 100_000)
    asked = START_MS + np.array([0, 1_000, 5_999, 6_000, 21_000, 21_001, 60_000])
    found = market.symbols["BTCUSDT"].price_at(asked)
    assert [None if price != price else price for price in found] == [None, 1.0, 1.0, 2.0, 2.0, None, 3.0]


# Cut short


@pytest.mark.parametrize("share", [0.0, 0.3, 0.731, 1.0])
def test_a_truncated_market_is_one_recorded_until_then(read: MarketInputs, share: float) -> None:
    cut_ms = read.start_ms + round(share * (read.end_ms - read.start_ms)) + 1_234
    cut = read.truncate(cut_ms)
    until = pl.lit(cut_ms).cast(TIME)
    tables = market_of("plan", days=0.5, symbols=SYMBOLS)
    for name, inputs in cut.symbols.items():
        rows = tables.liquidations.filter((pl.col("symbol") == name) & (pl.col("known_time") <= until))
        assert inputs.liquidations.equals(rows)
        whole = read.symbols[name]
        n = len(inputs.path.known_ms)
        assert inputs.path.known_ms.tolist() == whole.path.known_ms[whole.path.known_ms <= cut_ms].tolist()
        assert inputs.path.price.tolist() == whole.path.price[:n].tolist()
        assert np.all(inputs.path.funding_ms <= cut_ms)
        assert np.all(inputs.covered <= cut_ms)
        assert np.all(inputs.bars.times_ms <= cut_ms)
        m = len(inputs.bars.times_ms)
        assert inputs.bars.count.tolist() == whole.bars.count[:m].tolist()
        assert inputs.bars.covered.tolist() == whole.bars.covered[:m].tolist()
        k = int(np.sum(whole.steps.known_ms <= cut_ms))
        assert inputs.steps.notional_usd.tolist() == whole.steps.notional_usd[:k].tolist()


def test_a_truncated_market_forgets_the_zones_of_the_whole_one() -> None:
    market, config = random_market(1, 8.0), ZoneBounce.scaled.zones
    whole = market.symbols["BTCUSDT"].find_zones(config)
    cut = market.truncate(START_MS + 7 * MS_PER_HOUR).symbols["BTCUSDT"].find_zones(config)
    assert cut.times_ms.tolist() == [time for time in whole.times_ms.tolist() if time <= START_MS + 7 * MS_PER_HOUR]
    assert cut.low.tolist() == whole.low[: len(cut.low)].tolist()
    assert len(cut.low) > 0


def test_zone_maps_are_kept_for_a_few_configurations_only() -> None:
    inputs = random_market(1, 3.0).symbols["BTCUSDT"]
    config = ZoneConfig(history_h=1.0, least_liquidations=5)
    assert inputs.find_zones(config) is inputs.find_zones(config)
    for mass in np.linspace(0.1, 0.9, 20):
        inputs.find_zones(ZoneConfig(history_h=1.0, least_liquidations=5, mass_frac=float(mass)))
    assert len(inputs._zones) <= 4


# Other prices


def _scaled_path(path: PricePath, factor: float) -> PricePath:
    return PricePath.from_ticks(
        path.symbol, path.known_ms, path.price * factor, interval_ms=path.interval_ms, covered=path.covered
    )


def test_on_other_prices_the_events_stay_and_the_levels_move() -> None:
    market = random_market(5, 8.0)
    factors = np.exp(0.3 * np.sin(np.arange(len(market.paths["ETHUSDT"].price)) / 500))
    old = market.symbols["ETHUSDT"]
    new_path = PricePath.from_ticks("ETHUSDT", old.path.known_ms, old.path.price * factors, covered=old.path.covered)
    moved = market.with_paths({"ETHUSDT": new_path})
    new = moved.symbols["ETHUSDT"]
    assert new.notional_usd.tolist() == old.notional_usd.tolist()
    assert (new.liquidations["price"] * new.liquidations["quantity"]).to_numpy() == pytest.approx(new.notional_usd)
    place = np.maximum(np.searchsorted(old.path.known_ms, old.known_ms, side="right") - 1, 0)
    assert new.liquidations["price"].to_numpy() == pytest.approx(old.liquidations["price"].to_numpy() * factors[place])
    assert new.steps.known_ms.tolist() == old.steps.known_ms.tolist()
    assert new.steps.notional_usd == pytest.approx(old.steps.notional_usd)
    assert moved.symbols["BTCUSDT"] is market.symbols["BTCUSDT"]


def test_zones_move_with_the_prices() -> None:
    market, config = random_market(5, 8.0), ZoneConfig(history_h=2.0, least_liquidations=10)
    step = np.exp(PriceGrid.of("ETHUSDT", config).step * 40)
    old = market.symbols["ETHUSDT"]
    new = market.with_paths({"ETHUSDT": _scaled_path(old.path, step)}).symbols["ETHUSDT"]
    assert len(old.find_zones(config).low) > 5
    # A whole number of levels away each liquidation is on the level so much higher, but for those on an edge.
    ours, theirs = new.find_zones(config), old.find_zones(config)
    assert np.isin(np.round(np.log(ours.low / step), 9), np.round(np.log(theirs.low), 9)).mean() > 0.95


def test_prices_of_an_unknown_symbol_are_refused() -> None:
    market = random_market(1, 1.0)
    path = PricePath.from_ticks("LTCUSDT", [START_MS], [1.0])
    with pytest.raises(UserError, match="available: BTCUSDT, ETHUSDT"):
        market.with_paths({"LTCUSDT": path})
    with pytest.raises(UserError, match="available: BTCUSDT, ETHUSDT"):
        market.select("LTCUSDT")


# What may be missing


def test_a_symbol_without_prices_or_without_liquidations_is_there_all_the_same() -> None:
    tables = market_of("plan", days=0.5, symbols=SYMBOLS)
    ticker = tables.ticker.filter(pl.col("symbol") == "BTCUSDT")
    liquidations = tables.liquidations.filter(pl.col("symbol") == "ETHUSDT")
    lake = FrameLake(liquidations, ticker, schema.LONG_SHORT_RATIO.empty())
    market = read_inputs(lake, find_scope(lake))
    assert tuple(market.symbols) == SYMBOLS
    assert len(market.paths["ETHUSDT"].price) == 0
    assert market.symbols["BTCUSDT"].liquidations.height == 0
    assert market.symbols["ETHUSDT"].cascades.height > 0
    for strategy in STRATEGIES:
        strategy.decide(market, strategy.default)
        strategy.decide(market.truncate(market.start_ms + MS_PER_HOUR), strategy.scaled)
    same = market.with_paths(market.paths).symbols["ETHUSDT"].liquidations
    assert same["price"].to_list() == market.symbols["ETHUSDT"].liquidations["price"].to_list()


def test_rows_out_of_order_outside_the_span_or_of_other_symbols_do_not_matter() -> None:
    rows = frame_rows("BTCUSDT", write_rows((10, LONG, 5e4), (11, LONG, 5e4), (12, LONG, 5e4), (9_000, LONG, 5e4)))
    other = frame_rows("LTCUSDT", write_rows((5, LONG, 1e6)))
    path = PricePath.from_ticks("BTCUSDT", [START_MS], [70_000.0])
    shuffled = pl.concat([rows.reverse(), other])
    market = MarketInputs.gather(shuffled, {"BTCUSDT": path}, START_MS, START_MS + MS_PER_HOUR)
    assert market.symbols["BTCUSDT"].liquidations.equals(rows.head(3))
    assert market.symbols["BTCUSDT"].cascades.height == 1


def test_wrong_frames_and_spans_are_refused() -> None:
    path = PricePath.from_ticks("BTCUSDT", [START_MS], [70_000.0])
    with pytest.raises(TypeError, match="table liquidations: column"):
        MarketInputs.gather(pl.DataFrame({"symbol": ["BTCUSDT"]}), {"BTCUSDT": path}, START_MS, START_MS + 1)
    with pytest.raises(UserError, match="cannot end at"):
        MarketInputs.gather(LIQUIDATIONS.empty(), {"BTCUSDT": path}, START_MS, START_MS - 1)


def test_another_preset_finds_other_cascades() -> None:
    scope = find_scope(_lake())
    plan, p95 = (read_inputs(_lake(), scope, get_preset(name)).symbols["BTCUSDT"] for name in ("plan", "p95"))
    assert plan.cascades.height != p95.cascades.height
    assert len(p95.steps.cascade) >= p95.cascades.height


def test_inputs_pickle(read: MarketInputs) -> None:
    again = pickle.loads(pickle.dumps(read))
    assert again.symbols["BTCUSDT"].steps.known_ms.tolist() == read.symbols["BTCUSDT"].steps.known_ms.tolist()


# Benchmarks


def test_buy_and_hold_buys_each_symbol_once_and_never_leaves(read: MarketInputs) -> None:
    orders = buy_and_hold(read)
    assert sorted(orders.codes.tolist()) == [0, 1]
    assert orders.side.tolist() == [1.0, 1.0]
    assert orders.timeout_ms.tolist() == orders.exit_signal_ms.tolist() == [NEVER, NEVER]
    assert np.isnan(orders.target_frac).all()
    for code, moment in zip(orders.codes, orders.decision_ms, strict=True):
        assert moment == read.paths[orders.symbols[code]].known_ms[0]
    assert len(buy_and_hold(random_market(1, 1.0, has_prices=False))) == 0


def _trades(market: MarketInputs, n: int) -> pl.DataFrame:
    generator = np.random.default_rng(0)
    entry = generator.integers(market.start_ms, market.end_ms - MS_PER_HOUR, n)
    held = generator.integers(1, 20 * MS_PER_MINUTE, n)
    return pl.DataFrame(
        {
            "symbol": [SYMBOLS[k % 2] for k in range(n)],
            "side": ["long" if k % 3 else "short" for k in range(n)],
            "entry_time": pl.Series(entry).cast(TIME),
            "exit_time": pl.Series(entry + held).cast(TIME),
        }
    )


def test_random_entries_last_as_long_on_the_same_sides_and_do_not_overlap() -> None:
    market = random_market(1, 12.0)
    trades = _trades(market, 24)
    orders = random_entries(market, trades, seed=3)
    held = (trades["exit_time"] - trades["entry_time"]).dt.total_milliseconds()
    sides = trades["side"].replace_strict({"long": 1.0, "short": -1.0})
    for code, name in enumerate(SYMBOLS):
        own, of_symbol = orders.codes == code, (trades["symbol"] == name)
        wanted = sorted(zip(held.filter(of_symbol), sides.filter(of_symbol), strict=True))
        found = zip(orders.timeout_ms[own].tolist(), orders.side[own].tolist(), strict=True)
        assert sorted(found) == wanted
        starts, stays = orders.decision_ms[own], orders.timeout_ms[own]
        assert np.all(np.diff(starts) >= stays[:-1] + 5 * MS_PER_MINUTE)
        assert starts[0] >= market.start_ms
        assert starts[-1] + stays[-1] <= market.end_ms


def test_random_entries_follow_their_seed_alone() -> None:
    market = random_market(1, 12.0)
    trades = _trades(market, 10)
    first, again, other = (random_entries(market, trades, seed).decision_ms.tolist() for seed in (1, 1, 2))
    assert first == again != other
    alone = random_entries(market, trades.filter(pl.col("symbol") == "BTCUSDT"), 1)
    whole = random_entries(market, trades, 1)
    assert alone.decision_ms.tolist() == whole.decision_ms[whole.codes == 0].tolist()


def test_random_entries_spread_over_the_whole_span() -> None:
    market = random_market(1, 12.0)
    trades = _trades(market, 2).filter(pl.col("symbol") == "BTCUSDT")
    hours = [(random_entries(market, trades, seed).decision_ms[0] - START_MS) / MS_PER_HOUR for seed in range(400)]
    counts = np.histogram(hours, bins=4, range=(0.0, 12.0))[0]
    assert counts.min() > 70


def test_more_random_entries_than_there_is_room_for_stay_in_the_span() -> None:
    market = random_market(1, 1.0)
    orders = random_entries(market, _trades(random_market(1, 12.0), 60), seed=1)
    assert 0 < len(orders) < 60
    assert orders.decision_ms.max() <= market.end_ms
    assert len(random_entries(market, _trades(random_market(1, 12.0), 2).clear(), seed=1)) == 0


def test_random_sides_keep_everything_but_the_side_and_mirror_prices() -> None:
    market = random_market(1, 6.0)
    moments = np.arange(market.start_ms + 60_000, market.end_ms, 60_000)
    price = market.symbols["BTCUSDT"].price_at(moments)
    orders = Orders.gather(
        SYMBOLS,
        np.zeros(len(moments), np.int64),
        moments,
        np.ones(len(moments)),
        stop_price=0.99 * price,
        target_frac=0.01,
    )
    drawn = random_sides(orders, market, seed=7)
    assert drawn.decision_ms.tolist() == orders.decision_ms.tolist()
    assert drawn.target_frac.tolist() == orders.target_frac.tolist()
    assert drawn.stop_price == pytest.approx(np.where(drawn.side > 0, 0.99, 1.01) * price)
    assert 0.4 < (drawn.side > 0).mean() < 0.6
    assert random_sides(orders, market, seed=7).side.tolist() == drawn.side.tolist()
