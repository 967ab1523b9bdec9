"""`liqlab info SOURCE_OR_FILE`: what is this, how much of it, how many bad lines."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from liqlab.lake import Lake
    from liqlab.sources import Capture

#: Reasons and files shown of what was quarantined.
_SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `info`."""
    parser.description = "Say what a capture folder, a capture file or a lake holds, and what is wrong with it."
    parser.add_argument("source", metavar="SOURCE_OR_FILE", type=Path, help="capture folder, capture file or lake")


def run(arguments: argparse.Namespace) -> int:
    """Print what the source holds; the exit code."""
    from liqlab.core.errors import SourceError
    from liqlab.lake import Lake, is_lake

    source: Path = arguments.source
    if not source.exists():
        raise SourceError(f"no file or folder {source}")
    if is_lake(source):
        with Lake(source) as lake:
            lines = _describe_lake(lake)
    else:
        lines = _describe_captures(source, arguments)
    print("\n".join(lines))
    return 0


def _describe_lake(lake: Lake) -> list[str]:
    from liqlab.cli._source import describe_reconciliation
    from liqlab.core.time import format_time

    lines = [f"{lake.path}: a lake made from {len(lake.files):,} capture files of {', '.join(lake.sources)}"]
    span = lake.span()
    if span is not None:
        lines.append(f"known from {format_time(span[0])} to {format_time(span[1])} UTC")
    lines.append(f"symbols: {', '.join(lake.symbols()) or 'none'}")
    lines += describe_reconciliation(lake.reconcile())
    return lines + _describe_quarantine(
        [
            (row["source_file"], row["source_line"], row["reason"])
            for row in lake.read_quarantine().iter_rows(named=True)
        ]
    )


def _describe_captures(source: Path, arguments: argparse.Namespace) -> list[str]:
    from liqlab.core.parallel import ordered_map
    from liqlab.core.progress import stage
    from liqlab.lake import list_captures
    from liqlab.sources import parse_capture

    root = source if source.is_dir() else source.parent
    paths = list_captures(source) if source.is_dir() else [source]
    captures: list[Capture] = []
    with stage(arguments.progress, "read", len(paths)):
        for capture in ordered_map(
            lambda path: parse_capture(path, path.relative_to(root).as_posix()), paths, kind="threads"
        ):
            captures.append(capture)
            arguments.progress.advance()
    kind = f"a folder with {len(paths):,} capture files" if source.is_dir() else "a capture file"
    size = sum(path.stat().st_size for path in paths)
    lines = [f"{source}: {kind}, {size:,} bytes, {sum(capture.lines for capture in captures):,} lines"]
    lines += _describe_tables(captures)
    problems = [(capture.source_file, row.line, row.reason) for capture in captures for row in capture.quarantine]
    return lines + _describe_quarantine(problems)


def _describe_tables(captures: list[Capture]) -> list[str]:
    from liqlab.core.time import format_time
    from liqlab.sources import mark_duplicates, store_rows

    lines = []
    for table, rows in store_rows(captures).items():
        if rows.is_empty():
            continue
        marked = mark_duplicates(table, rows)
        first, last = marked["known_time"].to_physical().min(), marked["known_time"].to_physical().max()
        repeated = int(marked["is_duplicate"].sum())
        lines.append(
            f"{table.replace('_', ' ')}: {marked.height:,} valid rows, {repeated:,} of them repeated, "
            f"known from {format_time(int(first))} to {format_time(int(last))} UTC"  # type: ignore[arg-type]
        )
        counts = marked["symbol"].value_counts().sort("symbol").iter_rows()
        lines.append("  " + ", ".join(f"{symbol} {count:,}" for symbol, count in counts))
        lines.append(f"  exchange: {', '.join(marked['exchange'].unique().sort())}")
    other = sum(capture.other_lines for capture in captures)
    if other:
        lines.append(f"{other:,} lines of streams that liqlab does not use")
    return lines or ["no valid row of any stream"]


def _describe_quarantine(problems: list[tuple[str, int, str]]) -> list[str]:
    if not problems:
        return ["no bad line"]
    lines = [f"{len(problems):,} bad lines or records:"]
    first: dict[str, str] = {}
    for name, line, reason in problems:
        first.setdefault(reason, f"{name}:{line}")
    counts = Counter(reason for _, _, reason in problems)
    lines += [f"  {count:>8,}  {reason} (first: {first[reason]})" for reason, count in counts.most_common(_SHOWN)]
    if len(counts) > _SHOWN:
        lines.append(f"  … and {len(counts) - _SHOWN} more reasons")
    return lines
