"""Backtests on their own: one recording, and another that nothing was chosen on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from liqlab.backtest import FROZEN, Backtests, Frozen, MarketInputs, compare_out_of_sample, read_inputs
from liqlab.core import schema
from liqlab.core.progress import SILENT, Progress
from liqlab.core.time import MS_PER_MINUTE
from liqlab.lake import Lake
from liqlab.panel import find_scope
from liqlab.study._configuration import StudyConfig
from liqlab.study._predict import compute_symbol_regimes, stack_regimes
from liqlab.study._records import RunRecord
from liqlab.study._run import backtest, describe_origin
from liqlab.study._stages import Stages
from liqlab.study._writer import TableWriter


@dataclass(frozen=True)
class BacktestRecord(RunRecord):
    """Backtests of a recording; `frozen` is each strategy on other data with its parameters frozen, empty without."""

    backtests: Backtests
    frozen: tuple[Frozen, ...]


def compute_backtests(
    lake: Lake,
    tables: Path,
    config: StudyConfig | None = None,
    other: Lake | None = None,
    cut: str | None = None,
    progress: Progress = SILENT,
) -> BacktestRecord:
    """Every strategy on a lake, its tables in the folder `tables`, and with frozen parameters out of sample.

    Out of sample is the lake `other`, or with a time `cut` (ISO text, UTC) what comes from then on: the strategies are
    searched and traded before it alone. Raises what `run_study` raises, and `UserError` for a cut outside the data or
    an `other` that overlaps.
    """
    config = config or StudyConfig()
    stages = Stages(progress)
    inner = config if cut is None else replace(config, end=cut)
    with stages.stage("coverage"):
        scope = find_scope(lake, inner.symbols, inner.start_ms, inner.end_ms, inner.coverage)
    inputs = read_inputs(lake, scope, inner.cascades.resolve(), inner.assumed_delay_s)
    with stages.stage("regimes", len(scope.symbols)) as stage:
        minutes = {name: [_list_minute_prices(inputs, name)] for name in inputs.symbols}
        regimes = stack_regimes(compute_symbol_regimes(minutes, scope, inner, stage))
    backtests, rows = backtest(lake, scope, inner, tables, stages, regimes)
    frozen: tuple[Frozen, ...] = ()
    if other is not None or cut is not None:
        outer = config if cut is None else replace(config, start=cut)
        with stages.stage("out of sample"):
            frozen = compare_out_of_sample(backtests, inputs, _read_other(other or lake, outer))
        with TableWriter(tables) as writer:
            writer.append(FROZEN, _stack(frozen))
        rows |= dict(writer.rows)
    return BacktestRecord(
        **describe_origin(lake, inner, scope, []),
        not_testable=(),
        tables=tables,
        table_rows=rows,
        stages=tuple(stages.records),
        backtests=backtests,
        frozen=frozen,
    )


def _read_other(lake: Lake, config: StudyConfig) -> MarketInputs:
    scope = find_scope(lake, config.symbols, config.start_ms, config.end_ms, config.coverage)
    return read_inputs(lake, scope, config.cascades.resolve(), config.assumed_delay_s)


def _list_minute_prices(inputs: MarketInputs, symbol: str) -> pl.DataFrame:
    """The price known at each full minute, as `panel.list_minute_prices` has it: (time, price)."""
    first, last = -(-inputs.start_ms // MS_PER_MINUTE), inputs.end_ms // MS_PER_MINUTE
    times = pl.int_range(first, last + 1, eager=True) * MS_PER_MINUTE
    price = inputs.symbols[symbol].price_at(times.to_numpy())
    return pl.DataFrame({"time": times.cast(schema.TIME), "price": price}).with_columns(pl.col("price").fill_nan(None))


def _stack(frozen: tuple[Frozen, ...]) -> pl.DataFrame:
    """The frame FROZEN."""
    frames = [one.comparison.table.with_columns(variant=pl.lit(one.variant)).select(FROZEN.names) for one in frozen]
    return pl.concat([FROZEN.empty(), *frames])
