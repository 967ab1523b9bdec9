"""The stages of long work: their names, times and memory."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from liqlab.core.progress import Progress, stage
from liqlab.study._records import StageRecord


class Stages:
    """Names, times and memory of the stages, told to `progress` as they go."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.records: list[StageRecord] = []

    @contextmanager
    def stage(self, name: str, total: int = 0) -> Iterator[Progress]:
        """A stage of `total` steps, told to `progress` here."""
        with self.timed(name), stage(self.progress, name, total) as progress:
            yield progress

    @contextmanager
    def timed(self, name: str) -> Iterator[Progress]:
        """A stage that tells `progress` itself."""
        begin = time.perf_counter()
        yield self.progress
        self.records.append(StageRecord(name, time.perf_counter() - begin, peak_memory_mb()))


def peak_memory_mb() -> float:
    """Highest resident memory of this process so far, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
