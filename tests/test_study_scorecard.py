"""The scorecard: the plan's criteria in its words, measured as they are written, beside what noise alone gives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from small_market import HOURS, QUICK, Market

from liqlab.cascades import get_preset
from liqlab.cli import main
from liqlab.core import schema
from liqlab.core.errors import ConfigError, EnvironmentFailure
from liqlab.models import IC_COMPARISON
from liqlab.study import (
    CRITERIA,
    QUESTION_TABLES,
    StrategyResult,
    compute_scorecard,
    load_study_config,
    measure_scorecard,
    scorecard_to_json,
    store_scorecard,
)
from liqlab.study import _scorecard_null as null_module
from liqlab.study._scorecard import ScorecardRow, score_criteria
from liqlab.study._scorecard_measures import Measured, ScorecardEvidence
from liqlab.study._scorecard_null import FIRST_SCORECARD_SEED, NullScorecard, ScoredSeed
from liqlab.study._scorecard_rates import NullRate, read_null_rates
from liqlab.worlds import load_world

NOTHING = ScorecardEvidence(
    n_liquidations=10,
    reconciled=True,
    n_cascades=49,
    preset=get_preset("plan"),
    ic=schema.IC.empty(),
    ic_comparison=IC_COMPARISON.empty(),
    tables={},
)
STRATEGIES = {
    "cascade_fade": StrategyResult(1.6, 1.1, 40),
    "imbalance_reversal": StrategyResult(2.0, 0.5, 30),
    "zone_bounce": StrategyResult(9.0, 9.0, 29),
}


def measure(identifier: str, evidence: ScorecardEvidence) -> Measured:
    (found,) = (row.measured for row in score_criteria(evidence) if row.criterion.id == identifier)
    return found


def ic_rows(*rows: dict[str, Any]) -> pl.DataFrame:
    usual = {"symbol": "ALL", "target": "return", "regime": "all", "horizon_s": 300, "p": 0.5, "p_adjusted": 0.9}
    empty = dict.fromkeys(schema.IC.names)
    return pl.DataFrame([empty | usual | row for row in rows], schema=schema.IC.dtypes)


def table_of(question: str, name: str, *rows: dict[str, Any]) -> dict[str, pl.DataFrame]:
    (table,) = (one for one in QUESTION_TABLES[question] if one.name == name)
    return {name: pl.DataFrame([dict.fromkeys(table.names) | row for row in rows], schema=table.dtypes)}


def test_the_criteria_are_the_plans_in_its_words_and_order(repository: Path) -> None:
    lines = (repository / "docs" / "plan_items.txt").read_text(encoding="utf-8").splitlines()
    items = [tuple(line.split(": ", 1)) for line in lines if line[0] == "C" and line[1].isdigit()]
    assert [(one.id, one.as_written) for one in CRITERIA] == items
    assert [one.level for one in CRITERIA] == ["minimum"] * 4 + ["good"] * 4 + ["excellent"] * 4


def test_without_any_table_what_cannot_be_measured_says_why() -> None:
    rows = {row.criterion.id: row.measured for row in score_criteria(NOTHING)}
    assert {name for name, one in rows.items() if one.met is None} == {*CRITERIA_IDS} - {"C1", "C2", "C7"}
    assert all(one.reason for one in rows.values() if one.met is None)
    assert {rows[name].reason for name in ("C4", "C6", "C10")} == {"needs the backtest"}


CRITERIA_IDS = tuple(one.id for one in CRITERIA)


@pytest.mark.parametrize(("count", "met"), [(49, False), (50, True)])
def test_fifty_cascades_are_asked_for(count: int, met: bool) -> None:
    assert measure("C2", replace(NOTHING, n_cascades=count)).met is met


def test_records_that_do_not_add_up_or_are_none_are_not_parsed() -> None:
    assert measure("C1", NOTHING).met is True
    assert measure("C1", replace(NOTHING, reconciled=False)).met is False
    assert measure("C1", replace(NOTHING, n_liquidations=0)).met is False


def test_the_ic_criterion_takes_the_largest_without_its_sign_among_returns_at_all_times() -> None:
    rows = ic_rows(
        {"feature": "liq_rate", "ic": 0.04, "ci_low": 0.01, "ci_high": 0.07},
        {"feature": "liq_imbalance", "ic": -0.06, "ci_low": -0.1, "ci_high": -0.02, "p": 0.01, "p_adjusted": 0.03},
        {"feature": "liq_rate", "ic": 0.3, "target": "volatility"},
        {"feature": "liq_rate", "ic": 0.3, "regime": "quiet"},
        {"feature": "liq_rate", "ic": 0.3, "symbol": "BTCUSDT"},
        {"feature": "return_5m", "ic": 0.3},
        {"feature": "liq_rate", "ic": 0.4, "p": None},
    )
    found = measure("C5", replace(NOTHING, ic=rows))
    assert (found.met, found.value, found.interval, found.p_adjusted) == (True, 0.06, (0.02, 0.1), 0.03)
    assert "1 of 2 coefficients are beyond 0.05, 1 of them survive" in found.words
    assert measure("C5", replace(NOTHING, ic=rows.head(1))).met is False
    assert measure("C3", replace(NOTHING, ic=rows)).met is True
    assert measure("C3", replace(NOTHING, ic=rows.head(1))).met is None


def test_one_symbol_alone_is_scored_by_itself() -> None:
    rows = ic_rows({"feature": "liq_rate", "ic": 0.07, "symbol": "BTCUSDT"})
    assert measure("C5", replace(NOTHING, ic=rows)).met is True


@pytest.mark.parametrize(("low", "met"), [(0.001, True), (-0.001, False)])
def test_outperforming_needs_the_whole_interval_above_zero(low: float, met: bool) -> None:
    row = {"target": "return", "horizon_s": None, "liquidation_ic": 0.02, "other_ic": 0.01, "difference": 0.01}
    row |= {"ci_low": low, "ci_high": 0.03, "p": 0.1, "p_adjusted": 0.2, "days": 9}
    frame = pl.DataFrame([dict.fromkeys(IC_COMPARISON.names) | row], schema=IC_COMPARISON.dtypes)
    assert measure("C9", replace(NOTHING, ic_comparison=frame)).met is met


@pytest.mark.parametrize(("r2", "met"), [(0.31, True), (0.3, False)])
def test_open_interest_is_explained_over_all_symbols_and_regimes(r2: float, met: bool) -> None:
    base = {"symbol": "ALL", "bar_min": 5, "lag_s": 0, "r2_low": 0.1, "r2_high": 0.5}
    tables = table_of(
        "Q3",
        "oi_explained",
        base | {"regime": "all", "r2": r2},
        base | {"regime": "volatile", "r2": 0.9},
        base | {"regime": "all", "r2": 0.9, "lag_s": 5},
        base | {"regime": "all", "r2": 0.9, "bar_min": 15},
    )
    found = measure("C8", replace(NOTHING, tables=tables))
    assert (found.met, found.value, found.interval) == (met, r2, (0.1, 0.5))
    assert "volatile 90.0 %" in found.words


@pytest.mark.parametrize(("increase", "p", "met"), [(0.01, 0.04, True), (0.01, 0.06, False), (-0.01, 0.001, False)])
def test_contagion_must_be_positive_and_significant_after_correction(increase: float, p: float, met: bool) -> None:
    row = {"cause": "BTCUSDT", "effect": "ETHUSDT", "increase": increase, "p": p, "p_adjusted": p}
    tables = table_of("Q7", "contagion_responses", row | {"ci_low": -0.1, "ci_high": 0.1})
    assert measure("C11", replace(NOTHING, tables=tables)).met is met


@pytest.mark.parametrize(("rate", "met"), [(0.61, True), (0.6, False)])
def test_the_hit_rate_of_zones_stands_beside_that_of_other_levels(rate: float, met: bool) -> None:
    row = {"group": "all", "zones": rate, "other_levels": 0.58, "n_zones": 100}
    name = "reversal where a barrier was reached (probability)"
    found = measure("C12", replace(NOTHING, tables=table_of("Q4", "zone_scores", row | {"measure": name})))
    assert found.met is met
    assert "at matched levels 58.0 %" in found.words
    assert found.interval is not None
    assert found.interval[0] < rate < found.interval[1]


def test_the_detector_is_scored_in_simulated_markets_alone() -> None:
    found = measure("C7", NOTHING)
    assert found.met is False
    assert "simulated plan world" in found.words
    assert "does not hold which liquidation caused which" in found.note
    assert measure("C7", replace(NOTHING, preset=replace(get_preset("plan"), max_gap_ms=9_000))).met is None


def test_strategies_with_too_few_trades_do_not_count() -> None:
    evidence = replace(NOTHING, strategies=STRATEGIES)
    assert measure("C4", evidence).value == 2.0
    assert measure("C4", evidence).met is True
    assert measure("C6", evidence).value == 2.0
    assert measure("C10", evidence).met is False
    better = STRATEGIES | {"zone_bounce": StrategyResult(1.7, 1.2, 31)}
    assert measure("C10", replace(NOTHING, strategies=better)).met is True
    few = {"zone_bounce": StrategyResult(9.0, 9.0, 29)}
    assert measure("C6", replace(NOTHING, strategies=few)).met is None


@pytest.mark.parametrize(
    ("met", "share", "status"),
    [
        (True, 0.2, "met"),
        (True, 0.21, "met, uninformative"),
        (True, None, "met"),
        (False, 0.9, "not met"),
        (None, 0.9, "not testable"),
    ],
)
def test_what_noise_meets_more_than_one_time_in_five_is_uninformative(
    met: bool | None, share: float | None, status: str
) -> None:
    rate = None if share is None else NullRate((share, 0.1, 0.9), 50, "null", 9.0)
    row = ScorecardRow(CRITERIA[4], Measured("words", met), rate)
    assert row.status == status
    (record,) = scorecard_to_json([row])
    assert (record["met"], record["null_rate"], record["status"]) == (met, share, status)


def test_a_study_has_the_whole_scorecard_as_plain_values(market: Market) -> None:
    records = market.study.scorecard
    assert [record["id"] for record in records] == list(CRITERIA_IDS)
    assert json.loads(json.dumps(records, allow_nan=False)) == list(records)
    assert all(record["measured"] or record["reason"] for record in records)
    assert records[0]["met"] is True


def test_the_backtests_of_a_study_are_scored_and_without_them_their_criteria_are_not_testable(market: Market) -> None:
    assert market.study.backtests is not None
    rows = {row.criterion.id: row for row in compute_scorecard(market.study, {})}
    assert rows["C4"].measured.met is not None
    assert all(row.null_rate is None for row in rows.values())
    rows = {row.criterion.id: row for row in compute_scorecard(replace(market.study, backtests=None), {})}
    assert [rows[name].status for name in ("C4", "C6", "C10")] == ["not testable"] * 3


def scorecard_of(*flags: Mapping[str, bool | None], days: float = 9.0, world: str = "null") -> NullScorecard:
    seeds = tuple(ScoredSeed(place, dict.fromkeys(CRITERIA_IDS) | dict(own)) for place, own in enumerate(flags))
    return NullScorecard(world, days, ("BTCUSDT",), "mark", seeds)


def test_rates_are_shares_of_all_seeds_and_unknown_where_none_could_be_tested(tmp_path: Path) -> None:
    scorecard = scorecard_of({"C5": True, "C7": True}, {"C5": False}, {"C5": None}, {"C5": True})
    rates = scorecard.rates()
    assert rates["C5"] is not None
    assert rates["C5"][0] == 0.5
    assert rates["C5"][1] < 0.5 < rates["C5"][2]
    assert rates["C6"] is None
    assert rates["C7"] is None
    path = store_scorecard(scorecard, tmp_path / "null.json")
    assert set(read_null_rates(9.0, path)) == {"C5"}
    assert read_null_rates(9.0, path)["C5"] == NullRate(rates["C5"], 4, "null", 9.0)


def test_the_stored_length_nearest_to_the_data_is_taken_and_other_worlds_are_not(tmp_path: Path) -> None:
    path = tmp_path / "null.json"
    for days, met in ((9.0, True), (90.0, False)):
        store_scorecard(scorecard_of({"C5": met}, days=days), path)
    store_scorecard(scorecard_of({"C5": False}, world="planted"), path)
    assert read_null_rates(8.0, path)["C5"].share[0] == 1.0
    assert read_null_rates(60.0, path)["C5"].days == 90.0
    store_scorecard(scorecard_of({"C5": False}), path)
    assert read_null_rates(8.0, path)["C5"].share[0] == 0.0
    assert read_null_rates(8.0, tmp_path / "none.json") == {}
    path.write_text("{", encoding="utf-8")
    with pytest.raises(EnvironmentFailure, match=r"null\.json"):
        read_null_rates(8.0, path)


def test_the_packaged_rates_can_be_read() -> None:
    for rate in read_null_rates(9.0).values():
        assert 0.0 <= rate.share[1] <= rate.share[0] <= rate.share[2] <= 1.0


class _Stop(Exception):
    """An interruption."""


def test_an_interrupted_measurement_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scored: list[int] = []

    def score(task: null_module._SeedTask) -> ScoredSeed:
        if len(scored) == 2 and task.seed == FIRST_SCORECARD_SEED + 2:
            scored.append(-1)
            raise _Stop
        scored.append(task.seed)
        return ScoredSeed(task.seed, {"C5": task.seed % 2 == 0})

    monkeypatch.setattr(null_module, "_score", score)
    world = load_world("null")
    with pytest.raises(_Stop):
        measure_scorecard(world, 4, work=tmp_path, workers=1)
    whole = measure_scorecard(world, 4, work=tmp_path, workers=1)
    wanted = [FIRST_SCORECARD_SEED + place for place in range(4)]
    assert scored == [*wanted[:2], -1, *wanted[2:]]
    assert [seed.seed for seed in whole.seeds] == wanted
    assert measure_scorecard(world, 4, work=tmp_path, workers=1) == whole
    measure_scorecard(world, 1, work=tmp_path, workers=1, days=3.0)
    assert scored[-1] == wanted[0]


def test_a_measurement_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one seed and days above 0"):
        measure_scorecard(load_world("null"), 0)


def test_a_short_null_world_is_scored_by_the_runs_own_functions() -> None:
    config = load_study_config(ic=QUICK["ic"], questions=HOURS["questions"], regimes=HOURS["regimes"])
    found = measure_scorecard(
        load_world("null"), 1, days=0.25, symbols=("BTCUSDT", "ETHUSDT"), config=config, workers=1
    )
    (seed,) = found.seeds
    assert list(seed.met) == list(CRITERIA_IDS)
    assert seed.met["C1"] is True
    assert seed.met["C3"] is True
    assert seed.met["C5"] is not None
    assert seed.met["C4"] is not None


def test_the_command_stores_rates_and_prints_each_criterion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(null_module, "_score", lambda task: ScoredSeed(task.seed, {"C5": True}))
    command = ["calibrate", "--scorecard", "--seeds", "2", "--work", str(tmp_path), "-o", str(tmp_path / "rates.json")]
    assert main([*command, "--workers", "1"]) == 0
    shown = capsys.readouterr().out
    assert all(one.id in shown for one in CRITERIA)
    assert read_null_rates(9.0, tmp_path / "rates.json")["C5"].share[0] == 1.0
