"""The findings on the questions: nothing that the plan asks for is missing, and every number is that of its table."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from small_market import Market

from liqlab.report._findings_calibration import nearest_length, render_calibration
from liqlab.report._findings_questions import QUESTION_BLOCKS, render_question, render_questions
from liqlab.report._findings_questions_words import Block
from liqlab.report._findings_scorecard import render_scorecard
from liqlab.study import HYPOTHESES, QUESTION_TABLES, RESULT_TABLES, Study

BLOCKS = [(name, block) for name, blocks in QUESTION_BLOCKS.items() for block in blocks]


def with_table(study: Study, name: str, *rows: dict[str, Any]) -> Study:
    """The study with these rows, of one table, and every other exploratory table empty."""
    answers = []
    for answer in study.answers:
        tables = {table.name: table.empty() for table in QUESTION_TABLES[answer.question]}
        for table in QUESTION_TABLES[answer.question]:
            if table.name == name:
                tables[name] = pl.DataFrame([dict.fromkeys(table.names) | row for row in rows], schema=table.dtypes)
        answers.append(replace(answer, tables=tables))
    return replace(study, answers=tuple(answers))


def block_of(question: str, title: str) -> Block:
    (found,) = (block for block in QUESTION_BLOCKS[question] if block.title == title)
    return found


def cells_of(text: str) -> list[list[str]]:
    """The cells of every line of the tables but their headers."""
    lines = re.findall(r"^\|(?!:?-)(.*)\|$", re.sub(r"^\|.*\|\n(?=\|[:-])", "", text, flags=re.MULTILINE), re.MULTILINE)
    return [[cell.strip() for cell in line.split(" | ")] for line in lines]


def test_every_analysis_and_metric_of_the_plan_has_its_place(repository: Path) -> None:
    text = (repository / "docs" / "plan_items.txt").read_text(encoding="utf-8")
    asked = set(re.findall(r"^(Q\d\.(?:analysis|metric)\d+|K):", text, re.MULTILINE))
    served = {item for _, block in BLOCKS for item in block.serves}
    assert served == asked


def test_every_exploratory_table_is_named_in_the_section_of_its_question() -> None:
    known = {table.name for table in RESULT_TABLES}
    for question, tables in QUESTION_TABLES.items():
        named = {name for block in QUESTION_BLOCKS[question] for name in block.tables}
        assert {table.name for table in tables} <= named
        assert named <= known


def test_each_question_opens_with_the_verdicts_on_its_claims(market: Market) -> None:
    study = market.study
    for answer in study.answers:
        text = render_question(study, answer)
        own = [record for record in study.verdicts if record["question"] == answer.question]
        told = re.findall(r"^- (Q\d\.\d) \*.*?\*: \*\*(.*?)\*\*", text, re.MULTILINE)
        assert told == [(record["id"], record["verdict"]) for record in own]
        for record in own:
            assert record["verdict"] != "not testable" or record["needs"] in text


def test_each_description_is_shown_or_named_as_missing_and_notes_stand_at_the_end(market: Market) -> None:
    for answer in market.study.answers:
        text = render_question(market.study, answer, ["![picture](picture.png)"])
        missing = (
            text.partition("Nothing to describe with this data: ")[2].partition(".\n")[0].removesuffix(".").split("; ")
        )
        for block in QUESTION_BLOCKS[answer.question]:
            assert (f"**{block.title}**" in text) != (block.title in missing)
        assert all(f"- {note}" in text for note in answer.notes)
        assert "![picture](picture.png)" in text


def test_a_study_without_any_row_describes_nothing_and_fails_nowhere(market: Market) -> None:
    bare = with_table(market.study, "")
    bare = replace(bare, bars_1m=bare.bars_1m.clear(), prices=bare.prices.clear())
    bare = replace(bare, ic=replace(bare.ic, table=bare.ic.table.clear()))
    for question, block in BLOCKS:
        assert block.render(bare) == "", f"{question}: {block.title}"
    text = render_questions(bare)
    assert text.count("Nothing to describe with this data") == len(QUESTION_BLOCKS)
    assert "|" not in text.replace("\\|", "")


def test_without_answers_the_section_says_how_to_get_them(market: Market) -> None:
    assert "--no-claims" in render_questions(replace(market.study, answers=()))


def test_the_words_on_what_is_descriptive_stand_first(market: Market) -> None:
    text = render_questions(market.study, heading="## 9. The seven questions")
    assert text.startswith("## 9. The seven questions\n\n")
    assert text.index("**descriptive, no verdict**") < text.index("### Question 1")
    assert re.findall(r"^### Question (\d)", text, re.MULTILINE) == list("1234567")


def test_numbers_are_those_of_the_table_all_symbols_together(market: Market) -> None:
    frame = market.study.question_tables["q1_clusters"].filter(pl.col("symbol") == "ALL")
    shown = {row[0]: row for row in cells_of(block_of("Q1", "Clusters of liquidations").render(market.study))}
    assert set(shown) == {f"{gap:g} s" for gap in frame["gap_s"]}
    for row in frame.iter_rows(named=True):
        assert shown[f"{row['gap_s']:g} s"][1] == f"{row['clusters']:,}"


def test_impact_by_origin_and_horizon_is_bold_where_it_survives(market: Market) -> None:
    base = {"origin": "confirmed", "split": "all", "group": "all", "n": 50, "unmatched_frac": 0.1, "ci_low": 1.0}
    study = with_table(
        market.study,
        "q1_impact",
        base | {"horizon_s": 10.0, "excess_bps": 2.04, "ci_high": 3.0, "p_adjusted": 0.01},
        base | {"horizon_s": 300.0, "excess_bps": 2.5, "ci_low": -4.0, "ci_high": 9.0, "p_adjusted": 0.4},
    )
    (row,) = cells_of(block_of("Q1", "Impact after cascades").render(study))
    assert row == ["its confirmation", "50", "10 %", "**+2.0 (+1.0 to +3.0)**", "+2.5 (-4.0 to +9.0)"]


@pytest.mark.parametrize(("r2", "words"), [(0.2, "most OI changes are not"), (0.7, "most OI changes are liquidations")])
def test_the_key_question_is_answered_by_the_share_explained(market: Market, r2: float, words: str) -> None:
    explained = {"symbol": "ALL", "regime": "all", "bar_min": 5, "lag_s": 0, "r2": r2}
    row = {"organic": "x", "horizon_s": 300, "ic_organic": -0.05, "ic_total": -0.01, "p_adjusted": 0.01}
    study, other = with_table(market.study, "oi_explained", explained), with_table(market.study, "oi_ic", row)
    tables = {**study.question_tables, "oi_ic": other.question_tables["oi_ic"]}
    answers = tuple(replace(answer, tables=tables) if answer.question == "Q3" else answer for answer in study.answers)
    text = block_of("Q3", "The plan's key question").render(replace(study, answers=answers))
    assert words in text
    assert "forecasts more strongly in 1 of 1" in text


def test_a_rate_of_hours_is_told_as_times_the_rest(market: Market) -> None:
    base = {"covered_hours": 40.0, "days": 5, "per_hour": 8.0, "usd_per_hour": 2_000.0, "note": ""}
    row = base | {"split": "session", "group": "Asia", "log_ratio": 0.0, "ci_low": -0.7, "ci_high": 0.7}
    study = with_table(market.study, "q6_hours", row | {"p_adjusted": 0.9})
    ((group, days, per_hour, usd, ratio, p),) = cells_of(block_of("Q6", "Time of day and day of week").render(study))
    assert (group, days, per_hour, usd, p) == ("Asia", "5", "8.0", "$2.0K", "0.9000")
    assert ratio == "1.00 (0.50 to 2.01)"


def calibrated(identifier: str, world: str, truth: str, share: float, days: float = 9.0) -> dict[str, Any]:
    row = {"id": identifier, "world": world, "days": days, "seeds": 200, "truth": truth}
    return row | {
        "supported": [share, share / 2, 2 * share],
        "minimum_detectable_by_days": {"9": 3.0, "30": 2.0, "90": 1.0},
    }


def test_without_calibration_the_reader_is_warned() -> None:
    assert "not calibrated yet" in render_calibration((), (), 9.0)


def test_with_calibration_each_claim_has_its_error_rate_power_and_what_it_can_see(market: Market) -> None:
    rows = [
        calibrated("Q1.1", "null", "false", 0.01),
        calibrated("Q1.1", "random-walk", "false", 0.3),
        calibrated("Q1.1", "planted", "true", 0.5),
        calibrated("Q1.1", "planted-strong", "true", 0.9),
        calibrated("Q1.2", "null", "undefined", 0.2),
    ]
    text = render_calibration(market.study.verdicts, rows, 25.0)
    assert "not calibrated yet" not in text.lower().replace("not calibrated yet: ", "")
    first, second = cells_of(text)
    assert first[:3] == ["Q1.1", "1.0 (0.5 to 2.0), `null`, 9 days", "90.0 (45.0 to 180.0), `planted-strong`, 9 days"]
    assert first[3:5] == ["2", "1 bps"]
    assert second[1:3] == ["n/a", "n/a"]
    assert "over 30 days" in text
    assert f"Not calibrated yet: {', '.join(one.id for one in HYPOTHESES[2:])}" in text
    assert "other settings" not in text
    assert "other settings" in render_calibration((), rows, 9.0, usual_settings=False)


def test_the_nearest_calibrated_length_is_taken() -> None:
    rows = [calibrated("Q1.1", "null", "false", 0.01), calibrated("Q1.1", "null", "false", 0.04, days=90.0)]
    assert [nearest_length(days, rows) for days in (0.0, 1.0, 12.0, 25.0, 400.0)] == ["9", "9", "9", "30", "90"]
    ((_, rate, *_),) = cells_of(render_calibration((), rows, 60.0))
    assert rate == "4.0 (2.0 to 8.0), `null`, 90 days"


def test_the_scorecard_tells_what_noise_meets(market: Market) -> None:
    records = list(market.study.scorecard)
    silent = [record | {"null_rate": None} for record in records]
    assert "has not been measured yet" in render_scorecard(silent)
    known = {"null_rate": 0.9, "null_interval": [0.8, 0.95], "null_seeds": 50, "null_world": "null", "null_days": 9.0}
    records[0] = records[0] | known | {"status": "met, uninformative"}
    text = render_scorecard(records)
    first = cells_of(text)[0]
    assert first[-2:] == ["met, uninformative", "90 % (80 to 95)"]
    assert "50 simulated markets of 9 days" in text
    assert [row[0] for row in cells_of(text)] == [record["id"] for record in records]
    assert all(record["reason"] in text for record in records if record["met"] is None)
