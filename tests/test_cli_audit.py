"""`liqlab audit features`: what it prints, writes and refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from liqlab.audit import PLANTED_BUGS, ChainConfig
from liqlab.cli import main
from liqlab.lake import ingest
from liqlab.worlds import DEFAULT_START_MS, simulate


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three hours around midnight, with a gap on either side of it."""
    folder = tmp_path_factory.mktemp("audit") / "captures"
    start_ms = DEFAULT_START_MS + 22 * 3_600_000
    simulate(folder, days=1 / 8, seed=3, symbols=("BTCUSDT", "ETHUSDT"), start_ms=start_ms, dirt=True, workers=1)
    return folder


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path, code: int = 2) -> str:
    """The message of a command that must fail with `code`, without a traceback and without output."""
    assert main([str(argument) for argument in arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return captured.err.splitlines()[-1]


def audit(*arguments: str | Path) -> int:
    return main(["audit", "features", *map(str, arguments), "--workers", "1"])


def test_a_sound_chain_passes_and_the_tables_are_listed(captures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(captures, "--cuts", "3") == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert re.fullmatch(r"3 cuts, [\d,]+ values compared", lines[0])
    assert lines[-1] == "no look-ahead found"
    assert {"dataset", "features", "regimes", "cascades"} <= {line.split(" ")[0] for line in lines}
    assert "the chain at each cut" in captured.err


def test_a_look_ahead_gives_exit_code_one_and_both_values(
    captures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planted = ChainConfig(planted=("whole-sample rank",))
    monkeypatch.setattr("liqlab.cli._audit._chain_config", lambda _arguments: planted)
    output = tmp_path / "new" / "report.json"
    assert audit(captures, "--cuts", "1", "-o", output) == 1
    shown = capsys.readouterr().out
    assert re.search(r"planted: whole-sample rank\.value: [\d,]+ of [\d,]+ wrong, first at 2026-02-\d\d", shown)
    assert re.search(r"    0\.\d+ in the full run, 0\.\d+ from what was known at 2026-02-\d\d", shown)
    content = json.loads(output.read_text(encoding="utf-8"))
    assert content["passed"] is False
    wrong = [check["table"] for check in content["checks"]["look-ahead"] if check["n_wrong"]]
    assert wrong == ["planted: whole-sample rank"]


def test_the_self_test_lists_every_bug_and_says_which_were_caught(
    captures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "self_test.json"
    assert audit(captures, "--self-test", "--cuts", "1", "--seed", "1", "-o", output) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines[2:-1]] == [bug.name for bug in PLANTED_BUGS]
    caught = json.loads(output.read_text(encoding="utf-8"))["caught"]
    assert list(caught) == [bug.name for bug in PLANTED_BUGS]
    assert lines[-1].startswith(
        f"{sum(caught.values())} of {len(PLANTED_BUGS)} planted bugs caught, 0 false alarms, 1 cuts"
    )
    assert caught["whole-sample z-score"]
    assert not caught["interpolation across gaps"]


def test_without_a_source_a_market_is_simulated(capsys: pytest.CaptureFixture[str]) -> None:
    assert audit("--days", "0.125", "--symbols", "BTCUSDT", "--cuts", "1") == 0
    captured = capsys.readouterr()
    assert "simulate" in captured.err
    assert captured.out.startswith("1 cuts, ")


def test_quiet_says_nothing(captures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(captures, "--cuts", "1", "--symbols", "ETHUSDT", "--quiet") == 0
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_what_cannot_be_audited_is_refused(captures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ingest(captures, tmp_path / "lake", workers=1)
    assert "is a lake, which keeps no raw messages" in refused(capsys, "audit", "features", tmp_path / "lake")
    assert "no folder" in refused(capsys, "audit", "features", tmp_path / "nothing")
    assert "--days is the length of the simulated" in refused(capsys, "audit", "features", captures, "--days", "2")
    assert "at least one cut" in refused(capsys, "audit", "features", captures, "--cuts", "0", "--workers", "1")
    assert "unknown symbol 'XYZ'" in refused(capsys, "audit", "features", captures, "--symbols", "XYZ")
    short = ["audit", "features", captures, "--end", "2026-02-09T22:00:30"]
    assert "too short for a look-ahead audit" in refused(capsys, *short)
    (tmp_path / "file").write_text("", encoding="utf-8")
    unwritable = [captures, "--cuts", "1", "--workers", "1", "-o", tmp_path / "file" / "report.json"]
    assert "choose another -o" in refused(capsys, "audit", "features", *unwritable, code=1)


def test_audit_without_a_part_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["audit"])
    assert stopped.value.code == 2
    assert "PART" in capsys.readouterr().err
