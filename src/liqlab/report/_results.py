"""The results folder: ours or not, and which of its files belong to an earlier run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from liqlab.core.errors import EnvironmentFailure, ResultsError
from liqlab.core.files import write_text
from liqlab.lake import is_lake
from liqlab.report._manifest import FORMAT, RUNNING

MANIFEST = "manifest.json"
#: Where a run keeps its lakes when it is not told another place.
LAKE, LAKE_OUT_OF_SAMPLE = "lake", "lake-oos"

#: Files that a run may have made beside its tables; nothing else is ever removed.
_OUTPUTS = re.compile(
    r"(liquidations_[\w.-]+\.(txt|png)|FINDINGS_[\w.-]+\.md|verdicts\.json|scorecard\.json|"
    r"tables/\w+\.(parquet|csv))",
    re.ASCII,
)


def is_results(folder: Path) -> bool:
    """Whether `folder` holds the results of a run, finished or not, told by its manifest."""
    return _read_manifest(folder).get("format") == FORMAT


def prepare_results(folder: Path) -> None:
    """Make `folder` ready for a run, and mark it as ours before anything else is written.

    It may be absent, empty, hold nothing but a lake in `lake/`, or hold the results of an earlier run. Raises
    `ResultsError` for any other folder and for a file in its place, `EnvironmentFailure` when the machine refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        foreign = _list_foreign(folder)
    except (FileExistsError, NotADirectoryError) as error:
        raise ResultsError(f"{error.filename or folder} is a file, not a folder; choose another -o") from error
    except OSError as error:
        raise EnvironmentFailure(f"cannot use {folder} for results: {error.strerror}") from error
    if foreign and not is_results(folder):
        kind = "is a lake" if is_lake(folder) else f"holds {_name_some(foreign)}, which liqlab did not make"
        raise ResultsError(f"{folder} {kind}; choose another -o, or an empty folder")
    mark_running(folder, ())


def mark_running(folder: Path, outputs: Iterable[str]) -> None:
    """Say in the manifest that a run is under way; it goes on naming the files of earlier runs, and `outputs`."""
    names = sorted({*list_outputs(folder), *outputs})
    write_manifest(folder, {"format": FORMAT, "status": RUNNING, "outputs": names})


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write `manifest.json`, atomically."""
    try:
        write_text(folder / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    except OSError as error:
        raise EnvironmentFailure(f"cannot write {folder / MANIFEST}: {error.strerror}") from error


def list_outputs(folder: Path) -> list[str]:
    """The files that earlier runs say they made in `folder`."""
    outputs = _read_manifest(folder).get("outputs")
    names = outputs if isinstance(outputs, list) else []
    return [name for name in names if isinstance(name, str) and _OUTPUTS.fullmatch(name)]


def remove_stale(folder: Path, outputs: Iterable[str]) -> None:
    """Remove what earlier runs made and this one, which makes `outputs`, does not."""
    for name in set(list_outputs(folder)) - set(outputs):
        (folder / name).unlink(missing_ok=True)


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _list_foreign(folder: Path) -> list[str]:
    """What lies in `folder` beside a lake and the remains of a write that was interrupted."""
    names = (child.name for child in sorted(folder.iterdir()))
    return [
        name
        for name in names
        if not (name in (LAKE, LAKE_OUT_OF_SAMPLE) and is_lake(folder / name))
        and not (name.startswith(".") and name.endswith(".tmp"))
    ]


def _name_some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
