"""The backtests of one symbol, or of all, as plain text of at most 100 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from liqlab.backtest import DEFAULT, MIN_TRADES, OUT_OF_FOLD, Backtests, Metric, StrategyRun
from liqlab.report._backtest_details import (
    render_breakdown,
    render_capacity,
    render_chance,
    render_search,
    render_symbol_breakdown,
)
from liqlab.report._backtest_layout import render_columns, render_groups, section, wrap, wrap_item
from liqlab.report._backtest_reading import (
    METRIC_WORDS,
    NOT_TESTABLE,
    choose_main,
    count_trades,
    find_chance,
    find_held,
    format_capacity,
    format_metric,
    format_number,
    format_overfitting,
    format_probability,
    group_notes,
    list_metric_notes,
    list_runs,
    list_strategies,
    measure_costs_bps,
    read_metrics,
    say_few,
    say_parameters,
    say_rules,
    say_search_rules,
    say_untestable,
)
from liqlab.report._backtest_together import render_portfolio, render_sizing
from liqlab.report._text import MISSING, TEXT_WIDTH, format_count
from liqlab.report._words import join_names, percent, plural, span
from liqlab.study import ALL

_READING = (
    "Net: after fees, half spread, impact and funding; gross: before them. Intervals are 95 % and come from blocks of "
    f"time. A run of fewer than {MIN_TRADES} trades is `{NOT_TESTABLE}`: what it earned is chance and is not shown "
    "as a result. Deflated Sharpe: the probability that the true Sharpe ratio exceeds what luck gives the best of all "
    "combinations ever tried; below 0.95 it is no evidence. Chance: the share of random draws that did at least as "
    "well, the larger of two kinds. Optimistic bound: had targets been taken wherever one price could do both; never "
    "part of a result. docs/metrics.md says how each number is computed."
)
_VARIANTS = (
    "Variants: `default` has the numbers as declared, which are the plan's where it says one; `scaled` those declared "
    "for little data; `out of fold` was traded with parameters chosen on earlier days only."
)
_OVERVIEW = ("variant", "trades", "gross", "costs", "net, bps (95 %)", "Sharpe (95 %)", "deflated", "chance")


def render_backtest(backtests: Backtests, symbol: str, origin: str = "") -> str:
    """The text of `liquidations_backtest_SYMBOL.txt`; no line is longer than 100 columns.

    `symbol` is one of `backtests.symbols` or `ALL`; of one symbol only what its own trades say. `origin` is data and
    version for the end. Values that do not exist are `n/a`; a result of fewer than 30 trades is `not testable`.
    """
    own = None if symbol == ALL else symbol
    parts = [
        _header(backtests, symbol),
        section("Rules: delay, costs and limits", "\n".join(map(wrap, _list_rules(backtests)))),
        section("Side by side", _overview(backtests, own)),
        *(_strategy(backtests, name, own) for name in list_strategies(backtests)),
    ]
    if own is None:
        parts.append(section("Sizes: the plan's dynamic position sizing", render_sizing(backtests.sizing)))
        parts.append(section("Portfolio of the default variants", render_portfolio(backtests.portfolio)))
    parts.append(section("Notes: what is not testable, and what to mind", "\n".join(_notes(backtests, own))))
    return "\n\n".join([*parts, *([wrap(origin)] if origin else [])]) + "\n"


def _header(backtests: Backtests, symbol: str) -> str:
    names = list_strategies(backtests)
    whose = f"{plural(len(backtests.symbols), 'symbol')} on one capital" if symbol == ALL else "one symbol's trades"
    contents = (
        f"{plural(len(names), 'strategy', 'strategies')}: {join_names(names) or 'none'}; {whose}; "
        f"{span(backtests.start_ms, backtests.end_ms)}; {plural(sum(backtests.trials.values()), 'trial')} counted."
    )
    return f"BACKTESTS  {symbol}\n{wrap(contents)}\n\n{wrap(_READING)}\n\n{wrap(_VARIANTS)}"


def _list_rules(backtests: Backtests) -> list[str]:
    return [*say_rules(backtests.config.execution), say_search_rules(backtests.config.search)]


def _overview(backtests: Backtests, symbol: str | None) -> str:
    groups: dict[str, list[tuple[StrategyRun, Mapping[str, Metric]]]] = {}
    reasons = []
    for name in list_strategies(backtests):
        for run in list_runs(backtests, name):
            metrics = read_metrics(run, symbol)
            groups.setdefault(name, []).append((run, metrics))
            reason = say_untestable(metrics)
            if reason:
                reasons.append(wrap_item(f"{name}, {run.variant}: {NOT_TESTABLE}, {reason}."))
    table = _overview_table(groups, symbol) if groups else "No strategy ran."
    parts = [table, *(["\n".join(reasons)] if reasons else []), wrap(_say_held(backtests, symbol))]
    return "\n\n".join(parts)


def _overview_table(
    groups: Mapping[str, Sequence[tuple[StrategyRun, Mapping[str, Metric]]]], symbol: str | None
) -> str:
    """The table, without intervals where numbers are too large for them: the metrics of each strategy hold them."""
    for has_interval in (True, False):
        rows = {
            name: [_overview_row(run, metrics, symbol, has_interval) for run, metrics in own]
            for name, own in groups.items()
        }
        table = render_groups(_OVERVIEW, rows, "lrrrrrrr")
        if max(map(len, table.split("\n"))) <= TEXT_WIDTH:
            break
    return table


def _overview_row(run: StrategyRun, metrics: Mapping[str, Metric], symbol: str | None, has_interval: bool) -> list[str]:
    head = [run.variant, format_count(count_trades(metrics))]
    if say_untestable(metrics):
        return [*head, MISSING, MISSING, NOT_TESTABLE, NOT_TESTABLE, MISSING, MISSING]
    return [
        *head,
        format_metric("mean_gross_bps", metrics, has_interval=False),
        format_number(measure_costs_bps(metrics)),
        format_metric("mean_net_bps", metrics, has_interval),
        format_metric("sharpe", metrics, has_interval),
        format_metric("deflated_sharpe", metrics),
        format_probability(find_chance(run)) if symbol is None else MISSING,
    ]


def _say_held(backtests: Backtests, symbol: str | None) -> str:
    """What the market did meanwhile: a fact about the span, which no interval belongs to."""
    run = find_held(backtests)
    metrics = {} if run is None else read_metrics(run, symbol)
    net, fall = metrics.get("net_return"), metrics.get("max_drawdown")
    if net is None or fall is None or net.value is None or fall.value is None:
        return "Buying and holding: there was no price to buy at."
    what = "each symbol" if symbol is None else symbol
    return (
        f"Beside it, what the market did: buying {what} once at the same size and holding it to the end gave "
        f"{100 * net.value:+.2f} % of the capital, {100 * fall.value:.2f} % at the deepest."
    )


def _strategy(backtests: Backtests, name: str, symbol: str | None) -> str:
    runs = list_runs(backtests, name)
    parts = [_describe(backtests, name, runs), _metrics(backtests, name, runs, symbol)]
    main = choose_main(runs)
    if symbol is None:
        parts += [
            _orders(runs),
            *([] if main is None else [render_breakdown(main)]),
            render_chance(runs),
            render_capacity(runs),
            render_search(backtests.searches.get(name)),
        ]
    elif main is not None:
        parts.append(render_symbol_breakdown(main, symbol))
    return section(f"Strategy {name}", "\n\n".join(part for part in parts if part))


def _describe(backtests: Backtests, name: str, runs: Sequence[StrategyRun]) -> str:
    lines = [wrap(f"{backtests.descriptions.get(name, name)}.")]
    for run in runs:
        if run.variant not in (DEFAULT, OUT_OF_FOLD):
            lines.append(wrap_item(f"{run.variant}: {say_parameters(run.ledger.parameters)}"))
    return "\n".join(lines)


def _metrics(backtests: Backtests, name: str, runs: Sequence[StrategyRun], symbol: str | None) -> str:
    """Every metric, a column for each variant; below them why a column is empty and what to mind."""
    columns = {run.variant: read_metrics(run, symbol) for run in runs}
    labels = [words.label for words in METRIC_WORDS.values()]
    cells = [[format_metric(metric, metrics) for metric in METRIC_WORDS] for metrics in columns.values()]
    if symbol is None:
        search = backtests.searches.get(name)
        labels += ["capacity", "trials behind deflation", "prob. of overfitting"]
        for run, column in zip(runs, cells, strict=True):
            trials = format_count(max(search.n_trials, 1)) if search is not None else "1"
            overfitting = format_overfitting(search) if run.variant == OUT_OF_FOLD else ""
            column += [format_capacity(run), trials, overfitting]
    lines = [render_columns("metric (95 % interval)", labels, list(columns), cells)]
    for run, metrics in zip(runs, columns.values(), strict=True):
        reason = say_untestable(metrics)
        if reason:
            few = say_few(run.ledger.trades) if symbol is None else ""
            lines.append(wrap_item(f"{run.variant}: {NOT_TESTABLE}, {reason}. {few}".rstrip()))
    lines += [wrap_item(note) for note in list_metric_notes(columns)]
    return "\n".join(lines)


def _orders(runs: Sequence[StrategyRun]) -> str:
    """Orders, trades, and orders that made none by reason."""
    reasons = list(dict.fromkeys(reason for run in runs for reason in run.ledger.skipped))
    labels = ["orders", "made a trade", *(f"no trade: {reason}" for reason in reasons)]
    cells = [
        [
            format_count(run.ledger.n_orders),
            _count_traded(run),
            *(format_count(run.ledger.skipped.get(reason, 0)) for reason in reasons),
        ]
        for run in runs
    ]
    return render_columns("what became of orders", labels, [run.variant for run in runs], cells)


def _count_traded(run: StrategyRun) -> str:
    n_trades, n_orders = run.ledger.trades.height, run.ledger.n_orders
    return f"{n_trades:,} ({percent(n_trades / n_orders, 0)})" if n_orders else format_count(n_trades)


def _notes(backtests: Backtests, symbol: str | None) -> Iterator[str]:
    notes = group_notes(backtests)
    if symbol is not None:
        yield wrap_item(
            f"orders without a trade, regimes, chance, capacity, search, sizes and portfolio are of all symbols "
            f"together: liquidations_backtest_{ALL}.txt"
        )
    yield from map(wrap_item, notes)
    if not notes and symbol is None:
        yield "- none"
