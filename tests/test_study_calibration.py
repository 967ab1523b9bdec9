"""Calibration: rates from seeds, truth from how worlds are made, and nothing computed twice."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from liqlab.core.errors import ConfigError, EnvironmentFailure
from liqlab.stats import compute_wilson
from liqlab.study import HYPOTHESES, Finding, decide, find_hypothesis
from liqlab.study import _calibration as calibration_module
from liqlab.study._calibration import FIRST_CALIBRATION_SEED, Calibration, Outcome, SeedOutcomes, calibrate
from liqlab.study._calibration_rates import (
    CalibrationRow,
    PopulationValue,
    check_calibration,
    compute_rates,
    find_population,
    judge_truth,
)
from liqlab.study._calibration_store import build_calibration_page, render_criteria, store_calibration
from liqlab.study._questions import QUESTION_ANSWERS, judge_answers
from liqlab.worlds import load_world

MISSING = Outcome(None, None, None, None, 0, "needs more", "", "not testable")


def outcome(effect: float, reach: float = 1.0, p: float = 0.5, verdict: str = "inconclusive") -> Outcome:
    return Outcome(effect, effect - reach, effect + reach, p, 10, "", "", verdict)  # type: ignore[arg-type]


def calibration_of(identifier: str, outcomes: Sequence[Outcome], world: str = "null", days: float = 9.0) -> Calibration:
    """A calibration in which one hypothesis has these outcomes, and every other one cannot be tested."""
    seeds = tuple(
        SeedOutcomes(100 + place, {one.id: MISSING for one in HYPOTHESES} | {identifier: own})
        for place, own in enumerate(outcomes)
    )
    return Calibration(world, days, ("BTCUSDT",), "mark", seeds)


def row_of(identifier: str, calibration: Calibration) -> CalibrationRow:
    return next(row for row in compute_rates(calibration) if row.id == identifier)


def test_rates_are_shares_with_wilson_intervals_of_the_right_seeds() -> None:
    outcomes = [
        outcome(0.5, p=0.6),
        outcome(1.5, p=0.01),
        outcome(5.0, p=0.001, verdict="supported"),
        outcome(-3.0, p=0.001, verdict="rejected"),
        replace(outcome(9.0, p=0.001), doubt="most events unmatched"),
        MISSING,
    ]
    row = row_of("Q1.1", calibration_of("Q1.1", outcomes))
    assert row.testable == compute_wilson(4, 6)
    assert row.supported == compute_wilson(1, 6)
    assert row.rejected == compute_wilson(1, 6)
    assert row.raw_rejected == compute_wilson(3, 4)
    assert row.coverage == compute_wilson(1, 4)
    assert row.population.value == 0.0
    assert row.truth == "false"


def test_what_was_never_tested_has_no_rates_of_tests() -> None:
    row = row_of("Q6.4", calibration_of("Q1.1", [outcome(1.0)] * 3))
    assert row.testable is not None
    assert row.testable[0] == 0.0
    assert (row.raw_rejected, row.coverage, row.own_minimum_detectable) == (None, None, None)


def test_effects_of_liquidations_are_zero_by_construction_where_nothing_follows_from_one() -> None:
    few = [outcome(value) for value in (1.0, 3.0)]
    for world, declared in (("null", True), ("random-walk", True), ("planted", False)):
        assert find_population(find_hypothesis("Q1.3"), world, few).declared is declared
    assert not find_population(find_hypothesis("Q7.2"), "null", few).declared
    measured = find_population(find_hypothesis("Q7.2"), "null", few)
    assert measured.value == 2.0
    assert measured.standard_error == pytest.approx(1.0)
    assert measured.source == "mean estimate of 2 seeds, provisional: fewer than 500"
    assert find_population(find_hypothesis("Q7.2"), "null", [MISSING]).value is None


@pytest.mark.parametrize(
    ("identifier", "value", "error", "truth"),
    [
        ("Q1.1", 1.5, 0.1, "true"),
        ("Q1.1", 1.1, 0.1, "undefined"),
        ("Q1.1", 0.5, 0.1, "false"),
        ("Q1.1", -5.0, 0.1, "false"),
        ("Q3.2", 0.9, 0.01, "true"),
        ("Q3.2", 0.52, 0.001, "false"),
        ("Q3.4", 2.0, 0.1, "true"),
        ("Q3.4", 4.9, 0.1, "undefined"),
        ("Q3.4", 7.0, 0.1, "false"),
        ("Q1.1", None, None, "undefined"),
    ],
)
def test_truth_is_the_population_value_against_what_matters(
    identifier: str, value: float | None, error: float | None, truth: str
) -> None:
    assert judge_truth(find_hypothesis(identifier), PopulationValue(value, error, 500, declared=False)) == truth


def test_the_detectable_effect_is_supported_in_four_of_five_runs() -> None:
    random = np.random.default_rng(3)
    hypothesis, spread = find_hypothesis("Q1.1"), 2.0
    row = row_of("Q1.1", calibration_of("Q1.1", [outcome(value) for value in random.normal(0.0, spread, 2_000)]))
    assert row.own_minimum_detectable is not None
    assert row.minimum_detectable[9] == row.own_minimum_detectable
    drawn = random.normal(row.own_minimum_detectable, spread, 4_000)
    p = [math.erfc(abs(value) / spread / math.sqrt(2.0)) * len(HYPOTHESES) for value in drawn]
    verdicts = [
        decide(hypothesis, Finding("Q1.1", value, value - 1.96 * spread, value + 1.96 * spread, one, 9), min(one, 1.0))
        for value, one in zip(drawn, p, strict=True)
    ]
    assert np.mean([verdict == "supported" for verdict in verdicts]) == pytest.approx(0.8, abs=0.03)


def test_longer_data_detects_less_but_never_less_than_what_matters() -> None:
    outcomes = [outcome(value) for value in (-30.0, 30.0, -30.0, 30.0)]
    by_days = row_of("Q1.1", calibration_of("Q1.1", outcomes)).minimum_detectable
    short, long = by_days[9], by_days[90]
    assert short is not None
    assert long is not None
    assert short / long == pytest.approx(math.sqrt(10.0))
    least = row_of("Q1.1", calibration_of("Q1.1", [outcome(value) for value in (-0.01, 0.01)])).minimum_detectable[90]
    delta = find_hypothesis("Q1.1").delta
    assert least is not None
    assert delta < least < 1.02 * delta


def criteria_of(calibration: Calibration) -> dict[tuple[str, str], bool]:
    return {(one.id, one.name): one.passed for one in check_calibration(calibration, compute_rates(calibration))}


def test_a_test_that_rejects_too_often_or_covers_too_rarely_fails() -> None:
    good = [outcome(0.0, p=0.01 if place < 10 else 0.5) for place in range(200)]
    bad = [outcome(2.0 if place < 30 else 0.0, p=0.01 if place < 30 else 0.5) for place in range(200)]
    assert criteria_of(calibration_of("Q1.1", good))[("Q1.1", "size")]
    assert not criteria_of(calibration_of("Q1.1", bad))[("Q1.1", "size")]
    assert not criteria_of(calibration_of("Q1.1", bad))[("Q1.1", "coverage")]


def test_covering_too_often_is_reported_and_not_held_against_the_test() -> None:
    calibration = calibration_of("Q1.1", [outcome(0.0)] * 200)
    found = check_calibration(calibration, compute_rates(calibration))
    coverage = next(one for one in found if one.name == "coverage")
    assert coverage.passed
    assert coverage.note == "covers too often"


def test_supported_false_claims_count_once_per_seed_over_the_whole_family() -> None:
    def passes(n_wrong: int) -> bool:
        outcomes = [outcome(3.0, 1.0, 0.001, "supported")] * n_wrong + [outcome(0.0)] * (200 - n_wrong)
        return criteria_of(calibration_of("Q1.1", outcomes))[("ALL", "false support")]

    assert passes(10)
    assert passes(15)
    assert not passes(25)


def test_power_is_asked_for_in_the_strong_world_at_nine_days_of_true_claims_only() -> None:
    outcomes = [outcome(3.0, 1.0, 0.001, "supported")] * 7 + [outcome(3.1)] * 3
    assert criteria_of(calibration_of("Q1.1", outcomes, "planted-strong"))[("Q1.1", "power")] is False
    outcomes = [*outcomes[:7], outcome(3.1)]
    assert criteria_of(calibration_of("Q1.1", outcomes, "planted-strong"))[("Q1.1", "power")] is True
    for world, days in (("planted", 9.0), ("planted-strong", 3.0)):
        assert ("Q1.1", "power") not in criteria_of(calibration_of("Q1.1", outcomes, world, days))


def test_what_is_stored_is_read_back_and_other_worlds_stay(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    store_calibration(calibration_of("Q1.1", [outcome(0.2), outcome(-0.2)]), path)
    store_calibration(calibration_of("Q1.1", [outcome(2.0)] * 3, "planted"), path)
    store_calibration(calibration_of("Q1.1", [outcome(0.1)] * 5), path)
    content = json.loads(path.read_text(encoding="utf-8"))
    assert [(run["world"], run["seeds"]) for run in content["runs"]] == [("null", 5), ("planted", 3)]
    assert len(content["rows"]) == 2 * len(HYPOTHESES)
    row = next(one for one in content["rows"] if one["id"] == "Q1.1" and one["world"] == "null")
    assert row["coverage"] == list(compute_wilson(5, 5))
    assert {"id", "world", "days", "seeds", "truth", "minimum_detectable", "supported", "rejected"} <= set(row)
    page = build_calibration_page(path)
    assert "## `null`, 9 days" in page
    assert page.count("| Q1.1 |") == 4
    assert page.count("Q6.4") == 2
    assert "declared" in page


def test_a_damaged_store_is_named(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    path.write_text("{", encoding="utf-8")
    with pytest.raises(EnvironmentFailure, match=r"calibration\.json"):
        store_calibration(calibration_of("Q1.1", [outcome(0.2)]), path)


def test_criteria_are_told_failures_first() -> None:
    outcomes = [outcome(3.0, 1.0, 0.001, "supported")] * 20
    calibration = calibration_of("Q1.1", outcomes)
    rows = compute_rates(calibration)
    lines = render_criteria(check_calibration(calibration, rows), rows).splitlines()
    assert lines[0].startswith("fails")
    assert any(line.startswith("never testable at this length: Q1.2, Q1.3") for line in lines)
    assert lines[-1] == "0 of 3 criteria met"


class _Stop(Exception):
    """An interruption."""


def test_an_interrupted_calibration_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[int] = []

    def measure(task: calibration_module._SeedTask) -> SeedOutcomes:
        if len(measured) == 3 and task.seed == FIRST_CALIBRATION_SEED + 3:
            measured.append(-1)
            raise _Stop
        measured.append(task.seed)
        return SeedOutcomes(task.seed, {one.id: outcome(float(task.seed)) for one in HYPOTHESES})

    monkeypatch.setattr(calibration_module, "_measure", measure)
    world = load_world("null")
    with pytest.raises(_Stop):
        calibrate(world, 5, work=tmp_path, workers=1)
    whole = calibrate(world, 5, work=tmp_path, workers=1)
    wanted = [FIRST_CALIBRATION_SEED + place for place in range(5)]
    assert measured == [*wanted[:3], -1, *wanted[3:]]
    assert [seed.seed for seed in whole.seeds] == wanted
    assert whole.seeds[0].outcomes["Q1.1"] == outcome(float(wanted[0]))
    assert calibrate(world, 5, work=tmp_path, workers=1) == whole
    calibrate(world, 1, work=tmp_path, workers=1, symbols=("BTCUSDT",))
    assert measured[-1] == wanted[0]


@pytest.mark.parametrize(("seeds", "days"), [(0, 9.0), (1, 0.0), (1, math.inf)])
def test_a_calibration_of_nothing_is_refused(seeds: int, days: float) -> None:
    with pytest.raises(ConfigError, match="at least one seed and days above 0"):
        calibrate(load_world("null"), seeds, days=days)


def test_the_catalogue_answers_every_question_once() -> None:
    assert [name for name, _ in QUESTION_ANSWERS] == [f"Q{number}" for number in range(1, 8)]


def test_judging_refuses_two_findings_of_one_hypothesis() -> None:
    from liqlab.study._inference import Answer

    twice = [Answer("Q1", (Finding("Q1.1"),)), Answer("Q2", (Finding("Q1.1"),))]
    with pytest.raises(ValueError, match="two findings"):
        judge_answers(twice, ())


def test_a_short_market_has_an_outcome_for_every_hypothesis() -> None:
    found = calibrate(load_world("planted"), 1, days=0.25, symbols=("BTCUSDT", "ETHUSDT"), workers=1)
    (seed,) = found.seeds
    assert set(seed.outcomes) == {one.id for one in HYPOTHESES}
    assert all(one.shortfall for one in seed.outcomes.values() if one.verdict == "not testable")
    assert seed.outcomes["Q6.4"].verdict == "not testable"


def test_the_most_frequent_reason_not_to_test_is_told(tmp_path: Path) -> None:
    outcomes = [outcome(1.0), MISSING, replace(MISSING, shortfall="needs 4 weekends"), MISSING]
    assert row_of("Q6.4", calibration_of("Q6.4", outcomes)).hindrance == "needs more"
    assert row_of("Q6.4", calibration_of("Q6.4", [outcome(1.0)])).hindrance == ""
    path = store_calibration(calibration_of("Q6.4", outcomes[1:]), tmp_path / "calibration.json")
    assert "- Q6.4: needs more" in build_calibration_page(path)
