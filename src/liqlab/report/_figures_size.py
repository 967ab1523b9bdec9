"""Distribution of the size of liquidations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from liqlab.core.schema import LONG, SHORT
from liqlab.report._figures_data import Floats, rank_symbols
from liqlab.report._style import (
    INK,
    MAX_SYMBOLS,
    MUTED,
    SIDE_COLOURS,
    SYMBOL_COLOURS,
    SYMBOL_LINES,
    message_figure,
    new_figure,
    side_patches,
    styled,
    usd_axis,
)
from liqlab.report._text import format_count, format_usd

_TITLE = "Size of liquidations"
_QUANTILES = (0.50, 0.95, 0.99)
_BINS_PER_DECADE = 5
_CURVE_POINTS = 1_000

#: As wide as the piece of line before each label of the legend.
_LINE_SPACE = " " * 5


@styled
def plot_size_distribution(liquidations: pl.DataFrame) -> Figure:
    """Share of liquidations at least as large as x on log-log axes, and histograms by side, for each symbol.

    `liquidations` is the table of liquidations; rows whose notional is not above zero are left out. P50, P95 and P99
    (whole sample, linear interpolation) are marked on each curve and written in the legend. Histograms count events in
    five bins per factor of ten, shorts upward and longs downward. Of more than six symbols the six with most notional
    are drawn, and the figure says so. Without a liquidation the figure says so in words.
    """
    sized = liquidations.filter(pl.col("notional_usd").is_finite() & (pl.col("notional_usd") > 0))
    if sized.is_empty():
        return message_figure(_TITLE, "no liquidations in this span")
    ranked = rank_symbols(sized, "notional_usd")
    symbols = ranked[:MAX_SYMBOLS]
    content_inches = max(4.6, 0.6 + 1.1 * len(symbols))
    figure = new_figure(_TITLE, _describe(len(symbols), len(ranked)), content_inches, side_patches())
    grid = figure.add_gridspec(len(symbols), 2, width_ratios=(1.5, 1))
    curves = figure.add_subplot(grid[:, 0])
    _draw_curves(curves, sized, symbols)
    edges = _bin_edges(sized["notional_usd"].to_numpy())
    for row, symbol in enumerate(symbols):
        axes = figure.add_subplot(grid[row, 1])
        _draw_histogram(axes, sized.filter(pl.col("symbol") == symbol), symbol, edges)
        axes.tick_params(labelbottom=row == len(symbols) - 1)
    axes.set_xlabel("size (USD)")
    return figure


def _describe(shown: int, total: int) -> str:
    words = "price x quantity in USD, one point per liquidation"
    return words if shown == total else f"{words}; the {shown} of {total} symbols with most notional"


def _draw_curves(axes: Any, sized: pl.DataFrame, symbols: list[str]) -> None:
    widest = max(map(len, symbols))
    for symbol, colour, dashes in zip(symbols, SYMBOL_COLOURS, SYMBOL_LINES, strict=False):
        sizes = np.sort(sized.filter(pl.col("symbol") == symbol)["notional_usd"].to_numpy())
        quantiles = np.quantile(sizes, _QUANTILES)
        label = _legend_row(symbol.ljust(widest), format_count(len(sizes)), [format_usd(float(q)) for q in quantiles])
        axes.plot(*_thin_curve(sizes), color=colour, ls=dashes, lw=1.5, ds="steps-pre", label=label)
        axes.plot(quantiles, [1 - q for q in _QUANTILES], "o", color=colour, ms=4.5, mec="white", mew=0.6)
    names = [f"P{quantile * 100:.0f}" for quantile in _QUANTILES]
    for name, quantile in zip(names, _QUANTILES, strict=True):
        axes.axhline(1 - quantile, color=MUTED, lw=0.6, ls=":", zorder=0.6)
        axes.annotate(name, (1, 1 - quantile), xycoords=axes.get_yaxis_transform(), ha="right", va="bottom", color=INK)
    axes.set(xscale="log", yscale="log", xlabel="size (USD)", ylabel="share of liquidations at least this large")
    most_events = int(sized.group_by("symbol").len()["len"].to_numpy().max())
    axes.set_ylim(bottom=0.4 * min(1 - _QUANTILES[-1], 1 / most_events), top=1.6)
    _log_usd_axis(axes)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    axes.grid(which="major")
    _add_curve_legend(axes, _LINE_SPACE + _legend_row(" " * widest, "events", names))


def _legend_row(symbol: str, events: str, values: Sequence[str]) -> str:
    return f"{symbol}{events:>9}" + "".join(f"{value:>7}" for value in values)


def _add_curve_legend(axes: Any, head: str) -> None:
    fixed = {"family": "monospace", "size": 7.5}
    legend = axes.legend(loc="lower left", prop=fixed, handlelength=2.2, handletextpad=0.8, title=head)
    legend.get_title().set_fontproperties(fixed)
    legend.set_alignment("left")


def _thin_curve(sizes: Floats) -> tuple[Floats, Floats]:
    """Sizes and the share at least as large, at places evenly spaced in the logarithm of the rank."""
    ranks = np.unique(np.geomspace(1, len(sizes), _CURVE_POINTS).round().astype(np.int64))[::-1]
    return sizes[len(sizes) - ranks], ranks / len(sizes)


def _bin_edges(sizes: Floats) -> Floats:
    """Five bins per factor of ten, from one power of ten to another, so that the axis has ticks to read."""
    low, high = np.floor(np.log10(sizes.min())), np.floor(np.log10(sizes.max())) + 1
    return np.asarray(np.logspace(low, high, round(high - low) * _BINS_PER_DECADE + 1), dtype=np.float64)


def _draw_histogram(axes: Any, sized: pl.DataFrame, symbol: str, edges: Floats) -> None:
    counts = {}
    for side in (SHORT, LONG):
        sizes = sized.filter(pl.col("liquidated_side") == side)["notional_usd"].to_numpy()
        counts[side] = np.histogram(sizes, edges)[0]
        direction = 1 if side == SHORT else -1
        axes.stairs(direction * counts[side], edges, fill=True, color=SIDE_COLOURS[side], lw=0, label=side)
    axes.axhline(0, color=INK, lw=0.6)
    tallest = max(int(values.max()) for values in counts.values())
    axes.set_ylim(-1.1 * max(counts[LONG].max(), 0.15 * tallest), 1.1 * max(counts[SHORT].max(), 0.15 * tallest))
    axes.set_xscale("log")
    _log_usd_axis(axes)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_count(abs(value))))
    axes.grid(axis="y")
    axes.set_ylabel("events")
    axes.set_title(symbol, loc="left", weight="bold", pad=2)


def _log_usd_axis(axes: Any) -> None:
    axes.xaxis.set_major_locator(LogLocator(numticks=9))
    axes.xaxis.set_minor_locator(NullLocator())
    usd_axis(axes.xaxis)
