"""The figures of the backtests: which there are, what to see in each, and the value of accounts over time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from liqlab.backtest import BENCHMARK, DEFAULT, EQUITY, OUT_OF_FOLD, SCALED, Backtests, StrategyRun
from liqlab.report._backtest_reading import find_chance, find_held, list_runs, list_strategies, name_shape, shorten_name
from liqlab.report._figures_backtest_chance import plot_capacity, plot_chance
from liqlab.report._figures_backtest_surface import has_surface, plot_surface
from liqlab.report._figures_backtest_trades import list_examples, plot_trade_examples
from liqlab.report._figures_data import Floats, to_ms
from liqlab.report._report_figure import BACKTESTS, ReportFigure
from liqlab.report._style import MUTED, message_figure, new_figure, styled, time_axis, to_days
from liqlab.report._words import plural

_EQUITY = "Backtests: value of the account after costs"
#: Variants are told apart by colour and line, also in grey.
VARIANT_COLOURS = {DEFAULT: "#0068a8", SCALED: "#e07b00", OUT_OF_FOLD: "#222222"}
_VARIANT_LINES = {DEFAULT: "-", SCALED: "-", OUT_OF_FOLD: "--"}
_HELD_COLOUR = "#b5b5b5"
#: More points than this are not seen in a picture.
_MOST_POINTS = 1_200


def list_backtest_figures(backtests: Backtests | None) -> list[ReportFigure]:
    """The figures of the backtests in the order of the findings; nothing is drawn yet, what has no data is left out."""
    return [] if backtests is None else list(_list_figures(backtests))


def _list_figures(backtests: Backtests) -> Iterator[ReportFigure]:
    runs = [run for name in list_strategies(backtests) for run in list_runs(backtests, name)]
    traded = [run for run in runs if run.ledger.trades.height]
    if traded:
        yield ReportFigure(
            "liquidations_backtest_equity.png", BACKTESTS, _caption_equity(traded), partial(plot_equity, backtests)
        )
    if any(find_chance(run) is not None for run in runs):
        yield ReportFigure(
            "liquidations_backtest_chance.png", BACKTESTS, _caption_chance(runs), partial(plot_chance, backtests)
        )
    if list_examples(backtests):
        yield ReportFigure(
            "liquidations_backtest_trades.png",
            BACKTESTS,
            _caption_trades(backtests),
            partial(plot_trade_examples, backtests),
        )
    if has_surface(backtests):
        yield ReportFigure(
            "liquidations_backtest_surface.png",
            BACKTESTS,
            _caption_surface(backtests),
            partial(plot_surface, backtests),
        )
    if any(not run.not_testable and run.capacity.curve.height for run in runs):
        yield ReportFigure(
            "liquidations_backtest_capacity.png", BACKTESTS, _caption_capacity(runs), partial(plot_capacity, backtests)
        )


def _caption_equity(traded: Sequence[StrategyRun]) -> str:
    return (
        f"Value of the account and drawdown of {plural(len(traded), 'run')} that traded, from "
        f"{min(run.ledger.trades.height for run in traded):,} to {max(run.ledger.trades.height for run in traded):,} "
        "trades each, beside buying and holding (grey). See: whether a line rises by itself or with the market, "
        "whether out of fold (dashed, from its own start) does what the others do, and that "
        "a steady fall is what costs look like."
    )


def _caption_chance(runs: Sequence[StrategyRun]) -> str:
    most = max(n for run in runs for n in run.benchmarks["n_draws"])
    return (
        f"Mean result of a trade beside up to {most:,} random draws that paid the same costs (grey: "
        "95 % of them). See: whether the net result lies right of the grey and of zero, and how far costs move it from "
        "the gross result (hollow). Of runs with fewer than 30 trades only the draws are shown: they are not testable."
    )


def _caption_trades(backtests: Backtests) -> str:
    return (
        f"The best and the worst trade of {plural(len(list_examples(backtests)), 'strategy', 'strategies')} on the "
        "price: decision, entry, exit, and the target where the trade left by it. See: that the entry comes after the "
        "decision, and every fill after the price that caused it. Picked by their result: they say nothing about the "
        "others."
    )


def _caption_surface(backtests: Backtests) -> str:
    shapes = [f"{name} {name_shape(search)}" for name, search in backtests.searches.items()]
    return (
        f"Score of the search over the two parameters that move it most: {', '.join(shapes)}. See: whether the best "
        "(framed) stands among neighbours that are good too, with the other parameters as in the best (left) and in "
        "their mean (right). Chosen after looking: no cell is a result."
    )


def _caption_capacity(runs: Sequence[StrategyRun]) -> str:
    n = sum(not run.not_testable for run in runs)
    return (
        f"Net result of a trade against the size of an order, {plural(n, 'testable run')}, with 95 % intervals. See: "
        "where a line crosses zero, if it starts above it; one that starts below loses at any size."
    )


@styled
def plot_equity(backtests: Backtests) -> Figure:
    """Value of the account in % of the capital and drawdown over time, one column for each of up to two strategies.

    Each strategy has a panel of all its variants and of buying and holding, and one of the drawdown below. Without a
    trade the figure says so.
    """
    names = [name for name in list_strategies(backtests) if _traded(backtests, name)]
    if not names:
        return message_figure(_EQUITY, "no strategy traded")
    capital_usd = backtests.config.execution.limits.capital_usd
    n_columns = min(2, len(names))
    n_rows = -(-len(names) // n_columns)
    figure = new_figure(_EQUITY, _describe(backtests), 0.25 + 2.9 * n_rows, _list_legend(backtests))
    grid = figure.subplots(2 * n_rows, n_columns, squeeze=False, sharex=True, height_ratios=[2.1, 1.0] * n_rows)
    for place, name in enumerate(names):
        row, column = 2 * (place // n_columns), place % n_columns
        _draw_equity(grid[row, column], grid[row + 1, column], backtests, name, capital_usd)
    for place in range(len(names), n_rows * n_columns):
        for axes in grid[2 * (place // n_columns) : 2 * (place // n_columns) + 2, place % n_columns]:
            axes.set_axis_off()
    for column in range(n_columns):
        last = max(row for row in range(2 * n_rows) if grid[row, column].axison)
        grid[last, column].xaxis.set_tick_params(labelbottom=True)
        grid[last, column].set_xlabel("time (UTC)")
    return figure


def _traded(backtests: Backtests, name: str) -> list[StrategyRun]:
    return [run for run in list_runs(backtests, name) if run.ledger.trades.height]


def _describe(backtests: Backtests) -> str:
    limits = backtests.config.execution.limits
    return (
        f"change in % of the capital, orders of {100 * limits.notional_usd / limits.capital_usd:g} % of it each; "
        "drawdown below; every panel has its own scale"
    )


def _list_legend(backtests: Backtests) -> list[Any]:
    handles: list[Any] = [
        Line2D([], [], color=VARIANT_COLOURS[name], ls=_VARIANT_LINES[name], lw=1.5, label=name)
        for name in VARIANT_COLOURS
    ]
    if find_held(backtests) is not None:
        handles.append(Line2D([], [], color=_HELD_COLOUR, lw=1.5, label="buy and hold"))
    return handles


def _draw_equity(above: Any, below: Any, backtests: Backtests, name: str, capital_usd: float) -> None:
    held = find_held(backtests)
    own = _traded(backtests, name)
    for run in [*([held] if held is not None else []), *own]:
        is_held = run.variant == BENCHMARK
        style = {
            "color": _HELD_COLOUR if is_held else VARIANT_COLOURS[run.variant],
            "ls": "-" if is_held else _VARIANT_LINES[run.variant],
            "lw": 1.2,
            "zorder": 1 if is_held else 3,
        }
        times, values, falls = _thin(run, capital_usd)
        above.plot(times, values, **style)
        below.plot(times, falls, **style)
    for axes in (above, below):
        axes.axhline(0.0, color=MUTED, lw=0.6, zorder=0.8)
        axes.grid(axis="y")
        time_axis(axes, backtests.start_ms, backtests.end_ms, label=False)
    above.set_title(shorten_name(name), loc="left", weight="bold")
    above.set_title(_count(own), loc="right", color=MUTED, size=7.5)
    above.set_ylabel("change, %")
    below.set_ylabel("drawdown, %")


def _count(runs: Sequence[StrategyRun]) -> str:
    counts = [f"{run.variant} {run.ledger.trades.height:,}{'*' if run.not_testable else ''}" for run in runs]
    few = " (* not testable)" if any(run.not_testable for run in runs) else ""
    return f"trades: {', '.join(counts)}{few}"


def _thin(run: StrategyRun, capital_usd: float) -> tuple[Floats, Floats, Floats]:
    """Days, change in % and drawdown in % of a curve, thinned to what can be seen; its first and last rows stay."""
    equity = run.equity.select(EQUITY.names)
    rows = np.unique(np.linspace(0, equity.height - 1, min(equity.height, _MOST_POINTS)).astype(np.int64))
    kept = equity[rows]
    values = 100.0 * (kept["equity"].to_numpy() / capital_usd - 1.0)
    return to_days(to_ms(kept["time"])), values, 100.0 * kept["drawdown"].to_numpy()
