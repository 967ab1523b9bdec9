"""One symbol day after day: its ticker, its bars, the joined dataset; memory does not grow with the span."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import polars as pl

from liqlab.core import schema
from liqlab.core.schema import BAR_WIDTHS_MS, TIME
from liqlab.core.time import MS_PER_DAY, MS_PER_S
from liqlab.lake import Recording
from liqlab.panel._bars import compute_bars
from liqlab.panel._dataset import DatasetConfig, join_dataset, reach_ms
from liqlab.panel._scope import Scope
from liqlab.sources import sort_rows


@dataclass(frozen=True)
class PanelDay:
    """One symbol's part [start_ms, end_ms) of one day (UTC): tables of `core.schema`.

    `ticker` holds the rows known in it, `bars` the bars by width (`1s` to `1h`), `dataset` the 5-second bars with what
    was known at each.
    """

    symbol: str
    start_ms: int
    end_ms: int
    ticker: pl.DataFrame
    bars: Mapping[str, pl.DataFrame]
    dataset: pl.DataFrame


def read_known_liquidations(
    lake: Recording, symbol: str, scope: Scope, assumed_delay_s: float | None = None
) -> pl.DataFrame:
    """Liquidations of a symbol in the scope, in order of known time.

    With `assumed_delay_s` they count as known that long after their event, whatever the capture says: for recordings
    that kept no capture time.
    """
    rows = lake.read_liquidations(symbol, scope.asked_start_ms, scope.asked_end_ms)
    if assumed_delay_s is None:
        return rows
    delay = pl.duration(milliseconds=round(assumed_delay_s * MS_PER_S))
    return sort_rows(rows.with_columns(known_time=(pl.col("event_time") + delay).cast(TIME)))


def walk_days(
    lake: Recording,
    symbol: str,
    scope: Scope,
    liquidations: pl.DataFrame,
    ratio: pl.DataFrame,
    config: DatasetConfig | None = None,
) -> Iterator[PanelDay]:
    """Every day of the scope for one symbol, those without a row included, in order.

    `liquidations` and `ratio` are the symbol's tables; ticker rows that are still usable after midnight are carried
    along.
    """
    config = config or DatasetConfig()
    carry_ms = reach_ms(config, scope.ticker_interval_ms.get(symbol))
    before = schema.TICKER.empty()
    for day_ms, ticker in _all_days(lake, symbol, scope):
        start_ms, end_ms = max(scope.start_ms, day_ms), min(scope.end_ms, day_ms + MS_PER_DAY)
        usable = pl.concat([before, ticker])
        bars = {
            width: compute_bars(liquidations, width, start_ms, end_ms, [symbol], scope.coverage)
            for width in BAR_WIDTHS_MS
        }
        dataset = join_dataset(bars["5s"], usable, ratio, config, scope.ticker_interval_ms)
        yield PanelDay(symbol, start_ms, end_ms, ticker, bars, dataset)
        before = usable.filter(pl.col("known_time") >= pl.lit(end_ms - carry_ms, pl.Int64).cast(TIME))


def _all_days(lake: Recording, symbol: str, scope: Scope) -> Iterator[tuple[int, pl.DataFrame]]:
    """(midnight, ticker) of every day of the span; an empty frame for a day without ticker."""
    days = lake.iterate_ticker(symbol, scope.asked_start_ms, scope.asked_end_ms)
    pending = next(days, None)
    for day_ms in scope.days_ms:
        if pending is not None and pending[0] == day_ms:
            yield pending
            pending = next(days, None)
        else:
            yield day_ms, schema.TICKER.empty()
