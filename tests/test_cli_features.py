"""`liqlab features`: what it writes, prints and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from small_market import SYMBOLS, Market

from liqlab.cli import main
from liqlab.core.schema import LABELS, check_frame
from liqlab.features import FEATURES, feature_table

TABLES = ("features", "labels", "feature_dictionary")
CHOSEN = ("liq_imbalance", "basis_bps")


@pytest.fixture(scope="module")
def results(market: Market, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All features of the market, from its captures."""
    folder = tmp_path_factory.mktemp("features") / "results"
    assert main(["features", str(market.captures), "-o", str(folder), "--quiet"]) == 0
    return folder


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path, code: int = 2) -> str:
    """The message of a command that must fail with `code`, without a traceback and without output."""
    assert main([str(argument) for argument in arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return captured.err.splitlines()[-1]


def manifest_of(folder: Path) -> dict[str, Any]:
    found = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def table(folder: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(folder / "tables" / f"{name}.parquet")


def test_tables_dictionary_and_manifest_are_written_beside_the_lake_and_nothing_else(results: Path) -> None:
    assert {path.name for path in results.iterdir()} == {"lake", "tables", "liquidations_features.txt", "manifest.json"}
    assert {path.name for path in (results / "tables").iterdir()} == {f"{name}.parquet" for name in TABLES}
    features, labels = table(results, "features"), table(results, "labels")
    check_frame(features, feature_table())
    check_frame(labels, LABELS)
    assert features.select("symbol", "time").equals(labels.select("symbol", "time"))
    assert set(features["symbol"]) == set(SYMBOLS)


def test_features_and_labels_are_those_of_a_run(results: Path, market: Market) -> None:
    for name in TABLES:
        assert table(results, name).equals(pl.read_parquet(market.tables / f"{name}.parquet"))


def test_the_dictionary_holds_every_feature_with_the_share_that_has_a_value(results: Path) -> None:
    lines = (results / "liquidations_features.txt").read_text(encoding="utf-8").splitlines()
    features, dictionary = table(results, "features"), table(results, "feature_dictionary")
    assert dictionary["feature"].to_list() == [feature.name for feature in FEATURES]
    rows = {line.split()[0]: line for line in lines if "%" in line}
    for name, share in dictionary.select("feature", "non_null_frac").iter_rows():
        assert name in lines
        assert share == pytest.approx(1 - features[name].null_count() / features.height)
        assert f" {100 * share:.1f} % " in rows[name] or (" <0.1 % " in rows[name] and 0 < share < 0.001)
    assert max(map(len, lines)) <= 100


def test_the_manifest_says_what_was_made_from_what(results: Path, market: Market) -> None:
    manifest = manifest_of(results)
    assert manifest["status"] == "complete"
    assert manifest["row_counts"] == {name: table(results, name).height for name in TABLES}
    tables = {f"tables/{name}.parquet" for name in TABLES}
    assert set(manifest["outputs"]) == {"liquidations_features.txt", *tables}
    assert {file["file"] for file in manifest["input_files"]} == set(market.study.files)
    assert manifest["stages"][0]["name"] == "ingest"
    assert "number_of_trials" not in manifest


def test_only_the_features_asked_for_are_made_and_printed_beside_what_is_missing(
    market: Market, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--features", ",".join(CHOSEN), "--symbols", "BTCUSDT", "--csv"]
    assert main(["features", str(market.lake), "-o", str(tmp_path / "r"), *options]) == 0
    shown = capsys.readouterr().out
    found = table(tmp_path / "r", "features")
    whole = table(results, "features").filter(pl.col("symbol") == "BTCUSDT")
    assert found.columns == ["symbol", "time", *CHOSEN]
    assert found.equals(whole.select(found.columns))
    assert shown.startswith(f"{found.height:,} rows of 2 features in 1 symbol")
    assert shown.endswith(f"read first: {tmp_path / 'r' / 'liquidations_features.txt'}\n")
    assert {path.suffix for path in (tmp_path / "r" / "tables").iterdir()} == {".parquet", ".csv"}
    text = (tmp_path / "r" / "liquidations_features.txt").read_text(encoding="utf-8")
    assert "2 features in 2 families" in text


def test_a_second_run_on_the_same_folder_parses_nothing_and_replaces_what_the_first_left(
    market: Market, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["features", str(market.captures), "-o", str(tmp_path), "--features", *CHOSEN]
    assert main([*command, "--csv"]) == 0
    first, _ = table(tmp_path, "features"), capsys.readouterr()
    assert main(command) == 0
    assert "0 parsed" in capsys.readouterr().out
    assert table(tmp_path, "features").equals(first)
    assert {path.suffix for path in (tmp_path / "tables").iterdir()} == {".parquet"}


def test_a_feature_that_does_not_exist_is_refused_with_those_that_do_before_anything_is_written(
    market: Market, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refused(capsys, "features", market.captures, "-o", tmp_path / "r", "--features", "liq_imbalanse")
    assert "unknown feature 'liq_imbalanse'; available: " in message
    for feature in FEATURES:
        assert feature.name in message
    assert not (tmp_path / "r").exists()


def test_a_folder_of_somebody_else_is_refused_and_left_alone(
    market: Market, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    assert "choose another -o" in refused(capsys, "features", market.captures, "-o", tmp_path)
    assert "is a lake" in refused(capsys, "features", market.captures, "-o", market.lake)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_what_cannot_be_had_is_said_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "captures").mkdir()
    item = {"T": 1_770_665_589_000, "s": "BTCUSDT", "S": "Buy", "v": "2", "p": "70000"}
    line = {"ts": 1_770_665_589_300, "stream": "liquidation", "symbol": "BTCUSDT"}
    line["result"] = {"ts": 1_770_665_589_200, "data": [item]}
    (tmp_path / "captures" / "lines.jsonl").write_text(json.dumps(line) + "\n")
    arguments = ["features", tmp_path / "captures", "-o", tmp_path / "r", "--features", "liq_volume_5s", "atr_bps"]
    assert main([str(argument) for argument in arguments]) == 0
    shown = capsys.readouterr().out.splitlines()
    (missing,) = [text for text in shown if text.startswith("not available: ")]
    assert missing.startswith("not available: atr_bps, return_10s, ")
    assert missing.endswith(" of BTCUSDT: no ticker prices")
