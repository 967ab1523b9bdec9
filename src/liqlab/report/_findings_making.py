"""The end of the findings: how they were made, so that they can be made again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from liqlab.lake import compute_data_hash
from liqlab.report._manifest import list_versions
from liqlab.report._text import format_count, render_markdown_table
from liqlab.study import StageRecord, Study


def render_making(study: Study, command: str, stages: Sequence[StageRecord], outputs: Sequence[str]) -> str:
    """The last section of the findings: command, data, configuration, time and memory, files."""
    versions = ", ".join(f"{name} {number}" for name, number in list_versions().items())
    parts = [
        "## 11. How this was made",
        *([_block(command, "sh")] if command else []),
        f"Data hash (SHA-256 over names and content hashes of the capture files): `{compute_data_hash(study.files)}`. "
        f"Versions: {versions}. Random numbers (resampling, starts, trees) come from the seeds below: the same data "
        "and configuration give the same results.",
        "Configuration; as a file given with `--config` it repeats this run:",
        _block(render_toml(study.config.as_dict()), "toml"),
        *_stages(stages),
        *_files(study, outputs),
    ]
    return "\n\n".join(parts)


def render_toml(values: Mapping[str, Any]) -> str:
    """Plain values and tables of plain values as TOML; what is None is left out.

    >>> print(render_toml({"start": "2026-02-09", "end": None, "cascades": {"preset": "plan", "max_gap_s": 5.0}}))
    start = "2026-02-09"
    <BLANKLINE>
    [cascades]
    preset = "plan"
    max_gap_s = 5.0
    """
    plain = _assignments({key: value for key, value in values.items() if not isinstance(value, Mapping)})
    tables = (f"[{key}]\n{_assignments(value)}".rstrip() for key, value in values.items() if isinstance(value, Mapping))
    return "\n\n".join(filter(None, (plain, *tables)))


def _assignments(values: Mapping[str, Any]) -> str:
    return "\n".join(f"{key} = {json.dumps(value)}" for key, value in values.items() if value is not None)


def _block(text: str, language: str) -> str:
    return f"```{language}\n{text}\n```"


def _stages(stages: Sequence[StageRecord]) -> Iterator[str]:
    if stages:
        rows = [[stage.name, f"{stage.seconds:.1f}", format_count(stage.peak_memory_mb)] for stage in stages]
        total = sum(stage.seconds for stage in stages)
        rows.append(["sum", f"{total:.1f}", format_count(max(stage.peak_memory_mb for stage in stages))])
        yield render_markdown_table(["stage", "seconds", "peak memory so far (MB)"], rows, "lrr")


def _files(study: Study, outputs: Sequence[str]) -> Iterator[str]:
    if outputs:
        yield "Files of this run:"
        yield "\n".join(f"- `{name}`{_rows(study, name)}" for name in outputs)


def _rows(study: Study, name: str) -> str:
    table = name.removeprefix("tables/").removesuffix(".parquet")
    known = name.startswith("tables/") and table in study.table_rows
    return f": {format_count(study.table_rows[table])} rows" if known else ""
