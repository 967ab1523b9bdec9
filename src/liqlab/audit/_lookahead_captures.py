"""Captures as they stood at an earlier moment: what was not known yet is gone, names and line numbers stay."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import zstandard

from liqlab.lake import list_captures
from liqlab.sources import mark_duplicates, parse_capture, read_lines, store_rows

Integers = npt.NDArray[np.int64]

_QUICKEST = 1


def truncate_captures(
    captures: Path, cut_ms: int, folder: Path, publication_lags_ms: Mapping[str, int] | None = None
) -> None:
    """Copy every capture file below `captures` into `folder` with only the lines known at or before `cut_ms`.

    The other lines become blank, so that files keep their names and lines their numbers. When a line was known is what
    parsing it says: the latest known time of its rows, duplicates included, filled in where the recording has none.
    Rows of a table in `publication_lags_ms` (name to milliseconds) count as known that much later. A line that gives
    no valid row has no known time; it stays when it stands before a line that stays. `.gz` and `.zst` stay what they
    are. Raises what `list_captures` raises.
    """
    for path in list_captures(captures):
        name = path.relative_to(captures)
        lines, known_ms = _known_lines(path, name.as_posix(), publication_lags_ms or {})
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if len(lines) and (known_ms <= cut_ms).all():
            shutil.copyfile(path, target)
        else:
            _copy_lines(path, target, _lines_that_go(lines, known_ms, cut_ms), _last_line(lines, known_ms, cut_ms))


def _known_lines(path: Path, name: str, lags_ms: Mapping[str, int]) -> tuple[Integers, Integers]:
    """Numbers of the lines with a valid row, and when the last row of each was known; both of shape (n,)."""
    found = []
    for table, rows in store_rows([parse_capture(path, name)]).items():
        known_ms = pl.col("known_time").to_physical() + lags_ms.get(table, 0)
        found.append(mark_duplicates(table, rows).select("source_line", known_ms=known_ms))
    by_line = pl.concat(found).group_by("source_line").agg(pl.col("known_ms").max()).sort("source_line")
    return by_line["source_line"].to_numpy(), by_line["known_ms"].to_numpy()


def _lines_that_go(lines: Integers, known_ms: Integers, cut_ms: int) -> frozenset[int]:
    return frozenset(lines[known_ms > cut_ms].tolist())


def _last_line(lines: Integers, known_ms: Integers, cut_ms: int) -> int:
    return int(lines[known_ms <= cut_ms].max(initial=0))


def _copy_lines(source: Path, target: Path, gone: frozenset[int], last: int) -> None:
    kept = [b"" if number in gone or number > last else line for number, line in read_lines(source)]
    target.write_bytes(_pack(b"".join(line + b"\n" for line in kept), target.name))


def _pack(content: bytes, name: str) -> bytes:
    if name.endswith(".gz"):
        return gzip.compress(content, compresslevel=_QUICKEST, mtime=0)
    if name.endswith(".zst"):
        return zstandard.ZstdCompressor(level=_QUICKEST).compress(content)
    return content
