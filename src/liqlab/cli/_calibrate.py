"""`liqlab calibrate`: how often each test is wrong, in simulated markets whose truth is known."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from liqlab.cli._source import split_symbols

if TYPE_CHECKING:
    from collections.abc import Sequence

    from liqlab.study import CalibrationRow

FAILED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `calibrate`."""
    parser.description = (
        "Answer every question in many independent simulated markets, with the functions and resample counts of a run, "
        "and count: how often a false claim is supported, a true one rejected, p falls below 0.05, an interval holds "
        "the population value, and how large an effect must be to be seen. With --scorecard it counts instead how "
        "often each success criterion of the scorecard is met. Interrupted, or called again with more seeds, it "
        "computes only what is missing. The exit code is 1 when a required rate is not met."
    )
    parser.add_argument(
        "--scorecard", action="store_true", help="rates at which the success criteria are met, not those of the tests"
    )
    parser.add_argument("--world", metavar="WORLD", default="null", help="named world or .toml file (default null)")
    parser.add_argument("--seeds", type=int, metavar="N", default=200, help="independent markets (default 200)")
    parser.add_argument("--days", type=float, default=9.0, help="length of each market (default 9)")
    parser.add_argument("--symbols", metavar="SYMBOL", nargs="+", help="only these, separated by spaces or commas")
    parser.add_argument("--workers", type=int, metavar="N", help="processes to use (default: one per core)")
    parser.add_argument(
        "--work",
        metavar="FOLDER",
        type=Path,
        default=Path(".liqlab-calibration"),
        help="what was computed so far (default %(default)s)",
    )
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="store the rates here, not in the package")
    parser.add_argument("--page", metavar="FILE", type=Path, help="write everything stored as Markdown into this file")


def run(arguments: argparse.Namespace) -> int:
    """Calibrate; the exit code."""
    return _calibrate_scorecard(arguments) if arguments.scorecard else _calibrate_tests(arguments)


def _calibrate_scorecard(arguments: argparse.Namespace) -> int:
    from liqlab.study import CRITERIA, format_rate, measure_scorecard, store_scorecard
    from liqlab.worlds import DEFAULT_SYMBOLS, load_world

    scorecard = measure_scorecard(
        load_world(arguments.world),
        arguments.seeds,
        days=arguments.days,
        symbols=split_symbols(arguments.symbols) or DEFAULT_SYMBOLS,
        work=arguments.work,
        workers=arguments.workers,
        progress=arguments.progress,
    )
    path = store_scorecard(scorecard, arguments.output)
    if not arguments.quiet:
        from liqlab.report import render_table

        rates = scorecard.rates()
        cells = [[one.id, one.level, one.as_written, format_rate(rates[one.id])] for one in CRITERIA]
        print(render_table(["id", "level", "criterion", "met, %"], cells, "lllr", width=120))
        print(f"stored in {path}")
    return 0


def _calibrate_tests(arguments: argparse.Namespace) -> int:
    from liqlab.study import calibrate, check_calibration, compute_rates, render_criteria, store_calibration
    from liqlab.worlds import DEFAULT_SYMBOLS, load_world

    calibration = calibrate(
        load_world(arguments.world),
        arguments.seeds,
        days=arguments.days,
        symbols=split_symbols(arguments.symbols) or DEFAULT_SYMBOLS,
        work=arguments.work,
        workers=arguments.workers,
        progress=arguments.progress,
    )
    path = store_calibration(calibration, arguments.output)
    rows = compute_rates(calibration)
    criteria = check_calibration(calibration, rows)
    if arguments.page is not None:
        _write_page(arguments.page, path)
    if not arguments.quiet:
        print(_render_rows(rows))
        print(f"\n{render_criteria(criteria, rows)}\nstored in {path}")
    return 0 if all(criterion.passed for criterion in criteria) else FAILED


def _write_page(page: Path, stored: Path) -> None:
    from liqlab.core.errors import EnvironmentFailure
    from liqlab.core.files import write_text
    from liqlab.study import build_calibration_page

    try:
        write_text(page, build_calibration_page(stored))
    except OSError as error:
        raise EnvironmentFailure(f"cannot write {page}: {error.strerror}; choose another --page") from error


def _render_rows(rows: Sequence[CalibrationRow]) -> str:
    from liqlab.report import render_table
    from liqlab.study import format_rate

    header = ["id", "claim is", "population", "testable", "supported", "rejected", "p < 0.05", "coverage", "detects"]
    cells = [
        [
            row.id,
            row.truth,
            "–" if row.population.value is None else f"{row.population.value:.3g}",
            *(
                format_rate(rate)
                for rate in (row.testable, row.supported, row.rejected, row.raw_rejected, row.coverage)
            ),
            "–" if row.own_minimum_detectable is None else f"{row.own_minimum_detectable:.3g}",
        ]
        for row in rows
    ]
    return render_table(header, cells, "llrrrrrrr", width=150)
