"""Worlds by name and by file, and the two roads from a world to the tables."""

from __future__ import annotations

from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

from liqlab.core.errors import ConfigError, UserError
from liqlab.core.time import MS_PER_DAY, parse_time
from liqlab.lake import load_liquidations, load_long_short_ratio, load_ticker
from liqlab.worlds import WORLD_NAMES, World, list_dials, load_world, simulate, simulate_tables

START_MS = parse_time("2026-02-09T21:37:11")


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", WORLD_NAMES)
def test_every_named_world_loads_says_what_it_is_and_knows_the_symbols_of_the_plan(name: str) -> None:
    world = load_world(name)
    assert world.name == name
    assert len(world.description) > 20
    assert set(load_world("plan").symbols) <= set(world.symbols)


def test_the_names_are_those_of_the_files() -> None:
    import liqlab.worlds

    folder = Path(liqlab.worlds.__file__).parent / "named"
    assert sorted(path.stem for path in folder.glob("*.toml")) == list(WORLD_NAMES)


def test_in_the_null_world_and_the_random_walk_nothing_follows_from_a_liquidation() -> None:
    for name in ("null", "random-walk"):
        world = load_world(name)
        assert world.book.impact_bps == world.book.follow_frac == world.book.volatility_feedback == 0.0
        assert world.spill.contagion_frac == world.spill.attraction_bps_per_min == 0.0
    assert load_world("random-walk").price.volatility_log_sd == 0.0
    null, plan = load_world("null"), load_world("plan")
    assert (null.price, null.traders, null.symbols) == (plan.price, plan.traders, plan.symbols)


def test_every_dial_is_listed() -> None:
    listed = list_dials(load_world("planted"))
    assert listed["name"] == "planted"
    assert listed["book"]["impact_bps"] == load_world("planted").book.impact_bps
    assert listed["symbols"]["DOGEUSDT"]["price_decimals"] == 5
    assert {"price", "traders", "book", "spill", "funding", "recorder"} < set(listed)


def test_a_file_overrides_dials_of_a_named_world(tmp_path: Path) -> None:
    path = write(
        tmp_path / "mine.toml",
        'base = "null"\n[price]\njumps_per_day = 9\n'
        "[symbols.BTCUSDT]\nlong_frac = 0.25\n[symbols.NEWUSDT]\nholders = 5\n",
    )
    world, null = load_world(path), load_world("null")
    assert world.name == "mine"
    assert world.price.jumps_per_day == 9.0
    assert world.price.volatility_log_sd == null.price.volatility_log_sd
    assert world.book == null.book
    assert world.symbols["BTCUSDT"].long_frac == 0.25
    assert world.symbols["BTCUSDT"].start_price == null.symbols["BTCUSDT"].start_price
    assert world.symbols["NEWUSDT"].holders == 5.0
    assert load_world(str(path)) == world


def test_a_file_without_a_base_starts_from_the_plan(tmp_path: Path) -> None:
    world = load_world(write(tmp_path / "other.toml", "[symbols.ALL]\ngroup_followers = 0.0\n"))
    plan = load_world("plan")
    assert world.book == plan.book
    assert {dials.group_followers for dials in world.symbols.values()} == {0.0}
    assert world.symbols["XRPUSDT"].start_price == plan.symbols["XRPUSDT"].start_price


def test_scales_multiply_what_each_symbol_has(tmp_path: Path) -> None:
    text = "[price]\nvolatility_scale = 0.5\n[traders]\nsize_scale = 3.0\npositions_scale = 2.0\n"
    text += "[book]\ndepth_scale = 4.0\n"
    scaled = load_world(write(tmp_path / "scaled.toml", text)).dials_of("ETHUSDT")
    own = load_world("plan").symbols["ETHUSDT"]
    assert scaled.annual_volatility_frac == 0.5 * own.annual_volatility_frac
    assert scaled.size_median_usd == 3.0 * own.size_median_usd
    assert scaled.positions_per_day == 2.0 * own.positions_per_day
    assert scaled.depth_usd == 4.0 * own.depth_usd


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[book]\nimpact = 1.0\n", r"unknown key 'impact' in \[book\]; allowed: .*impact_bps"),
        ("[books]\nimpact_bps = 1.0\n", "unknown key 'books' in the configuration; allowed: .*book"),
        ("[book]\nimpact_bps = -1.0\n", r"BookDials.impact_bps must lie in \[0, 1000\], got -1"),
        ('[book]\nimpact_bps = "high"\n', "book.impact_bps must be a number, got 'high'"),
        ("[symbols.BTCUSDT]\ntick = 0.1\n", r"unknown key 'tick' in \[symbols.BTCUSDT\]"),
        ("[symbols.ALL]\nlong_frac = 2.0\n", r"SymbolDials.long_frac must lie in \[0, 1\], got 2"),
        ("[symbols]\nBTCUSDT = 3\n", "symbols.BTCUSDT must be a table, got 3"),
        ("symbols = 3\n", "symbols must be a table, got 3"),
        ("book = 3\n", "book must be a table, got 3"),
        ("[book\n", "not valid TOML"),
    ],
)
def test_a_wrong_dial_is_told_with_what_would_be_right(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_world(write(tmp_path / "wrong.toml", text))


def test_an_unknown_world_or_base_is_told_with_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown world 'plna'; available: .*null.*plan"):
        load_world("plna")
    with pytest.raises(UserError, match=r"unknown base world 'plna'; available: .*plan"):
        load_world(write(tmp_path / "wrong.toml", 'base = "plna"\n'))
    with pytest.raises(ConfigError, match="no configuration file at"):
        load_world(tmp_path / "missing.toml")
    with pytest.raises(UserError, match="unknown world"):
        simulate(tmp_path / "out", world="plna", days=0.1)
    assert not (tmp_path / "out").exists()


def test_a_symbol_that_the_world_does_not_name_has_generic_dials() -> None:
    assert World().dials_of("1000PEPEUSDT") == World().dials_of("NEWUSDT")


@pytest.mark.parametrize("name", ["plan", "random-walk"])
def test_both_roads_give_equal_tables(tmp_path: Path, name: str) -> None:
    """Across a midnight, from the middle of a second: what was written and parsed is what came straight."""
    symbols, days = ("DOGEUSDT", "BTCUSDT"), 0.4
    simulate(tmp_path / "out", world=name, days=days, seed=5, symbols=symbols, start_ms=START_MS, workers=1)
    tables = simulate_tables(load_world(name), symbols, 5, START_MS, START_MS + round(days * MS_PER_DAY))
    assert tables.liquidations.height > 200
    assert tables.liquidations["position"].max() > 0
    assert_frame_equal(tables.liquidations, load_liquidations(tmp_path / "out"), check_exact=True)
    assert_frame_equal(tables.ticker, load_ticker(tmp_path / "out"), check_exact=True)
    assert_frame_equal(tables.long_short_ratio, load_long_short_ratio(tmp_path / "out"), check_exact=True)
    assert tables.truth.height == tables.liquidations.height
    assert tables.truth["symbol"].equals(tables.liquidations["symbol"])


def test_a_span_within_an_hour_gives_tables_without_a_ratio() -> None:
    tables = simulate_tables(load_world("plan"), ("BTCUSDT",), 5, START_MS, START_MS + 60_000)
    assert tables.long_short_ratio.height == 0
    assert tables.ticker.height == 12
