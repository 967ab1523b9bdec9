"""The rules that turn numbers into verdicts: cases made by hand, invariants, conjunctions, and the file of verdicts."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from liqlab.cli import main
from liqlab.core.errors import ResultsError, UserError
from liqlab.report import (
    count_verdicts,
    explain,
    read_calibration,
    render_verdict_table,
    render_verdicts_markdown,
)
from liqlab.stats import adjust_holm
from liqlab.study import (
    HYPOTHESES,
    VERDICTS,
    Finding,
    Hypothesis,
    Judgement,
    conjoin,
    decide,
    find_hypothesis,
    find_shortfall,
    judge_all,
    read_verdicts,
    verdicts_to_json,
)

KEYS = {
    *("id", "question", "claim", "verdict", "effect", "unit", "ci_low", "ci_high"),
    *("p", "p_adjusted", "n", "method", "needs", "note"),
}
NAN = float("nan")

#: One bps matters; positive is as claimed.
UP = find_hypothesis("Q1.1")
#: The same claim, of a fall below 10.
DOWN = replace(UP, direction=-1, null_value=10.0)
RANGE = replace(UP, claimed_range=(2.0, 4.0))

NUMBERS = st.floats(-10.0, 10.0)
P = st.floats(0.0, 1.0)


#: The whole family.
SIZE = len(HYPOTHESES)


def found(effect: float, low: float, high: float, p: float | None = 0.01, **changes: Any) -> Finding:
    return Finding("Q1.1", effect, low, high, p, n=50, n_blocks=25, **changes)


@st.composite
def findings(draw: st.DrawFn) -> Finding:
    """An estimate inside its interval."""
    low, effect, high = sorted(draw(st.tuples(NUMBERS, NUMBERS, NUMBERS)))
    return found(effect, low, high, draw(P))


@pytest.mark.parametrize(
    ("hypothesis", "finding", "p_adjusted", "verdict"),
    [
        (UP, found(3.0, 1.0, 5.0), 0.01, "supported"),
        (UP, found(1.0, 0.1, 5.0), 0.01, "supported"),
        (UP, found(3.0, 1.0, 5.0), 0.05, "inconclusive"),
        (UP, found(3.0, 0.0, 5.0), 0.01, "inconclusive"),
        (UP, found(0.9, 0.1, 5.0), 0.01, "inconclusive"),
        (UP, found(0.5, 0.1, 1.0), 0.01, "inconclusive"),
        (UP, found(0.5, 0.1, 0.99), 0.0001, "rejected"),
        (UP, found(0.0, -0.5, 0.5), 0.9, "rejected"),
        (UP, found(-3.0, -5.0, -1.0), 0.001, "rejected"),
        (UP, found(0.0, -5.0, 5.0), 0.9, "inconclusive"),
        (DOWN, found(7.0, 5.0, 9.0), 0.01, "supported"),
        (DOWN, found(13.0, 11.0, 15.0), 0.01, "rejected"),
        (DOWN, found(9.5, 9.1, 9.9), 0.01, "rejected"),
        (DOWN, found(7.0, 5.0, 11.0), 0.01, "inconclusive"),
        (RANGE, found(3.0, 2.0, 4.0), 0.01, "supported"),
        (RANGE, found(3.0, 2.5, 3.5), 0.06, "inconclusive"),
        (RANGE, found(3.0, 1.9, 3.5), 0.01, "inconclusive"),
        (RANGE, found(3.0, 0.0, 9.0), 0.01, "inconclusive"),
        (RANGE, found(4.5, 4.0, 5.0), 0.01, "inconclusive"),
        (RANGE, found(5.0, 4.1, 6.0), 0.9, "rejected"),
        (RANGE, found(1.0, 0.0, 1.9), 0.9, "rejected"),
        (UP, found(3.0, 1.0, 5.0, shortfall="needs more"), 0.01, "not testable"),
        (UP, found(0.0, -0.5, 0.5, shortfall="needs more", doubt="unmatched"), 0.01, "not testable"),
        (UP, found(3.0, 1.0, 5.0, doubt="unmatched"), 0.01, "inconclusive"),
        (UP, found(0.0, -0.5, 0.5, doubt="unmatched"), 0.9, "inconclusive"),
        (UP, Finding("Q1.1"), 1.0, "inconclusive"),
        (UP, found(3.0, NAN, 5.0), 0.01, "inconclusive"),
        (UP, found(NAN, 1.0, 5.0), 0.01, "inconclusive"),
        (UP, found(3.0, 1.0, math.inf), 0.01, "inconclusive"),
        (UP, found(3.0, 1.0, 5.0), NAN, "inconclusive"),
        (UP, found(0.0, -0.5, 0.5, p=None), NAN, "rejected"),
    ],
)
def test_cases_made_by_hand(hypothesis: Hypothesis, finding: Finding, p_adjusted: float, verdict: str) -> None:
    assert decide(hypothesis, finding, p_adjusted) == verdict


def test_the_examples_of_the_documentation_are_what_the_rules_give(repository: Path) -> None:
    page = (repository / "docs" / "verdicts.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \| (\S+) \| (\S+) \| (\S+) \| (\S+) \| ([a-z ]+) \|$", page, re.MULTILINE)
    verdicts = set()
    for words, *cells, verdict in (row for row in rows if row[0] != "example"):
        finding = Finding("Q1.1", shortfall=words) if cells[0] == "n/a" else found(*map(float, cells[:3]))
        assert decide(UP, finding, 1.0 if cells[0] == "n/a" else float(cells[3])) == verdict, words
        verdicts.add(verdict)
    assert verdicts == set(VERDICTS)


def _written_rules(finding: Finding, p_adjusted: float) -> str:
    """DESIGN 9.1 for `UP`, rule by rule."""
    assert finding.effect is not None
    assert finding.ci_low is not None
    assert finding.ci_high is not None
    gain, low, high, delta = finding.effect, finding.ci_low, finding.ci_high, 1.0
    if finding.shortfall:
        return "not testable"
    if low > 0 and p_adjusted < 0.05 and gain >= delta:
        return "supported"
    if high < delta:
        return "rejected"
    return "inconclusive"


@given(findings(), P, st.booleans())
def test_verdicts_follow_the_written_rules_in_their_order(finding: Finding, p: float, short: bool) -> None:
    finding = replace(finding, shortfall="needs more" if short else "")
    assert decide(UP, finding, p) == _written_rules(finding, p)


@given(findings(), P)
def test_a_claim_in_the_other_direction_is_its_mirror_image(finding: Finding, p: float) -> None:
    assert finding.effect is not None
    assert finding.ci_low is not None
    assert finding.ci_high is not None
    mirrored = replace(finding, effect=-finding.effect, ci_low=-finding.ci_high, ci_high=-finding.ci_low)
    assert decide(replace(UP, direction=-1), mirrored, p) == decide(UP, finding, p)


@given(findings(), P, P)
def test_a_smaller_p_never_takes_support_away_and_never_rejects(finding: Finding, one: float, other: float) -> None:
    for hypothesis in (UP, RANGE):
        less, more = decide(hypothesis, finding, min(one, other)), decide(hypothesis, finding, max(one, other))
        assert less == more or (less, more) == ("supported", "inconclusive")


@given(findings(), P)
def test_what_is_significant_but_too_small_is_never_supported(finding: Finding, p: float) -> None:
    assert finding.effect is not None
    assert finding.ci_high is not None
    verdict = decide(UP, finding, p)
    if finding.ci_high < UP.delta:
        assert verdict == "rejected"
    elif finding.effect < UP.delta:
        assert verdict == "inconclusive"


@given(findings(), P)
def test_a_range_is_supported_inside_and_rejected_outside(finding: Finding, p: float) -> None:
    assert finding.ci_low is not None
    assert finding.ci_high is not None
    verdict = decide(RANGE, finding, p)
    inside = finding.ci_low >= 2.0 and finding.ci_high <= 4.0
    outside = finding.ci_high < 2.0 or finding.ci_low > 4.0
    assert (verdict == "supported") == (inside and p < 0.05)
    assert (verdict == "rejected") == outside


def test_each_verdict_says_which_rule_gave_it() -> None:
    cases = [found(3.0, 1.0, 5.0), found(0.5, 0.1, 0.9), found(-3.0, -5.0, -1.0), found(0.0, -0.5, 0.5)]
    cases += [found(0.0, -5.0, 5.0), found(0.9, 0.1, 5.0), found(3.0, 1.0, 5.0, p=0.04), found(3.0, NAN, 5.0)]
    cases += [found(3.0, 1.0, 5.0, doubt="41 % without a match"), found(3.0, 1.0, 5.0, shortfall="needs more")]
    reasons = [_judge(finding, 0.5 if finding.p == 0.04 else 0.01).why for finding in cases]
    assert len(set(reasons)) == len(cases)
    assert "too small to matter" in reasons[1]
    assert "other way" in reasons[2]
    assert "41 % without a match" in reasons[8]
    assert reasons[9] == "needs more"


def _judge(finding: Finding, p: float) -> Judgement:
    """Through a family in which the adjusted p is `p`."""
    (judgement,) = judge_all([UP], {"Q1.1": replace(finding, p=p)})
    return judgement


def family(**changes: Finding) -> dict[str, Finding]:
    """A finding for each hypothesis; those not named are not testable."""
    base = {hypothesis.id: Finding(hypothesis.id, shortfall="needs a ticker") for hypothesis in HYPOTHESES}
    return base | {name.replace("_", "."): finding for name, finding in changes.items()}


def named(name: str, **changes: Any) -> Finding:
    return replace(found(3.0, 1.0, 5.0), id=name, **changes)


def test_p_is_adjusted_over_the_whole_family_whatever_could_be_tested() -> None:
    alone = judge_all(HYPOTHESES, family(Q1_3=named("Q1.3", p=0.001)))
    by_id = {judgement.hypothesis.id: judgement for judgement in alone}
    assert list(by_id) == [hypothesis.id for hypothesis in HYPOTHESES]
    assert by_id["Q1.3"].p_adjusted == pytest.approx(0.001 * len(HYPOTHESES))
    assert by_id["Q1.3"].verdict == "supported"
    barely = judge_all(HYPOTHESES, family(Q1_3=named("Q1.3", p=0.002)))
    assert barely[2].verdict == "inconclusive"


@given(st.lists(st.one_of(P, st.none(), st.just(NAN)), min_size=SIZE, max_size=SIZE), st.data())
def test_adjusted_p_is_holm_with_one_for_all_that_has_none(p: list[float | None], data: st.DataObject) -> None:
    testable = [hypothesis.id for hypothesis in HYPOTHESES]
    flags = data.draw(st.lists(st.sampled_from(["", "shortfall", "doubt"]), min_size=SIZE, max_size=SIZE))
    given_findings = {
        name: named(name, p=value, **({flag: "a reason"} if flag else {}))
        for name, value, flag in zip(testable, p, flags, strict=True)
    }
    counted = [
        1.0 if value is None or math.isnan(value) or flag else value for value, flag in zip(p, flags, strict=True)
    ]
    judgements = judge_all(HYPOTHESES, given_findings)
    expected = adjust_holm(counted)
    assert [judgement.p_adjusted for judgement in judgements] == pytest.approx(expected.tolist(), abs=1e-12)


@given(st.lists(P, min_size=SIZE, max_size=SIZE), st.integers(0, SIZE - 1), P)
def test_a_smaller_p_of_one_claim_never_raises_the_adjusted_p_of_any(p: list[float], which: int, factor: float) -> None:
    names = [hypothesis.id for hypothesis in HYPOTHESES]
    before = judge_all(HYPOTHESES, {name: named(name, p=value) for name, value in zip(names, p, strict=True)})
    p[which] *= factor
    after = judge_all(HYPOTHESES, {name: named(name, p=value) for name, value in zip(names, p, strict=True)})
    for one, other in zip(after, before, strict=True):
        assert one.p_adjusted <= other.p_adjusted + 1e-12


def test_nothing_is_dropped_silently() -> None:
    whole = family()
    with pytest.raises(ValueError, match=r"Q3\.1 has no finding"):
        judge_all(HYPOTHESES, {name: finding for name, finding in whole.items() if name != "Q3.1"})
    with pytest.raises(ValueError, match=r"Q9\.9"):
        judge_all(HYPOTHESES, whole | {"Q9.9": Finding("Q9.9")})
    with pytest.raises(ValueError, match=r"Q1\.1"):
        judge_all(HYPOTHESES, whole | {"Q1.1": Finding("Q1.2")})


def test_a_declaration_or_finding_that_contradicts_itself_is_an_error() -> None:
    for wrong in ({"delta": 0.0}, {"delta": NAN}, {"direction": 0}, {"claimed_range": (2.0, 2.0)}):
        with pytest.raises(ValueError, match=r"Q1\.1"):
            replace(UP, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="ends before it begins"):
        found(1.0, 2.0, 1.0)


@given(st.lists(findings(), min_size=1, max_size=4), P, st.sampled_from([UP, DOWN]))
def test_a_conjunction_is_supported_when_every_part_is_and_rejected_when_one_is(
    parts: list[Finding], p: float, hypothesis: Hypothesis
) -> None:
    whole = conjoin(hypothesis, parts)
    assert whole.p == max(part.p for part in parts if part.p is not None)
    single = [decide(hypothesis, part, p) for part in parts]
    verdict = decide(hypothesis, whole, p)
    assert (verdict == "supported") == all(one == "supported" for one in single)
    assert (verdict == "rejected") == ("rejected" in single)


def test_a_conjunction_lacks_what_a_part_lacks() -> None:
    good = found(3.0, 1.0, 5.0)
    for lacking, verdict in (
        (replace(good, effect=None), "inconclusive"),
        (replace(good, shortfall="needs more"), "not testable"),
        (replace(good, doubt="unmatched"), "inconclusive"),
        (replace(good, p=None), "inconclusive"),
    ):
        whole = conjoin(UP, [good, replace(lacking, n=7)])
        assert whole.n == 7
        (judgement,) = judge_all([UP], {"Q1.1": whole})
        assert judgement.verdict == verdict
    with pytest.raises(ValueError, match="needs parts"):
        conjoin(UP, [])
    with pytest.raises(ValueError, match="no range"):
        conjoin(RANGE, [good])


def test_a_shortfall_names_each_missing_minimum_and_what_was_found() -> None:
    weekend = find_hypothesis("Q6.4")
    groups = {"at weekends": 30, "on weekdays": 30}
    assert find_shortfall(weekend, n_events=groups, n_blocks=20, n_weekends=4, ticker_interval_s=10.0) == ""
    words = find_shortfall(weekend, n_events={"on weekdays": 29}, n_blocks=3, n_weekends=1, ticker_interval_s=math.inf)
    assert words.split("; ") == [
        "needs 30 cascades at weekends, found 0",
        "needs 30 cascades on weekdays, found 29",
        "needs 20 blocks of time with events, found 3",
        "needs 4 weekends, found 1",
        "needs a ticker at least every 10 s, found no ticker",
    ]
    slow = find_shortfall(weekend, ticker_interval_s=300.0)
    assert slow == "needs a ticker at least every 10 s, found prices every 300 s"
    assert find_shortfall(find_hypothesis("Q6.1"), n_days=0.875) == "needs 5 covered days, found 0.875"
    assert find_shortfall(find_hypothesis("S1"), n_events=29) == "needs 30 trades, found 29"


@pytest.fixture(scope="module")
def records() -> list[dict[str, Any]]:
    judgements = judge_all(
        HYPOTHESES,
        family(
            Q1_3=named("Q1.3", p=0.0004, method="matched comparison", note="3 % without a match"),
            Q1_4=Finding("Q1.4", 0.1, -0.4, 0.6, 0.7, 80, 30, note="see | here"),
            Q2_1=Finding("Q2.1", 2.0, -1.0, 5.0, 0.3, 1_234_567, 30),
            Q3_2=Finding("Q3.2", 0.91, 0.85, 0.97, 0.0004, 900, 30),
            Q5_1=Finding("Q5.1", NAN, NAN, NAN, NAN),
        ),
    )
    return verdicts_to_json(judgements)


def test_the_file_has_the_declared_keys_and_no_nan(records: list[dict[str, Any]]) -> None:
    assert [record["id"] for record in records] == [hypothesis.id for hypothesis in HYPOTHESES]
    for record in records:
        assert set(record) >= KEYS
    text = json.dumps(records, allow_nan=False)
    assert json.loads(text) == records


def test_what_is_not_testable_shows_no_numbers_and_says_what_is_missing() -> None:
    judgements = judge_all(HYPOTHESES, family(Q1_3=named("Q1.3", shortfall="needs 30 cascades, found 4")))
    record = verdicts_to_json(judgements)[2]
    assert [record[key] for key in ("effect", "ci_low", "ci_high", "p", "p_adjusted")] == [None] * 5
    assert record["verdict"] == "not testable"
    assert record["needs"] == "needs 30 cascades, found 4"


def write(folder: Path, content: object) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "verdicts.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return folder


def test_verdicts_are_read_from_a_folder_or_a_file(records: list[dict[str, Any]], tmp_path: Path) -> None:
    folder = write(tmp_path / "results", records)
    assert read_verdicts(folder) == records
    assert read_verdicts(folder / "verdicts.json") == records


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "no JSON"),
        ("[NaN]", "NaN is no number"),
        ({"id": "Q1.1"}, "no list"),
        ([3], "verdict 0 is no record"),
        ([{"id": "Q1.1"}], "verdict 0 has no question"),
    ],
)
def test_a_file_that_liqlab_did_not_write_is_a_users_mistake(content: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=message):
        read_verdicts(write(tmp_path / "results", content))


@pytest.mark.parametrize(("key", "value"), [("verdict", "maybe"), ("n", None), ("effect", "3"), ("p", True)])
def test_a_record_with_a_wrong_value_is_a_users_mistake(
    records: list[dict[str, Any]], key: str, value: object, tmp_path: Path
) -> None:
    with pytest.raises(ResultsError, match=str(value)):
        read_verdicts(write(tmp_path / "results", [records[0] | {key: value}]))


def test_the_table_puts_verdicts_first_and_fits_the_terminal(records: list[dict[str, Any]]) -> None:
    lines = render_verdict_table(records).splitlines()
    assert lines[0] == "32 claims: 2 supported, 1 rejected, 2 inconclusive, 27 not testable"
    assert max(map(len, lines)) <= 100
    by_id = {match[2]: match[1] for line in lines if (match := _ROW.match(line))}
    assert by_id == {record["id"]: record["verdict"] for record in records}
    supported = next(line for line in lines if " Q1.3 " in line)
    assert "+3.00 (+1.00 to +5.00) bps" in supported
    assert "0.0128" in supported
    assert lines[lines.index(supported) + 1].strip() == find_hypothesis("Q1.3").claim


_ROW = re.compile(rf"^({'|'.join(VERDICTS)}) +([QS]\d(?:\.\d)?) ")


def test_every_claim_need_and_note_stands_whole_in_both_tables(records: list[dict[str, Any]]) -> None:
    markdown = render_verdicts_markdown(records)
    in_words = " ".join(re.sub(r"\\([<>|])", r"\1", markdown).split())
    for record in records:
        assert record["claim"] in in_words
        assert record["needs"] in in_words
        assert record["note"] in in_words
    assert markdown.startswith("## Verdicts\n\n32 claims: 2 supported")
    assert "n/a" in next(line for line in markdown.splitlines() if "| Q1.1 |" in line)
    terminal = " ".join(render_verdict_table(records).split())
    for record in records:
        for text in (record["claim"], record["needs"], record["note"], record["unit"] if record["effect"] else ""):
            assert text in terminal


def test_a_table_of_records_with_the_declared_keys_alone_is_rendered(records: list[dict[str, Any]]) -> None:
    bare = [{key: record[key] for key in KEYS} for record in records]
    for text in (render_verdict_table(bare), render_verdicts_markdown(bare), explain("Q1.3", bare[2])):
        assert "Q1.3" in text
    assert count_verdicts([]) == "0 claims: 0 supported, 0 rejected, 0 inconclusive, 0 not testable"


@pytest.mark.parametrize("hypothesis", HYPOTHESES, ids=lambda hypothesis: hypothesis.id)
def test_an_explanation_holds_the_whole_declaration(hypothesis: Hypothesis, records: list[dict[str, Any]]) -> None:
    record = next(record for record in records if record["id"] == hypothesis.id)
    text = explain(hypothesis.id, record)
    assert max(map(len, text.splitlines())) <= 100
    words = " ".join(text.split())
    for part in (hypothesis.claim, hypothesis.null, hypothesis.alternative, hypothesis.estimand, hypothesis.test):
        assert part in words
    for part in (hypothesis.delta_reason, hypothesis.dependence, hypothesis.assumptions, hypothesis.reading):
        assert part in words
    assert all(minimum in words for minimum in hypothesis.minima)
    assert "not calibrated yet" in words
    assert f"Result: {record['verdict'].upper()}" in text
    assert "Result" not in explain(hypothesis.id)


def test_an_explanation_shows_the_calibration_of_its_hypothesis_alone() -> None:
    row = {"id": "Q1.3", "world": "null", "days": 9, "seeds": 200, "truth": "false", "minimum_detectable": 1.234}
    row |= {"supported": [0.01, 0.0, 0.036], "rejected": [0.5, 0.43, 0.57], "raw_rejected": [0.055, 0.03, 0.1]}
    row |= {"coverage": None}
    text = explain("Q1.3", calibration=[row, row | {"id": "Q1.4", "world": "crash"}])
    line = next(line for line in text.splitlines() if line.startswith("  null "))
    assert line.split() == ["null", "9", "false", "200", "1", "(0–4)", "50", "(43–57)", "6", "(3–10)", "n/a", "1.23"]
    assert "crash" not in text
    assert "not calibrated yet" not in text
    assert max(map(len, text.splitlines())) <= 100


def test_the_packaged_calibration_can_be_shown() -> None:
    rows = read_calibration()
    for row in rows:
        assert row["world"] in explain(row["id"], calibration=rows)


def test_an_unknown_id_lists_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=r"'Q8\.1'; available: Q1\.1, Q1\.2.*S4"):
        explain("Q8.1")
    assert main(["explain", "Q8.1"]) == 2
    assert "available: Q1.1" in capsys.readouterr().err


def test_the_commands_print_the_table_and_one_claim(
    records: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "results", records)
    assert main(["verdicts", str(folder)]) == 0
    assert capsys.readouterr().out == render_verdict_table(records) + "\n"
    assert main(["explain", "q1.3", str(folder)]) == 0
    assert "Result: SUPPORTED" in capsys.readouterr().out
    assert main(["explain", "Q1.3"]) == 0
    assert "Result" not in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["verdicts"], ["explain", "Q1.3"]])
def test_a_folder_without_verdicts_is_a_users_mistake(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path, tmp_path / "absent", tmp_path / "file" / "below"):
        assert main([*arguments, str(folder)]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert f"no verdicts.json in {folder}" in captured.err
    write(tmp_path, [])
    assert main([*arguments, str(tmp_path)]) == (2 if arguments[0] == "explain" else 0)


@given(findings(), P)
def test_every_verdict_survives_the_file(finding: Finding, p: float) -> None:
    assume(finding.effect is not None)
    judgement = _judge(finding, p)
    (record,) = verdicts_to_json([judgement])
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    again = Finding("Q1.1", record["effect"], record["ci_low"], record["ci_high"], record["p"])
    assert decide(UP, again, record["p_adjusted"]) == judgement.verdict
