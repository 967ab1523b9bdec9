"""What a run was made from and what it made: `manifest.json`, and the line under every figure and text."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from liqlab import __version__
from liqlab.core.time import MS_PER_HOUR, format_time
from liqlab.lake import FileEntry, compute_data_hash
from liqlab.report._words import join_names, plural, span
from liqlab.study import BacktestRecord, RunRecord, StageRecord, Study

FORMAT = "liqlab-results"
RUNNING = "running"
COMPLETE = "complete"

#: As much of the data hash as a person compares.
_HASH_PREFIX = 12
_LIBRARIES = (
    "polars",
    "numpy",
    "numba",
    "pyarrow",
    "pandas",
    "scipy",
    "scikit-learn",
    "xgboost-cpu",
    "statsmodels",
    "arch",
    "hmmlearn",
    "optuna",
    "skfolio",
    "matplotlib",
    "msgspec",
    "isal",
    "zstandard",
)


def hash_prefix(study: RunRecord) -> str:
    """The beginning of the data hash, enough to tell data sets apart."""
    return compute_data_hash(study.files)[:_HASH_PREFIX]


def describe_origin(study: RunRecord) -> str:
    """Which data, which span, which version: one line for the foot of figures and texts."""
    names = ", ".join(source.rstrip("/").rsplit("/", 1)[-1] for source in study.sources) or "no source"
    return (
        f"Data: {names} ({plural(len(study.files), 'file')}, hash {hash_prefix(study)}); "
        f"{join_names(study.symbols)}; {span(study.start_ms, study.end_ms)}; liqlab {__version__}"
    )


def list_versions() -> dict[str, str]:
    """The versions of liqlab, Python and the libraries that computed the results."""
    versions = {"liqlab": __version__, "python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            versions[library] = "not installed"
    return versions


def build_manifest(
    record: RunRecord, command: str = "", stages: Sequence[StageRecord] = (), outputs: Sequence[str] = ()
) -> dict[str, Any]:
    """The content of `manifest.json`, as plain values; a whole study has more to say than features alone.

    `stages` are those before and after the record's own, in order; without any, the record's own. `outputs` are the
    files of this run, relative to the results folder. Counts of records are those of the whole lake, rows those of the
    tables.
    """
    stages = stages or record.stages
    return {
        "format": FORMAT,
        "status": COMPLETE,
        "command": command,
        "sources": list(record.sources),
        "data_hash": compute_data_hash(record.files),
        "symbols": list(record.symbols),
        "time_span": _time_span(record),
        "row_counts": dict(record.table_rows),
        "quarantined": sum(row.quarantined for row in record.reconciliation),
        "duplicates": sum(row.duplicates for row in record.reconciliation),
        "reconciliation": [{**asdict(row), "holds": row.holds} for row in record.reconciliation],
        **(_describe_study(record) if isinstance(record, Study) else {}),
        **({"number_of_trials": dict(record.backtests.trials)} if isinstance(record, BacktestRecord) else {}),
        "not_testable": [asdict(row) for row in record.not_testable],
        "config": record.config.as_dict(),
        "versions": list_versions(),
        "platform": platform.platform(),
        "stages": [asdict(stage) for stage in stages],
        "wall_time_s": sum(stage.seconds for stage in stages),
        "peak_memory_mb": max((stage.peak_memory_mb for stage in stages), default=None),
        "outputs": sorted(outputs),
        "input_files": [_describe_file(name, entry) for name, entry in sorted(record.files.items())],
    }


def _describe_study(study: Study) -> dict[str, Any]:
    config = study.config
    return {
        "coverage": {
            name: {
                "covered_hours": statistics.covered_hours,
                "covered_frac": statistics.covered_frac,
                "events_covered": statistics.events_covered,
            }
            for name, statistics in study.statistics.items()
        },
        "side_checks": {name: check.verdict for name, check in study.side_checks.items()},
        "number_of_trials": {
            "walk_forward": study.walk_forward.trials.height,
            "strategies": {} if study.backtests is None else dict(study.backtests.trials),
        },
        "seed": {
            "regimes": config.regimes.seed,
            "ic": config.ic.seed,
            "walk_forward": config.walk_forward.seed,
            "questions": config.questions.seed,
            "backtest": config.backtest.seed,
        },
    }


def _time_span(study: RunRecord) -> dict[str, Any]:
    return {
        "start": format_time(study.start_ms),
        "end": format_time(study.end_ms),
        "start_ms": study.start_ms,
        "end_ms": study.end_ms,
        "hours": (study.end_ms - study.start_ms) / MS_PER_HOUR,
    }


def _describe_file(name: str, entry: FileEntry) -> dict[str, Any]:
    return {
        "file": name,
        "sha256": entry.sha256,
        "bytes": entry.stamp[0],
        "lines": entry.lines,
        "read": entry.read,
        "quarantined": entry.quarantined,
        "other_lines": entry.other_lines,
    }
