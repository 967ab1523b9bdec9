"""`liqlab backtest`: what it writes, prints and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from small_market import SYMBOLS, Market
from test_backtest_strategy_file import GOOD

from liqlab.backtest import BACKTEST_TABLES, FROZEN, STRATEGIES
from liqlab.cli import main
from liqlab.core.schema import check_frame
from liqlab.study import load_study_config


@pytest.fixture(scope="module")
def results(market: Market, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two strategies, one of them a user's, with the last hours of the market out of sample."""
    folder = tmp_path_factory.mktemp("backtest")
    mine = folder / "clock.py"
    mine.write_text(GOOD, encoding="utf-8")
    arguments = ["backtest", str(market.lake), "-o", str(folder / "results"), "--quiet"]
    assert main([*arguments, "--strategy", "imbalance_reversal", str(mine), "--oos", cut_of(market)]) == 0
    return folder / "results"


def cut_of(market: Market) -> str:
    """A moment inside the market."""
    times = pl.read_parquet(market.tables / "liquidations.parquet")["known_time"]
    middle = times.min() + (times.max() - times.min()) / 2  # type: ignore[operator]
    return str(middle.strftime("%Y-%m-%dT%H:00"))  # type: ignore[union-attr]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path, code: int = 2) -> str:
    """The message of a command that must fail with `code`, without a traceback and without output."""
    assert main([str(argument) for argument in arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return captured.err.splitlines()[-1]


def table(folder: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(folder / "tables" / f"{name}.parquet")


def test_every_declared_table_is_written_as_declared(results: Path) -> None:
    for declared in (*BACKTEST_TABLES, FROZEN):
        check_frame(table(results, declared.name), declared)
    assert set(table(results, "trades")["strategy"]) <= {"clock", "imbalance_reversal", "buy_and_hold"}
    assert table(results, "trades").filter(pl.col("strategy") == "clock").height > 0


def test_cash_and_positions_of_every_run_make_its_equity(results: Path) -> None:
    trades, equity = table(results, "trades"), table(results, "equity")
    for (strategy, variant), curve in equity.partition_by("strategy", "variant", as_dict=True).items():
        own = trades.filter((pl.col("strategy") == strategy) & (pl.col("variant") == variant))
        earned = float((own["net_return"] * own["notional_usd"]).sum())
        assert curve["equity"][-1] - curve["equity"][0] == pytest.approx(earned, abs=1e-6)


def test_nothing_after_the_cut_is_traded_in_sample_and_nothing_before_it_outside(results: Path) -> None:
    manifest = json.loads((results / "manifest.json").read_text(encoding="utf-8"))
    end_ms = manifest["time_span"]["end_ms"]
    assert table(results, "trades")["decision_time"].to_physical().max() <= end_ms  # type: ignore[operator]
    assert manifest["number_of_trials"].keys() == {"clock", "imbalance_reversal"}
    text = (results / "liquidations_backtest_out_of_sample.txt").read_text(encoding="utf-8")
    assert "In sample:" in text
    assert "Out of sample:" in text
    assert "nan" not in text
    assert max(map(len, text.splitlines())) <= 100


def test_texts_of_each_symbol_and_the_findings_are_written(results: Path) -> None:
    names = {path.name for path in results.iterdir()}
    assert {f"liquidations_backtest_{name}.txt" for name in (*SYMBOLS, "ALL")} <= names
    findings = (results / "FINDINGS_v26_backtest.md").read_text(encoding="utf-8")
    assert "## 2. Out of sample" in findings
    assert "`clock`" in findings


def test_a_second_run_finds_its_trials_and_counts_them_once(market: Market, tmp_path: Path) -> None:
    arguments = ["backtest", str(market.lake), "-o", str(tmp_path / "results"), "--quiet"]
    counts = []
    for _ in range(2):
        assert main([*arguments, "--strategy", "volatility_breakout"]) == 0
        manifest = json.loads((tmp_path / "results" / "manifest.json").read_text(encoding="utf-8"))
        counts.append(manifest["number_of_trials"])
    assert counts[0] == counts[1]
    assert counts[0]["volatility_breakout"] >= 1


def test_mistakes_are_told_with_their_remedy(
    capsys: pytest.CaptureFixture[str], market: Market, tmp_path: Path
) -> None:
    base = ("backtest", market.lake, "-o", tmp_path / "results", "--quiet")
    assert STRATEGIES[0].name in refused(capsys, *base, "--strategy", "cascade_fad")
    assert "does not exist" in refused(capsys, *base, "--strategy", "missing.py")
    assert "neither a folder that exists nor a moment" in refused(capsys, *base, "--oos", "nowhere")
    assert "grid, optuna" in refused(capsys, *base, "--search", "luck")
    assert "delay_s" in refused(capsys, *base, "--delay", "-1")
    assert "overlaps" in refused(capsys, *base, "--strategy", "volatility_breakout", "--oos", market.lake)
    refused(capsys, "backtest", tmp_path / "absent", "-o", tmp_path / "other", "--quiet")


def test_a_strategy_that_raises_is_told_with_file_and_line(
    capsys: pytest.CaptureFixture[str], market: Market, tmp_path: Path
) -> None:
    mine = tmp_path / "bad.py"
    mine.write_text(GOOD.replace("        moments = list", "        1 / 0\n        moments = list"), encoding="utf-8")
    message = refused(capsys, "backtest", market.lake, "-o", tmp_path / "results", "--quiet", "--strategy", mine)
    assert "bad.py, line" in message
    assert "ZeroDivisionError" in message


def test_an_option_leaves_the_rest_of_the_configuration_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_text("[backtest.execution.fees]\ntaker_bps = 3.0\n", encoding="utf-8")
    config = load_study_config(file, backtest={"execution": {"latency": {"delay_s": 8.0}}, "strategies": None})
    assert config.backtest.execution.fees.taker_bps == 3.0
    assert config.backtest.execution.latency.delay_s == 8.0
