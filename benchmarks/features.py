"""The feature and label tables of the plan's span, from a lake: seconds and peak memory.

Run with `python benchmarks/features.py`; prints a Markdown table. `--days 1` makes it smaller. The lake is a simulated
`plan` world, five symbols, ticker every 5 s. The tables are computed twice in a fresh process: the first time includes
reading compiled kernels, the second is the time of the work alone. Peak memory is that of the whole process.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from liqlab.features import FEATURE_TABLE, FEATURES, iterate_features
from liqlab.lake import Lake, ingest
from liqlab.panel import find_scope, read_known_liquidations, walk_days
from liqlab.worlds import simulate

Row = tuple[str, str, str, str]


def main() -> None:
    """Print the table, or measure one lake."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=float, default=9.0)
    parser.add_argument("--measure", type=Path, help="the lake to measure in this process; prints JSON")
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure)))
        return
    print("| what | rows | seconds | peak memory |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        lake = Path(folder) / "lake"
        simulate(Path(folder) / "captures", days=arguments.days)
        ingest(Path(folder) / "captures", lake)
        for row in list_rows(lake, arguments.days):
            print("| " + " | ".join(row) + " |", flush=True)


def list_rows(lake: Path, days: float) -> Iterator[Row]:
    command = [sys.executable, __file__, "--measure", str(lake)]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    rows, peak = f"{found['rows']:,}", f"{found['peak_mb']:,.0f} MB"
    columns = f"{len(FEATURES)} features and the labels, {days:g} days, {found['symbols']} symbols"
    yield f"{columns}, first time", rows, f"{found['seconds'][0]:.1f}", peak
    yield f"{columns}, again", rows, f"{found['seconds'][1]:.1f}", ""
    yield "of which bars and as-of joins", rows, f"{found['panel_seconds']:.1f}", ""


def measure(path: Path) -> dict[str, object]:
    """Rows, seconds of two passes, seconds of the panel alone, and the peak of this process."""
    with Lake(path) as lake:
        scope = find_scope(lake)
        passes = [time_features(lake) for _ in range(2)]
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        start = time.perf_counter()
        for symbol in scope.symbols:
            liquidations = read_known_liquidations(lake, symbol, scope)
            for _ in walk_days(lake, symbol, scope, liquidations, lake.read_long_short_ratio(symbol)):
                pass
        panel_seconds = time.perf_counter() - start
    return {
        "rows": passes[0][0],
        "seconds": [seconds for _, seconds in passes],
        "panel_seconds": panel_seconds,
        "peak_mb": peak_mb,
        "symbols": len(scope.symbols),
    }


def time_features(lake: Lake) -> tuple[int, float]:
    start, features, labels = time.perf_counter(), 0, 0
    for day in iterate_features(lake, find_scope(lake)):
        assert day.features.columns == FEATURE_TABLE.names
        features += day.features.height
        labels += day.labels.height
    assert features == labels
    return features, time.perf_counter() - start


if __name__ == "__main__":
    main()
