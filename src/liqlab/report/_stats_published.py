"""The published block in the published table's own names, order and decimals."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from liqlab.panel import PublishedBlock
from liqlab.report._text import MISSING, TEXT_WIDTH, format_count, render_table

_BASE_UNITS = "base units"
#: From here on the published table writes volume without the zeros at its end.
_VOLUME_WITHOUT_ZEROS = 1e6

DEFINITIONS = (
    "whole sample, first event to last, gaps included, order by the exchange's T; linear quantiles",
    "hourly files: capture files with liquidations; sizes: price x quantity; shares: of all events",
    "Buy: a long was liquidated; hours: UTC, the least active among all 24",
    "gaps: between consecutive events; rapid: less than 1 s after the event before",
    "cascades: events with volume at or above the whole-sample 95th percentile, <= 60 s apart, >= 2",
    "1-min bars: from the first event's minute to the last's",
    "imbalance: (sell - buy) / total volume of a bar, 0 in an empty one; sd with n - 1",
)


def render_published(blocks: Sequence[PublishedBlock], width: int = TEXT_WIDTH) -> str:
    """The published table with a column for each block; side by side as far as `width` allows, then below."""
    parts = [render_table(*_table(group)) for group in _split(blocks, width)]
    return "\n\n".join(parts)


def _table(blocks: Sequence[PublishedBlock]) -> tuple[list[str], list[list[str]], str]:
    rows = [[name, *(write(block) for block in blocks)] for name, write in ROWS]
    return ["", *(block.symbol for block in blocks)], rows, "l" + "r" * len(blocks)


def _split(blocks: Sequence[PublishedBlock], width: int) -> list[Sequence[PublishedBlock]]:
    """Groups of nearly equal size that each fit into `width`."""
    for n_groups in range(1, len(blocks) + 1):
        size = -(-len(blocks) // n_groups)
        groups = [blocks[start : start + size] for start in range(0, len(blocks), size)]
        if all(_width(group) <= width for group in groups):
            return groups
    return [[block] for block in blocks]


def _width(blocks: Sequence[PublishedBlock]) -> int:
    header, rows, _ = _table(blocks)
    columns = zip(header, *rows, strict=True)
    return sum(max(map(len, column)) for column in columns) + 2 * len(blocks)


def _volume(block: PublishedBlock) -> str:
    text = format_count(block.volume, 2)
    if block.volume >= _VOLUME_WITHOUT_ZEROS:
        text = text.rstrip("0").rstrip(".")
    return text if block.volume_unit == _BASE_UNITS else f"{text} {block.volume_unit}"


def _share(frac: float | None, decimals: int = 1) -> str:
    return format_count(None if frac is None else 100 * frac, decimals)


def _hour(hour: int | None, events: int | None) -> str:
    return MISSING if hour is None else f"{hour}: {format_count(events)}"


def _bare(value: float | None, decimals: int) -> str:
    """A number of which the table leaves out the zero before the point."""
    if value is None:
        return MISSING
    text = f"{abs(value):.{decimals}f}"
    sign = "-" if value < 0 and float(text) != 0 else ""
    return sign + text.removeprefix("0")


def _autocorrelation(block: PublishedBlock) -> str:
    return " ".join(_bare(value, 3) for value in block.imbalance_autocorrelation)


#: Name in the published table, and how its value is written there.
ROWS: tuple[tuple[str, Callable[[PublishedBlock], str]], ...] = (
    ("hourly files", lambda block: format_count(block.hourly_files)),
    ("events", lambda block: format_count(block.events)),
    ("volume (base units)", _volume),
    ("notional (USD)", lambda block: format_count(block.notional_usd)),
    ("mean size (USD)", lambda block: format_count(block.mean_size_usd)),
    ("P50 size (USD)", lambda block: format_count(block.p50_size_usd)),
    ("P75", lambda block: format_count(block.p75_size_usd)),
    ("P90", lambda block: format_count(block.p90_size_usd)),
    ("P95", lambda block: format_count(block.p95_size_usd)),
    ("P99", lambda block: format_count(block.p99_size_usd)),
    ("Buy (long liquidated), events %", lambda block: _share(block.buy_events_frac)),
    ("Buy, volume %", lambda block: _share(block.buy_volume_frac)),
    ("most active hour (UTC), events", lambda block: _hour(block.most_active_hour, block.most_active_hour_events)),
    ("least active hour (UTC), events", lambda block: _hour(block.least_active_hour, block.least_active_hour_events)),
    ("mean gap (s)", lambda block: format_count(block.mean_gap_s, 1)),
    ("median gap (s)", lambda block: format_count(block.median_gap_s, 1)),
    ("longest gap (s)", lambda block: format_count(block.longest_gap_s)),
    ("rapid, %", lambda block: _share(block.rapid_frac, 2)),
    ("cascades", lambda block: format_count(block.cascades)),
    ("mean cascade duration (s)", lambda block: format_count(block.mean_cascade_duration_s, 1)),
    ("mean cascade events", lambda block: format_count(block.mean_cascade_events, 1)),
    ("mean cascade notional (USD)", lambda block: format_count(block.mean_cascade_notional_usd)),
    ("Buy-dominated cascades, %", lambda block: _share(block.buy_cascades_frac)),
    (
        "1-min bars / non-empty %",
        lambda block: f"{format_count(block.bars)} / {_share(block.nonempty_bars_frac)}",
    ),
    ("imbalance mean / sd", lambda block: f"{_bare(block.imbalance_mean, 4)} / {_bare(block.imbalance_sd, 4)}"),
    (
        "bars with imbalance < -0.7 / > 0.7",
        lambda block: f"{format_count(block.bars_imbalance_below)} / {format_count(block.bars_imbalance_above)}",
    ),
    ("imbalance autocorrelation at 5, 15, 60 bars", _autocorrelation),
)
