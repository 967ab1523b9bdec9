"""The tables of all backtests together: those of one run, with the variant beside the strategy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from liqlab.backtest._breakdown import BREAKDOWN
from liqlab.backtest._capacity import CAPACITY
from liqlab.backtest._ledger import EQUITY, FILLS, TRADES
from liqlab.backtest._metrics import make_metrics_frame
from liqlab.backtest._metrics_record import METRICS
from liqlab.backtest._out_of_sample import OUT_OF_SAMPLE
from liqlab.backtest._portfolio import PORTFOLIO_RETURNS, PORTFOLIO_WEIGHTS, PORTFOLIOS
from liqlab.backtest._search_tables import CHOICES
from liqlab.backtest._sizing_comparison import SIZING
from liqlab.backtest._surface import SURFACE
from liqlab.backtest._trials import TRIALS
from liqlab.core.schema import COUNT, FLOAT, TIME, Column, Table

if TYPE_CHECKING:
    from liqlab.backtest._backtests import Backtests, StrategyRun

_STRATEGY = Column("strategy", pl.String(), "", "the strategy")
_VARIANT = Column("variant", pl.String(), "", "`default`, `scaled`, `out of fold`, `chosen in sample` or `benchmark`")

BENCHMARKS = Table(
    "backtest_benchmarks",
    "the trades of one strategy beside those of chance",
    (
        _STRATEGY,
        _VARIANT,
        Column(
            "benchmark",
            pl.String(),
            "",
            "`random entries`: as many trades, as long, on the same sides, at random moments; "
            "`random sides`: the same orders, each on a random side",
        ),
        Column("n_draws", COUNT, "", "draws that traded"),
        Column("mean_net_bps", FLOAT, "bps", "mean over draws of the mean net result of a trade"),
        Column("draws_low", FLOAT, "bps", "2.5 % of the draws lie below"),
        Column("draws_high", FLOAT, "bps", "2.5 % of the draws lie above"),
        Column("own_mean_net_bps", FLOAT, "bps", "mean net result of a trade of the strategy"),
        Column("better_frac", FLOAT, "probability", "share of draws at least as good, the strategy itself counted"),
    ),
)

EXAMPLES = Table(
    "backtest_examples",
    "a price around one example trade: the largest gain and the largest loss of each strategy",
    (
        _STRATEGY,
        _VARIANT,
        Column("trade", COUNT, "", "number of the trade in its ledger"),
        Column("time", TIME, "ms UTC", "when the price was known"),
        Column("price", FLOAT, "USD", "mark, else last price"),
    ),
)


def by_variant(table: Table) -> Table:
    """A table of one run as a table of many: strategy and variant come first."""
    rest = tuple(column for column in table.columns if column.name != _STRATEGY.name)
    return replace(table, columns=(_STRATEGY, _VARIANT, *rest))


_OF_RUNS = {table.name: by_variant(table) for table in (TRADES, FILLS, EQUITY, METRICS, BREAKDOWN, CAPACITY)}

#: Every table that backtests leave behind.
BACKTEST_TABLES: tuple[Table, ...] = (
    *_OF_RUNS.values(),
    BENCHMARKS,
    CHOICES,
    TRIALS,
    SURFACE,
    SIZING,
    PORTFOLIOS,
    PORTFOLIO_WEIGHTS,
    PORTFOLIO_RETURNS,
    EXAMPLES,
)


#: The table of a comparison with other data.
FROZEN = by_variant(OUT_OF_SAMPLE)


def list_tables(backtests: Backtests) -> Iterator[tuple[Table, pl.DataFrame]]:
    """Each table with what declares it; an empty one where there is nothing."""
    for table in BACKTEST_TABLES:
        yield table, pl.concat([table.empty(), *_list_frames(backtests, table)])


def _list_frames(backtests: Backtests, table: Table) -> Iterator[pl.DataFrame]:
    if table.name in _OF_RUNS:
        yield from (_as_table(run, table, frame) for run in backtests.runs for frame in _frames_of(run, table.name))
    elif table is BENCHMARKS:
        yield from (run.benchmarks for run in backtests.runs)
    elif table is EXAMPLES:
        yield backtests.examples
    elif table is SIZING:
        yield backtests.sizing
    elif table in (CHOICES, TRIALS, SURFACE):
        for search in backtests.searches.values():
            yield {CHOICES.name: search.choices, TRIALS.name: search.trials, SURFACE.name: search.surface.table}[
                table.name
            ]
    elif backtests.portfolio is not None:
        found = backtests.portfolio
        yield {
            PORTFOLIOS.name: found.summary,
            PORTFOLIO_WEIGHTS.name: found.weights,
            PORTFOLIO_RETURNS.name: found.returns,
        }[table.name]


def _frames_of(run: StrategyRun, name: str) -> Iterator[pl.DataFrame]:
    """The frames of one run that belong to a table."""
    if name == METRICS.name:
        yield make_metrics_frame(run.metrics, run.strategy)
        yield from (make_metrics_frame(metrics, run.strategy, symbol) for symbol, metrics in run.by_symbol.items())
        return
    ledger = run.ledger
    yield {
        TRADES.name: ledger.trades,
        FILLS.name: ledger.fills,
        EQUITY.name: run.equity,
        BREAKDOWN.name: run.breakdown,
        CAPACITY.name: run.capacity.curve,
    }[name]


def _as_table(run: StrategyRun, table: Table, frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(strategy=pl.lit(run.strategy), variant=pl.lit(run.variant)).select(table.names)
