"""Forecasts of an earlier run that still hold: neither the data nor the configuration nor the program has changed."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import polars as pl

from liqlab.core.files import write_text
from liqlab.core.schema import Table
from liqlab.lake import FileEntry, compute_data_hash

#: Beside the tables: what they were made from, and the notes that are in no table.
KEY_FILE = ".prediction.json"
_LIBRARIES = ("numpy", "polars", "scipy", "scikit-learn", "xgboost-cpu", "hmmlearn", "arch")


def compute_key(files: Mapping[str, FileEntry], inputs: Mapping[str, Any]) -> str:
    """Names everything that the forecasts depend on: capture files, inputs, this program's own code, libraries."""
    basis = {
        "data": compute_data_hash(files),
        "inputs": inputs,
        "program": _hash_program(),
        "libraries": {name: metadata.version(name) for name in _LIBRARIES},
        "machine": platform.machine(),
    }
    return hashlib.sha256(json.dumps(basis, sort_keys=True, default=str).encode()).hexdigest()


def read_kept(folder: Path, key: str, tables: Sequence[Table]) -> tuple[dict[str, pl.DataFrame], dict[str, Any]] | None:
    """The tables by name and the notes of an earlier run with the same key; None when there is none, or not whole."""
    try:
        kept = json.loads((folder / KEY_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    if kept.get("key") != key or kept.get("tables") != _hash_tables(folder, tables):
        return None
    return {table.name: pl.read_parquet(_path(folder, table)) for table in tables}, kept["notes"]


def keep(folder: Path, key: str, tables: Sequence[Table], notes: Mapping[str, Sequence[str]]) -> None:
    """Say what the tables in the folder were made from; call it when they are in place."""
    plain = {name: list(own) for name, own in notes.items()}
    kept = {"key": key, "tables": _hash_tables(folder, tables), "notes": plain}
    write_text(folder / KEY_FILE, json.dumps(kept))


def forget(folder: Path) -> None:
    """The tables in the folder are about to change."""
    (folder / KEY_FILE).unlink(missing_ok=True)


def _path(folder: Path, table: Table) -> Path:
    return folder / f"{table.name}.parquet"


def _hash_tables(folder: Path, tables: Sequence[Table]) -> dict[str, str | None]:
    """The content of each table's file as a hash, None where there is no file."""
    paths = {table.name: _path(folder, table) for table in tables}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None for name, path in paths.items()
    }


def _hash_program() -> str:
    digest = hashlib.sha256()
    root = Path(str(resources.files("liqlab")))
    for path in sorted((*root.rglob("*.py"), *root.rglob("*.toml"))):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
