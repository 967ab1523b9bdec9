"""Tables in memory are read like the lake of the same captures."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from liqlab.core.errors import UserError
from liqlab.core.time import MS_PER_HOUR
from liqlab.lake import FrameLake, Lake, ingest
from liqlab.panel import find_scope, walk_days
from liqlab.worlds import DEFAULT_START_MS, load_world, simulate, simulate_tables

SYMBOLS = ("BTCUSDT", "SOLUSDT")
HOURS = 30


@pytest.fixture(scope="module")
def frames() -> FrameLake:
    end_ms = DEFAULT_START_MS + HOURS * MS_PER_HOUR
    tables = simulate_tables(load_world("plan"), SYMBOLS, 5, DEFAULT_START_MS, end_ms)
    return FrameLake(tables.liquidations, tables.ticker, tables.long_short_ratio)


@pytest.fixture(scope="module")
def lake_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frames")
    simulate(folder / "captures", world="plan", days=HOURS / 24, symbols=SYMBOLS, seed=5)
    ingest(folder / "captures", folder / "lake")
    return folder / "lake"


def test_every_reading_equals_that_of_the_lake_of_the_same_captures(frames: FrameLake, lake_path: Path) -> None:
    with Lake(lake_path) as lake:
        assert frames.symbols() == lake.symbols()
        assert frames.span() == lake.span()
        assert frames.span("ticker", "SOLUSDT") == lake.span("ticker", "SOLUSDT")
        for symbol in SYMBOLS:
            assert_frame_equal(
                _without_files(frames.read_liquidations(symbol)), _without_files(lake.read_liquidations(symbol))
            )
            assert_frame_equal(frames.read_long_short_ratio(symbol), lake.read_long_short_ratio(symbol))
            for own, theirs in zip(frames.iterate_ticker(symbol), lake.iterate_ticker(symbol), strict=True):
                assert own[0] == theirs[0]
                assert_frame_equal(_without_files(own[1]), _without_files(theirs[1]))


def test_scope_and_days_do_not_tell_frames_from_a_lake(frames: FrameLake, lake_path: Path) -> None:
    with Lake(lake_path) as lake:
        ours, theirs = find_scope(frames), find_scope(lake)
        assert_frame_equal(ours.coverage, theirs.coverage)
        assert (ours.start_ms, ours.end_ms, ours.symbols) == (theirs.start_ms, theirs.end_ms, theirs.symbols)
        days = [
            list(
                walk_days(
                    source,
                    "BTCUSDT",
                    scope,
                    source.read_liquidations("BTCUSDT"),
                    source.read_long_short_ratio("BTCUSDT"),
                )
            )
            for source, scope in ((frames, ours), (lake, theirs))
        ]
    assert len(days[0]) == len(days[1]) == 2
    for own, other in zip(*days, strict=True):
        assert_frame_equal(own.dataset, other.dataset)
        assert_frame_equal(own.bars["1m"], other.bars["1m"])


def test_an_unknown_symbol_is_an_error_that_lists_the_known_ones(frames: FrameLake) -> None:
    with pytest.raises(UserError, match="BTCUSDT, SOLUSDT"):
        frames.check_symbols(["XYZ"])


def test_a_frame_that_lacks_columns_is_refused(frames: FrameLake) -> None:
    ticker = frames.read_ticker("BTCUSDT")
    with pytest.raises(TypeError, match="mark_price"):
        FrameLake(
            frames.read_liquidations("BTCUSDT"), ticker.drop("mark_price"), frames.read_long_short_ratio("BTCUSDT")
        )


def test_tables_without_a_row_have_no_symbols_and_no_span(frames: FrameLake) -> None:
    empty = FrameLake(
        frames.read_liquidations("none"), frames.read_ticker("none"), frames.read_long_short_ratio("none")
    )
    assert empty.symbols() == []
    assert empty.span() is None
    assert empty.read_deliveries().is_empty()


def _without_files(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.drop("source_file", "source_line")
