"""A run that tests the claims: every claim has its verdict, in the file, in the findings and on the terminal."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from liqlab.cli import main
from liqlab.core.schema import check_frame
from liqlab.report import read_calibration
from liqlab.study import CRITERIA, HYPOTHESES, QUESTION_TABLES, VERDICTS, read_verdicts
from liqlab.worlds import simulate


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("claims")
    simulate(folder / "captures", days=0.25, seed=6, symbols=("BTCUSDT", "SOLUSDT"), workers=1)
    assert main(["run", str(folder / "captures"), "-o", str(folder / "results"), "--quiet"]) == 0
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


def test_every_exploratory_table_is_written_with_its_columns_and_counted(results: Path) -> None:
    counts = json.loads((results / "manifest.json").read_text(encoding="utf-8"))["row_counts"]
    for table in (one for tables in QUESTION_TABLES.values() for one in tables):
        frame = check_frame(pl.read_parquet(results / "tables" / f"{table.name}.parquet"), table)
        assert frame.height == counts[table.name]


def test_the_scorecard_is_written_and_shown(results: Path) -> None:
    records = json.loads((results / "scorecard.json").read_text(encoding="utf-8"))
    assert [record["id"] for record in records] == [one.id for one in CRITERIA]
    findings = (results / "FINDINGS_v26_liquidations.md").read_text(encoding="utf-8")
    section = findings.split("## 11. Scorecard")[1].split("\n## 12.")[0]
    assert all(f"| {one.id} |" in section for one in CRITERIA)
    assert "### Question 7" in findings.split("## 9. The seven questions")[1].split("\n## 10.")[0]


def test_the_findings_show_the_verdicts_and_how_far_to_trust_the_tests(results: Path) -> None:
    findings = (results / "FINDINGS_v26_liquidations.md").read_text(encoding="utf-8")
    section = findings.split("## 2. Hypotheses")[1].split("\n## 3.")[0]
    assert all(f"| {hypothesis.id} |" in section for hypothesis in HYPOTHESES)
    assert ("not calibrated yet" in section) == (not read_calibration())
    assert ("How far to trust these tests" in section) == bool(read_calibration())


def test_the_terminal_shows_the_same(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verdicts", str(results)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"{len(HYPOTHESES)} claims: 0 supported")
    assert main(["explain", "Q1.1", str(results)]) == 0
    assert "Large cascades" in capsys.readouterr().out


def test_a_run_without_claims_has_no_verdicts_and_removes_old_ones(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(results / "lake"), "-o", str(results), "--no-claims", "--quiet"]) == 0
    assert not (results / "verdicts.json").exists()
    assert not (results / "tables" / "q1_impact.parquet").exists()
    assert (results / "scorecard.json").exists()
    assert "--no-claims" in (results / "FINDINGS_v26_liquidations.md").read_text(encoding="utf-8")
    assert main(["verdicts", str(results)]) == 2
    assert "verdicts" in capsys.readouterr().err
