"""Progress for people: bars on a terminal, one plain line per stage elsewhere; both on the error stream."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

#: A stage that takes longer says how far it is, this often.
_REPORT_EVERY_S = 10.0


class LineProgress:
    """One line when a stage ends, and one every ten seconds while it lasts."""

    def __init__(self) -> None:
        self._name, self._total, self._done = "", 0, 0
        self._begin = self._reported = 0.0

    def start(self, stage: str, total: int) -> None:
        """See `core.progress.Progress`."""
        self._name, self._total, self._done = stage, total, 0
        self._begin = self._reported = time.monotonic()

    def advance(self, steps: int = 1) -> None:
        """See `core.progress.Progress`."""
        self._done += steps
        now = time.monotonic()
        if now - self._reported >= _REPORT_EVERY_S:
            self._reported = now
            self._say(f"{self._done:,} of {self._total:,}")

    def finish(self, note: str = "") -> None:
        """See `core.progress.Progress`."""
        steps = f"{self._done:,} of {self._total:,}, " if self._done < self._total else ""
        self._say(f"{steps}{time.monotonic() - self._begin:.1f} s{', ' + note if note else ''}")

    def _say(self, text: str) -> None:
        print(f"{self._name}: {text}", file=sys.stderr, flush=True)


class BarProgress:
    """A bar for the current stage, a line for each that is over."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None
        self._name = ""
        self._begin = 0.0

    def start(self, stage: str, total: int) -> None:
        """See `core.progress.Progress`."""
        self._name, self._begin = stage, time.monotonic()
        self._bar = RichProgress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task(stage, total=total or None)

    def advance(self, steps: int = 1) -> None:
        """See `core.progress.Progress`."""
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, steps)

    def finish(self, note: str = "") -> None:
        """See `core.progress.Progress`."""
        if self._bar is not None:
            self._bar.stop()
        seconds = time.monotonic() - self._begin
        self._console.print(f"{self._name}: {seconds:.1f} s{', ' + note if note else ''}", highlight=False)
