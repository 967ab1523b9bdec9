"""Which figures a run makes, how each is drawn, and what to see in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import polars as pl
from matplotlib.figure import Figure

from liqlab.report._figures_cascades import plot_cascade_examples
from liqlab.report._figures_heatmap import plot_price_heatmap
from liqlab.report._figures_hours import plot_hour_by_weekday
from liqlab.report._figures_rate import plot_liquidation_rate
from liqlab.report._figures_size import plot_size_distribution
from liqlab.report._findings_events import describe_minute, list_busiest_minutes
from liqlab.report._text import format_usd
from liqlab.report._words import percent
from liqlab.study import ALL, Study

EVENTS = "events"
CASCADES = "cascades"


class ReportFigure(NamedTuple):
    """A figure of a run: its file, the section of the findings it belongs to, what to see in it, how it is drawn."""

    file: str
    section: str
    caption: str
    plot: Callable[[], Figure]


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
    ]


def _heatmaps(study: Study) -> Iterator[ReportFigure]:
    """One for each symbol, the largest first; what to see is said once."""
    largest = sorted(study.symbols, key=lambda symbol: -study.statistics[symbol].published.notional_usd)
    for symbol in largest:
        caption = f"{symbol}, notional by price level and time."
        if symbol == largest[0]:
            caption += (
                " See: at which prices liquidations piled up, on which side (profile at the right), and how far from "
                "the ticker price (line) they are published."
            )
        plot = partial(_plot_heatmap, study, symbol)
        yield ReportFigure(f"liquidations_heatmap_{symbol}.png", EVENTS, caption, plot)


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
