"""Capture formats to canonical tables; the parsing of one line is shared with live use."""

from liqlab.sources._capture import Capture, QuarantineRow, find_captures, hash_file, parse_capture
from liqlab.sources._lines import CAPTURE_ENDINGS, read_lines
from liqlab.sources._live import ParsedLine, parse_line
from liqlab.sources._order import sort_rows
from liqlab.sources._tables import (
    STORED,
    TickerCarry,
    canonical_liquidations,
    canonical_ratios,
    mark_duplicates,
    quarantine_rows,
    store_rows,
)
from liqlab.sources._wire import ASSUMED_DELAY_MS, DEFAULT_EXCHANGE, Problem

__all__ = [
    "ASSUMED_DELAY_MS",
    "CAPTURE_ENDINGS",
    "DEFAULT_EXCHANGE",
    "STORED",
    "Capture",
    "ParsedLine",
    "Problem",
    "QuarantineRow",
    "TickerCarry",
    "canonical_liquidations",
    "canonical_ratios",
    "find_captures",
    "hash_file",
    "mark_duplicates",
    "parse_capture",
    "parse_line",
    "quarantine_rows",
    "read_lines",
    "sort_rows",
    "store_rows",
]
