"""The detector fed with messages: many symbols, repeated deliveries, ties in time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Final

from liqlab.cascades._events import CascadeEvent
from liqlab.cascades._machine import CascadeMachine
from liqlab.cascades._presets import CascadePreset
from liqlab.core.records import Liquidation
from liqlab.core.schema import LONG
from liqlab.core.time import MS_PER_MINUTE

#: A symbol's messages are remembered, to recognise a repeat, for at least this long in known time, but at most twice so
#: many of them.
REMEMBERED_MS: Final = 10 * MS_PER_MINUTE
REMEMBERED_MESSAGES: Final = 10_000

_by_known = attrgetter("known_ms")
_by_event = attrgetter("event_ms", "position")
#: What makes a row the same when it is delivered again: all but the known time.
_key_of = attrgetter("push_ms", "position", "event_ms", "liquidated_side", "quantity", "price")


class _SymbolStream:
    """One symbol: its machine, the rows of its newest known time, and the messages it has seen of late."""

    __slots__ = ("_held", "_held_ms", "_seen", "_seen_before", "_seen_since_ms", "machine")

    def __init__(self, symbol: str, preset: CascadePreset) -> None:
        self.machine = CascadeMachine(symbol, preset)
        self._held: list[Liquidation] = []
        self._held_ms = 0
        # Two generations: what falls out of the older one is at least REMEMBERED_MS old.
        self._seen: set[object] = set()
        self._seen_before: set[object] = set()
        self._seen_since_ms = 0

    def is_repeat(self, message: Sequence[Liquidation]) -> bool:
        """Whether this symbol's rows of a message were delivered before, at whatever known time."""
        key = _key_of(message[0]) if len(message) == 1 else tuple(map(_key_of, message))
        if key in self._seen or key in self._seen_before:
            return True
        known_ms = message[0].known_ms
        if known_ms - self._seen_since_ms > REMEMBERED_MS or len(self._seen) == REMEMBERED_MESSAGES:
            self._seen_before, self._seen, self._seen_since_ms = self._seen, set(), known_ms
        self._seen.add(key)
        return False

    def feed(self, message: Sequence[Liquidation], events: list[CascadeEvent]) -> None:
        """Hold the rows of the newest known time, deliver those before it."""
        for row in message:
            known_ms = row.known_ms
            if known_ms != self._held_ms:
                self.release(events)
                if known_ms < self._held_ms:
                    self._deliver(row, events)
                    continue
                self._held_ms = known_ms
            self._held.append(row)

    def release(self, events: list[CascadeEvent]) -> None:
        """Deliver what is held, in input order."""
        if not self._held:
            return
        rows, self._held = self._held, []
        if len(rows) > 1:
            rows.sort(key=_by_event)
        for row in rows:
            self._deliver(row, events)

    def advance(self, now_ms: int, events: list[CascadeEvent]) -> None:
        """Everything known before `now_ms` has been fed."""
        if self._held_ms < now_ms:
            self.release(events)
        events.extend(self.machine.advance(now_ms))

    def finish(self, events: list[CascadeEvent]) -> None:
        """Nothing follows."""
        self.release(events)
        events.extend(self.machine.finish())

    def _deliver(self, row: Liquidation, events: list[CascadeEvent]) -> None:
        is_long = row.liquidated_side == LONG
        found = self.machine.update(row.known_ms, row.event_ms, is_long, row.quantity, row.price)
        if found:
            events.extend(found)


class StreamDetector:
    """Cascades of many symbols from messages as they arrive, in order of known time for each symbol.

    Input order is known time, event time, position, and messages of one symbol may share a known time: the rows of a
    symbol's newest known time are held until a later one, `advance`, `flush` or `finish`. A message delivered again
    (same symbol, push time and rows; the known time may differ) is dropped and counted.

    `symbols` restricts it to some symbols; rows of others are ignored.
    """

    def __init__(self, preset: CascadePreset, symbols: Iterable[str] | None = None) -> None:
        self.preset = preset
        #: Liquidations taken, repeats not among them, and those of repeated messages.
        self.liquidations = 0
        self.duplicates = 0
        self._symbols = None if symbols is None else frozenset(symbols)
        self._streams: dict[str, _SymbolStream] = {}

    @property
    def late(self) -> int:
        """Liquidations whose known time lay before their symbol's clock; each was taken at the clock."""
        return sum(stream.machine.late for stream in self._streams.values())

    def feed(self, message: Sequence[Liquidation]) -> list[CascadeEvent]:
        """Take one message, the liquidations of one captured line; the events it causes."""
        events: list[CascadeEvent] = []
        for symbol, rows in _split(message):
            if self._symbols is not None and symbol not in self._symbols:
                continue
            stream = self._streams.get(symbol)
            if stream is None:
                stream = self._streams[symbol] = _SymbolStream(symbol, self.preset)
            if stream.is_repeat(rows):
                self.duplicates += len(rows)
                continue
            self.liquidations += len(rows)
            stream.feed(rows, events)
        return events

    def advance(self, now_ms: int, symbol: str | None = None) -> list[CascadeEvent]:
        """Everything known before `now_ms` has been fed, for one symbol or for all: what that closes."""
        events: list[CascadeEvent] = []
        for stream in self._chosen(symbol):
            stream.advance(now_ms, events)
        return events

    def flush(self) -> list[CascadeEvent]:
        """Deliver the rows that are held for others of the same known time: rows that tie with them come too late."""
        events: list[CascadeEvent] = []
        for stream in self._streams.values():
            stream.release(events)
        return events

    def finish(self) -> list[CascadeEvent]:
        """Nothing follows: deliver what is held, close what is open."""
        events: list[CascadeEvent] = []
        for stream in self._streams.values():
            stream.finish(events)
        return events

    def _chosen(self, symbol: str | None) -> Iterable[_SymbolStream]:
        if symbol is None:
            return self._streams.values()
        stream = self._streams.get(symbol)
        return () if stream is None else (stream,)


def _split(message: Sequence[Liquidation]) -> Iterable[tuple[str, Sequence[Liquidation]]]:
    """A message by symbol (nearly always one), each symbol's rows in order of known time."""
    if len(message) == 1:
        return ((message[0].symbol, message),)
    by_symbol: dict[str, list[Liquidation]] = {}
    for row in message:
        by_symbol.setdefault(row.symbol, []).append(row)
    for rows in by_symbol.values():
        rows.sort(key=_by_known)
    return by_symbol.items()
