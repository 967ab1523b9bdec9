"""`liqlab cascades SOURCE`: the cascades in a source."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `cascades`."""
    from liqlab.cli._source import add_preset, add_source

    parser.description = "Detect the cascades of a source and print them, the largest first or in order of time."
    add_source(parser)
    add_preset(parser)
    parser.add_argument("--lake", metavar="LAKE", type=Path, help="keep the ingested captures here (default: nowhere)")
    parser.add_argument(
        "-o", "--output", metavar="FOLDER", type=Path, help="write cascades.parquet and cascades.csv here"
    )
    parser.add_argument("--by-time", action="store_true", help="in order of confirmation instead of by notional")
    parser.add_argument("--limit", metavar="N", type=int, default=20, help="how many to print, 0 for all (default 20)")


def run(arguments: argparse.Namespace) -> int:
    """Print or write the cascades; the exit code."""
    from liqlab.cli._source import load_config
    from liqlab.lake import open_source
    from liqlab.report import render_cascades
    from liqlab.study import describe_study

    config = load_config(arguments)
    with open_source(arguments.source, arguments.lake, progress=arguments.progress) as (lake, _):
        study = describe_study(lake, config, progress=arguments.progress)
    cascades = study.cascades
    if arguments.output is not None:
        from liqlab.core.files import replacing

        arguments.output.mkdir(parents=True, exist_ok=True)
        with replacing(arguments.output / "cascades.parquet") as path:
            cascades.write_parquet(path)
        with replacing(arguments.output / "cascades.csv") as path:
            cascades.write_csv(path)
    if not arguments.quiet or arguments.output is None:
        order = ["confirmed"] if arguments.by_time else ["notional_usd"]
        print(render_cascades(cascades.sort(order, descending=not arguments.by_time), config, arguments.limit))
    return 0
