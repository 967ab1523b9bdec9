"""What a strategy earns beside chance, and beside its own size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from liqlab.backtest import DEFAULT, OUT_OF_FOLD, SCALED, Backtests, StrategyRun
from liqlab.report._backtest_reading import (
    find_chance,
    format_probability,
    list_runs,
    list_strategies,
    read_metrics,
    shorten_name,
)
from liqlab.report._style import INK, MUTED, message_figure, new_figure, styled, usd_axis

_CHANCE = "Backtests beside chance"
_CAPACITY = "Backtests: how large an order may be"
_DRAW_COLOURS = {"random entries": "#9c9c9c", "random sides": "#cdcdcd"}
_OWN_COLOUR = "#0068a8"
_FAINT = 0.3
#: How far apart the rows of one strategy are from the next's.
_GAP = 0.7
_LINES = {DEFAULT: ("#0068a8", "-", "o"), SCALED: ("#e07b00", "-", "s"), OUT_OF_FOLD: ("#222222", "--", "^")}
#: Side by side, so that bars do not hide each other.
_SHIFTS = {DEFAULT: 0.92, SCALED: 1.0, OUT_OF_FOLD: 1.08}
_BPS = "mean result of a trade, bps"


@styled
def plot_chance(backtests: Backtests) -> Figure:
    """Mean net and gross result of a trade of each run, with its interval, beside the range of random draws.

    One row for each variant that traded. The share of draws at least as good stands at the right, the larger of the
    two kinds. Of a run with fewer than 30 trades only the draws are shown, faint. Without a trade the figure says so.
    """
    rows = _list_rows(backtests)
    if not rows:
        return message_figure(_CHANCE, "no strategy traded")
    subtitle = (
        "mean over trades; grey: 95 % of the random draws, which pay the same costs; right: share at least as good"
    )
    figure = new_figure(_CHANCE, subtitle, 0.6 + 0.34 * (rows[-1][1] + 1), _chance_legend())
    axes = figure.add_subplot()
    axes.axvline(0.0, color=INK, lw=0.9, zorder=0.9)
    axes.grid(axis="x")
    for run, place in rows:
        _draw_row(axes, run, place)
    axes.set_yticks([place for _, place in rows], [_name_row(run, rows) for run, _ in rows])
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(_BPS)
    axes.use_sticky_edges = False
    axes.margins(x=0.06)
    axes.set_ylim(rows[-1][1] + 0.6, -0.6)
    return figure


def _list_rows(backtests: Backtests) -> list[tuple[StrategyRun, float]]:
    """The runs that traded, and their places from top to bottom."""
    rows: list[tuple[StrategyRun, float]] = []
    place = 0.0
    for name in list_strategies(backtests):
        own = [run for run in list_runs(backtests, name) if run.ledger.trades.height]
        rows += [(run, place + number) for number, run in enumerate(own)]
        place += len(own) + _GAP * bool(own)
    return rows


def _name_row(run: StrategyRun, rows: Sequence[tuple[StrategyRun, float]]) -> str:
    first = next(own for own, _ in rows if own.strategy == run.strategy)
    return f"{shorten_name(run.strategy)}   {run.variant}" if run is first else run.variant


def _draw_row(axes: Any, run: StrategyRun, place: float) -> None:
    alpha = _FAINT if run.not_testable else 1.0
    for number, row in enumerate(run.benchmarks.iter_rows(named=True)):
        if row["draws_low"] is None:
            continue
        low, width = row["draws_low"], max(row["draws_high"] - row["draws_low"], 1e-9)
        colour = _DRAW_COLOURS.get(row["benchmark"], MUTED)
        axes.barh(place - 0.2 + 0.4 * number, width, 0.34, left=low, color=colour, alpha=alpha, lw=0, zorder=2)
    text = "not testable" if run.not_testable else _say_share(run)
    axes.text(1.01, place, text, transform=axes.get_yaxis_transform(), va="center", size=7.5, color=MUTED)
    metrics = read_metrics(run)
    net, gross = metrics["mean_net_bps"], metrics["mean_gross_bps"]
    if run.not_testable or net.value is None or gross.value is None:
        return
    axes.plot([net.value, gross.value], [place, place], color=_OWN_COLOUR, lw=0.7, ls=":", zorder=3)
    if net.ci_low is not None and net.ci_high is not None:
        axes.plot([net.ci_low, net.ci_high], [place, place], color=_OWN_COLOUR, lw=1.6, zorder=4)
    axes.plot(net.value, place, "o", ms=5, color=_OWN_COLOUR, zorder=5)
    axes.plot(gross.value, place, "o", ms=5, mfc="white", color=_OWN_COLOUR, zorder=5)


def _say_share(run: StrategyRun) -> str:
    share = find_chance(run)
    return "not drawn" if share is None else format_probability(share)


def _chance_legend() -> list[Any]:
    return [
        Line2D([], [], color=_OWN_COLOUR, marker="o", ms=5, lw=1.6, label="net, 95 % interval"),
        Line2D([], [], color=_OWN_COLOUR, marker="o", ms=5, mfc="white", ls=":", lw=0.7, label="gross"),
        *(Patch(color=colour, lw=0, label=label) for label, colour in _DRAW_COLOURS.items()),
    ]


@styled
def plot_capacity(backtests: Backtests) -> Figure:
    """Mean net result of a trade against the size of an order, one panel for each strategy that can be tested.

    Bars are 95 % intervals; the dotted line is the size that was traded. Without a run that can be tested it says so.
    """
    panels = {name: own for name in list_strategies(backtests) if (own := _list_curves(backtests, name))}
    if not panels:
        return message_figure(_CAPACITY, "no strategy has enough trades to be tested")
    n_columns = min(2, len(panels))
    n_rows = -(-len(panels) // n_columns)
    subtitle = "every fill priced again with the impact of that size; below zero nothing is left after costs"
    figure = new_figure(_CAPACITY, subtitle, 0.25 + 2.3 * n_rows, _capacity_legend(panels))
    grid = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True)
    traded_usd = backtests.config.execution.limits.notional_usd
    for axes, (name, own) in zip(grid.flat, panels.items(), strict=False):
        _draw_curves(axes, own, traded_usd)
        axes.set_title(shorten_name(name), loc="left", weight="bold")
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_ylabel("net, bps per trade")
    for axes in list(grid.flat)[max(0, len(panels) - n_columns) : len(panels)]:
        axes.xaxis.set_tick_params(labelbottom=True)
        axes.set_xlabel("size of an order, USD")
    return figure


def _list_curves(backtests: Backtests, name: str) -> list[StrategyRun]:
    return [run for run in list_runs(backtests, name) if not run.not_testable and run.capacity.curve.height]


def _capacity_legend(panels: dict[str, list[StrategyRun]]) -> list[Any]:
    shown = {run.variant for own in panels.values() for run in own}
    lines: list[Any] = [
        Line2D([], [], color=colour, ls=line, marker=mark, ms=3, lw=1.3, label=variant)
        for variant, (colour, line, mark) in _LINES.items()
        if variant in shown
    ]
    return [*lines, Line2D([], [], color=MUTED, lw=0.8, label="95 % interval (bars)")]


def _draw_curves(axes: Any, runs: Sequence[StrategyRun], traded_usd: float) -> None:
    axes.set_xscale("log")
    sizes_usd = runs[0].capacity.curve["notional_usd"]
    axes.set_xlim(sizes_usd[0] / 1.5, sizes_usd[-1] * 1.5)
    axes.axhline(0.0, color=INK, lw=0.9)
    axes.axvline(traded_usd, color=MUTED, lw=0.8, ls=":")
    axes.text(traded_usd, 0.02, " size traded", transform=axes.get_xaxis_transform(), size=7, color=MUTED)
    axes.grid(axis="y")
    for run in runs:
        colour, line, mark = _LINES[run.variant]
        curve = run.capacity.curve
        sizes, values = curve["notional_usd"].to_numpy(), curve["mean_net_bps"].to_numpy()
        places = sizes * _SHIFTS[run.variant]
        low, high = (curve[end].cast(pl.Float64).fill_null(np.nan).to_numpy() for end in ("ci_low", "ci_high"))
        axes.vlines(places, low, high, color=colour, lw=0.9, alpha=0.7)
        axes.plot(places, values, color=colour, ls=line, marker=mark, ms=3, lw=1.3)
    usd_axis(axes.xaxis)
    axes.minorticks_off()
