"""Tables too long for memory, written piece by piece and put in place whole."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any

import polars as pl

from liqlab.core.errors import EnvironmentFailure
from liqlab.core.schema import Table, check_frame


class TableWriter:
    """Writes tables of one run into a folder; they appear there when the block ends without an error.

    With `folder` None the rows are only counted.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.rows: Counter[str] = Counter()
        self._writers: dict[str, Any] = {}

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for writer in self._writers.values():
                writer.close()
            if kind is None:
                for name in self._writers:
                    temporary, final = self._paths(name)
                    temporary.replace(final)
        except OSError as failure:
            if kind is None:  # else what went wrong first is what the caller should hear of
                raise EnvironmentFailure(f"cannot write the tables into {self.folder}: {failure}") from failure
        finally:
            for name in self._writers:
                self._paths(name)[0].unlink(missing_ok=True)

    def append(self, table: Table, frame: pl.DataFrame) -> None:
        """More rows of `table`; raises `TypeError` when the columns are not its own."""
        check_frame(frame, table)
        self.rows[table.name] += frame.height
        if self.folder is None:
            return
        try:
            piece = frame.select(table.names).to_arrow(compat_level=pl.CompatLevel.oldest())
            if table.name not in self._writers:
                self._writers[table.name] = self._open(table.name, piece.schema)
            self._writers[table.name].write_table(piece)
        except OSError as error:
            raise EnvironmentFailure(f"cannot write table {table.name} into {self.folder}: {error}") from error

    def _open(self, name: str, schema: Any) -> Any:
        import pyarrow
        from pyarrow import parquet

        assert self.folder is not None
        self.folder.mkdir(parents=True, exist_ok=True)
        texts = [field.name for field in schema if field.type in (pyarrow.string(), pyarrow.large_string())]
        return parquet.ParquetWriter(
            self._paths(name)[0], schema, compression="zstd", compression_level=1, use_dictionary=texts
        )

    def _paths(self, name: str) -> tuple[Path, Path]:
        assert self.folder is not None
        return self.folder / f".{name}.{os.getpid()}.tmp", self.folder / f"{name}.parquet"
