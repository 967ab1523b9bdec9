"""Parts of the text of one strategy: where its result comes from, chance, capacity and search."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from liqlab.backtest import MIN_TRADES, SearchResult, StrategyRun, compute_breakdown
from liqlab.report._backtest_layout import wrap, wrap_item
from liqlab.report._backtest_reading import (
    CHANCE_LEVEL,
    NOT_TESTABLE,
    format_capacity,
    format_number,
    format_overfitting,
    format_probability,
    format_spread,
    say_parameters,
    say_shape,
)
from liqlab.report._ic_reading import format_p
from liqlab.report._text import MISSING, format_count, format_usd, render_table
from liqlab.report._words import minute, percent, plural

#: In the order in which one reads them; `all` is the metrics' own row.
_GROUPS = ("regime", "session", "hour", "symbol", "exit reason", "side")
_OF_SYMBOL = ("session", "exit reason", "side")
_BREAKDOWN_HEADER = ("by", "group", "trades", "net, bps (95 %)", "adjusted p", "win rate", "net", "costs")


def render_breakdown(run: StrategyRun) -> str:
    """The groups of trades of one run that hold enough of them, and how many do not."""
    title = f"Where the result comes from, {run.variant} (exploratory; p adjusted over all groups)"
    return _render_groups(run.breakdown, _GROUPS, title)


def render_symbol_breakdown(run: StrategyRun, symbol: str) -> str:
    """The same of one symbol's trades; their regimes are not known here."""
    own = replace(run.ledger, trades=run.ledger.trades.filter(pl.col("symbol") == symbol))
    title = f"Where the result of {symbol} comes from, {run.variant} (exploratory; p adjusted over all groups)"
    return _render_groups(compute_breakdown(own), _OF_SYMBOL, title)


def _render_groups(breakdown: pl.DataFrame, kinds: Sequence[str], title: str) -> str:
    rows, small = [], []
    for kind in kinds:
        own = breakdown.filter(pl.col("by") == kind)
        enough = own.filter(pl.col("n_trades") >= MIN_TRADES)
        for place, row in enumerate(enough.iter_rows(named=True)):
            rows.append([kind if place == 0 else "", *_group_cells(row)])
        if enough.height < own.height:
            small.append(f"{own.height - enough.height} of {own.height} by {kind}")
    lines = [f"{title}:"]
    if rows:
        lines.append(render_table(_BREAKDOWN_HEADER, rows, "llrrrrrr"))
        lines.append(wrap_item("exit reasons are chosen by the result: targets win and stops lose, whatever else"))
    if small:
        lines.append(wrap_item(f"groups with fewer than {MIN_TRADES} trades are {NOT_TESTABLE}: {', '.join(small)}"))
    return "\n".join(lines) if rows or small else ""


def _group_cells(row: Mapping[str, Any]) -> list[str]:
    return [
        row["group"],
        format_count(row["n_trades"]),
        format_spread(row["mean_net_bps"], row["ci_low"], row["ci_high"]),
        format_p(row["p_adjusted"]),
        percent(row["win_rate"]),
        format_usd(row["total_net_usd"]),
        format_usd(row["total_costs_usd"]),
    ]


def render_chance(runs: Sequence[StrategyRun]) -> str:
    """Each run beside draws of chance that paid the same costs."""
    rows = []
    for run in runs:
        for row in run.benchmarks.iter_rows(named=True):
            own = NOT_TESTABLE if run.not_testable else format_number(row["own_mean_net_bps"], is_signed=True)
            rows.append(
                [
                    run.variant,
                    row["benchmark"],
                    format_count(row["n_draws"]),
                    format_spread(row["mean_net_bps"], row["draws_low"], row["draws_high"]),
                    own,
                    MISSING if run.not_testable else format_probability(row["better_frac"]),
                ]
            )
    if not rows:
        return ""
    header = ["variant", "chance", "draws", "their net, bps (95 % of them)", "own net, bps", "as good or better"]
    words = (
        "Chance, at the same costs: as many trades, as long, on the same sides at random moments (random entries); the "
        f"same orders on random sides (random sides). A share above {CHANCE_LEVEL:g} is what luck does."
    )
    return f"{wrap(words)}\n{render_table(header, rows, 'llrrrr')}"


def render_capacity(runs: Sequence[StrategyRun]) -> str:
    """Net result against size, and where it ends, of every variant that can be tested."""
    own = [run for run in runs if not run.not_testable and run.capacity.curve.height]
    if not own:
        return ""
    sizes = own[0].capacity.curve["notional_usd"].to_list()
    rows = [[format_usd(size), *(_capacity_cell(run, size) for run in own)] for size in sizes]
    table = render_table(["size of an order", *(f"{run.variant}, net bps" for run in own)], rows, "l" + "r" * len(own))
    words = [
        wrap_item(f"{run.variant}: nothing is left at {format_capacity(run)}{_say_best(run)}")
        if run.capacity.zero_usd
        else wrap_item(f"{run.variant}: {run.capacity.note}")
        for run in own
    ]
    return "\n".join([wrap("Capacity, by the impact that each size would have paid:"), table, *words])


def _capacity_cell(run: StrategyRun, size_usd: float) -> str:
    rows = run.capacity.curve.filter(pl.col("notional_usd") == size_usd)
    if rows.is_empty():
        return MISSING
    row = rows.row(0, named=True)
    return format_spread(row["mean_net_bps"], row["ci_low"], row["ci_high"])


def _say_best(run: StrategyRun) -> str:
    capacity = run.capacity
    best = f"; most is earned at {format_usd(capacity.best_usd)}" if capacity.best_usd else ""
    return best + (f" ({capacity.note})" if capacity.note else "")


def render_search(search: SearchResult | None) -> str:
    """What was chosen in each fold and how it did, the shape of the surface, overfitting, and the best in sample."""
    if search is None:
        return ""
    lines = [wrap(f"Search, {plural(search.n_trials, 'combination')} ever tried for this strategy:")]
    if search.choices.height:
        header = ["fold", "test from", "Sharpe in training", "trades there", "trades tested", "their net, bps"]
        rows = [_choice_cells(row) for row in search.choices.iter_rows(named=True)]
        lines += [render_table(header, rows, "rlrrrr"), *_list_chosen(search)]
        lines.append(wrap_item("one fold is few trades: the out-of-fold metrics above are the result"))
    else:
        lines.append(wrap_item(f"no fold could be tested: {'; '.join(search.notes) or 'too little data'}"))
    lines += [wrap_item(text) for text in _say_search(search)]
    return "\n".join(lines)


def _choice_cells(row: Mapping[str, Any]) -> list[str]:
    net = row["test_mean_net"]
    few = row["n_tested"] < MIN_TRADES
    return [
        str(row["fold"]),
        minute(int(row["test_start"].timestamp() * 1_000)),
        format_number(row["sharpe"], is_signed=True),
        format_count(row["n_trades"]),
        format_count(row["n_tested"]),
        NOT_TESTABLE if few else format_number(None if net is None else 1e4 * net, is_signed=True),
    ]


def _list_chosen(search: SearchResult) -> Iterator[str]:
    """The parameters of the folds, equal ones together."""
    folds: dict[str, list[int]] = {}
    for fold, parameters in search.choices.select("fold", "parameters").iter_rows():
        folds.setdefault(parameters, []).append(fold)
    for parameters, numbers in folds.items():
        which = "fold" if len(numbers) == 1 else "folds"
        chosen = say_parameters(parameters) if parameters else "none could be chosen, the default was traded"
        yield wrap_item(f"{which} {', '.join(map(str, numbers))}: {chosen}")


def _say_search(search: SearchResult) -> Iterator[str]:
    yield f"surface: {say_shape(search)}"
    if search.overfitting is not None:
        yield (
            f"probability of overfitting {format_overfitting(search)}: in that share of "
            f"{plural(search.overfitting.n_combinations, 'split')} of the days the best of one half was below the "
            "median of the other; the best of one half lost money in the other in "
            f"{percent(search.overfitting.loss_probability, 0)}"
        )
    best = search.best
    if best.parameters:
        yield (
            f"best in sample, which is no result ({say_parameters(best.parameters)}): Sharpe ratio "
            f"{format_number(best.sharpe, is_signed=True)} over {plural(best.n_trades, 'trade')}, deflated by "
            f"{plural(best.n_trials, 'trial')} {format_probability(best.deflated_sharpe)}"
        )
