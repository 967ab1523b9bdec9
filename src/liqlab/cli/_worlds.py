"""`liqlab worlds`: the simulated markets there are, and the population values of estimands in them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from liqlab.worlds import World


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `worlds` and of its two parts."""
    parser.description = "Simulated markets whose truth is known: list them, or compute what is true in each."
    parts = parser.add_subparsers(dest="part", metavar="PART", required=True)
    listing = parts.add_parser("list", help="each world with the dials that differ from those of plan")
    listing.description = "Print each named world, the dials that differ from those of plan, and what is true in it."
    estimand = parts.add_parser("estimand", help="population values of estimands, from many seeds")
    estimand.description = (
        "Compute what each estimand is in a world, from many independent seeds with their noise-free twins, and store "
        "it with its standard error and whether the claim is true, false or undefined there. Interrupted or called "
        "again with more seeds, it computes only what is missing."
    )
    estimand.add_argument(
        "--world", metavar="WORLD", nargs="+", help="named worlds or .toml files (default: every one)"
    )
    estimand.add_argument("--seeds", type=int, metavar="N", default=500, help="independent markets each (default 500)")
    estimand.add_argument("-o", "--output", metavar="FILE", type=Path, help="write here, not into the package")
    estimand.add_argument(
        "--work",
        metavar="FOLDER",
        type=Path,
        default=Path(".liqlab-estimands"),
        help="what was computed so far (default %(default)s)",
    )
    estimand.add_argument("--workers", type=int, metavar="N", help="processes to use (default: one per core)")
    for part in (listing, estimand):
        part.add_argument("--quiet", action="store_true", default=argparse.SUPPRESS, help="errors only")


def run(arguments: argparse.Namespace) -> int:
    """Do the part asked for; the exit code."""
    if arguments.part == "list":
        print("\n\n".join("\n".join(_describe(name)) for name in _all_names()))
        return 0
    return _compute(arguments)


def _all_names() -> list[str]:
    from liqlab.worlds import WORLD_NAMES

    return ["plan", *(name for name in WORLD_NAMES if name != "plan")]


def _describe(name: str) -> Iterator[str]:
    from liqlab.audit import fingerprint, read_estimands
    from liqlab.worlds import load_world

    world = load_world(name)
    yield f"{name}: {world.description}"
    yield from (f"  {line}" for line in _list_differences(world, load_world("plan")))
    stored = read_estimands().get(name)
    if stored is not None:
        stale = "" if stored["fingerprint"] == fingerprint(world) else " (of other dials or another version)"
        for estimand, value in stored["values"].items():
            yield f"  {estimand} = {_with_error(value)}: {value['verdict']}{stale}"


def _list_differences(world: World, plan: World) -> Iterator[str]:
    from liqlab.worlds import list_dials

    usual = dict(_flatten("", list_dials(plan)))
    for name, value in _flatten("", list_dials(world)):
        if name not in ("name", "description") and usual.get(name) != value:
            yield f"{name} = {value} (plan: {usual.get(name)})"


def _flatten(prefix: str, values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flatten(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", value


def _with_error(value: dict[str, Any]) -> str:
    if value["value"] is None or value["standard_error"] is None:
        return f"none ({value['n_events']:,} events)"
    return f"{value['value']:+.3f} ± {value['standard_error']:.3f} {value['unit']}"


def _compute(arguments: argparse.Namespace) -> int:
    from liqlab.audit import compute_population, read_estimands, store_estimands
    from liqlab.report import render_table
    from liqlab.worlds import load_world

    worlds = [load_world(name) for name in arguments.world or _all_names()]
    rows = []
    for world in worlds:
        population = compute_population(
            world, arguments.seeds, work=arguments.work, workers=arguments.workers, progress=arguments.progress
        )
        path = store_estimands([population], arguments.output)
        stored = read_estimands(path)[world.name]["values"]
        rows += [_row(world.name, name, value) for name, value in stored.items()]
    if not arguments.quiet:
        header = ["world", "estimand", "value ± standard error", "claim", "delta", "seeds", "events", "twin"]
        print(render_table(header, rows, "llrlrrrr"))
        print(f"stored in {path}")
    return 0


def _row(world: str, estimand: str, value: dict[str, Any]) -> list[str]:
    twin = {"value": value["twin_mean"], "standard_error": value["twin_standard_error"]}
    return [
        world,
        estimand,
        _with_error(value),
        value["verdict"],
        f"{value['delta']:g}",
        f"{value['n_seeds']:,}",
        f"{value['n_events']:,}",
        _with_error(value | twin),
    ]
