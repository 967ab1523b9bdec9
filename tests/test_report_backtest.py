"""Backtests in words and pictures: every number is that of its ledger, and too few trades make no result."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from strategy_market import random_market

from liqlab.backtest import (
    BENCHMARK,
    DEFAULT,
    MIN_TRADES,
    OUT_OF_FOLD,
    BacktestConfig,
    Backtests,
    Metric,
    SearchConfig,
    StrategyRun,
    run_backtests,
)
from liqlab.report import save_figure
from liqlab.report._backtest_reading import METRIC_WORDS, find_chance, format_metric, list_runs, list_strategies
from liqlab.report._backtest_text import render_backtest
from liqlab.report._figures_backtest import list_backtest_figures, plot_equity
from liqlab.report._figures_backtest_chance import plot_capacity, plot_chance
from liqlab.report._figures_backtest_surface import choose_pair, plot_surface
from liqlab.report._figures_backtest_trades import list_examples, plot_trade_examples
from liqlab.report._findings_backtest import render_backtest_section
from liqlab.report._report_figure import BACKTESTS
from liqlab.study import ALL

USER_STRATEGY = """
from dataclasses import dataclass

import numpy as np

from liqlab.backtest import MarketInputs, Orders


@dataclass(frozen=True)
class HourParameters:
    timeout_min: int = 30


class Hourly:
    name = "my_very_own_strategy_with_a_long_name_that_no_column_of_a_table_is_wide_enough_for_whatever_one_does"
    description = "Buys every hour | come what may"
    Parameters = HourParameters
    default = HourParameters()

    def decide(self, inputs: MarketInputs, parameters: HourParameters) -> Orders:
        hours = np.arange(inputs.start_ms + 7_200_000, inputs.end_ms + 1, 3_600_000)
        n = len(inputs.symbols)
        codes = np.repeat(np.arange(n), len(hours))
        timeout_ms = parameters.timeout_min * 60_000
        return Orders.gather(tuple(inputs.symbols), codes, np.tile(hours, n), 1.0, timeout_ms=timeout_ms)


STRATEGY = Hourly()
"""
SEARCH = SearchConfig(train_days=1, method="optuna", n_optuna=12)
QUICK = BacktestConfig(n_draws=9, n_resamples=99, search=SEARCH)


@lru_cache
def run_all() -> Backtests:
    """The catalogue on two and a half days of random walks: the default cascade fade trades fewer than 30 times."""
    return run_backtests(random_market(1, hours=60.0), QUICK)


@lru_cache
def run_one(strategy: str = "zone_bounce", seed: int = 1) -> Backtests:
    market = random_market(seed, hours=60.0, symbols=("BTCUSDT",))
    return run_backtests(market, replace(QUICK, strategies=(strategy,)))


@lru_cache
def run_idle(has_prices: bool) -> Backtests:
    """A market in which nobody can trade."""
    market = random_market(1, hours=12.0, has_liquidations=False, has_prices=has_prices)
    return run_backtests(market, replace(QUICK, strategies=("cascade_fade", "zone_bounce")))


@pytest.fixture(scope="module")
def users_own(tmp_path_factory: pytest.TempPathFactory) -> Backtests:
    file = tmp_path_factory.mktemp("own") / "hourly.py"
    file.write_text(USER_STRATEGY)
    return run_backtests(random_market(1, hours=36.0), replace(QUICK, strategies=(str(file),)))


def list_cases(users_own: Backtests) -> dict[str, Backtests]:
    none = replace(run_idle(True), runs=(), searches={}, descriptions={}, notes=())
    cases = {"all": run_all(), "one strategy and symbol": run_one(), "a user's strategy": users_own}
    return cases | {"no orders": run_idle(True), "no prices": run_idle(False), "nothing ran": none}


def change_metrics(backtests: Backtests, changes: Mapping[str, Metric]) -> Backtests:
    """The same with other values of some metrics in every run but buying and holding."""

    def changed(run: StrategyRun) -> StrategyRun:
        if run.variant == BENCHMARK:
            return run
        return replace(run, metrics=tuple(changes.get(metric.name, metric) for metric in run.metrics))

    return replace(backtests, runs=tuple(map(changed, backtests.runs)))


def make_metric(name: str, value: float, low: float | None = None, high: float | None = None) -> Metric:
    return Metric(name, value, low, high, "", "", "")


def section_of(text: str, title: str) -> str:
    """What stands below an underlined title, which is cut where it is longer than a line."""
    title = title if len(title) <= 100 else f"{title[:99]}…"
    found = re.search(rf"^{re.escape(title)}\n=+\n(.*?)(?=\n\n[^\n]+\n=+\n|\Z)", text, re.DOTALL | re.MULTILINE)
    assert found is not None, title
    return found.group(1)


def texts_of(figure: Figure) -> str:
    words = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        words += [text.get_text() for text in (*axes.texts, *axes.get_yticklabels(), *axes.get_xticklabels())]
        words += [axes.get_title(side) for side in ("left", "right")] + [axes.get_xlabel(), axes.get_ylabel()]
    return "\n".join(words)


def test_no_line_of_any_text_is_wider_than_100_columns(users_own: Backtests) -> None:
    for name, backtests in list_cases(users_own).items():
        for symbol in (ALL, *backtests.symbols):
            text = render_backtest(backtests, symbol, "made up, liqlab 0")
            widest = max(text.split("\n"), key=len)
            assert len(widest) <= 100, (name, symbol, widest)
            assert text.endswith("made up, liqlab 0\n"), name


def test_huge_numbers_do_not_widen_the_text() -> None:
    huge = {name: make_metric(name, -9.87654e9, -9.9e12, 9.9e12) for name in METRIC_WORDS if name != "n_trades"}
    for value in (-9.87654e9, -98_765.4, -987.65):
        shown = change_metrics(
            run_one(), {name: replace(metric, value=value, ci_low=2 * value) for name, metric in huge.items()}
        )
        assert max(map(len, render_backtest(shown, ALL).split("\n"))) <= 100


def test_every_metric_and_variant_is_in_the_text_of_every_strategy(users_own: Backtests) -> None:
    for backtests in (run_all(), users_own):
        text = render_backtest(backtests, ALL)
        for name in list_strategies(backtests):
            own = section_of(text, f"Strategy {name}")
            runs = list_runs(backtests, name)
            assert {metric.name for run in runs for metric in run.metrics} == set(METRIC_WORDS)
            for label in [words.label for words in METRIC_WORDS.values()] + ["capacity", "prob. of overfitting"]:
                assert re.search(rf"^{re.escape(label)}  ", own, re.MULTILINE), (name, label)
            assert all(run.variant in own for run in runs)


def test_the_overview_holds_what_the_ledgers_say() -> None:
    backtests = run_all()
    table = section_of(render_backtest(backtests, ALL), "Side by side")
    for name in list_strategies(backtests):
        rows = table.split(f"{name}\n", 1)[1].split("\n")
        for run, line in zip(list_runs(backtests, name), rows, strict=False):
            trades = run.ledger.trades
            assert re.match(rf"  {run.variant} +{trades.height:,} ", line), (name, line)
            if trades.height >= MIN_TRADES:
                net, gross = (1e4 * trades[f"{kind}_return"].mean() for kind in ("net", "gross"))  # type: ignore[operator]
                assert f" {net:+.1f} (" in line
                assert f" {gross:+.1f} " in line
                assert f" {gross - net:.1f} " in line


def test_too_few_trades_show_no_result_anywhere() -> None:
    backtests = run_all()
    run = backtests.find("cascade_fade")
    assert run is not None
    assert 0 < run.ledger.trades.height < MIN_TRADES
    reason = f"{run.ledger.trades.height} trades, at least 30 needed"
    text = render_backtest(backtests, ALL)
    overview = section_of(text, "Side by side")
    line = overview.split("cascade_fade\n")[1].split("\n")[0]
    assert re.fullmatch(r"  default +\d+( +n/a| +not testable)+", line)
    assert f"cascade_fade, default: not testable, {reason}" in " ".join(overview.split())
    section = render_backtest_section(backtests)
    row = next(line for line in section.split("\n") if line.startswith("| `cascade_fade`"))
    assert row.startswith(f"| `cascade_fade` | default | {run.ledger.trades.height} | not testable |")
    assert not re.search(r"[+-]\d", row)
    assert f"Default: **not testable**, {reason}" in section
    assert "an anecdote, no result" in section
    assert "an anecdote, no result" in " ".join(text.split())


@given(st.sampled_from(sorted(METRIC_WORDS)), st.floats(-1e12, 1e12), st.integers(0, 60))
def test_a_result_is_a_number_only_with_thirty_trades(name: str, value: float, n_trades: int) -> None:
    note = "" if n_trades >= MIN_TRADES else f"not testable: {n_trades} trades, at least 30 needed"
    count = Metric("n_trades", float(n_trades), None, None, "trades", "", note)
    text = format_metric(name, {name: make_metric(name, value), "n_trades": count})
    is_number = bool(re.match(r"[<>+-]?\d", text))
    assert is_number == (n_trades >= MIN_TRADES or METRIC_WORDS[name].is_fact)
    assert is_number or text == "not testable"


def test_a_symbol_has_its_own_trades_alone_and_no_more() -> None:
    backtests = run_all()
    for symbol in backtests.symbols:
        text = render_backtest(backtests, symbol)
        for name in list_strategies(backtests):
            own = section_of(text, f"Strategy {name}")
            counts = re.search(r"^trades +(.*)$", own, re.MULTILINE)
            expected = [
                run.ledger.trades.filter(pl.col("symbol") == symbol).height for run in list_runs(backtests, name)
            ]
            assert counts is not None
            assert [int(count.replace(",", "")) for count in counts.group(1).split()] == expected
            assert "what became of orders" not in own
            assert "Search," not in own
            assert "Capacity," not in own
        assert "liquidations_backtest_ALL.txt" in text


def test_orders_add_up_to_trades_and_reasons() -> None:
    for name in list_strategies(run_all()):
        own = section_of(render_backtest(run_all(), ALL), f"Strategy {name}")
        table = own.split("what became of orders")[1].split("\n\n")[0].split("\n")[2:]
        counts = [[int(n.replace(",", "")) for n in re.findall(r" (\d[\d,]*)(?= |$)", line)] for line in table]
        orders, *others = ([n for n in row if "%" not in str(n)] for row in counts)
        runs = list_runs(run_all(), name)
        assert orders == [run.ledger.n_orders for run in runs]
        assert [row[: len(runs)] for row in others[1:]] == [
            [run.ledger.skipped.get(reason, 0) for run in runs]
            for reason in dict.fromkeys(key for run in runs for key in run.ledger.skipped)
        ]
        assert all(run.ledger.trades.height + sum(run.ledger.skipped.values()) == run.ledger.n_orders for run in runs)


def test_the_rules_are_those_of_the_configuration() -> None:
    execution = QUICK.execution
    changed = replace(
        QUICK,
        execution=replace(
            execution,
            latency=replace(execution.latency, delay_s=7.0),
            fees=replace(execution.fees, taker_bps=4.25),
            funding=replace(execution.funding, charge=False),
            fills=replace(execution.fills, queue_ahead_usd=25_000.0),
        ),
    )
    words = " ".join(render_backtest(replace(run_one(), config=changed), ALL).split())
    assert "7 s after the decision" in words
    assert "4.25 bps for any other" in words
    assert "Funding is not charged" in words
    assert "once $25K resting before them" in words
    assert "Funding is paid and received" in " ".join(render_backtest(run_one(), ALL).split())


def test_chance_and_search_are_told_as_they_were() -> None:
    backtests = run_all()
    text = " ".join(render_backtest(backtests, ALL).split())
    for name, search in backtests.searches.items():
        assert search.surface.plateau.sentence in text
        assert f"Search, {search.n_trials:,} combinations ever tried" in text
        run = backtests.find(name)
        assert run is not None
        if not run.not_testable:
            assert f"{find_chance(run):.3f}" in text
    assert "best in sample, which is no result" in text


def test_without_trades_the_text_says_so_and_nothing_is_a_number(users_own: Backtests) -> None:
    for backtests in (run_idle(True), run_idle(False)):
        text = render_backtest(backtests, ALL)
        assert "not testable" in text
        assert not re.search(r"[+-]\d+\.\d", section_of(text, "Strategy zone_bounce"))
        section = render_backtest_section(backtests)
        assert "no variant with declared parameters has enough trades" in section
        assert "Out of fold: not testable" in section
        assert "no portfolio" in text.lower()
        assert "None: fewer than two" in section
    assert "there was no price to buy at" in render_backtest_section(run_idle(False))
    assert "No strategy ran." in render_backtest(list_cases(users_own)["nothing ran"], ALL)


def test_without_backtests_the_findings_say_how_to_get_them() -> None:
    section = render_backtest_section(None, heading="## 10. Backtests")
    assert section.startswith("## 10. Backtests\n\nNo backtest was run")
    assert "liqlab backtest SOURCE" in section
    assert list_backtest_figures(None) == []


def test_verdicts_stand_beside_the_default_variant_alone() -> None:
    verdicts = [
        {"id": "S3", "verdict": "rejected", "needs": "", "why": "an effect that matters is ruled out", "note": ""},
        {"id": "S1", "verdict": "not testable", "needs": "needs 50 events, found 16", "note": ""},
    ]
    section = render_backtest_section(run_all(), verdicts, ["![](one.png)"])
    rows = [line for line in section.split("\n") if line.startswith("|") and ": **" in line]
    assert len(rows) == 2
    assert rows[0].startswith("| `cascade_fade` | default |")
    assert rows[0].endswith("| S1: **not testable** |")
    assert rows[1].startswith("| `zone_bounce` | default |")
    assert rows[1].endswith("| S3: **rejected** |")
    assert "S3 is **rejected**: an effect that matters is ruled out." in section
    assert "S1 is **not testable**: needs 50 events, found 16." in section
    assert "![](one.png)" in section
    assert "S2" not in section


def test_the_summary_follows_the_numbers() -> None:
    losing = {"mean_net_bps": make_metric("mean_net_bps", -5.0, -9.0, -1.0)}
    lucky = {"mean_net_bps": make_metric("mean_net_bps", 5.0, -1.0, 11.0)}
    earning = {"mean_net_bps": make_metric("mean_net_bps", 5.0, 1.0, 9.0)}
    low, high = ({"deflated_sharpe": make_metric("deflated_sharpe", value)} for value in (0.5, 0.99))
    base = run_one()
    assert "**Nothing earns after costs**" in render_backtest_section(change_metrics(base, losing))
    assert "**Nothing earns for sure**" in render_backtest_section(change_metrics(base, lucky))
    doubtful = render_backtest_section(change_metrics(base, earning | low))
    assert "earn after costs**" in doubtful
    assert "none of them with a deflated Sharpe ratio above 0.95" in doubtful
    assert "also with a deflated Sharpe ratio above 0.95" in render_backtest_section(
        change_metrics(base, earning | high)
    )


def test_the_table_of_findings_keeps_its_columns(users_own: Backtests) -> None:
    for backtests in (run_all(), users_own):
        rows = [line for line in render_backtest_section(backtests).split("\n") if line.startswith("|")]
        tables = "\n".join(rows).count("|:---|")
        assert tables >= 3
        header = next(line for line in rows if line.startswith("| strategy | variant |"))
        own = rows[
            rows.index(header) : rows.index(header) + 2 + sum(run.variant != BENCHMARK for run in backtests.runs)
        ]
        assert {len(re.findall(r"(?<!\\)\|", line)) for line in own} == {header.count("|")}


def test_notes_are_told_once_with_those_whom_they_are_about() -> None:
    text = " ".join(
        section_of(render_backtest(run_all(), ALL), "Notes: what is not testable, and what to mind").split()
    )
    assert text.count("fewer than 30 days") == 1
    assert "all strategies: fewer than 30 days" in text


def test_figures_with_data_are_listed_and_drawn(tmp_path: Path, users_own: Backtests) -> None:
    files = [figure.file for figure in list_backtest_figures(run_all())]
    names = ("equity", "chance", "trades", "surface", "capacity")
    assert files == [f"liquidations_backtest_{name}.png" for name in names]
    for backtests in (run_all(), run_one(), users_own):
        for figure in list_backtest_figures(backtests):
            assert figure.section == BACKTESTS
            assert "See: " in figure.caption
            save_figure(figure.plot(), tmp_path / figure.file, "made up")
            assert (tmp_path / figure.file).stat().st_size > 10_000


def test_figures_without_data_are_not_listed_and_say_why(users_own: Backtests) -> None:
    for backtests in (run_idle(True), run_idle(False), list_cases(users_own)["nothing ran"]):
        assert list_backtest_figures(backtests) == []
        for plot in (plot_equity, plot_chance, plot_trade_examples, plot_surface, plot_capacity):
            assert re.search(r"\bno (strategy|combination)", texts_of(plot(backtests))), plot.__name__


def test_the_equity_lines_end_where_the_accounts_do() -> None:
    backtests = run_all()
    figure = plot_equity(backtests)
    capital_usd = backtests.config.execution.limits.capital_usd
    for name in list_strategies(backtests):
        axes = next(axes for axes in figure.axes if axes.get_title("left") == name)
        ends = {round(float(np.asarray(line.get_ydata())[-1]), 6) for line in axes.lines}
        for run in list_runs(backtests, name):
            assert round(100.0 * (run.equity["equity"][-1] / capital_usd - 1.0), 6) in ends, (name, run.variant)


def test_the_chance_figure_draws_no_mark_for_too_few_trades() -> None:
    backtests = run_all()
    axes = plot_chance(backtests).axes[0]
    marks = sorted(float(np.asarray(line.get_xdata())[0]) for line in axes.lines if line.get_marker() == "o")
    testable = [run for run in backtests.runs if run.variant != BENCHMARK and not run.not_testable]
    expected = sorted(run.find(name) for run in testable for name in ("mean_net_bps", "mean_gross_bps"))
    assert np.allclose(marks, expected)
    assert sum(text.get_text() == "not testable" for text in axes.texts) == sum(
        bool(run.not_testable) and run.ledger.trades.height > 0 and run.variant != BENCHMARK for run in backtests.runs
    )


def test_examples_are_the_best_and_the_worst_trade() -> None:
    backtests = run_all()
    for name, examples in list_examples(backtests).items():
        run = backtests.find(name, examples[0].variant)
        assert run is not None
        returns = run.ledger.trades["net_return"]
        assert [example.trade["net_return"] for example in examples] == [returns.max(), returns.min()]
        assert all((np.diff(example.times_ms) >= 0).all() for example in examples)


def test_the_surface_shows_the_pair_that_explains_most_of_the_scores() -> None:
    for search in run_all().searches.values():
        pair = choose_pair(search)
        assert pair is not None
        spreads = {}
        for (x, y), own in search.surface.table.filter(pl.col("n") > 0).group_by("x", "y"):
            scores = np.repeat(own["score_mean"].to_numpy(), own["n"].to_numpy())
            spreads[x, y] = float(((scores - scores.mean()) ** 2).sum())
        assert math.isclose(spreads[pair.x, pair.y], max(spreads.values()), rel_tol=1e-6)


def test_out_of_fold_and_default_are_both_in_the_capacity_figure_where_testable() -> None:
    backtests = run_all()
    figure = plot_capacity(backtests)
    shown = {axes.get_title("left") for axes in figure.axes if axes.axison}
    testable = [run for run in backtests.runs if run.variant in (DEFAULT, OUT_OF_FOLD) and not run.not_testable]
    assert {run.strategy for run in testable} <= shown
