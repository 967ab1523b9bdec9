"""The findings on backtests, what compares: the search, sizes, portfolios, capacity."""

from __future__ import annotations

import polars as pl

from liqlab.backtest import METHODS, MIN_TRADES, Backtests, SearchResult
from liqlab.report._backtest_reading import (
    NOT_TESTABLE,
    format_capacity,
    format_number,
    format_overfitting,
    format_probability,
    list_runs,
    list_strategies,
    name_run,
    name_shape,
    say_search_rules,
    say_shape,
)
from liqlab.report._backtest_together import say_weights
from liqlab.report._text import MISSING, format_count, render_markdown_table
from liqlab.report._words import plural


def render_search_findings(backtests: Backtests) -> str:
    """What the search tried and found, and that its best is no result."""
    searches = backtests.searches
    if not searches:
        return ""
    header = [
        "strategy",
        "combinations tried",
        "folds",
        "probability of overfitting",
        "surface",
        "best in sample (no result)",
    ]
    rows = [
        [
            f"`{name}`",
            format_count(search.n_trials),
            format_count(search.choices.height),
            format_overfitting(search),
            name_shape(search),
            _say_best(search),
        ]
        for name, search in searches.items()
    ]
    lines = [f"- `{name}`: {say_shape(search)}" for name, search in searches.items() if search.best.sharpe > 0.0]
    words = (
        f"{say_search_rules(backtests.config.search)} The probability of overfitting is the share of splits of the "
        "days in which the best of one half is below the median of the other: 0.5 is choosing among noise; a low one "
        "says that the ranking holds, not that anything earns. The best in sample is **no result**."
    )
    return "\n\n".join(
        ["### Search", words, render_markdown_table(header, rows, "lrrrll"), *(["\n".join(lines)] if lines else [])]
    )


def _say_best(search: SearchResult) -> str:
    best = search.best
    if not best.parameters:
        return MISSING
    deflated = format_probability(best.deflated_sharpe)
    return f"Sharpe {format_number(best.sharpe, is_signed=True)}, deflated {deflated}, {plural(best.n_trades, 'trade')}"


def render_sizing_findings(sizing: pl.DataFrame) -> str:
    """Whether another size than a fixed one kept risk even, and what it came to."""
    title = "### Sizes: the plan's dynamic position sizing"
    if sizing.is_empty():
        return f"{title}\n\nNothing to size: no default variant decided anything."
    rows = []
    for row in sizing.iter_rows(named=True):
        few = row["n_trades"] < MIN_TRADES
        net, saved = row["net_return"], row["spread_saved"]
        interval = ""
        if saved is not None and row["ci_low"] is not None:
            interval = f" ({format_number(row['ci_low'], 2, True)} to {format_number(row['ci_high'], 2, True)})"
        rows.append(
            [
                f"`{row['strategy']}`",
                row["method"],
                format_count(row["n_trades"]),
                format_number(row["risk_spread"], 2),
                f"{format_number(saved, 2, True)}{interval}",
                NOT_TESTABLE if few or net is None else f"{100 * net:+.2f}",
            ]
        )
    header = ["strategy", "method", "trades", "risk spread", "saved against fixed size (95 %)", "net, % of capital"]
    return f"{title}\n\n{_say_sizing(sizing)}\n\n{render_markdown_table(header, rows, 'llrrrr')}"


def _say_sizing(sizing: pl.DataFrame) -> str:
    dynamic = sizing.filter(pl.col("method").str.contains("volatility"))
    better = dynamic.filter(pl.col("ci_low") > 0.0).height
    positive = sizing.filter((pl.col("net_return") > 0.0) & (pl.col("n_trades") >= MIN_TRADES)).height
    return (
        "Size by volatility keeps the risk of trades even, which the spread of log(size x the volatility that came) "
        f"measures: in {better} of {dynamic.height} cases it is reliably more even than fixed size. A more even risk "
        f"is no profit: {positive} of {sizing.height} rows are above zero after costs."
    )


def render_portfolio_findings(backtests: Backtests) -> str:
    """Strategies combined beside each alone, and the last shares."""
    title = "### Portfolio"
    portfolio = backtests.portfolio
    if portfolio is None:
        return f"{title}\n\nNone: fewer than two default variants traded."
    rows = [
        [
            row["portfolio"] if row["portfolio"] in METHODS else f"`{row['portfolio']}` alone",
            f"{100 * row['total_return']:+.2f}",
            format_number(None if row["volatility"] is None else 100 * row["volatility"]),
            f"{100 * row['max_drawdown']:.2f}",
        ]
        for row in portfolio.summary.iter_rows(named=True)
    ]
    header = ["portfolio", "net, % of capital", "volatility, % per year", "deepest drawdown, %"]
    words = (
        "Default variants together, shares fitted on past hours only. Combining spreads risk; it makes no edge where "
        "the parts have none."
    )
    notes = "\n".join(f"- {note}" for note in (*say_weights(portfolio), *portfolio.notes))
    return "\n\n".join([title, words, render_markdown_table(header, rows, "lrrr"), notes])


def render_capacity_findings(backtests: Backtests) -> str:
    """The size at which nothing is left, of every run that can be tested and has one."""
    runs = [run for name in list_strategies(backtests) for run in list_runs(backtests, name) if not run.not_testable]
    open_ended = [run for run in runs if run.capacity.zero_usd is None or run.capacity.zero_usd > 0.0]
    title = "### Capacity"
    if not runs:
        return f"{title}\n\n{NOT_TESTABLE.capitalize()}: too few trades."
    if not open_ended:
        return f"{title}\n\nNone: every testable variant loses at any size, before its impact on the price."
    sizes = ", ".join(f"{name_run(run)} {format_capacity(run)}" for run in open_ended)
    return f"{title}\n\nThe size of an order at which impact leaves nothing, with its 95 % interval: {sizes}."
