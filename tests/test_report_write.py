"""The results folder: what a run writes, whose folder it writes into, and what it leaves of earlier runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from liqlab import __version__
from liqlab.core.errors import EnvironmentFailure, ResultsError
from liqlab.core.progress import Progress
from liqlab.lake import Lake, ingest
from liqlab.report import (
    FINDINGS,
    ReportFigure,
    build_manifest,
    compute_data_hash,
    describe_origin,
    is_results,
    prepare_results,
    render_study_statistics,
    write_report,
)
from liqlab.study import ALL, StageRecord, Study, load_study_config, run_study
from liqlab.worlds import simulate

SYMBOLS = ("BTCUSDT", "ETHUSDT")
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("write")
    simulate(folder / "captures", days=0.2, seed=5, symbols=SYMBOLS, dirt=True, workers=1)
    ingest(folder / "captures", folder / "lake", workers=1)
    return folder / "lake"


@pytest.fixture(scope="module")
def study(lake: Path) -> Study:
    return study_of(lake)


@pytest.fixture(scope="module")
def results(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder of both symbols, written once."""
    folder = tmp_path_factory.mktemp("results") / "results"
    prepare_results(folder)
    with Lake(lake) as opened:
        both = run_study(opened, tables=folder / "tables")
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


def study_of(lake: Path, **overrides: Any) -> Study:
    with Lake(lake) as opened:
        return run_study(opened, load_study_config(**overrides))


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
        "liquidations_rate.png",
        "liquidations_sizes.png",
        "liquidations_hours.png",
        "liquidations_heatmap_BTCUSDT.png",
        "liquidations_heatmap_ETHUSDT.png",
        "liquidations_cascade_examples.png",
        "manifest.json",
    }
    for path in results.glob("*.png"):
        assert path.read_bytes().startswith(PNG)
        assert path.stat().st_size > 10_000


def test_the_manifest_names_every_file_but_itself(results: Path) -> None:
    assert set(manifest_of(results)["outputs"]) == files_of(results) - {"manifest.json"}


def test_the_findings_embed_figures_that_exist(results: Path) -> None:
    text = (results / FINDINGS).read_text()
    embedded = {part.split(")")[0] for part in text.split("](")[1:]}
    assert embedded == {path.name for path in results.glob("*.png")}


def test_the_manifest_holds_what_it_takes_to_repeat_the_run(results: Path, study: Study) -> None:
    manifest = manifest_of(results)
    assert manifest["format"] == "liqlab-results"
    assert manifest["status"] == "complete"
    assert manifest["command"] == "liqlab run captures -o results"
    assert manifest["seed"] is None
    assert manifest["number_of_trials"] == 0
    assert manifest["config"] == json.loads(json.dumps(study.config.as_dict()))
    assert manifest["row_counts"] == dict(study.table_rows)
    assert manifest["time_span"]["start_ms"] == study.start_ms
    assert manifest["time_span"]["end_ms"] == study.end_ms
    assert manifest["coverage"][ALL]["covered_hours"] == study.statistics[ALL].covered_hours
    assert manifest["versions"]["liqlab"] == __version__
    assert {"python", "polars", "numpy", "numba"} <= set(manifest["versions"])


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
def test_a_folder_that_holds_nothing_of_others_is_taken(kind: str, lake: Path, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "results"
    if kind != "absent":
        folder.mkdir(parents=True)
    if kind == "only_a_lake":
        ingest(Path(Lake(lake).sources[0]), folder / "lake", workers=1)
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


def test_a_lake_is_not_taken_for_results(lake: Path) -> None:
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
def test_files_of_an_earlier_run_of_other_symbols_do_not_linger(study: Study, lake: Path, tmp_path: Path) -> None:
    prepare_results(tmp_path)
    write_report(study, tmp_path)
    (tmp_path / "my_notes.txt").write_text("mine")
    (tmp_path / "liquidations_stats_MINE.txt").write_text("mine too")
    prepare_results(tmp_path)
    assert (tmp_path / "liquidations_stats_ETHUSDT.txt").exists()
    files = write_report(study_of(lake, symbols=("BTCUSDT",)), tmp_path)
    assert not (tmp_path / "liquidations_stats_ETHUSDT.txt").exists()
    assert not (tmp_path / "liquidations_heatmap_ETHUSDT.png").exists()
    assert {path.name for path in files} | {"my_notes.txt", "liquidations_stats_MINE.txt"} == files_of(tmp_path)
    assert files[-1] == tmp_path / "manifest.json"


def test_files_of_a_run_that_was_interrupted_do_not_linger_either(
    study: Study, lake: Path, tmp_path: Path, undrawn: pytest.MonkeyPatch
) -> None:
    prepare_results(tmp_path)
    with undrawn.context() as patch:
        patch.setattr("liqlab.report._write.render_findings", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_report(study, tmp_path)
    assert (tmp_path / "liquidations_stats_ETHUSDT.txt").exists()
    prepare_results(tmp_path)
    write_report(study_of(lake, symbols=("BTCUSDT",)), tmp_path)
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
    assert told == [("figures", 6), *[1] * 6, "finished"]
