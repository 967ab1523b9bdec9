"""The run: from a lake to everything that can be said about it, symbol by symbol and day by day."""

from __future__ import annotations

import resource
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.cascades import attach_prices, detect_cascades
from liqlab.core import schema
from liqlab.core.errors import SourceError
from liqlab.core.progress import SILENT, Progress
from liqlab.core.schema import BAR_WIDTHS_MS, BARS
from liqlab.core.time import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE, MS_PER_S, format_time
from liqlab.lake import Lake
from liqlab.panel import (
    SideCheck,
    SymbolStatistics,
    check_sides,
    compute_bars,
    compute_coverage,
    compute_statistics,
    join_dataset,
    measure_ticker_interval_ms,
    select_intervals,
)
from liqlab.study._configuration import StudyConfig
from liqlab.study._records import ALL, StageRecord, Study
from liqlab.study._testable import list_not_testable
from liqlab.study._writer import TableWriter

_ORDER = ("known_time", "event_time", "position", "source_file", "source_line")
_PRICE_COLUMNS = ("symbol", "known_time", "mark_price", "last_price")
#: Ticker kept around each liquidation for statistics: the longest horizon asked for.
_HORIZON_MS = MS_PER_MINUTE
#: Cascades whose surroundings are kept for the picture, and how much of them.
N_EXAMPLES = 6
#: A longer span of which a smaller share of the days holds rows is taken for a wrong clock.
_LONGEST_SPAN_DAYS, _LEAST_DAYS_FRAC = 400, 0.1
_EXAMPLE_BEFORE_MS = 5 * MS_PER_MINUTE
_EXAMPLE_AFTER_MS = 10 * MS_PER_MINUTE


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


@dataclass
class _Gathered:
    """What the days of all symbols leave behind."""

    prices: list[pl.DataFrame] = field(default_factory=list)
    near_cascades: list[pl.DataFrame] = field(default_factory=list)
    examples: list[pl.DataFrame] = field(default_factory=lambda: [schema.TICKER.empty()])
    bars_1m: list[pl.DataFrame] = field(default_factory=list)
    basis: Counter[str] = field(default_factory=Counter)


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
    symbols = lake.check_symbols(config.symbols)
    with stages.stage("coverage"):
        first_rows = {symbol: _first_ticker_rows(lake, symbol) for symbol in lake.symbols()}
        intervals = {symbol: measure_ticker_interval_ms(first_rows[symbol]) for symbol in symbols}
        by_exchange = _interval_by_exchange(first_rows.values())
        delivered = compute_coverage(lake.read_deliveries(), config.coverage, by_exchange)
        coverage = _clip(delivered, config)
    with stages.stage("cascades", len(symbols)) as stage:
        by_symbol = {symbol: _read_liquidations(lake, symbol, config) for symbol in symbols}
        detected = {}
        for symbol, rows in by_symbol.items():
            detected[symbol] = detect_cascades(rows, config.cascades.resolve())
            stage.advance()
    start_ms, end_ms = _span(lake, config, symbols)
    gathered = _Gathered()
    reach_ms = _reach_ms(config, max((interval or 0 for interval in intervals.values()), default=0))
    ratio_rows = 0
    with TableWriter(tables) as writer:
        near_liquidations: dict[str, pl.DataFrame] = {}
        n_days = -(-end_ms // MS_PER_DAY) - start_ms // MS_PER_DAY
        with stages.stage("bars and dataset", len(symbols) * n_days) as stage:
            for symbol in symbols:
                walk = _SymbolWalk(
                    lake, symbol, config, intervals[symbol], coverage, by_symbol[symbol], detected[symbol], reach_ms
                )
                near_liquidations[symbol] = walk.run(start_ms, end_ms, writer, gathered, stage)
                ratio_rows += walk.ratio.height
        with stages.stage("price of cascades"):
            cascades = _attach(detected, pl.concat(gathered.near_cascades), coverage, config)
        liquidations = _concatenate(by_symbol)
        writer.append(schema.LIQUIDATIONS, liquidations)
        writer.append(schema.COVERAGE, coverage)
        writer.append(schema.CASCADES, cascades)
        quarantine = lake.read_quarantine()
        writer.append(schema.QUARANTINE, quarantine)
    with stages.stage("statistics", len(symbols) + 1) as stage:
        statistics, side_checks = _describe(
            lake, config, liquidations, near_liquidations, coverage, intervals, (start_ms, end_ms), stage
        )
    with stages.stage("reconciliation"):
        reconciliation = tuple(lake.reconcile())
    return Study(
        config=config,
        symbols=tuple(symbols),
        start_ms=start_ms,
        end_ms=end_ms,
        sources=tuple(lake.sources),
        files=lake.files,
        reconciliation=reconciliation,
        ticker_interval_ms=intervals,
        liquidations=liquidations,
        cascades=cascades,
        coverage=coverage,
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


class _SymbolWalk:
    """One symbol, day after day, with the ticker rows that reach over midnight carried along."""

    def __init__(
        self,
        lake: Lake,
        symbol: str,
        config: StudyConfig,
        interval_ms: int | None,
        coverage: pl.DataFrame,
        liquidations: pl.DataFrame,
        cascades: pl.DataFrame,
        reach_ms: int,
    ) -> None:
        self.symbol, self.config, self.interval_ms, self.coverage = symbol, config, interval_ms, coverage
        self.liquidations = liquidations
        self.ratio = lake.read_long_short_ratio(symbol)
        self._days = lake.iterate_ticker(symbol, config.start_ms, config.end_ms)
        self._known_ms = liquidations["known_time"].to_physical().to_numpy()
        self._windows = _cascade_windows(cascades, config.cascades.price_max_age_s)
        self._example_windows = _example_windows(cascades)
        self._reach_ms = reach_ms
        self._carry_ms = round(1e3 * config.dataset.open_interest_lag_s) + self._reach_ms

    def run(
        self, start_ms: int, end_ms: int, writer: TableWriter, gathered: _Gathered, stage: Progress
    ) -> pl.DataFrame:
        """Write the tables of every day; gives the prices near liquidations, for the statistics."""
        near = [schema.TICKER.empty().select(_PRICE_COLUMNS)]
        before = schema.TICKER.empty()
        writer.append(schema.LONG_SHORT_RATIO, self.ratio)
        for day_ms, ticker in self._all_days(start_ms, end_ms):
            writer.append(schema.TICKER, ticker)
            first, last = max(start_ms, day_ms), min(end_ms, day_ms + MS_PER_DAY)
            self._write_bars(first, last, pl.concat([before, ticker]), writer, gathered)
            gathered.basis.update(_count_basis(ticker))
            prices = ticker.select(_PRICE_COLUMNS)
            gathered.near_cascades.append(prices.filter(_inside(prices, *self._windows)))
            gathered.examples.append(ticker.filter(_inside(ticker, *self._example_windows)))
            around = (self._known_ms - self._reach_ms, self._known_ms + self._reach_ms)
            near.append(prices.filter(_inside(prices, *around)))
            if ticker.height:
                kept_from = pl.lit(last - self._carry_ms, pl.Int64).cast(schema.TIME)
                before = pl.concat([before, ticker]).filter(pl.col("known_time") >= kept_from)
            stage.advance()
        return pl.concat(near)

    def _all_days(self, start_ms: int, end_ms: int) -> Iterator[tuple[int, pl.DataFrame]]:
        pending = next(self._days, None)
        for day_ms in range(start_ms // MS_PER_DAY * MS_PER_DAY, end_ms, MS_PER_DAY):
            if pending is not None and pending[0] == day_ms:
                yield pending
                pending = next(self._days, None)
            else:
                yield day_ms, schema.TICKER.empty()

    def _write_bars(
        self, start_ms: int, end_ms: int, ticker: pl.DataFrame, writer: TableWriter, gathered: _Gathered
    ) -> None:
        for width in BAR_WIDTHS_MS:
            bars = compute_bars(self.liquidations, width, start_ms, end_ms, [self.symbol], self.coverage)
            writer.append(BARS[width], bars)
            if width == "1m":
                gathered.bars_1m.append(bars)
            if width == "5s":
                interval = {self.symbol: self.interval_ms}
                dataset = join_dataset(bars, ticker, self.ratio, self.config.dataset, interval)
                writer.append(schema.DATASET, dataset)
                gathered.prices.append(_minute_prices(dataset))


def _read_liquidations(lake: Lake, symbol: str, config: StudyConfig) -> pl.DataFrame:
    rows = lake.read_liquidations(symbol, config.start_ms, config.end_ms)
    if config.assumed_delay_s is None:
        return rows
    delay = pl.duration(milliseconds=round(config.assumed_delay_s * MS_PER_S))
    known = (pl.col("event_time") + delay).cast(schema.TIME)
    return rows.with_columns(known_time=known).sort(_ORDER, maintain_order=True)


def _first_ticker_rows(lake: Lake, symbol: str, enough: int = 1_000) -> pl.DataFrame:
    """The first rows of a symbol's ticker, whatever span is asked for: its typical interval is measured on them."""
    span = lake.span("ticker", symbol)
    if span is None:
        return schema.TICKER.empty()
    hours = 1
    while True:
        end_ms = span[0] + hours * MS_PER_HOUR
        rows = lake.read_ticker(symbol, end_ms=end_ms)
        if rows.height > enough or end_ms > span[1]:
            return rows
        hours *= 8


def _interval_by_exchange(first_rows: Iterable[pl.DataFrame]) -> dict[str, int | None]:
    """Shortest typical ticker interval of each exchange: the liveliest symbol bears witness for its recorder."""
    found: dict[str, int | None] = {}
    for rows in first_rows:
        for (exchange,), own in rows.partition_by("exchange", as_dict=True).items():
            interval, known = measure_ticker_interval_ms(own), found.get(exchange)
            found[exchange] = interval if known is None or (interval is not None and interval < known) else known
    return found


def _clip(coverage: pl.DataFrame, config: StudyConfig) -> pl.DataFrame:
    """Coverage inside the span asked for: what was left out on purpose must not look like silence."""
    start = pl.lit(config.start_ms, pl.Int64).cast(schema.TIME)
    end = pl.lit(config.end_ms, pl.Int64).cast(schema.TIME)
    clipped = coverage.with_columns(start=pl.max_horizontal("start", start), end=pl.min_horizontal("end", end))
    return clipped.filter(pl.col("start") < pl.col("end"))


def _span(lake: Lake, config: StudyConfig, symbols: list[str]) -> tuple[int, int]:
    """Whole hours around everything known of the symbols, inside the span asked for."""
    spans = [span for symbol in symbols for table in ("liquidations", "ticker") if (span := lake.span(table, symbol))]
    if not spans:
        raise SourceError("the source holds neither liquidations nor ticker of the symbols asked for")
    first, last = min(span[0] for span in spans), max(span[1] for span in spans)
    start = first if config.start_ms is None else max(first, config.start_ms)
    end = last + 1 if config.end_ms is None else min(last + 1, config.end_ms)
    if start >= end:
        raise SourceError(
            f"nothing in the span asked for; the data reaches from {format_time(first)} to {format_time(last)} UTC"
        )
    _check_plausible(lake, start, end)
    return start // MS_PER_HOUR * MS_PER_HOUR, -(-end // MS_PER_HOUR) * MS_PER_HOUR


def _check_plausible(lake: Lake, start_ms: int, end_ms: int) -> None:
    """A single row with a wrong clock must not make years of empty bars."""
    runs = lake.read_deliveries().filter((pl.col("last_ms") >= start_ms) & (pl.col("first_ms") < end_ms))
    days = {
        day
        for first, last in runs.select("first_ms", "last_ms").rows()
        for day in range(first // MS_PER_DAY, last // MS_PER_DAY + 1)
    }
    span_days = (end_ms - start_ms) / MS_PER_DAY
    if span_days > _LONGEST_SPAN_DAYS and len(days) < _LEAST_DAYS_FRAC * span_days:
        raise SourceError(
            f"rows reach from {format_time(start_ms)} to {format_time(end_ms)} UTC but fall on {len(days):,} days, "
            "most likely by a wrong clock; give the real span with --start and --end"
        )


def _reach_ms(config: StudyConfig, interval_ms: int) -> int:
    """How far from a moment a price may lie and still be needed: window or horizon, plus tolerance."""
    window = max(_HORIZON_MS, round(1e3 * config.side_check.window_s), interval_ms)
    tolerance = max(3 * interval_ms, round(1e3 * config.side_check.price_tolerance_s))
    return window + max(tolerance, round(1e3 * (config.dataset.ticker_tolerance_s or 0.0)), 15 * MS_PER_S)


def _cascade_windows(cascades: pl.DataFrame, max_age_s: float) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    max_age_ms = round(1e3 * max_age_s) + 1
    return (
        cascades["first_known"].to_physical().to_numpy() - max_age_ms,
        cascades["ended"].to_physical().to_numpy(),
    )


def _example_windows(cascades: pl.DataFrame) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The surroundings of a symbol's largest cascades, by notional and by number."""
    orders = ("notional_usd", "n_liquidations")
    largest = pl.concat(cascades.sort(by, descending=True, maintain_order=True).head(N_EXAMPLES) for by in orders)
    return (
        largest["first_known"].to_physical().to_numpy() - _EXAMPLE_BEFORE_MS,
        largest["ended"].to_physical().to_numpy() + _EXAMPLE_AFTER_MS,
    )


def _inside(rows: pl.DataFrame, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> pl.Series:
    """Which rows were known inside one of the windows [start, end]."""
    known = rows["known_time"].to_physical().to_numpy()
    opened = np.searchsorted(np.sort(starts), known, side="right")
    closed = np.searchsorted(np.sort(ends), known, side="left")
    return pl.Series(opened > closed)


def _minute_prices(dataset: pl.DataFrame) -> pl.DataFrame:
    on_minute = pl.col("time").to_physical() % MS_PER_MINUTE == 0
    priced = pl.col("mark_price").is_not_null() | pl.col("last_price").is_not_null()
    fresh = pl.col("ticker_age_s") < MS_PER_MINUTE / MS_PER_S
    time = pl.col("time")
    return dataset.filter(on_minute & priced & fresh).select(
        "symbol", time.alias("event_time"), time.alias("known_time"), *_PRICE_COLUMNS[2:]
    )


def _count_basis(ticker: pl.DataFrame) -> dict[str, int]:
    counts = ticker["open_interest_basis"].drop_nulls().value_counts()
    return dict(counts.iter_rows())


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
    return pl.concat([schema.LIQUIDATIONS.empty(), *by_symbol.values()]).sort(_ORDER, maintain_order=True)


def _describe(
    lake: Lake,
    config: StudyConfig,
    liquidations: pl.DataFrame,
    prices: Mapping[str, pl.DataFrame],
    coverage: pl.DataFrame,
    intervals: Mapping[str, int | None],
    span: tuple[int, int],
    stage: Progress,
) -> tuple[dict[str, SymbolStatistics], dict[str, SideCheck]]:
    statistics: dict[str, SymbolStatistics] = {}
    checks: dict[str, SideCheck] = {}
    everywhere = pl.concat(prices.values())
    for symbol in (*prices, ALL):
        rows = liquidations if symbol == ALL else liquidations.filter(pl.col("symbol") == symbol)
        near = everywhere if symbol == ALL else prices[symbol]
        statistics[symbol] = compute_statistics(
            rows,
            coverage,
            near,
            symbol=symbol,
            n_files=_count_files(lake, None if symbol == ALL else symbol),
            start_ms=span[0],
            end_ms=span[1],
            ticker_interval_ms=intervals,
        )
        checks[symbol] = check_sides(rows, near, config.side_check, intervals)
        stage.advance()
    return statistics, checks


def _count_files(lake: Lake, symbol: str | None) -> int:
    """Capture files that hold liquidations (of `symbol`)."""
    prefix = "liquidations/" if symbol is None else f"liquidations/{symbol}/"
    return sum(any(key.startswith(prefix) for key in entry.partitions) for entry in lake.files.values())
