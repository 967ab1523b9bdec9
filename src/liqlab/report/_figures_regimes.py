"""Quiet and volatile over time, by both methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator

from liqlab.core.time import MS_PER_MINUTE
from liqlab.regimes import VOLATILE
from liqlab.report._figures_data import Floats, Integers, to_ms
from liqlab.report._style import INK, MUTED, message_figure, new_figure, say, styled, time_axis, to_days
from liqlab.report._words import percent

_TITLE = "Quiet and volatile regimes, as known at the time"
_MOST_SYMBOLS = 3
#: More points than this are not seen in a panel.
_MOST_POINTS = 4_000
_VOLATILE_SHADE = "#f0d9e4"
_VOLATILITY = "#332288"
_THRESHOLD = "#882255"
_PROBABILITY = "#44aa99"
#: A volatility that leaps over more than this many minutes is not joined by a line.
_GAP_MINUTES = 3


@styled
def plot_regimes(tables: Mapping[str, pl.DataFrame]) -> Figure:
    """Volatility and its trailing threshold over time, with the volatile stretches shaded, for up to three symbols.

    `tables` holds one `core.schema.REGIMES` frame for each symbol, in the order in which they are drawn; the first
    three with a known volatility are. Below each, the filtered probability of the volatile state of the model.
    Without any volatility the figure says so.
    """
    known = {symbol: table for symbol, table in tables.items() if table["volatility_bps"].count()}
    if not known:
        return message_figure(_TITLE, "no volatility is known: too few prices, or none")
    drawn = dict(list(known.items())[:_MOST_SYMBOLS])
    low = min(int(to_ms(table["time"])[0]) for table in drawn.values())
    high = max(int(to_ms(table["time"])[-1]) for table in drawn.values())
    figure = new_figure(_TITLE, _describe(len(tables), len(known), len(drawn)), 0.3 + 2.2 * len(drawn), _list_legend())
    panels = figure.subplots(2 * len(drawn), 1, sharex=True, height_ratios=[3.2, 1.0] * len(drawn))
    for place, (symbol, table) in enumerate(drawn.items()):
        upper, lower = panels[2 * place], panels[2 * place + 1]
        _draw_volatility(upper, symbol, table)
        _draw_probability(lower, table)
    for axes in panels:
        time_axis(axes, low, max(high, low + MS_PER_MINUTE), label=axes is panels[-1])
        axes.tick_params(labelbottom=axes is panels[-1])
    return figure


def _describe(n_given: int, n_known: int, n_drawn: int) -> str:
    words = "volatility of the trailing window against the trailing quantile of the volatilities before it"
    if n_drawn < n_known:
        return f"{words}; the first {n_drawn} of {n_given} symbols"
    if n_known < n_given:
        return f"{words}; {n_drawn} of {n_given} symbols have one"
    return words


def _list_legend() -> list[Any]:
    return [
        Line2D([], [], color=_VOLATILITY, lw=1.0, label="realised volatility"),
        Line2D([], [], color=_THRESHOLD, lw=1.0, ls="--", label="its trailing threshold"),
        Patch(color=_VOLATILE_SHADE, lw=0, label="volatile (above the threshold)"),
        Patch(color=_PROBABILITY, alpha=0.6, lw=0, label="P(volatile), hidden Markov model, filtered"),
    ]


def _draw_volatility(axes: Any, symbol: str, table: pl.DataFrame) -> None:
    times = to_ms(table["time"])
    spans = [(float(to_days(start)), float(to_days(end - start))) for start, end in _list_stretches(table)]
    if spans:
        axes.broken_barh(spans, (0, 1), transform=axes.get_xaxis_transform(), color=_VOLATILE_SHADE, lw=0, zorder=0.5)
    for column, colour, line in (("volatility_bps", _VOLATILITY, "-"), ("threshold_bps", _THRESHOLD, "--")):
        places, values = _thin(times, table[column])
        axes.plot(to_days(places), values, color=colour, ls=line, lw=0.9, label=column)
    _scale(axes, table)
    axes.set_ylabel("volatility\n(bps per √hour)")
    axes.set_title(symbol, loc="left", weight="bold")
    axes.set_title(_shares(table), loc="right", color=MUTED)
    axes.grid(axis="y")


def _scale(axes: Any, table: pl.DataFrame) -> None:
    """Logarithmic, as volatility is; linear for a price that never moves."""
    if not (table["volatility_bps"] > 0.0).any():
        axes.set_ylim(0.0, 1.0)
        return
    axes.set_yscale("log", nonpositive="mask")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=8))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.minorticks_off()


def _shares(table: pl.DataFrame) -> str:
    shares = []
    for column, method in (("regime", "by quantile"), ("regime_hmm", "by hidden Markov model")):
        regimes = table[column].drop_nulls()
        share = float((regimes == VOLATILE).mean()) if len(regimes) else None  # type: ignore[arg-type]
        shares.append(f"{percent(share)} {method}" if share is not None else f"none {method}")
    return f"volatile: {', '.join(shares)}"


def _draw_probability(axes: Any, table: pl.DataFrame) -> None:
    times, probability = to_ms(table["time"]), table["volatile_probability"]
    if probability.count() == 0:
        say(axes, "no fitted model in this span")
        return
    places, values = _thin(times, probability)
    axes.fill_between(to_days(places), 0.0, values, color=_PROBABILITY, alpha=0.6, lw=0, step="post")
    axes.axhline(0.5, color=INK, lw=0.5, ls=":")
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1], ["0", "½", "1"])
    axes.set_ylabel("P(volatile)", size=7)


def _list_stretches(table: pl.DataFrame) -> list[tuple[int, int]]:
    """Start and end (milliseconds) of the runs of volatile minutes; a minute reaches to the next."""
    times = to_ms(table["time"])
    volatile = (table["regime"] == VOLATILE).fill_null(False).to_numpy().astype(np.int8)
    edges = np.diff(np.concatenate(([0], volatile, [0])))
    starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return [
        (int(times[start]), int(times[stop - 1]) + MS_PER_MINUTE) for start, stop in zip(starts, stops, strict=True)
    ]


def _thin(times: Integers, values: pl.Series) -> tuple[Integers, Floats]:
    """Every k-th value, so that at most 4,000 are drawn, and NaN where nothing is known."""
    every = max(1, -(-len(times) // _MOST_POINTS))
    return times[::every], values.cast(pl.Float64).fill_null(float("nan")).to_numpy()[::every]
