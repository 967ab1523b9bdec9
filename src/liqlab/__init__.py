"""liqlab: a laboratory for forced liquidations on crypto perpetual futures.

The public face: the steps of `liqlab run` as functions. Everything is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from liqlab.cascades import CascadeConfig, StreamDetector, detect_cascades, get_preset, label_liquidations
    from liqlab.lake import (
        Lake,
        ingest,
        load_liquidations,
        load_long_short_ratio,
        load_quarantine,
        load_ticker,
    )
    from liqlab.panel import compute_bars, compute_coverage, compute_statistics, join_dataset
    from liqlab.report import run
    from liqlab.sources import parse_line
    from liqlab.study import StudyConfig, load_study_config, run_study
    from liqlab.worlds import simulate

#: Public name to the folder that owns it.
_OWNERS = {
    "CascadeConfig": "liqlab.cascades",
    "Lake": "liqlab.lake",
    "StreamDetector": "liqlab.cascades",
    "StudyConfig": "liqlab.study",
    "compute_bars": "liqlab.panel",
    "compute_coverage": "liqlab.panel",
    "compute_statistics": "liqlab.panel",
    "detect_cascades": "liqlab.cascades",
    "get_preset": "liqlab.cascades",
    "ingest": "liqlab.lake",
    "join_dataset": "liqlab.panel",
    "label_liquidations": "liqlab.cascades",
    "load_liquidations": "liqlab.lake",
    "load_long_short_ratio": "liqlab.lake",
    "load_quarantine": "liqlab.lake",
    "load_study_config": "liqlab.study",
    "load_ticker": "liqlab.lake",
    "parse_line": "liqlab.sources",
    "run": "liqlab.report",
    "run_study": "liqlab.study",
    "simulate": "liqlab.worlds",
}

__all__ = [
    "CascadeConfig",
    "Lake",
    "StreamDetector",
    "StudyConfig",
    "__version__",
    "compute_bars",
    "compute_coverage",
    "compute_statistics",
    "detect_cascades",
    "get_preset",
    "ingest",
    "join_dataset",
    "label_liquidations",
    "load_liquidations",
    "load_long_short_ratio",
    "load_quarantine",
    "load_study_config",
    "load_ticker",
    "parse_line",
    "run",
    "run_study",
    "simulate",
]


def __getattr__(name: str) -> Any:
    if name in _OWNERS:
        return getattr(import_module(_OWNERS[name]), name)
    raise AttributeError(f"module 'liqlab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
