"""`liqlab backtest SOURCE -o RESULTS`: the strategies, what chance makes of the same days, and other data."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `backtest`."""
    from liqlab.cli._source import add_preset, add_results, add_source

    parser.description = (
        "Backtest strategies: with declared parameters, scaled for little data, and searched inside walk-forward "
        "folds; after fees, spread, impact and funding, beside chance. With --oos the parameters are frozen and tried "
        "on data that nothing was chosen on. How to read the result: docs/strategies.md, docs/metrics.md."
    )
    add_source(parser)
    add_results(parser)
    parser.add_argument(
        "--strategy",
        metavar="NAME|FILE.py",
        nargs="+",
        help="only these: names of the catalogue, or Python files that define STRATEGY (default: the catalogue)",
    )
    parser.add_argument(
        "--oos",
        metavar="SOURCE|TIME",
        help="out of sample: another source, or a moment from which on nothing is searched, UTC: 2026-02-15",
    )
    parser.add_argument("--search", metavar="METHOD", help="grid (default) or optuna")
    parser.add_argument("--delay", metavar="SECONDS", type=float, help="from a decision to its order (default 5)")
    add_preset(parser)


def run(arguments: argparse.Namespace) -> int:
    """Backtest, write, and say what came out; the exit code."""
    from liqlab.cli._source import describe_ingest, load_config
    from liqlab.report import run_backtests

    config = load_config(
        arguments,
        backtest={
            "strategies": arguments.strategy,
            "search": None if arguments.search is None else {"method": arguments.search},
            "execution": None if arguments.delay is None else {"latency": {"delay_s": arguments.delay}},
        },
    )
    other, cut = _read_oos(arguments.oos)
    outcome = run_backtests(
        arguments.source,
        arguments.output,
        lake=arguments.lake,
        config=config,
        other=other,
        cut=cut,
        csv=arguments.csv,
        workers=arguments.workers,
        progress=arguments.progress,
        command=shlex.join(["liqlab", *sys.argv[1:]]),
    )
    if not arguments.quiet:
        if outcome.ingest is not None:
            print(describe_ingest(outcome.ingest))
        print(*(line.replace("**", "") for line in outcome.summary), sep="\n")
        print(f"read first: {outcome.files[0]}")
    return 0


def _read_oos(text: str | None) -> tuple[Path | None, str | None]:
    """Another source when something lies there, else a moment; `UserError` when it is neither."""
    from liqlab.core.errors import UserError
    from liqlab.core.time import parse_time

    if text is None:
        return None, None
    if Path(text).exists():
        return Path(text), None
    try:
        parse_time(text)
    except UserError as error:
        raise UserError(
            f"--oos {text} is neither a folder that exists nor a moment such as 2026-02-15 or 2026-02-15T12:00"
        ) from error
    return None, text
