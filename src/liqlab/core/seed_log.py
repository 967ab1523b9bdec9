"""What was computed so far, seed by seed, in a file that survives an interruption."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from liqlab.core.errors import EnvironmentFailure
from liqlab.core.files import write_text


class SeedLog:
    """One JSON line per seed in a file, after a line with the fingerprint of what the values stand for.

    `read` gives what is there; a file with another fingerprint starts anew, and a line that an interruption cut off is
    left out. Inside a `with` block, `add` appends. Without a path nothing is kept. `EnvironmentFailure` when the disk
    refuses.
    """

    def __init__(self, path: Path | None, fingerprint: str) -> None:
        self.path = path
        self.fingerprint = fingerprint

    def read(self) -> dict[int, Any]:
        """The values by seed."""
        if self.path is None:
            return {}
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return self._start()
        except OSError as error:
            raise self._failure(error) from error
        rows = [row for row in map(_parse, lines) if row is not None]
        if not rows or rows[0].get("fingerprint") != self.fingerprint:
            return self._start()
        # A line that was cut off by an interruption is computed again, so the file is written anew without it.
        self._write(rows)
        return {row["seed"]: row["value"] for row in rows[1:]}

    def __enter__(self) -> SeedLog:
        try:
            self._file = None if self.path is None else self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise self._failure(error) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if self._file is not None:
                self._file.close()
        except OSError as error:
            if kind is None:  # else what went wrong first is what the caller should hear of
                raise self._failure(error) from error

    def add(self, seed: int, value: Any) -> None:
        """Keep the value (plain, for JSON) of a seed."""
        if self._file is None:
            return
        try:
            self._file.write(json.dumps({"seed": seed, "value": value}) + "\n")
            self._file.flush()
        except OSError as error:
            raise self._failure(error) from error

    def _start(self) -> dict[int, Any]:
        self._write([{"fingerprint": self.fingerprint}])
        return {}

    def _write(self, rows: Sequence[dict[str, Any]]) -> None:
        assert self.path is not None
        try:
            write_text(self.path, "".join(json.dumps(row) + "\n" for row in rows))
        except OSError as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> EnvironmentFailure:
        return EnvironmentFailure(f"cannot use {self.path}: {error.strerror}; choose another folder to work in")


def _parse(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None
