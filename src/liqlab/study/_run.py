"""The run: from a lake to everything that can be said about it, symbol by symbol and day by day."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from liqlab.cascades import attach_prices, detect_cascades
from liqlab.core import schema
from liqlab.core.progress import SILENT, Progress
from liqlab.lake import Lake
from liqlab.panel import (
    Scope,
    SideCheck,
    SymbolStatistics,
    check_sides,
    compute_statistics,
    find_scope,
    read_known_liquidations,
    select_intervals,
)
from liqlab.sources import sort_rows
from liqlab.study._configuration import StudyConfig
from liqlab.study._records import ALL, StageRecord, Study
from liqlab.study._testable import list_not_testable
from liqlab.study._walk import Gathered, SymbolWalk
from liqlab.study._writer import TableWriter


class _Stages:
    """Names, times and memory of the stages, told to `progress` as they go."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.records: list[StageRecord] = []

    @contextmanager
    def stage(self, name: str, total: int = 0) -> Iterator[Progress]:
        begin = time.perf_counter()
        self.progress.start(name, total)
        try:
            yield self.progress
        finally:
            self.progress.finish()
        self.records.append(StageRecord(name, time.perf_counter() - begin, peak_memory_mb()))


def peak_memory_mb() -> float:
    """Highest resident memory of this process so far, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def run_study(
    lake: Lake, config: StudyConfig | None = None, tables: Path | None = None, progress: Progress = SILENT
) -> Study:
    """Everything that liqlab says about a lake; with a folder `tables` also the tables, as Parquet.

    Raises `UserError` for a symbol that is not there and `SourceError` when the span holds no row.
    """
    config = config or StudyConfig()
    stages = _Stages(progress)
    with stages.stage("coverage"):
        scope = find_scope(lake, config.symbols, config.start_ms, config.end_ms, config.coverage)
    with stages.stage("cascades", len(scope.symbols)) as stage:
        by_symbol, detected = _detect(lake, config, scope, stage)
    gathered = Gathered()
    with TableWriter(tables) as writer:
        with stages.stage("bars and dataset", len(scope.symbols) * len(scope.days_ms)) as stage:
            near, ratio_rows = {}, 0
            for symbol in scope.symbols:
                walk = SymbolWalk(lake, symbol, config, scope, by_symbol[symbol], detected[symbol])
                near[symbol] = walk.run(writer, gathered, stage)
                ratio_rows += walk.ratio.height
        liquidations, quarantine = _concatenate(by_symbol), lake.read_quarantine()
        cascades = _attach(detected, pl.concat(gathered.near_cascades), scope.coverage, config)
        writer.append(schema.LIQUIDATIONS, liquidations)
        writer.append(schema.COVERAGE, scope.coverage)
        writer.append(schema.CASCADES, cascades)
        writer.append(schema.QUARANTINE, quarantine)
    with stages.stage("statistics", len(scope.symbols) + 1) as stage:
        statistics, side_checks = _describe(lake, config, scope, liquidations, near, stage)
    with stages.stage("reconciliation"):
        reconciliation = tuple(lake.reconcile())
    intervals = scope.ticker_interval_ms
    return Study(
        config=config,
        symbols=scope.symbols,
        start_ms=scope.start_ms,
        end_ms=scope.end_ms,
        sources=tuple(lake.sources),
        files=lake.files,
        reconciliation=reconciliation,
        ticker_interval_ms=intervals,
        liquidations=liquidations,
        cascades=cascades,
        coverage=scope.coverage,
        quarantine=quarantine,
        prices=pl.concat(gathered.prices),
        example_prices=pl.concat(gathered.examples),
        bars_1m=pl.concat(gathered.bars_1m),
        open_interest_basis=dict(gathered.basis),
        ratio_rows=ratio_rows,
        statistics=statistics,
        side_checks=side_checks,
        not_testable=list_not_testable(statistics, intervals, config.cascades.price_max_age_s, ratio_rows),
        tables=tables,
        table_rows=dict(writer.rows),
        stages=tuple(stages.records),
    )


def _detect(
    lake: Lake, config: StudyConfig, scope: Scope, stage: Progress
) -> tuple[dict[str, pl.DataFrame], dict[str, pl.DataFrame]]:
    """Liquidations and cascades of each symbol."""
    by_symbol, detected = {}, {}
    for symbol in scope.symbols:
        by_symbol[symbol] = read_known_liquidations(lake, symbol, scope, config.assumed_delay_s)
        detected[symbol] = detect_cascades(by_symbol[symbol], config.cascades.resolve())
        stage.advance()
    return by_symbol, detected


def _attach(
    detected: Mapping[str, pl.DataFrame], prices: pl.DataFrame, coverage: pl.DataFrame, config: StudyConfig
) -> pl.DataFrame:
    frames = [schema.CASCADES.empty()]
    for symbol, cascades in detected.items():
        intervals = select_intervals(coverage, symbol)
        recorder = pl.DataFrame({"start": intervals.start_ms, "end": intervals.end_ms}).cast(schema.TIME)
        frames.append(attach_prices(cascades, prices.filter(pl.col("symbol") == symbol), recorder, config.cascades))
    return pl.concat(frames).sort("confirmed", "symbol", maintain_order=True)


def _concatenate(by_symbol: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    return sort_rows(pl.concat([schema.LIQUIDATIONS.empty(), *by_symbol.values()]))


def _describe(
    lake: Lake,
    config: StudyConfig,
    scope: Scope,
    liquidations: pl.DataFrame,
    prices: Mapping[str, pl.DataFrame],
    stage: Progress,
) -> tuple[dict[str, SymbolStatistics], dict[str, SideCheck]]:
    """Statistics and side check of each symbol and of `ALL`; `prices` is the ticker near liquidations, by symbol."""
    statistics: dict[str, SymbolStatistics] = {}
    checks: dict[str, SideCheck] = {}
    everywhere = pl.concat(prices.values())
    for symbol in (*prices, ALL):
        rows = liquidations if symbol == ALL else liquidations.filter(pl.col("symbol") == symbol)
        near = everywhere if symbol == ALL else prices[symbol]
        statistics[symbol] = compute_statistics(
            rows,
            scope.coverage,
            near,
            symbol=symbol,
            n_files=_count_files(lake, None if symbol == ALL else symbol),
            start_ms=scope.start_ms,
            end_ms=scope.end_ms,
            ticker_interval_ms=scope.ticker_interval_ms,
        )
        checks[symbol] = check_sides(rows, near, config.side_check, scope.ticker_interval_ms)
        stage.advance()
    return statistics, checks


def _count_files(lake: Lake, symbol: str | None) -> int:
    """Capture files that hold liquidations (of `symbol`)."""
    prefix = "liquidations/" if symbol is None else f"liquidations/{symbol}/"
    return sum(any(key.startswith(prefix) for key in entry.partitions) for entry in lake.files.values())
