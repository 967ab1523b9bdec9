"""One capture file to columns: compiled scanner first, slow parser for what it leaves, quarantine for what is bad."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from liqlab.sources._lines import CAPTURE_ENDINGS, StreamBreak, read_blocks
from liqlab.sources._scanner import (
    KIND_DELTA,
    KIND_REST,
    KIND_SNAPSHOT,
    NO_TIME,
    Columns,
    scan_block,
)
from liqlab.sources._wire import (
    DEFAULT_EXCHANGE,
    DELTA,
    LIQUIDATION,
    OTHER,
    REST,
    SNAPSHOT,
    TICKER,
    TICKER_FIELDS,
    UNRECOGNISED,
    Message,
    decode_message,
)

#: Longest text kept of a bad line.
QUARANTINE_TEXT = 2_000

KIND_CODES = {REST: KIND_REST, SNAPSHOT: KIND_SNAPSHOT, DELTA: KIND_DELTA}

Columnar = dict[str, NDArray[Any]]


class QuarantineRow(NamedTuple):
    """One bad line, or one bad record inside a good line."""

    line: int
    stream: str
    reason: str
    text: str


@dataclass
class Capture:
    """What one file holds.

    `liquidations`, `tickers` and `ratios` map column names to arrays of equal length in line order; times are int64
    milliseconds with `NO_TIME` for absent ones, names are places in `names`. `read` counts records per stream, the bad
    ones included; `other_lines` are lines of streams that liqlab does not use.
    """

    source_file: str
    names: list[str] = field(default_factory=list)
    liquidations: Columnar = field(default_factory=dict)
    tickers: Columnar = field(default_factory=dict)
    ratios: Columnar = field(default_factory=dict)
    quarantine: list[QuarantineRow] = field(default_factory=list)
    read: Counter[str] = field(default_factory=Counter)
    lines: int = 0
    other_lines: int = 0


def find_captures(folder: Path) -> list[Path]:
    """Every capture file below `folder`, sorted by path; raises `OSError` for a folder that cannot be read."""

    def refuse(error: OSError) -> None:
        raise error

    found = [
        Path(root) / name
        for root, _, names in os.walk(folder, onerror=refuse)
        for name in names
        if name.endswith(CAPTURE_ENDINGS) and not name.startswith(".")
    ]
    return sorted(found)


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def parse_capture(path: Path, source_file: str) -> Capture:
    """Every record of one capture file; what is bad stands in `quarantine`.

    `source_file` is the name to remember. Raises `OSError` when the file cannot be read.
    """
    return _Reader(source_file).read(path)


class _Reader:
    """Gathers the blocks of one file."""

    def __init__(self, source_file: str) -> None:
        self.capture = Capture(source_file)
        self._numbers: dict[str, int] = {}
        self._liquidations: list[tuple[Any, ...]] = []
        self._tickers: list[tuple[Any, ...]] = []
        self._slow_liquidations: list[tuple[Any, ...]] = []
        self._slow_tickers: list[tuple[Any, ...]] = []
        self._ratios: list[tuple[Any, ...]] = []

    def read(self, path: Path) -> Capture:
        for block in read_blocks(path):
            if isinstance(block, StreamBreak):
                self._take_break(block)
            else:
                self._take_block(block)
        self.capture.liquidations = self._finish_liquidations()
        self.capture.tickers = self._finish_tickers()
        self.capture.ratios = self._finish_ratios()
        self.capture.names = list(self._numbers)
        return self.capture

    def _take_block(self, block: bytes) -> None:
        first_line = self.capture.lines + 1
        columns = scan_block(block, first_line)
        n_liquidations, n_tickers, n_names, n_slow, n_lines = (int(count) for count in columns.counts)
        numbers = self._number_names(columns, block, n_names)
        if n_liquidations:
            self._liquidations.append(_liquidation_columns(columns, n_liquidations, numbers))
            self.capture.read[LIQUIDATION] += n_liquidations
        if n_tickers:
            self._tickers.append(_ticker_columns(columns, n_tickers, numbers))
            self.capture.read[TICKER] += n_tickers
        for line, start, end in columns.slow[:n_slow].tolist():
            self._take_line(line, block[start:end])
        self.capture.lines += n_lines

    def _number_names(self, columns: Columns, block: bytes, n_names: int) -> NDArray[np.int32]:
        """Number in this file of each name of the block; the last entry serves an absent exchange (-1)."""
        starts, lengths = columns.name_start[:n_names].tolist(), columns.name_length[:n_names].tolist()
        names = [block[start : start + length].decode() for start, length in zip(starts, lengths, strict=True)]
        return np.array([self._number(name) for name in [*names, DEFAULT_EXCHANGE]], np.int32)

    def _number(self, name: str) -> int:
        return self._numbers.setdefault(name, len(self._numbers))

    def _take_line(self, line: int, text: bytes) -> None:
        message = decode_message(text)
        self._quarantine(line, message, text)
        if message.stream == OTHER:
            self.capture.other_lines += 1
        elif message.stream:
            self.capture.read[message.stream] += message.n_read
        capture_ms, push_ms = _or_no_time(message.capture_ms), _or_no_time(message.push_ms)
        exchange = self._number(message.exchange)
        self._slow_liquidations += [
            (
                line,
                i.position,
                capture_ms,
                push_ms,
                i.event_ms,
                i.is_long,
                i.quantity,
                i.price,
                self._number(i.symbol),
                exchange,
            )
            for i in message.liquidations
        ]
        self._slow_tickers += [
            (
                line,
                t.position,
                capture_ms,
                push_ms,
                t.sequence,
                KIND_CODES[t.kind],
                self._number(t.symbol),
                exchange,
                t.values,
            )
            for t in message.tickers
        ]
        self._ratios += [
            (line, capture_ms, r.event_ms, r.buy_ratio, r.sell_ratio, self._number(r.symbol), exchange)
            for r in message.ratios
        ]

    def _quarantine(self, line: int, message: Message, text: bytes) -> None:
        for problem in message.problems:
            kept = problem.text or text[: 4 * QUARANTINE_TEXT].decode("utf-8", "backslashreplace")
            self.capture.quarantine.append(
                QuarantineRow(line, message.stream, problem.reason, _shorten(kept, len(text)))
            )

    def _take_break(self, broken: StreamBreak) -> None:
        """An unfinished last line counts if it is whole; the break itself is one quarantined record."""
        rest = broken.text
        message = decode_message(rest)
        if message.stream and not message.problems:
            self.capture.lines += 1
            self._take_line(self.capture.lines, rest)
            rest = b""
        text = rest[: 4 * QUARANTINE_TEXT].decode("utf-8", "backslashreplace")
        row = QuarantineRow(self.capture.lines + 1, UNRECOGNISED, broken.reason, _shorten(text, len(rest)))
        self.capture.quarantine.append(row)
        self.capture.read[UNRECOGNISED] += 1
        self.capture.lines += 1 if rest else 0

    def _finish_liquidations(self) -> Columnar:
        names = ("line", "position", "capture", "push", "event", "long", "quantity", "price", "symbol", "exchange")
        dtypes = (
            np.int64,
            np.int32,
            np.int64,
            np.int64,
            np.int64,
            np.bool_,
            np.float64,
            np.float64,
            np.int32,
            np.int32,
        )
        columns = _gather(names, dtypes, self._liquidations, self._slow_liquidations)
        columns["key"] = _liquidation_keys(
            columns["line"],
            columns["position"],
            columns["push"],
            columns["event"],
            columns["long"],
            columns["quantity"].view(np.uint64),
            columns["price"].view(np.uint64),
            self._name_hashes()[columns["symbol"]],
        )
        return columns

    def _finish_tickers(self) -> Columnar:
        names = ("line", "position", "capture", "push", "sequence", "kind", "symbol", "exchange", "values")
        dtypes = (np.int64, np.int32, np.int64, np.int64, np.int64, np.int8, np.int32, np.int32, np.float64)
        columns = _gather(names, dtypes, self._tickers, self._slow_tickers)
        columns["values"] = columns["values"].reshape(-1, len(TICKER_FIELDS))  # no rows: no second dimension yet
        columns["key"] = _ticker_keys(
            columns["position"],
            columns["capture"],
            columns["push"],
            columns["sequence"],
            columns["kind"],
            columns["values"].view(np.uint64),
            self._name_hashes()[columns["symbol"]],
        )
        return columns

    def _finish_ratios(self) -> Columnar:
        names = ("line", "capture", "event", "buy_ratio", "sell_ratio", "symbol", "exchange")
        dtypes = (np.int64, np.int64, np.int64, np.float64, np.float64, np.int32, np.int32)
        return _gather(names, dtypes, [], self._ratios)

    def _name_hashes(self) -> NDArray[np.uint64]:
        digests = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in self._numbers]
        return np.array([int.from_bytes(digest, "little") for digest in digests], np.uint64)


def _or_no_time(time: int | None) -> int:
    return int(NO_TIME) if time is None else time


def _shorten(text: str, n_bytes: int) -> str:
    if len(text) <= QUARANTINE_TEXT:
        return text
    return f"{text[:QUARANTINE_TEXT]}… ({n_bytes:,} bytes in all)"


def _liquidation_columns(columns: Columns, n: int, numbers: NDArray[np.int32]) -> tuple[NDArray[Any], ...]:
    return (
        columns.liq_line[:n].copy(),
        columns.liq_position[:n].copy(),
        *(columns.liq_time[:n, i].copy() for i in range(3)),
        columns.liq_long[:n].copy(),
        *(columns.liq_value[:n, i].copy() for i in range(2)),
        *(numbers[columns.liq_name[:n, i]] for i in range(2)),
    )


def _ticker_columns(columns: Columns, n: int, numbers: NDArray[np.int32]) -> tuple[NDArray[Any], ...]:
    return (
        columns.tick_line[:n].copy(),
        np.zeros(n, np.int32),
        *(columns.tick_time[:n, i].copy() for i in range(3)),
        columns.tick_kind[:n].copy(),
        *(numbers[columns.tick_name[:n, i]] for i in range(2)),
        columns.tick_value[:n].copy(),
    )


def _gather(
    names: tuple[str, ...],
    dtypes: tuple[Any, ...],
    blocks: list[tuple[Any, ...]],
    slow_rows: list[tuple[Any, ...]],
) -> Columnar:
    """Blocks and slow rows as one set of columns in line order."""
    slow = list(zip(*slow_rows, strict=True)) if slow_rows else [()] * len(names)
    columns: Columnar = {}
    for i, (name, dtype) in enumerate(zip(names, dtypes, strict=True)):
        parts = [block[i] for block in blocks]
        if slow_rows or not parts:
            parts.append(np.array(slow[i], dtype))
        columns[name] = parts[0] if len(parts) == 1 else np.concatenate(parts)
    if slow_rows and blocks:
        order = np.lexsort((columns["position"], columns["line"]))
        columns = {name: column[order] for name, column in columns.items()}
    return columns


@njit(cache=True, nogil=True)
def _mix(value):  # type: ignore[no-untyped-def]
    """Finaliser of SplitMix64 (Steele, Lea and Flood 2014): every bit of the input reaches every bit of the output."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@njit(cache=True, nogil=True)
def _liquidation_keys(line, position, push, event, long, quantity, price, symbol):  # type: ignore[no-untyped-def]
    """64-bit key per row of its message's content (push time, every valid liquidation) and its place therein."""
    n = line.shape[0]
    keys = np.empty(n, np.uint64)
    start = 0
    while start < n:
        content = _mix(np.uint64(push[start]))
        end = start
        while end < n and line[end] == line[start]:
            content = _mix(content ^ np.uint64(event[end]))
            content = _mix(content ^ quantity[end])
            content = _mix(content ^ price[end])
            content = _mix(content ^ symbol[end] ^ np.uint64(long[end]))
            end += 1
        for i in range(start, end):
            keys[i] = _mix(content + np.uint64(position[i]))
        start = end
    return keys


@njit(cache=True, nogil=True)
def _ticker_keys(position, capture, push, sequence, kind, values, symbol):  # type: ignore[no-untyped-def]
    """64-bit key per row of a ticker message's content; for REST polls and unstamped frames the capture time too."""
    n = position.shape[0]
    keys = np.empty(n, np.uint64)
    for i in range(n):
        key = _mix(np.uint64(push[i]) ^ symbol[i])
        key = _mix(key ^ np.uint64(sequence[i]))
        key = _mix(key ^ np.uint64(kind[i]))
        if kind[i] == KIND_REST or push[i] == NO_TIME:
            key = _mix(key ^ np.uint64(capture[i]))
        for j in range(values.shape[1]):
            key = _mix(key ^ values[i, j])
        keys[i] = _mix(key + np.uint64(position[i]))
    return keys
