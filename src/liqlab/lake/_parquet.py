"""Parquet in and out, with errors that say what to do."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import polars as pl

from liqlab.core.errors import EnvironmentFailure, LakeDamagedError
from liqlab.core.files import replacing


def read_parquet(path: Path, columns: list[str] | None = None) -> pl.DataFrame:
    try:
        return pl.read_parquet(path, columns=columns)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise LakeDamagedError(f"cannot read {path} ({error}); delete the lake and ingest again") from error


def write_parquet(rows: pl.DataFrame, path: Path) -> None:
    # Through memory, because then a full disk is an OSError that says so.
    content = BytesIO()
    rows.write_parquet(content, compression="zstd", compression_level=1)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(content.getbuffer())
    except OSError as error:
        raise EnvironmentFailure(
            f"cannot write {path}: {error.strerror}; what was committed before is whole"
        ) from error
