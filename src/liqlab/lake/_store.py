"""Reading a lake: canonical tables by symbol and span of known time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import polars as pl

from liqlab.core import schema
from liqlab.core.errors import unknown_name
from liqlab.core.schema import TIME
from liqlab.core.time import MS_PER_DAY
from liqlab.lake._lock import hold
from liqlab.lake._manifest import FileEntry, PartitionEntry, load_manifest
from liqlab.lake._parquet import read_parquet
from liqlab.sources import TickerCarry, canonical_liquidations, canonical_ratios, sort_rows

#: Table of a lake to the stream whose lines fill it.
STREAM_OF_TABLE = {"liquidations": "liquidation", "ticker": "ticker", "long_short_ratio": "long_short_ratio"}

DELIVERY_DTYPES = {
    "symbol": pl.String,
    "stream": pl.String,
    "exchange": pl.String,
    "first_ms": pl.Int64,
    "last_ms": pl.Int64,
}


@dataclass(frozen=True)
class Reconciliation:
    """Where the records of one stream went; `holds` says that none was lost or doubled."""

    stream: str
    read: int
    kept: int
    quarantined: int
    duplicates: int

    @property
    def holds(self) -> bool:
        """Whether read = kept + quarantined + duplicates."""
        return self.read == self.kept + self.quarantined + self.duplicates

    def __str__(self) -> str:
        parts = f"{self.kept:,} kept + {self.quarantined:,} quarantined + {self.duplicates:,} duplicates"
        return f"{self.stream.replace('_', ' ')}: {self.read:,} read = {parts}"


class Lake:
    """A lake opened for reading; use as a context manager, it holds a shared lock.

    Times are milliseconds UTC and select by known time, start included, end excluded.
    """

    def __init__(self, path: Path | str) -> None:
        path = Path(path)
        self.path = path
        self._held = ExitStack()
        if path.is_dir():
            self._held.enter_context(hold(path, exclusive=False))
        self._manifest = load_manifest(path)

    def __enter__(self) -> Lake:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    @property
    def files(self) -> dict[str, FileEntry]:
        """Capture files in the lake, by name."""
        return self._manifest.files

    @property
    def sources(self) -> list[str]:
        """Folders that were ingested."""
        return self._manifest.sources

    def symbols(self, table: str | None = None) -> list[str]:
        """Symbols that have rows (in `table`), sorted."""
        return sorted({key.split("/")[1] for key, _ in self._entries(table)})

    def check_symbols(self, symbols: Iterable[str] | None) -> list[str]:
        """`symbols` in order, or all; an error that lists what there is when one is unknown."""
        available = self.symbols()
        if symbols is None:
            return available
        chosen = list(dict.fromkeys(symbols))
        for symbol in chosen:
            if symbol not in available:
                raise unknown_name("symbol", symbol, available)
        return chosen

    def span(self, table: str | None = None, symbol: str | None = None) -> tuple[int, int] | None:
        """First and last known time of any row, None when there is none."""
        entries = [entry for _, entry in self._entries(table, symbol)]
        if not entries:
            return None
        return min(entry.known_start for entry in entries), max(entry.known_end for entry in entries)

    def read_liquidations(self, symbol: str, start_ms: int | None = None, end_ms: int | None = None) -> pl.DataFrame:
        """Table `liquidations` of one symbol, ordered by known time, event time, place in the message."""
        rows = self._read("liquidations", symbol, start_ms, end_ms)
        if rows is None:
            return schema.LIQUIDATIONS.empty()
        return schema.check_frame(canonical_liquidations(rows), schema.LIQUIDATIONS)

    def read_long_short_ratio(self, symbol: str) -> pl.DataFrame:
        """Table `long_short_ratio` of one symbol, ordered by known time."""
        rows = self._read("long_short_ratio", symbol, None, None)
        if rows is None:
            return schema.LONG_SHORT_RATIO.empty()
        return schema.check_frame(canonical_ratios(rows), schema.LONG_SHORT_RATIO)

    def read_ticker(self, symbol: str, start_ms: int | None = None, end_ms: int | None = None) -> pl.DataFrame:
        """Table `ticker` of one symbol, ordered by known time, deltas carried forward."""
        frames = [frame for _, frame in self.iterate_ticker(symbol, start_ms, end_ms)]
        return pl.concat(frames) if frames else schema.TICKER.empty()

    def iterate_ticker(
        self, symbol: str, start_ms: int | None = None, end_ms: int | None = None
    ) -> Iterator[tuple[int, pl.DataFrame]]:
        """(start of the day, table `ticker`) of one symbol, one day of known time after the other.

        What deltas said is carried from day to day, from the last full snapshot before the span on, so a span gives the
        same rows as the whole. Days without rows are left out.
        """
        carry = TickerCarry()
        for day_ms in self._days_to_carry(symbol, start_ms, end_ms):
            rows = self._read("ticker", symbol, day_ms, day_ms + MS_PER_DAY)
            if rows is None:
                continue
            frame = select_span(carry.fill(rows), start_ms, end_ms)
            if frame.height:
                yield day_ms, schema.check_frame(frame, schema.TICKER)

    def read_quarantine(self) -> pl.DataFrame:
        """Table `quarantine`, ordered by file and line."""
        paths = [self.path / entry.quarantine_file for entry in self.files.values() if entry.quarantine_file]
        frames = [read_parquet(path) for path in paths]
        if not frames:
            return schema.QUARANTINE.empty()
        return pl.concat(frames).sort("source_file", "source_line", maintain_order=True)

    def read_deliveries(self) -> pl.DataFrame:
        """Runs of deliveries: symbol, stream, exchange, first_ms, last_ms (known times, inner silences up to 60 s)."""
        rows = [
            (key.split("/")[1], STREAM_OF_TABLE[key.split("/")[0]], exchange, first, last)
            for key, entry in self._entries(None)
            for exchange, first, last in entry.runs
        ]
        return pl.DataFrame(rows, schema=DELIVERY_DTYPES, orient="row").sort(list(DELIVERY_DTYPES))

    def reconcile(self) -> list[Reconciliation]:
        """Where the records of every stream went: what was read, from the files; what is there, from the tables."""
        read: Counter[str] = Counter()
        for entry in self.files.values():
            read.update(entry.read)
        kept: Counter[str] = Counter()
        duplicates: Counter[str] = Counter()
        for key, partition in self._entries(None):
            stream = STREAM_OF_TABLE[key.split("/")[0]]
            marks = read_parquet(self.path / partition.file, ["is_duplicate"])["is_duplicate"]
            duplicates[stream] += int(marks.sum())
            kept[stream] += len(marks) - int(marks.sum())
        quarantined = Counter(self.read_quarantine()["stream"].to_list())
        streams = [*STREAM_OF_TABLE.values(), *sorted(set(read) - set(STREAM_OF_TABLE.values()))]
        return [Reconciliation(s, read[s], kept[s], quarantined[s], duplicates[s]) for s in streams]

    def _entries(self, table: str | None, symbol: str | None = None) -> Iterator[tuple[str, PartitionEntry]]:
        for key, entry in sorted(self._manifest.partitions.items()):
            of_table, of_symbol, _ = key.split("/")
            if table in (None, of_table) and symbol in (None, of_symbol):
                yield key, entry

    def _days_to_carry(self, symbol: str, start_ms: int | None, end_ms: int | None) -> list[int]:
        """Days of known time to read for a span: its own, and those before it back to a row that is not a delta."""
        days: set[int] = set()
        for _, entry in self._entries("ticker", symbol):
            days.update(range(entry.known_start // MS_PER_DAY, entry.known_end // MS_PER_DAY + 1))
        wanted = [day * MS_PER_DAY for day in sorted(days) if end_ms is None or day * MS_PER_DAY < end_ms]
        if start_ms is None:
            return wanted
        inside = [day for day in wanted if day + MS_PER_DAY > start_ms]
        for day in reversed(wanted[: len(wanted) - len(inside)]):
            inside.insert(0, day)
            rows = self._read("ticker", symbol, day, day + MS_PER_DAY)
            if rows is not None and not rows["is_delta"].all():
                break
        return inside

    def _read(self, table: str, symbol: str, start_ms: int | None, end_ms: int | None) -> pl.DataFrame | None:
        """Marked rows known in the span, in canonical order; None when there are none."""
        frames = []
        for _, entry in self._entries(table, symbol):
            before = start_ms is not None and entry.known_end < start_ms
            after = end_ms is not None and entry.known_start >= end_ms
            if not before and not after:
                frames.append(select_span(read_parquet(self.path / entry.file), start_ms, end_ms))
        if not frames:
            return None
        if len(frames) == 1:
            return frames[0]
        return sort_rows(pl.concat(frames))


def select_span(rows: pl.DataFrame, start_ms: int | None, end_ms: int | None) -> pl.DataFrame:
    """Rows known at or after `start_ms` and before `end_ms`."""
    known = pl.col("known_time")
    if start_ms is not None:
        rows = rows.filter(known >= pl.lit(start_ms, pl.Int64).cast(TIME))
    if end_ms is not None:
        rows = rows.filter(known < pl.lit(end_ms, pl.Int64).cast(TIME))
    return rows
