"""Capture files as blocks of whole lines, whatever their compression, with bounded memory.

What a file is, its first bytes say (gzip and zstd have magic numbers), not its name. A stream that ends early or breaks
gives every line before the break; the break itself is a `StreamBreak`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, cast

import zstandard
from isal import isal_zlib
from isal.igzip_lib import IsalError

#: Endings of files that are read as captures.
CAPTURE_ENDINGS = (".jsonl", ".jsonl.gz", ".jsonl.zst")

_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_READ_BYTES = 1 << 18
_BLOCK_BYTES = 1 << 23

_GZIP_WINDOW = 31
_DAMAGE = (cast(type[Exception], IsalError), zstandard.ZstdError)


@dataclass(frozen=True)
class StreamBreak:
    """Where and why a compressed stream could not be read on; `text` is the unfinished last line."""

    reason: str
    text: bytes


class _Decompressor(Protocol):
    def decompress(self, data: bytes, /) -> bytes:
        """The next output."""

    @property
    def eof(self) -> bool:
        """The end of a member was reached."""

    @property
    def unused_data(self) -> bytes:
        """Input after the end of the member."""


def read_blocks(path: Path) -> Iterator[bytes | StreamBreak]:
    """Blocks of whole lines, each ending in a newline; a `StreamBreak` comes last when the file is damaged.

    A last line without a newline gets one. Raises `OSError` when the file cannot be read.
    """
    pieces: list[bytes] = []
    size = 0
    for piece in _decompressed(path):
        if isinstance(piece, StreamBreak):
            yield from _last_blocks(b"".join(pieces), piece)
            return
        pieces.append(piece)
        size += len(piece)
        if size >= _BLOCK_BYTES and b"\n" in piece:
            block = b"".join(pieces)
            cut = block.rfind(b"\n") + 1
            yield block[:cut]
            pieces, size = [block[cut:]], len(block) - cut
    rest = b"".join(pieces)
    if rest:
        yield rest if rest.endswith(b"\n") else rest + b"\n"


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(line number from 1, line without its newline) of a capture file; an unfinished last line is a line too."""
    number = 0
    for block in read_blocks(path):
        lines = [block.text] if isinstance(block, StreamBreak) else block[:-1].split(b"\n")
        for line in lines:
            number += 1
            yield number, line


def _last_blocks(rest: bytes, broken: StreamBreak) -> Iterator[bytes | StreamBreak]:
    cut = rest.rfind(b"\n") + 1
    if cut:
        yield rest[:cut]
    yield StreamBreak(broken.reason, rest[cut:])


def _decompressed(path: Path) -> Iterator[bytes | StreamBreak]:
    with path.open("rb") as stream:
        head = stream.read(4)
        stream.seek(0)
        if head.startswith(_GZIP_MAGIC):
            yield from _inflated(path, stream, "gzip", lambda: isal_zlib.decompressobj(_GZIP_WINDOW))
        elif head == _ZSTD_MAGIC:
            yield from _inflated(path, stream, "zstd", lambda: zstandard.ZstdDecompressor().decompressobj())
        elif path.name.endswith((".gz", ".zst")) and head.lstrip() and not head.lstrip().startswith(b"{"):
            yield StreamBreak("not what its name says: neither compressed nor JSON lines", stream.read(_READ_BYTES))
        else:
            while data := stream.read(_READ_BYTES):
                yield data


def _inflated(
    path: Path, stream: BinaryIO, name: str, make: Callable[[], _Decompressor]
) -> Iterator[bytes | StreamBreak]:
    """Output of a compressed stream, member after member."""
    decompressor = make()
    offset = 0
    member_start = 0
    while data := stream.read(_READ_BYTES):
        while data:
            if decompressor.eof:
                padding = len(data) - len(data.lstrip(b"\0"))
                offset, data = offset + padding, data[padding:]
                if not data:
                    break
                decompressor, member_start = make(), offset
            size = len(data)
            try:
                yield decompressor.decompress(data)
            except _DAMAGE:
                yield from _salvaged(path, make(), member_start, offset)
                yield StreamBreak(f"the {name} stream is corrupt; the lines before are kept", b"")
                return
            data = decompressor.unused_data if decompressor.eof else b""
            offset += size - len(data)
    if not decompressor.eof:
        yield StreamBreak(f"the {name} stream ends early; the lines before are kept", b"")


def _salvaged(path: Path, decompressor: _Decompressor, member_start: int, offset: int) -> Iterator[bytes]:
    """What the piece at `offset` gives before it breaks: decompressors drop the output of the call that fails."""
    with path.open("rb") as stream:
        stream.seek(member_start)
        left = offset - member_start
        while left and (data := stream.read(min(left, _READ_BYTES))):
            decompressor.decompress(data)
            left -= len(data)
        while byte := stream.read(1):
            try:
                output = decompressor.decompress(byte)
            except _DAMAGE:
                return
            if output:
                yield output
