"""The end of the findings: how they were made, so that they can be made again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from liqlab.lake import compute_data_hash
from liqlab.report._manifest import list_versions
from liqlab.report._text import format_count, render_markdown_table
from liqlab.study import RunRecord, StageRecord


def render_making(
    record: RunRecord, command: str, stages: Sequence[StageRecord], outputs: Sequence[str], heading: str
) -> str:
    """The last section of the findings: command, data, configuration, time and memory, files."""
    versions = ", ".join(f"{name} {number}" for name, number in list_versions().items())
    parts = [
        heading,
        *([_block(command, "sh")] if command else []),
        f"Data hash (SHA-256 over names and content hashes of the capture files): `{compute_data_hash(record.files)}`. "
        f"Versions: {versions}. Random numbers (resampling, starts, trees) come from the seeds below: the same data "
        "and configuration give the same results.",
        "Configuration; as a file given with `--config` it repeats this run:",
        _block(render_toml(record.config.as_dict()), "toml"),
        *_stages(stages),
        *_files(record, outputs),
    ]
    return "\n\n".join(parts)


def render_toml(values: Mapping[str, Any]) -> str:
    """Plain values and tables of them as TOML, tables in tables by dotted names; what is None is left out.

    >>> print(render_toml({"start": "2026-02-09", "end": None, "cascades": {"preset": "plan", "max_gap_s": 5.0}}))
    start = "2026-02-09"
    <BLANKLINE>
    [cascades]
    preset = "plan"
    max_gap_s = 5.0
    """
    return "\n\n".join(_list_blocks(values, ""))


def _list_blocks(values: Mapping[str, Any], name: str) -> Iterator[str]:
    """The plain values of a table under its name, then the tables in it."""
    plain = [f"{key} = {json.dumps(value)}" for key, value in values.items() if _is_plain(value)]
    tables = {key: value for key, value in values.items() if isinstance(value, Mapping)}
    if plain or (name and not tables):
        yield "\n".join([f"[{name}]", *plain] if name else plain)
    for key, value in tables.items():
        yield from _list_blocks(value, f"{name}.{key}" if name else key)


def _is_plain(value: Any) -> bool:
    return value is not None and not isinstance(value, Mapping)


def _block(text: str, language: str) -> str:
    return f"```{language}\n{text}\n```"


def _stages(stages: Sequence[StageRecord]) -> Iterator[str]:
    if stages:
        rows = [[stage.name, f"{stage.seconds:.1f}", format_count(stage.peak_memory_mb)] for stage in stages]
        total = sum(stage.seconds for stage in stages)
        rows.append(["sum", f"{total:.1f}", format_count(max(stage.peak_memory_mb for stage in stages))])
        yield render_markdown_table(["stage", "seconds", "peak memory so far (MB)"], rows, "lrr")


def _files(record: RunRecord, outputs: Sequence[str]) -> Iterator[str]:
    if outputs:
        yield "Files of this run:"
        yield "\n".join(f"- `{name}`{_rows(record, name)}" for name in outputs)


def _rows(record: RunRecord, name: str) -> str:
    table = name.removeprefix("tables/").removesuffix(".parquet")
    known = name.startswith("tables/") and table in record.table_rows
    return f": {format_count(record.table_rows[table])} rows" if known else ""
