"""Liquidation rate over time."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from liqlab.core.schema import LONG, SHORT
from liqlab.core.time import MS_PER_HOUR, format_time
from liqlab.report._figures_data import (
    ALL_SYMBOLS,
    Floats,
    Integers,
    bar_width_ms,
    choose_bin_ms,
    find_uncovered,
    rank_symbols,
    to_ms,
)
from liqlab.report._style import (
    INK,
    MAX_SYMBOLS,
    MUTED,
    SIDE_COLOURS,
    UNCOVERED,
    format_span,
    message_figure,
    new_figure,
    shade_uncovered,
    side_patches,
    styled,
    time_axis,
    to_days,
    usd_axis,
)
from liqlab.report._text import format_count, format_number_of, format_usd

_TITLE = "Liquidation rate over time"
_MOST_BINS = 400
_EVENTS_COLOUR = "#7d7d7d"
_PANEL_INCHES = 1.75
_FLOWS = ("liq_count", "liq_buy_notional", "liq_sell_notional")


class _Rate(NamedTuple):
    """Per bin: USD per hour by side, events per hour; `edges_ms` has one more."""

    edges_ms: Integers
    longs: Floats
    shorts: Floats
    events: Floats


@styled
def plot_liquidation_rate(bars: pl.DataFrame, coverage: pl.DataFrame, width: str = "1m") -> Figure:
    """Notional liquidated per hour, shorts upward and longs downward, and events per hour below: all, then each symbol.

    `bars` is a table of bars (`width` names which) with any number of symbols, empty bars present or not; of more than
    six symbols the six with most notional are drawn, and the figure says so. Bars are gathered into bins of a round
    length, at most 400; a bin's height is its sum divided by its length, so that height x length over all bins is the
    notional of the table. Shaded: no recorder of the liquidations listened, by `coverage`; no shading if that is empty.
    Without a liquidation the figure says so in words. Raises `ValueError` for a width that no table of bars has.
    """
    width_ms = bar_width_ms(width)
    if bars["liq_count"].sum() == 0:
        return message_figure(_TITLE, "no liquidations in this span")
    ranked = rank_symbols(bars, "liq_notional")
    shown = ([ALL_SYMBOLS] if len(ranked) > 1 else []) + ranked[:MAX_SYMBOLS]
    edges = _bin_edges(bars, width_ms)
    gaps = {symbol: find_uncovered(coverage, symbol, int(edges[0]), int(edges[-1])) for symbol in shown}
    legend = _list_legend(width_ms, with_uncovered=any(gaps.values()))
    figure = new_figure(_TITLE, _describe(edges, len(ranked)), 0.45 + _PANEL_INCHES * len(shown), legend, row_space=0)
    grid = figure.add_gridspec(2 * len(shown), 1, height_ratios=(2.4, 1) * len(shown))
    for row, symbol in enumerate(shown):
        own = bars if symbol == ALL_SYMBOLS else bars.filter(pl.col("symbol") == symbol)
        steps = own.group_by("time").agg(pl.col(_FLOWS).sum()).sort("time")
        panels = [figure.add_subplot(grid[2 * row + place]) for place in (0, 1)]
        _draw_notional(panels[0], symbol, _compute_rate(steps, edges, width_ms))
        panels[0].set_title(_describe_flow(steps, symbol, width_ms), loc="right", color=MUTED, size=8)
        _draw_events(panels[1], _compute_rate(steps, edges, width_ms), _find_busiest(steps, width_ms))
        for place, axes in enumerate(panels):
            is_last = row == len(shown) - 1 and place == 1
            time_axis(axes, float(edges[0]), float(edges[-1]), label=is_last)
            axes.tick_params(labelbottom=is_last)
            axes.yaxis.set_label_coords(-0.056, 0.5)
            shade_uncovered(axes, gaps[symbol])
    return figure


def _bin_edges(bars: pl.DataFrame, width_ms: int) -> Integers:
    times = to_ms(bars["time"])
    low, high = int(times.min()) - width_ms, int(times.max())
    bin_ms = choose_bin_ms(high - low, _MOST_BINS, width_ms)
    return np.arange(low // bin_ms * bin_ms, high + bin_ms, bin_ms, dtype=np.int64)


def _describe(edges: Integers, n_symbols: int) -> str:
    words = f"in steps of {format_span(float(edges[1] - edges[0]))}, as a rate per hour; each panel has its own scale"
    if n_symbols <= MAX_SYMBOLS:
        return words
    return f"{words}; the {MAX_SYMBOLS} of {n_symbols} symbols with most notional"


def _list_legend(width_ms: int, with_uncovered: bool) -> list[Any]:
    events = [Patch(color=_EVENTS_COLOUR, label=f"events per hour (triangle: the busiest {format_span(width_ms)})")]
    return side_patches() + events + ([Patch(color=UNCOVERED, label="not covered")] if with_uncovered else [])


def _compute_rate(steps: pl.DataFrame, edges: Integers, width_ms: int) -> _Rate:
    index = (to_ms(steps["time"]) - width_ms - edges[0]) // (edges[1] - edges[0])
    hours = float(edges[1] - edges[0]) / MS_PER_HOUR

    def per_hour(column: str) -> Floats:
        return np.bincount(index, weights=steps[column].to_numpy(), minlength=len(edges) - 1) / hours

    return _Rate(edges, per_hour("liq_buy_notional"), per_hour("liq_sell_notional"), per_hour("liq_count"))


def _draw_notional(axes: Any, symbol: str, rate: _Rate) -> None:
    days = to_days(rate.edges_ms)
    axes.stairs(rate.shorts, days, fill=True, color=SIDE_COLOURS[SHORT], lw=0, label=SHORT)
    axes.stairs(-rate.longs, days, fill=True, color=SIDE_COLOURS[LONG], lw=0, label=LONG)
    axes.axhline(0, color=INK, lw=0.6)
    down, up = float(rate.longs.max()), float(rate.shorts.max())
    least = 0.15 * max(down, up) or 1.0
    axes.set_ylim(-max(1.08 * down, least), max(1.08 * up, least))
    usd_axis(axes.yaxis, ticks=5)
    axes.set_ylabel("$ per hour")
    axes.grid(axis="y")
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    axes.set_title(symbol, loc="left", weight="bold")


def _describe_flow(steps: pl.DataFrame, symbol: str, width_ms: int) -> str:
    events = int(steps["liq_count"].sum())
    if events == 0:
        return f"no liquidations of {symbol} in this span"
    notional = steps["liq_buy_notional"] + steps["liq_sell_notional"]
    largest, busiest = int(notional.arg_max() or 0), int(steps["liq_count"].arg_max() or 0)
    longs, shorts = float(steps["liq_buy_notional"][largest]), float(steps["liq_sell_notional"][largest])
    amount = f"{format_usd(longs)} of longs" if longs > shorts else f"{format_usd(shorts)} of shorts"
    width, most = format_span(width_ms), format_number_of(steps["liq_count"][busiest], "event")
    words = (
        f"{format_number_of(events, 'liquidation')}, {format_usd(float(notional.sum()))}",
        f"largest {width}: {amount}, {_moment(steps, largest, width_ms)}",
        f"busiest {width}: {most}, {_moment(steps, busiest, width_ms)}",
    )
    return "  |  ".join(words)


def _moment(steps: pl.DataFrame, row: int, width_ms: int) -> str:
    """Month, day and minute at which a bar begins; the year stands at the axis."""
    return format_time(int(to_ms(steps["time"])[row]) - width_ms)[5:16]


def _find_busiest(steps: pl.DataFrame, width_ms: int) -> float | None:
    """The middle of the bar with most liquidations, in milliseconds; None when there are none."""
    if steps["liq_count"].sum() == 0:
        return None
    return float(to_ms(steps["time"])[int(steps["liq_count"].arg_max() or 0)]) - width_ms / 2


def _draw_events(axes: Any, rate: _Rate, busiest_ms: float | None) -> None:
    axes.stairs(rate.events, to_days(rate.edges_ms), fill=True, color=_EVENTS_COLOUR, lw=0, label="events")
    highest = float(rate.events.max())
    if busiest_ms is not None:
        height = rate.events[int((busiest_ms - rate.edges_ms[0]) // (rate.edges_ms[1] - rate.edges_ms[0]))]
        axes.plot(to_days(busiest_ms), height + 0.16 * highest, "v", color=INK, ms=3.5, clip_on=False, label="busiest")
    axes.set_ylim(0, max(1.32 * highest, 1.0))
    axes.set_ylabel("events/h", size=7)
    axes.yaxis.set_major_locator(MaxNLocator(2))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_count(value)))
    axes.grid(axis="y")
