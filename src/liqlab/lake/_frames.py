"""Canonical tables in memory, read like a lake: for simulated markets and for frames that a caller has at hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import polars as pl

from liqlab.core import schema
from liqlab.core.errors import unknown_name
from liqlab.core.time import MS_PER_DAY
from liqlab.lake._ingest import list_runs
from liqlab.lake._store import DELIVERY_DTYPES, STREAM_OF_TABLE, select_span


class Recording(Protocol):
    """What can be read by symbol and span of known time: a `Lake`, or a `FrameLake`. Times are milliseconds UTC."""

    def symbols(self, table: str | None = None) -> list[str]:
        """Symbols that have rows (in `table`), sorted."""

    def check_symbols(self, symbols: Iterable[str] | None) -> list[str]:
        """`symbols` in order, or all; an error that lists what there is when one is unknown."""

    def span(self, table: str | None = None, symbol: str | None = None) -> tuple[int, int] | None:
        """First and last known time of any row, None when there is none."""

    def read_liquidations(self, symbol: str, start_ms: int | None = None, end_ms: int | None = None) -> pl.DataFrame:
        """Table `liquidations` of one symbol, ordered by known time, event time, place in the message."""

    def read_long_short_ratio(self, symbol: str) -> pl.DataFrame:
        """Table `long_short_ratio` of one symbol, ordered by known time."""

    def read_ticker(self, symbol: str, start_ms: int | None = None, end_ms: int | None = None) -> pl.DataFrame:
        """Table `ticker` of one symbol, ordered by known time."""

    def iterate_ticker(
        self, symbol: str, start_ms: int | None = None, end_ms: int | None = None
    ) -> Iterator[tuple[int, pl.DataFrame]]:
        """(start of the day, table `ticker`) of one symbol, one day of known time after the other."""

    def read_deliveries(self) -> pl.DataFrame:
        """Runs of deliveries: symbol, stream, exchange, first_ms, last_ms."""


class FrameLake:
    """The tables `liquidations`, `ticker` and `long_short_ratio` of `core.schema`, as a `Recording`.

    Rows must be as a lake gives them: duplicates dropped, deltas carried, each symbol's rows in order of known time.
    Raises `TypeError` when a frame lacks columns of its table.
    """

    def __init__(self, liquidations: pl.DataFrame, ticker: pl.DataFrame, long_short_ratio: pl.DataFrame) -> None:
        frames = (liquidations, ticker, long_short_ratio)
        tables = (schema.LIQUIDATIONS, schema.TICKER, schema.LONG_SHORT_RATIO)
        self._empty = {table.name: table.empty() for table in tables}
        self._rows: dict[tuple[str, str], pl.DataFrame] = {}
        for table, frame in zip(tables, frames, strict=True):
            for (symbol,), rows in schema.check_frame(frame, table).partition_by("symbol", as_dict=True).items():
                self._rows[table.name, symbol] = rows

    def symbols(self, table: str | None = None) -> list[str]:
        """Symbols that have rows (in `table`), sorted."""
        return sorted({symbol for name, symbol in self._rows if table in (None, name)})

    def check_symbols(self, symbols: Iterable[str] | None) -> list[str]:
        """`symbols` in order, or all; an error that lists what there is when one is unknown."""
        available = self.symbols()
        chosen = available if symbols is None else list(dict.fromkeys(symbols))
        for symbol in chosen:
            if symbol not in available:
                raise unknown_name("symbol", symbol, available)
        return chosen

    def span(self, table: str | None = None, symbol: str | None = None) -> tuple[int, int] | None:
        """First and last known time of any row, None when there is none."""
        known = [
            rows["known_time"].to_physical()
            for (name, own), rows in self._rows.items()
            if table in (None, name) and symbol in (None, own)
        ]
        if not known:
            return None
        return min(int(times.min()) for times in known), max(int(times.max()) for times in known)  # type: ignore[arg-type]

    def read_liquidations(self, symbol: str, start_ms: int | None = None, end_ms: int | None = None) -> pl.DataFrame:
        """Table `liquidations` of one symbol, ordered by known time, event time, place in the message."""
        return select_span(self._of("liquidations", symbol), start_ms, end_ms)

    def read_long_short_ratio(self, symbol: str) -> pl.DataFrame:
        """Table `long_short_ratio` of one symbol, ordered by known time."""
        return self._of("long_short_ratio", symbol)

    def read_ticker(self, symbol: str, start_ms: int | None = None, end_ms: int | None = None) -> pl.DataFrame:
        """Table `ticker` of one symbol, ordered by known time."""
        return select_span(self._of("ticker", symbol), start_ms, end_ms)

    def iterate_ticker(
        self, symbol: str, start_ms: int | None = None, end_ms: int | None = None
    ) -> Iterator[tuple[int, pl.DataFrame]]:
        """(start of the day, table `ticker`) of one symbol, one day of known time after the other."""
        rows = self.read_ticker(symbol, start_ms, end_ms)
        days = rows["known_time"].to_physical() // MS_PER_DAY
        for day in days.unique(maintain_order=True).to_list():
            yield day * MS_PER_DAY, rows.filter(days == day)

    def read_deliveries(self) -> pl.DataFrame:
        """Runs of deliveries: symbol, stream, exchange, first_ms, last_ms (known times, inner silences up to 60 s)."""
        rows = [
            (symbol, STREAM_OF_TABLE[name], exchange, first, last)
            for (name, symbol), frame in self._rows.items()
            if "exchange" in frame.columns
            for exchange, first, last in list_runs(frame)
        ]
        return pl.DataFrame(rows, schema=DELIVERY_DTYPES, orient="row").sort(list(DELIVERY_DTYPES))

    def _of(self, table: str, symbol: str) -> pl.DataFrame:
        return self._rows.get((table, symbol), self._empty[table])
