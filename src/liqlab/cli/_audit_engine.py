"""`liqlab audit engine`: does a backtest earn what is there, and only that?"""

from __future__ import annotations

import argparse
from pathlib import Path

from liqlab.cli._audit_output import FOUND, write_report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Run the four strategies, and random ones with every kind of order, through the engine in many markets where "
        "nothing can be earned: what a trade earns before costs must be zero within three standard errors. Then the "
        "scaled cascade_fade where a known part of every cascade's push comes back: it must earn what size, costs and "
        "delay imply. The exit code is 1 when it does not hold."
    )
    parser.add_argument(
        "--seeds", type=int, metavar="N", default=200, help="markets of each kind (default %(default)s)"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="processes to use (default: one per core)")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="write every row into this .json file too")


def run(arguments: argparse.Namespace) -> int:
    """Measure, print both tables; the exit code."""
    from liqlab.audit import measure_engine_truth, render_engine_truth

    truth = measure_engine_truth(arguments.seeds, workers=arguments.workers, progress=arguments.progress)
    if arguments.output is not None:
        write_report(arguments.output, truth.to_dict())
    if not arguments.quiet:
        print(render_engine_truth(truth))
    return 0 if truth.passed else FOUND
