"""The run: from a lake to everything that can be said about it, symbol by symbol and day by day."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from liqlab.backtest import Backtests, TrialLedger, list_tables
from liqlab.cascades import attach_prices, detect_cascades
from liqlab.core import schema
from liqlab.core.progress import SILENT, Progress
from liqlab.features import FEATURE_DICTIONARY, ColumnNote, describe_features, feature_table, iterate_features
from liqlab.lake import Lake
from liqlab.panel import (
    PanelDay,
    Scope,
    SideCheck,
    SymbolStatistics,
    check_sides,
    compute_statistics,
    find_scope,
    read_known_liquidations,
    select_intervals,
    walk_days,
)
from liqlab.regimes import RegimeResult, list_transitions
from liqlab.sources import sort_rows
from liqlab.study._backtest import backtest_recording, judge_strategies
from liqlab.study._configuration import StudyConfig
from liqlab.study._evidence import Evidence, EvidenceBuilder
from liqlab.study._inference import Answer
from liqlab.study._predict import NO_PREDICTION, compute_symbol_regimes, predict, stack_regimes
from liqlab.study._protocol import verdicts_to_json
from liqlab.study._questions import answer_all, judge_answers
from liqlab.study._records import ALL, RunRecord, Study
from liqlab.study._run_tables import list_answer_tables
from liqlab.study._scorecard import compute_scorecard, scorecard_to_json
from liqlab.study._stages import Stages
from liqlab.study._testable import list_empty_columns, list_not_testable
from liqlab.study._walk import Gathered, Gatherer, write_day
from liqlab.study._writer import TableWriter

#: In the folder of the tables: what was ever tried for each strategy.
TRIALS_FOLDER = "trials"


def run_study(
    lake: Lake, config: StudyConfig | None = None, tables: Path | None = None, progress: Progress = SILENT
) -> Study:
    """Everything that liqlab says about a lake; with a folder `tables` also the tables, as Parquet.

    Raises `UserError` for a symbol that is not there and `SourceError` when the span holds no row.
    """
    config = config or StudyConfig()
    if tables is not None:
        return _run(lake, config, tables, progress)
    with tempfile.TemporaryDirectory(prefix="liqlab-") as folder:
        return replace(_run(lake, config, Path(folder), progress), tables=None)


def describe_study(lake: Lake, config: StudyConfig | None = None, progress: Progress = SILENT) -> Study:
    """What `run_study` says of the past alone: no features, no coefficients, no forecasts, no claims, no backtests, no
    tables.

    Raises what `run_study` raises.
    """
    return _run(lake, replace(config or StudyConfig(), test_claims=False), None, progress)


def compute_features(
    lake: Lake, tables: Path, config: StudyConfig | None = None, progress: Progress = SILENT
) -> RunRecord:
    """Features and labels of a lake as Parquet tables in the folder `tables`, and the dictionary of the features.

    Raises what `run_study` raises.
    """
    config = config or StudyConfig()
    stages, notes = Stages(progress), list[ColumnNote]()
    with stages.stage("coverage"):
        scope = find_scope(lake, config.symbols, config.start_ms, config.end_ms, config.coverage)
    with (
        TableWriter(tables) as writer,
        stages.stage("features", len(scope.symbols) * len(scope.days_ms)) as stage,
    ):
        for day in iterate_features(
            lake,
            scope,
            preset=config.cascades.resolve(),
            config=config.features,
            assumed_delay_s=config.assumed_delay_s,
            dataset=config.dataset,
            notes=notes,
        ):
            writer.append(feature_table(config.features.features), day.features)
            writer.append(schema.LABELS, day.labels)
            stage.advance()
        writer.append(FEATURE_DICTIONARY, describe_features(notes))
    return RunRecord(
        **describe_origin(lake, config, scope, notes),
        not_testable=list_empty_columns(notes),
        tables=tables,
        table_rows=dict(writer.rows),
        stages=tuple(stages.records),
    )


def describe_origin(lake: Lake, config: StudyConfig, scope: Scope, notes: list[ColumnNote]) -> dict[str, Any]:
    """The fields of a `RunRecord` that say what it was made from."""
    return {
        "config": config,
        "symbols": scope.symbols,
        "start_ms": scope.start_ms,
        "end_ms": scope.end_ms,
        "sources": tuple(lake.sources),
        "files": lake.files,
        "reconciliation": tuple(lake.reconcile()),
        "feature_dictionary": describe_features(notes),
    }


def _run(lake: Lake, config: StudyConfig, tables: Path | None, progress: Progress) -> Study:
    """The study; without a folder for its tables it describes and does not predict."""
    stages = Stages(progress)
    with stages.stage("coverage"):
        scope = find_scope(lake, config.symbols, config.start_ms, config.end_ms, config.coverage)
    with stages.stage("cascades", len(scope.symbols)) as stage:
        by_symbol, detected = _detect(lake, config, scope, stage)
    liquidations, quarantine = _concatenate(by_symbol), lake.read_quarantine()
    with TableWriter(tables) as writer:
        with stages.stage("bars, dataset and features", len(scope.symbols) * len(scope.days_ms)) as stage:
            gathered, evidence, notes = _walk(lake, config, scope, by_symbol, detected, writer, stage)
        ratio_rows = _write_ratios(lake, scope, writer)
        with stages.stage("regimes", len(scope.symbols)) as stage:
            regimes = compute_symbol_regimes(gathered.minute_prices, scope, config, stage)
        cascades = _attach(detected, gathered, regimes, scope.coverage, config)
        for table, frame in (
            (schema.LIQUIDATIONS, liquidations),
            (schema.COVERAGE, scope.coverage),
            (schema.CASCADES, cascades),
            (schema.QUARANTINE, quarantine),
            (schema.REGIMES, stack_regimes(regimes)),
            (schema.REGIME_TRANSITIONS, list_transitions(stack_regimes(regimes))),
            (FEATURE_DICTIONARY, describe_features(notes)),
        ):
            writer.append(table, frame)
    rows = dict(writer.rows)
    with stages.stage("statistics", len(scope.symbols) + 1) as stage:
        near = {symbol: pl.concat(frames) for symbol, frames in gathered.near.items()}
        statistics, side_checks = _describe(lake, config, scope, liquidations, near, stage)
    answers: tuple[Answer, ...] = ()
    if config.test_claims:
        states = {symbol: result.table for symbol, result in regimes.items()}
        answers, answer_rows = _answer(evidence.finish(by_symbol, cascades, states), config, tables, stages)
        rows |= answer_rows
    prediction, backtests = NO_PREDICTION, None
    if tables is not None:
        prediction = predict(lake, tables, regimes, scope, config, stages.timed)
        if config.test_strategies:
            predictions = prediction.walk_forward.predictions
            backtests, backtest_rows = backtest(
                lake, scope, config, tables, stages, stack_regimes(regimes), predictions
            )
            rows |= backtest_rows
    rows |= {table.name: frame.height for table, frame in prediction.tables}
    with stages.stage("reconciliation"):
        origin = describe_origin(lake, config, scope, notes)
    intervals = scope.ticker_interval_ms
    study = Study(
        **origin,
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
        regimes=regimes,
        ic=prediction.ic,
        walk_forward=prediction.walk_forward,
        answers=answers,
        backtests=backtests,
        verdicts=_judge(answers, backtests, config, scope) if answers else (),
        scorecard=(),
        not_testable=(
            *list_not_testable(statistics, intervals, config.cascades.price_max_age_s, ratio_rows),
            *list_empty_columns(notes),
        ),
        tables=tables,
        table_rows=rows,
        stages=tuple(stages.records),
    )
    return replace(study, scorecard=tuple(scorecard_to_json(compute_scorecard(study))))


def backtest(
    lake: Lake,
    scope: Scope,
    config: StudyConfig,
    tables: Path,
    stages: Stages,
    regimes: pl.DataFrame | None = None,
    predictions: pl.DataFrame | None = None,
) -> tuple[Backtests, dict[str, int]]:
    """The backtests, and the rows of their tables, written into the folder `tables`; what was tried is kept there."""
    trials = TrialLedger(tables / TRIALS_FOLDER)
    with stages.timed("backtests") as progress, TableWriter(tables) as writer:
        found = backtest_recording(lake, scope, config, trials, regimes, predictions, progress)
        for table, frame in list_tables(found):
            writer.append(table, frame)
    return found, dict(writer.rows)


def _judge(
    answers: tuple[Answer, ...], backtests: Backtests | None, config: StudyConfig, scope: Scope
) -> tuple[dict[str, Any], ...]:
    strategies = judge_strategies(backtests, config.questions, scope)
    return tuple(verdicts_to_json(judge_answers(answers, strategies)))


def _answer(
    evidence: Evidence, config: StudyConfig, tables: Path | None, stages: Stages
) -> tuple[tuple[Answer, ...], dict[str, int]]:
    """The answers to the questions, and the rows of their tables, written into the folder `tables`."""
    with stages.timed("questions") as progress, TableWriter(tables) as writer:
        answers = answer_all(evidence, config.questions, progress)
        for table, frame in list_answer_tables(answers):
            writer.append(table, frame)
    return answers, dict(writer.rows)


def _walk(
    lake: Lake,
    config: StudyConfig,
    scope: Scope,
    liquidations: Mapping[str, pl.DataFrame],
    cascades: Mapping[str, pl.DataFrame],
    writer: TableWriter,
    stage: Progress,
) -> tuple[Gathered, EvidenceBuilder, list[ColumnNote]]:
    """Every symbol's days: their tables to disk, what is needed later kept."""
    gatherer, evidence = Gatherer(config, scope, liquidations, cascades), EvidenceBuilder(scope)
    notes = list[ColumnNote]()
    for panel in _list_days(lake, config, scope, liquidations, writer, notes):
        gatherer.add(panel)
        if config.test_claims:
            evidence.add(panel)
        stage.advance()
    return gatherer.gathered, evidence, notes


def _list_days(
    lake: Lake,
    config: StudyConfig,
    scope: Scope,
    liquidations: Mapping[str, pl.DataFrame],
    writer: TableWriter,
    notes: list[ColumnNote],
) -> Iterator[PanelDay]:
    """Every symbol's days, written as they come; features only where something is written."""
    if writer.folder is None:
        for symbol in scope.symbols:
            ratio = lake.read_long_short_ratio(symbol)
            yield from walk_days(lake, symbol, scope, liquidations[symbol], ratio, config.dataset)
        return
    for day in iterate_features(
        lake,
        scope,
        liquidations=liquidations,
        preset=config.cascades.resolve(),
        config=config.features,
        dataset=config.dataset,
        notes=notes,
    ):
        write_day(writer, day, config.features.features)
        yield day.panel


def _write_ratios(lake: Lake, scope: Scope, writer: TableWriter) -> int:
    writer.append(schema.LONG_SHORT_RATIO, schema.LONG_SHORT_RATIO.empty())
    for symbol in scope.symbols:
        writer.append(schema.LONG_SHORT_RATIO, lake.read_long_short_ratio(symbol))
    return writer.rows[schema.LONG_SHORT_RATIO.name]


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
    detected: Mapping[str, pl.DataFrame],
    gathered: Gathered,
    regimes: Mapping[str, RegimeResult],
    coverage: pl.DataFrame,
    config: StudyConfig,
) -> pl.DataFrame:
    prices = pl.concat(gathered.near_cascades)
    frames = [schema.CASCADES.empty()]
    for symbol, cascades in detected.items():
        intervals = select_intervals(coverage, symbol)
        recorder = pl.DataFrame({"start": intervals.start_ms, "end": intervals.end_ms}).cast(schema.TIME)
        own = prices.filter(pl.col("symbol") == symbol)
        frames.append(attach_prices(cascades, own, recorder, config.cascades, regimes[symbol].table))
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
