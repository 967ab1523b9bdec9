"""`liqlab run SOURCE -o RESULTS`: everything."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `run`."""
    from liqlab.cli._source import add_preset, add_source

    parser.description = (
        "From captures to findings: a lake, tables, statistics, cascades, figures and the findings document. Run again "
        "on a grown folder it parses only what is new."
    )
    add_source(parser)
    parser.add_argument(
        "-o", "--output", metavar="RESULTS", type=Path, required=True, help="folder for everything written"
    )
    parser.add_argument("--lake", metavar="LAKE", type=Path, help="folder of the lake (default: RESULTS/lake)")
    add_preset(parser)
    parser.add_argument("--csv", action="store_true", help="write the tables as .csv too")
    parser.add_argument("--workers", type=int, metavar="N", help="threads for the ingest (default: one per core)")


def run(arguments: argparse.Namespace) -> int:
    """Run, write, and say where to look; the exit code."""
    from liqlab.cli._source import describe_ingest, describe_reconciliation, load_config
    from liqlab.report import run as run_all

    outcome = run_all(
        arguments.source,
        arguments.output,
        lake=arguments.lake,
        config=load_config(arguments),
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
