"""The look-ahead audit: every planted bug is caught, and nothing is wrong with the chain itself."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from liqlab.audit import (
    PLANTED_BUGS,
    ChainConfig,
    Cut,
    PlantedBug,
    SelfTest,
    audit_chain,
    audit_lookahead,
    compute_chain,
    get_planted_bug,
    self_test_chain,
)
from liqlab.core.errors import UserError
from liqlab.core.schema import TIME
from liqlab.features import FEATURES
from liqlab.lake import load_liquidations, load_ticker
from liqlab.models import WalkForwardConfig
from liqlab.regimes import RegimeConfig
from liqlab.worlds import DEFAULT_START_MS, simulate

HOUR_MS = 3_600_000

#: Everything that the chain does, on a few hours of data.
SMALL = ChainConfig(
    regimes=RegimeConfig(
        volatility_window_s=900,
        quantile_window_days=0.25,
        quantile_min_history_hours=1.0,
        hmm_window_days=0.5,
        hmm_min_history_hours=6.0,
        hmm_refit_hours=1,
        hmm_starts=1,
    ),
    walk_forward=WalkForwardConfig(
        return_horizons_s=(300,),
        volatility_horizons_s=(300,),
        splits=("expanding",),
        models=("har", "ridge", "xgboost"),
        refit_hours=2,
        min_train_hours=3.0,
        min_train_rows=20,
        importance=False,
    ),
)
KINDS = {
    "inside a burst",
    "a row under way",
    "1 ms after an edge",
    "inside a gap",
    "on a whole minute",
    "just after a refit",
    "just after a change of regime",
}


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight hours around midnight of two symbols, with gaps, repeats, corrupt lines and late pushes."""
    folder = tmp_path_factory.mktemp("lookahead") / "captures"
    start_ms = DEFAULT_START_MS + 18 * HOUR_MS
    simulate(folder, days=1 / 3, seed=3, symbols=("BTCUSDT", "ETHUSDT"), start_ms=start_ms, dirt=True, workers=1)
    return folder


@pytest.fixture(scope="module")
def self_test(captures: Path) -> SelfTest:
    return self_test_chain(captures, SMALL, n_cuts=7, workers=1)


@pytest.mark.parametrize("bug", PLANTED_BUGS, ids=lambda bug: bug.name)
def test_each_planted_bug_is_caught(bug: PlantedBug, self_test: SelfTest) -> None:
    check = self_test.caught[bug.name]
    assert check is not None
    assert check.first is not None
    assert check.first.full != check.first.at_cut


def test_nothing_is_wrong_with_the_chain_itself(self_test: SelfTest) -> None:
    assert self_test.false_alarms == ()
    assert self_test.passed


def test_the_cuts_are_of_every_kind_that_shows_something(self_test: SelfTest) -> None:
    assert {cut.kind for cut in self_test.report.cuts} == KINDS


def test_every_table_and_every_feature_was_compared(self_test: SelfTest) -> None:
    n_values = {(check.table, check.column): check.n_values for check in self_test.report.checks["look-ahead"]}
    tables = {table for table, _ in n_values if not table.startswith("planted")}
    assert tables == {
        *("liquidations", "ticker", "bars_1s", "bars_5s", "bars_1m", "bars_1h", "dataset"),
        *("cascades_confirmed", "cascades", "regimes", "features", "predictions"),
    }
    assert all(n_values["features", feature.name] > 1_000 for feature in FEATURES)
    assert n_values["predictions", "prediction"] > 0
    assert min(n_values.values()) > 0


def test_the_features_were_looked_at_inside_gaps(self_test: SelfTest) -> None:
    looked_at = {check.column: check.n_values for check in self_test.report.checks["gap"] if check.table == "features"}
    assert set(looked_at) == {feature.name for feature in FEATURES}
    assert min(looked_at.values()) > 10


def test_what_the_chain_compares_is_not_empty(captures: Path) -> None:
    tables = compute_chain(captures, config=SMALL)
    assert tables["predictions"]["prediction"].is_finite().sum() > 50
    assert tables["predictions"]["model"].n_unique() == 3
    assert tables["predictions"]["fold"].n_unique() > 1
    assert tables["regimes"]["regime"].n_unique() == 3
    assert tables["regimes"]["volatile_probability"].count() > 10
    assert tables["cascades"].height > 5
    assert all({"symbol", "time"} <= set(frame.columns) for frame in tables.values())
    assert [column.name for column in tables["features"] if column.count() == 0] == []


def test_an_unknown_bug_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(UserError, match=r"unknown planted bug 'magic'; available: .*centred window"):
        get_planted_bug("magic")


def test_bugs_are_told_apart_by_name() -> None:
    assert len({bug.name for bug in PLANTED_BUGS}) == len(PLANTED_BUGS) >= 14


def count_known(captures: Path, _now_ms: int | None) -> dict[str, pl.DataFrame]:
    """A chain without a flaw: the liquidations known so far, at each of them."""
    rows = load_liquidations(captures)
    return {"counts": rows.select("symbol", time="known_time", so_far=pl.int_range(pl.len()).over("symbol"))}


def share_known(captures: Path, _now_ms: int | None) -> dict[str, pl.DataFrame]:
    """A chain that divides by what is only known at the end."""
    counts = count_known(captures, None)["counts"]
    share = pl.col("so_far") / pl.col("so_far").max().over("symbol")
    return {"counts": counts, "shares": counts.select("symbol", "time", share=share)}


def name_after_size(captures: Path, _now_ms: int | None) -> dict[str, pl.DataFrame]:
    """A chain whose column is called after how much there is."""
    rows = load_liquidations(captures)
    return {"sides": rows.select("symbol", pl.lit(1.0).alias(f"n_{rows.height}"), time="known_time")}


def reach_to_now(_captures: Path, now_ms: int | None) -> dict[str, pl.DataFrame]:
    """A chain that was asked for a moment, and says so."""
    times = [DEFAULT_START_MS] if now_ms is None else [DEFAULT_START_MS, now_ms]
    return {"now": pl.DataFrame({"symbol": "BTCUSDT", "time": pl.Series(times).cast(TIME)})}


def hold_price(captures: Path, _now_ms: int | None) -> dict[str, pl.DataFrame]:
    """A bar every hour that says the recorder was not listening, and a price in each all the same."""
    price = load_ticker(captures)["mark_price"][0]
    times = pl.Series([DEFAULT_START_MS + hour * HOUR_MS for hour in range(3)]).cast(TIME)
    bars = pl.DataFrame({"symbol": "BTCUSDT", "time": times, "covered": [True, False, True]})
    return {"bars_5s": bars, "held": bars.select("symbol", "time", price=pl.lit(price), empty=pl.lit(None, pl.Float64))}


CUT = Cut(DEFAULT_START_MS + 22 * HOUR_MS, "chosen")


def test_a_chain_without_a_flaw_passes(captures: Path) -> None:
    report = audit_lookahead(captures, count_known, [CUT], workers=1)
    assert report.passed
    assert report.cuts == (CUT,)
    assert report.n_values > 100
    assert report.render().endswith("no look-ahead found")


def test_the_report_names_column_time_symbol_both_values_and_cut(captures: Path) -> None:
    report = audit_lookahead(captures, share_known, [CUT], workers=1)
    (wrong,) = report.list_wrong()
    assert (wrong.table, wrong.column) == ("shares", "share")
    first = wrong.first
    assert first is not None
    full = share_known(captures, None)["shares"].filter(symbol="BTCUSDT")
    # The first share is zero however many come; the second is the first that can be wrong.
    assert first.symbol == "BTCUSDT"
    assert first.time_ms == full["time"].to_physical()[1]
    assert first.full == str(full["share"][1])
    assert float(first.at_cut) > float(first.full)
    assert first.cut == CUT
    text = report.render()
    for shown in ("shares.share", first.full, first.at_cut, "2026-02-09 22:00:00.000 (chosen)", "LOOK-AHEAD"):
        assert shown in text


def test_a_column_that_disappears_fails(captures: Path) -> None:
    report = audit_lookahead(captures, name_after_size, [CUT], workers=1)
    values = {check.first.full: check.first.at_cut for check in report.list_wrong() if check.first is not None}
    assert values == {"a column": "no column", "no column": "a column"}


def test_a_row_that_appears_fails(captures: Path) -> None:
    (wrong,) = audit_lookahead(captures, reach_to_now, [CUT], workers=1).list_wrong()
    assert wrong.first is not None
    assert (wrong.column, wrong.first.time_ms, wrong.first.full) == ("(row)", CUT.time_ms, "no row")


def test_a_value_in_a_gap_fails_where_nothing_may_stand(captures: Path) -> None:
    assert audit_lookahead(captures, hold_price, [CUT], workers=1).passed
    report = audit_lookahead(captures, hold_price, [CUT], null_in_gaps=["held"], workers=1)
    (wrong,) = report.list_wrong("gap")
    assert not report.list_wrong("look-ahead")
    assert (wrong.column, wrong.n_wrong) == ("price", 1)
    assert wrong.first is not None
    assert wrong.first.time_ms == DEFAULT_START_MS + HOUR_MS
    assert "is 6" in report.render()


def test_the_report_survives_json(captures: Path) -> None:
    report = audit_lookahead(captures, share_known, [CUT], workers=1)
    again = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert again["passed"] is False
    assert again["cuts"] == [{"time_ms": CUT.time_ms, "kind": "chosen"}]
    assert [check["column"] for check in again["checks"]["look-ahead"] if check["n_wrong"]] == ["share"]


def test_a_table_without_a_row_before_the_cut_is_said_not_to_be_audited(captures: Path) -> None:
    early = Cut(DEFAULT_START_MS, "before everything")
    report = audit_lookahead(captures, count_known, [early], workers=1)
    assert report.n_values == 0
    assert "not audited, no row at or before a cut: counts" in report.render()


def test_the_number_of_workers_changes_nothing(captures: Path) -> None:
    cuts = [CUT, Cut(CUT.time_ms + HOUR_MS, "later")]
    one = audit_lookahead(captures, share_known, cuts, workers=1)
    assert audit_lookahead(captures, share_known, cuts, workers=2) == one


def test_the_chain_reaches_to_the_moment_it_is_asked_for(captures: Path) -> None:
    """A cut in a silence must not take the bars of the silence away."""
    late_ms = DEFAULT_START_MS + 40 * HOUR_MS
    bars = compute_chain(captures, late_ms, ChainConfig(walk_forward=SMALL.walk_forward))["bars_1h"]
    assert bars["time"].to_physical().max() == late_ms


def test_part_of_a_source_can_be_audited(captures: Path) -> None:
    config = ChainConfig(
        symbols=("ETHUSDT",),
        start_ms=DEFAULT_START_MS + 20 * HOUR_MS,
        end_ms=DEFAULT_START_MS + 23 * HOUR_MS,
        regimes=SMALL.regimes,
        walk_forward=SMALL.walk_forward,
    )
    report = audit_chain(captures, config, n_cuts=2, workers=1)
    assert report.passed
    assert all(config.start_ms < cut.time_ms < config.end_ms for cut in report.cuts)  # type: ignore[operator]


def test_the_page_lists_every_planted_bug_as_the_catalogue_has_it(repository: Path) -> None:
    page = (repository / "docs" / "audit.md").read_text(encoding="utf-8")
    listed = page.split("## The planted bugs")[1].split("\n## ")[0]
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in listed.splitlines() if "|" in line]
    assert rows[2:] == [(bug.name, bug.wrong, bug.rule) for bug in PLANTED_BUGS]


def test_the_page_explains_every_kind_of_cut(repository: Path, self_test: SelfTest) -> None:
    page = (repository / "docs" / "audit.md").read_text(encoding="utf-8")
    for kind in {cut.kind for cut in self_test.report.cuts} | {"anywhere", "1 ms after midnight"}:
        assert f"| {kind} |" in page
