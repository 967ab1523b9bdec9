"""How backtests are read and written down, the same way in text, findings and figures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import polars as pl

from liqlab.backtest import (
    BENCHMARK,
    BUY_AND_HOLD,
    DEFAULT,
    MIN_TRADES,
    OUT_OF_FOLD,
    SCALED,
    VARIANTS,
    Backtests,
    ExecutionConfig,
    Metric,
    SearchConfig,
    SearchResult,
    StrategyRun,
)
from liqlab.core.time import MS_PER_S
from liqlab.report._style import format_span
from liqlab.report._text import MISSING, format_usd
from liqlab.report._words import plural

NOT_TESTABLE = "not testable"
#: The claim that rests on the default variant of a strategy.
VERDICT_OF = {"cascade_fade": "S1", "imbalance_reversal": "S2", "zone_bounce": "S3", "volatility_breakout": "S4"}
#: A share of chance below which luck alone is a poor explanation, before one thinks of how many were compared.
CHANCE_LEVEL = 0.05

#: From this size on a number is written with an exponent.
_VERY_LARGE = 1e6
_LONGEST_NAME = 28
_PREFIX = f"{NOT_TESTABLE}: "


class MetricWords(NamedTuple):
    """How a metric is written: its name with unit, the factor to that unit, decimals, whether its sign always shows.

    A fact describes what was done and is known however few trades there are; any other metric is a result.
    """

    label: str
    factor: float = 1.0
    decimals: int = 1
    is_signed: bool = False
    is_fact: bool = False


#: Every metric of `compute_metrics` in the order in which one reads it.
METRIC_WORDS: Mapping[str, MetricWords] = {
    "n_trades": MetricWords("trades", decimals=0, is_fact=True),
    "n_days": MetricWords("days", decimals=0, is_fact=True),
    "mean_gross_bps": MetricWords("gross per trade, bps", is_signed=True),
    "mean_net_bps": MetricWords("net per trade, bps", is_signed=True),
    "gross_return": MetricWords("gross return, %", 100.0, 2, is_signed=True),
    "net_return": MetricWords("net return, %", 100.0, 2, is_signed=True),
    "net_return_optimistic": MetricWords("optimistic bound, %", 100.0, 2, is_signed=True),
    "cost_share": MetricWords("costs / all moves, %", 100.0),
    "cost_share_of_gross": MetricWords("costs / gross gain, %", 100.0),
    "sharpe": MetricWords("daily Sharpe ratio", is_signed=True),
    "probabilistic_sharpe": MetricWords("probabilistic Sharpe", decimals=4),
    "deflated_sharpe": MetricWords("deflated Sharpe", decimals=4),
    "minimum_track_record": MetricWords("days until certain"),
    "sortino": MetricWords("Sortino ratio", is_signed=True),
    "calmar": MetricWords("Calmar ratio", is_signed=True),
    "max_drawdown": MetricWords("deepest drawdown, %", 100.0, 2, is_signed=True),
    "drawdown_length": MetricWords("longest drawdown, days"),
    "win_rate": MetricWords("win rate, %", 100.0),
    "profit_factor": MetricWords("profit factor", decimals=2),
    "turnover": MetricWords("turnover, x per day", decimals=2, is_fact=True),
    "exposure": MetricWords("time in a position, %", 100.0, is_fact=True),
    "gross_exposure": MetricWords("mean position, %", 100.0, 2, is_fact=True),
    "mean_holding": MetricWords("mean holding, min", 1 / 60, is_fact=True),
}
_PROBABILITIES = ("probabilistic_sharpe", "deflated_sharpe")


def list_strategies(backtests: Backtests) -> tuple[str, ...]:
    """The strategies in the order in which they ran, benchmarks left out."""
    return tuple(dict.fromkeys(run.strategy for run in backtests.runs if run.variant != BENCHMARK))


def shorten_name(name: str) -> str:
    """The name of a strategy as there is room for in a figure.

    >>> shorten_name("zone_bounce"), shorten_name("a_strategy_whose_name_goes_on_and_on")
    ('zone_bounce', 'a_strategy_whose_name_goes_…')
    """
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


def name_run(run: StrategyRun) -> str:
    """A run in Markdown: strategy and variant."""
    return f"`{run.strategy}` ({run.variant})"


def list_runs(backtests: Backtests, strategy: str) -> list[StrategyRun]:
    """The runs of a strategy in the order of VARIANTS."""
    found = (backtests.find(strategy, variant) for variant in VARIANTS)
    return [run for run in found if run is not None]


def find_held(backtests: Backtests) -> StrategyRun | None:
    """Buying and holding; None when nothing was bought."""
    run = backtests.find(BUY_AND_HOLD, BENCHMARK)
    return run if run is not None and run.ledger.trades.height else None


def choose_main(runs: Sequence[StrategyRun]) -> StrategyRun | None:
    """The run whose details are shown: the first that can be tested, the default first, else one with trades."""
    own = {run.variant: run for run in runs}
    order = [own[variant] for variant in (DEFAULT, SCALED, OUT_OF_FOLD) if variant in own]
    testable = [run for run in order if not run.not_testable]
    return next(iter(testable), next((run for run in order if run.ledger.trades.height), None))


def read_metrics(run: StrategyRun, symbol: str | None = None) -> dict[str, Metric]:
    """The metrics of all symbols, or of one symbol's trades, by name; empty for a symbol that is unknown."""
    rows = run.metrics if symbol is None else run.by_symbol.get(symbol, ())
    return {metric.name: metric for metric in rows}


def count_trades(metrics: Mapping[str, Metric]) -> int:
    """Trades behind metrics."""
    found = metrics.get("n_trades")
    return int(found.value) if found is not None and found.value is not None else 0


def say_untestable(metrics: Mapping[str, Metric]) -> str:
    """Why nothing may be concluded from metrics, without the words `not testable`; empty when something may."""
    found = metrics.get("n_trades")
    if found is None:
        return "no trades"
    if found.note.startswith(_PREFIX):
        return found.note.removeprefix(_PREFIX)
    n_trades = count_trades(metrics)
    return "" if n_trades >= MIN_TRADES else f"{plural(n_trades, 'trade')}, at least {MIN_TRADES} needed"


def format_number(value: float | None, decimals: int = 1, is_signed: bool = False) -> str:
    """A number that stays short however large it is.

    >>> [format_number(value, 1, True) for value in (7.07, -0.02, -127.4, 12_345.6, -2.5e7, None)]
    ['+7.1', '0.0', '-127', '+12,346', '-2.5e+07', 'n/a']
    """
    if value is None or not math.isfinite(value):
        return MISSING
    size, sign = abs(value), "+" if is_signed else ""
    if size >= _VERY_LARGE:
        return f"{value:{sign}.1e}"
    kept = decimals if size < 100 else 0
    return f"{value:{sign},.{kept}f}" if round(value, kept) else f"{0:.{kept}f}"


def format_probability(value: float | None) -> str:
    """A probability; rounding makes none 0 or 1 that is not.

    >>> [format_probability(value) for value in (0.00001, 0.0214, 1.0, 0.99999, None)]
    ['<0.001', '0.021', '1.000', '>0.999', 'n/a']
    """
    if value is None or not math.isfinite(value):
        return MISSING
    return "<0.001" if 0 < value < 0.001 else ">0.999" if 0.999 < value < 1 else f"{value:.3f}"


def format_spread(
    value: float | None, low: float | None, high: float | None, decimals: int = 1, is_signed: bool = True
) -> str:
    """A number with its interval, which is left out where there is none.

    >>> format_spread(-7.79, -16.59, 1.5), format_spread(2.0, None, None)
    ('-7.8 (-16.6 to +1.5)', '+2.0')
    """
    text = format_number(value, decimals, is_signed)
    if text == MISSING or low is None or high is None:
        return text
    return f"{text} ({format_number(low, decimals, is_signed)} to {format_number(high, decimals, is_signed)})"


def format_metric(name: str, metrics: Mapping[str, Metric], has_interval: bool = True) -> str:
    """A metric in the unit of its label, with its interval; a result of too few trades is `not testable`."""
    words, metric = METRIC_WORDS[name], metrics.get(name)
    if not words.is_fact and say_untestable(metrics):
        return NOT_TESTABLE
    if metric is None or metric.value is None:
        return MISSING
    if name in _PROBABILITIES:
        return format_probability(metric.value)
    scaled = [
        None if value is None else words.factor * value for value in (metric.value, metric.ci_low, metric.ci_high)
    ]
    low, high = scaled[1:] if has_interval else (None, None)
    return format_spread(scaled[0], low, high, words.decimals, words.is_signed)


def measure_costs_bps(metrics: Mapping[str, Metric]) -> float | None:
    """What fees, slippage and funding take from a trade in the mean, bps; None without trades."""
    gross, net = metrics.get("mean_gross_bps"), metrics.get("mean_net_bps")
    if gross is None or net is None or gross.value is None or net.value is None:
        return None
    return gross.value - net.value


def find_chance(run: StrategyRun) -> float | None:
    """The largest share of draws of chance that did at least as well as the run; None without draws."""
    return run.benchmarks["better_frac"].max() if run.benchmarks.height else None  # type: ignore[return-value]


def format_capacity(run: StrategyRun) -> str:
    """The size of an order at which nothing is left; `none` when even the smallest loses."""
    if run.not_testable:
        return NOT_TESTABLE
    capacity = run.capacity
    if capacity.zero_usd is None:
        return MISSING
    if capacity.zero_usd <= 0.0:
        return "none"
    text = format_usd(capacity.zero_usd)
    if capacity.ci_low is None or capacity.ci_high is None:
        return text
    return f"{text} ({format_usd(capacity.ci_low)} to {format_usd(capacity.ci_high)})"


def format_overfitting(search: SearchResult | None) -> str:
    """The probability of backtest overfitting; `n/a` where it has no meaning."""
    return (
        MISSING if search is None or search.overfitting is None else format_probability(search.overfitting.probability)
    )


def say_shape(search: SearchResult) -> str:
    """How the best combination stands among its neighbours, and what that makes of it."""
    return search.surface.plateau.sentence


def name_shape(search: SearchResult) -> str:
    """The shape of the surface in a word or two."""
    return search.surface.plateau.shape


def say_parameters(text: str) -> str:
    """Parameters as they are known, numbers short; `the default` for none.

    >>> say_parameters("threshold_usd=1000000.0, stop_frac=0.01"), say_parameters("")
    ('threshold_usd = 1,000,000; stop_frac = 0.01', 'the default')
    """
    return "; ".join(map(_say_parameter, text.split(", "))) if text else "the default"


def _say_parameter(text: str) -> str:
    name, equals, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        return f"{name} = {value}" if equals else name
    return f"{name} = {number:,.0f}" if number == int(number) else f"{name} = {number:.12g}"


def say_rules(execution: ExecutionConfig) -> list[str]:
    """Delay, fills, costs and limits in sentences."""
    slippage, fees, limits = execution.slippage, execution.fees, execution.limits
    delay = format_span(execution.latency.delay_s * MS_PER_S)
    impact_bps = float(slippage.impact_frac(limits.notional_usd)) / 1e-4
    round_trip = 2.0 * (fees.taker_bps + slippage.assumed_half_spread_bps + impact_bps)
    queue_usd = execution.fills.queue_ahead_usd
    queue = f" once {format_usd(queue_usd)} resting before them have been eaten too" if queue_usd > 0 else ""
    funding = "Funding is paid and received" if execution.funding.charge else "Funding is not charged"
    return [
        f"An order is at the exchange {delay} after the decision. A market order pays the first price after that, half "
        f"the spread (bid and ask where known, else {slippage.assumed_half_spread_bps:g} bps) and an impact of "
        f"{slippage.impact_bps:g} bps x sqrt(size / $1M). A limit fills only when a later price trades through "
        f"it{queue}; a stop at the first price at or beyond it; where one price could do both, the stop is taken.",
        f"Fees: {fees.maker_bps:g} bps for a resting order, {fees.taker_bps:g} bps for any other. {funding}. In and "
        f"out at the market a position of {format_usd(limits.notional_usd)} costs about {round_trip:.1f} bps: what a "
        "trade does not win gross, it loses net.",
        f"Each order is {format_usd(limits.notional_usd)} of {format_usd(limits.capital_usd)} capital; at most "
        f"{plural(limits.max_positions, 'position')} at once, one for each symbol, {format_usd(limits.max_gross_usd)} "
        f"in all; after an exit a symbol rests for {format_span(limits.cooldown_s * MS_PER_S)}.",
    ]


def say_search_rules(search: SearchConfig) -> str:
    """How parameters were chosen, in a sentence."""
    how = "every combination of a grid" if search.method == "grid" else f"{search.n_optuna:,} combinations by Optuna"
    score = "daily Sharpe ratio" if search.score == "sharpe" else "mean net result of a trade"
    return (
        f"Out of fold: {how} was tried on the days before each fold (at least {plural(search.train_days, 'day')}), the "
        f"one with the best {score} there, of those with {search.min_trades:,} trades, traded the fold "
        f"({plural(search.test_days, 'day')}). Its result was never looked at to choose it."
    )


def group_notes(backtests: Backtests) -> list[str]:
    """What to mind, each once, with the strategies that it is about."""
    places: dict[str, list[str]] = {}
    for name, search in backtests.searches.items():
        for note in search.notes:
            places.setdefault(note, []).append(name)
    for run in backtests.runs:
        who = run.strategy if run.variant == BENCHMARK else f"{run.strategy} ({run.variant})"
        for note in run.ledger.notes:
            places.setdefault(note, []).append(who)
    told = {*places, *(f"{name}: {note}" for note, names in places.items() for name in names)}
    lines = [f"{_name_all(names, backtests)}: {note}" for note, names in places.items()]
    return [*lines, *(note for note in backtests.notes if note not in told)]


def _name_all(names: Sequence[str], backtests: Backtests) -> str:
    return "all strategies" if len(names) > 1 and set(names) == set(backtests.searches) else ", ".join(names)


def list_metric_notes(columns: Mapping[str, Mapping[str, Metric]]) -> Iterator[str]:
    """The remarks on metrics, each once: on which metric, in which variant."""
    places: dict[str, dict[str, list[str]]] = {}
    for variant, metrics in columns.items():
        for name, metric in metrics.items():
            if metric.note and not metric.note.startswith(_PREFIX) and not say_untestable(metrics):
                places.setdefault(metric.note, {}).setdefault(variant, []).append(
                    METRIC_WORDS[name].label.split(",")[0]
                )
    for note, found in places.items():
        labels = list(dict.fromkeys(label for own in found.values() for label in own))
        where = "" if len(found) == len(columns) else f" ({', '.join(found)})"
        yield f"{', '.join(labels)}{where}: {note}"


def say_few(trades: pl.DataFrame) -> str:
    """What too few trades came to, in words that make no result of it; empty without trades."""
    if not trades.height:
        return ""
    usd = pl.col("notional_usd")
    net, costs = trades.select(
        net=(pl.col("net_return") * usd).sum(), costs=((pl.col("gross_return") - pl.col("net_return")) * usd).sum()
    ).row(0)
    what = "won" if net > 0 else "lost"
    return (
        f"Its {plural(trades.height, 'trade')} together {what} {format_usd(abs(net))} net after {format_usd(costs)} of "
        "costs: an anecdote, no result."
    )
