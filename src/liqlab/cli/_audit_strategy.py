"""`liqlab audit strategy`: can the result of a backtest be believed?"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liqlab.cli._audit_output import FOUND, write_report
from liqlab.cli._source import split_symbols

if TYPE_CHECKING:
    from liqlab.backtest import MarketInputs, Strategy

#: The market that is simulated when no source is given, and the random walks for the published protocol.
_DAYS, _WALK_DAYS = 9.0, 11.0
_N_WALKS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `audit strategy`."""
    parser.description = (
        "Three questions on a backtest: (a) are its decisions made from the past alone, (b) does it earn on prices "
        "that nobody can predict, and where among those lies its result on the data, (c) could each trade have been "
        "made? "
        "The exit code is 0 when nothing was found, 1 when something was, 2 when there was no trade to look at."
    )
    parser.add_argument(
        "strategy",
        metavar="NAME|FILE.py",
        help="a strategy of liqlab, your own in a Python file, or published_fade: a published backtest that earns on "
        "random walks, which the audit must flag",
    )
    parser.add_argument(
        "source",
        metavar="SOURCE",
        type=Path,
        nargs="?",
        help="folder of captures, or a lake (default: a simulated market; for published_fade, 20 random walks)",
    )
    parser.add_argument(
        "--variant",
        choices=("default", "scaled"),
        default="default",
        help="parameters: the plan's (default), or scaled to little data",
    )
    parser.add_argument(
        "--surrogates", type=int, metavar="N", default=200, help="markets without an edge (default %(default)s)"
    )
    parser.add_argument("--cuts", type=int, metavar="N", default=12, help="moments to cut at (default %(default)s)")
    parser.add_argument(
        "--days", type=float, help=f"length of the simulated market (default {_DAYS:g}; random walks {_WALK_DAYS:g})"
    )
    parser.add_argument("--symbols", metavar="SYMBOL", nargs="+", help="only these, separated by spaces or commas")
    parser.add_argument("--start", metavar="TIME", help="from this moment on, UTC: 2026-02-09 or 2026-02-09T19:33")
    parser.add_argument("--end", metavar="TIME", help="up to this moment, not included")
    parser.add_argument(
        "--seed",
        type=int,
        default=7,
        help="draws moments, surrogates and the simulated market (default %(default)s)",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="processes to use (default: one per core)")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="write the report into this .json file too")


def run(arguments: argparse.Namespace) -> int:
    """Audit, print, write; the exit code."""
    from liqlab.audit import StrategyAuditConfig, audit_strategy, render_strategy_audit, simulate_honestly
    from liqlab.core.errors import UserError

    strategy, simulate = _find_strategy(arguments.strategy)
    _check_selection(arguments)
    markets, where = _find_markets(arguments, walks=simulate is not None)
    parameters = getattr(strategy, arguments.variant)
    audit = audit_strategy(
        strategy,
        markets,
        parameters,
        simulate=simulate or simulate_honestly,
        config=StrategyAuditConfig(arguments.cuts, arguments.surrogates, arguments.seed, arguments.workers),
        market=where,
        progress=arguments.progress,
    )
    if arguments.output is not None:
        write_report(arguments.output, {"variant": arguments.variant, **audit.to_dict()})
    if not arguments.quiet:
        print(render_strategy_audit(audit))
    if audit.passed and not audit.has_trades:
        raise UserError(
            f"{strategy.name} made no trade, so that its result could not be audited; "
            "try --variant scaled, more data, or other prices"
        )
    return 0 if audit.passed else FOUND


def _find_strategy(name: str) -> tuple[Strategy, Any]:
    """The strategy, and its own fill rule; None for that of the engine."""
    from liqlab.audit import PublishedFade, simulate_as_published
    from liqlab.backtest import STRATEGIES, get_strategy, load_strategy_file
    from liqlab.core.errors import unknown_name

    if name == PublishedFade.name:
        return PublishedFade(), simulate_as_published
    if name.endswith(".py"):
        return load_strategy_file(Path(name)), None
    known = [strategy.name for strategy in STRATEGIES]
    if name not in known:
        raise unknown_name("strategy", name, [*known, PublishedFade.name, "or a file FILE.py"])
    return get_strategy(name), None


def _check_selection(arguments: argparse.Namespace) -> None:
    """What must be refused before a market is simulated or ingested."""
    from liqlab.audit import check_effort
    from liqlab.core.errors import UserError

    check_effort(arguments.cuts, arguments.surrogates)
    if arguments.source is not None and arguments.days is not None:
        raise UserError("--days is the length of the simulated market; choose part of SOURCE with --start and --end")
    if arguments.source is None and (arguments.start is not None or arguments.end is not None):
        raise UserError("--start and --end choose part of SOURCE; the length of the simulated market is --days")


def _find_markets(arguments: argparse.Namespace, walks: bool) -> tuple[Iterable[MarketInputs], str]:
    """The markets, and what they are in words."""
    from liqlab.audit import FadeMarkets, RandomWalkConfig

    if arguments.source is not None:
        inputs = _read(arguments)
        return (inputs,), f"{arguments.source}: {_describe(inputs)}"
    if not walks:
        inputs = _simulate(arguments)
        return (inputs,), f"a simulated market (seed {arguments.seed}): {_describe(inputs)}"
    days = _WALK_DAYS if arguments.days is None else arguments.days
    each = RandomWalkConfig(days=days, n_liquidations=round(RandomWalkConfig().n_liquidations * days / _WALK_DAYS))
    return FadeMarkets(range(1, _N_WALKS + 1), each), f"{_N_WALKS} random walks of {days:g} days"


def _read(arguments: argparse.Namespace) -> MarketInputs:
    from liqlab.backtest import read_inputs
    from liqlab.core.time import parse_time
    from liqlab.lake import open_source
    from liqlab.panel import find_scope

    start_ms, end_ms = (None if text is None else parse_time(text) for text in (arguments.start, arguments.end))
    with open_source(arguments.source, None, arguments.workers, arguments.progress) as (lake, _):
        return read_inputs(lake, find_scope(lake, split_symbols(arguments.symbols), start_ms, end_ms))


def _simulate(arguments: argparse.Namespace) -> MarketInputs:
    """A market of the plan's world, without a detour over captures."""
    from liqlab.backtest import read_inputs
    from liqlab.core.errors import UserError
    from liqlab.core.progress import stage
    from liqlab.core.time import MS_PER_DAY
    from liqlab.lake import FrameLake
    from liqlab.panel import find_scope
    from liqlab.worlds import DEFAULT_START_MS, DEFAULT_SYMBOLS, load_world, simulate_tables

    days = _DAYS if arguments.days is None else arguments.days
    if not 0.0 < days <= 365.0:
        raise UserError(f"--days must lie in (0, 365], got {days:g}")
    symbols = split_symbols(arguments.symbols) or DEFAULT_SYMBOLS
    end_ms = DEFAULT_START_MS + round(days * MS_PER_DAY)
    with stage(arguments.progress, f"simulate {days:g} days of {len(symbols)} symbols", 1):
        tables = simulate_tables(load_world("plan"), symbols, arguments.seed, DEFAULT_START_MS, end_ms)
        lake = FrameLake(tables.liquidations, tables.ticker, tables.long_short_ratio)
        inputs = read_inputs(lake, find_scope(lake))
        arguments.progress.advance()
    return inputs


def _describe(inputs: MarketInputs) -> str:
    from liqlab.core.time import format_time

    names = list(inputs.symbols)
    shown = ", ".join(names) if len(names) <= 5 else f"{len(names)} symbols"
    return f"{shown}, {format_time(inputs.start_ms)} to {format_time(inputs.end_ms)} UTC"
