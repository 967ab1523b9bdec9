"""Websocket frames and dirt: what a reader must be able to put together again, and what it must count."""

from __future__ import annotations

import argparse
import gzip
import json
from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from liqlab.cli import _simulate
from liqlab.core.errors import EnvironmentFailure
from liqlab.core.progress import SILENT
from liqlab.core.time import MS_PER_HOUR, parse_time
from liqlab.worlds import DirtCounts, SimulationSummary, simulate

START_MS = parse_time("2026-02-09T13:00")
SYMBOL = "BTCUSDT"


@cache
def raw_lines(folder: Path, prefix: str) -> list[bytes]:
    paths = sorted(folder.glob(f"{prefix}_*.jsonl.gz"))
    return [line for path in paths for line in gzip.decompress(path.read_bytes()).splitlines()]


def parse(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def test_carried_deltas_give_the_state_that_a_rest_answer_would_have_given(tmp_path: Path) -> None:
    for ticker in ("rest", "websocket"):
        simulate(tmp_path / ticker, days=1.2 / 24, start_ms=START_MS, symbols=[SYMBOL], ticker=ticker, workers=1)
    frames = [json.loads(line)["result"] for line in raw_lines(tmp_path / "websocket" / SYMBOL, "ticker")]
    state: dict[str, str] = {}
    states = {}
    for frame in frames:
        state = dict(frame["data"]) if frame["type"] == "snapshot" else state | frame["data"]
        states[frame["ts"]] = state
    compared = 0
    for line in raw_lines(tmp_path / "rest" / SYMBOL, "ticker"):
        answer = json.loads(line)
        asked_ms = answer["ts"] // 5_000 * 5_000
        (rest,) = answer["result"]["list"]
        if asked_ms in states:
            assert {key: states[asked_ms][key] for key in rest} == rest
            assert float(rest["openInterest"]) == pytest.approx(2 * float(states[asked_ms]["singleOpenInterest"]))
            compared += 1
    assert compared > 700
    assert [frame["type"] for frame in frames].count("snapshot") == 1


def test_a_frame_says_only_what_changed_and_comes_up_to_ten_times_a_second(tmp_path: Path) -> None:
    summary = simulate(
        tmp_path / "out", days=0.1 / 24, start_ms=START_MS, symbols=[SYMBOL], ticker="websocket", workers=1
    )
    lines = [json.loads(line) for line in raw_lines(tmp_path / "out" / SYMBOL, "ticker")]
    assert all(list(line) == ["ts", "stream", "symbol", "result"] for line in lines)
    assert all(list(line["result"]) == ["topic", "type", "ts", "data"] for line in lines)
    assert all(line["result"]["topic"] == f"tickers.{SYMBOL}" for line in lines)
    assert all(line["result"]["ts"] % 100 == 0 and 10 <= line["ts"] - line["result"]["ts"] < 100 for line in lines)
    assert 3_000 < len(lines) == summary.ticker_rows <= 3_600
    state: dict[str, str] = {}
    for line in lines:
        data = line["result"]["data"]
        assert data["symbol"] == SYMBOL
        assert len(data) > 1
        pairs = ("bid1Price", "bid1Size"), ("ask1Price", "ask1Size")
        assert all((price in data) == (size in data) for price, size in pairs)
        assert state == {} or any(state[key] != value for key, value in data.items())
        state |= data


@pytest.fixture(scope="module", params=["rest", "websocket"])
def dirty(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SimulationSummary]:
    output = tmp_path_factory.mktemp("worlds") / "dirty"
    hours = 8 if request.param == "rest" else 3
    return output, simulate(
        output, days=hours / 24, seed=5, start_ms=START_MS, symbols=[SYMBOL], ticker=request.param, dirt=True, workers=1
    )


def is_good_liquidation(entry: dict[str, Any]) -> bool:
    return float(entry["v"]) > 0 and entry["S"] in ("Buy", "Sell") and entry["T"] > 1e12


def test_liquidations_of_a_dirty_recording_reconcile(dirty: tuple[Path, SimulationSummary]) -> None:
    output, summary = dirty
    corrupt, quarantined, distinct, repeated = 0, 0, {}, Counter[str]()
    for raw in raw_lines(output / SYMBOL, "liquidation"):
        line = parse(raw)
        entries = [] if line is None else line["result"]["data"]
        bad = [entry for entry in entries if not is_good_liquidation(entry)]
        corrupt += line is None or bool(bad)
        quarantined += 1 if line is None else len(bad)
        if line is None or bad:
            continue
        result = json.dumps(line["result"])
        if result in distinct:
            repeated.update(messages=1, liquidations=len(entries))
        distinct[result] = len(entries)
    assert (len(distinct), sum(distinct.values())) == (summary.liquidation_messages, summary.liquidations)
    assert repeated["liquidations"] == summary.dirt.repeated_liquidations > 0
    assert repeated["messages"] == summary.dirt.repeated_messages - summary.dirt.repeated_ticker_rows
    ticker_junk = sum(parse(raw) is None for raw in raw_lines(output / SYMBOL, "ticker"))
    assert corrupt + ticker_junk == summary.dirt.corrupt_lines
    assert quarantined + ticker_junk == summary.dirt.quarantined_rows
    assert corrupt == 5


def test_ticker_rows_of_a_dirty_recording_reconcile(dirty: tuple[Path, SimulationSummary]) -> None:
    output, summary = dirty
    good = [line for raw in raw_lines(output / SYMBOL, "ticker") if (line := parse(raw)) is not None]
    if "type" not in good[0]["result"]:
        assert len(good) == summary.ticker_rows
        assert summary.dirt.repeated_ticker_rows == 0
        assert summary.ticker_rows + summary.dirt.lost_ticker_rows == 8 * 720
        return
    distinct = {line["result"]["ts"] for line in good}
    assert len(distinct) == summary.ticker_rows
    assert len(good) - len(distinct) == summary.dirt.repeated_ticker_rows > 0


def test_nothing_arrives_in_a_gap_and_lost_rows_are_counted(dirty: tuple[Path, SimulationSummary]) -> None:
    output, summary = dirty
    known = sorted(line["ts"] for raw in raw_lines(output / SYMBOL, "ticker") if (line := parse(raw)) is not None)
    gaps = [(before, after) for before, after in pairwise(known) if after - before > 60_000]
    assert len(gaps) == summary.dirt.gaps == 1
    ((start, end),) = gaps
    assert 110_000 < end - start < 500_000
    assert summary.dirt.lost_ticker_rows > 20
    liquidations = [parse(raw) for raw in raw_lines(output / SYMBOL, "liquidation")]
    assert not [line for line in liquidations if line is not None and start < line["ts"] < end - 10_000]


@pytest.mark.parametrize("dirty", ["websocket"], indirect=True)
def test_a_snapshot_follows_every_reconnect(dirty: tuple[Path, SimulationSummary]) -> None:
    output, summary = dirty
    good = [line for raw in raw_lines(output / SYMBOL, "ticker") if (line := parse(raw)) is not None]
    snapshots = {line["result"]["ts"] for line in good if line["result"]["type"] == "snapshot"}
    assert len(snapshots) == 1 + summary.dirt.repeated_ticker_rows // 3
    after_gap = next(after for before, after in pairwise(good) if after["ts"] - before["ts"] > 60_000)
    assert after_gap["result"]["type"] == "snapshot"


def test_late_pushes_arrive_after_the_push_that_followed_them(dirty: tuple[Path, SimulationSummary]) -> None:
    output, summary = dirty
    seen: set[str] = set()
    latest, late = 0, 0
    for raw in raw_lines(output / SYMBOL, "liquidation"):
        line = parse(raw)
        if line is None or not all(map(is_good_liquidation, line["result"]["data"])):
            continue
        result = json.dumps(line["result"])
        late += line["result"]["ts"] < latest and result not in seen
        latest = max(latest, line["result"]["ts"])
        seen.add(result)
    assert late == summary.dirt.late_pushes > 0


def test_lines_of_a_dirty_recording_stay_in_order_of_arrival(dirty: tuple[Path, SimulationSummary]) -> None:
    for prefix in ("liquidation", "ticker"):
        lines = [parse(raw) for raw in raw_lines(dirty[0] / SYMBOL, prefix)]
        known = [line["ts"] for line in lines if line is not None]
        assert known == sorted(known)


def test_a_full_disk_is_told_with_the_file_that_did_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: Path, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(EnvironmentFailure, match=r"cannot write .*jsonl\.gz: No space left on device"):
        simulate(tmp_path / "out", days=1 / 24, start_ms=START_MS, symbols=[SYMBOL], workers=1)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_a_clean_recording_has_no_dirt(tmp_path: Path) -> None:
    summary = simulate(tmp_path / "out", days=1 / 24, start_ms=START_MS, symbols=[SYMBOL], workers=1)
    assert summary.dirt == DirtCounts()


def test_all_symbols_share_the_gaps_of_their_recorder(tmp_path: Path) -> None:
    output = tmp_path / "out"
    summary = simulate(output, days=0.25, start_ms=START_MS, symbols=["SOLUSDT", "XRPUSDT"], dirt=True, workers=1)
    breaks = []
    for symbol in summary.symbols:
        known = sorted(line["ts"] for raw in raw_lines(output / symbol, "ticker") if (line := parse(raw)) is not None)
        breaks += [(a // 6_000, b // 6_000) for a, b in pairwise(known) if b - a > 60_000]
    assert len(breaks) == 2
    assert summary.dirt.gaps == 1
    assert all(abs(mine - theirs) <= 1 for mine, theirs in zip(*breaks, strict=True))


def test_equal_bytes_hold_no_time_of_writing_and_no_name(tmp_path: Path) -> None:
    simulate(tmp_path / "out", days=1 / 24, start_ms=START_MS, symbols=[SYMBOL], workers=1)
    for path in (tmp_path / "out").rglob("*.gz"):
        header = path.read_bytes()[:10]
        assert header[3] == 0, "no flags, hence no file name"
        assert header[4:8] == bytes(4), "no modification time"


def run_command(*words: str, quiet: bool = False) -> int:
    parser = argparse.ArgumentParser()
    _simulate.add_arguments(parser)
    arguments = parser.parse_args(words)
    arguments.progress, arguments.quiet = SILENT, quiet
    return _simulate.run(arguments)


def test_the_command_says_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out"
    code = run_command(
        *(str(output), "--days", "0.05", "--start", "2026-02-09T13:00", "--symbols", "BTCUSDT,DOGEUSDT", "XRPUSDT"),
        *("--workers", "1"),
    )
    said = capsys.readouterr().out
    assert code == 0
    assert "BTCUSDT, DOGEUSDT, XRPUSDT from 2026-02-09 13:00:00 to 2026-02-09 14:12:00 UTC" in said
    assert "2,592 ticker rows" in said
    assert str(output) in said
    assert len([path for path in output.rglob("*") if path.is_file()]) >= 9


def test_the_quiet_command_says_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(str(tmp_path / "out"), "--days", "0.01", "--symbols", SYMBOL, "--workers", "1", quiet=True) == 0
    assert capsys.readouterr().out == ""


def test_a_span_within_one_hour_has_no_ratio_file(tmp_path: Path) -> None:
    start_ms = START_MS + MS_PER_HOUR // 4
    summary = simulate(tmp_path / "out", days=0.01, start_ms=start_ms, symbols=[SYMBOL], workers=1)
    assert summary.ratio_rows == 0
    assert not list((tmp_path / "out").rglob("longshort*"))
