"""The figures of the claims: which there are, from which tables each is drawn, and what to see in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import polars as pl

from liqlab.core.schema import LONG, SHORT
from liqlab.report._figures_claims_contagion import plot_contagion
from liqlab.report._figures_claims_events import count_cascades, plot_event_study
from liqlab.report._figures_claims_lags import list_pairs, plot_lead_lag
from liqlab.report._figures_claims_verdicts import plot_verdicts
from liqlab.report._figures_claims_zones import plot_zone_scorecard
from liqlab.report._report_figure import HYPOTHESES, ReportFigure
from liqlab.report._text import format_count
from liqlab.report._verdicts_text import Record, count_verdicts
from liqlab.report._words import join_names, plural
from liqlab.study import QUESTION_TABLES

#: The tables that figures are drawn from, in the order in which their functions take them.
EVENT_TABLES = ("q1_paths", "q1_impact")
LAG_TABLES = ("oi_lead_lag", "oi_lead_lag_peaks", "contagion_leads", "contagion_correlations")
ZONE_TABLES = ("zone_scores", "zone_forecasts", "zone_reliability")
CONTAGION_TABLES = ("contagion_responses", "contagion_granger", "contagion_hawkes", "contagion_lifts")


def list_claim_figures(tables: Mapping[str, pl.DataFrame], verdicts: Sequence[Record]) -> Iterator[ReportFigure]:
    """The figures of the claims in the order of the findings; nothing is drawn yet.

    `tables` are the exploratory tables of the answers by name, one that is missing counts as empty; `verdicts` are the
    records of `verdicts.json`. Without verdicts no claim was tested, and there is no figure; with them there is every
    figure: one without data says in words why.
    """
    if not verdicts:
        return
    events, lags, zones, contagion = (
        [_find_table(tables, name) for name in names]
        for names in (EVENT_TABLES, LAG_TABLES, ZONE_TABLES, CONTAGION_TABLES)
    )
    yield ReportFigure(
        "liquidations_verdicts.png", HYPOTHESES, _caption_verdicts(verdicts), partial(plot_verdicts, verdicts)
    )
    yield ReportFigure(
        "liquidations_event_study.png", "Q1", _caption_events(events[0]), partial(plot_event_study, *events)
    )
    yield ReportFigure(
        "liquidations_lead_lag.png", "Q3", _caption_lags(lags[0], lags[2]), partial(plot_lead_lag, *lags)
    )
    yield ReportFigure(
        "liquidations_zone_scorecard.png", "Q4", _caption_zones(zones[0]), partial(plot_zone_scorecard, *zones)
    )
    yield ReportFigure(
        "liquidations_contagion.png", "Q7", _caption_contagion(contagion), partial(plot_contagion, *contagion)
    )


def _find_table(tables: Mapping[str, pl.DataFrame], name: str) -> pl.DataFrame:
    if name in tables:
        return tables[name]
    return next(table.empty() for declared in QUESTION_TABLES.values() for table in declared if table.name == name)


def _caption_verdicts(verdicts: Sequence[Record]) -> str:
    """Counts of the verdicts and the range of n."""
    counts = [record["n"] for record in verdicts if record["effect"] is not None]
    cases = f" n from {format_count(min(counts))} to {format_count(max(counts))}." if counts else ""
    return (
        f"All verdicts, {count_verdicts(verdicts)}; each effect with its 95 % interval in units of the smallest that "
        f"matters to it, a claimed range from 0 to 1.{cases} See: what lies right of 1 and above 0 as a whole "
        "(supported, if it survives the correction), what ends left of 1 (rejected), and what reaches over both."
    )


def _caption_events(paths: pl.DataFrame) -> str:
    counts = [[count_cascades(paths, origin, side) for side in (LONG, SHORT)] for origin in ("confirmed", "ended")]
    if not any(map(sum, counts)):
        return "Event study: no cascade had a ticker price around it and a matched moment to compare it with."
    (longs, shorts), (ended_longs, ended_shorts) = counts
    return (
        f"Price around cascades, with 95 % intervals, beside matched moments with their 95 % band (grey): n = "
        f"{longs:,} of longs and {shorts:,} of shorts from confirmation, {ended_longs:,} and {ended_shorts:,} from the "
        "end. See: whether the path leaves the grey band after 0, and how much of that is left when the end is known. "
        "Matched moments drift too: they are as volatile, and moved alike before."
    )


def _caption_lags(lags: pl.DataFrame, leads: pl.DataFrame) -> str:
    pairs = list_pairs(lags, leads)
    if not pairs:
        return "Who comes first: no two series were long enough to be compared over a lag."
    n = len({*lags["symbol"], *leads["first"], *leads["second"]})
    return (
        f"Cross-correlation over the lag of {', of '.join(pairs)}; n = {plural(n, 'symbol')}. See: on which side of 0 "
        "the peak lies, and whether its interval leaves 0. The band holds for autocorrelated series, but a common "
        "factor leaves it without any cause."
    )


def _caption_zones(scores: pl.DataFrame) -> str:
    own = scores.filter((pl.col("group") == "all") & pl.col("difference").is_not_null())
    if own.is_empty():
        return "Zone scorecard: no zone came within reach of a price."
    visits, touches = (own.filter(pl.col("measure").str.contains(word)) for word in ("visit", "reversal after"))
    counts = [f"{visits['n_zones'][0]:,} zones, once for each hour"] if visits.height else []
    if touches.height:
        counts.append(f"{touches['n_zones'][0]:,} first touches of zones and {touches['n_other'][0]:,} of other levels")
    return (
        f"Zones beside matched levels, with 95 % intervals: n = {', '.join(counts) or format_count(0)}. See: which "
        "difference leaves the line, and whether it does in every group; and whether forecasts of a reversal score "
        "better than always forecasting the overall share. Plain shares differ by distance and path as well."
    )


def _caption_contagion(tables: Sequence[pl.DataFrame]) -> str:
    responses, lifts = tables[0], tables[3]
    names = sorted({name for table in tables for column in ("cause", "effect") for name in table[column]})
    if not names:
        return "Contagion: there are no two symbols with prices and liquidations."
    own = [table["n_events"].drop_nulls().to_list() for table in (responses, lifts)]
    counts = next(filter(None, own), [])
    n = f"; n = {min(counts):,} to {max(counts):,} liquidations of the cause" if counts else ""
    return (
        f"Who follows whom among {join_names(names)}{n} (bars of 5 s). See: in which direction the conditional "
        "response is framed: it alone decides. Lifts are above 1 wherever assets follow one market, contagion or not."
    )
