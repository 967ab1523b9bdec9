"""`liqlab explain Q3.2 [RESULTS]`: one claim, how it is tested, how far to trust the test, and the result."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `explain`."""
    parser.description = (
        "Print one claim of the research plan: null hypothesis and alternative, what is estimated, the smallest effect "
        "that matters, the test with its assumptions and minima, its calibration, and how to read it."
    )
    parser.add_argument(
        "id", metavar="ID", help="Q1.1 to Q7.4 for the plan's expected findings, S1 to S4 for strategies"
    )
    parser.add_argument(
        "results", metavar="RESULTS", type=Path, nargs="?", help="results folder of `liqlab run`: show its result too"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the explanation; the exit code."""
    from liqlab.report import explain, read_calibration
    from liqlab.study import find_hypothesis

    name = find_hypothesis(arguments.id).id
    record = None if arguments.results is None else _find_record(arguments.results, name)
    print(explain(name, record, read_calibration()))
    return 0


def _find_record(results: Path, name: str) -> Mapping[str, Any]:
    from liqlab.core.errors import ResultsError
    from liqlab.study import read_verdicts

    for record in read_verdicts(results):
        if record["id"] == name:
            return record
    raise ResultsError(f"the verdicts of {results} have none on {name}; run `liqlab run` again with this version")
