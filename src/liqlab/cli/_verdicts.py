"""`liqlab verdicts RESULTS`: what a run decided on each claim."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `verdicts`."""
    parser.description = (
        "Print the verdict on each claim of the research plan: supported, rejected, inconclusive or not testable, with "
        "effect, 95 % interval, p adjusted for all claims, and why. `liqlab explain ID RESULTS` says more about one."
    )
    parser.add_argument("results", metavar="RESULTS", type=Path, help="results folder of `liqlab run`")


def run(arguments: argparse.Namespace) -> int:
    """Print the table; the exit code."""
    from liqlab.report import render_verdict_table
    from liqlab.study import read_verdicts

    print(render_verdict_table(read_verdicts(arguments.results)))
    return 0
