"""Liquidation heat map: price level over time."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import polars as pl
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from liqlab.core.schema import LONG, SHORT
from liqlab.core.time import MS_PER_MINUTE, format_time
from liqlab.report._figures_data import Floats, Integers, PriceLine, choose_bin_ms, price_line, to_ms
from liqlab.report._style import (
    INK,
    MUTED,
    SIDE_COLOURS,
    format_span,
    heat_colours,
    message_figure,
    new_figure,
    price_axis,
    side_patches,
    styled,
    time_axis,
    to_days,
    usd_axis,
)
from liqlab.report._text import format_count, format_number_of, format_usd

_MOST_BINS = 300
_MOST_LEVELS = 90
_LEAST_LEVELS = 9
_LEAST_SPAN_MS = MS_PER_MINUTE
_BPS_LADDER = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)
_BITCOIN_SYMBOLS = ("BTC", "BTCUSD", "BTCUSDT", "BTCUSDC", "BTCPERP")
_BITCOIN_STEPS_USD = (100.0, 200.0, 500.0, 1_000.0, 2_000.0)
_BITCOIN_MOST_LEVELS = 400

#: Of this many liquidations or more, the lowest and highest 0.1 % of prices do not stretch the price axis.
_TRIM_FROM = 1_000
_TRIM_FRAC = 0.001

#: The colour scale spans at most this factor below the largest cell.
_COLOUR_FACTOR = 1e4


class _Levels(NamedTuple):
    """Edges of the price levels in USD, and what a level is in words."""

    edges: Floats
    words: str


class _Cells(NamedTuple):
    """Notional by time and price level, shape (bins, levels), and by level and side, shape (levels,)."""

    edges_ms: Integers
    notional: Floats
    longs: Floats
    shorts: Floats
    n_outside: int


@styled
def plot_price_heatmap(symbol: str, liquidations: pl.DataFrame, prices: pl.DataFrame) -> Figure:
    """Notional liquidated by price level and time, the ticker price on top, totals by level and side at the right.

    `liquidations` and `prices` are the tables of liquidations and ticker; other symbols in them are left out. Levels
    are $100 for Bitcoin (more only over a range of $40,000), else the finest round number of bps of the median
    liquidation price that gives at most 90 levels. The published liquidation price places a row on its level and is
    named as what it is; the line is the last ticker price (mark, else last) of each column, with gaps where the ticker
    had them. From 1,000 liquidations on the outermost 0.1 % of prices on either side do not stretch the axis; what then
    lies outside is counted in the subtitle. Without a liquidation of the symbol the figure says so in words.
    """
    title = f"Liquidations of {symbol} by price level"
    rows = liquidations.filter((pl.col("symbol") == symbol) & pl.col("price").is_finite() & (pl.col("price") > 0))
    if rows.is_empty():
        return message_figure(title, f"no liquidations of {symbol} in this span")
    edges = _bin_edges(rows)
    line = price_line(prices, symbol, float(edges[0]), float(edges[-1]), bins=len(edges) - 1)
    levels = _choose_levels(symbol, rows["price"].to_numpy(), line)
    cells = _compute_cells(rows, edges, levels)
    figure = new_figure(title, _describe(rows, levels, cells, line), 4.7, _list_legend(line))
    grid = figure.add_gridspec(1, 2, width_ratios=(5, 1))
    axes = figure.add_subplot(grid[0, 0])
    profile = figure.add_subplot(grid[0, 1], sharey=axes)
    image = _draw_cells(axes, cells, levels)
    _draw_line(axes, line)
    time_axis(axes, float(edges[0]), float(edges[-1]))
    _draw_profile(profile, cells, levels)
    bar = figure.colorbar(image, ax=[axes, profile], pad=0.01, extend="min", aspect=40)
    bar.set_label(f"notional per level and {format_span(float(edges[1] - edges[0]))} (USD)")
    bar.ax.minorticks_off()
    usd_axis(bar.ax.yaxis)
    return figure


def _bin_edges(rows: pl.DataFrame) -> Integers:
    times = to_ms(rows["event_time"])
    low, high = int(times.min()), int(times.max())
    short_ms = max(0, _LEAST_SPAN_MS - (high - low))
    low, high = low - short_ms // 2, high + short_ms // 2
    bin_ms = choose_bin_ms(high - low + 1, _MOST_BINS)
    return np.arange(low // bin_ms * bin_ms, high + bin_ms + 1, bin_ms, dtype=np.int64)


def _choose_levels(symbol: str, prices: Floats, line: PriceLine) -> _Levels:
    low, high = _price_range(prices, line)
    if symbol in _BITCOIN_SYMBOLS:
        steps = _BITCOIN_STEPS_USD
        step = next((step for step in steps if high - low <= step * _BITCOIN_MOST_LEVELS), steps[-1])
        return _Levels(_level_edges(low, high, step), f"levels of ${step:g}")
    middle = float(np.median(prices))
    range_bps = (high - low) / middle * 1e4
    step_bps = next((step for step in _BPS_LADDER if range_bps <= step * _MOST_LEVELS), _BPS_LADDER[-1])
    step = middle * step_bps / 1e4
    return _Levels(_level_edges(low, high, step), f"levels of {step_bps:g} bps (${step:.3g})")


def _price_range(prices: Floats, line: PriceLine) -> tuple[float, float]:
    trim = _TRIM_FRAC if len(prices) >= _TRIM_FROM else 0.0
    low, high = np.quantile(prices, (trim, 1 - trim), method="nearest")
    seen = line.prices[np.isfinite(line.prices)]
    return float(min(low, seen.min(initial=low))), float(max(high, seen.max(initial=high)))


def _level_edges(low: float, high: float, step: float) -> Floats:
    first, last = int(low // step), int(high // step)
    missing = max(0, _LEAST_LEVELS - (last - first + 1))
    return np.arange(first - missing // 2, last + missing // 2 + 2, dtype=np.float64) * step


def _compute_cells(rows: pl.DataFrame, edges_ms: Integers, levels: _Levels) -> _Cells:
    prices, notional = rows["price"].to_numpy(), rows["notional_usd"].to_numpy()
    n_levels, n_bins = len(levels.edges) - 1, len(edges_ms) - 1
    level = np.searchsorted(levels.edges, prices, side="right") - 1
    inside = (level >= 0) & (level < n_levels)
    column = (to_ms(rows["event_time"]) - edges_ms[0]) // (edges_ms[1] - edges_ms[0])
    cell = (column * n_levels + level)[inside]
    total = np.bincount(cell, weights=notional[inside], minlength=n_bins * n_levels).astype(np.float64)

    def by_level(side: str) -> Floats:
        chosen = inside & (rows["liquidated_side"] == side).to_numpy()
        return np.bincount(level[chosen], weights=notional[chosen], minlength=n_levels).astype(np.float64)

    return _Cells(edges_ms, total.reshape(n_bins, n_levels), by_level(LONG), by_level(SHORT), int((~inside).sum()))


def _describe(rows: pl.DataFrame, levels: _Levels, cells: _Cells, line: PriceLine) -> str:
    total = float(rows["notional_usd"].sum())
    words = [f"{format_number_of(len(rows), 'liquidation')}, {format_usd(total)}", levels.words]
    column, level = np.unravel_index(int(np.argmax(cells.notional)), cells.notional.shape)
    when = format_time(int(cells.edges_ms[column])).removesuffix(":00")
    words.append(f"largest cell {format_usd(float(cells.notional[column, level]))} at {when}")
    if cells.n_outside:
        words.append(f"{format_count(cells.n_outside)} outside the price axis")
    if line.interval_ms is not None and len(line.prices):
        words.append(f"ticker price every {format_span(line.interval_ms)}")
    return "; ".join(words)


def _draw_cells(axes: Any, cells: _Cells, levels: _Levels) -> Any:
    largest = float(cells.notional.max())
    smallest = float(cells.notional[cells.notional > 0].min(initial=largest))
    norm = LogNorm(max(0.5 * smallest, largest / _COLOUR_FACTOR), largest)
    filled = np.ma.masked_less_equal(cells.notional.T, 0)
    image = axes.pcolormesh(to_days(cells.edges_ms), levels.edges, filled, norm=norm, cmap=heat_colours())
    step = levels.edges[1] - levels.edges[0]
    axes.set_ylim(levels.edges[0] - 0.5 * step, levels.edges[-1] + 0.5 * step)
    axes.set_ylabel("price (USD); cells: published liquidation price")
    price_axis(axes.yaxis, ticks=8)
    axes.grid()
    return image


def _draw_line(axes: Any, line: PriceLine) -> None:
    if len(line.prices):
        halo = [withStroke(linewidth=1.9, foreground="white")]
        axes.plot(to_days(line.times_ms), line.prices, color=INK, lw=0.9, path_effects=halo, label="ticker price")


def _draw_profile(axes: Any, cells: _Cells, levels: _Levels) -> None:
    for side, values in ((SHORT, cells.shorts), (LONG, -cells.longs)):
        colour = SIDE_COLOURS[side]
        axes.stairs(values, levels.edges, orientation="horizontal", fill=True, color=colour, lw=0, label=side)
    axes.axvline(0, color=INK, lw=0.6)
    widest = 1.08 * max(cells.longs.max(), cells.shorts.max())
    axes.set_xlim(-max(1.08 * cells.longs.max(), 0.2 * widest), max(1.08 * cells.shorts.max(), 0.2 * widest))
    usd_axis(axes.xaxis, ticks=3)
    axes.set_xlabel("USD per level")
    axes.set_title("whole span", color=MUTED)
    axes.tick_params(labelleft=False)
    axes.grid()


def _list_legend(line: PriceLine) -> list[Any]:
    if len(line.prices):
        return [*side_patches(), Line2D([], [], color=INK, lw=1.1, label="ticker price (mark, else last)")]
    return [*side_patches(), Line2D([], [], ls="", label="no ticker price in this span: no line")]
