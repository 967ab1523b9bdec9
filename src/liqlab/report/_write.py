"""All files of a run, the manifest last."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from liqlab.backtest import Backtests
from liqlab.core.errors import EnvironmentFailure
from liqlab.core.files import write_text
from liqlab.core.progress import SILENT, Progress
from liqlab.report._backtest_text import render_backtest
from liqlab.report._dictionary_text import render_feature_dictionary
from liqlab.report._figures_backtest import list_backtest_figures
from liqlab.report._findings import BACKTEST_FINDINGS, FINDINGS, render_backtest_findings, render_findings
from liqlab.report._findings_captions import ReportFigure, list_figures
from liqlab.report._findings_predictive import DICTIONARY
from liqlab.report._frozen_text import render_frozen
from liqlab.report._ic_text import render_ic
from liqlab.report._manifest import build_manifest, describe_origin
from liqlab.report._results import (
    MANIFEST,
    is_results,
    mark_running,
    prepare_results,
    remove_stale,
    write_manifest,
)
from liqlab.report._stats_text import render_statistics
from liqlab.report._style import save_figure
from liqlab.study import (
    ALL,
    SCORECARD_FILE,
    VERDICTS_FILE,
    BacktestRecord,
    RunRecord,
    StageRecord,
    Study,
    peak_memory_mb,
)

#: Frozen parameters on other data.
FROZEN_TEXT = "liquidations_backtest_out_of_sample.txt"

__all__ = ["is_results", "prepare_results", "render_study_statistics", "write_backtests", "write_report"]


def write_report(
    study: Study,
    folder: Path,
    command: str = "",
    progress: Progress = SILENT,
    stages: Sequence[StageRecord] = (),
) -> list[Path]:
    """Write findings, statistics, figures and the manifest of `study` into `folder`; the paths, the manifest last.

    `stages` are those before the study, such as the ingest; the study's own and the report's follow them. Each file is
    replaced whole, the manifest last: while it does not say `complete`, the folder is between two runs. What earlier
    runs made and this one does not (statistics of other symbols, say) is removed. Raises `EnvironmentFailure` when the
    disk or permissions refuse.
    """
    figures = list_figures(study)
    texts = render_study_statistics(study) | render_predictive_texts(study) | render_backtest_texts(study)
    records = {SCORECARD_FILE: study.scorecard} | ({VERDICTS_FILE: study.verdicts} if study.verdicts else {})
    for name, rows in records.items():
        texts[name] = json.dumps(list(rows), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    outputs = [FINDINGS, *texts, *(figure.file for figure in figures), *_list_tables(study, folder)]
    done = [*stages, *study.stages]
    try:
        mark_running(folder, outputs)
        with _stage(progress, "figures", len(figures), done):
            _draw(study, folder, figures, progress)
        for file, text in texts.items():
            write_text(folder / file, text)
        write_text(folder / FINDINGS, render_findings(study, figures, command, done, [*outputs, MANIFEST]))
        remove_stale(folder, outputs)
        write_manifest(folder, build_manifest(study, command, done, outputs))
    except OSError as error:
        raise EnvironmentFailure(f"cannot write {error.filename or folder}: {error.strerror or error}") from error
    return [folder / name for name in (*outputs, MANIFEST)]


def write_backtests(
    record: BacktestRecord,
    folder: Path,
    command: str = "",
    stages: Sequence[StageRecord] = (),
    progress: Progress = SILENT,
) -> list[Path]:
    """Write texts, figures, the findings on the backtests and the manifest of `record` into `folder`; the paths.

    `stages` and what becomes of earlier files: see `write_report`.
    """
    figures, origin = list_backtest_figures(record.backtests), describe_origin(record)
    texts = _render_backtests(record.backtests, record.symbols, origin)
    if record.frozen:
        texts[FROZEN_TEXT] = render_frozen(record.frozen)
    outputs = [BACKTEST_FINDINGS, *texts, *(figure.file for figure in figures), *_list_tables(record, folder)]
    done = [*stages, *record.stages]
    try:
        mark_running(folder, outputs)
        with _stage(progress, "figures", len(figures), done):
            _draw(record, folder, figures, progress)
        for file, text in texts.items():
            write_text(folder / file, text)
        write_text(folder / BACKTEST_FINDINGS, render_backtest_findings(record, figures, command, done, outputs))
        remove_stale(folder, outputs)
        write_manifest(folder, build_manifest(record, command, done, outputs))
    except OSError as error:
        raise EnvironmentFailure(f"cannot write {error.filename or folder}: {error.strerror or error}") from error
    return [folder / name for name in (*outputs, MANIFEST)]


def write_features(
    record: RunRecord, folder: Path, command: str = "", stages: Sequence[StageRecord] = ()
) -> list[Path]:
    """Write the dictionary of the features and the manifest of `record` into `folder`, beside its tables; the paths.

    `stages` and what becomes of earlier files: see `write_report`.
    """
    outputs = [DICTIONARY, *_list_tables(record, folder)]
    try:
        mark_running(folder, outputs)
        text = render_feature_dictionary(record.feature_dictionary, describe_origin(record))
        write_text(folder / DICTIONARY, text)
        remove_stale(folder, outputs)
        write_manifest(folder, build_manifest(record, command, [*stages, *record.stages], outputs))
    except OSError as error:
        raise EnvironmentFailure(f"cannot write {error.filename or folder}: {error.strerror or error}") from error
    return [folder / name for name in (*outputs, MANIFEST)]


def render_study_statistics(study: Study) -> dict[str, str]:
    """File name to text of the statistics of each symbol and of `ALL`, which begins with all symbols side by side."""
    origin = describe_origin(study)
    columns = [study.statistics[name].published for name in (*study.symbols, ALL)]
    return {
        f"liquidations_stats_{name}.txt": render_statistics(
            study.statistics[name], study.side_checks[name], origin, columns if name == ALL else ()
        )
        for name in (*study.symbols, ALL)
    }


def render_predictive_texts(study: Study) -> dict[str, str]:
    """File name to text of the information coefficients of each symbol and of `ALL`, and of the feature dictionary."""
    origin, found = describe_origin(study), study.ic
    texts = {
        f"liquidations_ic_{name}.txt": render_ic(
            found.table, found.daily, found.comparison, name, study.feature_dictionary, origin, found.notes
        )
        for name in (*study.symbols, ALL)
    }
    return texts | {DICTIONARY: render_feature_dictionary(study.feature_dictionary, origin)}


def render_backtest_texts(study: Study) -> dict[str, str]:
    """File name to text of the backtests of each symbol and of `ALL`; none where none was run."""
    return {} if study.backtests is None else _render_backtests(study.backtests, study.symbols, describe_origin(study))


def _render_backtests(backtests: Backtests, symbols: Sequence[str], origin: str) -> dict[str, str]:
    names = (*symbols, ALL)
    return {f"liquidations_backtest_{name}.txt": render_backtest(backtests, name, origin) for name in names}


def _list_tables(study: RunRecord, folder: Path) -> list[str]:
    """The tables of the study as names inside `folder`; none when they were written elsewhere, or not at all."""
    if study.tables is None or study.tables.resolve() != (folder / "tables").resolve():
        return []
    names = (f"{name}.{ending}" for name in study.table_rows for ending in ("parquet", "csv"))
    return [f"tables/{name}" for name in names if (study.tables / name).exists()]


def _draw(study: RunRecord, folder: Path, figures: Sequence[ReportFigure], progress: Progress) -> None:
    footer = describe_origin(study)
    for figure in figures:
        save_figure(figure.plot(), folder / figure.file, footer)
        progress.advance()


@contextmanager
def _stage(progress: Progress, name: str, total: int, done: list[StageRecord]) -> Iterator[None]:
    begin = time.perf_counter()
    progress.start(name, total)
    try:
        yield
    finally:
        progress.finish()
    done.append(StageRecord(name, time.perf_counter() - begin, peak_memory_mb()))
