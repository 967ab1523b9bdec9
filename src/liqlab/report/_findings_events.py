"""The findings on single liquidations: who was liquidated, how much, and when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from liqlab.core.schema import LONG, SHORT, TIME
from liqlab.core.time import MS_PER_MINUTE
from liqlab.panel import ActivityBucket, SymbolStatistics
from liqlab.report._text import format_count, format_usd, render_markdown_table
from liqlab.report._words import minute, percent, plural, sides
from liqlab.study import ALL, Study

_MOST_MINUTES = 10
_ONE_SIDED = 0.9
_SQUEEZES = {LONG: "a flush of longs", SHORT: "a squeeze of shorts"}
#: Least liquidations in a minute that get such a name.
_CROWD = 20
#: Hours covered for less than this say nothing about their hour of the day.
_LEAST_COVERED_HOURS = 0.5
_SESSIONS = (("Asia", 0, 8), ("Europe", 8, 13), ("US", 13, 21), ("late", 21, 24))


class BusyMinute(NamedTuple):
    """One minute (its start, UTC) over all symbols; `by_symbol` holds (symbol, liquidations), the largest first."""

    start_ms: int
    longs: int
    shorts: int
    notional_usd: float
    by_symbol: tuple[tuple[str, int], ...]

    @property
    def liquidations(self) -> int:
        """Liquidations of both sides."""
        return self.longs + self.shorts


def render_event_section(study: Study, pictures: Sequence[str]) -> str:
    """Section 3 of the findings; `pictures` are its figures as Markdown."""
    parts = [
        "## 3. Liquidations",
        _by_symbol(study),
        _busiest(study),
        _hours(study.statistics[ALL]),
        *pictures,
    ]
    return "\n\n".join(parts)


def list_busiest_minutes(liquidations: pl.DataFrame, most: int = _MOST_MINUTES) -> list[BusyMinute]:
    """The minutes with most liquidations over all symbols, by event time; ties: the larger notional, then the earlier.

    >>> from liqlab.core.schema import LIQUIDATIONS
    >>> list_busiest_minutes(LIQUIDATIONS.empty())
    []
    """
    is_short = pl.col("liquidated_side") == SHORT
    by_symbol = (
        liquidations.group_by(pl.col("event_time").dt.truncate("1m").alias("minute"), "symbol")
        .agg(pl.len().cast(pl.Int64).alias("n"), is_short.sum().cast(pl.Int64).alias("shorts"), pl.sum("notional_usd"))
        .sort("minute", "n", "symbol", descending=[False, True, False])
    )
    minutes = (
        by_symbol.group_by("minute", maintain_order=True)
        .agg(pl.sum("n"), pl.sum("shorts"), pl.sum("notional_usd"), pl.struct("symbol", "n").alias("parts"))
        .sort("n", "notional_usd", "minute", descending=[True, True, False])
        .head(most)
    )
    return [
        BusyMinute(start, n - shorts, shorts, notional, tuple((part["symbol"], part["n"]) for part in parts))
        for start, n, shorts, notional, parts in minutes.with_columns(pl.col("minute").dt.epoch("ms")).iter_rows()
    ]


def describe_minute(busy: BusyMinute) -> str:
    """What happened in a minute, in words: how many, of which side, how much."""
    symbols = f" over {len(busy.by_symbol)} symbols" if len(busy.by_symbol) > 1 else f" of {busy.by_symbol[0][0]}"
    words = (
        f"{minute(busy.start_ms)} UTC: {plural(busy.liquidations, 'liquidation')}, {sides(busy.longs, busy.shorts)}, "
        f"in one minute{symbols}, {format_usd(busy.notional_usd)}"
    )
    side, larger = (SHORT, busy.shorts) if busy.shorts >= busy.longs else (LONG, busy.longs)
    if busy.liquidations < _CROWD or larger < _ONE_SIDED * busy.liquidations:
        return words
    return f"{words}: {_SQUEEZES[side]}"


def _by_symbol(study: Study) -> str:
    names = [*study.symbols, *([ALL] if len(study.symbols) > 1 else [])]
    rows = [_symbol_row(name, study.statistics[name]) for name in names]
    header = [
        "symbol",
        "liquidations",
        "notional",
        "mean",
        "P50",
        "P95",
        "P99",
        "longs, of events",
        "longs, of notional",
        "per covered hour",
    ]
    words = (
        "Longs: positions of longs that were closed by force, that is forced sells. Notional is price x quantity in "
        "USD; the price is the one that the exchange publishes with the liquidation (on Bybit the bankruptcy price), "
        "not a price of the market. Exchanges do not publish every liquidation: totals are lower bounds."
    )
    return f"{words}\n\n{render_markdown_table(header, rows, 'lrrrrrrrrr')}"


def _symbol_row(name: str, statistics: SymbolStatistics) -> list[str]:
    block = statistics.published
    longs, shorts = statistics.long.notional_usd, statistics.short.notional_usd
    sizes = (block.mean_size_usd, block.p50_size_usd, block.p95_size_usd, block.p99_size_usd)
    return [
        name,
        format_count(block.events),
        format_usd(block.notional_usd),
        *(format_usd(size) for size in sizes),
        percent(block.buy_events_frac),
        percent(longs / (longs + shorts) if longs + shorts > 0 else None),
        format_count(statistics.events_per_covered_hour, 1),
    ]


def _busiest(study: Study) -> str:
    busiest = list_busiest_minutes(study.liquidations)
    if not busiest:
        return "### Busiest minutes\n\nThere are no liquidations."
    rows = [
        [
            minute(busy.start_ms),
            format_count(busy.liquidations),
            format_usd(busy.notional_usd),
            percent(busy.shorts / busy.liquidations, 0),
            ", ".join(f"{symbol} {format_count(n)}" for symbol, n in busy.by_symbol[:4]),
        ]
        for busy in busiest
    ]
    total = study.liquidations.height
    share = sum(busy.liquidations for busy in busiest) / total
    words = f"{describe_minute(busiest[0])}. {_cascades_in(study, busiest[0])}{_burstiness(study, share, len(busiest))}"
    header = ["minute (UTC)", "liquidations", "notional", "shorts", "by symbol"]
    return f"### Busiest minutes\n\n{words}\n\n{render_markdown_table(header, rows, 'lrrrl')}"


def _cascades_in(study: Study, busy: BusyMinute) -> str:
    start, end = (pl.lit(busy.start_ms + offset, pl.Int64).cast(TIME) for offset in (0, MS_PER_MINUTE))
    found = study.cascades.filter((pl.col("start") < end) & (pl.col("end") >= start))
    if found.is_empty():
        return ""
    shorts = found.filter(pl.col("dominant_side") == SHORT).height
    names = ", ".join(found["symbol"].unique().sort())
    whose = sides(found.height - shorts, shorts)
    return f"{plural(found.height, 'cascade')} of section 4 fall into it ({names}; {whose}). "


def _burstiness(study: Study, share: float, n_minutes: int) -> str:
    minutes = study.liquidations.select(pl.col("event_time").dt.truncate("1m").n_unique()).item()
    rapid = study.statistics[ALL].published.rapid_frac
    return (
        f"{plural(minutes, 'minute')} hold at least one liquidation; the {n_minutes} busiest hold {percent(share)} of "
        f"all liquidations. {percent(rapid)} of liquidations come less than 1 s after the one before."
    )


def _hours(statistics: SymbolStatistics) -> str:
    observed = [bucket for bucket in statistics.hours if bucket.covered_hours >= _LEAST_COVERED_HOURS]
    if not observed or not statistics.events_covered:
        return "### Hours of the day\n\nCoverage is too thin for a pattern."
    ordered = sorted(observed, key=lambda bucket: -(bucket.events_per_covered_hour or 0.0))
    most, least = ordered[0], ordered[-1]
    words = (
        f"Most liquidations per covered hour come in hour {most.bucket:02d} UTC "
        f"({format_count(most.events_per_covered_hour, 1)}), fewest in hour {least.bucket:02d} "
        f"({format_count(least.events_per_covered_hour, 1)}), over {format_count(statistics.covered_hours / 24, 1)} "
        "covered days. Liquidations come in bursts, and a single burst makes an hour look busy: see section 1 for "
        "whether this data can tell hours or weekdays apart."
    )
    rows = [_session_row(name, begin, end, statistics.hours[begin:end]) for name, begin, end in _SESSIONS]
    header = ["session (UTC)", "covered hours", "liquidations", "per covered hour", "longs", "notional"]
    return f"### Hours of the day\n\n{words}\n\n{render_markdown_table(header, rows, 'lrrrrr')}"


def _session_row(name: str, begin: int, end: int, buckets: Sequence[ActivityBucket]) -> list[str]:
    hours = sum(bucket.covered_hours for bucket in buckets)
    longs, shorts = (sum(getattr(bucket, f"{side}_events") for bucket in buckets) for side in ("long", "short"))
    notional = sum(bucket.long_notional_usd + bucket.short_notional_usd for bucket in buckets)
    return [
        f"{name} {begin:02d}-{end:02d}",
        format_count(hours, 1),
        format_count(longs + shorts),
        format_count((longs + shorts) / hours if hours > 0 else None, 1),
        percent(longs / (longs + shorts) if longs + shorts else None),
        format_usd(notional),
    ]
