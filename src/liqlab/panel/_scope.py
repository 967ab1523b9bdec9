"""What is looked at: the symbols, the span, when the recorder listened, how often the ticker came."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from liqlab.core import schema
from liqlab.core.errors import SourceError
from liqlab.core.time import MS_PER_DAY, MS_PER_HOUR, format_time
from liqlab.lake import Recording
from liqlab.panel._coverage import CoverageConfig, compute_coverage
from liqlab.panel._prices import measure_ticker_interval_ms

#: A longer span of which a smaller share of the days holds rows is taken for a wrong clock.
_LONGEST_SPAN_DAYS, _LEAST_DAYS_FRAC = 400, 0.1


@dataclass(frozen=True)
class Scope:
    """The symbols and the span [start_ms, end_ms), whole hours, that are looked at.

    `ticker_interval_ms` is by symbol, None without a ticker; `coverage` is the table of that name, clipped to the span
    that was asked for, which is [asked_start_ms, asked_end_ms), None where it was left open.
    """

    symbols: tuple[str, ...]
    start_ms: int
    end_ms: int
    ticker_interval_ms: Mapping[str, int | None]
    coverage: pl.DataFrame
    asked_start_ms: int | None = None
    asked_end_ms: int | None = None

    @property
    def days_ms(self) -> range:
        """The midnight that begins each day of the span."""
        return range(self.start_ms // MS_PER_DAY * MS_PER_DAY, self.end_ms, MS_PER_DAY)


def find_scope(
    lake: Recording,
    symbols: Sequence[str] | None = None,
    start_ms: int | None = None,
    end_ms: int | None = None,
    coverage: CoverageConfig | None = None,
) -> Scope:
    """The scope of a lake: all of it, or what is asked for.

    `UserError` for a symbol that is not there, `SourceError` when the span holds no row.
    """
    names = lake.check_symbols(symbols)
    first_rows = {symbol: _first_ticker_rows(lake, symbol) for symbol in lake.symbols()}
    by_exchange = _interval_by_exchange(first_rows.values())
    intervals = compute_coverage(lake.read_deliveries(), coverage, by_exchange)
    return Scope(
        tuple(names),
        *_span(lake, names, start_ms, end_ms),
        {symbol: measure_ticker_interval_ms(first_rows[symbol]) for symbol in names},
        _clip(intervals, start_ms, end_ms),
        start_ms,
        end_ms,
    )


def _first_ticker_rows(lake: Recording, symbol: str, enough: int = 1_000) -> pl.DataFrame:
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


def _clip(coverage: pl.DataFrame, start_ms: int | None, end_ms: int | None) -> pl.DataFrame:
    """Coverage inside the span asked for: what was left out on purpose must not look like silence."""
    start = pl.lit(start_ms, pl.Int64).cast(schema.TIME)
    end = pl.lit(end_ms, pl.Int64).cast(schema.TIME)
    clipped = coverage.with_columns(start=pl.max_horizontal("start", start), end=pl.min_horizontal("end", end))
    return clipped.filter(pl.col("start") < pl.col("end"))


def _span(lake: Recording, symbols: list[str], start_ms: int | None, end_ms: int | None) -> tuple[int, int]:
    """Whole hours around everything known of the symbols, inside the span asked for."""
    spans = [span for symbol in symbols for table in ("liquidations", "ticker") if (span := lake.span(table, symbol))]
    if not spans:
        raise SourceError("the source holds neither liquidations nor ticker of the symbols asked for")
    first, last = min(span[0] for span in spans), max(span[1] for span in spans)
    start = first if start_ms is None else max(first, start_ms)
    end = last + 1 if end_ms is None else min(last + 1, end_ms)
    if start >= end:
        raise SourceError(
            f"nothing in the span asked for; the data reaches from {format_time(first)} to {format_time(last)} UTC"
        )
    _check_plausible(lake, start, end)
    return start // MS_PER_HOUR * MS_PER_HOUR, -(-end // MS_PER_HOUR) * MS_PER_HOUR


def _check_plausible(lake: Recording, start_ms: int, end_ms: int) -> None:
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
