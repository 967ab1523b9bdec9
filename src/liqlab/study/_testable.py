"""What the data at hand cannot answer, said before anybody asks it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from liqlab.core.time import MS_PER_DAY, MS_PER_S
from liqlab.features import ColumnNote
from liqlab.panel import SymbolStatistics
from liqlab.study._records import ALL, NotTestable

#: Least observed days for claims on hours and sessions, least weeks for claims on weekdays and weekends.
_DAYS_FOR_HOURS = 5
_WEEKS_FOR_WEEKDAYS = 4


def list_not_testable(
    statistics: Mapping[str, SymbolStatistics],
    ticker_interval_ms: Mapping[str, int | None],
    price_max_age_s: float,
    ratio_rows: int,
) -> tuple[NotTestable, ...]:
    """What cannot be answered, each with the reason; symbols with the same reason share a row."""
    return (
        *_prices(ticker_interval_ms, price_max_age_s),
        *_delays(statistics),
        *_patterns(statistics[ALL]),
        *_ratios(ratio_rows),
    )


def list_empty_columns(notes: Iterable[ColumnNote]) -> tuple[NotTestable, ...]:
    """Features and labels without a single value, each with the reason; those with the same reason share a row."""
    columns: dict[tuple[str, str], list[str]] = {}
    for note in notes:
        if note.n_times and not note.n_values:
            columns.setdefault((note.symbol, note.note), []).append(note.column)
    symbols: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (symbol, reason), names in columns.items():
        symbols.setdefault((reason, tuple(names)), []).append(symbol)
    return tuple(
        NotTestable(f"{_join(names)} of {_join(of)}", reason.removeprefix("no value: "))
        for (reason, names), of in symbols.items()
    )


def _prices(intervals: Mapping[str, int | None], max_age_s: float) -> Iterator[NotTestable]:
    absent = [symbol for symbol, interval in intervals.items() if interval is None]
    if absent:
        yield NotTestable(
            f"anything that needs prices or open interest of {_join(absent)}", "the source holds no ticker of it"
        )
    coarse: dict[int, list[str]] = {}
    for symbol, interval in intervals.items():
        if interval is not None and interval > max_age_s * MS_PER_S:
            coarse.setdefault(round(interval / MS_PER_S), []).append(symbol)
    for seconds, symbols in coarse.items():
        reason = f"ticker prices of {_join(symbols)} come every {seconds:,} s"
        yield NotTestable("displacement of the price by a cascade, at confirmation and at its end", reason)
        yield NotTestable(f"price moves and recovery within {seconds:,} s of a liquidation", reason)
        yield NotTestable("delay between a liquidation and the next price tick", reason)


def _delays(statistics: Mapping[str, SymbolStatistics]) -> Iterator[NotTestable]:
    unrecorded = [s for s, found in statistics.items() if s != ALL and found.capture_recorded is False]
    if unrecorded:
        yield NotTestable(
            f"delivery delays of {_join(unrecorded)}",
            "every row has the same delay from event to capture, so the recording kept no capture time of its own; "
            "known times may be too early by the real delay (`assumed_delay_s` sets one)",
        )
    unpushed = [
        s for s, found in statistics.items() if s != ALL and found.published.events and not found.event_to_push.n
    ]
    if unpushed:
        yield NotTestable(f"delay from event to push of {_join(unpushed)}", "the recording kept no push time")


def _patterns(everything: SymbolStatistics) -> Iterator[NotTestable]:
    days = everything.covered_hours / 24
    if days < _DAYS_FOR_HOURS:
        yield NotTestable(
            "differences between hours of the day or sessions",
            f"{days:.1f} covered days; at least {_DAYS_FOR_HOURS} are needed",
        )
    if everything.span_start_ms is not None and everything.span_end_ms is not None:
        days = (everything.span_end_ms - everything.span_start_ms) / MS_PER_DAY
    if days < 7 * _WEEKS_FOR_WEEKDAYS:
        yield NotTestable(
            "differences between weekdays or weekends",
            f"a span of {days:.1f} days; at least {_WEEKS_FOR_WEEKDAYS} weekends are needed",
        )


def _ratios(rows: int) -> Iterator[NotTestable]:
    if not rows:
        yield NotTestable("anything that needs the long/short ratio", "the source holds none")


def _join(symbols: Iterable[str]) -> str:
    return ", ".join(symbols)
