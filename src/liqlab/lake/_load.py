"""Canonical tables from a source, be it a capture folder or a lake."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import polars as pl

from liqlab.core import schema
from liqlab.core.errors import EnvironmentFailure, unknown_name
from liqlab.core.parallel import ordered_map
from liqlab.core.time import parse_time
from liqlab.lake._ingest import GROUP_BYTES, list_captures
from liqlab.lake._manifest import is_lake
from liqlab.lake._store import Lake, select_span
from liqlab.sources import (
    Capture,
    TickerCarry,
    canonical_liquidations,
    canonical_ratios,
    mark_duplicates,
    parse_capture,
    quarantine_rows,
    sort_rows,
    store_rows,
)

Source = Path | str
Moment = str | int | None


def load_liquidations(
    source: Source, symbols: Sequence[str] | None = None, start: Moment = None, end: Moment = None
) -> pl.DataFrame:
    """The table `liquidations` of a capture folder or lake, ordered by known time, event time, place in the message.

    `symbols` None means all. `start` (included) and `end` (excluded) select by known time: ISO text or milliseconds
    UTC. A folder is parsed in memory, side by side, without making a lake. Raises `SourceError` for a folder without
    captures, `UserError` for a symbol that is not there.
    """
    return _load(source, "liquidations", symbols, start, end)


def load_ticker(
    source: Source, symbols: Sequence[str] | None = None, start: Moment = None, end: Moment = None
) -> pl.DataFrame:
    """The table `ticker` of a capture folder or lake, deltas carried, ordered by symbol and known time.

    Arguments and errors as for `load_liquidations`.
    """
    return _load(source, "ticker", symbols, start, end)


def load_long_short_ratio(
    source: Source, symbols: Sequence[str] | None = None, start: Moment = None, end: Moment = None
) -> pl.DataFrame:
    """The table `long_short_ratio` of a capture folder or lake, ordered by symbol and known time.

    Arguments and errors as for `load_liquidations`.
    """
    return _load(source, "long_short_ratio", symbols, start, end)


def load_quarantine(source: Source) -> pl.DataFrame:
    """The table `quarantine` of a capture folder or lake: every bad line or record, ordered by file and line."""
    folder = Path(source)
    if is_lake(folder):
        with Lake(folder) as lake:
            return lake.read_quarantine()
    return quarantine_rows([_parse(path, folder) for path in list_captures(folder)])


def _load(source: Source, table: str, symbols: Sequence[str] | None, start: Moment, end: Moment) -> pl.DataFrame:
    folder = Path(source)
    start_ms, end_ms = _milliseconds(start), _milliseconds(end)
    if is_lake(folder):
        return _from_lake(folder, table, symbols, start_ms, end_ms)
    return _from_folder(folder, table, symbols, start_ms, end_ms)


def _from_lake(
    folder: Path, table: str, symbols: Sequence[str] | None, start_ms: int | None, end_ms: int | None
) -> pl.DataFrame:
    with ExitStack() as stack:
        lake = stack.enter_context(Lake(folder))
        chosen = sorted(lake.check_symbols(symbols))
        if table == "liquidations":
            frames = [lake.read_liquidations(symbol, start_ms, end_ms) for symbol in chosen]
            return sort_rows(pl.concat([schema.LIQUIDATIONS.empty(), *frames]))
        if table == "ticker":
            return pl.concat(
                [schema.TICKER.empty(), *(lake.read_ticker(symbol, start_ms, end_ms) for symbol in chosen)]
            )
        ratios = pl.concat([schema.LONG_SHORT_RATIO.empty(), *map(lake.read_long_short_ratio, chosen)])
        return select_span(ratios, start_ms, end_ms)


def _from_folder(
    folder: Path, table: str, symbols: Sequence[str] | None, start_ms: int | None, end_ms: int | None
) -> pl.DataFrame:
    stored = _store(folder, table)
    if symbols is not None:
        available = sorted({symbol for rows in stored.values() for symbol in rows["symbol"].unique()})
        for symbol in symbols:
            if symbol not in available:
                raise unknown_name("symbol", symbol, available)
    rows = stored[table]
    if symbols is not None:
        rows = rows.filter(pl.col("symbol").is_in(list(symbols)))
    if table == "ticker":
        frame = _carried(rows)
    elif table == "liquidations":
        frame = canonical_liquidations(mark_duplicates(table, rows))
    else:
        frame = canonical_ratios(mark_duplicates(table, rows)).sort("symbol", maintain_order=True)
    return select_span(frame, start_ms, end_ms)


def _carried(rows: pl.DataFrame) -> pl.DataFrame:
    """The table `ticker` from stored rows, symbol by symbol."""
    parts = [rows] if rows["symbol"].n_unique() == 1 else rows.partition_by("symbol")
    parts.sort(key=lambda part: str(part["symbol"][0]))
    frames = [TickerCarry().fill(mark_duplicates("ticker", part)) for part in parts]
    return pl.concat([schema.TICKER.empty(), *frames])


def _store(folder: Path, table: str) -> dict[str, pl.DataFrame]:
    """Stored rows of a folder, by table, with those of `table` made in the way that is cheapest for it.

    Liquidations of many symbols interleave in time: their arrays are ordered before they become a frame. A ticker has
    many columns and comes in order: its frames are made side by side and only strung together.
    """

    def parse(paths: list[Path]) -> list[Capture]:
        return [_parse(path, folder) for path in paths]

    def store(paths: list[Path]) -> dict[str, pl.DataFrame]:
        return store_rows(parse(paths))

    groups = _groups(list_captures(folder))
    if table == "liquidations":
        parsed = ordered_map(parse, groups, kind="threads")
        return store_rows([capture for captures in parsed for capture in captures], ordered=True)
    parts = list(ordered_map(store, groups, kind="threads"))
    return {name: pl.concat([part[name] for part in parts]) for name in parts[0]}


def _groups(paths: list[Path]) -> Iterator[list[Path]]:
    """The paths in order, in lists of about `GROUP_BYTES`."""
    group: list[Path] = []
    size = 0
    for path in paths:
        group.append(path)
        size += path.stat().st_size
        if size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _parse(path: Path, folder: Path) -> Capture:
    try:
        return parse_capture(path, path.relative_to(folder).as_posix())
    except OSError as error:
        raise EnvironmentFailure(f"cannot read {path}: {error.strerror}") from error


def _milliseconds(moment: Moment) -> int | None:
    return parse_time(moment) if isinstance(moment, str) else moment
