"""`liqlab run SOURCE -o RESULTS`: everything."""

from __future__ import annotations

import argparse
import shlex
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `run`."""
    from liqlab.cli._source import add_preset, add_results, add_source

    parser.description = (
        "From captures to findings: a lake, tables, statistics, cascades, figures and the findings document. Run again "
        "on a grown folder it parses only what is new."
    )
    add_source(parser)
    add_results(parser)
    add_preset(parser)
    parser.add_argument(
        "--no-claims",
        dest="test_claims",
        action="store_const",
        const=False,
        help="leave the seven questions unanswered: no verdicts, and a shorter run",
    )
    parser.add_argument(
        "--no-backtest",
        dest="test_strategies",
        action="store_const",
        const=False,
        help="no backtests: the strategies' claims stay untested, and the run is shorter",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run, write, and say where to look; the exit code."""
    from liqlab.cli._source import describe_ingest, describe_reconciliation, load_config
    from liqlab.report import run as run_all

    outcome = run_all(
        arguments.source,
        arguments.output,
        lake=arguments.lake,
        config=load_config(arguments, test_claims=arguments.test_claims, test_strategies=arguments.test_strategies),
        csv=arguments.csv,
        workers=arguments.workers,
        progress=arguments.progress,
        command=shlex.join(["liqlab", *sys.argv[1:]]),
    )
    if not arguments.quiet:
        if outcome.ingest is not None:
            print(describe_ingest(outcome.ingest))
        print(*describe_reconciliation(outcome.study.reconciliation), *outcome.summary, sep="\n")
    return 0 if outcome.reconciled else 1
