"""The manifest: which files a lake was made from and which Parquet files are its content.

The manifest *is* the lake. Parquet files are written first, under names that the current manifest does not use;
replacing the manifest, one atomic rename, makes them true. Whatever is not named in it does not exist.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from liqlab import __version__
from liqlab.core.errors import EnvironmentFailure, LakeDamagedError, UserError
from liqlab.core.files import replacing

NAME = "manifest.json"
FORMAT = "liqlab-lake"
#: Raised whenever stored rows change their meaning or columns.
SCHEMA_VERSION = 1


class FileEntry(msgspec.Struct, frozen=True):
    """One capture file that is in the lake.

    `stamp` is size, modification and status-change time (ns): while it stays, the file is not even hashed. `read`
    counts records per stream, `quarantined` how many of them are bad; `partitions` are the keys it has rows in.
    """

    sha256: str
    stamp: tuple[int, int, int]
    lines: int
    read: dict[str, int]
    quarantined: dict[str, int]
    other_lines: int
    quarantine_file: str | None
    partitions: list[str]


def compute_data_hash(files: Mapping[str, FileEntry]) -> str:
    """SHA-256 over the sorted names and content hashes of the capture files: equal data give equal hashes, anywhere."""
    digest = hashlib.sha256()
    for name, entry in sorted(files.items()):
        digest.update(f"{name}\0{entry.sha256}\n".encode())
    return digest.hexdigest()


class PartitionEntry(msgspec.Struct, frozen=True):
    """One Parquet file: the rows of one table, symbol and day (of event time).

    Times are milliseconds UTC. `runs` are (exchange, first, last) of known times, split where the silence between two
    rows exceeds 60 s.
    """

    file: str
    rows: int
    duplicates: int
    event_start: int
    event_end: int
    known_start: int
    known_end: int
    runs: list[tuple[str, int, int]]


class Manifest(msgspec.Struct):
    """Content of `manifest.json`; partition keys are `table/symbol/day`."""

    format: str = FORMAT
    schema_version: int = SCHEMA_VERSION
    liqlab_version: str = __version__
    generation: int = 0
    sources: list[str] = []
    files: dict[str, FileEntry] = {}
    partitions: dict[str, PartitionEntry] = {}


def is_lake(folder: Path) -> bool:
    """Whether `folder` is a lake, told by its manifest."""
    try:
        with (folder / NAME).open("rb") as stream:
            return FORMAT.encode() in stream.read(200)
    except OSError:
        return False


def load_manifest(lake: Path) -> Manifest:
    """The manifest of a lake; clear errors for one that is absent, unreadable or of another version."""
    path = lake / NAME
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError as error:
        raise UserError(
            f"{lake} is not a lake: it has no {NAME}; make one with: liqlab ingest SOURCE --lake LAKE"
        ) from error
    except OSError as error:
        raise EnvironmentFailure(f"cannot read {path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LakeDamagedError(f"{path} is damaged ({error}); delete the lake and ingest again") from error
    if manifest.format != FORMAT or manifest.schema_version != SCHEMA_VERSION:
        raise UserError(
            f"the lake {lake} has schema version {manifest.schema_version}, this liqlab {__version__} reads "
            f"{SCHEMA_VERSION}; delete the lake and ingest again"
        )
    return manifest


def save_manifest(lake: Path, manifest: Manifest) -> None:
    """Make `manifest` the content of the lake, durably and at once."""
    try:
        with replacing(lake / NAME) as temporary, temporary.open("wb") as stream:
            stream.write(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise EnvironmentFailure(f"cannot write {lake / NAME}: {error.strerror}") from error
