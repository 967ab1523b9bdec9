"""The run over whole sources: it reconciles, it is the same however it is asked, and it survives what data lacks."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from small_market import HOURS, QUICK, Market, study_captures, study_lake

from liqlab.core.errors import ConfigError, EnvironmentFailure, SourceError, UserError
from liqlab.core.schema import check_frame
from liqlab.features import FEATURES
from liqlab.lake import Lake
from liqlab.study import ALL, RESULT_TABLES, Study, load_study_config
from liqlab.worlds import simulate

T0 = 1_770_665_589_000


def liquidation(i: int, symbol: str = "BTCUSDT", side: str = "Buy", delay_ms: int = 300) -> str:
    time = T0 + 700 * i
    item = {"T": time, "s": symbol, "S": side, "v": "2", "p": "70000"}
    result = {"ts": time + 200, "data": [item]}
    return json.dumps({"ts": time + delay_ms + i, "stream": "liquidation", "symbol": symbol, "result": result})


def ticker(i: int, symbol: str = "BTCUSDT", step_ms: int = 5_000) -> str:
    fields = {"symbol": symbol, "lastPrice": str(70_000 + i), "openInterest": "100", "fundingRate": "0.0001"}
    return json.dumps({"ts": T0 + step_ms * i, "stream": "ticker", "symbol": symbol, "result": {"list": [fields]}})


def study_of(lines: list[str], folder: Path, tables: bool = True, **overrides: object) -> Study:
    captures = folder / "captures" / "any"
    captures.mkdir(parents=True)
    (captures / "lines.jsonl").write_text("\n".join(lines) + "\n")
    tables_folder = folder / "tables" if tables else None
    return study_captures(folder / "captures", folder / "lake", tables_folder, **{**QUICK, **overrides})


@pytest.fixture(scope="module")
def again(market: Market, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The captures of `market` once more, from the beginning, without a folder for the tables."""
    return study_captures(market.captures, tmp_path_factory.mktemp("again") / "lake", **HOURS)


def test_every_table_of_the_schema_is_written_with_its_columns(market: Market) -> None:
    assert set(market.study.table_rows) == {table.name for table in RESULT_TABLES}
    for table in RESULT_TABLES:
        frame = check_frame(pl.read_parquet(market.tables / f"{table.name}.parquet"), table)
        assert frame.height == market.study.table_rows[table.name]


def test_tables_of_the_predictive_analysis_hold_what_the_study_holds(market: Market) -> None:
    study = market.study
    for name, frame in predictive_tables(study).items():
        assert frame.height, name
        assert pl.read_parquet(market.tables / f"{name}.parquet").equals(frame), name


def predictive_tables(study: Study) -> dict[str, pl.DataFrame]:
    """What the study says of regimes, information coefficients and forecasts, by the name of its table."""
    ic, walk = study.ic, study.walk_forward
    return {
        "regimes": pl.concat(study.regimes[symbol].table for symbol in study.symbols),
        "ic": ic.table,
        "ic_daily": ic.daily,
        "ic_fifths": ic.fifths,
        "ic_comparison": ic.comparison,
        "predictions": walk.predictions,
        "walk_forward_scores": walk.scores,
        "walk_forward_comparisons": walk.comparisons,
        "walk_forward_importance": walk.importance,
        "walk_forward_trials": walk.trials,
    }


def test_the_same_data_twice_give_the_same_regimes_coefficients_and_predictions(market: Market, again: Study) -> None:
    second = predictive_tables(again)
    for name, frame in predictive_tables(market.study).items():
        assert frame.equals(second[name]), name
    assert again.cascades.equals(market.study.cascades)


def test_a_study_without_a_folder_for_tables_says_the_same_and_leaves_none(market: Market, again: Study) -> None:
    assert again.tables is None
    assert again.table_rows == market.study.table_rows
    assert again.ic.table.equals(pl.read_parquet(market.tables / "ic.parquet"))
    assert again.not_testable == market.study.not_testable
    assert again.feature_dictionary.equals(market.study.feature_dictionary)


def test_a_cascade_carries_the_regime_that_was_known_when_its_first_liquidation_was(market: Market) -> None:
    cascades = pl.read_parquet(market.tables / "cascades.parquet")
    minutes = pl.read_parquet(market.tables / "regimes.parquet")
    expected = []
    for symbol, start, end in cascades.select("symbol", "start", "end").iter_rows():
        own = pl.col("symbol") == symbol
        first_known = market.study.liquidations.filter(own, pl.col("event_time").is_between(start, end))[
            "known_time"
        ].min()
        expected.append(minutes.filter(own, pl.col("time") <= first_known).sort("time")["regime"][-1])
    assert cascades["regime"].to_list() == expected
    assert {"quiet", "volatile"} <= set(expected)


def test_every_column_without_a_value_is_not_testable_and_says_why(market: Market) -> None:
    tables = [pl.read_parquet(market.tables / f"{name}.parquet") for name in ("features", "labels")]
    empty = {
        (symbol[0], column)
        for table in tables
        for symbol, rows in table.group_by("symbol")
        for column in rows.columns
        if rows[column].null_count() == rows.height
    }
    said = {
        (symbol, column)
        for row in market.study.not_testable
        if (parts := row.what.split(" of "))[0].split(", ")[0] in columns_of(tables)
        for column in parts[0].split(", ")
        for symbol in parts[1].split(", ")
    }
    assert said == empty
    assert all(row.reason for row in market.study.not_testable)


def columns_of(tables: list[pl.DataFrame]) -> set[str]:
    return {column for table in tables for column in table.columns}


def test_a_market_without_ticker_or_ratio_says_of_each_feature_why_it_is_empty(tmp_path: Path) -> None:
    study = study_of([liquidation(i) for i in range(10)], tmp_path)
    reasons = {name: row.reason for row in study.not_testable for name in row.what.split(" of ")[0].split(", ")}
    needs_prices = [feature.name for feature in FEATURES if feature.price_step_s is not None]
    assert needs_prices
    assert {reasons[name] for name in needs_prices} == {"no ticker prices"}
    assert "ratio" in reasons["long_short_ratio"]
    assert reasons["return_60s"]


def test_a_dirty_source_reconciles(market: Market) -> None:
    study = market.study
    assert all(row.holds for row in study.reconciliation)
    assert sum(row.quarantined for row in study.reconciliation) == study.quarantine.height > 0
    assert sum(row.duplicates for row in study.reconciliation) > 0


def test_bars_of_every_width_hold_every_liquidation_once(market: Market) -> None:
    study = market.study
    for width in ("1s", "5s", "1m", "1h"):
        bars = pl.read_parquet(market.tables / f"bars_{width}.parquet")
        assert bars["liq_count"].sum() == study.liquidations.height
        assert bars["liq_notional"].sum() == pytest.approx(study.liquidations["notional_usd"].sum())
        assert not bars.select("symbol", "time").is_duplicated().any()


def test_the_dataset_walked_day_by_day_equals_one_join_over_everything(tmp_path: Path) -> None:
    from liqlab.panel import compute_coverage, join_dataset

    evening = 1_770_674_400_000  # 22:00, so that four hours cross midnight
    simulate(
        tmp_path / "captures", days=1 / 6, seed=5, symbols=("ETHUSDT",), start_ms=evening, ticker="websocket", dirt=True
    )
    study = study_captures(tmp_path / "captures", tmp_path / "lake", tmp_path / "tables", **QUICK)
    with Lake(tmp_path / "lake") as lake:
        whole = join_dataset(
            pl.read_parquet(tmp_path / "tables" / "bars_5s.parquet"),
            lake.read_ticker("ETHUSDT"),
            lake.read_long_short_ratio("ETHUSDT"),
            study.config.dataset,
            study.ticker_interval_ms,
        )
        assert compute_coverage(lake.read_deliveries()).height
    written = pl.read_parquet(tmp_path / "tables" / "dataset.parquet")
    assert written.height == 4 * 720
    assert written["time"].dt.date().n_unique() == 2
    assert written["mark_price"].drop_nulls().len() > 2_000
    assert written.equals(whole.select(written.columns))


def test_a_span_gives_the_rows_of_the_whole_that_lie_in_it(market: Market) -> None:
    part = study_lake(market.lake, start="2026-02-09T03:00", end="2026-02-09T05:30", **QUICK)
    inside = market.study.liquidations.filter(
        pl.col("known_time").is_between(
            pl.datetime(2026, 2, 9, 3, time_zone="UTC"), pl.datetime(2026, 2, 9, 5, 30, time_zone="UTC"), closed="left"
        )
    )
    assert part.liquidations.equals(inside)
    assert part.end_ms - part.start_ms == 3 * 3_600_000


def test_what_the_span_leaves_out_is_not_covered(market: Market) -> None:
    part = study_lake(market.lake, start="2026-02-09T03:30", end="2026-02-09T04:00", **QUICK)
    assert part.statistics[ALL].covered_hours == pytest.approx(0.5)
    before = part.bars_1m.filter(pl.col("time") < pl.datetime(2026, 2, 9, 3, 30, time_zone="UTC"))
    assert before.height
    assert not before["covered"].any()


def test_symbols_select_and_an_unknown_one_is_refused_with_what_there_is(market: Market) -> None:
    part = study_lake(market.lake, symbols=("ETHUSDT",), **QUICK)
    assert part.liquidations.equals(market.study.liquidations.filter(pl.col("symbol") == "ETHUSDT"))
    with pytest.raises(UserError, match="'XRPUSDT'; available: BTCUSDT, ETHUSDT"):
        study_lake(market.lake, symbols=("XRPUSDT",))


def test_liquidations_without_any_ticker_still_give_statistics_and_cascades(tmp_path: Path) -> None:
    study = study_of([liquidation(i) for i in range(10)], tmp_path)
    assert study.statistics[ALL].published.events == 10
    assert study.cascades.height == 1
    assert study.cascades["displacement_bps"].to_list() == [None]
    assert any("no ticker" in row.reason for row in study.not_testable)


def test_a_ticker_without_liquidations_gives_empty_bars_and_no_cascade(tmp_path: Path) -> None:
    study = study_of([ticker(i) for i in range(100)], tmp_path)
    assert study.cascades.is_empty()
    assert study.table_rows["bars_1h"] == 1
    dataset = pl.read_parquet(tmp_path / "tables" / "dataset.parquet")
    assert dataset["last_price"].drop_nulls().len() > 90


def test_one_symbol_without_ticker_does_not_spoil_the_other(tmp_path: Path) -> None:
    lines = [liquidation(i) for i in range(10)] + [liquidation(i, "ETHUSDT") for i in range(10)]
    study = study_of(lines + [ticker(i - 50) for i in range(100)], tmp_path)
    displaced = dict(study.cascades.select("symbol", "displacement_bps").rows())
    assert displaced["BTCUSDT"] is not None
    assert displaced["ETHUSDT"] is None


def test_prices_every_five_minutes_leave_the_displacement_null_and_say_so(tmp_path: Path) -> None:
    lines = [liquidation(i) for i in range(10)] + [ticker(i - 5, step_ms=300_000) for i in range(10)]
    study = study_of(lines, tmp_path)
    assert study.cascades["displacement_bps"].to_list() == [None]
    assert any("come every 300 s" in row.reason for row in study.not_testable)


def test_an_assumed_delay_replaces_the_capture_time_of_liquidations(tmp_path: Path) -> None:
    study = study_of([liquidation(i) for i in range(5)], tmp_path, assumed_delay_s=2.5)
    assert (study.liquidations["known_time"] - study.liquidations["event_time"]).dt.total_milliseconds().to_list() == [
        2_500
    ] * 5


def test_one_row_with_a_wrong_clock_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    wrong = json.dumps(
        {"ts": 1_300_000_000_000, "stream": "ticker", "symbol": "BTCUSDT", "result": {"list": [{"lastPrice": "1"}]}}
    )
    with pytest.raises(SourceError, match="by a wrong clock; give the real span with --start and --end"):
        study_of([liquidation(0), wrong], tmp_path)


def test_a_span_without_rows_says_where_the_data_is(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="the data reaches from 2026-02-09 19:33:09"):
        study_of([liquidation(0)], tmp_path, start="2027-01-01")


def test_a_failed_run_leaves_no_half_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("liqlab.study._run.attach_prices", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        study_of([liquidation(i) for i in range(10)], tmp_path)
    assert list((tmp_path / "tables").iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("symbol = ['BTCUSDT']", "unknown key 'symbol'"),
        ("[cascades]\npreset = 'plna'", "unknown preset 'plna'; available: p95, plan"),
        ("[cascades]\nmax_gap_s = -1", r"max_gap_s must lie in \[0, 86400\], got -1"),
        ("[coverage]\ntolerance_alone_s = 'long'", "tolerance_alone_s must be a number, got 'long'"),
        ("[features]\nfeatures = ['liq_rat']", "unknown feature 'liq_rat'; available: .*liq_rate"),
        ("[features]\nfeatures = ['liq_rate']\n[walk_forward]\nfeatures = ['basis_bps']", "available: liq_rate"),
        ("[walk_forward]\nmodels = ['xgbost']", "unknown model 'xgbost'; available: .*xgboost"),
        ("start = '2026-02-10'\nend = '2026-02-09'", "the span is empty"),
        ("start = 'yesterday'", "cannot read the time 'yesterday'"),
        ("not toml", "is not valid TOML"),
    ],
)
def test_a_wrong_configuration_names_the_fault(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        load_study_config(path)


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text("symbols = ['BTCUSDT']\n[cascades]\npreset = 'p95'\nmax_gap_s = 30\n")
    config = load_study_config(path, symbols=("ETHUSDT",), cascades={"preset": None})
    assert config.symbols == ("ETHUSDT",)
    assert config.cascades.preset == "p95"
    assert config.cascades.max_gap_s == 30.0
    with pytest.raises(ConfigError, match="no configuration file"):
        load_study_config(tmp_path / "absent.toml")


@pytest.mark.real_data
def test_the_okx_recording_reconciles_and_its_squeeze_is_one_of_shorts(recording: Study) -> None:
    study = recording
    kept = dict(study.liquidations["symbol"].value_counts().iter_rows())
    assert kept == {"BTCUSDT": 1_611, "ETHUSDT": 1_632, "SOLUSDT": 1_052, "DOGEUSDT": 1_422}
    assert study.table_rows["ticker"] == 2_304
    assert study.quarantine.is_empty()
    assert all(row.holds for row in study.reconciliation)
    minute = study.bars_1m.filter(pl.col("time") == pl.datetime(2026, 3, 5, 10, 27, time_zone="UTC"))
    assert minute["liq_sell_count"].sum() == 316
    squeeze = study.cascades.filter(
        pl.col("confirmed").is_between(
            pl.datetime(2026, 3, 5, 10, 26, time_zone="UTC"), pl.datetime(2026, 3, 5, 10, 27, time_zone="UTC")
        )
    )
    assert squeeze.height
    assert set(squeeze["dominant_side"]) == {"short"}
    assert study.side_checks[ALL].verdict == "consistent"
    assert any("come every 300 s" in row.reason for row in study.not_testable)


@pytest.mark.real_data
def test_the_okx_recording_says_what_prices_every_five_minutes_cannot_answer(recording: Study) -> None:
    reasons = {name: row.reason for row in recording.not_testable for name in row.what.split(" of ")[0].split(", ")}
    for horizon_s in (10, 30, 60):
        assert "come every 300 s" in reasons[f"return_{horizon_s}s"]
    assert "return_300s" not in reasons
    fast = recording.ic.table.filter((pl.col("target") == "return") & (pl.col("horizon_s") < 300))
    slow = recording.ic.table.filter((pl.col("target") == "return") & (pl.col("horizon_s") == 300))
    assert fast["ic"].null_count() == fast.height > 0
    assert slow["ic"].count() > 0
    assert recording.walk_forward.predictions.is_empty()
    assert any("not testable" in note for note in recording.walk_forward.notes)


def test_a_disk_that_fills_while_tables_are_written_is_a_clear_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.ParquetWriter.write_table", fail)
    with pytest.raises(EnvironmentFailure, match="No space left on device"):
        study_of([liquidation(i) for i in range(10)], tmp_path)
    assert list((tmp_path / "tables").iterdir()) == []
