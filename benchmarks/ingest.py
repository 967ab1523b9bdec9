"""Reading captures and ingesting them, against the obvious loops; results are compared in the same run.

Run with `python benchmarks/ingest.py`; prints a Markdown table. `--scale 0.1` makes everything ten times smaller.
Each ratio is one of medians of three runs, taken in turn so that both see the same machine, after one run that fills
the caches (bytecode, compiled kernels, pages).
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
from _obvious import load_liquidations_obviously, load_ticker_obviously
from isal import igzip

from liqlab.lake import Lake, load_liquidations, load_ticker

SYMBOLS = {"BTCUSDT": 68_000.0, "DOGEUSDT": 0.1, "ETHUSDT": 2_000.0, "SOLUSDT": 85.0, "XRPUSDT": 1.4}
START_MS = 1_770_595_200_000
HOUR_MS = 3_600_000
RUNS = 3
LIQUIDATION_HOURS = 48
TICKERS_PER_HOUR = 36_000
#: Hours of one symbol's ticker: for the ratio, and for memory with N and 4N files.
TICKER_HOURS, FEW_HOURS, MANY_HOURS = 56, 40, 160

Row = tuple[str, str, str, str]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="fraction of the full size")
    scale = parser.parse_args().scale
    print("| what | liqlab | obvious loop | ratio |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for row in itertools.chain(
            measure_liquidations(Path(folder), round(1_000_000 * scale)), measure_ticker(Path(folder), scale)
        ):
            print("| " + " | ".join(row) + " |", flush=True)


# Liquidations.


def write_liquidations(folder: Path, messages: int) -> None:
    """`messages` messages over five symbols in hourly files, every tenth with two liquidations."""
    random = np.random.default_rng(1)
    per_file = messages // (len(SYMBOLS) * LIQUIDATION_HOURS)
    for (symbol, price), hour in itertools.product(SYMBOLS.items(), range(LIQUIDATION_HOURS)):
        events = START_MS + hour * HOUR_MS + np.sort(random.integers(0, HOUR_MS - 1_000, per_file))
        pushes = (events // 500 + 1) * 500
        prices = price * (1 + random.normal(0, 0.01, per_file))
        sizes = random.lognormal(6, 2, per_file) / price + 0.001
        columns = zip(
            pushes.tolist(),
            (pushes + random.integers(20, 90, per_file)).tolist(),
            events.tolist(),
            random.choice(["Buy", "Sell"], per_file).tolist(),
            sizes.tolist(),
            prices.tolist(),
            strict=True,
        )
        path = folder / symbol / "bybit" / "liquidations" / f"liquidation_{hour:03d}.jsonl.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(
            f'{{"ts":{known},"exchange":"bybit","source":"ws","stream":"liquidation","symbol":"{symbol}",'
            f'"result":{{"ts":{push},"data":['
            + ",".join(
                f'{{"T":{event - i},"s":"{symbol}","S":"{side}","v":"{size:.3f}","p":"{paid:.4f}"}}'
                for i in range(2 if event % 10 == 0 else 1)
            )
            + "]}}\n"
            for push, known, event, side, size, paid in columns
        )
        path.write_bytes(gzip.compress(text.encode(), 6, mtime=0))


def measure_liquidations(folder: Path, messages: int) -> Iterator[Row]:
    """The library call on all cores and on one, then the whole command."""
    source = folder / "liquidations"
    write_liquidations(source, messages)
    found, expected = load_liquidations(source), load_liquidations_obviously(source)
    check_equal(found, expected)
    size = f"{messages:,} messages"

    def both(what: str) -> Row:
        return compare(what, lambda: load_liquidations(source), lambda: load_liquidations_obviously(source))

    yield both(f"liquidations to a table, {size}, {count_cores()} cores")
    with one_core():
        yield both(f"liquidations to a table, {size}, 1 core")
    numbers = itertools.count()
    obvious = [
        sys.executable,
        str(Path(__file__).with_name("_obvious.py")),
        str(source),
        str(folder / "obvious.parquet"),
    ]
    yield compare(
        f"both as a command that writes Parquet, start-up included, {size}",
        lambda: run(*ingest_command(source, folder / f"lake{next(numbers)}")),
        lambda: run(*obvious),
    )
    check_equal(load_liquidations(folder / "lake0"), pd.read_parquet(folder / "obvious.parquet"))
    with Lake(folder / "lake0") as lake:
        assert all(row.holds for row in lake.reconcile())


# Ticker.


def write_ticker(folder: Path, hours: int) -> list[Path]:
    """Hourly files of websocket frames, ten per second: a snapshot first, then deltas of a few fields."""
    random = np.random.default_rng(2)
    names = ["lastPrice", "markPrice", "indexPrice", "bid1Price", "bid1Size", "ask1Price", "ask1Size"]
    head = '"stream":"ticker","symbol":"BTCUSDT","result":{"topic":"tickers.BTCUSDT","type":'
    snapshot = "".join(f',"{name}":"70000.5"' for name in names)
    snapshot += ',"openInterest":"50000.5","fundingRate":"-0.0001","nextFundingTime":"1770681600000"'
    paths = []
    for hour in range(hours):
        times = (START_MS + hour * HOUR_MS + 100 * np.arange(TICKERS_PER_HOUR)).tolist()
        prices = (70_000 + random.normal(0, 9, TICKERS_PER_HOUR)).round(2).tolist()
        sizes = random.uniform(0, 20, TICKERS_PER_HOUR).round(3).tolist()
        fields = random.integers(0, len(names), TICKERS_PER_HOUR).tolist()
        lines = [
            f'{{"ts":{time_ms + 40},{head}"delta","ts":{time_ms},"cs":{time_ms},"data":{{"symbol":"BTCUSDT",'
            f'"{names[field]}":"{price if field != 4 and field != 6 else size}","bid1Size":"{size}"}}}}}}\n'
            if field != 4
            else f'{{"ts":{time_ms + 40},{head}"delta","ts":{time_ms},"cs":{time_ms},"data":{{"symbol":"BTCUSDT",'
            f'"bid1Size":"{size}","volume24h":"{price}"}}}}}}\n'
            for time_ms, price, size, field in zip(times, prices, sizes, fields, strict=True)
        ]
        first = f'{{"ts":{times[0] + 40},{head}"snapshot","ts":{times[0]},"data":{{"symbol":"BTCUSDT"{snapshot}}}}}}}\n'
        path = folder / "BTCUSDT" / f"ticker_{hour:03d}.jsonl.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(igzip.compress("".join([first, *lines[1:]]).encode(), 2, mtime=0))
        paths.append(path)
    return paths


def measure_ticker(folder: Path, scale: float) -> Iterator[Row]:
    """The library call, then the memory of an ingest of N and of 4N files."""
    hours = [max(1, round(count * scale)) for count in (TICKER_HOURS, FEW_HOURS, MANY_HOURS)]
    paths = write_ticker(folder / "all", max(hours))
    sources = [link(folder / f"ticker_{count}_{i}", paths[:count]) for i, count in enumerate(hours)]
    check_equal(load_ticker(sources[0]), load_ticker_obviously(sources[0]))
    yield compare(
        f"ticker to a table, {hours[0] * TICKERS_PER_HOUR:,} frames, deltas carried",
        lambda: load_ticker(sources[0]),
        lambda: load_ticker_obviously(sources[0]),
    )
    few, many = (measure_peak_mb(source, folder / f"{source.name}_lake") for source in sources[1:])
    what = f"peak memory of `liqlab ingest`, {hours[1]} and {hours[2]} hourly ticker files"
    yield what, f"{few:,.0f} and {many:,.0f} MB", "", f"{many / few:.2f}"


def link(folder: Path, paths: list[Path]) -> Path:
    """A folder with these files and no others."""
    folder.mkdir()
    for path in paths:
        (folder / path.name).hardlink_to(path)
    return folder


# Measuring.


def ingest_command(source: Path, lake: Path) -> list[str]:
    return [sys.executable, "-m", "liqlab.cli", "ingest", str(source), "--lake", str(lake), "--quiet"]


def run(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


#: Starts a command and prints its peak memory in KB: a process inherits the peak of the one that started it.
_STARTER = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def measure_peak_mb(source: Path, lake: Path) -> float:
    return int(run(sys.executable, "-c", _STARTER, *ingest_command(source, lake))) / 1024


def compare(what: str, fast: Callable[[], object], slow: Callable[[], object]) -> Row:
    seconds = [(time_s(fast), time_s(slow)) for _ in range(RUNS)]
    fast_s, slow_s = (statistics.median(column) for column in zip(*seconds, strict=True))
    return what, f"{fast_s:.2f} s", f"{slow_s:.2f} s", f"{slow_s / fast_s:.1f}"


def time_s(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def count_cores() -> int:
    return len(os.sched_getaffinity(0))


@contextmanager
def one_core() -> Iterator[None]:
    """Let this process run on one core only."""
    cores = os.sched_getaffinity(0)
    threads = [int(name.name) for name in Path("/proc/self/task").iterdir()]
    for thread in threads:
        os.sched_setaffinity(thread, {min(cores)})
    try:
        yield
    finally:
        for thread in threads:
            os.sched_setaffinity(thread, cores)


def check_equal(found: pl.DataFrame, expected: pd.DataFrame) -> None:
    """Equal in every column of `expected`, to the last bit, up to the order of rows known at the same time."""
    times = [name for name in expected.columns if name.endswith("_time")]
    other = pl.from_pandas(expected).with_columns(pl.col(times).cast(pl.Datetime("ms", "UTC")))
    order = ["known_time", "event_time", "symbol"]
    found = found.select(other.columns).sort(order, maintain_order=True)
    assert found.equals(other.cast(found.schema).sort(order, maintain_order=True)), "the results differ"


if __name__ == "__main__":
    main()
