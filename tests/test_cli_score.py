"""`liqlab simulate --world`, `liqlab score` and `liqlab worlds`: what they print, write and refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from liqlab.audit import read_detector_input, score_detector
from liqlab.cascades import PRESETS
from liqlab.cli import main
from liqlab.lake import Lake, ingest
from liqlab.study import load_study_config, run_study
from liqlab.worlds import WORLD_NAMES, load_truth, load_world


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("score") / "captures"
    arguments = ["simulate", str(folder), "--world", "planted", "--days", "1", "--seed", "12"]
    assert main([*arguments, "--symbols", "BTCUSDT", "ETHUSDT", "--workers", "1", "--quiet"]) == 0
    return folder


@pytest.fixture(scope="module")
def results(captures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables that `liqlab run` leaves, and its lake."""
    folder = tmp_path_factory.mktemp("results")
    ingest(captures, folder / "lake")
    with Lake(folder / "lake") as lake:
        run_study(lake, load_study_config(test_claims=False), folder / "tables")
    return folder


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path, code: int = 2) -> str:
    """The message of a command that must fail with `code`, without a traceback and without output."""
    assert main([str(argument) for argument in arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return captured.err.splitlines()[-1]


def test_a_named_world_and_its_truth_are_written(captures: Path) -> None:
    assert load_truth(captures).manifest["world"] == "planted"
    assert load_world(captures / "truth" / "world.toml") == load_world("planted")


def test_a_reader_of_captures_does_not_stumble_over_the_truth(captures: Path, results: Path) -> None:
    with Lake(results / "lake") as lake:
        assert not any("truth" in name for name in lake.files)
        assert lake.read_quarantine().is_empty()
    assert not list((captures / "truth").rglob("*.jsonl*"))


def test_the_score_is_printed_as_an_aligned_table(
    captures: Path, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["score", str(results), str(captures)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(
        "world planted, seed 12, 2026-02-09 00:00:00 to 2026-02-10 00:00:00 UTC, branching ratio 0."
    )
    table = lines[1:-2]
    assert len({line.index("ALL") for line in table if "ALL" in line}) == 1
    assert [line.split()[:2] for line in table[2:]] == [
        [preset, symbol] for preset in ("plan", "p95") for symbol in ("ALL", "BTCUSDT", "ETHUSDT")
    ]
    expected = score_detector(read_detector_input(results), load_truth(captures), PRESETS)
    for line, score in zip(table[2:], [row for rows in expected.values() for row in rows], strict=True):
        assert line.split()[2:6] == [str(n) for n in (score.n_detected, score.n_causal, score.n_lost, score.n_matched)]
        assert f" {score.f1:.2f} " in line


def test_a_lake_and_the_tables_of_a_run_give_the_same_score(
    captures: Path, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = []
    for source in (results, results / "lake"):
        assert main(["score", str(source), str(captures / "truth")]) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1]


def test_the_file_holds_every_figure(
    captures: Path, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "new" / "score.json"
    arguments = ["score", str(results), str(captures), "--preset", "plan", "-o", str(output), "--quiet"]
    assert main(arguments) == 0
    assert capsys.readouterr().out == ""
    content = json.loads(output.read_text(encoding="utf-8"))
    assert content["truth"]["seed"] == 12
    assert [(row["preset"], row["symbol"]) for row in content["scores"]] == [
        ("plan", symbol) for symbol in ("ALL", "BTCUSDT", "ETHUSDT")
    ]
    expected = score_detector(read_detector_input(results), load_truth(captures), PRESETS[:1])["plan"]
    assert content["scores"] == [vars(row) for row in expected]


def test_wrong_folders_are_the_users_mistake(
    captures: Path, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "neither a results folder nor a lake" in refused(capsys, "score", captures, captures)
    assert "no truth in" in refused(capsys, "score", results, results)
    assert "unknown preset 'plam'" in refused(capsys, "score", results, captures, "--preset", "plam")
    (tmp_path / "file").write_text("", encoding="utf-8")
    message = refused(capsys, "score", results, captures, "-o", tmp_path / "file" / "score.json", code=1)
    assert "choose another -o" in message


def test_the_truth_of_other_data_is_refused(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for symbol, seed in (("BTCUSDT", 13), ("SOLUSDT", 12)):
        arguments = ["--days", "0.1", "--seed", str(seed), "--symbols", symbol, "--workers", "1", "--quiet"]
        assert main(["simulate", str(tmp_path / symbol), *arguments]) == 0
    assert "results of other data" in refused(capsys, "score", results, tmp_path / "BTCUSDT")
    assert "nothing in common" in refused(capsys, "score", results, tmp_path / "SOLUSDT")


def test_a_users_world_overrides_dials(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('base = "quiet"\n[book]\nimpact_bps = 7.0\n', encoding="utf-8")
    arguments = ["simulate", str(tmp_path / "out"), "--world", str(mine), "--days", "0.05", "--symbols", "BTCUSDT"]
    assert main([*arguments, "--workers", "1", "--quiet"]) == 0
    assert load_truth(tmp_path / "out").manifest["world"] == "mine"
    assert load_world(tmp_path / "out" / "truth" / "world.toml").book.impact_bps == 7.0
    assert "unknown world 'nil'" in refused(capsys, "simulate", tmp_path / "no", "--world", "nil")


def test_the_list_of_worlds_names_each_with_what_differs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["worlds", "list"]) == 0
    shown = capsys.readouterr().out
    blocks = {block.split(":")[0]: block for block in shown.split("\n\n")}
    assert list(blocks) == ["plan", *(name for name in WORLD_NAMES if name != "plan")]
    plan = load_world("plan")
    assert f"book.impact_bps = 0.0 (plan: {plan.book.impact_bps})" in blocks["null"]
    assert "(plan:" not in blocks["plan"]
    for name, block in blocks.items():
        assert load_world(name).description in block


def test_estimands_are_computed_stored_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "estimands.json"
    arguments = ["worlds", "estimand", "--world", "quiet", "--seeds", "2", "--workers", "1", "-o", str(output)]
    assert main([*arguments, "--work", str(tmp_path / "work"), "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert main([*arguments, "--work", str(tmp_path / "work")]) == 0
    shown = capsys.readouterr().out
    assert "impact_30s" in shown
    assert f"stored in {output}" in shown
    entry = json.loads(output.read_text(encoding="utf-8"))["worlds"]["quiet"]["values"]["impact_30s"]
    assert entry["n_seeds"] == 2
    assert entry["verdict"] == "undefined"


def test_worlds_without_a_part_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["worlds"])
    assert stopped.value.code == 2
    assert "PART" in capsys.readouterr().err
