"""The command line: what it prints, what it writes, and how it answers mistakes."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from liqlab import __version__
from liqlab.cli import build_parser, main
from liqlab.worlds import simulate

COMMANDS = (
    "run",
    "ingest",
    "stats",
    "cascades",
    "features",
    "detect",
    "info",
    "simulate",
    "score",
    "worlds",
    "verdicts",
    "explain",
    "audit",
)
#: Next to no predictive analysis: these tests are about everything else.
QUICK = "test_claims = false\n[ic]\nreturn_horizons_s = [60]\nvolatility_horizons_s = []\nn_resamples = 99\n"


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "captures"
    simulate(folder, days=0.25, seed=11, symbols=("BTCUSDT", "DOGEUSDT"), workers=1)
    return folder


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "quick.toml"
    path.write_text(QUICK)
    return path


@pytest.fixture(scope="module")
def first_run(captures: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The results of a run, and what it printed."""
    results, printed = tmp_path_factory.mktemp("first_run") / "results", io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main(["run", str(captures), "-o", str(results)]) == 0
    return results, printed.getvalue()


def spawn(*arguments: str | Path, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "liqlab.cli", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload,no-any-return]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path, code: int = 2) -> str:
    """The message of a command that must fail with `code`, without a traceback and without results."""
    assert main([str(argument) for argument in arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return captured.err.splitlines()[-1]


def test_help_lists_every_command_and_takes_no_heavy_import() -> None:
    code = "import sys; from liqlab.cli import main; main(['--help'])"
    shown = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, check=False
    )
    assert all(f"    {name} " in shown.stdout for name in COMMANDS)
    analysis = ("scipy", "sklearn", "statsmodels", "arch", "xgboost", "hmmlearn")
    for heavy in ("polars", "numpy", "numba", "pandas", "pyarrow", "matplotlib", "msgspec", "rich", *analysis):
        assert f" {heavy}\n" not in shown.stderr


def test_help_comes_within_a_third_of_a_second(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    seconds = []
    for _ in range(6):
        begin = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "liqlab.cli", "--help"], env=environment, stdout=subprocess.DEVNULL, check=True
        )
        seconds.append(time.perf_counter() - begin)
    assert min(seconds[1:]) < 0.3


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert "--quiet" in capsys.readouterr().out


def test_version_and_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"liqlab {__version__}\n"
    assert main([]) == 0
    assert capsys.readouterr().out == build_parser().format_help()


def test_an_unknown_command_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["rum"])
    assert ended.value.code == 2
    assert "rum" in capsys.readouterr().err


def test_run_writes_everything_and_a_second_run_parses_nothing_and_changes_nothing(
    captures: Path, first_run: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    results, printed = first_run
    assert "0 unchanged" in printed
    assert "liquidation: " in printed
    names = {path.name for path in results.iterdir()}
    assert {
        "FINDINGS_v26_liquidations.md",
        "manifest.json",
        "liquidations_stats_ALL.txt",
        "liquidations_stats_BTCUSDT.txt",
        "liquidations_stats_DOGEUSDT.txt",
        "liquidations_ic_ALL.txt",
        "liquidations_ic_BTCUSDT.txt",
        "liquidations_ic_DOGEUSDT.txt",
        "liquidations_features.txt",
        "liquidations_cascade_examples.png",
        "liquidations_ic_heatmap.png",
        "tables",
        "lake",
    } <= names
    manifest = json.loads((results / "manifest.json").read_text())
    assert manifest["status"] == "complete"
    before = {path.name: pl.read_parquet(path) for path in (results / "tables").glob("*.parquet")}
    assert {"features.parquet", "labels.parquet", "regimes.parquet", "ic.parquet", "predictions.parquet"} <= set(before)
    assert main(["run", str(captures), "-o", str(results), "--csv"]) == 0
    assert "0 parsed" in capsys.readouterr().out
    for name, frame in before.items():
        assert pl.read_parquet(results / "tables" / name).equals(frame)
        assert (results / "tables" / name).with_suffix(".csv").exists()


def test_run_takes_a_lake_and_quiet_prints_nothing(
    captures: Path, quick: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = tmp_path / "lake"
    assert main(["ingest", str(captures), "--lake", str(lake), "--quiet"]) == 0
    options = ["--symbols", "DOGEUSDT", "--config", str(quick), "--quiet"]
    assert main(["run", str(lake), "-o", str(tmp_path / "results"), *options]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")
    assert not (tmp_path / "results" / "lake").exists()
    assert not (tmp_path / "results" / "liquidations_stats_BTCUSDT.txt").exists()


def test_ingest_says_what_came_of_every_record(
    captures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ingest", str(captures), "--lake", str(tmp_path / "lake")]) == 0
    lines = capsys.readouterr().out.splitlines()
    read, _, rest = next(line for line in lines if line.startswith("liquidation: ")).partition(" read = ")
    kept, quarantined, duplicates = (int(part.split()[0].replace(",", "")) for part in rest.split(" + "))
    assert int(read.split()[-1].replace(",", "")) == kept + quarantined + duplicates > 0


def test_stats_prints_the_published_block_and_writes_files(
    captures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["stats", str(captures), "--symbols", "BTCUSDT", "--quiet"]) == 0
    assert "BTCUSDT" in capsys.readouterr().out
    assert main(["stats", str(captures), "-o", str(tmp_path), "--quiet"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        f"liquidations_stats_{symbol}.txt" for symbol in ("ALL", "BTCUSDT", "DOGEUSDT")
    }


def test_cascades_prints_a_table_and_writes_the_same_cascades_as_run(
    captures: Path, first_run: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cascades", str(captures), "--limit", "3", "-o", str(tmp_path / "c")]) == 0
    printed = capsys.readouterr().out
    written = pl.read_parquet(tmp_path / "c" / "cascades.parquet")
    assert printed.startswith(f"{written.height:,} cascades, preset plan")
    assert written.equals(pl.read_parquet(first_run[0] / "tables" / "cascades.parquet"))
    assert (tmp_path / "c" / "cascades.csv").read_text().count("\n") == written.height + 1


def test_detect_over_the_lines_of_one_symbol_ends_the_cascades_of_run(captures: Path, tmp_path: Path) -> None:
    import gzip

    lines = b"".join(gzip.decompress(path.read_bytes()) for path in sorted((captures / "BTCUSDT").glob("liq*")))
    detected = spawn("detect", stdin=subprocess.PIPE)
    output, _ = detected.communicate(lines.decode())
    ended = [event for event in map(json.loads, output.splitlines()) if event["type"] == "ended"]
    assert main(["cascades", str(captures), "--symbols", "BTCUSDT", "-o", str(tmp_path), "--quiet"]) == 0
    table = pl.read_parquet(tmp_path / "cascades.parquet").sort("confirmed")
    assert [event["cascade_id"] for event in ended] == table["cascade_id"].to_list()
    assert [event["notional_usd"] for event in ended] == table["notional_usd"].to_list()
    assert [event["ended"] for event in ended] == table["ended"].to_physical().to_list()


def test_info_describes_a_folder_a_file_and_a_lake(
    captures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", str(captures), "--quiet"]) == 0
    assert "capture files" in capsys.readouterr().out
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"stream":"liquidation"\n\n{"stream":"liquidation","result":{"data":[{"T":1}]}}\n')
    assert main(["info", str(bad), "--quiet"]) == 0
    shown = capsys.readouterr().out
    assert "2 bad lines or records" in shown
    assert "bad.jsonl:3" in shown
    main(["ingest", str(captures), "--lake", str(tmp_path / "lake"), "--quiet"])
    assert main(["info", str(tmp_path / "lake")]) == 0
    assert "a lake made from" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["run", "ingest", "stats", "cascades"])
def test_a_wrong_path_an_empty_folder_and_a_file_are_refused(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target: dict[str, list[str | Path]] = {"run": ["-o", tmp_path / "r"], "ingest": ["--lake", tmp_path / "l"]}
    more = [*target.get(command, []), "--quiet"]
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.jsonl").write_text("{}\n")
    assert "no folder" in refused(capsys, command, tmp_path / "absent", *more)
    assert "no capture file below" in refused(capsys, command, tmp_path / "empty", *more)
    assert "is a file" in refused(capsys, command, tmp_path / "file.jsonl", *more)


def test_a_source_without_one_valid_row_exits_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "captures").mkdir()
    (tmp_path / "captures" / "junk.jsonl.gz").write_bytes(os.urandom(5_000))
    message = refused(capsys, "ingest", tmp_path / "captures", "--lake", tmp_path / "lake", "--quiet")
    assert "not one valid row" in message
    assert "liqlab info" in message


def test_quarantine_alone_exits_0(captures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "captures"
    source.mkdir()
    good = sorted((captures / "BTCUSDT").glob("liq*"))[0]
    (source / "good.jsonl.gz").write_bytes(good.read_bytes())
    (source / "bad.jsonl").write_text('{"symbol":"../../etc","stream":"ticker","ts":1,"result":{}}\nnot json\n')
    assert main(["ingest", str(source), "--lake", str(tmp_path / "lake"), "--quiet"]) == 0
    assert pl.read_parquet(list((tmp_path / "lake" / "quarantine").iterdir())).height == 2
    assert capsys.readouterr().err == ""


def test_foreign_results_folders_and_lakes_are_left_alone(
    captures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work")
    assert "thesis" not in refused(capsys, "ingest", captures, "--lake", precious, "--quiet")
    assert str(precious) in refused(capsys, "run", captures, "-o", precious, "--quiet")
    assert [path.name for path in precious.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--symbols", "BTCUSDT,XRPUSDT"], "unknown symbol 'XRPUSDT'; available: BTCUSDT, DOGEUSDT"),
        (["--start", "soon"], "cannot read the time 'soon'"),
        (["--start", "2026-03-01"], "nothing in the span asked for"),
        (["--config", "absent.toml"], "no configuration file at absent.toml"),
        (["--preset", "p96"], "unknown preset 'p96'; available: p95, plan"),
    ],
)
def test_wrong_options_name_what_is_allowed(
    arguments: list[str], message: str, captures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(capsys, "cascades", captures, *arguments, "--quiet")


def test_an_unreadable_folder_and_a_full_disk_exit_1(captures: Path, tmp_path: Path) -> None:
    """As a limit on file size: root may read everything, and a disk cannot be filled politely."""
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000));"
        "from liqlab.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", script, "ingest", str(captures), "--lake", str(tmp_path / "lake"), "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("liqlab: cannot write ")
    assert "Traceback" not in done.stderr
    assert main(["ingest", str(captures), "--lake", str(tmp_path / "lake"), "--quiet"]) == 0


def test_ctrl_c_exits_130_and_the_next_run_finishes_the_work(quick: Path, tmp_path: Path) -> None:
    simulate(tmp_path / "captures", days=1, seed=2, symbols=("BTCUSDT",))
    results = tmp_path / "results"
    process = spawn("run", tmp_path / "captures", "-o", results)
    while not (results / "lake" / "manifest.json").exists() and process.poll() is None:
        time.sleep(0.02)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in error
    assert "Traceback" not in error
    assert main(["run", str(tmp_path / "captures"), "-o", str(results), "--config", str(quick), "--quiet"]) == 0
    assert not list((results / "tables").glob(".*.tmp"))
    assert json.loads((results / "manifest.json").read_text())["status"] == "complete"


def test_a_second_process_on_the_same_lake_is_told_so(captures: Path, tmp_path: Path) -> None:
    from liqlab.lake import Lake

    main(["ingest", str(captures), "--lake", str(tmp_path / "lake"), "--quiet"])
    with Lake(tmp_path / "lake"):
        process = spawn("ingest", captures, "--lake", tmp_path / "lake")
        _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "is in use by another liqlab" in error


def test_a_pipe_that_closes_early_is_no_error(captures: Path) -> None:
    process = spawn("cascades", captures, "--limit", "0", "--quiet")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr as errors:
        assert errors.read() == ""
    assert process.wait(timeout=60) == 0
