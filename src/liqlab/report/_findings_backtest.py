"""The findings on backtests: what earns after costs, what chance says, what is left out of fold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from liqlab.backtest import DEFAULT, OUT_OF_FOLD, Backtests, StrategyRun
from liqlab.report._backtest_reading import (
    CHANCE_LEVEL,
    NOT_TESTABLE,
    VERDICT_OF,
    choose_main,
    count_trades,
    find_chance,
    find_held,
    format_metric,
    format_number,
    format_probability,
    group_notes,
    list_runs,
    list_strategies,
    measure_costs_bps,
    name_run,
    read_metrics,
    say_few,
    say_parameters,
    say_rules,
    say_untestable,
)
from liqlab.report._findings_backtest_together import (
    render_capacity_findings,
    render_portfolio_findings,
    render_search_findings,
    render_sizing_findings,
)
from liqlab.report._text import MISSING, format_count, render_markdown_table
from liqlab.report._verdicts_text import Record
from liqlab.report._words import percent, plural, span
from liqlab.study import ALL

_NONE = (
    "No backtest was run, so nothing can be said about strategies: `liqlab backtest SOURCE` runs all of them, with "
    "what chance and a search make of the same days."
)
_TABLE_HEADER = (
    "strategy",
    "variant",
    "trades",
    "net, bps per trade (95 %)",
    "gross, bps",
    "costs, bps",
    "daily Sharpe (95 %)",
    "deflated Sharpe",
    "chance",
    "verdict",
)
_TABLE_READING = (
    "Net is after fees, half spread, impact and funding; gross before them. *Deflated Sharpe* is the probability that "
    "the true Sharpe ratio exceeds what luck gives the best of all combinations ever tried; below 0.95 it is no "
    "evidence. *Chance* is the share of random draws at the same costs that did at least as well (as many trades at "
    "random moments, or the same orders on random sides: the larger share). The verdict rests on the default variant "
    "alone and on the correction over all claims (section 2)."
)
_HOW_TO_READ = (
    "What cannot be cheated here: a decision uses what was known at its time; its order fills at a later price only, "
    "never in the observation that decided; a limit needs a price beyond it, a stop gets the price that came, and "
    "where one price could be target and stop it is the stop. Out-of-fold trades use parameters chosen on earlier "
    "days, every combination ever tried is counted, and the best in sample is never a result. What remains: a span of "
    "days is one sample of one kind of market, and a simulated or recorded price is no promise of a fill. "
    "`docs/strategies.md` holds the rules and parameters, `docs/metrics.md` each measure, and `docs/audit_strategy.md` "
    "shows how a published Sharpe ratio over 100 falls apart; `liqlab audit strategy NAME` looks for "
    "the same in a strategy of your own."
)


def render_backtest_section(
    backtests: Backtests | None,
    verdicts: Sequence[Record] = (),
    pictures: Sequence[str] = (),
    heading: str = "## 10. Backtests",
) -> str:
    """The backtests as Markdown: a summary, one table, each strategy, search, sizes, portfolio, how to read it.

    `verdicts` are records of `verdicts.json`, of which those of S1 to S4 are shown where they are; `pictures` are
    Markdown. Without backtests (None) one sentence says so. A result of fewer than 30 trades is `not testable`.
    """
    if backtests is None:
        return f"{heading}\n\n{_NONE}"
    if not list_strategies(backtests):
        return f"{heading}\n\nNo strategy was run: name one with `--strategy`."
    own = {str(record["id"]): record for record in verdicts}
    parts = [
        heading,
        "\n".join(f"- {line}" for line in say_summary(backtests)),
        _table(backtests, own),
        _TABLE_READING,
        *pictures,
        *_strategies(backtests, own),
        render_search_findings(backtests),
        render_sizing_findings(backtests.sizing),
        render_portfolio_findings(backtests),
        render_capacity_findings(backtests),
        _rules(backtests),
        _mind(backtests),
    ]
    return "\n\n".join(part for part in parts if part)


def say_summary(backtests: Backtests) -> Iterator[str]:
    """What came out, in a few sentences: earnings after costs, chance, out of fold, what the market did."""
    runs = [run for name in list_strategies(backtests) for run in list_runs(backtests, name)]
    declared = [run for run in runs if run.variant != OUT_OF_FOLD and not run.not_testable]
    outside = [run for run in runs if run.variant == OUT_OF_FOLD]
    yield f"Recorded from {span(backtests.start_ms, backtests.end_ms)}, {plural(len(backtests.symbols), 'symbol')}."
    if not declared:
        yield f"**{NOT_TESTABLE.capitalize()}**: no variant with declared parameters has enough trades to say anything."
    else:
        yield _say_earnings(declared)
        yield _say_costs(declared)
        yield _say_luck(declared)
    yield _say_outside(outside)
    yield _say_held(backtests)


def _split_earning(runs: Sequence[StrategyRun]) -> tuple[list[StrategyRun], list[StrategyRun]]:
    """The runs whose mean net result is above zero, and those whose interval lies above it as a whole."""
    earning = [run for run in runs if run.find("mean_net_bps") > 0.0]
    lows = {id(run): read_metrics(run)["mean_net_bps"].ci_low for run in earning}
    sure = [run for run in earning if (lows[id(run)] or 0.0) > 0.0]
    return earning, sure


def _say_earnings(runs: Sequence[StrategyRun]) -> str:
    earning, sure = _split_earning(runs)
    n = plural(len(runs), "testable variant")
    if not earning:
        return f"**Nothing earns after costs**: {'it loses' if len(runs) == 1 else 'each loses'} in the mean ({n})."
    if not sure:
        return (
            f"**Nothing earns for sure**: {len(earning)} of {n} is above zero after costs in the mean "
            f"({', '.join(map(name_run, earning))}), but no interval excludes zero."
        )
    deflated = [run for run in sure if run.find("deflated_sharpe") > 0.95]
    held = (
        f"{len(deflated)} of them also with a deflated Sharpe ratio above 0.95"
        if deflated
        else ("none of them with a deflated Sharpe ratio above 0.95: given the number of trials luck may explain it")
    )
    return f"**{len(sure)} of {n} earn after costs** ({', '.join(map(name_run, sure))}), {held}."


def _say_costs(runs: Sequence[StrategyRun]) -> str:
    costs = [cost for run in runs if (cost := measure_costs_bps(read_metrics(run))) is not None]
    positive = [run for run in runs if run.find("mean_gross_bps") > 0.0]
    lows = [read_metrics(run)["mean_gross_bps"].ci_low for run in positive]
    sure = sum((low or 0.0) > 0.0 for low in lows)
    found = (
        f"Costs take {_range(costs)} bps of a trade. Before them {len(positive)} of {len(runs)} are above zero, {sure} "
        "with an interval that excludes it"
    )
    return f"{found}." if sure else f"{found}: where gross is nothing, lower costs do not help."


def _range(values: Sequence[float]) -> str:
    low, high = format_number(min(values)), format_number(max(values))
    return low if low == high else f"{low} to {high}"


def _say_luck(runs: Sequence[StrategyRun]) -> str:
    shares = {name_run(run): share for run in runs if (share := find_chance(run)) is not None}
    if not shares:
        return "Nothing was drawn at random, so chance has no say."
    rare = [f"{name} ({format_probability(share)})" for name, share in shares.items() if share < CHANCE_LEVEL]
    if not rare:
        lowest = min(shares, key=lambda name: shares[name])
        return (
            f"Nothing beats chance: in every case at least {CHANCE_LEVEL:g} of the random draws did as well "
            f"(the lowest share is {format_probability(shares[lowest])}, {lowest})."
        )
    return (
        f"Fewer than {CHANCE_LEVEL:g} of the random draws did as well as {', '.join(rare)}, of "
        f"{plural(len(shares), 'comparison')}; to lose less than chance is not to earn."
    )


def _say_outside(runs: Sequence[StrategyRun]) -> str:
    testable = [run for run in runs if not run.not_testable]
    if not testable:
        return f"Out of fold: {NOT_TESTABLE}, no strategy has enough trades there."
    earning, sure = _split_earning(testable)
    return (
        f"Out of fold, with parameters chosen on earlier days: {len(earning)} of {len(testable)} above zero after costs"
        + (f" ({', '.join(f'`{run.strategy}`' for run in earning)})" if earning else "")
        + f", {len(sure)} with an interval that excludes zero."
    )


def _say_held(backtests: Backtests) -> str:
    run = find_held(backtests)
    if run is None:
        return "Buying and holding: there was no price to buy at."
    return (
        f"Buying every symbol once at the same size and holding it gave {100 * run.find('net_return'):+.2f} % of the "
        "capital: what the market did meanwhile."
    )


def _table(backtests: Backtests, verdicts: Mapping[str, Record]) -> str:
    rows = []
    for name in list_strategies(backtests):
        for place, run in enumerate(list_runs(backtests, name)):
            rows.append([f"`{name}`" if place == 0 else "", *_table_row(run, _find_verdict(name, run, verdicts))])
    return render_markdown_table(_TABLE_HEADER, rows, "llrrrrrrrl")


def _table_row(run: StrategyRun, verdict: str) -> list[str]:
    metrics = read_metrics(run)
    head = [run.variant, format_count(count_trades(metrics))]
    if say_untestable(metrics):
        return [*head, NOT_TESTABLE, MISSING, MISSING, MISSING, MISSING, MISSING, verdict]
    return [
        *head,
        format_metric("mean_net_bps", metrics),
        format_metric("mean_gross_bps", metrics, has_interval=False),
        format_number(measure_costs_bps(metrics)),
        format_metric("sharpe", metrics),
        format_metric("deflated_sharpe", metrics),
        format_probability(find_chance(run)),
        verdict,
    ]


def _find_verdict(name: str, run: StrategyRun, verdicts: Mapping[str, Record]) -> str:
    """`S1: rejected` beside the default variant; empty where no claim rests on a run or none was judged."""
    record = verdicts.get(VERDICT_OF.get(name, ""))
    if record is None or run.variant != DEFAULT:
        return ""
    return f"{record['id']}: **{record['verdict']}**"


def _strategies(backtests: Backtests, verdicts: Mapping[str, Record]) -> Iterator[str]:
    for name in list_strategies(backtests):
        yield f"### `{name}`\n\n{' '.join(_say_strategy(backtests, name, verdicts))}"


def _say_strategy(backtests: Backtests, name: str, verdicts: Mapping[str, Record]) -> Iterator[str]:
    """One strategy in a paragraph: what it is, each variant, chance, where its trades ended, its claim."""
    runs = list_runs(backtests, name)
    yield f"{backtests.descriptions.get(name, name)}."
    reasons = list(dict.fromkeys(say_untestable(read_metrics(run)) for run in runs))
    if len(reasons) == 1 and reasons[0] and not any(run.ledger.trades.height for run in runs):
        yield f"**{NOT_TESTABLE.capitalize()}** in every variant: {reasons[0]}."
    else:
        yield from map(_say_run, runs)
    main = choose_main(runs)
    if main is not None and not main.not_testable:
        yield _say_exits(main)
    record = verdicts.get(VERDICT_OF.get(name, ""))
    if record is not None:
        reason = record["needs"] if record["verdict"] == NOT_TESTABLE else record.get("why")
        yield f"{record['id']} is **{record['verdict']}**" + (f": {reason}." if reason else ".")


def _say_run(run: StrategyRun) -> str:
    metrics = read_metrics(run)
    what = run.variant.capitalize()
    if run.ledger.parameters and run.variant != OUT_OF_FOLD:
        what += f" ({say_parameters(run.ledger.parameters)})"
    reason = say_untestable(metrics)
    if reason:
        return f"{what}: **{NOT_TESTABLE}**, {reason}. {say_few(run.ledger.trades)}".rstrip()
    optimistic = _say_optimistic(metrics)
    return (
        f"{what}: {plural(count_trades(metrics), 'trade')}, {format_metric('mean_gross_bps', metrics, False)} bps "
        f"gross and {format_metric('mean_net_bps', metrics)} net, {format_metric('net_return', metrics)} % of the "
        f"capital in all{optimistic}, win rate {format_metric('win_rate', metrics, False)} %."
    )


def _say_optimistic(metrics: Mapping[str, object]) -> str:
    """The optimistic bound where it differs from the result."""
    bound = format_metric("net_return_optimistic", metrics)  # type: ignore[arg-type]
    net = format_metric("net_return", metrics, has_interval=False)  # type: ignore[arg-type]
    return "" if bound in (net, MISSING) else f" ({bound} % at the most optimistic reading of single prices)"


def _say_exits(run: StrategyRun) -> str:
    own = run.breakdown.filter(pl.col("by") == "exit reason").sort("n_trades", descending=True)
    if own.is_empty():
        return ""
    total = int(own["n_trades"].sum())
    shares = [f"{name} {percent(count / total, 0)}" for name, count in own.select("group", "n_trades").iter_rows()]
    return f"Trades of the {run.variant} variant ended by {', '.join(shares)}."


def _rules(backtests: Backtests) -> str:
    rules = " ".join(say_rules(backtests.config.execution))
    files = (
        f"All of it: [liquidations_backtest_{ALL}.txt](liquidations_backtest_{ALL}.txt), one file for each symbol, and "
    )
    return f"### How to read this\n\n{rules}\n\n{_HOW_TO_READ}\n\n{files}the tables `trades`, `fills` and `equity`."


def _mind(backtests: Backtests) -> str:
    notes = group_notes(backtests)
    return "\n".join(["Mind:", "", *(f"- {note}" for note in notes)]) if notes else ""
