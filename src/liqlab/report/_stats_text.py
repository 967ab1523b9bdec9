"""The statistics of one symbol, or of all, as plain text of at most 100 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from liqlab.core.time import MS_PER_HOUR, format_time
from liqlab.panel import (
    ActivityBucket,
    DelayQuantiles,
    EventGap,
    PriceMove,
    PublishedBlock,
    SideCheck,
    SizeBin,
    SymbolStatistics,
)
from liqlab.report._stats_published import DEFINITIONS, render_published
from liqlab.report._text import MISSING, TEXT_WIDTH, format_count, format_usd, render_table
from liqlab.report._words import length, percent, span

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_BAR_WIDTH = 36
_BARS = "Bars: L liquidated longs, S liquidated shorts."


def render_statistics(
    statistics: SymbolStatistics,
    side_check: SideCheck | None = None,
    origin: str = "",
    columns: Sequence[PublishedBlock] = (),
) -> str:
    """The text of `liquidations_stats_SYMBOL.txt`; no line is longer than 100 columns.

    `origin` says which data and which version, for the last lines. `columns`, the published blocks of all symbols, go
    first, side by side; meant for `ALL`. Figures that are undefined are `n/a`; what the data cannot answer is
    `not testable`, with the reason.
    """
    comparison = [_section("Published table, symbol by symbol", render_published(columns))] if columns else []
    sections = [
        _header(statistics, side_check),
        *comparison,
        _published(statistics.published),
        _section("Coverage and rates", _coverage(statistics)),
        _section("Sides", _sides(statistics)),
        _section("Delivery delays (ms)", _delays(statistics)),
        _section("Hours of the day (UTC), covered time only", _hours(statistics)),
        _section("Weekdays (UTC), covered time only", _weekdays(statistics)),
        _section("Sizes", _sizes(statistics.size_bins)),
        _section("Longest gaps between events", _gaps(statistics.longest_gaps)),
        _section("Events at the same time", _simultaneous(statistics)),
        _section("Absolute price moves after large liquidations (bps)", _price_moves(statistics.price_moves)),
        *([_section("Side self-test", _side_check(side_check))] if side_check else []),
        *([_wrap(origin)] if origin else []),
    ]
    return "\n\n".join(sections) + "\n"


def _section(title: str, body: str) -> str:
    return f"{title}\n{'=' * len(title)}\n{body}"


def _wrap(text: str, indent: str = "") -> str:
    return textwrap.fill(text, TEXT_WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def _header(statistics: SymbolStatistics, side_check: SideCheck | None) -> str:
    title = f"LIQUIDATION STATISTICS  {statistics.symbol}\n{span(statistics.span_start_ms, statistics.span_end_ms)}"
    if side_check is None or side_check.verdict != "contradicted":
        return title
    alarm = f"!!! SIDES CONTRADICTED: {side_check.reason}. Every figure by side below may be the wrong way round. !!!"
    return f"{title}\n\n{_wrap(alarm)}"


def _published(block: PublishedBlock) -> str:
    notes = [_wrap(f"- {note}", indent="  ") for note in (*DEFINITIONS, *block.notes)]
    words = "Literal definitions of the published table, for comparison with it; nothing else uses these figures."
    return _section("PUBLISHED BLOCK", "\n".join((words, "", render_published([block]), "", *notes)))


def _coverage(statistics: SymbolStatistics) -> str:
    start, end = statistics.span_start_ms, statistics.span_end_ms
    hours = None if start is None or end is None else (end - start) / MS_PER_HOUR
    first, last = statistics.first_event_ms, statistics.last_event_ms
    events = MISSING if first is None or last is None else f"{format_time(first)} to {format_time(last)} UTC"
    known = statistics.covered_frac is not None
    covered = f"{statistics.covered_hours:,.2f} h, {percent(statistics.covered_frac)} of the span"
    inside = f"{format_count(statistics.events_covered)} of {format_count(statistics.published.events)}"
    rows = [
        ["span", f"{span(start, end)} ({length(hours)})"],
        ["first and last event", events],
        ["covered", covered if known else "unknown: no record of deliveries"],
        ["events in covered time", inside if known else MISSING],
        ["events per covered hour", format_count(statistics.events_per_covered_hour, 1)],
    ]
    words = "Covered: the recorder delivered something, of any stream or symbol, within the tolerance before."
    width = max(len(name) for name, _ in rows)
    return "\n".join([*(f"{name.ljust(width)}  {value}" for name, value in rows), _wrap(words)])


def _sides(statistics: SymbolStatistics) -> str:
    longs, shorts = statistics.long, statistics.short
    n_events, notional = longs.events + shorts.events, longs.notional_usd + shorts.notional_usd
    hours = statistics.covered_hours
    covered = [sum(getattr(bucket, f"{name}_events") for bucket in statistics.hours) for name in ("long", "short")]
    rows = [
        [
            f"{name} liquidated",
            format_count(side.events),
            percent(side.events / n_events if n_events else None),
            format_count(events / hours if hours > 0 else None, 2),
            format_count(side.volume, 2),
            format_count(side.notional_usd),
            percent(side.notional_usd / notional if notional > 0 else None),
        ]
        for name, side, events in (("longs", longs, covered[0]), ("shorts", shorts, covered[1]))
    ]
    header = ["", "events", "share", "per covered hour", "volume (base units)", "notional (USD)", "share"]
    return render_table(header, rows, "lrrrrrr")


def _delays(statistics: SymbolStatistics) -> str:
    if not statistics.published.events:
        return "no events"
    if statistics.capture_recorded is False:
        return _wrap(
            "Not testable: the delay from event to capture is the same in every row, so the recording kept no capture "
            "time. Known times are too early by the real delay, and results at horizons of seconds are optimistic."
        )
    push, capture = statistics.event_to_push, statistics.event_to_capture
    rows = [_delay_row("event to push", push), _delay_row("event to capture", capture)]
    table = render_table(["", "events", "P1", "P50", "P90", "P99"], rows, "lrrrrr")
    notes = [] if push.n else ["The recording kept no push time."]
    if any(delay.p1_ms is not None and delay.p1_ms < 0 for delay in (push, capture)):
        notes.append("Negative delays: the clocks of exchange and recorder disagree.")
    return "\n".join([table, *notes])


def _delay_row(name: str, delay: DelayQuantiles) -> list[str]:
    values = (delay.p1_ms, delay.p50_ms, delay.p90_ms, delay.p99_ms)
    return [name, format_count(delay.n), *(format_count(value) for value in values)]


def _hours(statistics: SymbolStatistics) -> str:
    return _activity([f"{bucket.bucket:02d}" for bucket in statistics.hours], statistics.hours, "hour")


def _weekdays(statistics: SymbolStatistics) -> str:
    return _activity([_WEEKDAYS[bucket.bucket] for bucket in statistics.weekdays], statistics.weekdays, "day")


def _activity(names: Sequence[str], buckets: Sequence[ActivityBucket], what: str) -> str:
    known = any(bucket.covered_hours > 0 for bucket in buckets)
    heights = [bucket.events_per_covered_hour if known else float(_events(bucket)) for bucket in buckets]
    largest = max((height for height in heights if height is not None), default=0.0)
    rows = [
        [
            name,
            format_count(bucket.covered_hours, 1) if known else MISSING,
            format_count(_events(bucket)),
            format_count(bucket.events_per_covered_hour, 1),
            percent(bucket.long_events / _events(bucket) if _events(bucket) else None, 0),
            format_usd(bucket.long_notional_usd + bucket.short_notional_usd),
            _bar(bucket, height or 0.0, largest),
        ]
        for name, bucket, height in zip(names, buckets, heights, strict=True)
    ]
    header = [what, "covered h", "events", "per hour", "longs", "notional", "events per covered hour" if known else ""]
    return f"{render_table(header, rows, 'lrrrrrl')}\n{_BARS}"


def _events(bucket: ActivityBucket | SizeBin) -> int:
    return bucket.long_events + bucket.short_events


def _bar(bucket: ActivityBucket | SizeBin, height: float, largest: float) -> str:
    """A bar as long as `height` in proportion to `largest`, cut by side; any height shows at least one letter."""
    if height <= 0 or largest <= 0:
        return ""
    size = max(1, round(_BAR_WIDTH * height / largest))
    longs = round(size * bucket.long_events / _events(bucket))
    return "L" * longs + "S" * (size - longs)


def _sizes(bins: Sequence[SizeBin]) -> str:
    filled = [place for place, one in enumerate(bins) if _events(one)]
    if not filled:
        return "no events"
    shown = bins[filled[0] : filled[-1] + 1]
    total = sum(map(_events, shown))
    largest = max(map(_events, shown))
    seen = 0
    rows = []
    for one in shown:
        seen += _events(one)
        notional = one.long_notional_usd + one.short_notional_usd
        numbers = [format_count(_events(one)), percent(seen / total), format_usd(notional)]
        rows.append([*_bin_edges(one), *numbers, _bar(one, _events(one), largest)])
    header = ["from (USD)", "to below", "events", "up to here", "notional", "events"]
    return f"{render_table(header, rows, 'rrrrrl')}\n{_BARS}"


def _bin_edges(one: SizeBin) -> tuple[str, str]:
    return format_usd(one.low_usd), "" if one.high_usd is None else format_usd(one.high_usd)


def _gaps(gaps: Sequence[EventGap]) -> str:
    if not gaps:
        return "none: fewer than two moments with events"
    rows = [
        [
            format_time(gap.start_ms),
            format_time(gap.end_ms),
            format_count(gap.length_s),
            "yes" if gap.covered else f"no, only {percent(gap.covered_frac, 0)}",
        ]
        for gap in gaps
    ]
    table = render_table(["after (UTC)", "until (UTC)", "seconds", "recorder listened throughout"], rows, "llrl")
    return f"{table}\nA silence that the recorder did not hear in full may hide events."


def _simultaneous(statistics: SymbolStatistics) -> str:
    shared = percent(statistics.shared_millisecond_frac)
    busy = percent(statistics.busy_seconds_frac)
    return f"{shared} of events share their millisecond with another\n{busy} of seconds with events hold two or more"


def _price_moves(moves: Sequence[PriceMove]) -> str:
    rows = [
        [f"{move.horizon_s:g} s", format_count(move.events), *(_bps(value) for value in _values(move))]
        for move in moves
        if move.reason is None
    ]
    table = [render_table(["horizon", "events", "median", "mean", "P95"], rows, "rrrrr")] if rows else []
    words = (
        "Ticker price (mark, else last): from the first at or after the capture of a liquidation with volume at or "
        "above the whole-sample 95th percentile to the first at or after the horizon. Without sign: no direction."
    )
    return "\n".join([*table, *_untestable_moves(moves), _wrap(words)])


def _values(move: PriceMove) -> tuple[float | None, ...]:
    return move.median_bps, move.mean_bps, move.p95_bps


def _untestable_moves(moves: Sequence[PriceMove]) -> Iterator[str]:
    """One line for each reason, with the horizons that share it."""
    horizons: dict[str, list[str]] = {}
    for move in moves:
        if move.reason is not None:
            first, *others = move.reason.split("; ")
            reason = first.removesuffix(f": too coarse for {move.horizon_s:g} s")
            horizons.setdefault(reason + " (other symbols alike)" * bool(others), []).append(f"{move.horizon_s:g}")
    for reason, names in horizons.items():
        yield _wrap(f"not testable at {', '.join(names)} s: {reason}")


def _bps(value: float | None) -> str:
    return format_count(value, 1)


def _side_check(check: SideCheck) -> str:
    lines = [f"{check.verdict}: {check.reason}"]
    if check.mean_bps is not None:
        lines.append(
            f"mean price move in the direction of the forced orders, from {check.window_s:g} s before to "
            f"{check.window_s:g} s after: {check.mean_bps:+,.1f} bps, standard error "
            f"{_bps(check.standard_error_bps)}, t = {_bps(check.t)}; {format_count(check.blocks)} blocks of "
            f"{check.block_s:g} s, {format_count(check.events_used)} of {format_count(check.events)} events with prices"
        )
    return "\n".join(_wrap(line) for line in lines)
