"""Liquidations by hour of the day and day of the week."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import polars as pl
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from liqlab.core.time import MS_PER_HOUR, MS_PER_MINUTE
from liqlab.panel import Intervals, select_intervals
from liqlab.report._figures_data import (
    ALL_SYMBOLS,
    Floats,
    Integers,
    bar_width_ms,
    rank_symbols,
    to_ms,
)
from liqlab.report._style import (
    INK,
    MAX_SYMBOLS,
    MUTED,
    heat_colours,
    message_figure,
    new_figure,
    styled,
)
from liqlab.report._text import format_count, format_number_of

_TITLE = "Liquidations by hour and weekday"
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_SESSIONS = (("Asia", 0, 8), ("Europe", 8, 13), ("US", 13, 21), ("late", 21, 24))
_HOURS_PER_DAY = 24
_HATCH_COLOUR = "#cfcfcf"
_EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday

#: A rate from less covered time than this says nothing.
_LEAST_COVERED_MS = 10 * MS_PER_MINUTE


class _Rates(NamedTuple):
    """Events per covered hour by weekday and hour, shape (7, 24), NaN where hardly covered; and over everything."""

    cells: Floats
    mean: float
    events: int


@styled
def plot_hour_by_weekday(bars: pl.DataFrame, coverage: pl.DataFrame, width: str = "1h") -> Figure:
    """Liquidations per covered hour for each hour (UTC) and weekday: all symbols with numbers, then each symbol.

    `bars` is a table of bars not longer than an hour (`width` names which), `coverage` the table of covered intervals.
    A cell is the number of liquidations in it divided by the covered hours in it, summed over the weeks; one with less
    than ten covered minutes is hatched. The panels of the symbols show each cell relative to the symbol's own mean. Of
    more than six symbols the six with most notional are drawn. Without liquidations or coverage the figure says so.
    Raises `ValueError` for a width that no table of bars has.
    """
    width_ms = bar_width_ms(width)
    if bars["liq_count"].sum() == 0:
        return message_figure(_TITLE, "no liquidations in this span")
    covered_ms = _covered_by_cell(select_intervals(coverage))
    if covered_ms.sum() == 0:
        return message_figure(_TITLE, "coverage is unknown: a rate per covered hour cannot be computed")
    ranked = rank_symbols(bars, "liq_notional")
    symbols = ranked[:MAX_SYMBOLS] if len(ranked) > 1 else []
    rows = (len(symbols) + 1) // 2
    legend = _list_legend(covered_ms)
    figure = new_figure(_TITLE, _describe(covered_ms, len(ranked)), 3.1 + 1.7 * rows, legend)
    grid = figure.add_gridspec(rows + 1, 2, height_ratios=(1.75, *(1,) * rows))
    _draw_all(figure, figure.add_subplot(grid[0, :]), ranked, _compute_rates(bars, covered_ms, width_ms))
    panels = [figure.add_subplot(grid[1 + place // 2, place % 2]) for place in range(len(symbols))]
    for axes, symbol in zip(panels, symbols, strict=True):
        own_ms = _covered_by_cell(select_intervals(coverage, symbol))
        rates = _compute_rates(bars.filter(pl.col("symbol") == symbol), own_ms, width_ms)
        image = _draw_relative(axes, symbol, rates)
    if panels:
        bar = figure.colorbar(image, ax=panels, extend="max", shrink=0.9, pad=0.01)
        bar.set_label("times the symbol's own mean")
        bar.set_ticks([0, 0.25, 0.5, 1, 2, 4], labels=["0", "¼", "½", "1", "2", "4"])
    return figure


def _describe(covered_ms: Floats, n_symbols: int) -> str:
    words = f"liquidations per covered hour; {format_count(float(covered_ms.sum()) / MS_PER_HOUR, 1)} h covered"
    if n_symbols <= MAX_SYMBOLS:
        return words
    return f"{words}; below, the {MAX_SYMBOLS} of {n_symbols} symbols with most notional"


def _list_legend(covered_ms: Floats) -> list[Any]:
    if np.all(covered_ms >= _LEAST_COVERED_MS):
        return []
    return [Patch(facecolor="white", edgecolor=_HATCH_COLOUR, hatch="////", label="less than 10 min covered")]


def _hour_of_week(hours: Integers) -> Integers:
    """Cell number 0..167, Monday 00:00 first, of hours counted from 1970-01-01 UTC."""
    return (hours + _EPOCH_WEEKDAY * _HOURS_PER_DAY) % (7 * _HOURS_PER_DAY)


def _covered_by_cell(intervals: Intervals) -> Floats:
    """Covered milliseconds by weekday and hour, shape (7, 24)."""
    total = np.zeros(len(_WEEKDAYS) * _HOURS_PER_DAY)
    for start, end in zip(intervals.start_ms, intervals.end_ms, strict=True):
        hours = np.arange(start // MS_PER_HOUR, end // MS_PER_HOUR + 1)
        edges = np.clip(np.append(hours, hours[-1] + 1) * MS_PER_HOUR, start, end)
        np.add.at(total, _hour_of_week(hours), np.diff(edges))
    return total.reshape(len(_WEEKDAYS), _HOURS_PER_DAY)


def _compute_rates(bars: pl.DataFrame, covered_ms: Floats, width_ms: int) -> _Rates:
    hours = (to_ms(bars["time"]) - width_ms) // MS_PER_HOUR
    counts = np.bincount(_hour_of_week(hours), weights=bars["liq_count"].to_numpy(), minlength=168)
    counts = counts.reshape(7, _HOURS_PER_DAY)
    enough = covered_ms >= _LEAST_COVERED_MS
    cells = np.full(counts.shape, np.nan)
    np.divide(counts, covered_ms / MS_PER_HOUR, out=cells, where=enough)
    mean = float(counts.sum() / (covered_ms.sum() / MS_PER_HOUR)) if covered_ms.sum() > 0 else float("nan")
    return _Rates(cells, mean, int(counts.sum()))


def _draw_all(figure: Figure, axes: Any, symbols: list[str], rates: _Rates) -> None:
    highest = np.nanmax(rates.cells, initial=0.0)
    norm = PowerNorm(0.5, vmin=0, vmax=highest if highest > 0 else 1.0)
    image = _draw_cells(axes, rates.cells, norm)
    for weekday, hour in np.argwhere(np.isfinite(rates.cells)):
        rate = rates.cells[weekday, hour]
        colour = "white" if norm(rate) > 0.42 else INK
        axes.text(
            hour + 0.5, weekday + 0.5, _short(rate), ha="center", va="center", size=6.5, color=colour
        ).set_in_layout(False)
    bar = figure.colorbar(image, ax=axes, pad=0.01)
    bar.set_label("events per covered hour")
    axes.set_xlabel("hour of the day (UTC)")
    name = ALL_SYMBOLS if len(symbols) > 1 else symbols[0]
    words = f"{format_number_of(rates.events, 'liquidation')}, mean {_short(rates.mean)} per covered hour"
    axes.set_title(name, loc="left", weight="bold", pad=15)
    axes.set_title(words, loc="right", color=MUTED, pad=15)
    _mark_sessions(axes, named=True)


def _draw_relative(axes: Any, symbol: str, rates: _Rates) -> Any:
    relative = rates.cells / rates.mean if rates.events else rates.cells
    image = _draw_cells(axes, relative, PowerNorm(0.5, vmin=0, vmax=4))
    axes.set_title(symbol, loc="left", weight="bold")
    axes.set_title(f"mean {_short(rates.mean)} per covered hour", loc="right", color=MUTED)
    _mark_sessions(axes, named=False)
    return image


def _draw_cells(axes: Any, cells: Floats, norm: PowerNorm) -> Any:
    hours, days = np.arange(_HOURS_PER_DAY + 1), np.arange(len(_WEEKDAYS) + 1)
    _hatch(axes, np.isnan(cells))
    masked = np.ma.masked_invalid(cells)
    image = axes.pcolormesh(hours, days, masked, norm=norm, cmap=heat_colours(), edgecolors="white", lw=0.4)
    axes.set_xlim(0, _HOURS_PER_DAY)
    axes.set_ylim(len(_WEEKDAYS), 0)
    axes.set_yticks(days[:-1] + 0.5, _WEEKDAYS)
    axes.set_xticks(np.arange(0, _HOURS_PER_DAY + 1, 3), [f"{hour:02d}" for hour in range(0, _HOURS_PER_DAY + 1, 3)])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return image


def _hatch(axes: Any, cells: NDArray[np.bool_]) -> None:
    for weekday in range(len(_WEEKDAYS)):
        spans = [(int(hour), 1) for hour in np.flatnonzero(cells[weekday])]
        if spans:
            axes.broken_barh(spans, (weekday, 1), facecolor="white", edgecolor=_HATCH_COLOUR, hatch="////", lw=0)


def _mark_sessions(axes: Any, named: bool) -> None:
    for name, start, end in _SESSIONS:
        if start > 0:
            axes.axvline(start, color=INK, lw=1.0)
        if named:
            axes.annotate(
                f"{name} {start:02d}-{end:02d}",
                ((start + end) / 2, 1),
                xycoords=axes.get_xaxis_transform(),
                xytext=(0, 4),
                textcoords="offset points",
                ha="center",
                color=MUTED,
            )


def _short(rate: float) -> str:
    """At most four characters, so that it fits into a cell."""
    if rate >= 9_950:
        return f"{rate / 1_000:.0f}k"
    return f"{rate:.0f}" if rate >= 9.95 or rate == 0 else f"{rate:.1f}"
