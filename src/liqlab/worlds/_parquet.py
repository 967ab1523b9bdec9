"""One Parquet file written piece by piece and put in place whole, with bytes that depend on its rows alone."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import polars as pl
from pyarrow import parquet

from liqlab.core.errors import EnvironmentFailure
from liqlab.core.schema import Table, check_frame


class ParquetAppender:
    """Appends frames of `table` to `path`, which appears when the block ends without an error."""

    def __init__(self, path: Path, table: Table) -> None:
        self.path, self.table = path, table
        self._temporary = path.with_name(f".{path.name}.tmp")

    def __enter__(self) -> ParquetAppender:
        schema = self._to_arrow(self.table.empty()).schema
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = parquet.ParquetWriter(self._temporary, schema, compression="zstd", compression_level=1)
        except OSError as error:
            raise EnvironmentFailure(
                f"cannot write {self.path}: {error}; make room or choose another folder"
            ) from error
        return self

    def append(self, frame: pl.DataFrame) -> None:
        """More rows; raises `TypeError` when the columns are not those of the table."""
        if frame.is_empty():
            return
        try:
            self._writer.write_table(self._to_arrow(frame))
        except OSError as error:
            raise EnvironmentFailure(
                f"cannot write {self.path}: {error}; make room or choose another folder"
            ) from error

    def _failure(self, error: OSError) -> EnvironmentFailure:
        return EnvironmentFailure(f"cannot write {self.path}: {error}; make room or choose another folder")

    def _to_arrow(self, frame: pl.DataFrame) -> Any:
        return check_frame(frame, self.table).select(self.table.names).to_arrow(compat_level=pl.CompatLevel.oldest())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._writer.close()
            if kind is None:
                self._temporary.replace(self.path)
        except OSError as failure:
            if kind is None:
                raise self._failure(failure) from failure
        finally:
            self._temporary.unlink(missing_ok=True)
