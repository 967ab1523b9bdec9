"""The catalogue of hypotheses against the plan, and the contract that every entry keeps."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from liqlab.study import HYPOTHESES, QUESTIONS, Hypothesis, build_hypotheses_page, describe_hypothesis, find_hypothesis

EVERY = pytest.mark.parametrize("hypothesis", HYPOTHESES, ids=lambda hypothesis: hypothesis.id)
#: What handles dependence, by name.
_DEPENDENCE = re.compile(r"block|clustered by")


@pytest.fixture(scope="module")
def plan(repository: Path) -> dict[str, str]:
    """Item to text."""
    lines = (repository / "docs" / "plan_items.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split(": ", 1) for line in lines)  # type: ignore[misc]


def test_every_expected_finding_is_there_in_the_plans_order_and_words(plan: dict[str, str]) -> None:
    expected = {name: text for name, text in plan.items() if re.fullmatch(r"Q\d\.\d", name)}
    assert len(expected) == 28
    assert [(hypothesis.id, hypothesis.claim) for hypothesis in HYPOTHESES[:28]] == list(expected.items())


def test_the_four_strategies_follow_net_of_costs(plan: dict[str, str]) -> None:
    strategies = HYPOTHESES[28:]
    assert [hypothesis.id for hypothesis in strategies] == ["S1", "S2", "S3", "S4"]
    for hypothesis in strategies:
        assert hypothesis.claim.startswith(plan[hypothesis.id])
        assert "net of costs" in hypothesis.claim
        assert "a backtest" in hypothesis.needs
        assert hypothesis.min_events == 30


def test_the_questions_are_the_plans(plan: dict[str, str]) -> None:
    assert list(QUESTIONS) == list(dict.fromkeys(hypothesis.question for hypothesis in HYPOTHESES))
    assert {name: plan[name] for name in QUESTIONS} == QUESTIONS


def test_no_id_and_no_declaration_occurs_twice() -> None:
    assert len({hypothesis.id for hypothesis in HYPOTHESES}) == len(HYPOTHESES) == 32
    research = HYPOTHESES[:28]
    for part in ("claim", "estimand", "null", "alternative"):
        assert len({getattr(hypothesis, part) for hypothesis in research}) == 28, part


@EVERY
def test_every_part_is_declared_in_words(hypothesis: Hypothesis) -> None:
    for part in ("claim", "null", "alternative", "estimand", "unit", "delta_reason", "test", "assumptions", "reading"):
        text = getattr(hypothesis, part)
        assert text.strip() == text != "", part
    assert hypothesis.null != hypothesis.alternative
    assert _DEPENDENCE.search(hypothesis.dependence)


@EVERY
def test_every_claim_has_an_effect_that_matters_and_a_direction(hypothesis: Hypothesis) -> None:
    assert hypothesis.delta > 0
    if hypothesis.claimed_range is None:
        assert hypothesis.direction in (-1, 1)
    else:
        low, high = hypothesis.claimed_range
        assert low < high
        assert hypothesis.delta < high - low


@EVERY
def test_every_claim_has_minima_and_says_what_they_count(hypothesis: Hypothesis) -> None:
    assert hypothesis.min_blocks >= 20 or hypothesis.min_days >= 4
    assert hypothesis.minima
    assert bool(hypothesis.min_events) or not hypothesis.each_of
    if hypothesis.min_events:
        assert len(hypothesis.event_minima) == max(1, len(hypothesis.each_of))
        assert all(words in hypothesis.minima for _, words in hypothesis.event_minima)


@EVERY
def test_prices_are_asked_for_at_the_resolution_of_the_shortest_horizon(hypothesis: Hypothesis) -> None:
    """Any time in seconds over which an estimand measures a price is longer than the ticker's longest interval."""
    horizons = [float(seconds) for seconds in re.findall(r"impact (?:over|at) (\d+) s", hypothesis.estimand)]
    longest = hypothesis.max_ticker_interval_s
    assert all(longest is not None and longest < horizon for horizon in horizons)


def test_claims_on_sessions_and_weekends_have_the_minima_of_the_design() -> None:
    assert find_hypothesis("Q6.1").min_days == find_hypothesis("Q6.2").min_days == 5
    assert find_hypothesis("Q6.4").min_weekends == 4


def test_claims_that_the_plan_puts_as_ranges_are_ranges() -> None:
    ranges = {hypothesis.id: hypothesis.claimed_range for hypothesis in HYPOTHESES if hypothesis.claimed_range}
    assert ranges == {"Q3.1": (0.3, 0.6), "Q3.4": (0.0, 5.0)}


def test_nine_days_can_meet_every_minimum_but_that_of_weekends() -> None:
    """Blocks are at most 6 h long: nine days hold 36 of them, whatever length the data chooses."""
    for hypothesis in HYPOTHESES:
        assert hypothesis.min_blocks <= 9 * 24 / 6
        assert hypothesis.min_days <= 9
    assert [hypothesis.id for hypothesis in HYPOTHESES if hypothesis.min_weekends] == ["Q6.4"]


def test_an_id_is_found_in_capitals_or_not() -> None:
    assert find_hypothesis(" q7.4 ") is HYPOTHESES[27]


@EVERY
def test_the_page_holds_the_whole_declaration(hypothesis: Hypothesis) -> None:
    page = build_hypotheses_page()
    section = page.split(f"\n### {hypothesis.id}\n")[1].split("\n### ")[0]
    for name, text in describe_hypothesis(hypothesis):
        line = next(line for line in section.splitlines() if line.startswith(f"- *{name}*: "))
        shown = re.sub(r"\\([|<>*])", r"\1", line.removeprefix(f"- *{name}*: "))
        assert shown == text or "See [" in shown


def test_what_the_page_says_once_is_linked(repository: Path) -> None:
    page = build_hypotheses_page()
    anchors = {heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", page, re.MULTILINE)}
    linked = set(re.findall(r"\]\(#([\w-]+)\)", page))
    assert len(linked) == 6
    assert linked <= anchors
    for target in re.findall(r"\]\(([\w./-]+)\)", page):
        assert (repository / "docs" / target).is_file()


def test_the_page_is_fresh(repository: Path) -> None:
    page = (repository / "docs" / "hypotheses.md").read_text(encoding="utf-8")
    assert page == build_hypotheses_page(), "run python tools/make_docs.py"


def test_the_plan_at_hand_has_the_same_findings(shared_data: Path) -> None:
    path = shared_data.parent / "reference" / "plan.md"
    text = path.read_text(encoding="utf-8")
    for hypothesis in HYPOTHESES[:28]:
        assert f"\n- {hypothesis.claim}\n" in text
