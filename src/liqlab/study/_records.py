"""What a study gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from liqlab.backtest import Backtests
from liqlab.lake import FileEntry, Reconciliation
from liqlab.models import IcResult, WalkForwardResult
from liqlab.panel import SideCheck, SymbolStatistics
from liqlab.regimes import RegimeResult
from liqlab.study._configuration import StudyConfig
from liqlab.study._inference import Answer

#: Stands for all symbols together.
ALL = "ALL"


@dataclass(frozen=True)
class NotTestable:
    """Something that the data cannot answer, and why."""

    what: str
    reason: str


@dataclass(frozen=True)
class StageRecord:
    """Wall time of a stage, and the highest memory of the process up to its end."""

    name: str
    seconds: float
    peak_memory_mb: float


@dataclass(frozen=True)
class RunRecord:
    """What was made from which data: common to every command that writes results.

    `tables` is the folder of the Parquet tables, None when none were asked for; `table_rows` counts the rows of each.
    The span is [start_ms, end_ms), whole hours. `feature_dictionary` says what each feature is and how much of it there
    is.
    """

    config: StudyConfig
    symbols: tuple[str, ...]
    start_ms: int
    end_ms: int
    sources: tuple[str, ...]
    files: Mapping[str, FileEntry]
    reconciliation: tuple[Reconciliation, ...]
    feature_dictionary: pl.DataFrame
    not_testable: tuple[NotTestable, ...]
    tables: Path | None
    table_rows: Mapping[str, int]
    stages: tuple[StageRecord, ...]


@dataclass(frozen=True)
class Study(RunRecord):
    """Everything that the report needs, beside the tables on disk.

    `liquidations`, `cascades`, `coverage` and `quarantine` are tables of `core.schema`; `prices` has the ticker price
    (mark, else last) known at each full minute (its event_time and known_time) and less than a minute old then.
    `example_prices` is the ticker around the largest cascades. `statistics` and `side_checks` are by symbol, `ALL`
    included; `ticker_interval_ms` by symbol, None without a ticker. `regimes` are by symbol; `ic` and `walk_forward`
    are what features say of the future. `answers` are those of the seven questions, with their exploratory tables and
    notes, `backtests` those of the strategies (None when none were asked for), `verdicts` the records of
    `verdicts.json`; none when no claim was tested. `scorecard` are the records of `scorecard.json`, one for each
    success criterion.
    """

    ticker_interval_ms: Mapping[str, int | None]
    liquidations: pl.DataFrame
    cascades: pl.DataFrame
    coverage: pl.DataFrame
    quarantine: pl.DataFrame
    prices: pl.DataFrame
    example_prices: pl.DataFrame
    bars_1m: pl.DataFrame
    open_interest_basis: Mapping[str, int]
    ratio_rows: int
    statistics: Mapping[str, SymbolStatistics]
    side_checks: Mapping[str, SideCheck]
    regimes: Mapping[str, RegimeResult]
    ic: IcResult
    walk_forward: WalkForwardResult
    answers: tuple[Answer, ...]
    backtests: Backtests | None
    verdicts: tuple[dict[str, Any], ...]
    scorecard: tuple[dict[str, Any], ...]

    @property
    def question_tables(self) -> Mapping[str, pl.DataFrame]:
        """The exploratory tables of all answers, by name."""
        return {name: table for answer in self.answers for name, table in answer.tables.items()}
