"""The mechanisms of the simulated market: what each dial does, and what holds whatever the dials say."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest

from liqlab.core.time import MS_PER_DAY, MS_PER_HOUR, parse_time
from liqlab.worlds import (
    WORLD_NAMES,
    LiquidationArrays,
    MarketDay,
    SymbolDay,
    World,
    compute_ticker,
    deliver_days,
    iterate_market,
    load_world,
)

START_MS = parse_time("2026-02-10")
BTC = ("BTCUSDT",)


def with_dials(world: World, **changes: float) -> World:
    """`world` with dials set by `table__name`; `symbols__name` sets that of every symbol."""
    for key, value in changes.items():
        table, name = key.split("__")
        if table == "symbols":
            symbols = {symbol: dataclasses.replace(dials, **{name: value}) for symbol, dials in world.symbols.items()}
            world = dataclasses.replace(world, symbols=symbols)
        else:
            part = dataclasses.replace(getattr(world, table), **{name: value})
            world = dataclasses.replace(world, **{table: part})
    return world


def play(
    world: World, symbols: Sequence[str] = BTC, seed: int = 1, days: float = 1.0, **settings: Any
) -> list[MarketDay]:
    return list(iterate_market(world, symbols, seed, START_MS, START_MS + round(days * MS_PER_DAY), **settings))


def join(days: list[MarketDay], symbol: str = "BTCUSDT") -> LiquidationArrays:
    parts = [day.of(symbol).liquidations for day in days]
    names = [field.name for field in dataclasses.fields(LiquidationArrays)]
    return LiquidationArrays(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def arrays_of(day: SymbolDay) -> dict[str, np.ndarray]:
    found = {f"liquidations.{f.name}": getattr(day.liquidations, f.name) for f in dataclasses.fields(day.liquidations)}
    return found | {f.name: v for f in dataclasses.fields(day) if isinstance(v := getattr(day, f.name), np.ndarray)}


def assert_same(one: SymbolDay, other: SymbolDay) -> None:
    mine, theirs = arrays_of(one), arrays_of(other)
    assert mine.keys() == theirs.keys()
    for name in mine:
        np.testing.assert_array_equal(mine[name], theirs[name], err_msg=name)


@cache
def two_days(name: str) -> list[MarketDay]:
    return play(load_world(name), ("BTCUSDT", "ETHUSDT", "DOGEUSDT"), days=2)


@pytest.mark.parametrize("name", WORLD_NAMES)
def test_open_interest_is_the_sum_of_what_is_open_at_the_end_of_every_day(name: str) -> None:
    for day in two_days(name):
        for symbol_day in day.symbols:
            assert symbol_day.last_open_interest == symbol_day.counted_open_interest
            assert symbol_day.open_interest[-1] > symbol_day.dials.open_interest


@pytest.mark.parametrize("name", WORLD_NAMES)
def test_liquidations_come_in_order_and_are_numbered_through(name: str) -> None:
    for symbol in two_days(name)[0].names:
        orders = join(two_days(name), symbol)
        assert len(orders.number) > 50
        assert (np.diff(orders.event_ms) >= 0).all()
        np.testing.assert_array_equal(orders.number, np.arange(len(orders.number)))
        for day in two_days(name):
            event_ms = day.of(symbol).liquidations.event_ms
            assert ((event_ms >= day.day * MS_PER_DAY) & (event_ms < (day.day + 1) * MS_PER_DAY)).all()


@pytest.mark.parametrize("name", sorted(set(WORLD_NAMES) - {"crash"}))
def test_the_bankruptcy_price_lies_below_the_market_for_longs_and_above_for_shorts(name: str) -> None:
    for symbol in two_days(name)[0].names:
        orders = join(two_days(name), symbol)
        distance = np.where(orders.is_long, 1.0, -1.0) * (1.0 - orders.price / orders.market_price)
        # A jump, or a cascade that runs away, may carry the market past it before the order is out: then an insurance
        # fund pays. One run-away holds a tenth of the orders of two days of `planted-strong` (decision 0025).
        assert (distance > 0).mean() > (0.9 if name == "planted-strong" else 0.99)
        assert 0.003 < np.median(distance) < 0.02


@pytest.mark.parametrize("name", ["null", "random-walk"])
def test_where_nothing_follows_from_liquidations_the_price_is_the_undisturbed_path(name: str) -> None:
    for day in two_days(name):
        for symbol_day in day.symbols:
            np.testing.assert_array_equal(symbol_day.log_price, symbol_day.free_log_price)
            assert (symbol_day.liquidations.cause == -1).all()
            assert (symbol_day.liquidations.impact_bps == 0.0).all()


def test_twins_without_an_effect_share_the_undisturbed_path_and_who_arrives() -> None:
    strong = load_world("planted-strong")
    off = with_dials(strong, book__impact_bps=0.0, spill__attraction_bps_per_min=0.0)
    with_effect, without = (play(world)[0].of("BTCUSDT") for world in (strong, off))
    np.testing.assert_array_equal(with_effect.free_log_price, without.free_log_price)
    assert (with_effect.log_price != without.log_price).any()
    assert with_effect.long_accounts[0] == without.long_accounts[0]
    np.testing.assert_array_equal(with_effect.nodes.depth_usd, without.nodes.depth_usd)


def fano_factor(orders: LiquidationArrays) -> float:
    """Variance over mean of the counts by minute: one for independent events."""
    counts = np.bincount((orders.event_ms - orders.event_ms[0]) // 60_000)
    return float(counts.var() / counts.mean())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_without_impact_liquidations_cluster_less(seed: int) -> None:
    strong = load_world("planted-strong")
    with_impact, without = (
        join(play(with_dials(strong, book__impact_bps=impact, spill__contagion_frac=0.0), seed=seed, days=2))
        for impact in (strong.book.impact_bps, 0.0)
    )
    assert len(without.cause) < len(with_impact.cause)
    assert fano_factor(without) < fano_factor(with_impact)
    assert (without.cause == -1).all()
    assert (with_impact.cause >= 0).mean() > 0.3


def test_the_share_of_triggered_liquidations_grows_with_impact() -> None:
    plan = load_world("plan")
    shares = [
        float(np.mean(join(play(with_dials(plan, book__impact_bps=impact), days=2)).cause >= 0))
        for impact in (0.5, 2.0, 8.0)
    ]
    assert shares == sorted(shares)
    assert shares[0] < 0.25 < shares[2]


def test_a_cause_comes_before_its_effect_and_pushes_its_way() -> None:
    orders = join(two_days("plan"), "BTCUSDT")
    triggered = np.flatnonzero(orders.cause >= 0)
    cause = orders.cause[triggered]
    window_ms = 1e3 * load_world("plan").spill.attribution_window_s
    assert len(triggered) > 100
    assert (orders.cause_symbol[triggered] == 0).all()
    waited_ms = orders.event_ms[triggered] - orders.event_ms[cause]
    assert (cause < triggered).all()
    assert (waited_ms > 0).all()
    # The parts of a large liquidation share the cause of the first one.
    assert np.quantile(waited_ms, 0.99) < window_ms + 6_000
    assert (orders.is_long[cause] == orders.is_long[triggered]).all()


def test_lasting_impact_adds_up_to_the_distance_from_the_undisturbed_path() -> None:
    world = with_dials(
        load_world("plan"), book__transient_frac=0.0, spill__attraction_bps_per_min=0.0, spill__contagion_frac=0.0
    )
    day = play(world)[0].of("BTCUSDT")
    orders = day.liquidations
    moved = 1e4 * (day.log_price - day.free_log_price)
    passed = np.searchsorted(orders.event_ms, day.time_ms)
    expected = np.concatenate([[0.0], np.cumsum(orders.impact_bps)])[passed]
    assert np.abs(moved[-1]) > 1.0
    np.testing.assert_allclose(moved, expected, atol=1e-6)


def test_followers_bring_the_move_once_more() -> None:
    base = with_dials(
        load_world("plan"), book__transient_frac=0.0, spill__attraction_bps_per_min=0.0, spill__contagion_frac=0.0
    )
    world = with_dials(base, book__follow_frac=1.0, book__follow_half_life_s=1.0)
    day = play(world)[0].of("BTCUSDT")
    calm = np.flatnonzero(np.diff(day.liquidations.event_ms) > 120_000)[-1]
    row = np.searchsorted(day.time_ms, day.liquidations.event_ms[calm] + 60_000)
    expected = 2.0 * day.liquidations.impact_bps[: calm + 1].sum()
    assert 1e4 * (day.log_price - day.free_log_price)[row] == pytest.approx(expected, abs=1e-3)


def test_transient_impact_passes() -> None:
    world = with_dials(
        load_world("plan"),
        book__transient_frac=1.0,
        book__transient_half_life_s=1.0,
        spill__attraction_bps_per_min=0.0,
        spill__contagion_frac=0.0,
    )
    day = play(world)[0].of("BTCUSDT")
    since_ms = day.time_ms - day.liquidations.event_ms[np.searchsorted(day.liquidations.event_ms, day.time_ms) - 1]
    away = 1e4 * np.abs(day.log_price - day.free_log_price)
    long_ago = (since_ms > 40_000) & (np.arange(len(away)) > 1_000)
    assert away.max() > 0.5
    assert away[long_ago].max() < 1e-6
    assert long_ago.sum() > 1_000


def test_contagion_triggers_in_other_assets_after_its_lag_and_only_when_it_is_on() -> None:
    strong = with_dials(load_world("plan"), spill__contagion_frac=3.0, spill__contagion_lag_s=20.0)
    names = ("BTCUSDT", "SOLUSDT")
    days = play(strong, names, days=3)
    bitcoin, solana = join(days, "BTCUSDT"), join(days, "SOLUSDT")
    from_bitcoin = solana.cause_symbol == 0
    assert from_bitcoin.sum() > 20
    assert (bitcoin.cause_symbol <= 0).all(), "only BTC is a source"
    waited_ms = solana.event_ms[from_bitcoin] - bitcoin.event_ms[solana.cause[from_bitcoin]]
    assert waited_ms.min() > 10_000
    off = play(with_dials(strong, spill__contagion_frac=0.0), names)
    assert (join(off, "SOLUSDT").cause_symbol != 0).all()


def test_without_contagion_a_symbol_does_not_depend_on_the_others() -> None:
    world = with_dials(load_world("plan"), spill__contagion_frac=0.0)
    alone, among = play(world, ("ETHUSDT",))[0], play(world, ("BTCUSDT", "ETHUSDT", "XRPUSDT"))[0]
    mine, theirs = alone.of("ETHUSDT"), among.of("ETHUSDT")
    own = np.where(theirs.liquidations.cause_symbol >= 0, 0, -1)
    theirs = dataclasses.replace(theirs, liquidations=dataclasses.replace(theirs.liquidations, cause_symbol=own))
    assert_same(mine, theirs)


@pytest.mark.parametrize(("long_frac", "direction"), [(1.0, -1), (0.0, 1)])
def test_price_is_drawn_to_the_side_with_more_liquidation_levels(long_frac: float, direction: int) -> None:
    null = with_dials(load_world("null"), symbols__long_frac=long_frac, traders__trend_tilt=0.0)
    day = play(with_dials(null, spill__attraction_bps_per_min=1.0))[0].of("BTCUSDT")
    drawn = day.log_price[-1] - day.free_log_price[-1]
    assert direction * drawn > 1e-3


def largest_minute_in_sd(world: World) -> float:
    log_price = play(world)[0].of("BTCUSDT").log_price[::12]
    returns = np.diff(log_price)
    return float(np.abs(returns).max() / np.median(np.abs(returns)) * 0.6745)


def test_jumps_come_and_go_with_their_dial() -> None:
    smooth = load_world("random-walk")
    jumpy = with_dials(smooth, price__jumps_per_day=20.0, price__jump_sd_minutes=10.0)
    assert largest_minute_in_sd(smooth) < 5.0
    assert largest_minute_in_sd(jumpy) > 10.0
    assert len(play(smooth)[0].of("BTCUSDT").nodes.jumps) == 0


def test_the_shock_moves_every_symbol_by_its_dial_in_its_time() -> None:
    calm = with_dials(load_world("null"), price__volatility_scale=0.0)
    shock = {"price__shock_return_frac": -0.2, "price__shock_start_h": 3.0, "price__shock_duration_min": 60.0}
    for day in play(with_dials(calm, **shock), ("BTCUSDT", "XRPUSDT"))[0].symbols:
        hours = (day.time_ms - START_MS) / MS_PER_HOUR
        moved = np.exp(day.log_price - day.log_price[0])
        np.testing.assert_allclose(moved[hours < 3], 1.0, atol=1e-6)
        np.testing.assert_allclose(moved[hours > 4], 0.8, atol=1e-6)


@pytest.mark.parametrize("closing", [0.0, 1.0])
def test_the_counterparty_closes_as_often_as_its_dial_says(closing: float) -> None:
    world = with_dials(
        load_world("random-walk"),
        traders__counterparty_closing_frac=closing,
        traders__opener_holding_mean_h=200.0,
        traders__random_exit_frac=1.0,
    )
    stays = dataclasses.replace(world.symbols["BTCUSDT"], positions_per_day=3_000.0)
    day = play(dataclasses.replace(world, symbols={"BTCUSDT": stays}))[0].of("BTCUSDT")
    assert len(day.liquidations.closing) > 1_000
    assert (day.liquidations.closing == bool(closing)).all()
    assert day.last_open_interest == day.counted_open_interest
    gone = day.liquidations.quantity.sum()
    change = day.last_open_interest - day.open_interest[0]
    assert (change < 0.5 * gone) if closing else (change > 0.5 * gone)


def test_without_positions_open_interest_stands_still_and_nobody_is_liquidated() -> None:
    day = play(with_dials(load_world("plan"), traders__positions_scale=0.0))[0].of("BTCUSDT")
    assert len(day.liquidations.event_ms) == 0
    assert (day.open_interest == day.dials.open_interest).all()


@pytest.mark.parametrize("dial", ["price__volatility_scale", "traders__levered_frac"])
def test_nobody_is_liquidated_without_moves_or_without_leverage(dial: str) -> None:
    day = play(with_dials(load_world("plan"), **{dial: 0.0}, spill__attraction_bps_per_min=0.0))[0].of("BTCUSDT")
    assert len(day.liquidations.event_ms) == 0


def test_liquidations_of_the_random_walk_come_at_random_times_on_random_sides() -> None:
    orders = join(play(load_world("random-walk"), days=4))
    single = np.diff(orders.event_ms, prepend=0) > 1_000
    counts = np.bincount((orders.event_ms[single] - START_MS) // MS_PER_HOUR, minlength=96)
    expected = counts.mean()
    assert expected > 10
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert chi_square < 95 + 4 * (2 * 95) ** 0.5
    assert abs(orders.is_long.mean() - 0.5) < 4 * 0.5 / len(single) ** 0.5


def minute_returns(days: list[MarketDay]) -> np.ndarray:
    return np.diff(np.concatenate([day.of("BTCUSDT").log_price[::12] for day in days]))


def autocorrelation(values: np.ndarray, lag: int) -> float:
    return float(np.corrcoef(values[lag:], values[:-lag])[0, 1])


def test_volatility_clusters_and_returns_do_not() -> None:
    returns = minute_returns(play(load_world("plan"), days=6, seed=4))
    noise = float(np.sqrt(np.mean(returns[1:] ** 2 * returns[:-1] ** 2) / len(returns)) / returns.var())
    assert abs(autocorrelation(returns, 1)) < 4 * noise
    assert autocorrelation(np.abs(returns), 60) > 0.08
    steady = np.abs(minute_returns(play(load_world("random-walk"), days=6, seed=4)))
    assert abs(autocorrelation(steady, 60)) < 4 / len(steady) ** 0.5


def test_the_tail_of_returns_is_heavy_but_not_too_heavy() -> None:
    sizes = np.sort(np.abs(minute_returns(play(load_world("plan"), days=8))))[-115:]
    assert 2.0 < 1.0 / np.mean(np.log(sizes[1:] / sizes[0])) < 5.0


def test_what_is_recorded_does_not_change_what_happens() -> None:
    fine, coarse = (play(load_world("plan"), every=every)[0].of("BTCUSDT") for every in (1, 50))
    for name, values in arrays_of(fine).items():
        if len(values) == len(fine.log_price):
            values = values[::50]
        np.testing.assert_array_equal(values, arrays_of(coarse)[name], err_msg=name)
    world = load_world("plan")
    published, expected = compute_ticker(world, 1, fine), compute_ticker(world, 1, coarse)
    for field in dataclasses.fields(expected):
        np.testing.assert_array_equal(getattr(published, field.name)[::50], getattr(expected, field.name), field.name)


def test_a_longer_span_begins_with_the_days_of_a_shorter_one() -> None:
    world = load_world("planted")
    short, longer = play(world, ("BTCUSDT", "SOLUSDT"), days=3), play(world, ("BTCUSDT", "SOLUSDT"), days=5)
    assert (len(short), len(longer)) == (3, 5)
    for one, other in zip(short, longer, strict=False):
        for mine, theirs in zip(one.symbols, other.symbols, strict=True):
            assert_same(mine, theirs)


def test_another_seed_gives_another_market() -> None:
    one, other = (play(load_world("plan"), seed=seed)[0].of("BTCUSDT") for seed in (1, 2))
    assert one.log_price[-1] != other.log_price[-1]


def test_each_liquidation_is_delivered_once_at_the_next_push() -> None:
    world = load_world("plan")
    days = play(world, days=3)
    delivered = [orders for _, (orders,) in deliver_days(world, 1, days)]
    numbers = np.concatenate([orders.liquidations.number for orders in delivered])
    late = len(join(days).number) - len(numbers)
    assert 0 <= late < 20
    np.testing.assert_array_equal(numbers, np.arange(len(numbers)))
    for day, orders in zip(days, delivered, strict=True):
        assert ((orders.known_ms // MS_PER_DAY) == day.day).all()
        assert (orders.push_ms % 500 == 0).all()
        waited_ms = orders.push_ms - orders.liquidations.event_ms
        assert ((waited_ms > 0) & (waited_ms <= 500)).all()
        assert ((orders.known_ms >= orders.push_ms) & (np.diff(orders.known_ms, prepend=0) >= 0)).all()


def test_a_message_on_its_way_at_midnight_is_known_on_the_next_day() -> None:
    world = load_world("plan")
    day = play(world, days=2)
    moved = day[0].of("BTCUSDT").liquidations
    event_ms = moved.event_ms.copy()
    event_ms[-1] = (day[0].day + 1) * MS_PER_DAY - 3
    late = dataclasses.replace(day[0].symbols[0], liquidations=dataclasses.replace(moved, event_ms=event_ms))
    days = [dataclasses.replace(day[0], symbols=(late,)), day[1]]
    (_, (today,)), (_, (tomorrow,)) = deliver_days(world, 1, days)
    assert len(today.known_ms) == len(event_ms) - 1
    assert tomorrow.liquidations.event_ms[0] == event_ms[-1]
    assert tomorrow.number_lines()[0][:2].tolist() == [1, 2]


def test_funding_is_the_interest_rate_without_a_premium_and_follows_one() -> None:
    null = load_world("null")
    flat = with_dials(null, funding__basis_sd_bps=0.0, book__mark_half_life_s=0.0)
    rates = compute_ticker(flat, 1, play(flat)[0].of("BTCUSDT")).funding_rate
    np.testing.assert_array_equal(rates, 0.0001)
    rich = with_dials(flat, funding__basis_sd_bps=200.0, funding__basis_half_life_min=50_000.0)
    day = play(rich)[0].of("BTCUSDT")
    ticker = compute_ticker(rich, 1, day)
    premium = ticker.mark_price / ticker.index_price - 1.0
    assert np.sign(ticker.funding_rate[-1] - 0.0001) == np.sign(premium[-1])
    assert np.abs(ticker.funding_rate).max() <= rich.funding.cap_frac


def test_spread_and_sizes_at_the_touch_follow_their_dials() -> None:
    wide = with_dials(load_world("null"), book__spread_bps=10.0, symbols__touch_size_usd=1e6)
    day = play(wide)[0].of("BTCUSDT")
    ticker = compute_ticker(wide, 1, day)
    spread_bps = 1e4 * (ticker.ask_price / ticker.bid_price - 1.0)
    np.testing.assert_allclose(spread_bps, 10.0, atol=0.05)
    middle = np.exp(day.log_price)
    assert ((ticker.bid_price <= middle + 0.06) & (middle <= ticker.ask_price + 0.06)).all()
    assert np.median(ticker.bid_size * middle) == pytest.approx(1e6, rel=0.5)
    one_tick = compute_ticker(with_dials(wide, book__spread_bps=0.0), 1, day)
    np.testing.assert_allclose(one_tick.ask_price - one_tick.bid_price, 0.1, atol=1e-6)
