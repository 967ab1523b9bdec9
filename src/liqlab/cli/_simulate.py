"""`liqlab simulate OUT`: write the captures of a simulated market."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from liqlab.worlds import SimulationSummary


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `simulate`."""
    parser.description = (
        "Write what a recorder would have captured of a simulated market: liquidations in bursts, the ticker and the "
        "long/short ratio, in the layout that `liqlab run` reads, and the truth in OUT/truth. The same arguments "
        "always give the same files."
    )
    parser.add_argument("output", metavar="OUT", type=Path, help="new or empty folder to write into")
    parser.add_argument(
        "--world",
        metavar="NAME",
        default="plan",
        help="a named world (liqlab worlds list) or a .toml file with dials that differ (default plan)",
    )
    parser.add_argument("--days", type=float, default=9.0, help="length in days, fractions allowed (default 9)")
    parser.add_argument("--seed", type=int, default=7, help="0 or more; another seed is another market (default 7)")
    parser.add_argument(
        "--symbols",
        nargs="+",
        metavar="SYMBOL",
        help="symbols to simulate, separated by spaces or commas (default: the plan's five)",
    )
    parser.add_argument(
        "--start",
        metavar="TIME",
        default="2026-02-09",
        help="first moment, UTC, such as 2026-02-09T19:33 (default %(default)s)",
    )
    parser.add_argument(
        "--ticker",
        choices=("rest", "websocket"),
        default="rest",
        help="a snapshot every 5 seconds, or up to ten frames a second (default rest)",
    )
    parser.add_argument(
        "--dirt", action="store_true", help="add gaps, repeated messages, corrupt lines and late pushes"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="processes to use (default: one per core)")


def run(arguments: argparse.Namespace) -> int:
    """Write the captures and say what was written; the exit code."""
    from liqlab.cli._source import split_symbols
    from liqlab.core.time import parse_time
    from liqlab.worlds import DEFAULT_SYMBOLS, simulate

    summary = simulate(
        arguments.output,
        world=arguments.world,
        days=arguments.days,
        seed=arguments.seed,
        symbols=split_symbols(arguments.symbols) or DEFAULT_SYMBOLS,
        start_ms=parse_time(arguments.start),
        ticker=arguments.ticker,
        dirt=arguments.dirt,
        workers=arguments.workers,
        progress=arguments.progress,
    )
    if not arguments.quiet:
        _print_summary(summary)
    return 0


def _print_summary(summary: SimulationSummary) -> None:
    from liqlab.core.time import format_time

    print(f"{', '.join(summary.symbols)} from {format_time(summary.start_ms)} to {format_time(summary.end_ms)} UTC")
    print(
        f"{summary.liquidations:,} liquidations in {summary.liquidation_messages:,} messages, "
        f"{summary.ticker_rows:,} ticker rows, {summary.ratio_rows:,} long/short ratios"
    )
    dirt = summary.dirt
    if dirt.corrupt_lines or dirt.gaps:
        print(
            f"dirt: {dirt.gaps:,} gaps, {dirt.repeated_messages:,} repeated messages, "
            f"{dirt.corrupt_lines:,} corrupt lines, {dirt.late_pushes:,} late pushes"
        )
    print(f"{summary.files:,} files, {summary.bytes_written / 1e6:,.1f} MB, in {summary.output}")
