"""The results folder: what a run writes, whose folder it writes into, and what it leaves of earlier runs."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from small_market import QUICK, SYMBOLS, Market, study_lake

from liqlab import __version__
from liqlab.core.errors import EnvironmentFailure, ResultsError
from liqlab.core.progress import Progress
from liqlab.lake import compute_data_hash, ingest
from liqlab.report import (
    FINDINGS,
    ReportFigure,
    build_manifest,
    describe_origin,
    is_results,
    list_figures,
    prepare_results,
    render_study_statistics,
    write_report,
)
from liqlab.study import ALL, RESULT_TABLES, StageRecord, Study

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def study(market: Market) -> Study:
    """A study whose tables were not kept."""
    return replace(market.study, tables=None)


@pytest.fixture(scope="module")
def alone(market: Market) -> Study:
    """A study of the first symbol."""
    return study_lake(market.lake, symbols=SYMBOLS[:1], **QUICK)


@pytest.fixture(scope="module")
def results(market: Market, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder of both symbols, written once."""
    folder = tmp_path_factory.mktemp("results") / "results"
    prepare_results(folder)
    shutil.copytree(market.tables, folder / "tables")
    both = replace(market.study, tables=folder / "tables")
    write_report(both, folder, "liqlab run captures -o results", stages=[StageRecord("ingest", 2.0, 150.0)])
    return folder


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Figures are files without a picture: drawing takes seconds."""

    def draw(_: Study, folder: Path, figures: Sequence[ReportFigure], progress: Progress) -> None:
        for figure in figures:
            (folder / figure.file).write_bytes(PNG)
            progress.advance()

    monkeypatch.setattr("liqlab.report._write._draw", draw)
    return monkeypatch


def manifest_of(folder: Path) -> dict[str, Any]:
    found = json.loads((folder / "manifest.json").read_text())
    assert isinstance(found, dict)
    return found


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_run_writes_the_deliverables_under_their_names(results: Path) -> None:
    assert {name for name in files_of(results) if not name.startswith("tables/")} == {
        FINDINGS,
        "liquidations_stats_BTCUSDT.txt",
        "liquidations_stats_ETHUSDT.txt",
        "liquidations_stats_ALL.txt",
        "liquidations_ic_BTCUSDT.txt",
        "liquidations_ic_ETHUSDT.txt",
        "liquidations_ic_ALL.txt",
        "liquidations_features.txt",
        "liquidations_rate.png",
        "liquidations_sizes.png",
        "liquidations_hours.png",
        "liquidations_heatmap_BTCUSDT.png",
        "liquidations_heatmap_ETHUSDT.png",
        "liquidations_cascade_examples.png",
        "liquidations_regimes.png",
        "liquidations_ic_heatmap.png",
        "liquidations_ic_decay.png",
        "liquidations_walk_forward.png",
        "liquidations_importance.png",
        "liquidations_verdicts.png",
        "liquidations_event_study.png",
        "liquidations_lead_lag.png",
        "liquidations_zone_scorecard.png",
        "liquidations_contagion.png",
        "liquidations_backtest_equity.png",
        "liquidations_backtest_chance.png",
        "liquidations_backtest_trades.png",
        "liquidations_backtest_BTCUSDT.txt",
        "liquidations_backtest_ETHUSDT.txt",
        "liquidations_backtest_ALL.txt",
        "verdicts.json",
        "scorecard.json",
        "manifest.json",
    }
    assert {path.stem for path in (results / "tables").glob("*.parquet")} == {table.name for table in RESULT_TABLES}
    for path in results.glob("*.png"):
        assert path.read_bytes().startswith(PNG)
        assert path.stat().st_size > 10_000


def test_the_manifest_names_every_file_but_itself_and_what_is_kept_for_the_next_run(results: Path) -> None:
    hidden = {name for name in files_of(results) if Path(name).name.startswith(".") or "/trials/" in name}
    assert {name for name in hidden if "/trials/" not in name} <= {"tables/.prediction.json"}
    assert set(manifest_of(results)["outputs"]) == files_of(results) - hidden - {"manifest.json"}


def test_the_findings_embed_every_figure_and_link_to_files_that_exist(results: Path) -> None:
    links = re.findall(r"(!?)\[[^\]]*\]\(([^)]+)\)", (results / FINDINGS).read_text())
    assert {name for mark, name in links if mark} == {path.name for path in results.glob("*.png")}
    named = {name for mark, name in links if not mark}
    assert {"liquidations_features.txt", "liquidations_ic_ALL.txt"} <= named <= files_of(results)


def test_the_manifest_holds_what_it_takes_to_repeat_the_run(results: Path, study: Study) -> None:
    manifest = manifest_of(results)
    assert manifest["format"] == "liqlab-results"
    assert manifest["status"] == "complete"
    assert manifest["command"] == "liqlab run captures -o results"
    config = study.config
    assert manifest["seed"] == {
        "regimes": config.regimes.seed,
        "ic": config.ic.seed,
        "walk_forward": config.walk_forward.seed,
        "questions": config.questions.seed,
        "backtest": config.backtest.seed,
    }
    assert manifest["config"] == json.loads(json.dumps(study.config.as_dict()))
    assert manifest["row_counts"] == dict(study.table_rows)
    assert manifest["time_span"]["start_ms"] == study.start_ms
    assert manifest["time_span"]["end_ms"] == study.end_ms
    assert manifest["coverage"][ALL]["covered_hours"] == study.statistics[ALL].covered_hours
    assert manifest["versions"]["liqlab"] == __version__
    assert {"python", "polars", "numpy", "numba", "scikit-learn", "xgboost-cpu"} <= set(manifest["versions"])
    assert "not installed" not in manifest["versions"].values()


def test_the_manifest_counts_every_configuration_that_was_tried(results: Path, study: Study) -> None:
    trials = pl.read_parquet(results / "tables" / "walk_forward_trials.parquet")
    assert (
        manifest_of(results)["number_of_trials"]["walk_forward"]
        == trials.height
        == study.walk_forward.trials.height
        > 0
    )
    configurations = trials.select("target", "horizon_s", "split", "fold", "model", "parameters")
    assert not configurations.is_duplicated().any()
    assert trials["chosen"].sum() < trials.height


def test_the_manifest_says_what_is_not_testable_and_why(results: Path, study: Study) -> None:
    rows = manifest_of(results)["not_testable"]
    assert [(row["what"], row["reason"]) for row in rows] == [(row.what, row.reason) for row in study.not_testable]
    assert rows


def test_each_text_of_the_predictive_analysis_is_of_its_own_symbol(results: Path, study: Study) -> None:
    for name in (*SYMBOLS, ALL):
        text = (results / f"liquidations_ic_{name}.txt").read_text()
        others = set(SYMBOLS) - {name}
        assert name in text.split("\n\n")[0]
        assert not any(other in text.split("\n\n")[0] for other in others)
        assert max(map(len, text.splitlines())) <= 100
    dictionary = (results / "liquidations_features.txt").read_text()
    for feature in study.feature_dictionary["feature"]:
        assert f"\n{feature}\n" in dictionary


def test_the_manifest_counts_every_record(results: Path, study: Study) -> None:
    manifest = manifest_of(results)
    for row, expected in zip(manifest["reconciliation"], study.reconciliation, strict=True):
        assert row["holds"] is True
        assert row["read"] == row["kept"] + row["quarantined"] + row["duplicates"] == expected.read
    assert manifest["quarantined"] == study.quarantine.height > 0
    assert manifest["duplicates"] > 0
    assert sum(sum(file["read"].values()) for file in manifest["input_files"]) == sum(
        r.read for r in study.reconciliation
    )


def test_the_manifest_lists_each_input_file_with_its_hash(results: Path, study: Study) -> None:
    files = {file["file"]: file for file in manifest_of(results)["input_files"]}
    assert set(files) == set(study.files)
    for source in study.sources:
        for name, file in files.items():
            content = (Path(source) / name).read_bytes()
            assert file["sha256"] == hashlib.sha256(content).hexdigest()
            assert file["bytes"] == len(content)


def test_stages_before_of_and_after_the_study_are_timed_in_order(results: Path, study: Study) -> None:
    stages = manifest_of(results)["stages"]
    names = [stage["name"] for stage in stages]
    assert names == ["ingest", *(stage.name for stage in study.stages), "figures"]
    assert manifest_of(results)["wall_time_s"] == pytest.approx(sum(stage["seconds"] for stage in stages))
    assert manifest_of(results)["peak_memory_mb"] == max(stage["peak_memory_mb"] for stage in stages)


def test_the_data_hash_depends_on_names_and_contents_alone(study: Study) -> None:
    files = dict(study.files)
    name, entry = next(iter(files.items()))
    whole = compute_data_hash(files)
    assert compute_data_hash(dict(reversed(files.items()))) == whole
    assert compute_data_hash({**files, name: replace_struct(entry, stamp=(0, 0, 0))}) == whole
    assert compute_data_hash({**files, name: replace_struct(entry, sha256="0" * 64)}) != whole
    assert compute_data_hash({key: value for key, value in files.items() if key != name}) != whole
    assert build_manifest(study)["data_hash"] == whole
    assert whole[:12] in describe_origin(study)


def replace_struct(entry: Any, **changes: Any) -> Any:
    import msgspec

    return msgspec.structs.replace(entry, **changes)


def test_the_origin_names_the_data_without_its_place_on_the_machine(study: Study) -> None:
    moved = replace(study, sources=("/somewhere/on/this/machine/captures",))
    assert "Data: captures (" in describe_origin(moved)
    assert "somewhere" not in describe_origin(moved)


def test_the_statistics_of_all_begin_with_every_symbol(study: Study) -> None:
    texts = render_study_statistics(study)
    assert list(texts) == [f"liquidations_stats_{name}.txt" for name in (*SYMBOLS, ALL)]
    assert "symbol by symbol" in texts["liquidations_stats_ALL.txt"]
    assert "symbol by symbol" not in texts["liquidations_stats_BTCUSDT.txt"]
    for text in texts.values():
        assert max(map(len, text.splitlines())) <= 100
        assert f"liqlab {__version__}" in text


@pytest.mark.parametrize("kind", ["absent", "empty", "only_a_lake", "left_over"])
def test_a_folder_that_holds_nothing_of_others_is_taken(kind: str, market: Market, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "results"
    if kind != "absent":
        folder.mkdir(parents=True)
    if kind == "only_a_lake":
        ingest(market.captures, folder / "lake", workers=1)
    if kind == "left_over":
        (folder / ".manifest.json.123.tmp").write_text("{")
    prepare_results(folder)
    assert is_results(folder)
    assert manifest_of(folder) == {"format": "liqlab-results", "status": "running", "outputs": []}


def test_an_interrupted_run_is_recognised_and_taken_up(tmp_path: Path) -> None:
    prepare_results(tmp_path / "results")
    (tmp_path / "results" / "liquidations_rate.png").write_bytes(PNG)
    prepare_results(tmp_path / "results")
    assert is_results(tmp_path / "results")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("thesis.docx", "years of work"),
        ("manifest.json", '{"format": "something-else"}'),
        ("manifest.json", "not json"),
        ("manifest.json", "[1, 2]"),
        (".hidden", "x"),
        ("lake", "a file, not a lake"),
    ],
)
def test_a_folder_of_somebody_else_is_refused_and_left_alone(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ResultsError, match="choose another -o") as caught:
        prepare_results(tmp_path)
    assert caught.value.exit_code == 2
    assert name in str(caught.value)
    assert files_of(tmp_path) == {name}
    assert (tmp_path / name).read_text() == content
    assert not is_results(tmp_path)


def test_a_lake_is_not_taken_for_results(market: Market) -> None:
    lake = market.lake
    before = (lake / "manifest.json").read_bytes()
    with pytest.raises(ResultsError, match="is a lake"):
        prepare_results(lake)
    assert (lake / "manifest.json").read_bytes() == before


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    for folder in (tmp_path / "results", tmp_path / "results" / "below"):
        with pytest.raises(ResultsError, match="is a file, not a folder"):
            prepare_results(folder)
    assert (tmp_path / "results").read_text() == "a file"


def test_a_parent_that_cannot_be_written_is_a_failure_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(EnvironmentFailure, match="Permission denied") as caught:
        prepare_results(tmp_path / "results")
    assert caught.value.exit_code == 1


def test_a_full_disk_is_a_clear_error_and_leaves_the_run_unfinished(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device", "liquidations_rate.png")

    prepare_results(tmp_path)
    monkeypatch.setattr("liqlab.report._write.save_figure", refuse)
    with pytest.raises(EnvironmentFailure, match=r"liquidations_rate\.png: No space left on device"):
        write_report(study, tmp_path)
    assert manifest_of(tmp_path)["status"] == "running"


@pytest.mark.usefixtures("undrawn")
def test_files_of_an_earlier_run_of_other_symbols_do_not_linger(study: Study, alone: Study, tmp_path: Path) -> None:
    prepare_results(tmp_path)
    write_report(study, tmp_path)
    (tmp_path / "my_notes.txt").write_text("mine")
    (tmp_path / "liquidations_stats_MINE.txt").write_text("mine too")
    prepare_results(tmp_path)
    assert (tmp_path / "liquidations_stats_ETHUSDT.txt").exists()
    files = write_report(alone, tmp_path)
    assert not (tmp_path / "liquidations_stats_ETHUSDT.txt").exists()
    assert not (tmp_path / "liquidations_ic_ETHUSDT.txt").exists()
    assert not (tmp_path / "liquidations_importance.png").exists()
    assert not (tmp_path / "liquidations_heatmap_ETHUSDT.png").exists()
    assert {path.name for path in files} | {"my_notes.txt", "liquidations_stats_MINE.txt"} == files_of(tmp_path)
    assert files[-1] == tmp_path / "manifest.json"


def test_files_of_a_run_that_was_interrupted_do_not_linger_either(
    study: Study, alone: Study, tmp_path: Path, undrawn: pytest.MonkeyPatch
) -> None:
    prepare_results(tmp_path)
    with undrawn.context() as patch:
        patch.setattr("liqlab.report._write.render_findings", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_report(study, tmp_path)
    assert (tmp_path / "liquidations_stats_ETHUSDT.txt").exists()
    prepare_results(tmp_path)
    write_report(alone, tmp_path)
    assert not (tmp_path / "liquidations_stats_ETHUSDT.txt").exists()


def interrupt(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.usefixtures("undrawn")
def test_a_manifest_cannot_have_other_files_removed(study: Study, tmp_path: Path) -> None:
    victim = tmp_path / "victim.txt"
    victim.write_text("precious")
    folder = tmp_path / "results"
    prepare_results(folder)
    (folder / "notes.txt").write_text("precious")
    outputs = [str(victim), "../victim.txt", "notes.txt", "lake", 7, "tables/../../victim.txt"]
    (folder / "manifest.json").write_text(json.dumps({"format": "liqlab-results", "outputs": outputs}))
    write_report(study, folder)
    assert victim.read_text() == "precious"
    assert (folder / "notes.txt").read_text() == "precious"


@pytest.mark.usefixtures("undrawn")
def test_tables_written_elsewhere_are_not_listed_as_files_of_the_folder(study: Study, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "liquidations.parquet").write_bytes(b"")
    write_report(replace(study, tables=elsewhere), tmp_path / "results")
    assert not any(name.startswith("tables/") for name in manifest_of(tmp_path / "results")["outputs"])


@pytest.mark.usefixtures("undrawn")
def test_progress_is_told_of_every_figure(study: Study, tmp_path: Path) -> None:
    told: list[object] = []

    class Heard:
        def start(self, stage: str, total: int) -> None:
            told.append((stage, total))

        def advance(self, steps: int = 1) -> None:
            told.append(steps)

        def finish(self, note: str = "") -> None:
            told.append(note or "finished")

    write_report(study, tmp_path, progress=Heard())
    n_figures = len(list_figures(study))
    assert n_figures > 6
    assert told == [("figures", n_figures), *[1] * n_figures, "finished"]
