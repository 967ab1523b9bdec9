"""`liqlab ingest SOURCE --lake LAKE`: captures into a lake."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `ingest`."""
    parser.description = (
        "Bring a folder of captures into a lake of Parquet tables. Files that have not changed are not parsed again; "
        "changed ones replace what they gave before. Bad lines go to quarantine, repeated messages are marked."
    )
    parser.add_argument(
        "source", metavar="SOURCE", type=Path, help="folder of captures (.jsonl, .jsonl.gz, .jsonl.zst)"
    )
    parser.add_argument(
        "--lake", metavar="LAKE", type=Path, required=True, help="folder of the lake; made when missing"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="threads to use (default: one per core)")


def run(arguments: argparse.Namespace) -> int:
    """Ingest and say what came of every record; the exit code."""
    from liqlab.cli._source import describe_ingest, describe_reconciliation
    from liqlab.core.errors import UserError
    from liqlab.lake import Lake, ingest, is_lake

    if is_lake(arguments.source):
        raise UserError(f"{arguments.source} is a lake already; ingest takes a folder of captures")
    summary = ingest(arguments.source, arguments.lake, arguments.workers, arguments.progress)
    with Lake(arguments.lake) as lake:
        reconciliation = lake.reconcile()
    if not arguments.quiet:
        lines = describe_reconciliation(reconciliation)
        print(describe_ingest(summary), *lines, f"lake: {arguments.lake}", sep="\n")
    return 0 if all(row.holds for row in reconciliation) else 1
