"""`liqlab detect [FILE]`: cascades from captured message lines, one JSON line per event, as they happen."""

from __future__ import annotations

import argparse
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol

if TYPE_CHECKING:
    from liqlab.cascades import CascadeEvent, StreamDetector
    from liqlab.core.records import Liquidation

#: How long the input must pause before rows held for ties are delivered, and how often a live clock is read.
_POLL_S: Final = 0.2
_READ_BYTES: Final = 1 << 16
#: Of a longer line only the beginning is kept, which then is no JSON: an endless line must not fill the memory.
_LONGEST_LINE_BYTES: Final = 1 << 26
#: Input is live when its newest known time was this close to the wall clock as it arrived.
_LIVE_WITHIN_MS: Final = 60_000
#: Live rows may reach us this long after they were known.
_LIVE_MARGIN_MS: Final = 1_000
_WARNINGS: Final = 10
_COMPRESSED: Final = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")
_INTERRUPTED: Final = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `detect`."""
    parser.description = (
        "Read captured message lines and print one JSON line for each event of a cascade: confirmed, grown, ended. "
        "Times are milliseconds UTC. The end of the input closes what is open."
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        default="-",
        help="capture file, plain, .gz or .zst (default: standard input)",
    )
    parser.add_argument(
        "--follow", action="store_true", help="keep reading what is appended to FILE, across rotation, until Ctrl-C"
    )
    parser.add_argument("--preset", metavar="NAME", help="plan (default) or p95")
    parser.add_argument("--max-gap-s", type=float, metavar="X", help="longest silence inside a cascade, in seconds")
    parser.add_argument("--min-liquidations", type=int, metavar="N", help="fewest liquidations of a cascade")
    parser.add_argument("--min-notional-usd", type=float, metavar="X", help="smallest notional of a cascade, in USD")
    parser.add_argument("--config", metavar="FILE", type=Path, help="study configuration in TOML; its [cascades] count")
    parser.add_argument(
        "--symbols", nargs="+", metavar="SYMBOL", help="only these symbols, separated by spaces or commas"
    )


def run(arguments: argparse.Namespace) -> int:
    """Detect until the input ends or Ctrl-C; the exit code."""
    from liqlab.cascades import CascadeConfig, StreamDetector
    from liqlab.cli._source import split_symbols
    from liqlab.core.errors import SourceError

    given = {name: getattr(arguments, name) for name in ("preset", "max_gap_s", "min_liquidations", "min_notional_usd")}
    if arguments.config is None:
        config = CascadeConfig(**{name: value for name, value in given.items() if value is not None})
    else:
        from liqlab.study import load_study_config

        config = load_study_config(arguments.config, cascades=given).cascades
    session = _Session(StreamDetector(config.resolve(), split_symbols(arguments.symbols)))
    with _interruptible() as interrupted:
        _read(arguments.file, arguments.follow, session, interrupted)
        session.finish()
    if not arguments.quiet:
        session.summarise()
    if interrupted():
        return _INTERRUPTED
    if not session.valid:
        name = "standard input" if arguments.file == "-" else arguments.file
        raise SourceError(f"none of the {session.lines:,} lines of {name} is a captured message; see docs/formats.md")
    return 0


class _Session:
    """Lines in, events out, and what is worth telling about the lines."""

    def __init__(self, detector: StreamDetector) -> None:
        import msgspec

        from liqlab.sources import parse_line

        self.lines = 0
        self.valid = 0
        self.bad = 0
        self._detector = detector
        self._parse = parse_line
        self._encode = msgspec.json.encode
        self._clock = _LiveClock()

    def take(self, line: bytes) -> None:
        """One line: its liquidations to the detector, its faults to the error stream."""
        self.lines += 1
        parsed = self._parse(line)
        for problem in parsed.problems:
            self._warn(problem.reason)
        if parsed.stream and (parsed.liquidations or not parsed.problems):
            self.valid += 1
        if parsed.liquidations:
            self._clock.note(parsed.liquidations)
            self._print(self._detector.feed(parsed.liquidations))

    def beat(self) -> None:
        """Tell a live detector how late it is; on a recording the wall clock means nothing."""
        now_ms = self._clock.read()
        if now_ms is not None:
            self._print(self._detector.advance(now_ms))

    def pause(self) -> None:
        """The input has paused: nothing held is waiting for a tie any more."""
        self._print(self._detector.flush())
        self.beat()

    def finish(self) -> None:
        """The input is over: close what is open."""
        self._print(self._detector.finish())
        self.flush_output()

    def flush_output(self) -> None:
        """Hand over what has been printed."""
        sys.stdout.flush()

    def summarise(self) -> None:
        """One line on the error stream."""
        detector = self._detector
        print(
            f"{self.lines:,} lines, {detector.liquidations:,} liquidations, {detector.duplicates:,} duplicates, "
            f"{self.bad:,} bad, {detector.late:,} late",
            file=sys.stderr,
        )

    def _print(self, events: list[CascadeEvent]) -> None:
        for event in events:
            sys.stdout.buffer.write(self._encode(event) + b"\n")

    def _warn(self, reason: str) -> None:
        self.bad += 1
        if self.bad <= _WARNINGS:
            print(f"line {self.lines}: {reason}", file=sys.stderr)
        elif self.bad == _WARNINGS + 1:
            print("more bad lines: counted, not shown", file=sys.stderr)


class _LiveClock:
    """How far known time has come by now, as long as the input is live."""

    def __init__(self) -> None:
        self._newest_ms = 0
        self._arrived_s = 0.0
        self._is_live = False

    def note(self, rows: tuple[Liquidation, ...]) -> None:
        """Rows have arrived."""
        newest_ms = rows[-1].known_ms
        if newest_ms >= self._newest_ms:
            self._newest_ms = newest_ms
            self._arrived_s = time.monotonic()
            self._is_live = abs(time.time() * 1_000 - newest_ms) <= _LIVE_WITHIN_MS

    def read(self) -> int | None:
        """A known time before which everything has surely arrived; None when the input is not live."""
        if not self._is_live:
            return None
        since_ms = (time.monotonic() - self._arrived_s) * 1_000
        return self._newest_ms + round(since_ms) - _LIVE_MARGIN_MS


class _LineSplitter:
    """Whole lines from pieces of a stream."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes, without their newlines."""
        *ends, rest = data.split(b"\n")
        lines = []
        for end in ends:
            self._keep(end)
            lines.append(self.take_rest())
        self._keep(rest)
        return lines

    def take_rest(self) -> bytes:
        """What has come of the line that is not complete."""
        line = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        return line

    def _keep(self, piece: bytes) -> None:
        if self._size < _LONGEST_LINE_BYTES:
            self._pieces.append(piece)
            self._size += len(piece)


class _Input(Protocol):
    """Bytes as they come."""

    def read(self, timeout_s: float) -> bytes | None:
        """The next bytes, b"" when none come within the timeout, None at the end."""


class _Pipe:
    """Standard input, a named pipe, a terminal."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, timeout_s: float) -> bytes | None:
        """See `_Input`."""
        ready, _, _ = select.select([self._descriptor], [], [], timeout_s)
        if not ready:
            return b""
        return os.read(self._descriptor, _READ_BYTES) or None


class _GrowingFile:
    """A file that another process appends to, and may rotate or truncate."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: BinaryIO = path.open("rb", buffering=0)

    def read(self, timeout_s: float) -> bytes | None:
        """See `_Input`; it never ends."""
        data = self._read_now()
        if not data and timeout_s:
            time.sleep(timeout_s)
            data = self._read_now()
        return data

    def _read_now(self) -> bytes:
        data = self._stream.read(_READ_BYTES)
        if data:
            return data
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return b""
        here = os.fstat(self._stream.fileno())
        if (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino):
            return self._stream.read(_READ_BYTES) or self._reopen()
        if there.st_size < self._stream.tell():
            self._stream.seek(0)
            return b"\n"
        return b""

    def _reopen(self) -> bytes:
        """Go on with the file that took the place of this one; an unfinished last line ends here."""
        self._stream.close()
        self._stream = self._path.open("rb", buffering=0)
        return b"\n"


def _read(name: str, follow: bool, session: _Session, interrupted: Callable[[], bool]) -> None:
    if name == "-":
        _pump(_Pipe(sys.stdin.fileno()), session, interrupted)
        return
    path = Path(name)
    _check_readable(path, follow)
    if follow:
        _pump(_GrowingFile(path), session, interrupted)
    elif path.is_file():
        _read_file(path, session, interrupted)
    else:
        with path.open("rb", buffering=0) as stream:
            _pump(_Pipe(stream.fileno()), session, interrupted)


def _read_file(path: Path, session: _Session, interrupted: Callable[[], bool]) -> None:
    from liqlab.sources import read_lines

    for _, line in read_lines(path):
        session.take(line)
        if interrupted():
            return


def _pump(source: _Input, session: _Session, interrupted: Callable[[], bool]) -> None:
    """Lines from a stream until it ends; output is handed over whenever no more input is at hand."""
    splitter = _LineSplitter()
    beat_s = time.monotonic()
    while not interrupted():
        data = source.read(0)
        if data == b"":
            session.flush_output()
            data = source.read(_POLL_S)
        if data is None:
            rest = splitter.take_rest()
            if rest:
                session.take(rest)
            return
        for line in splitter.feed(data):
            session.take(line)
        if not data:
            session.pause()
        elif time.monotonic() - beat_s >= _POLL_S:
            session.beat()
            beat_s = time.monotonic()


def _check_readable(path: Path, follow: bool) -> None:
    from liqlab.core.errors import EnvironmentFailure, SourceError

    if path.is_dir():
        raise SourceError(f"{path} is a folder; detect reads one file, `liqlab cascades` a whole folder")
    if not path.exists():
        raise SourceError(f"no file at {path}")
    if not path.is_file():
        if follow:
            raise SourceError(f"{path} is not a regular file; pipes are read until they end, without --follow")
        return
    try:
        with path.open("rb") as stream:
            head = stream.read(4)
    except OSError as error:
        raise EnvironmentFailure(f"cannot read {path}: {error.strerror or error}") from error
    if follow and head.startswith(_COMPRESSED):
        raise SourceError(f"{path} is compressed; --follow takes plain lines")


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed; a second one interrupts at once."""
    pressed: list[int] = []

    def note(number: int, _frame: Any) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)
