"""The run over whole sources: it reconciles, it is the same however it is asked, and it survives what data lacks."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from liqlab.core.errors import ConfigError, EnvironmentFailure, SourceError, UserError
from liqlab.core.schema import TABLES, check_frame
from liqlab.lake import Lake, ingest
from liqlab.study import ALL, Study, StudyConfig, load_study_config, run_study
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
    ingest(folder / "captures", folder / "lake")
    with Lake(folder / "lake") as lake:
        return run_study(lake, load_study_config(**overrides), folder / "tables" if tables else None)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Study]:
    folder = tmp_path_factory.mktemp("simulated")
    simulate(folder / "captures", days=0.5, seed=3, symbols=("BTCUSDT", "SOLUSDT"), dirt=True, workers=1)
    ingest(folder / "captures", folder / "lake")
    with Lake(folder / "lake") as lake:
        return folder, run_study(lake, tables=folder / "tables")


def test_every_table_of_the_schema_is_written_with_its_columns(simulated: tuple[Path, Study]) -> None:
    folder, study = simulated
    assert set(study.table_rows) == {table.name for table in TABLES}
    for table in TABLES:
        frame = pl.read_parquet(folder / "tables" / f"{table.name}.parquet")
        if frame.height:
            check_frame(frame, table)
        assert frame.height == study.table_rows[table.name]


def test_a_dirty_source_reconciles(simulated: tuple[Path, Study]) -> None:
    _, study = simulated
    assert all(row.holds for row in study.reconciliation)
    assert sum(row.quarantined for row in study.reconciliation) == study.quarantine.height > 0
    assert sum(row.duplicates for row in study.reconciliation) > 0


def test_bars_of_every_width_hold_every_liquidation_once(simulated: tuple[Path, Study]) -> None:
    folder, study = simulated
    for width in ("1s", "5s", "1m", "1h"):
        bars = pl.read_parquet(folder / "tables" / f"bars_{width}.parquet")
        assert bars["liq_count"].sum() == study.liquidations.height
        assert bars["liq_notional"].sum() == pytest.approx(study.liquidations["notional_usd"].sum())
        assert not bars.select("symbol", "time").is_duplicated().any()


def test_the_dataset_walked_day_by_day_equals_one_join_over_everything(tmp_path: Path) -> None:
    from liqlab.panel import compute_coverage, join_dataset

    evening = 1_770_674_400_000  # 22:00, so that four hours cross midnight
    simulate(
        tmp_path / "captures", days=1 / 6, seed=5, symbols=("ETHUSDT",), start_ms=evening, ticker="websocket", dirt=True
    )
    ingest(tmp_path / "captures", tmp_path / "lake")
    with Lake(tmp_path / "lake") as lake:
        study = run_study(lake, tables=tmp_path / "tables")
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


def test_a_span_gives_the_rows_of_the_whole_that_lie_in_it(simulated: tuple[Path, Study]) -> None:
    folder, whole = simulated
    with Lake(folder / "lake") as lake:
        part = run_study(lake, load_study_config(start="2026-02-09T03:00", end="2026-02-09T05:30"))
    inside = whole.liquidations.filter(
        pl.col("known_time").is_between(
            pl.datetime(2026, 2, 9, 3, time_zone="UTC"), pl.datetime(2026, 2, 9, 5, 30, time_zone="UTC"), closed="left"
        )
    )
    assert part.liquidations.equals(inside)
    assert part.end_ms - part.start_ms == 3 * 3_600_000


def test_what_the_span_leaves_out_is_not_covered(simulated: tuple[Path, Study]) -> None:
    folder, _ = simulated
    with Lake(folder / "lake") as lake:
        part = run_study(lake, load_study_config(start="2026-02-09T03:30", end="2026-02-09T04:00"))
    assert part.statistics[ALL].covered_hours == pytest.approx(0.5)
    before = part.bars_1m.filter(pl.col("time") < pl.datetime(2026, 2, 9, 3, 30, time_zone="UTC"))
    assert before.height
    assert not before["covered"].any()


def test_symbols_select_and_an_unknown_one_is_refused_with_what_there_is(simulated: tuple[Path, Study]) -> None:
    folder, whole = simulated
    with Lake(folder / "lake") as lake:
        part = run_study(lake, StudyConfig(symbols=("SOLUSDT",)))
        assert part.liquidations.equals(whole.liquidations.filter(pl.col("symbol") == "SOLUSDT"))
        with pytest.raises(UserError, match="'XRPUSDT'; available: BTCUSDT, SOLUSDT"):
            run_study(lake, StudyConfig(symbols=("XRPUSDT",)))


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
def test_the_okx_recording_reconciles_and_its_squeeze_is_one_of_shorts(shared_data: Path, tmp_path: Path) -> None:
    ingest(shared_data / "okx-2026-03-04", tmp_path / "lake")
    with Lake(tmp_path / "lake") as lake:
        study = run_study(lake)
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


def test_a_disk_that_fills_while_tables_are_written_is_a_clear_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.ParquetWriter.write_table", fail)
    with pytest.raises(EnvironmentFailure, match="No space left on device"):
        study_of([liquidation(i) for i in range(10)], tmp_path)
    assert list((tmp_path / "tables").iterdir()) == []
