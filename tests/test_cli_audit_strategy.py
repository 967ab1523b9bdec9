"""`liqlab audit strategy`: what it prints, writes and refuses, and its exit codes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from liqlab.audit import CONTRACT
from liqlab.backtest import STRATEGIES, read_inputs
from liqlab.cli import main
from liqlab.lake import Lake, ingest
from liqlab.panel import find_scope
from liqlab.worlds import simulate

SYMBOLS = ("BTCUSDT", "ETHUSDT")
MINE = """
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liqlab.backtest import MarketInputs, Orders
from liqlab.core.config import bounded, check_bounds


@dataclass(frozen=True)
class Parameters:
    every_min: float = bounded(3.0, 0.1, 600.0)

    def __post_init__(self) -> None:
        check_bounds(self)


class Mine:
    name = "mine"
    description = "Buys and sells by the clock"
    Parameters = Parameters
    default = Parameters()

    def decide(self, inputs: MarketInputs, parameters: Parameters) -> Orders:
        step = round(parameters.every_min * 60_000)
        moments = np.arange(inputs.start_ms + step, inputs.end_ms + 1, step)
        side = np.where(np.arange(len(moments)) % 2, 1.0, -1.0)
        return Orders.gather(list(inputs.symbols), np.arange(len(moments)) % 2, moments, side, timeout_ms=60_000)


STRATEGY = Mine()
"""


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three hours of two symbols."""
    folder = tmp_path_factory.mktemp("audit") / "captures"
    simulate(folder, days=1 / 8, seed=3, symbols=SYMBOLS, workers=1)
    return folder


@pytest.fixture(scope="module")
def lake(captures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit") / "lake"
    ingest(captures, folder, workers=1)
    return folder


def write(folder: Path, text: str = MINE) -> Path:
    path = folder / "mine.py"
    path.write_text(text, encoding="utf-8")
    return path


def audit(*arguments: str | Path, workers: int = 1) -> int:
    few = ["--surrogates", "20", "--cuts", "2", "--workers", str(workers)]
    return main(["audit", "strategy", *map(str, arguments), *few])


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path, code: int = 2) -> str:
    """The message of an audit that must fail with `code`, without a traceback and without output."""
    assert main(["audit", "strategy", *map(str, arguments), "--workers", "1"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return captured.err.splitlines()[-1]


def test_the_published_protocol_is_flagged_and_the_reason_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert audit("published_fade", "--days", "0.5") == 1
    captured = capsys.readouterr()
    assert captured.out.startswith("AUDIT OF published_fade on 20 random walks of 0.5 days\n")
    verdict = " ".join(captured.out[captured.out.index("FLAGGED") :].split())
    assert "it earns where nothing can be earned" in verdict
    assert re.search(r"all \d+ trades were left in the observation that filled the entry", verdict)
    engine = captured.out[captured.out.index("THE SAME SIGNALS, FILLED BY LIQLAB'S ENGINE") :]
    assert "\n    passed    (c) fills: 0 of 5 rules broken by" in engine
    assert "published_fade: surrogates, by its own fill rule" in captured.err


def test_a_strategy_of_ones_own_is_audited_on_captures_and_on_the_lake_alike(
    captures: Path, lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, report = write(tmp_path), tmp_path / "new" / "report.json"
    assert audit(mine, captures, "-o", report) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith(f"AUDIT OF mine on {captures}: BTCUSDT, ETHUSDT, 2026-02-09 00:00:00 to ")
    assert shown[1] == "parameters: every_min 3"
    assert shown[-1].startswith("CLEAN: no decision, no placebo and no fill")
    for item in CONTRACT:
        assert any(line.startswith(f"    passed    {item}: ") for line in shown)
    content = json.loads(report.read_text(encoding="utf-8"))
    assert (content["passed"], content["variant"], content["not_done"]) == (True, "default", [])
    # Another process finds the file again, and nothing depends on who does the work.
    assert audit(mine, lake, "-o", tmp_path / "second.json", workers=2) == 0
    assert capsys.readouterr().out.splitlines()[1:] == shown[1:]
    second = json.loads((tmp_path / "second.json").read_text(encoding="utf-8"))
    assert {**second, "market": content["market"]} == content


def test_symbols_and_span_choose_from_the_source(
    lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = write(tmp_path, MINE.replace("np.arange(len(moments)) % 2, moments", "0, moments"))
    assert audit(alone, lake, "--symbols", "ETHUSDT", "--start", "2026-02-09T01:00") == 0
    assert "ETHUSDT, 2026-02-09 01:00:00 to 2026-02-09 03:00:00 UTC" in capsys.readouterr().out


def test_without_a_source_a_market_is_simulated_and_quiet_says_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["volatility_breakout", "--variant", "scaled", "--days", "0.25", "--symbols", "BTCUSDT,ETHUSDT"]
    assert audit(*options, "-o", tmp_path / "report.json", "--quiet") == 0
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
    content = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert content["market"].startswith("a simulated market (seed 7): BTCUSDT, ETHUSDT, 2026-02-09 00:00:00 to ")
    assert content["variant"] == "scaled"


def test_a_strategy_that_looks_ahead_is_flagged_with_an_example(
    lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    until_the_end = "np.where(inputs.end_ms - moments > 1_800_000, 1.0, -1.0)"
    text = MINE.replace("np.where(np.arange(len(moments)) % 2, 1.0, -1.0)", until_the_end)
    assert audit(write(tmp_path, text), lake) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "(a) DECISIONS: FAILED" in shown
    assert re.search(r"FAILED later data removed: changes at \d of 2 moments, first: \w+, decided at 2026-02-09", shown)
    assert "FLAGGED: this result does not come from the market: later data removed: no" in shown


def test_without_a_trade_the_report_says_what_was_not_done_and_the_code_is_two(
    lake: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit("cascade_fade", lake) == 2
    captured = capsys.readouterr()
    assert "NOT DONE" in captured.out
    assert "(c) fills: the strategy gave no order" in captured.out
    assert "NO VERDICT: there was no trade." in captured.out
    assert "cascade_fade made no trade, so that its result could not be audited" in captured.err.splitlines()[-1]


def test_unknown_names_list_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "cascade_fide")
    assert "unknown strategy 'cascade_fide'" in message
    assert all(strategy.name in message for strategy in STRATEGIES)
    assert "published_fade" in message


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("STRATEGY = Mine()", "STRATEGY = Mine(", r"mine\.py, line \d+: .*mend the file"),
        ("STRATEGY = Mine()", "", "defines no STRATEGY"),
        ("step = round(", "step = inputs.nothing(", r"mine\.py, line 27: strategy mine failed: AttributeError"),
        ("side = np", "side = 0 * np", r"mine\.py, line 30: strategy mine failed: Orders.side must be"),
    ],
)
def test_a_file_that_does_not_work_is_told_by_file_and_line(
    old: str, new: str, told: str, lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert re.search(told, refused(capsys, write(tmp_path, MINE.replace(old, new)), lake))


def test_a_strategy_that_fails_only_on_other_prices_says_so(
    lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Lake(lake) as opened:
        path = read_inputs(opened, find_scope(opened)).symbols["BTCUSDT"].path
    # The first price stays on all prices, the sixth does not.
    line = f"if inputs.symbols['BTCUSDT'].path.price[5:6].tolist() not in ([], [{float(path.price[5])!r}]): 1 / 0"
    failing = MINE.replace("        step = ", f"        {line}\n        step = ")
    message = refused(capsys, write(tmp_path, failing), lake, "--surrogates", "20", "--cuts", "2")
    assert re.search(r"mine\.py, line 27: strategy mine failed: ZeroDivisionError", message)
    assert "it happened on other prices: random walk 1 of the placebo" in message


def test_what_cannot_be_audited_is_refused(lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert "nowhere.py does not exist" in refused(capsys, tmp_path / "nowhere.py")
    assert "nothing" in refused(capsys, "zone_bounce", tmp_path / "nothing")
    assert "empty" in refused(capsys, "zone_bounce", tmp_path / "empty")
    assert "unknown symbol 'XYZ'" in refused(capsys, "zone_bounce", lake, "--symbols", "XYZ")
    assert "--days is the length of the simulated" in refused(capsys, "zone_bounce", lake, "--days", "2")
    assert "--start and --end choose part of SOURCE" in refused(capsys, "zone_bounce", "--start", "2026-02-09")
    assert "at least 20 surrogates, got 5" in refused(capsys, "zone_bounce", lake, "--surrogates", "5")
    assert "at least one cut" in refused(capsys, "zone_bounce", lake, "--cuts", "0")
    assert "--days must lie in (0, 365], got 0" in refused(capsys, "zone_bounce", "--days", "0")
    assert "days must lie in [0.01" in refused(capsys, "published_fade", "--days", "0")
