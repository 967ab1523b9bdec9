"""Arguments that several commands share, and what they say of an ingest."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from liqlab.lake import IngestSummary, Reconciliation
    from liqlab.study import StudyConfig


def add_source(parser: argparse.ArgumentParser) -> None:
    """SOURCE and what selects from it."""
    parser.add_argument(
        "source", metavar="SOURCE", type=Path, help="folder of captures, or a lake made by `liqlab ingest`"
    )
    add_selection(parser)


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Symbols, span, configuration."""
    parser.add_argument("--symbols", metavar="SYMBOL", nargs="+", help="only these, separated by spaces or commas")
    parser.add_argument("--start", metavar="TIME", help="from this moment on, UTC: 2026-02-09 or 2026-02-09T19:33")
    parser.add_argument("--end", metavar="TIME", help="up to this moment, not included")
    parser.add_argument("--config", metavar="FILE", type=Path, help="study configuration in TOML")


def add_results(parser: argparse.ArgumentParser) -> None:
    """Where everything is written, and how."""
    parser.add_argument(
        "-o", "--output", metavar="RESULTS", type=Path, required=True, help="folder for everything written"
    )
    parser.add_argument("--lake", metavar="LAKE", type=Path, help="folder of the lake (default: RESULTS/lake)")
    parser.add_argument("--csv", action="store_true", help="write the tables as .csv too")
    parser.add_argument("--workers", type=int, metavar="N", help="threads for the ingest (default: one per core)")


def add_preset(parser: argparse.ArgumentParser) -> None:
    """The cascade preset."""
    parser.add_argument("--preset", metavar="NAME", help="definition of a cascade: plan (default) or p95")


def split_symbols(texts: list[str] | None) -> list[str] | None:
    """Symbols given with spaces or commas; None when none were given."""
    names = [name for text in texts or [] for name in text.split(",") if name]
    return list(dict.fromkeys(names)) or None


def load_config(arguments: argparse.Namespace, **overrides: Any) -> StudyConfig:
    """The study's configuration: the file's values, the command line's and `overrides` over them."""
    from liqlab.study import load_study_config

    return load_study_config(
        arguments.config,
        symbols=split_symbols(arguments.symbols),
        start=arguments.start,
        end=arguments.end,
        cascades={"preset": getattr(arguments, "preset", None)},
        **overrides,
    )


def describe_ingest(summary: IngestSummary) -> str:
    """One line on what an ingest did."""
    parts = [f"{summary.found:,} files: {summary.parsed:,} parsed, {summary.unchanged:,} unchanged"]
    if summary.replaced:
        parts.append(f"{summary.replaced:,} replaced because they changed")
    if summary.kept_without_file:
        parts.append(f"{summary.kept_without_file:,} earlier files no longer in the source stay in the lake")
    return "; ".join(parts)


def describe_reconciliation(rows: Iterable[Reconciliation]) -> list[str]:
    """One line per stream: read = kept + quarantined + duplicates, and whether that holds."""
    return [f"{row}{'' if row.holds else '  DOES NOT HOLD'}" for row in rows if row.read or row.stream == "liquidation"]
