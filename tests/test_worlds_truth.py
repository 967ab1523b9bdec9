"""The truth beside the captures: forests of causes, what was captured, prices without impact, dials."""

from __future__ import annotations

import json
import shutil
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pyarrow import parquet

from liqlab.core.errors import EnvironmentFailure, UserError
from liqlab.core.time import MS_PER_DAY, MS_PER_HOUR
from liqlab.lake import Lake, ingest
from liqlab.worlds import (
    DEFAULT_START_MS,
    TRUTH_CASCADES,
    TRUTH_LIQUIDATIONS,
    TRUTH_PATH,
    WORLD_NAMES,
    SimulationSummary,
    Truth,
    World,
    collect_truth,
    compute_free_paths,
    load_truth,
    load_world,
    render_world,
    simulate,
    simulate_tables,
)

SYMBOLS = ("BTCUSDT", "ETHUSDT")
IDENTITY = ["symbol", "event_time", "liquidated_side", "quantity", "price"]


def contagious() -> World:
    plan = load_world("plan")
    return replace(plan, book=replace(plan.book, impact_bps=6.0), spill=replace(plan.spill, contagion_frac=1.0))


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SimulationSummary]:
    output = tmp_path_factory.mktemp("truth") / "captures"
    return output, simulate(output, world=contagious(), days=1.5, seed=5, symbols=SYMBOLS, dirt=True, workers=1)


@pytest.fixture(scope="module")
def truth(simulated: tuple[Path, SimulationSummary]) -> Truth:
    return load_truth(simulated[0])


def parents(liquidations: pl.DataFrame) -> dict[tuple[str, int], tuple[str, int] | None]:
    rows = liquidations.select("symbol", "number", "cause_symbol", "cause").iter_rows()
    return {(symbol, number): None if cause is None else (place, cause) for symbol, number, place, cause in rows}


def test_every_cause_is_a_liquidation_that_came_before(truth: Truth) -> None:
    time = {(s, n): t for s, n, t in truth.liquidations.select("symbol", "number", "event_time").iter_rows()}
    of = parents(truth.liquidations)
    assert sum(parent is not None and parent[0] != child[0] for child, parent in of.items()) > 0
    for child, parent in of.items():
        if parent is not None:
            assert time[parent] <= time[child]
            assert parent[0] != child[0] or parent[1] < child[1]


def test_following_causes_always_ends_at_the_root_that_is_written_down(truth: Truth) -> None:
    of = parents(truth.liquidations)
    for symbol, number, root_symbol, root in truth.liquidations.select(
        "symbol", "number", "root_symbol", "root"
    ).iter_rows():
        node, steps = (symbol, number), 0
        while (above := of[node]) is not None:
            node, steps = above, steps + 1
            assert steps < len(of)
        assert node == (root_symbol, root)


def test_numbers_count_each_symbols_liquidations_and_rows_stand_by_time(truth: Truth) -> None:
    assert truth.liquidations["event_time"].is_sorted()
    for (_,), rows in truth.liquidations.partition_by("symbol", as_dict=True).items():
        assert rows["number"].to_list() == list(range(rows.height))


def test_the_trees_are_those_of_the_liquidations(simulated: tuple[Path, SimulationSummary], truth: Truth) -> None:
    trees: dict[tuple[str, str, int], list[dict[str, object]]] = defaultdict(list)
    for row in truth.liquidations.iter_rows(named=True):
        trees[row["symbol"], row["root_symbol"], row["root"]].append(row)
    expected = {
        key: (
            len(rows),
            pytest.approx(sum(row["notional_usd"] for row in rows)),
            min(row["event_time"] for row in rows),
            max(row["event_time"] for row in rows),
        )
        for key, rows in trees.items()
        if len(rows) >= 2
    }
    written = pl.read_parquet(simulated[0] / "truth" / "cascades.parquet")
    assert written.schema == TRUTH_CASCADES.dtypes
    found = {row[:3]: row[3:7] for row in written.iter_rows()}
    assert len(found) == written.height
    assert found == expected
    for row in written.iter_rows(named=True):
        by_side: Counter[str] = Counter()
        for member in trees[row["symbol"], row["root_symbol"], row["root"]]:
            by_side[str(member["liquidated_side"])] += float(str(member["notional_usd"]))
        assert row["dominant_side"] == ("long" if by_side["long"] >= by_side["short"] else "short")


def test_what_is_captured_is_what_a_reader_finds(
    simulated: tuple[Path, SimulationSummary], truth: Truth, tmp_path: Path
) -> None:
    output, summary = simulated
    assert summary.dirt.lost_liquidations > 0
    ingest(output, tmp_path / "lake")
    with Lake(tmp_path / "lake") as lake:
        read = pl.concat([lake.read_liquidations(symbol) for symbol in SYMBOLS])
    captured = truth.liquidations.filter("captured")
    assert_frame_equal(read.select(IDENTITY), captured.select(IDENTITY), check_row_order=False)
    assert captured.height == summary.liquidations
    assert truth.liquidations.height == summary.liquidations + summary.dirt.lost_liquidations


def test_without_dirt_everything_in_the_span_is_captured(tmp_path: Path) -> None:
    start_ms = DEFAULT_START_MS + 15 * MS_PER_HOUR
    simulate(tmp_path / "clean", days=0.25, seed=3, symbols=["BTCUSDT"], start_ms=start_ms, workers=1)
    rows = load_truth(tmp_path / "clean").liquidations
    known_ms = rows["known_time"].to_physical()
    assert 0 < rows.filter("captured").height < rows.height
    assert_frame_equal(rows.filter("captured"), rows.filter(known_ms >= start_ms))
    path = pl.read_parquet(tmp_path / "clean" / "truth" / "paths" / "BTCUSDT.parquet")
    assert (path.height, path["time"].to_physical()[0]) == (0.25 * MS_PER_DAY / 5_000, start_ms)


def test_the_branching_ratio_is_the_share_that_another_liquidation_triggered(truth: Truth) -> None:
    rows = truth.liquidations
    ratios = truth.manifest["branching_ratio"]
    assert set(ratios) == {*SYMBOLS, "ALL"}
    assert ratios["ALL"] == pytest.approx(rows["cause"].is_not_null().mean())
    for symbol in SYMBOLS:
        share = rows.filter(pl.col("symbol") == symbol)["cause"].is_not_null().mean()
        assert ratios[symbol] == pytest.approx(share)
        assert 0.0 < ratios[symbol] < 1.0


def test_the_price_leaves_the_undisturbed_path_only_after_liquidations(
    simulated: tuple[Path, SimulationSummary], truth: Truth
) -> None:
    path = pl.read_parquet(simulated[0] / "truth" / "paths" / "BTCUSDT.parquet")
    assert path.schema == TRUTH_PATH.dtypes
    assert set(path["regime"]) <= {"quiet", "volatile"}
    first = truth.liquidations["event_time"].min()
    before = path.filter(pl.col("time") < pl.lit(first))
    assert before.height > 0
    # Attraction drifts a little without any liquidation.
    np.testing.assert_allclose(before["price"], before["free_price"], rtol=1e-3)
    impact = np.abs(np.log(path["price"].to_numpy()[-1] / path["free_price"].to_numpy()[-1]))
    assert impact > 1e-4


def test_the_twin_is_the_undisturbed_path_of_the_truth(simulated: tuple[Path, SimulationSummary]) -> None:
    end_ms = DEFAULT_START_MS + 3 * MS_PER_DAY // 2
    twin = compute_free_paths(contagious(), SYMBOLS, 5, DEFAULT_START_MS, end_ms)
    for symbol in SYMBOLS:
        path = pl.read_parquet(simulated[0] / "truth" / "paths" / f"{symbol}.parquet")
        assert_frame_equal(
            twin.filter(pl.col("symbol") == symbol).drop("symbol"), path.select("time", "free_price"), check_exact=True
        )


def test_without_impact_nothing_is_triggered_and_the_price_is_the_undisturbed_path(tmp_path: Path) -> None:
    simulate(tmp_path / "null", world="null", days=1, seed=2, symbols=["BTCUSDT"], workers=1)
    truth = load_truth(tmp_path / "null")
    assert truth.liquidations.height > 100
    assert truth.manifest["branching_ratio"]["ALL"] == 0.0
    assert pl.read_parquet(tmp_path / "null" / "truth" / "cascades.parquet").is_empty()
    path = pl.read_parquet(tmp_path / "null" / "truth" / "paths" / "BTCUSDT.parquet")
    np.testing.assert_allclose(path["price"], path["free_price"], rtol=1e-12)


def test_a_table_in_memory_has_the_same_causes(tmp_path: Path) -> None:
    simulate(tmp_path / "files", world=contagious(), days=1, seed=8, symbols=SYMBOLS, workers=1)
    end_ms = DEFAULT_START_MS + MS_PER_DAY
    tables = simulate_tables(contagious(), SYMBOLS, 8, DEFAULT_START_MS, end_ms)
    written, collected = load_truth(tmp_path / "files"), collect_truth(tables, contagious(), 8)
    assert_frame_equal(collected.liquidations, written.liquidations)
    assert collected.manifest.items() <= written.manifest.items()


def test_the_truth_is_the_same_to_the_byte_on_any_number_of_workers(tmp_path: Path) -> None:
    content = []
    for name, workers in (("one", 1), ("two", 2)):
        simulate(tmp_path / name, world=contagious(), days=1.5, seed=4, symbols=SYMBOLS, workers=workers)
        folder = tmp_path / name / "truth"
        content.append({path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")})
    assert content[0] == content[1]
    assert sorted(str(path) for path in content[0]) == [
        "cascades.parquet",
        "liquidations.parquet",
        "manifest.json",
        "paths/BTCUSDT.parquet",
        "paths/ETHUSDT.parquet",
        "world.toml",
    ]


def test_the_form_of_the_ticker_does_not_change_the_truth(tmp_path: Path) -> None:
    for ticker in ("rest", "websocket"):
        simulate(tmp_path / ticker, days=0.1, seed=4, symbols=["BTCUSDT"], ticker=ticker, workers=1)  # type: ignore[arg-type]
    for name in ("liquidations", "cascades", "paths/BTCUSDT"):
        rest, frames = (
            pl.read_parquet(tmp_path / form / "truth" / f"{name}.parquet") for form in ("rest", "websocket")
        )
        assert_frame_equal(rest, frames)


@pytest.mark.parametrize("name", WORLD_NAMES)
def test_the_dials_can_be_loaded_again(name: str, tmp_path: Path) -> None:
    world = load_world(name)
    (tmp_path / "w.toml").write_text(render_world(world), encoding="utf-8")
    assert load_world(tmp_path / "w.toml") == world


def test_a_world_without_named_symbols_can_be_loaded_again(tmp_path: Path) -> None:
    world = World("mine", 'with "quotes" and \\ signs')
    (tmp_path / "w.toml").write_text(render_world(world), encoding="utf-8")
    assert load_world(tmp_path / "w.toml") == world


def test_a_failed_simulation_leaves_no_half_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise EnvironmentFailure("no room")

    monkeypatch.setattr("liqlab.worlds._simulate._write_day", refuse)
    with pytest.raises(EnvironmentFailure):
        simulate(tmp_path / "out", days=0.1, seed=4, symbols=["BTCUSDT"], workers=1)
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


def test_a_disk_that_is_full_at_the_end_is_told_and_leaves_no_truth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = parquet.ParquetWriter.close

    def refuse(writer: parquet.ParquetWriter) -> None:
        close(writer)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parquet.ParquetWriter, "close", refuse)
    with pytest.raises(EnvironmentFailure, match=r"cannot write .*truth.*No space left.*make room"):
        simulate(tmp_path / "out", days=0.01, seed=4, symbols=["BTCUSDT"], workers=1)
    assert [path for path in (tmp_path / "out" / "truth").rglob("*") if path.is_file()] == []


def test_a_folder_without_truth_is_told_with_what_to_name(
    simulated: tuple[Path, SimulationSummary], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"no truth in .*; name the folder that `liqlab simulate` wrote into"):
        load_truth(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({"format": "another"}), encoding="utf-8")
    with pytest.raises(UserError, match="no truth in"):
        load_truth(tmp_path)
    shutil.copytree(simulated[0] / "truth", tmp_path / "truth")
    assert load_truth(tmp_path / "truth").liquidations.schema == TRUTH_LIQUIDATIONS.dtypes
    (tmp_path / "truth" / "liquidations.parquet").write_bytes(b"junk")
    with pytest.raises(UserError, match=r"cannot read .*liquidations\.parquet"):
        load_truth(tmp_path)
