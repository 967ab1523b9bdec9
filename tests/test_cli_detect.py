"""`liqlab detect`: lines in, events out, and what it says about lines it cannot use."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zstandard

from liqlab.cascades import CascadeEvent
from liqlab.cli import main

T = 1_770_665_590_000
COMMAND = [sys.executable, "-m", "liqlab.cli", "detect"]
LOOSE = ["--min-liquidations", "2", "--min-notional-usd", "0"]
#: Starting Python with its libraries takes long on a busy machine.
PATIENCE_S = 30.0


def message(known: int, price: float = 70_000.0, quantity: float = 1.0, symbol: str = "BTCUSDT", push: int = 0) -> str:
    push = push or known - 60
    item = {"T": known - 400, "s": symbol, "S": "Buy", "v": str(quantity), "p": str(price)}
    result = {"ts": push, "data": [item]}
    return json.dumps({"ts": known, "stream": "liquidation", "symbol": symbol, "result": result})


CASCADE = [message(T), message(T + 1_000), message(T + 2_000), message(T + 60_000)]
TICKER = json.dumps(
    {"ts": T, "stream": "ticker", "symbol": "BTCUSDT", "result": {"list": [{"symbol": "BTCUSDT", "lastPrice": "7"}]}}
)


def write(path: Path, lines: list[str]) -> str:
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


def events_of(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def types_of(output: str) -> list[str]:
    return [event["type"] for event in events_of(output)]


@contextmanager
def running(*arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """The command as a process of its own, ended when the block is left."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process = subprocess.Popen([*COMMAND, *arguments], text=True, **{**pipes, **options})
    watchdog = threading.Timer(PATIENCE_S, process.kill)
    watchdog.start()
    try:
        yield process
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()


def send(process: subprocess.Popen[str], *lines: str) -> None:
    assert process.stdin is not None
    process.stdin.write("".join(f"{line}\n" for line in lines))
    process.stdin.flush()


def next_event(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())  # type: ignore[no-any-return]


def test_one_json_line_per_event_with_the_fields_of_the_event(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["detect", write(tmp_path / "a.jsonl", CASCADE)]) == 0
    output, errors = capfd.readouterr()
    first, last = events_of(output)
    assert list(first) == list(CascadeEvent.__struct_fields__)
    assert (first["type"], first["confirmed"], first["ended"], first["start"]) == (
        "confirmed", T + 2_000, None, T - 400,
    )  # fmt: skip
    assert (last["type"], last["ended"]) == ("ended", T + 7_001)
    assert errors == "4 lines, 4 liquidations, 0 duplicates, 0 bad, 0 late\n"


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_files_are_read_plain_and_compressed(ending: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    plain = "\n".join(CASCADE).encode()
    content = {"": plain, ".gz": gzip.compress(plain), ".zst": zstandard.ZstdCompressor().compress(plain)}[ending]
    path = tmp_path / f"a.jsonl{ending}"
    path.write_bytes(content)
    assert main(["detect", str(path)]) == 0
    assert types_of(capfd.readouterr().out) == ["confirmed", "ended"]


def test_standard_input_is_the_default_and_its_end_closes_what_is_open(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.jsonl", CASCADE[:3])
    with Path(path).open() as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        assert main(["detect"]) == 0
    assert types_of(capfd.readouterr().out) == ["confirmed", "ended"]


def test_options_change_the_thresholds(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.jsonl", CASCADE)
    assert main(["detect", path, "--max-gap-s", "0.5"]) == 0
    assert main(["detect", path, "--min-notional-usd", "1e6"]) == 0
    assert main(["detect", path, "--symbols", "ETHUSDT,XRPUSDT"]) == 0
    assert capfd.readouterr().out == ""
    assert main(["detect", path, "--max-gap-s", "60"]) == 0
    assert types_of(capfd.readouterr().out) == ["confirmed", "grown", "ended"]
    assert main(["detect", path, "--preset", "p95"]) == 0
    assert types_of(capfd.readouterr().out) == ["confirmed", "grown", "grown", "ended"]


def test_bad_lines_are_counted_and_the_first_ten_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.jsonl", ["", TICKER, *["{broken"] * 12, *CASCADE, CASCADE[3], '{"stream":"weather"}'])
    assert main(["detect", path]) == 0
    output, errors = capfd.readouterr()
    assert types_of(output) == ["confirmed", "ended"]
    warnings = errors.splitlines()
    assert warnings[0] == "line 3: not JSON"
    assert warnings[9] == "line 12: not JSON"
    assert warnings[10] == "more bad lines: counted, not shown"
    assert warnings[11:] == ["20 lines, 4 liquidations, 1 duplicates, 13 bad, 0 late"]


def test_a_clock_that_jumps_back_is_counted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.jsonl", [*CASCADE, message(T - 5_000)])
    assert main(["detect", path]) == 0
    assert capfd.readouterr().err.endswith("0 bad, 1 late\n")


def test_quiet_leaves_only_the_events(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", "--quiet", write(tmp_path / "a.jsonl", CASCADE)]) == 0
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("lines", [[], ["", " "], ["{broken", '{"stream":"weather"}']])
def test_input_without_a_valid_line_exits_2(
    lines: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["detect", write(tmp_path / "a.jsonl", lines)]) == 2
    output, errors = capfd.readouterr()
    assert output == ""
    assert f"none of the {len(lines)} lines" in errors


def test_tickers_alone_are_valid_and_have_no_cascades(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", write(tmp_path / "a.jsonl", [TICKER])]) == 0
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.jsonl"], "no file at missing.jsonl"),
        (["missing.jsonl", "--follow"], "no file at missing.jsonl"),
        (["."], "is a folder"),
        (["packed.jsonl.gz", "--follow"], "is compressed"),
        (["packed.jsonl.gz", "--preset", "plna"], "available: p95, plan"),
        (["packed.jsonl.gz", "--max-gap-s", "-1"], "max_gap_s"),
    ],
)
def test_mistakes_exit_2_and_say_what_is_wrong(
    arguments: list[str], words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("packed.jsonl.gz").write_bytes(gzip.compress(CASCADE[0].encode()))
    assert main(["detect", *arguments]) == 2
    assert words in capfd.readouterr().err


def test_an_event_is_out_before_more_input_comes() -> None:
    with running(*LOOSE) as process:
        send(process, *CASCADE[:2])
        assert next_event(process)["type"] == "confirmed"
        send(process, CASCADE[2], CASCADE[3])
        assert [next_event(process)["type"] for _ in range(2)] == ["grown", "ended"]


def test_rows_held_for_ties_are_delivered_when_the_input_pauses() -> None:
    with running(*LOOSE) as process:
        send(process, message(T, push=T - 1), message(T, push=T - 2))
        assert next_event(process)["n_liquidations"] == 2


def test_an_old_recording_is_not_closed_by_the_wall_clock() -> None:
    with running("--max-gap-s", "0.1", *LOOSE) as process:
        send(process, message(T), message(T + 100))
        assert next_event(process)["type"] == "confirmed"
        time.sleep(1.5)
        send(process, message(T + 200))
        assert next_event(process)["type"] == "grown"


def test_a_live_cascade_ends_when_its_silence_has_passed() -> None:
    with running("--max-gap-s", "0.5", *LOOSE) as process:
        now = int(time.time() * 1_000)
        send(process, message(now - 10), message(now))
        assert next_event(process)["type"] == "confirmed"
        ended = next_event(process)
        assert (ended["type"], ended["ended"]) == ("ended", now + 501)


def test_ctrl_c_closes_what_is_open_and_exits_130() -> None:
    with running(*LOOSE) as process:
        send(process, *CASCADE[:2])
        assert next_event(process)["type"] == "confirmed"
        process.send_signal(signal.SIGINT)
        assert next_event(process)["type"] == "ended"
        assert process.wait(PATIENCE_S) == 130
        assert process.stderr is not None
        assert process.stderr.read() == "2 lines, 2 liquidations, 0 duplicates, 0 bad, 0 late\n"


def test_a_reader_that_goes_away_ends_it_quietly() -> None:
    with running(*LOOSE) as process:
        send(process, *CASCADE[:2])
        assert next_event(process)["type"] == "confirmed"
        assert process.stdout is not None
        process.stdout.close()
        send(process, CASCADE[2])
        assert process.wait(PATIENCE_S) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
        process.stdout = None


def test_a_growing_file_is_followed_by_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "live.jsonl"
    path.write_text(CASCADE[0] + "\n" + CASCADE[1][:40])
    with running(str(path), "--follow", *LOOSE) as process, path.open("a", buffering=1) as stream:
        time.sleep(0.5)
        stream.write(CASCADE[1][40:] + "\n")
        assert next_event(process)["type"] == "confirmed"
        stream.write(CASCADE[2] + "\n" + CASCADE[3] + "\n")
        assert [next_event(process)["type"] for _ in range(2)] == ["grown", "ended"]
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 130


@pytest.mark.parametrize("how", ["rotated", "truncated"])
def test_following_goes_on_in_a_file_that_was(how: str, tmp_path: Path) -> None:
    path = tmp_path / "live.jsonl"
    path.write_text("".join(f"{line}\n" for line in CASCADE[:2]))
    with running(str(path), "--follow", *LOOSE) as process:
        assert next_event(process)["type"] == "confirmed"
        if how == "rotated":
            path.rename(tmp_path / "live.1.jsonl")
            time.sleep(0.5)
        path.write_text(CASCADE[2] + "\n")
        assert next_event(process)["n_liquidations"] == 3
        process.send_signal(signal.SIGINT)
        assert next_event(process)["type"] == "ended"
        assert process.wait(PATIENCE_S) == 130


def test_a_last_line_without_a_newline_counts(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(CASCADE[:3]))
    with path.open() as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        assert main(["detect"]) == 0
    assert capfd.readouterr().err.startswith("3 lines, 3 liquidations")


def test_lines_of_megabytes_pass(tmp_path: Path) -> None:
    padded = CASCADE[1][:-1] + ', "note": "' + "x" * 10_000_000 + '"}'
    path = write(tmp_path / "a.jsonl", [CASCADE[0], padded, *CASCADE[2:]])
    with Path(path).open() as stream, running(stdin=stream) as process:
        output, errors = process.communicate(timeout=PATIENCE_S)
    assert types_of(output) == ["confirmed", "ended"]
    assert errors.startswith("4 lines, 4 liquidations")


def test_a_study_configuration_sets_the_thresholds_and_options_win_over_it(tmp_path: Path) -> None:
    line = json.dumps(
        {
            "ts": 1_770_665_589_949,
            "stream": "liquidation",
            "result": {
                "ts": 1_770_665_589_887,
                "data": [
                    {"T": 1_770_665_589_426 + i, "s": "BTCUSDT", "S": "Buy", "v": "1", "p": "70000"} for i in range(2)
                ],
            },
        }
    )
    (tmp_path / "lines.jsonl").write_text(line + "\n")
    (tmp_path / "study.toml").write_text("[cascades]\nmin_liquidations = 2\n")
    command = [sys.executable, "-m", "liqlab.cli", "detect", "lines.jsonl", "--config", "study.toml", "--quiet"]
    loose = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert [json.loads(event)["type"] for event in loose.stdout.splitlines()] == ["confirmed", "ended"]
    strict = subprocess.run(
        [*command, "--min-liquidations", "3"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert strict.stdout == ""
