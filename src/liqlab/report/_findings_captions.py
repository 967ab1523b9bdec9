"""Which figures a run makes, how each is drawn, and what to see in it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import polars as pl
from matplotlib.figure import Figure

from liqlab.models import list_liquidation_columns
from liqlab.report._figures_backtest import list_backtest_figures
from liqlab.report._figures_cascades import plot_cascade_examples
from liqlab.report._figures_claims import list_claim_figures
from liqlab.report._figures_heatmap import plot_price_heatmap
from liqlab.report._figures_hours import plot_hour_by_weekday
from liqlab.report._figures_ic import plot_ic_decay, plot_ic_heatmap
from liqlab.report._figures_importance import plot_importance
from liqlab.report._figures_rate import plot_liquidation_rate
from liqlab.report._figures_regimes import plot_regimes
from liqlab.report._figures_size import plot_size_distribution
from liqlab.report._figures_walk_forward import plot_walk_forward
from liqlab.report._findings_events import describe_minute, list_busiest_minutes
from liqlab.report._findings_ic import choose_symbol
from liqlab.report._ic_reading import at_all_times, read_families
from liqlab.report._report_figure import (
    BACKTESTS,
    CASCADES,
    EVENTS,
    HYPOTHESES,
    IC,
    REGIMES,
    WALK_FORWARD,
    ReportFigure,
)
from liqlab.report._text import format_usd
from liqlab.report._words import percent
from liqlab.study import ALL, Study

__all__ = [
    "BACKTESTS",
    "CASCADES",
    "EVENTS",
    "HYPOTHESES",
    "IC",
    "REGIMES",
    "WALK_FORWARD",
    "ReportFigure",
    "list_figures",
]


def list_figures(study: Study) -> list[ReportFigure]:
    """The figures of a study, in the order in which the findings show them; nothing is drawn yet."""
    bars, coverage, liquidations = study.bars_1m, study.coverage, study.liquidations
    return [
        ReportFigure(
            "liquidations_rate.png", EVENTS, _rate(study), partial(plot_liquidation_rate, bars, coverage, "1m")
        ),
        ReportFigure("liquidations_sizes.png", EVENTS, _sizes(study), partial(plot_size_distribution, liquidations)),
        ReportFigure(
            "liquidations_hours.png", EVENTS, _hours(), partial(plot_hour_by_weekday, bars, coverage, width="1m")
        ),
        *_heatmaps(study),
        ReportFigure(
            "liquidations_cascade_examples.png",
            CASCADES,
            _examples(study),
            partial(plot_cascade_examples, study.cascades, liquidations, study.example_prices),
        ),
        *_predictive(study),
        *list_claim_figures(study.question_tables, study.verdicts),
        *list_backtest_figures(study.backtests),
    ]


def _predictive(study: Study) -> Iterator[ReportFigure]:
    """What the features say of the future; nothing for a part that could not be tested at all."""
    families = read_families(study.feature_dictionary)
    largest = _largest_first(study)
    tables = {symbol: study.regimes[symbol].table for symbol in largest}
    if any(table["volatility_bps"].count() for table in tables.values()):
        yield ReportFigure("liquidations_regimes.png", REGIMES, _REGIME_CAPTION, partial(plot_regimes, tables))
    if study.ic.table["p"].count():
        table, symbol = study.ic.table, choose_symbol(at_all_times(study.ic.table))
        yield ReportFigure(
            "liquidations_ic_heatmap.png", IC, _HEATMAP_CAPTION, partial(plot_ic_heatmap, table, families, symbol)
        )
        yield ReportFigure(
            "liquidations_ic_decay.png", IC, _DECAY_CAPTION, partial(plot_ic_decay, table, families, symbol)
        )
    if study.walk_forward.predictions.height:
        result, liquidations = study.walk_forward, list_liquidation_columns()
        yield ReportFigure(
            "liquidations_walk_forward.png", WALK_FORWARD, _FORECAST_CAPTION, partial(plot_walk_forward, result.scores)
        )
        yield ReportFigure(
            "liquidations_importance.png",
            WALK_FORWARD,
            _IMPORTANCE_CAPTION,
            partial(plot_importance, result.importance, liquidations),
        )


_REGIME_CAPTION = (
    "Volatility and its trailing threshold, volatile stretches shaded, the filtered probability of the hidden Markov "
    "model below. See: whether both methods call the same hours volatile, and when the first regime is known."
)
_HEATMAP_CAPTION = (
    "Information coefficients by feature and horizon; marked where the corrected p is below 0.05. See: how pale the "
    "left half is beside the right one. Volatility is easy to foresee, direction is not."
)
_DECAY_CAPTION = (
    "The strongest features of each family over the horizon, with 95 % intervals. See: which bands leave zero, and "
    "that the strongest of many look strong by selection alone."
)
_FORECAST_CAPTION = (
    "R2 out of sample with 95 % intervals. See: whether any model lies right of the line, and whether it still does "
    "without the liquidation features."
)
_IMPORTANCE_CAPTION = (
    "What the trees' forecasts rest on, groups of correlated columns, mean and spread over the folds. See: whether "
    "liquidation features stand out from those that need no liquidations."
)


def _heatmaps(study: Study) -> Iterator[ReportFigure]:
    """One for each symbol, the largest first; what to see is said once."""
    largest = _largest_first(study)
    for symbol in largest:
        caption = f"{symbol}, notional by price level and time."
        if symbol == largest[0]:
            caption += (
                " See: at which prices liquidations piled up, on which side (profile at the right), and how far from "
                "the ticker price (line) they are published."
            )
        plot = partial(_plot_heatmap, study, symbol)
        yield ReportFigure(f"liquidations_heatmap_{symbol}.png", EVENTS, caption, plot)


def _largest_first(study: Study) -> list[str]:
    return sorted(study.symbols, key=lambda symbol: -study.statistics[symbol].published.notional_usd)


def _plot_heatmap(study: Study, symbol: str) -> Figure:
    prices = study.prices.filter(pl.col("symbol") == symbol)
    return plot_price_heatmap(symbol, study.liquidations, _thin(prices, study.ticker_interval_ms.get(symbol)))


def _thin(prices: pl.DataFrame, interval_ms: int | None) -> pl.DataFrame:
    """Without the repetitions that a ticker slower than a minute leaves in prices at each minute."""
    step = pl.col("known_time").to_physical() // (interval_ms or 1)
    return prices.filter(step != step.shift(fill_value=-1)) if prices.height else prices


def _rate(study: Study) -> str:
    busiest = list_busiest_minutes(study.liquidations, 1)
    spike = f" The busiest minute: {describe_minute(busiest[0])}." if busiest else ""
    return (
        "Liquidations over time: notional per hour, shorts upward and longs downward, number of events below; grey "
        "where nobody listened. See: how much of the whole is a few bursts, and whether a burst is of one side."
        f"{spike}"
    )


def _sizes(study: Study) -> str:
    threshold = study.statistics[ALL].published.p95_size_usd
    sizes = study.liquidations["notional_usd"]
    total = float(sizes.sum())
    tail = ""
    if threshold is not None and total > 0:
        share = float(sizes.filter(sizes >= threshold).sum()) / total
        tail = f": the largest 5 %, from {format_usd(threshold)} up, hold {percent(share)} of the notional"
    return f"Sizes: share of liquidations at least as large as x, histograms by side. See: how heavy the tail is{tail}."


def _hours() -> str:
    return (
        "Liquidations per covered hour by weekday and hour (UTC); hatched: hardly covered. See: whether symbols share "
        "their busy hours. One burst in a short recording colours a whole cell."
    )


def _examples(study: Study) -> str:
    if study.cascades.is_empty():
        return "Cascade examples: there was none to show."
    return (
        "The largest cascades: notional so far by side, price where the ticker is fine enough, else the published "
        "prices of the liquidations. See: how much of each cascade was still to come when it was confirmed (dashed)."
    )
