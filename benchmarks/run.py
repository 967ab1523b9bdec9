"""The whole run at the plan's size: nine days, five symbols, ticker every 5 s. Prints a Markdown table.

    python benchmarks/run.py

Each run is a process of its own, start-up included; its peak memory is the kernel's figure for that process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SECONDS_COLD, SECONDS_AGAIN, MEGABYTES = 60.0, 20.0, 1_500.0


def run_command(*arguments: str | Path) -> tuple[float, float]:
    """(seconds, peak memory in MB) of one liqlab command."""
    command = [sys.executable, "-m", "liqlab.cli", *map(str, arguments), "--quiet"]
    begin = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.perf_counter() - begin, usage.ru_maxrss / 1e3


def read_results(results: Path) -> tuple[int, int]:
    """(liquidations, ticker rows) of a run that reconciles."""
    manifest = json.loads((results / "manifest.json").read_text())
    assert manifest["status"] == "complete"
    assert all(row["holds"] for row in manifest["reconciliation"])
    return manifest["row_counts"]["liquidations"], manifest["row_counts"]["ticker"]


def main() -> None:
    """Simulate, run cold, run again, compare."""
    with tempfile.TemporaryDirectory(prefix="liqlab-benchmark-") as folder:
        captures, results = Path(folder, "captures"), Path(folder, "results")
        simulated_s, _ = run_command("simulate", captures, "--days", "9", "--seed", "7")
        cold_s, cold_mb = run_command("run", captures, "-o", results)
        first = read_results(results)
        again_s, again_mb = run_command("run", captures, "-o", results)
        assert read_results(results) == first
    print(f"{first[0]:,} liquidations and {first[1]:,} ticker rows, simulated in {simulated_s:.1f} s.\n")
    print("| what | seconds | peak memory (MB) | aim |")
    print("|---|---:|---:|---|")
    print(f"| cold run | {cold_s:.1f} | {cold_mb:,.0f} | under {SECONDS_COLD:.0f} s and {MEGABYTES:,.0f} MB |")
    print(f"| second run on its lake | {again_s:.1f} | {again_mb:,.0f} | under {SECONDS_AGAIN:.0f} s |")


if __name__ == "__main__":
    main()
