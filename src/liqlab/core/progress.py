"""How long work tells how far it is. Libraries report; only the command line draws."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """Receives the stages of long work."""

    def start(self, stage: str, total: int) -> None:
        """A stage of `total` steps begins (0: number unknown)."""

    def advance(self, steps: int = 1) -> None:
        """`steps` more steps of the current stage are done."""

    def finish(self, note: str = "") -> None:
        """The current stage is over; `note` says in a few words what it gave."""


class Silent:
    """Reports nothing."""

    def start(self, stage: str, total: int) -> None:
        """Ignore."""

    def advance(self, steps: int = 1) -> None:
        """Ignore."""

    def finish(self, note: str = "") -> None:
        """Ignore."""


SILENT = Silent()


@contextmanager
def stage(progress: Progress, name: str, total: int = 0) -> Iterator[Progress]:
    """Start a stage and finish it, also when the block raises."""
    progress.start(name, total)
    try:
        yield progress
    finally:
        progress.finish()
