"""`liqlab features SOURCE -o RESULTS`: the table of features and labels, and its dictionary."""

from __future__ import annotations

import argparse
import shlex
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `features`."""
    from liqlab.cli._source import add_preset, add_results, add_source

    parser.description = (
        "Every feature of the catalogue on the 5 s grid, from what was known at each moment, and the labels: what came "
        "after. Writes tables/features.parquet, tables/labels.parquet and the dictionary liquidations_features.txt."
    )
    add_source(parser)
    add_results(parser)
    parser.add_argument("--features", metavar="NAME", nargs="+", help="only these, separated by spaces or commas")
    add_preset(parser)


def run(arguments: argparse.Namespace) -> int:
    """Compute, write, and say where to look; the exit code."""
    from liqlab.cli._source import describe_ingest, load_config, split_symbols
    from liqlab.report import run_features

    outcome = run_features(
        arguments.source,
        arguments.output,
        lake=arguments.lake,
        config=load_config(arguments, features={"features": split_symbols(arguments.features)}),
        csv=arguments.csv,
        workers=arguments.workers,
        progress=arguments.progress,
        command=shlex.join(["liqlab", *sys.argv[1:]]),
    )
    if not arguments.quiet:
        if outcome.ingest is not None:
            print(describe_ingest(outcome.ingest))
        record = outcome.record
        rows, columns = record.table_rows["features"], record.feature_dictionary.height
        symbols = len(record.symbols)
        print(f"{rows:,} rows of {columns} features in {symbols} symbol{'s' if symbols > 1 else ''}")
        for missing in record.not_testable:
            print(f"not available: {missing.what}: {missing.reason}")
        print(f"read first: {arguments.output / 'liquidations_features.txt'}")
    return 0
