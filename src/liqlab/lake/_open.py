"""A source, be it a lake or a capture folder, as an opened lake."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from liqlab.core.progress import SILENT, Progress
from liqlab.lake._ingest import IngestSummary, ingest
from liqlab.lake._manifest import is_lake
from liqlab.lake._store import Lake


@contextmanager
def open_source(
    source: Path, lake: Path | None = None, workers: int | None = None, progress: Progress = SILENT
) -> Iterator[tuple[Lake, IngestSummary | None]]:
    """(the lake that `source` is, None), or (the lake it is ingested into, what the ingest did).

    A capture folder goes into `lake`, or without one into a temporary lake that is gone after the block. Raises what
    `ingest` and `Lake` raise.
    """
    with ExitStack() as stack:
        summary = None
        if not is_lake(source):
            home = lake or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="liqlab-")))
            summary = ingest(source, home, workers, progress)
            source = home
        yield stack.enter_context(Lake(source)), summary
