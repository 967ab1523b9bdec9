"""`liqlab audit`: does anything in the chain know what it could not have known?"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liqlab.cli import _audit_engine, _audit_strategy
from liqlab.cli._audit_output import FOUND, write_report
from liqlab.cli._source import split_symbols

if TYPE_CHECKING:
    from liqlab.audit import ChainConfig, SelfTest

#: The market that is simulated when no source is given.
_DAYS = 2.0
_SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
_WIDTH = 150


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `audit` and of its parts."""
    parser.description = "Audits of the program itself: does it find what is there, and only that?"
    parts = parser.add_subparsers(dest="part", metavar="PART", required=True)
    _add_features(parts.add_parser("features", help="is any value made from what was not known at its time?"))
    _add_ic(parts.add_parser("ic", help="do information coefficients find what is there, and only that?"))
    _audit_strategy.add_arguments(parts.add_parser("strategy", help="can the result of a backtest be believed?"))
    _audit_engine.add_arguments(parts.add_parser("engine", help="does a backtest earn what is there, and only that?"))
    for part in parts.choices.values():
        part.add_argument("--quiet", action="store_true", default=argparse.SUPPRESS, help="errors only")


def _add_features(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Compute everything from raw captures: ingest, bars, joined dataset, cascades, regimes, features, walk-forward "
        "predictions. Then again from only what was known at each of some moments. A value at or before such a moment "
        "that changes was made from the future; the exit code is 1 when there is one."
    )
    parser.add_argument(
        "source",
        metavar="SOURCE",
        type=Path,
        nargs="?",
        help="folder of captures (default: a simulated market with gaps, repeated messages and late pushes)",
    )
    parser.add_argument("--cuts", type=int, metavar="N", default=12, help="moments to cut at (default 12)")
    parser.add_argument("--days", type=float, help=f"length of the simulated market (default {_DAYS:g})")
    parser.add_argument("--symbols", metavar="SYMBOL", nargs="+", help="only these, separated by spaces or commas")
    parser.add_argument("--start", metavar="TIME", help="from this moment on, UTC: 2026-02-09 or 2026-02-09T19:33")
    parser.add_argument("--end", metavar="TIME", help="up to this moment, not included")
    parser.add_argument(
        "--seed", type=int, default=7, help="draws the moments, and the simulated market (default %(default)s)"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="processes to use (default: one per core)")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="write the report into this .json file too")
    parser.add_argument(
        "--self-test",
        action="store_true",
        help="plant every known kind of look-ahead and say which were caught; exit code 1 unless all were",
    )


def _add_ic(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Compute the table of information coefficients in many simulated markets. In null, where nothing follows from "
        "a liquidation, a liquidation feature may survive the correction against a forward return in at most a tenth "
        "of them; in planted and planted-strong the planted relations must be found with the right sign. Interrupted "
        "or called again with more seeds, it computes only what is missing. The exit code is 1 when it does not hold."
    )
    parser.add_argument("--world", metavar="WORLD", default="null", help="a named world or .toml file (default null)")
    parser.add_argument("--seeds", type=int, metavar="N", default=100, help="independent markets (default %(default)s)")
    parser.add_argument("--days", type=int, metavar="N", default=9, help="length of each (default %(default)s)")
    parser.add_argument("--symbols", metavar="SYMBOL", nargs="+", help="only these, separated by spaces or commas")
    parser.add_argument(
        "--work",
        metavar="FOLDER",
        type=Path,
        default=Path(".liqlab-ic-truth"),
        help="what was computed so far (default %(default)s)",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="processes to use (default: one per core)")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="write every seed into this .json file too")


def run(arguments: argparse.Namespace) -> int:
    """Do the audit asked for; the exit code."""
    return _PARTS[arguments.part](arguments)


def _run_features(arguments: argparse.Namespace) -> int:
    from liqlab.audit import audit_chain, self_test_chain

    with _captures(arguments) as captures:
        task = _chain_config(arguments)
        options = {"seed": arguments.seed, "workers": arguments.workers, "progress": arguments.progress}
        if arguments.self_test:
            result = self_test_chain(captures, task, arguments.cuts, **options)
            text, passed, content = _render_self_test(result), result.passed, _list_self_test(result)
        else:
            report = audit_chain(captures, task, arguments.cuts, **options)
            text, passed, content = report.render(), report.passed, report.to_dict()
    if arguments.output is not None:
        write_report(arguments.output, content)
    if not arguments.quiet:
        print(text)
    return 0 if passed else FOUND


def _run_ic(arguments: argparse.Namespace) -> int:
    from dataclasses import asdict

    from liqlab.audit import check_ic_truth, measure_ic_truth, render_ic_truth
    from liqlab.worlds import DEFAULT_SYMBOLS, load_world

    truth = measure_ic_truth(
        load_world(arguments.world),
        arguments.seeds,
        days=arguments.days,
        symbols=tuple(split_symbols(arguments.symbols) or DEFAULT_SYMBOLS),
        work=arguments.work,
        workers=arguments.workers,
        progress=arguments.progress,
    )
    if arguments.output is not None:
        write_report(arguments.output, asdict(truth))
    failures = check_ic_truth(truth)
    if not arguments.quiet:
        print(render_ic_truth(truth))
    for failure in failures:
        print(f"does not hold: {failure}")
    return FOUND if failures else 0


_PARTS = {"features": _run_features, "ic": _run_ic, "strategy": _audit_strategy.run, "engine": _audit_engine.run}


def _chain_config(arguments: argparse.Namespace) -> ChainConfig:
    from liqlab.audit import ChainConfig
    from liqlab.core.time import parse_time

    symbols = split_symbols(arguments.symbols)
    return ChainConfig(
        symbols=None if symbols is None else tuple(symbols),
        start_ms=None if arguments.start is None else parse_time(arguments.start),
        end_ms=None if arguments.end is None else parse_time(arguments.end),
    )


@contextmanager
def _captures(arguments: argparse.Namespace) -> Iterator[Path]:
    """The capture folder that was named, or that of a market simulated for the purpose."""
    import tempfile

    if arguments.source is not None:
        _check_source(arguments)
        yield arguments.source
        return
    with tempfile.TemporaryDirectory(prefix="liqlab-market-") as place:
        _simulate(arguments, Path(place))
        yield Path(place)


def _check_source(arguments: argparse.Namespace) -> None:
    from liqlab.core.errors import UserError
    from liqlab.lake import is_lake, list_captures

    if is_lake(arguments.source):
        raise UserError(
            f"{arguments.source} is a lake, which keeps no raw messages; the audit begins with them: "
            "give the folder of captures that the lake was made from"
        )
    if arguments.days is not None:
        raise UserError("--days is the length of the simulated market; choose part of SOURCE with --start and --end")
    list_captures(arguments.source)


def _simulate(arguments: argparse.Namespace, folder: Path) -> None:
    from liqlab.worlds import simulate

    simulate(
        folder,
        days=_DAYS if arguments.days is None else arguments.days,
        seed=arguments.seed,
        symbols=split_symbols(arguments.symbols) or _SYMBOLS,
        dirt=True,
        workers=arguments.workers,
        progress=arguments.progress,
    )


def _render_self_test(result: SelfTest) -> str:
    from liqlab.audit import describe_time
    from liqlab.report import render_table

    rows = []
    for name, check in result.caught.items():
        first = check.first if check is not None else None
        when = describe_time(first.time_ms) if first is not None and first.time_ms is not None else ""
        values = f"{first.full} instead of {first.at_cut}" if first is not None else ""
        rows.append([name, "no" if check is None else "yes", when, values])
    lines = [render_table(["planted bug", "caught", "first wrong time", "value"], rows, "llll", width=_WIDTH)]
    lines += [f"false alarm: {check.table}.{check.column}" for check in result.false_alarms]
    n_caught = sum(check is not None for check in result.caught.values())
    lines.append(
        f"{n_caught} of {len(rows)} planted bugs caught, {len(result.false_alarms)} false alarms, "
        f"{len(result.report.cuts)} cuts, {result.report.n_values:,} values compared"
    )
    return "\n".join(lines)


def _list_self_test(result: SelfTest) -> dict[str, Any]:
    return {"caught": {name: check is not None for name, check in result.caught.items()}, **result.report.to_dict()}
