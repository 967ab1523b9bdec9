"""A run that tests the claims: every claim has its verdict, in the file, in the findings and on the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from liqlab.cli import main
from liqlab.study import HYPOTHESES, VERDICTS, read_verdicts
from liqlab.worlds import simulate


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("claims")
    simulate(folder / "captures", days=0.25, seed=6, symbols=("BTCUSDT", "SOLUSDT"), workers=1)
    assert main(["run", str(folder / "captures"), "-o", str(folder / "results"), "--test-claims", "--quiet"]) == 0
    return folder / "results"


def test_every_declared_claim_has_a_verdict_in_order(results: Path) -> None:
    records = read_verdicts(results)
    assert [record["id"] for record in records] == [hypothesis.id for hypothesis in HYPOTHESES]
    assert {record["verdict"] for record in records} <= set(VERDICTS)


def test_six_hours_support_nothing_and_say_what_is_missing(results: Path) -> None:
    records = read_verdicts(results)
    assert not [record["id"] for record in records if record["verdict"] == "supported"]
    untestable = [record for record in records if record["verdict"] == "not testable"]
    assert len(untestable) > len(records) / 2
    assert all(record["needs"] for record in untestable)


def test_the_findings_show_the_verdicts_and_that_the_tests_are_not_calibrated(results: Path) -> None:
    findings = (results / "FINDINGS_v26_liquidations.md").read_text(encoding="utf-8")
    section = findings.split("## 2. Hypotheses")[1].split("\n## 3.")[0]
    assert all(f"| {hypothesis.id} |" in section for hypothesis in HYPOTHESES)
    assert "not calibrated yet" in section


def test_the_terminal_shows_the_same(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verdicts", str(results)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"{len(HYPOTHESES)} claims: 0 supported")
    assert main(["explain", "Q1.1", str(results)]) == 0
    assert "Large cascades" in capsys.readouterr().out


def test_a_run_without_claims_has_no_verdicts_and_removes_old_ones(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(results / "lake"), "-o", str(results), "--quiet"]) == 0
    assert not (results / "verdicts.json").exists()
    assert main(["verdicts", str(results)]) == 2
    assert "verdicts" in capsys.readouterr().err
