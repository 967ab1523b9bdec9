"""What an ingest does to a lake: nothing twice, nothing more than needed, the same whatever the order."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from capture_lines import (
    DAY_MS,
    HOUR_MS,
    START_MS,
    frame_line,
    liquidation_item,
    liquidation_line,
    ratio_line,
    rest_line,
    write_capture,
    write_recording,
)
from polars.testing import assert_frame_equal

from liqlab.core.errors import EnvironmentFailure, LakeDamagedError, SourceError, UserError
from liqlab.lake import (
    IngestSummary,
    Lake,
    ingest,
    is_lake,
    load_liquidations,
    load_long_short_ratio,
    load_quarantine,
    load_ticker,
)

LOADERS = (load_liquidations, load_ticker, load_long_short_ratio, load_quarantine)


def tables(source: Path) -> list[pl.DataFrame]:
    return [load(source) for load in LOADERS]


def check_same(found: Path, expected: Path) -> None:
    for one, other in zip(tables(found), tables(expected), strict=True):
        assert_frame_equal(one, other)


def parquet_files(lake: Path) -> dict[str, int]:
    """Name and modification time of every Parquet file of a lake."""
    return {path.relative_to(lake).as_posix(): path.stat().st_mtime_ns for path in lake.rglob("*.parquet")}


def check_no_strays(lake: Path) -> None:
    with Lake(lake) as opened:
        rows = opened.reconcile()
    assert all(row.holds for row in rows), rows
    quarantine = {entry.quarantine_file for entry in opened.files.values() if entry.quarantine_file}
    others = {name for name in parquet_files(lake) if not name.startswith("quarantine/")}
    assert {name for name in parquet_files(lake) if name.startswith("quarantine/")} == quarantine
    # One Parquet file per table, symbol and day.
    assert len({os.path.dirname(name) for name in others}) == len(others)  # noqa: PTH120
    rest = {path.name for path in lake.rglob("*") if path.is_file() and path.suffix != ".parquet"}
    assert rest == {"manifest.json", ".lock"}


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    write_recording(tmp_path / "data", 8)
    return tmp_path / "data"


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture
def no_parsing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refuse(path: Path, source_file: str) -> None:
        raise AssertionError(f"parsed {source_file} of {path}")

    monkeypatch.setattr("liqlab.lake._ingest.parse_capture", refuse)
    yield
    monkeypatch.undo()


def test_a_lake_holds_what_its_folder_holds(recording: Path, lake: Path) -> None:
    summary = ingest(recording, lake)
    assert summary == IngestSummary(found=34, parsed=34, unchanged=0, replaced=0, kept_without_file=0)
    assert is_lake(lake)
    check_same(lake, recording)
    check_no_strays(lake)
    assert all(table.height for table in tables(lake))


def test_a_selection_from_a_lake_is_that_of_its_folder(recording: Path, lake: Path) -> None:
    ingest(recording, lake)
    whole = load_ticker(lake)
    selections = [(["ETHUSDT", "BTCUSDT"], None, None), (None, START_MS + HOUR_MS, None)]
    selections += [(["BTCUSDT"], START_MS + 90_000, START_MS + 5 * HOUR_MS), (None, None, START_MS)]
    for symbols, start, end in selections:
        for load in LOADERS[:3]:
            found = load(lake, symbols, start, end)  # type: ignore[operator]
            assert_frame_equal(found, load(recording, symbols, start, end))  # type: ignore[operator]
        assert load_ticker(lake, symbols, start, end).height <= whole.height
    assert load_ticker(lake, None, "2026-02-09T20:00", "2026-02-09T21:00").height == 60


def test_a_second_ingest_parses_nothing_and_touches_nothing(
    recording: Path, lake: Path, request: pytest.FixtureRequest
) -> None:
    ingest(recording, lake)
    before, manifest = parquet_files(lake), (lake / "manifest.json").stat().st_mtime_ns
    request.getfixturevalue("no_parsing")
    assert ingest(recording, lake) == IngestSummary(34, 0, 34, 0, 0)
    assert (parquet_files(lake), (lake / "manifest.json").stat().st_mtime_ns) == (before, manifest)


def test_a_file_that_was_touched_but_has_not_changed_is_not_parsed(
    recording: Path, lake: Path, request: pytest.FixtureRequest
) -> None:
    ingest(recording, lake)
    before = parquet_files(lake)
    for path in recording.rglob("*.gz"):
        os.utime(path, ns=(1, 1))
    request.getfixturevalue("no_parsing")
    assert ingest(recording, lake).parsed == 0
    assert parquet_files(lake) == before


def test_a_new_hour_touches_only_its_own_days(recording: Path, lake: Path) -> None:
    ingest(recording, lake)
    before = parquet_files(lake)
    event = START_MS + 6 * HOUR_MS + 7
    line = liquidation_line([liquidation_item(event)], event + 300, event + 200)
    write_capture(recording / "new.jsonl.gz", [line])
    assert ingest(recording, lake) == IngestSummary(35, 1, 34, 0, 0)
    after = parquet_files(lake)
    gone, new = set(before) - set(after), set(after) - set(before)
    assert {os.path.dirname(name) for name in gone | new} == {"liquidations/symbol=BTCUSDT/day=2026-02-10"}  # noqa: PTH120
    assert (len(gone), len(new)) == (1, 1)
    assert {name: before[name] for name in before if name not in gone} == {
        name: after[name] for name in after if name not in new
    }
    check_same(lake, recording)


def test_a_changed_file_replaces_its_rows_also_when_they_move_to_another_day(recording: Path, lake: Path) -> None:
    path = recording / "moving.jsonl"
    lines = [
        [liquidation_line([liquidation_item(START_MS + i)], START_MS + 300 + i, START_MS + 200) for i in range(5)],
        [liquidation_line([liquidation_item(START_MS + 3 * DAY_MS)], START_MS + 3 * DAY_MS, START_MS), "bad"],
        [rest_line(START_MS, {"lastPrice": "1"}, "DOGEUSDT")],
        ["bad", "worse"],
        [],
    ]
    for content in [*lines, *reversed(lines)]:
        write_capture(path, content)
        ingest(recording, lake)
        check_same(lake, recording)
        check_no_strays(lake)


def test_a_file_that_is_gone_stays_in_the_lake(recording: Path, lake: Path) -> None:
    ingest(recording, lake)
    expected = tables(lake)
    for path in sorted(recording.rglob("*.gz"))[:5]:
        path.unlink()
    assert ingest(recording, lake) == IngestSummary(29, 0, 29, 0, 5)
    for one, other in zip(tables(lake), expected, strict=True):
        assert_frame_equal(one, other)


@pytest.mark.parametrize("seed", range(5))
def test_neither_the_order_of_ingest_nor_the_size_of_batches_matters(
    tmp_path: Path, recording: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    generator = random.Random(seed)
    names = sorted(path.relative_to(recording) for path in recording.rglob("*.jsonl.gz"))
    generator.shuffle(names)
    source, lake = tmp_path / "source", tmp_path / "lake"
    monkeypatch.setattr("liqlab.lake._ingest.BATCH_FILES", generator.choice((1, 2, 3, 7, 50)))
    monkeypatch.setattr("liqlab.lake._ingest.BATCH_BYTES", generator.choice((1, 4_000, 1 << 24)))
    monkeypatch.setattr("liqlab.lake._ingest.GROUP_BYTES", generator.choice((1, 2_000, 1 << 20)))
    while names:
        for _ in range(generator.randrange(1, 15)):
            if names:
                name = names.pop()
                (source / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(recording / name, source / name)
        if generator.random() < 0.5:
            victim = generator.choice(sorted(source.rglob("*.jsonl.gz")))
            whole = victim.read_bytes()
            victim.write_bytes(whole[: len(whole) // 2])
            ingest(source, lake)
            victim.write_bytes(whole)
        ingest(source, lake, workers=generator.choice((1, 2, 4)))
    check_same(lake, recording)
    check_no_strays(lake)


def test_a_delivery_that_came_in_another_file_counts_once_whichever_file_comes_first(tmp_path: Path) -> None:
    items = [liquidation_item(START_MS)]
    late = liquidation_line(items, START_MS + 2 * DAY_MS, START_MS + 200)
    early = liquidation_line(items, START_MS + 300, START_MS + 200)
    for first, second in ((late, early), (early, late)):
        source, lake = tmp_path / first[6:20] / "data", tmp_path / first[6:20] / "lake"
        write_capture(source / "first.jsonl", [first])
        ingest(source, lake)
        write_capture(source / "second.jsonl", [second])
        ingest(source, lake)
        table = load_liquidations(lake)
        assert table["known_time"].to_physical().to_list() == [START_MS + 300]
        with Lake(lake) as opened:
            (liquidations, *_) = opened.reconcile()
        assert (liquidations.read, liquidations.kept, liquidations.duplicates) == (2, 1, 1)


def test_a_file_that_mixes_symbols_and_days_line_by_line_is_cut_like_any_other(tmp_path: Path, lake: Path) -> None:
    generator = random.Random(2)
    lines = []
    for _ in range(3_000):
        event, symbol = START_MS + generator.randrange(4 * DAY_MS), generator.choice(("A", "B", "C"))
        price = f"{generator.uniform(1, 9):.6f}"
        lines.append(
            liquidation_line([liquidation_item(event, price=price, symbol=symbol)], event + 300, event, symbol)
        )
    write_capture(tmp_path / "data/a.jsonl", lines)
    ingest(tmp_path / "data", lake)
    check_same(lake, tmp_path / "data")
    check_no_strays(lake)
    assert len(parquet_files(lake)) == 3 * 5


def test_what_was_read_is_kept_quarantined_or_a_duplicate(recording: Path, lake: Path) -> None:
    ingest(recording, lake)
    with Lake(lake) as opened:
        by_stream = {row.stream: row for row in opened.reconcile()}
    assert all(row.holds for row in by_stream.values())
    liquidations = by_stream["liquidation"]
    assert liquidations.kept == load_liquidations(lake).height
    assert min(liquidations.quarantined, liquidations.duplicates, by_stream["unrecognised"].quarantined) > 0
    assert sum(row.quarantined for row in by_stream.values()) == load_quarantine(lake).height
    assert by_stream["ticker"].kept == load_ticker(lake).height


@pytest.mark.parametrize("table", ["liquidations", "ticker", "long_short_ratio", "quarantine"])
def test_reconciliation_fails_when_a_row_is_gone(recording: Path, lake: Path, table: str) -> None:
    ingest(recording, lake)
    path = sorted((lake / table).rglob("*.parquet"))[0]
    pl.read_parquet(path)[1:].write_parquet(path)
    with Lake(lake) as opened:
        assert not all(row.holds for row in opened.reconcile())


def test_reconciliation_fails_when_a_row_is_doubled(recording: Path, lake: Path) -> None:
    ingest(recording, lake)
    path = sorted((lake / "ticker").rglob("*.parquet"))[0]
    rows = pl.read_parquet(path)
    pl.concat([rows, rows[:1]]).write_parquet(path)
    with Lake(lake) as opened:
        assert not all(row.holds for row in opened.reconcile())


def test_nothing_is_written_into_the_source(recording: Path, lake: Path) -> None:
    for path in [recording, *recording.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = {path: path.stat().st_mtime_ns for path in [recording, *recording.rglob("*")]}
    try:
        ingest(recording, lake)
        load_liquidations(recording)
        assert {path: path.stat().st_mtime_ns for path in [recording, *recording.rglob("*")]} == before
    finally:
        for path in [recording, *recording.rglob("*")]:
            path.chmod(0o755)


def test_hours_that_are_missing_and_symbols_without_ticker_are_no_obstacle(tmp_path: Path, lake: Path) -> None:
    lines = [liquidation_line([liquidation_item(START_MS)], START_MS + 300, START_MS)]
    write_capture(tmp_path / "data/a.jsonl", lines)
    later = START_MS + 9 * HOUR_MS
    write_capture(tmp_path / "data/b.jsonl", [frame_line(later, later, "delta", {"lastPrice": "1"}, "ETHUSDT")])
    ingest(tmp_path / "data", lake)
    with Lake(lake) as opened:
        assert opened.symbols("liquidations") == ["BTCUSDT"]
        assert opened.symbols("ticker") == ["ETHUSDT"]
        assert opened.symbols() == ["BTCUSDT", "ETHUSDT"]
        assert opened.read_ticker("BTCUSDT").height == opened.read_liquidations("ETHUSDT").height == 0
        assert opened.span() == (START_MS + 300, later)
        assert opened.read_deliveries().rows() == [
            ("BTCUSDT", "liquidation", "bybit", START_MS + 300, START_MS + 300),
            ("ETHUSDT", "ticker", "bybit", later, later),
        ]
    assert load_long_short_ratio(lake).height == 0


def test_a_span_of_the_ticker_carries_what_came_before_it(tmp_path: Path, lake: Path) -> None:
    midnight = START_MS + 5 * HOUR_MS
    start = midnight - 30_000
    lines = [frame_line(start, start, "snapshot", {"lastPrice": "5"})]
    lines += [frame_line(start + i * 1_000, start + i * 1_000, "delta", {"bid1Price": str(i)}) for i in range(1, 90)]
    write_capture(tmp_path / "data/a.jsonl", lines)
    ingest(tmp_path / "data", lake)
    whole = load_ticker(lake)
    assert whole["last_price"].to_list() == [5.0] * 90
    with Lake(lake) as opened:
        days = list(opened.iterate_ticker("BTCUSDT"))
    assert [day for day, _ in days] == [midnight - DAY_MS, midnight]
    assert_frame_equal(pl.concat([rows for _, rows in days]), whole)
    for cut in (start, start + 5_000, midnight, midnight + 40_000):
        after = whole.filter(pl.col("known_time").to_physical() >= cut)
        assert_frame_equal(load_ticker(lake, start=cut), after)


def test_unknown_symbols_are_refused_with_those_there_are(recording: Path, lake: Path) -> None:
    ingest(recording, lake)
    for source in (recording, lake):
        with pytest.raises(UserError, match="unknown symbol 'XRPUSDT'; available: BTCUSDT, ETHUSDT"):
            load_liquidations(source, ["XRPUSDT"])


# What is refused.


def test_a_source_that_cannot_be_one_is_refused_with_what_was_found(tmp_path: Path, lake: Path) -> None:
    empty, other, file = tmp_path / "empty", tmp_path / "other", tmp_path / "a.jsonl"
    empty.mkdir()
    (other / "deep").mkdir(parents=True)
    (other / "deep" / "notes.txt").write_text("hello")
    write_capture(file, [ratio_line(START_MS)])
    messages = {tmp_path / "none": "no folder", empty: "no capture file below", other: "no capture file below"}
    for source, message in (messages | {file: "is a file; give the folder"}).items():
        for read in (lambda s: ingest(s, lake), load_liquidations, load_quarantine):
            with pytest.raises(SourceError, match=message):
                read(source)
    assert not lake.exists()


def test_a_source_without_one_valid_row_is_refused_and_says_how_much_is_bad(tmp_path: Path, lake: Path) -> None:
    write_capture(tmp_path / "data/a.jsonl", ["bad", "", "{}"])
    write_capture(tmp_path / "data/b.jsonl.gz", [])
    with pytest.raises(SourceError, match=r"not one valid row below .*: 2 files, 2 records quarantined"):
        ingest(tmp_path / "data", lake)
    assert load_quarantine(lake).height == 2


def test_a_folder_that_is_not_a_lake_is_left_alone(recording: Path, lake: Path) -> None:
    lake.mkdir()
    (lake / "thesis.txt").write_text("dear diary")
    (lake / "manifest.json").write_text('{"name": "an app"}')
    with pytest.raises(UserError, match="is not empty and not a lake; choose another --lake"):
        ingest(recording, lake)
    assert sorted(path.name for path in lake.iterdir()) == ["manifest.json", "thesis.txt"]
    with pytest.raises(UserError, match="is a file, not a folder"):
        ingest(recording, lake / "thesis.txt")
    with pytest.raises(UserError, match="is a file, not a folder"):
        ingest(recording, lake / "thesis.txt" / "lake")


def test_a_folder_without_a_manifest_does_not_open_as_a_lake(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match="is not a lake: it has no manifest"):
            Lake(folder)


@pytest.mark.parametrize("damage", ["cut", "junk"])
def test_a_damaged_manifest_is_a_clear_error(recording: Path, lake: Path, damage: str) -> None:
    ingest(recording, lake)
    path = lake / "manifest.json"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if damage == "cut" else whole[:300] + b"\xff" * 50 + whole[350:])
    for use in (lambda: Lake(lake), lambda: ingest(recording, lake), lambda: load_liquidations(lake)):
        with pytest.raises(LakeDamagedError, match=r"manifest\.json is damaged .*; delete the lake and ingest again"):
            use()


def test_a_lake_of_another_schema_version_is_a_clear_error(recording: Path, lake: Path) -> None:
    ingest(recording, lake)
    path = lake / "manifest.json"
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 999'))
    with pytest.raises(UserError, match=r"has schema version 999, .* delete the lake and ingest again"):
        Lake(lake)


@pytest.mark.parametrize("damage", ["cut", "junk", "empty", "gone"])
@pytest.mark.parametrize("table", ["liquidations", "ticker"])
def test_a_damaged_parquet_file_is_a_clear_error_that_names_it(
    recording: Path, lake: Path, damage: str, table: str
) -> None:
    ingest(recording, lake)
    for path in (lake / table).rglob("*.parquet"):
        whole = path.read_bytes()
        contents = {"cut": whole[: len(whole) // 2], "junk": b"\x00junk" * 100, "empty": b""}
        if damage == "gone":
            path.unlink()
        else:
            path.write_bytes(contents[damage])
    load = load_liquidations if table == "liquidations" else load_ticker
    with pytest.raises(LakeDamagedError, match=rf"cannot read .*{table}/symbol=BTCUSDT/day=.*delete the lake"):
        load(lake)


def test_a_file_that_cannot_be_read_is_named(recording: Path, lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("liqlab.lake._ingest.hash_file", refuse)
    with pytest.raises(EnvironmentFailure, match=r"cannot read .*BTCUSDT.*jsonl\.gz: Permission denied"):
        ingest(recording, lake)
    monkeypatch.undo()
    ingest(recording, lake)
    check_same(lake, recording)


def test_a_folder_that_cannot_be_listed_is_named(recording: Path, lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> list[Path]:
        raise PermissionError(13, "Permission denied", str(folder / "BTCUSDT"))

    monkeypatch.setattr("liqlab.lake._ingest.find_captures", refuse)
    with pytest.raises(EnvironmentFailure, match=r"cannot read .*BTCUSDT: Permission denied"):
        ingest(recording, lake)
