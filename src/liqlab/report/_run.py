"""`run`: a source in, a results folder out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from liqlab.core.files import replacing
from liqlab.core.progress import SILENT, Progress
from liqlab.lake import IngestSummary, open_source
from liqlab.report._findings_backtest import say_summary
from liqlab.report._frozen_text import summarise_frozen
from liqlab.report._results import LAKE, LAKE_OUT_OF_SAMPLE
from liqlab.report._words import plural
from liqlab.report._write import prepare_results, write_backtests, write_features, write_report
from liqlab.study import (
    ALL,
    BacktestRecord,
    RunRecord,
    StageRecord,
    Study,
    StudyConfig,
    compute_backtests,
    compute_features,
    peak_memory_mb,
    run_study,
)

#: Folder inside RESULTS.
TABLES = "tables"


@dataclass(frozen=True)
class RunOutcome:
    """What a run did: the ingest (None when the source was a lake), the study, the files, and a summary in words."""

    ingest: IngestSummary | None
    study: Study
    files: tuple[Path, ...]
    summary: tuple[str, ...]

    @property
    def reconciled(self) -> bool:
        """Whether every record read is kept, quarantined or a duplicate."""
        return all(row.holds for row in self.study.reconciliation)


@dataclass(frozen=True)
class FeatureOutcome:
    """What `run_features` did: the ingest (None when the source was a lake), the record of the features, the files."""

    ingest: IngestSummary | None
    record: RunRecord
    files: tuple[Path, ...]


@dataclass(frozen=True)
class BacktestOutcome:
    """What `run_backtests` did: the ingest (None when the source was a lake), the record, the files."""

    ingest: IngestSummary | None
    record: BacktestRecord
    files: tuple[Path, ...]

    @property
    def summary(self) -> tuple[str, ...]:
        """What came out, in a few sentences."""
        return (*say_summary(self.record.backtests), *summarise_frozen(self.record.frozen))


def run(
    source: Path | str,
    results: Path | str,
    *,
    lake: Path | str | None = None,
    config: StudyConfig | None = None,
    csv: bool = False,
    workers: int | None = None,
    progress: Progress = SILENT,
    command: str = "",
) -> RunOutcome:
    """Everything from a capture folder or lake into the folder `results`: tables, statistics, figures, findings.

    A capture folder is ingested into `lake`, by default `results/lake`; on the next run only what changed is parsed.
    With `csv` each table is written as .csv too. `command` is what the manifest says made the results. Raises
    `ResultsError` for a non-empty folder that liqlab did not make, and what `ingest` and `run_study` raise.
    """
    folder = Path(results)
    prepare_results(folder)
    begin = time.perf_counter()
    home = Path(lake) if lake is not None else folder / LAKE
    with open_source(Path(source), home, workers, progress) as (opened, ingested):
        stages = [StageRecord("ingest", time.perf_counter() - begin, peak_memory_mb())]
        study = run_study(opened, config, folder / TABLES, progress)
    _remove_stale_tables(folder / TABLES, study)
    if csv:
        _write_csv(folder / TABLES, progress)
    files = write_report(study, folder, command, progress, stages)
    return RunOutcome(ingested, study, tuple(files), tuple(_summarise(study, folder)))


def run_features(
    source: Path | str,
    results: Path | str,
    *,
    lake: Path | str | None = None,
    config: StudyConfig | None = None,
    csv: bool = False,
    workers: int | None = None,
    progress: Progress = SILENT,
    command: str = "",
) -> FeatureOutcome:
    """Features, labels and the dictionary of the features of a source, into the folder `results`; see `run`."""
    folder = Path(results)
    prepare_results(folder)
    begin = time.perf_counter()
    home = Path(lake) if lake is not None else folder / LAKE
    with open_source(Path(source), home, workers, progress) as (opened, ingested):
        stages = [StageRecord("ingest", time.perf_counter() - begin, peak_memory_mb())]
        record = compute_features(opened, folder / TABLES, config, progress)
    _remove_stale_tables(folder / TABLES, record)
    if csv:
        _write_csv(folder / TABLES, progress)
    return FeatureOutcome(ingested, record, tuple(write_features(record, folder, command, stages)))


def run_backtests(
    source: Path | str,
    results: Path | str,
    *,
    lake: Path | str | None = None,
    config: StudyConfig | None = None,
    other: Path | str | None = None,
    cut: str | None = None,
    csv: bool = False,
    workers: int | None = None,
    progress: Progress = SILENT,
    command: str = "",
) -> BacktestOutcome:
    """The backtests of a source into the folder `results`, and frozen out of sample; see `run`.

    Out of sample is the source `other` (captures are ingested into `results/lake-oos`), or what comes from the time
    `cut` on.
    """
    folder = Path(results)
    prepare_results(folder)
    begin = time.perf_counter()
    home = Path(lake) if lake is not None else folder / LAKE
    with ExitStack() as stack:
        opened, ingested = stack.enter_context(open_source(Path(source), home, workers, progress))
        second = None
        if other is not None:
            second, _ = stack.enter_context(open_source(Path(other), folder / LAKE_OUT_OF_SAMPLE, workers, progress))
        stages = [StageRecord("ingest", time.perf_counter() - begin, peak_memory_mb())]
        record = compute_backtests(opened, folder / TABLES, config, second, cut, progress)
    _remove_stale_tables(folder / TABLES, record)
    if csv:
        _write_csv(folder / TABLES, progress)
    return BacktestOutcome(ingested, record, tuple(write_backtests(record, folder, command, stages, progress)))


def _remove_stale_tables(tables: Path, study: RunRecord) -> None:
    """Tables that this run did not write are not its results."""
    for path in (*tables.glob("*.parquet"), *tables.glob("*.csv"), *tables.glob(".*.tmp")):
        if path.suffix != ".parquet" or path.stem not in study.table_rows:
            path.unlink()


def _write_csv(tables: Path, progress: Progress) -> None:
    paths = sorted(tables.glob("*.parquet"))
    progress.start("tables as .csv", len(paths))
    for path in paths:
        with replacing(path.with_suffix(".csv")) as temporary:
            pl.scan_parquet(path).sink_csv(temporary)
        progress.advance()
    progress.finish()


def _summarise(study: Study, folder: Path) -> Iterator[str]:
    check = study.side_checks[ALL]
    if check.verdict == "contradicted":
        yield f"WARNING: the sides look swapped: {check.reason}"
    cascades, preset = plural(study.cascades.height, "cascade"), study.config.cascades.resolve().name
    yield f"{cascades} ({preset}) in {plural(len(study.symbols), 'symbol')}"
    if study.not_testable:
        yield f"{len(study.not_testable)} things this data cannot answer: see the findings"
    yield f"read first: {folder / 'FINDINGS_v26_liquidations.md'}"
