"""The parts of the look-ahead audit: captures cut at a moment, tables compared, cuts chosen."""

from __future__ import annotations

import math
import tempfile
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from capture_lines import (
    START_MS,
    frame_line,
    liquidation_item,
    liquidation_line,
    ratio_line,
    rest_line,
    write_capture,
    write_recording,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from liqlab.audit import ChainConfig, Cut, choose_cuts, compare_tables, compute_chain, truncate_captures
from liqlab.core.errors import SourceError, UserError
from liqlab.core.schema import TIME
from liqlab.lake import load_liquidations, load_long_short_ratio, load_ticker
from liqlab.sources import read_lines
from liqlab.worlds import DEFAULT_START_MS, simulate

HOUR_MS = 3_600_000
CUT = Cut(START_MS + 10_000, "chosen")


def cut_lines(folder: Path, name: str, lines: list[str], cut_ms: int, **lags_ms: int) -> list[str]:
    """The lines of one file as they stood at the cut."""
    write_capture(folder / "captures" / name, lines)
    truncate_captures(folder / "captures", cut_ms, folder / "cut", lags_ms)
    return [line.decode() for _, line in read_lines(folder / "cut" / name)]


def liquidation(known_ms: int) -> str:
    return liquidation_line([liquidation_item(known_ms - 300)], known_ms)


@pytest.mark.parametrize("name", ["a.jsonl", "deep/er/a.jsonl.gz", "a.jsonl.zst"])
def test_lines_not_known_yet_become_blank_whatever_the_compression(tmp_path: Path, name: str) -> None:
    lines = [liquidation(START_MS + second * 1_000) for second in range(4)]
    kept = cut_lines(tmp_path, name, lines, START_MS + 1_000)
    assert kept == [lines[0], lines[1], "", ""]
    assert (tmp_path / "cut" / name).read_bytes()[:2] == (tmp_path / "captures" / name).read_bytes()[:2]


def test_a_late_line_goes_and_those_around_it_stay(tmp_path: Path) -> None:
    lines = [liquidation(START_MS), liquidation(START_MS + 9_000), liquidation(START_MS + 1_000)]
    assert cut_lines(tmp_path, "a.jsonl", lines, START_MS + 1_000) == [lines[0], "", lines[2]]


def test_a_line_without_capture_time_is_known_a_second_after_its_event(tmp_path: Path) -> None:
    lines = [ratio_line(START_MS), ratio_line(START_MS + HOUR_MS)]
    assert cut_lines(tmp_path, "a.jsonl", lines, START_MS + 999) == ["", ""]
    assert cut_lines(tmp_path, "a.jsonl", lines, START_MS + 1_000) == [lines[0], ""]


def test_a_published_row_is_there_only_after_its_lag(tmp_path: Path) -> None:
    lines = [ratio_line(START_MS), liquidation(START_MS + 1_000)]
    kept = cut_lines(tmp_path, "a.jsonl", lines, START_MS + HOUR_MS, long_short_ratio=HOUR_MS)
    assert kept == ["", lines[1]]
    kept = cut_lines(tmp_path, "a.jsonl", lines, START_MS + 1_000 + HOUR_MS, long_short_ratio=HOUR_MS)
    assert kept == lines


def test_a_line_goes_while_one_of_its_rows_is_not_known(tmp_path: Path) -> None:
    items = [liquidation_item(START_MS), liquidation_item(START_MS + 400)]
    line = liquidation_line(items, None)
    assert cut_lines(tmp_path, "a.jsonl", [line], START_MS + 1_399) == [""]
    assert cut_lines(tmp_path, "a.jsonl", [line], START_MS + 1_400) == [line]


def test_a_bad_line_stays_with_its_neighbours(tmp_path: Path) -> None:
    lines = ['{"ts":', liquidation(START_MS), "not JSON", liquidation(START_MS + 5_000), "{}"]
    assert cut_lines(tmp_path, "a.jsonl", lines, START_MS) == [*lines[:2], "", "", ""]
    assert cut_lines(tmp_path, "a.jsonl", lines, START_MS - 1) == ["", "", "", "", ""]
    assert cut_lines(tmp_path, "a.jsonl", lines, START_MS + 5_000) == lines


def test_a_repeated_delivery_goes_by_its_own_known_time(tmp_path: Path) -> None:
    item = [liquidation_item(START_MS)]
    lines = [
        liquidation_line(item, START_MS + 300, START_MS + 250),
        liquidation_line(item, START_MS + 9_000, START_MS + 250),
    ]
    assert cut_lines(tmp_path, "a.jsonl", lines, START_MS + 1_000) == [lines[0], ""]


def test_a_file_of_bad_lines_alone_is_empty(tmp_path: Path) -> None:
    write_capture(tmp_path / "captures" / "b.jsonl", [liquidation(START_MS)])
    assert cut_lines(tmp_path, "a.jsonl", ["not JSON", '{"ts":1}'], START_MS + HOUR_MS) == ["", ""]


def test_the_original_is_not_touched(tmp_path: Path) -> None:
    path = write_capture(tmp_path / "captures" / "a.jsonl.gz", [liquidation(START_MS), liquidation(START_MS + 9_000)])
    before = path.read_bytes(), path.stat()
    truncate_captures(tmp_path / "captures", START_MS, tmp_path / "cut")
    assert (path.read_bytes(), path.stat().st_ctime_ns) == (before[0], before[1].st_ctime_ns)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recording")
    write_recording(folder, hours=2)
    return folder


@settings(max_examples=25)
@given(after_ms=st.integers(0, 2 * HOUR_MS + 10_000))
def test_tables_of_cut_captures_are_the_tables_up_to_the_cut(recording: Path, after_ms: int) -> None:
    cut_ms = START_MS + after_ms
    known = pl.col("known_time").to_physical() <= cut_ms
    with tempfile.TemporaryDirectory() as place:
        truncate_captures(recording, cut_ms, Path(place))
        for load in (load_liquidations, load_ticker, load_long_short_ratio):
            assert_frame_equal(load(place), load(recording).filter(known))


def table(**columns: list[object]) -> pl.DataFrame:
    n = len(next(iter(columns.values())))
    times = pl.Series([START_MS + 5_000 * row for row in range(n)]).cast(TIME)
    return pl.DataFrame({"symbol": ["BTCUSDT"] * n, "time": times, **columns})


def wrong(full: pl.DataFrame, at_cut: pl.DataFrame) -> list[tuple[str, str, str]]:
    """Column and both values of every first wrong value."""
    checks = compare_tables({"t": full}, {"t": at_cut}, CUT)
    assert all((check.first is None) == (check.n_wrong == 0) for check in checks)
    return [(check.column, check.first.full, check.first.at_cut) for check in checks if check.first is not None]


@pytest.mark.parametrize("value", [None, math.nan, -0.0, math.inf, 0.1])
def test_a_value_equals_itself(value: float | None) -> None:
    assert wrong(table(x=[1.0, value]), table(x=[1.0, value])) == []


@pytest.mark.parametrize(
    ("ours", "theirs"), [(0.0, -0.0), (None, math.nan), (0.1 + 0.2, 0.3), (None, 0.0), (math.nan, 1.0)]
)
def test_values_that_differ_in_a_bit_are_wrong(ours: float | None, theirs: float | None) -> None:
    ((column, full, at_cut),) = wrong(table(x=[1.0, ours]), table(x=[1.0, theirs]))
    assert column == "x"
    assert full != at_cut


@pytest.mark.parametrize(("ours", "theirs"), [("long", "short"), (True, None), (1, 2)])
def test_texts_flags_and_counts_are_compared_too(ours: object, theirs: object) -> None:
    assert [column for column, *_ in wrong(table(x=[ours, ours]), table(x=[theirs, ours]))] == ["x"]


def test_only_what_was_claimed_at_or_before_the_cut_counts() -> None:
    full, at_cut = table(x=[1.0, 2.0, 3.0, 4.0]), table(x=[1.0, 2.0, 9.0])
    assert wrong(full, at_cut) == [("x", "3.0", "9.0")]
    assert wrong(full, table(x=[1.0, 2.0, 3.0, 9.0, 9.0])) == []


def test_the_first_wrong_value_is_the_earliest() -> None:
    rows = pl.concat([table(x=[1.0, 2.0]).with_columns(symbol=pl.lit("ETHUSDT")), table(x=[1.0, 2.0])])
    others = rows.with_columns(
        x=pl.when((pl.col("symbol") == "ETHUSDT") & (pl.col("x") == 1.0)).then("x").otherwise(7.0)
    )
    (check,) = compare_tables({"t": rows}, {"t": others}, CUT)
    assert check.first is not None
    assert (check.n_values, check.n_wrong) == (4, 3)
    assert (check.first.symbol, check.first.time_ms, check.first.at_cut) == ("BTCUSDT", START_MS, "7.0")


def test_a_row_that_one_side_lacks_is_wrong_and_the_others_are_compared() -> None:
    full = table(x=[1.0, 2.0, 3.0])
    assert wrong(full, full[[0, 2]]) == [("(row)", "a row", "no row")]
    assert wrong(full[[0, 2]], full) == [("(row)", "no row", "a row")]
    assert wrong(full, table(x=[1.0, 2.0, 9.0])[1:]) == [("(row)", "a row", "no row"), ("x", "3.0", "9.0")]


def test_rows_of_one_time_are_numbered_in_their_order() -> None:
    full = pl.concat([table(x=[1.0]), table(x=[2.0]), table(x=[3.0])])
    assert wrong(full, full) == []
    assert wrong(full, full[:2]) == [("(row)", "a row", "no row")]
    assert wrong(full, full[[0, 2, 1]]) == [("x", "2.0", "3.0")]


def test_a_column_a_table_or_a_type_that_changes_is_wrong() -> None:
    full = table(x=[1.0])
    assert wrong(full, full.rename({"x": "y"})) == [("x", "a column", "no column"), ("y", "no column", "a column")]
    assert wrong(full, full.cast({"x": pl.Int64})) == [("x", "Float64", "Int64")]
    checks = compare_tables({"t": full}, {"u": full}, CUT)
    assert [(check.table, check.column, check.n_wrong) for check in checks] == [
        ("t", "(table)", 1),
        ("u", "(table)", 1),
    ]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pl.DataFrame]:
    """The tables of three hours of a simulated market."""
    folder = tmp_path_factory.mktemp("cuts")
    start_ms = DEFAULT_START_MS + 22 * HOUR_MS
    simulate(folder, days=1 / 8, seed=3, symbols=("BTCUSDT", "ETHUSDT"), start_ms=start_ms, dirt=True, workers=1)
    return compute_chain(folder, config=ChainConfig())


def test_as_many_cuts_as_asked_for_in_order_and_the_same_each_time(tables: dict[str, pl.DataFrame]) -> None:
    for n_cuts in (1, 5, 40):
        cuts = choose_cuts(tables, n_cuts, seed=1)
        assert len(cuts) == n_cuts
        assert all(one.time_ms < other.time_ms for one, other in pairwise(cuts))
        assert cuts == choose_cuts(tables, n_cuts, seed=1)
    assert choose_cuts(tables, 40, seed=2) != cuts


def test_cuts_begin_when_the_ticker_interval_is_settled_and_end_before_the_data(
    tables: dict[str, pl.DataFrame],
) -> None:
    times = [cut.time_ms for cut in choose_cuts(tables, 60)]
    by_symbol = [rows["time"].to_physical() for rows in tables["ticker"].partition_by("symbol")]
    assert min(times) >= max(int(rows[999]) for rows in by_symbol)
    assert max(times) < max(int(rows[-1]) for rows in by_symbol)


def test_each_kind_of_cut_lies_where_its_name_says(tables: dict[str, pl.DataFrame]) -> None:
    rows, bars, cascades = tables["liquidations"], tables["bars_5s"], tables["cascades"]
    edges = rows.select(
        edge=pl.col("event_time").to_physical() // 5_000 * 5_000 + 5_000, known=pl.col("time").to_physical()
    )
    seen = set()
    for cut in choose_cuts(tables, 60):
        at = pl.lit(cut.time_ms)
        seen.add(cut.kind)
        if cut.kind == "inside a burst":
            inside = (pl.col("confirmed").to_physical() <= at) & (pl.col("last_known").to_physical() > at)
            assert cascades.filter(inside).height
        elif cut.kind == "a row under way":
            assert edges.filter((pl.col("edge") <= at) & (pl.col("known") > at)).height
        elif cut.kind == "1 ms after an edge":
            after = pl.lit(cut.time_ms - 1 + 5_000)
            assert bars.filter((pl.col("time").to_physical() == after) & (pl.col("liq_count") > 0)).height
        elif cut.kind == "inside a gap":
            near = pl.col("time").to_physical().is_between(at - 5_000, at)
            assert bars.filter(near & ~pl.col("covered")).height
        elif cut.kind == "on a whole minute":
            assert cut.time_ms % 60_000 == 0
        elif cut.kind == "1 ms after midnight":
            assert cut.time_ms % 86_400_000 == 1
    assert {"inside a burst", "a row under way", "1 ms after an edge", "on a whole minute", "anywhere"} < seen
    assert "1 ms after midnight" in seen


def test_no_cut_goes_through_a_line_whose_rows_were_not_known_at_once(tables: dict[str, pl.DataFrame]) -> None:
    slow = tables["liquidations"].with_columns(source_file=pl.lit("one"), source_line=pl.lit(1, pl.Int64))
    whole = tables | {"liquidations": slow}
    assert choose_cuts(whole, 3)[0].time_ms >= slow["time"].to_physical().max()


def test_a_source_that_is_too_short_is_refused_with_the_reason(tmp_path: Path) -> None:
    write_recording(tmp_path, hours=1, symbols=("BTCUSDT",))
    late = liquidation_line([liquidation_item(START_MS + HOUR_MS, symbol="ETHUSDT")], START_MS + 2 * HOUR_MS)
    write_capture(tmp_path / "late.jsonl", [late])
    with pytest.raises(SourceError, match=r"too short .* \(2026-02-09 21:00:00.000; the data end at 2026-02-09 21"):
        choose_cuts(compute_chain(tmp_path), 3)


def test_a_coarse_ticker_is_settled_once_its_interval_is_plain(tmp_path: Path) -> None:
    """Prices every five minutes never make a thousand rows in a day."""
    prices = [rest_line(START_MS + i * 300_000, {"markPrice": f"{65_000 + i}"}) for i in range(60)]
    write_capture(tmp_path / "a.jsonl", [*prices, *(liquidation(START_MS + i * 60_000) for i in range(300))])
    cuts = choose_cuts(compute_chain(tmp_path), 4)
    assert len(cuts) == 4
    assert cuts[0].time_ms < START_MS + 2 * HOUR_MS


def test_no_cut_at_all_is_refused(tables: dict[str, pl.DataFrame]) -> None:
    with pytest.raises(UserError, match="at least one cut, got 0"):
        choose_cuts(tables, 0)


def test_websocket_deltas_are_cut_like_anything_else(tmp_path: Path) -> None:
    lines = [
        frame_line(START_MS, START_MS - 40, "snapshot", {"lastPrice": "65000.5"}),
        frame_line(START_MS + 100, START_MS + 60, "delta", {"lastPrice": "65001.5"}),
    ]
    assert cut_lines(tmp_path, "a.jsonl", lines, START_MS + 99) == [lines[0], ""]
