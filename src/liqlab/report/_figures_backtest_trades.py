"""Trades on the price: the largest gain and the largest loss of each strategy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from liqlab.backtest import DEFAULT, SCALED, Backtests
from liqlab.core.schema import LONG
from liqlab.report._backtest_reading import list_strategies, shorten_name
from liqlab.report._figures_data import Floats, Integers, to_ms
from liqlab.report._style import INK, MUTED, message_figure, new_figure, price_axis, say, styled, time_axis, to_days

_TRADES = "Backtests: the best and the worst trade on the price"
_GAIN, _LOSS = "#44aa99", "#882255"
#: The same, dark enough to be read.
_GAIN_TEXT = "#1f7a6c"
_ENTRY, _EXIT = "#0068a8", "#e07b00"
_GAP_MS = 60_000
#: The view around a trade, as a share of its length, and at least this long.
_MARGIN_FRAC, _MARGIN_MS = 0.5, 120_000


class Example(NamedTuple):
    """A trade as it stands in its ledger, and the prices around it, ascending in time."""

    strategy: str
    variant: str
    trade: dict[str, Any]
    times_ms: Integers
    prices: Floats


def list_examples(backtests: Backtests) -> dict[str, list[Example]]:
    """Strategy to its examples, the gain first: of the default variant, of the scaled one where that never traded."""
    found = {}
    for name in list_strategies(backtests):
        for variant in (DEFAULT, SCALED):
            own = _read_examples(backtests, name, variant)
            if own:
                found[name] = sorted(own, key=lambda example: -example.trade["net_return"])
                break
    return found


def _read_examples(backtests: Backtests, name: str, variant: str) -> list[Example]:
    run = backtests.find(name, variant)
    rows = backtests.examples.filter((pl.col("strategy") == name) & (pl.col("variant") == variant))
    if run is None or rows.is_empty():
        return []
    examples = []
    for number in rows["trade"].unique(maintain_order=True):
        prices = rows.filter(pl.col("trade") == number).sort("time", maintain_order=True)
        trade = run.ledger.trades.filter(pl.col("trade") == number).row(0, named=True)
        examples.append(Example(name, variant, trade, to_ms(prices["time"]), prices["price"].to_numpy()))
    return examples


@styled
def plot_trade_examples(backtests: Backtests) -> Figure:
    """Price around the best (left) and the worst trade (right) of each strategy, with its decision, entry and exit.

    Marks are the prices paid and received, costs of the book included. Where the trade left at a target or a stop its
    level is drawn. Without an example the figure says so.
    """
    found = list_examples(backtests)
    if not found:
        return message_figure(_TRADES, "no strategy traded")
    subtitle = (
        "picked by their result, so they say nothing about the other trades; marks are prices with spread and impact"
    )
    figure = new_figure(_TRADES, subtitle, 0.2 + 2.15 * len(found), _list_legend(), row_space=0.05)
    grid = figure.subplots(len(found), 2, squeeze=False)
    for row, examples in zip(grid, found.values(), strict=True):
        for axes, example in zip(row, examples, strict=False):
            _draw_example(axes, example)
        for axes in row[len(examples) :]:
            say(axes, "there is no other trade")
    for axes in grid[-1]:
        if axes.axison:
            axes.set_xlabel("time (UTC)")
    return figure


def _list_legend() -> list[Any]:
    return [
        Line2D([], [], color=MUTED, lw=0.9, label="price"),
        Line2D([], [], color=INK, lw=0.9, ls=":", label="decision"),
        Line2D([], [], color=_ENTRY, ls="", marker=">", ms=7, label="entry"),
        Line2D([], [], color=_EXIT, ls="", marker="s", ms=6, label="exit"),
        Line2D([], [], color=INK, lw=0.9, ls="--", label="level of the target"),
        Line2D([], [], color=_GAIN, lw=2, label="gain"),
        Line2D([], [], color=_LOSS, lw=2, ls=(0, (3, 1)), label="loss"),
    ]


def _draw_example(axes: Any, example: Example) -> None:
    trade = example.trade
    decided, entered, left = (int(trade[name].timestamp() * 1_000) for name in _MOMENTS)
    margin = max(_MARGIN_FRAC * (left - decided), _MARGIN_MS)
    times, prices = _break_gaps(example.times_ms, example.prices)
    seen = (times >= decided - margin) & (times <= left + margin)
    axes.plot(to_days(times[seen]), prices[seen], color=MUTED, lw=0.9, zorder=2)
    axes.axvline(to_days(decided), color=INK, lw=0.9, ls=":", zorder=1)
    is_gain = trade["net_return"] > 0.0
    ends = (to_days([entered, left]), [trade["entry_price"], trade["exit_price"]])
    axes.plot(*ends, color=_GAIN if is_gain else _LOSS, ls="-" if is_gain else (0, (3, 1)), lw=2, zorder=3)
    axes.plot(ends[0][0], ends[1][0], ls="", marker=">", ms=7, color=_ENTRY, zorder=4)
    axes.plot(ends[0][1], ends[1][1], ls="", marker="s", ms=6, color=_EXIT, zorder=4)
    level = find_level(trade)
    if level is not None:
        axes.plot(to_days([entered, left]), [level, level], color=INK, lw=0.9, ls="--", zorder=2.5)
    low, high = max(decided - margin, times[0]), min(left + margin, times[-1])
    time_axis(axes, low, max(high, low + _MARGIN_MS), label=False)
    price_axis(axes.yaxis, 5)
    axes.grid(axis="y")
    axes.set_title(f"{shorten_name(example.strategy)} ({example.variant})", loc="left", weight="bold", pad=16)
    place = {"transform": axes.transAxes, "va": "bottom", "size": 8, "in_layout": False}
    axes.text(0.0, 1.02, _say_result(trade), color=_GAIN_TEXT if is_gain else _LOSS, **place)


_MOMENTS = ("decision_time", "entry_time", "exit_time")


def find_level(trade: dict[str, Any]) -> float | None:
    """The price at which a trade was to leave, USD; None where it left for another reason or the level is unknown.

    A target is a resting order, so it is the price of the exit. The ledger does not keep the levels of stops.
    """
    return float(trade["exit_price"]) if trade["exit_reason"] == "target" else None


def _say_result(trade: dict[str, Any]) -> str:
    side = "bought" if trade["side"] == LONG else "sold"
    net, gross = 1e4 * trade["net_return"], 1e4 * trade["gross_return"]
    when = f"{trade['decision_time']:%Y-%m-%d %H:%M}"
    return f"{trade['symbol']} {side} {when}, out by {trade['exit_reason']}: {net:+.0f} bps net ({gross:+.0f} gross)"


def _break_gaps(times_ms: Integers, prices: Floats) -> tuple[Integers, Floats]:
    """The same with a NaN where nothing came for over a minute, and for three times the usual."""
    if len(times_ms) < 2:
        return times_ms, prices
    steps = np.diff(times_ms)
    places = np.flatnonzero(steps > max(_GAP_MS, 3 * float(np.median(steps)))) + 1
    return np.insert(times_ms, places, times_ms[places - 1] + 1), np.insert(prices, places, np.nan)
