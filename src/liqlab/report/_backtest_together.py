"""Parts of the text that compare: ways of sizing the same decisions, and strategies combined."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from liqlab.backtest import METHODS, MIN_TRADES, PortfolioResult
from liqlab.report._backtest_layout import render_groups, wrap, wrap_item
from liqlab.report._backtest_reading import NOT_TESTABLE, format_number, format_spread
from liqlab.report._ic_reading import format_p
from liqlab.report._text import format_count, render_table
from liqlab.report._words import percent, plural

_SIZING_HEADER = ("strategy, method", "trades", "weight", "risk spread", "saved (95 %)", "p", "net, %", "drawdown, %")
_SIZING_READING = (
    "The same decisions of the default variants, sized in several ways. Risk spread: standard deviation of "
    "log(size x the volatility that came); 0 would be perfect sizing. Saved: its square against fixed size; above 0 "
    "the method kept the risk of trades more even. Even risk is no profit: net is what it came to."
)
_PORTFOLIO_READING = (
    "Shares of the capital fitted on past hours only and refitted as time went on. Hours are not independent and "
    "strategies were not chosen for it: the Sharpe ratio has no interval here and is no result."
)


def render_sizing(sizing: pl.DataFrame) -> str:
    """Ways of sizing side by side; says so where nothing was sized."""
    if sizing.is_empty():
        return wrap("Nothing to size: no default variant decided anything.")
    groups = {
        name: [_sizing_row(row) for row in sizing.filter(pl.col("strategy") == name).iter_rows(named=True)]
        for name in sizing["strategy"].unique(maintain_order=True)
    }
    return "\n".join([wrap(_SIZING_READING), render_groups(_SIZING_HEADER, groups, "lrrrrrrr"), *_unknown(sizing)])


def _sizing_row(row: dict[str, Any]) -> list[str]:
    few = row["n_trades"] < MIN_TRADES
    net, fall = row["net_return"], row["max_drawdown"]
    return [
        row["method"],
        format_count(row["n_trades"]),
        format_number(row["mean_weight"], 2),
        format_number(row["risk_spread"], 2),
        format_spread(row["spread_saved"], row["ci_low"], row["ci_high"], 2),
        format_p(row["p"]),
        NOT_TESTABLE if few or net is None else f"{100 * net:+.2f}",
        NOT_TESTABLE if few or fall is None else f"{100 * fall:.2f}",
    ]


def _unknown(sizing: pl.DataFrame) -> Iterator[str]:
    """The decisions whose size fell back to 1, and methods that could not be tried."""
    lacking = sizing.filter(pl.col("n_unknown") > 0)
    for method, names, counts in (
        lacking.group_by("method", maintain_order=True).agg("strategy", "n_unknown").iter_rows()
    ):
        cases = ", ".join(f"{count:,} of {name}" for name, count in zip(names, counts, strict=True))
        yield wrap_item(f"{method}: history too short for {cases}; size 1 there")


def render_portfolio(portfolio: PortfolioResult | None) -> str:
    """Portfolios and the strategies alone side by side, and the last weights."""
    if portfolio is None:
        return wrap("No portfolio: fewer than two default variants traded.")
    header = ["portfolio or strategy", "net, % of capital", "volatility, %", "Sharpe by hour", "deepest drawdown, %"]
    rows = [
        [
            row["portfolio"],
            f"{100 * row['total_return']:+.2f}",
            percent_number(row["volatility"]),
            format_number(row["sharpe"], is_signed=True),
            f"{100 * row['max_drawdown']:.2f}",
        ]
        for row in portfolio.summary.iter_rows(named=True)
    ]
    lines = [wrap(_PORTFOLIO_READING), render_table(header, rows, "lrrrr"), *map(wrap_item, say_weights(portfolio))]
    return "\n".join([*lines, *map(wrap_item, portfolio.notes)])


def percent_number(frac: float | None) -> str:
    """A fraction in %, without the sign of %.

    >>> percent_number(0.0428), percent_number(None)
    ('4.3', 'n/a')
    """
    return format_number(None if frac is None else 100 * frac)


def say_weights(portfolio: PortfolioResult) -> list[str]:
    """The last shares of each method, and what they rest on."""
    lines = []
    for method in METHODS:
        own = portfolio.weights.filter(pl.col("method") == method)
        if own.is_empty():
            continue
        last = own.filter(pl.col("time") == own["time"].max())
        shares = ", ".join(
            f"{name} {percent(weight, 0)}" for name, weight in last.select("strategy", "weight").iter_rows()
        )
        n_rows = int(last["n_rows"].max() or 0)  # type: ignore[arg-type]
        basis = f", fitted on {plural(n_rows, 'hour')}" if n_rows else ""
        lines.append(f"{method}, last shares: {shares}{basis}")
    return lines
