"""`liqlab stats SOURCE`: statistics of the liquidations."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `stats`."""
    from liqlab.cli._source import add_source

    parser.description = (
        "Print the statistics of the liquidations of a source: the published block and coverage-adjusted figures, for "
        "all symbols together, or for those asked for."
    )
    add_source(parser)
    parser.add_argument("--lake", metavar="LAKE", type=Path, help="keep the ingested captures here (default: nowhere)")
    parser.add_argument(
        "-o", "--output", metavar="FOLDER", type=Path, help="write liquidations_stats_*.txt into this folder"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print or write the statistics; the exit code."""
    from liqlab.cli._source import load_config
    from liqlab.lake import open_source
    from liqlab.report import render_study_statistics
    from liqlab.study import ALL, describe_study

    config = load_config(arguments)
    with open_source(arguments.source, arguments.lake, progress=arguments.progress) as (lake, _):
        study = describe_study(lake, config, progress=arguments.progress)
    texts = render_study_statistics(study)
    if arguments.output is None:
        shown = study.symbols if config.symbols else (ALL,)
        print("\n\n".join(texts[f"liquidations_stats_{symbol}.txt"].rstrip() for symbol in shown))
        return 0
    from liqlab.core.files import write_text

    for name, text in texts.items():
        write_text(arguments.output / name, text)
        if not arguments.quiet:
            print(arguments.output / name)
    return 0
