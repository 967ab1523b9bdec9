"""A few large cascades, second by second."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from liqlab.core.schema import LONG, SHORT
from liqlab.core.time import MS_PER_S, format_time
from liqlab.report._figures_data import PriceLine, price_line, to_ms
from liqlab.report._style import (
    INK,
    MUTED,
    SIDE_COLOURS,
    format_span,
    message_figure,
    new_figure,
    price_axis,
    styled,
    usd_axis,
)
from liqlab.report._text import format_count, format_number_of, format_usd

_TITLE = "Cascade examples"

#: A ticker slower than this shows no path inside a cascade that lasts seconds.
_COARSE_MS = 15 * MS_PER_S

_PANEL_INCHES = 2.6
_PADDING_MS = 2 * MS_PER_S
_PADDING_FRAC = 0.15
_CONFIRMED_COLOUR = "#117733"
_ENDED_COLOUR = "#7a7a7a"


class _Window(NamedTuple):
    """One cascade with its liquidations in order, the price around it, and the span drawn in milliseconds."""

    cascade: dict[str, Any]
    start_ms: int
    low_ms: float
    high_ms: float
    liquidations: pl.DataFrame
    line: PriceLine

    def seconds(self, times_ms: Any) -> Any:
        return (np.asarray(times_ms, dtype=np.float64) - self.start_ms) / MS_PER_S

    @property
    def is_coarse(self) -> bool:
        return self.line.interval_ms is None or self.line.interval_ms > _COARSE_MS


@styled
def plot_cascade_examples(
    cascades: pl.DataFrame, liquidations: pl.DataFrame, prices: pl.DataFrame, n: int = 6
) -> Figure:
    """The largest cascades, one panel each: price, notional so far by side, and when it was confirmed and ended.

    The three frames are the tables of cascades, liquidations and ticker. At most `n` (at least 1) panels: the left
    column holds the largest by notional, the right one the largest by number of liquidations among the others; in
    either the largest of each symbol come before a second of the same symbol. Where the ticker comes every 15 s or more
    often its price (mark, else last) is drawn; else, or without one, the panel says so and shows the published prices
    of the liquidations as dots, named as what they are. Without a cascade the figure says so in words.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    if cascades.is_empty():
        return message_figure(_TITLE, "no cascade in this span")
    columns = [column for column in _choose(cascades, n) if not column.is_empty()]
    windows = [
        [_cut_window(cascade, liquidations, prices) for cascade in column.iter_rows(named=True)] for column in columns
    ]
    rows = len(windows[0])
    subtitle = "the largest by notional" + (" (left) and by number of liquidations (right)" if len(columns) > 1 else "")
    subtitle = f"{sum(map(len, windows))} of {format_count(len(cascades))}: {subtitle}, different symbols first"
    legend = _list_legend([window for column in windows for window in column])
    figure = new_figure(_TITLE, subtitle, 0.2 + _PANEL_INCHES * rows, legend)
    grid = figure.add_gridspec(rows, len(windows))
    for place, column in enumerate(windows):
        for row, window in enumerate(column):
            _draw_panel(figure.add_subplot(grid[row, place]), window)
    return figure


def _choose(cascades: pl.DataFrame, n: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    by_notional = _rank(cascades, "notional_usd").head(-(-n // 2))
    others = cascades.join(by_notional, on="cascade_id", how="anti", maintain_order="left")
    return by_notional, _rank(others, "n_liquidations").head(n // 2)


def _rank(cascades: pl.DataFrame, size: str) -> pl.DataFrame:
    """By falling `size`, the largest of each symbol first."""
    by_size = cascades.sort(size, "start", "symbol", descending=[True, False, False], maintain_order=True)
    is_repeated = pl.col("symbol").is_first_distinct().not_().alias("is_repeated")
    return by_size.with_columns(is_repeated).sort("is_repeated", maintain_order=True)


def _cut_window(cascade: dict[str, Any], liquidations: pl.DataFrame, prices: pl.DataFrame) -> _Window:
    inside = pl.col("event_time").is_between(cascade["start"], cascade["end"])
    members = liquidations.filter((pl.col("symbol") == cascade["symbol"]) & inside).sort(
        "event_time", maintain_order=True
    )
    start, ended = (round(cascade[name].timestamp() * MS_PER_S) for name in ("start", "ended"))
    padding = max(_PADDING_MS, _PADDING_FRAC * (ended - start))
    low, high = start - padding, ended + padding
    line = price_line(prices, cascade["symbol"], low - _COARSE_MS, high + _COARSE_MS)
    return _Window(cascade, start, low, high, members, line)


def _draw_panel(axes: Any, window: _Window) -> None:
    amounts = axes.twinx()
    axes.set_zorder(amounts.get_zorder() + 1)
    axes.patch.set_visible(False)
    _draw_amounts(amounts, window)
    if window.is_coarse:
        _draw_dots(axes, window)
    else:
        x, y = window.seconds(window.line.times_ms), window.line.prices
        axes.plot(x, y, color=INK, lw=1.2, ds="steps-post", marker=".", ms=4, label="price")
    _mark_moments(axes, window)
    axes.set_xlim(*window.seconds([window.low_ms, window.high_ms]))
    axes.set_xlabel(f"seconds after {format_time(window.start_ms)[11:]} UTC")
    axes.set_ylabel("liquidation price (USD)" if window.is_coarse else "price (USD)")
    price_axis(axes.yaxis, ticks=5)
    axes.margins(y=0.12)
    axes.set_title(_describe(window), loc="left", size=8.5, pad=15 if window.is_coarse else 5)


def _draw_amounts(axes: Any, window: _Window) -> None:
    times = window.seconds(to_ms(window.liquidations["event_time"]))
    low, high = window.seconds([window.low_ms, window.high_ms])
    notional = window.liquidations["notional_usd"].to_numpy()
    for side in (LONG, SHORT):
        own = np.where((window.liquidations["liquidated_side"] == side).to_numpy(), notional, 0.0)
        if not own.any():
            continue
        sums = np.concatenate(([0.0], np.cumsum(own)))
        x, y = np.concatenate(([low], times, [high])), np.append(sums, sums[-1])
        axes.step(x, y, where="post", color=SIDE_COLOURS[side], lw=1.6, label=side)
        axes.fill_between(x, y, step="post", color=SIDE_COLOURS[side], alpha=0.12, lw=0)
    largest = max(window.cascade["long_notional_usd"], window.cascade["short_notional_usd"])
    axes.set_ylim(0, 1.12 * largest)
    axes.spines["right"].set_visible(True)
    axes.set_ylabel("notional so far")
    axes.grid(axis="x")
    usd_axis(axes.yaxis, ticks=5)


def _draw_dots(axes: Any, window: _Window) -> None:
    times = window.seconds(to_ms(window.liquidations["event_time"]))
    for side in (LONG, SHORT):
        own = (window.liquidations["liquidated_side"] == side).to_numpy()
        style = {"facecolors": "white", "edgecolors": SIDE_COLOURS[side], "s": 13, "linewidths": 0.9}
        axes.scatter(times[own], window.liquidations["price"].to_numpy()[own], label=f"{side} prices", **style)
    seen = np.isfinite(window.line.prices)
    if np.any(seen):
        x, y = window.seconds(window.line.times_ms[seen]), window.line.prices[seen]
        axes.scatter(x, y, marker="D", color=INK, s=26, label="price", zorder=4)
    interval = window.line.interval_ms
    words = "no ticker price" if interval is None else f"ticker price every {format_span(interval)}"
    words = f"{words}; dots are bankruptcy or order prices"
    place = {"xy": (0, 1), "xycoords": "axes fraction", "xytext": (0, 4), "textcoords": "offset points"}
    axes.annotate(words, **place, size=7, color=MUTED).set_in_layout(False)


def _mark_moments(axes: Any, window: _Window) -> None:
    for name, colour, line in (("confirmed", _CONFIRMED_COLOUR, "--"), ("ended", _ENDED_COLOUR, ":")):
        moment = window.seconds(window.cascade[name].timestamp() * MS_PER_S)
        axes.axvline(moment, color=colour, lw=1.2, ls=line, label=name)


def _describe(window: _Window) -> str:
    cascade = window.cascade
    side, total = cascade["dominant_side"], cascade["notional_usd"]
    share = cascade[f"{side}_notional_usd"] / total if total > 0 else 0.0
    number = format_number_of(cascade["n_liquidations"], "liquidation")
    sizes = f"{number}, {format_usd(total)}, {100 * share:.0f} % {side}s"
    return f"{cascade['symbol']}  {format_time(window.start_ms)} UTC\n{sizes}"


def _list_legend(windows: list[_Window]) -> list[Any]:
    handles: list[Any] = []
    if any(not window.is_coarse for window in windows):
        handles.append(Line2D([], [], color=INK, lw=1.2, marker=".", ms=4, label="ticker price (left axis)"))
    if any(window.is_coarse and len(window.line.prices) for window in windows):
        handles.append(Line2D([], [], color=INK, marker="D", ls="", ms=4.5, label="ticker price"))
    if any(window.is_coarse for window in windows):
        hollow: dict[str, Any] = {"marker": "o", "ls": "", "ms": 3.8, "mfc": "white"}
        handles.append(Line2D([], [], color=MUTED, label="liquidation prices (left axis)", **hollow))
    for side in (SHORT, LONG):
        handles.append(
            Line2D([], [], color=SIDE_COLOURS[side], lw=1.6, label=f"{side}s liquidated so far (right axis)")
        )
    handles.append(Line2D([], [], color=_CONFIRMED_COLOUR, ls="--", lw=1.2, label="confirmed"))
    handles.append(Line2D([], [], color=_ENDED_COLOUR, ls=":", lw=1.2, label="ended"))
    return handles
