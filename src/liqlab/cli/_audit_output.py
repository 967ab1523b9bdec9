"""What the parts of `liqlab audit` have in common: exit code and report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

#: Exit code of an audit that found something.
FOUND = 1


def write_report(path: Path, content: dict[str, Any]) -> None:
    """Write a report as JSON; `EnvironmentFailure` when the place cannot be written to."""
    import json

    from liqlab.core.errors import EnvironmentFailure
    from liqlab.core.files import write_text

    try:
        write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    except OSError as error:
        raise EnvironmentFailure(f"cannot write {path}: {error.strerror}; choose another -o") from error
