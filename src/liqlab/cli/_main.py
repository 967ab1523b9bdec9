"""The parser of all commands, and how errors become exit codes.

Exit codes: 0 done, 1 the environment refused (disk, permission, another process), 2 the user's mistake, 130
interrupted. Each command is a module with `add_arguments` and `run`; heavy libraries are imported inside `run`.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from liqlab import __version__
from liqlab.cli import (
    _audit,
    _backtest,
    _calibrate,
    _cascades,
    _detect,
    _explain,
    _features,
    _info,
    _ingest,
    _run,
    _score,
    _simulate,
    _stats,
    _verdicts,
    _worlds,
)
from liqlab.core.errors import LiqlabError
from liqlab.core.progress import SILENT, Progress

INTERRUPTED = 130

#: Name, module, and the line that `liqlab --help` shows for it.
_COMMANDS = (
    ("run", _run, "everything: captures to tables, statistics, cascades, figures and findings"),
    ("ingest", _ingest, "captures into a lake of Parquet tables"),
    ("stats", _stats, "statistics of the liquidations"),
    ("cascades", _cascades, "the cascades in a source"),
    ("backtest", _backtest, "strategies after costs, searched honestly, beside chance and out of sample"),
    ("features", _features, "the table of features and labels, with its dictionary"),
    ("detect", _detect, "cascades from message lines, as they happen"),
    ("info", _info, "what a folder or file is, how much of it, how many bad lines"),
    ("simulate", _simulate, "write the captures of a simulated market"),
    ("score", _score, "detected cascades against those of a simulated market"),
    ("worlds", _worlds, "the simulated markets there are, and what is true in them"),
    ("verdicts", _verdicts, "what a run decided on each claim"),
    ("explain", _explain, "one claim: its test, how far to trust it, its result"),
    ("calibrate", _calibrate, "how often each test is wrong where the truth is known"),
    ("audit", _audit, "audits of the program itself, and of a strategy's backtest"),
)


def build_parser() -> argparse.ArgumentParser:
    """The parser of `liqlab` with all its commands."""
    parser = argparse.ArgumentParser(
        prog="liqlab",
        description="A laboratory for forced liquidations on crypto perpetual futures.",
        epilog="liqlab COMMAND --help explains a command; the documentation is in docs/.",
    )
    parser.add_argument("--version", action="version", version=f"liqlab {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, module, line in _COMMANDS:
        command = commands.add_parser(name, help=line)
        module.add_arguments(command)
        command.add_argument("--quiet", action="store_true", help="no progress, no summary: errors only")
        command.set_defaults(run=module.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code."""
    parser = build_parser()
    parsed = parser.parse_args(arguments)
    if parsed.command is None:
        parser.print_help()
        return 0
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        parsed.progress = _choose_progress(parsed.quiet)
        code: int = parsed.run(parsed)
        sys.stdout.flush()
    except LiqlabError as error:
        _complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _complain("interrupted; what was finished before is whole")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, MemoryError) as error:
        _complain(_describe(error))
        return 1
    return code


def _choose_progress(quiet: bool) -> Progress:
    if quiet:
        return SILENT
    from liqlab.cli._progress import BarProgress, LineProgress

    return BarProgress() if sys.stderr.isatty() else LineProgress()


def _describe(error: OSError | MemoryError) -> str:
    if isinstance(error, MemoryError):
        return "out of memory; try fewer --symbols or a shorter --start/--end"
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror or error}"


def _complain(text: str) -> None:
    print(f"liqlab: {text}", file=sys.stderr)
