"""Captures into the lake.

Files that have not changed are not parsed. The others are parsed side by side in threads and committed batch by batch:
every touched partition (table, symbol, day) is written anew from its kept rows and the new ones, then one rename of the
manifest makes the batch true. A process that dies in between leaves the lake as it was after the last batch.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from liqlab.core.errors import EnvironmentFailure, SourceError, UserError
from liqlab.core.parallel import ordered_map
from liqlab.core.progress import SILENT, Progress, stage
from liqlab.core.time import MS_PER_DAY, MS_PER_MINUTE, format_day
from liqlab.lake._lock import hold
from liqlab.lake._manifest import (
    NAME,
    FileEntry,
    Manifest,
    PartitionEntry,
    is_lake,
    load_manifest,
    save_manifest,
)
from liqlab.lake._parquet import read_parquet, write_parquet
from liqlab.sources import (
    CAPTURE_ENDINGS,
    STORED,
    Capture,
    find_captures,
    hash_file,
    mark_duplicates,
    parse_capture,
    quarantine_rows,
    store_rows,
)

#: A batch is committed when it has this many files or this many bytes on disk: it bounds memory.
BATCH_FILES = 512
BATCH_BYTES = 16 << 20
#: Files are parsed in groups of this many bytes: big enough to be worth a frame, small enough for all workers.
GROUP_BYTES = 1 << 20
#: Rows in more runs of one symbol and day than this are sorted before they are cut.
MANY_RUNS = 1_000


@dataclass(frozen=True)
class IngestSummary:
    """What one ingest did: numbers of capture files by what happened to them."""

    found: int
    parsed: int
    unchanged: int
    replaced: int
    kept_without_file: int


@dataclass(frozen=True)
class _Pending:
    """A capture file that is new or looks changed."""

    path: Path
    name: str
    stamp: tuple[int, int, int]


@dataclass(frozen=True)
class _Parsed:
    """A pending file with its hash and, unless the lake already holds these bytes, its counts and quarantine."""

    pending: _Pending
    sha256: str
    capture: Capture | None


@dataclass(frozen=True)
class _Group:
    """Some parsed files and their rows by partition key."""

    files: list[_Parsed]
    parts: dict[str, pl.DataFrame]


def ingest(
    source: Path | str, lake: Path | str, workers: int | None = None, progress: Progress = SILENT
) -> IngestSummary:
    """Bring the capture folder `source` into the lake at `lake`, which is made when it does not exist.

    Raises `SourceError` when there is nothing to read, `LakeBusyError` when another process uses the lake,
    `EnvironmentFailure` when disk or permissions refuse.
    """
    source, lake = Path(source), Path(lake)
    paths = list_captures(source)
    _prepare(lake)
    with hold(lake, exclusive=True):
        if not is_lake(lake):
            save_manifest(lake, Manifest())
        manifest = load_manifest(lake)
        _remove_strays(lake, manifest)
        return _ingest_held(source, paths, lake, manifest, workers, progress)


def list_captures(source: Path) -> list[Path]:
    """Capture files below `source`; clear errors when it is missing, a file, unreadable or holds none."""
    endings = ", ".join(CAPTURE_ENDINGS)
    if not source.exists():
        raise SourceError(f"no folder {source}")
    if not source.is_dir():
        raise SourceError(f"{source} is a file; give the folder of captures that holds it")
    try:
        paths = find_captures(source)
    except OSError as error:
        raise EnvironmentFailure(f"cannot read {error.filename or source}: {error.strerror}") from error
    if not paths:
        raise SourceError(f"no capture file below {source}; looked for names ending in {endings}")
    return paths


def _prepare(lake: Path) -> None:
    try:
        lake.mkdir(parents=True, exist_ok=True)
        foreign = any(child.name != ".lock" and not child.name.startswith(f".{NAME}") for child in lake.iterdir())
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"{lake} is a file, not a folder; choose another --lake") from error
    except OSError as error:
        raise EnvironmentFailure(f"cannot make the lake {lake}: {error.strerror}") from error
    if foreign and not is_lake(lake):
        raise UserError(f"{lake} is not empty and not a lake; choose another --lake")


def _remove_strays(lake: Path, manifest: Manifest) -> None:
    """Delete what a killed ingest left: Parquet files that the manifest does not name, temporary files."""
    named = {entry.file for entry in manifest.partitions.values()}
    named |= {entry.quarantine_file for entry in manifest.files.values() if entry.quarantine_file}
    for folder in (*STORED, "quarantine"):
        for path in (lake / folder).rglob("*"):
            if path.is_file() and str(path.relative_to(lake)) not in named:
                path.unlink()
    for path in lake.glob(f".{NAME}.*.tmp"):
        path.unlink()


def _ingest_held(
    source: Path, paths: list[Path], lake: Path, manifest: Manifest, workers: int | None, progress: Progress
) -> IngestSummary:
    pending = list(_list_changed(source, paths, manifest))
    parsed = replaced = 0
    with stage(progress, "ingest", len(pending)):
        for batch in _cut(pending, BATCH_FILES, BATCH_BYTES):
            before = manifest
            manifest, fresh = _ingest_batch(source, batch, lake, before, workers, progress)
            parsed += len(fresh)
            replaced += sum(name in before.files for name in fresh)
    if str(source.resolve()) not in manifest.sources:
        manifest.sources.append(str(source.resolve()))
        save_manifest(lake, manifest)
    names = {_name(source, path) for path in paths}
    if not any(entry.rows for entry in manifest.partitions.values()):
        raise SourceError(_nothing_valid(source, manifest))
    missing = sum(name not in names for name in manifest.files)
    return IngestSummary(len(paths), parsed, len(paths) - parsed, replaced, missing)


def _ingest_batch(
    source: Path, batch: list[_Pending], lake: Path, manifest: Manifest, workers: int | None, progress: Progress
) -> tuple[Manifest, list[str]]:
    """(new manifest, names of the files that were parsed); the rows are forgotten when it returns."""
    groups = list(_parse_batch(batch, manifest, workers, progress))
    fresh = [file.pending.name for group in groups for file in group.files if file.capture is not None]
    return _commit(lake, manifest, groups, source, workers), fresh


def _nothing_valid(source: Path, manifest: Manifest) -> str:
    reasons: Counter[str] = Counter()
    for entry in manifest.files.values():
        reasons.update(entry.quarantined)
    return (
        f"not one valid row below {source}: {len(manifest.files):,} files, {reasons.total():,} records quarantined; "
        f"look at them with: liqlab info {source}"
    )


def _name(source: Path, path: Path) -> str:
    return path.relative_to(source).as_posix()


def _list_changed(source: Path, paths: list[Path], manifest: Manifest) -> Iterator[_Pending]:
    for path in paths:
        try:
            status = path.stat()
        except OSError as error:
            raise EnvironmentFailure(f"cannot read {path}: {error.strerror}") from error
        name = _name(source, path)
        known = manifest.files.get(name)
        stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if known is None or known.stamp != stamp:
            yield _Pending(path, name, stamp)


def _cut(pending: Iterable[_Pending], most_files: int, most_bytes: int) -> Iterator[list[_Pending]]:
    """The files in order, in lists that end when they reach one of the two."""
    part: list[_Pending] = []
    size = 0
    for file in pending:
        part.append(file)
        size += file.stamp[0]
        if len(part) >= most_files or size >= most_bytes:
            yield part
            part, size = [], 0
    if part:
        yield part


def _parse_batch(
    batch: list[_Pending], manifest: Manifest, workers: int | None, progress: Progress
) -> Iterator[_Group]:
    def parse_group(files: list[_Pending]) -> _Group:
        parsed = [_parse(file, manifest) for file in files]
        captures = [file.capture for file in parsed if file.capture is not None]
        group = _Group(parsed, dict(_partition(store_rows(captures))))
        for capture in captures:
            capture.liquidations, capture.tickers, capture.ratios = {}, {}, {}
        return group

    for group in ordered_map(parse_group, _cut(batch, BATCH_FILES, GROUP_BYTES), workers, kind="threads"):
        progress.advance(len(group.files))
        yield group


def _parse(file: _Pending, manifest: Manifest) -> _Parsed:
    try:
        digest = hash_file(file.path)
        known = manifest.files.get(file.name)
        if known is not None and known.sha256 == digest:
            return _Parsed(file, digest, None)
        return _Parsed(file, digest, parse_capture(file.path, file.name))
    except OSError as error:
        raise EnvironmentFailure(f"cannot read {file.path}: {error.strerror}") from error


def _commit(lake: Path, old: Manifest, groups: list[_Group], source: Path, workers: int | None) -> Manifest:
    """Write what the batch changes and make it true; gives the new manifest."""
    generation = old.generation + 1
    done = [file for group in groups for file in group.files]
    stale: dict[str, list[str]] = {}
    for file in done:
        if file.capture is not None and file.pending.name in old.files:
            for key in old.files[file.pending.name].partitions:
                stale.setdefault(key, []).append(file.pending.name)
    parts: dict[str, list[pl.DataFrame]] = {}
    for group in groups:
        for key, rows in group.parts.items():
            parts.setdefault(key, []).append(rows)

    def write(key: str) -> tuple[str, PartitionEntry | None]:
        before, rows = old.partitions.get(key), parts.get(key, [])
        return key, _write_partition(lake, key, before, stale.get(key, []), rows, generation)

    partitions = dict(old.partitions)
    for key, entry in ordered_map(write, sorted({*parts, *stale}), workers, kind="threads"):
        if entry is None:
            partitions.pop(key, None)
        else:
            partitions[key] = entry
    files = dict(old.files)
    keys_of_file = _keys_of_files(parts)
    for file in done:
        files[file.pending.name] = _file_entry(lake, file, old, keys_of_file, generation)
    new = Manifest(
        generation=generation,
        sources=sorted({*old.sources, str(source.resolve())}),
        files=dict(sorted(files.items())),
        partitions=dict(sorted(partitions.items())),
    )
    save_manifest(lake, new)
    _remove_replaced(lake, old, new)
    return new


def _partition(tables: dict[str, pl.DataFrame]) -> Iterator[tuple[str, pl.DataFrame]]:
    """(key, rows) of every table, symbol and day."""
    for table, rows in tables.items():
        starts = _find_runs(rows)
        if len(starts) > MANY_RUNS:
            day = pl.col("event_time").to_physical() // MS_PER_DAY
            rows = rows.sort("symbol", day, maintain_order=True)
            starts = _find_runs(rows)
        slices: dict[str, list[pl.DataFrame]] = {}
        for start, end in itertools.pairwise([*starts, rows.height]):
            event_ms = rows["event_time"].to_physical()[start]
            key = f"{table}/{rows['symbol'][start]}/{format_day(event_ms // MS_PER_DAY)}"
            slices.setdefault(key, []).append(rows[start:end])
        yield from ((key, pl.concat(parts)) for key, parts in slices.items())


def _find_runs(rows: pl.DataFrame) -> list[int]:
    """Where runs of one symbol and day start: hourly files give few of them, and cutting there moves no row."""
    if rows.is_empty():
        return []
    day = rows["event_time"].to_physical() // MS_PER_DAY
    begins = (rows["symbol"] != rows["symbol"].shift()) | (day != day.shift())
    return [0, *begins.arg_true().to_list()]


def _keys_of_files(parts: dict[str, list[pl.DataFrame]]) -> dict[str, set[str]]:
    keys: dict[str, set[str]] = {}
    for key, rows in parts.items():
        for name in pl.concat([part["source_file"] for part in rows]).unique():
            keys.setdefault(name, set()).add(key)
    return keys


def _write_partition(
    lake: Path,
    key: str,
    old: PartitionEntry | None,
    stale: list[str],
    new: list[pl.DataFrame],
    generation: int,
) -> PartitionEntry | None:
    """The partition anew: its old rows but those of stale files, and the new rows; None when nothing is left."""
    table, symbol, day = key.split("/")
    parts = new
    if old is not None:
        kept = read_parquet(lake / old.file, list(STORED[table]))
        parts = [kept.filter(~pl.col("source_file").is_in(stale)) if stale else kept, *new]
    rows = mark_duplicates(table, pl.concat(parts, rechunk=True))
    if rows.is_empty():
        return None
    file = f"{table}/symbol={symbol}/day={day}/{generation:08d}.parquet"
    write_parquet(rows, lake / file)
    known = rows["known_time"].to_physical()
    event = rows["event_time"].to_physical()
    return PartitionEntry(
        file=file,
        rows=rows.height,
        duplicates=int(rows["is_duplicate"].sum()),
        event_start=int(event.min()),  # type: ignore[arg-type]
        event_end=int(event.max()),  # type: ignore[arg-type]
        known_start=int(known.min()),  # type: ignore[arg-type]
        known_end=int(known.max()),  # type: ignore[arg-type]
        runs=list(list_runs(rows)),
    )


def list_runs(rows: pl.DataFrame) -> Iterator[tuple[str, int, int]]:
    """(exchange, first, last) of known times, split where more than 60 s pass between two rows."""
    for exchange in rows["exchange"].unique().sort().to_list():
        known = rows.filter(pl.col("exchange") == exchange)["known_time"].to_physical().to_numpy()
        breaks = np.flatnonzero(np.diff(known) > MS_PER_MINUTE)
        firsts, lasts = known[np.r_[0, breaks + 1]], known[np.r_[breaks, len(known) - 1]]
        yield from ((exchange, first, last) for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True))


def _file_entry(
    lake: Path, file: _Parsed, old: Manifest, keys_of_file: dict[str, set[str]], generation: int
) -> FileEntry:
    pending, capture = file.pending, file.capture
    if capture is None:
        return msgspec.structs.replace(old.files[pending.name], stamp=pending.stamp)
    return FileEntry(
        sha256=file.sha256,
        stamp=pending.stamp,
        lines=capture.lines,
        read=dict(capture.read),
        quarantined=dict(Counter(row.stream for row in capture.quarantine)),
        other_lines=capture.other_lines,
        quarantine_file=_write_quarantine(lake, capture, generation),
        partitions=sorted(keys_of_file.get(pending.name, ())),
    )


def _write_quarantine(lake: Path, capture: Capture, generation: int) -> str | None:
    if not capture.quarantine:
        return None
    digest = hashlib.sha256(capture.source_file.encode()).hexdigest()[:16]
    file = f"quarantine/{digest}-{generation:08d}.parquet"
    write_parquet(quarantine_rows([capture]), lake / file)
    return file


def _remove_replaced(lake: Path, old: Manifest, new: Manifest) -> None:
    current = {entry.file for entry in new.partitions.values()} | {e.quarantine_file for e in new.files.values()}
    before = {entry.file for entry in old.partitions.values()} | {e.quarantine_file for e in old.files.values()}
    for file in before - current:
        if file is not None:
            (lake / file).unlink(missing_ok=True)
