"""Zones: levels, maps, first touches and barriers, each beside a slow and obvious second implementation."""

from __future__ import annotations

from dataclasses import fields
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from evidence_of import market_of
from hypothesis import given
from hypothesis import strategies as st

from liqlab.core.errors import ConfigError
from liqlab.core.time import MS_PER_HOUR
from liqlab.panel import (
    NOT_REACHED,
    ZONES,
    LevelLiquidations,
    PriceGrid,
    ZoneConfig,
    ZoneMaps,
    find_first_barrier,
    find_first_reach,
    find_runs,
    map_zones,
    select_fullest,
)
from liqlab.worlds import DEFAULT_START_MS

END_MS = DEFAULT_START_MS + 48 * MS_PER_HOUR


@pytest.fixture(scope="module")
def liquidations() -> pl.DataFrame:
    rows = market_of("plan", 3, 2.0, ("BTCUSDT", "SOLUSDT")).liquidations
    return rows.filter(pl.col("symbol") == "SOLUSDT")


@pytest.fixture(scope="module")
def placed(liquidations: pl.DataFrame) -> LevelLiquidations:
    return LevelLiquidations.gather(liquidations, PriceGrid.of("SOLUSDT"))


@pytest.mark.parametrize("symbol", ["BTCUSDT", "BTC-USDT-SWAP", "XBTUSD", "BTC"])
def test_bitcoin_has_levels_in_dollars(symbol: str) -> None:
    assert PriceGrid.of(symbol) == PriceGrid(100.0, is_log=False)


@pytest.mark.parametrize("symbol", ["ETHUSDT", "BTCDOMUSDT", "1000BTTUSDT"])
def test_everything_else_has_levels_in_bps(symbol: str) -> None:
    grid = PriceGrid.of(symbol)
    edges = grid.low_edge(np.array([10, 11]))
    assert edges[1] / edges[0] == pytest.approx(1.0015)


@given(st.integers(1, 20_000), st.booleans())
def test_a_price_inside_a_level_has_its_number(number: int, is_log: bool) -> None:
    grid = PriceGrid(0.0015 if is_log else 100.0, is_log=is_log)
    low, high = grid.low_edge([number, number + 1])
    assert grid.number_of([np.sqrt(low * high)]).tolist() == [number]


@given(st.lists(st.integers(0, 6), min_size=1, max_size=7).filter(any), st.floats(0.05, 0.95))
def test_the_fullest_levels_are_the_fewest_that_hold_the_mass(density: list[int], mass_frac: float) -> None:
    values = np.array(density, dtype=np.float64)
    chosen = select_fullest(values, mass_frac)
    enough = mass_frac * values.sum()
    assert values[chosen].sum() >= enough - 1e-9
    fewer = [values[list(some)].sum() for some in combinations(range(len(values)), int(chosen.sum()) - 1)]
    assert all(total < enough + 1e-9 for total in fewer)


def test_runs_end_where_a_level_is_missing() -> None:
    levels = np.array([3, 4, 5, 9, 10, 12])
    first, last = find_runs(levels, np.array([True, True, False, True, True, True]))
    assert list(zip(levels[first].tolist(), levels[last].tolist(), strict=True)) == [(3, 4), (9, 10), (12, 12)]


def test_a_map_is_what_a_slow_count_gives(liquidations: pl.DataFrame, placed: LevelLiquidations) -> None:
    maps = map_zones(placed, DEFAULT_START_MS, END_MS, ZoneConfig(window_h=6.0))
    checked = 0
    for place, time_ms in enumerate(maps.times_ms.tolist()):
        known = liquidations["known_time"].to_physical()
        rows = liquidations.filter((known > time_ms - 6 * MS_PER_HOUR) & (known <= time_ms))
        own = slice(maps.offsets[place], maps.offsets[place + 1])
        if rows.height < 50:
            assert own.start == own.stop
            continue
        for low, high, mass, n in zip(
            maps.low[own], maps.high[own], maps.mass_frac[own], maps.n_liquidations[own], strict=True
        ):
            inside = rows.filter((pl.col("price") >= low) & (pl.col("price") < high))
            assert inside["notional_usd"].sum() / rows["notional_usd"].sum() == pytest.approx(mass)
            assert inside.height == n
            checked += 1
        assert 0.5 <= maps.mass_frac[own].sum() <= 1.0
    assert checked > 50


def test_a_map_does_not_change_when_the_future_arrives(liquidations: pl.DataFrame) -> None:
    grid = PriceGrid.of("SOLUSDT")
    whole = map_zones(LevelLiquidations.gather(liquidations, grid), DEFAULT_START_MS, END_MS)
    for hours in (30, 41):
        now_ms = DEFAULT_START_MS + hours * MS_PER_HOUR
        past = liquidations.filter(pl.col("known_time").to_physical() <= now_ms)
        maps = map_zones(LevelLiquidations.gather(past, grid), DEFAULT_START_MS, now_ms + 1)
        n_zones = len(maps.low)
        assert maps.times_ms[-1] == now_ms
        for field in fields(ZoneMaps)[2:]:
            np.testing.assert_array_equal(getattr(maps, field.name), getattr(whole, field.name)[:n_zones])


def test_prices_inside_zones_are_found(placed: LevelLiquidations) -> None:
    maps = map_zones(placed, DEFAULT_START_MS, END_MS)
    random = np.random.default_rng(0)
    which = random.integers(0, len(maps.times_ms), 2_000)
    prices = random.uniform(maps.low.min(), maps.high.max(), 2_000)
    slow = [
        any(maps.low[zone] <= price < maps.high[zone] for zone in range(maps.offsets[place], maps.offsets[place + 1]))
        for place, price in zip(which, prices, strict=True)
    ]
    assert maps.contains(which, prices).tolist() == slow
    assert any(slow)


def test_zones_as_a_table_have_the_declared_columns(placed: LevelLiquidations) -> None:
    frame = map_zones(placed, DEFAULT_START_MS, END_MS).to_frame("SOLUSDT")
    assert frame.schema == pl.Schema(ZONES.dtypes)
    assert (frame["low"] < frame["high"]).all()


def test_without_liquidations_there_is_no_zone(liquidations: pl.DataFrame) -> None:
    maps = map_zones(LevelLiquidations.gather(liquidations.clear(), PriceGrid.of("SOLUSDT")), DEFAULT_START_MS, END_MS)
    assert len(maps.low) == 0
    assert not maps.contains(np.array([0]), np.array([80.0])).any()


def test_a_single_absurd_price_costs_no_memory(liquidations: pl.DataFrame) -> None:
    absurd = liquidations.head(1).with_columns(price=pl.lit(1e12))
    placed = LevelLiquidations.gather(pl.concat([liquidations, absurd]), PriceGrid(100.0, is_log=False))
    assert len(placed.levels) < 1_000


def _walk(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    known = np.cumsum(random.integers(1_000, 9_000, 400))
    return known, 100.0 * np.exp(np.cumsum(random.normal(0.0, 2e-4, 400)))


@pytest.mark.parametrize("seed", range(5))
def test_first_reach_is_the_first_price_at_or_beyond_the_level(seed: int) -> None:
    random = np.random.default_rng(seed)
    known, prices = _walk(random)
    after = random.choice(known, 60)
    sides = random.choice([-1.0, 1.0], 60)
    levels = 100.0 * np.exp(sides * random.uniform(0.0, 2e-3, 60))
    found = find_first_reach(known, prices, after, after + 600_000, levels, sides)
    for row, start, level, side in zip(found.tolist(), after, levels, sides, strict=True):
        slow = [
            i for i in range(len(known)) if start < known[i] <= start + 600_000 and side * (prices[i] - level) >= 0.0
        ]
        assert row == (slow[0] if slow else NOT_REACHED)


@pytest.mark.parametrize("seed", range(5))
def test_a_barrier_is_the_first_price_a_width_away(seed: int) -> None:
    random = np.random.default_rng(seed)
    known, prices = _walk(random)
    rows = random.integers(0, 400, 60)
    widths = random.uniform(1.0, 30.0, 60)
    found, sides = find_first_barrier(known, prices, rows, widths, 600_000)
    for row, width, hit, side in zip(rows, widths, found, sides, strict=True):
        moves = 1e4 * np.log(prices / prices[row])
        slow = [
            i
            for i in range(row + 1, len(known))
            if known[i] <= known[row] + 600_000 and abs(moves[i]) >= width * (1.0 - 1e-12)
        ]
        assert hit == (slow[0] if slow else NOT_REACHED)
        assert side == (np.sign(moves[slow[0]]) if slow else 0)


def test_a_zone_that_holds_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="mass_frac"):
        ZoneConfig(mass_frac=0.0)
