"""Question 6 in words: delays, sweeps, absorption, efficiency, hours and days."""

from __future__ import annotations

import math
from typing import Any

import polars as pl

from liqlab.report._findings_questions_words import (
    Block,
    find_table,
    list_rows,
    paragraph,
    plain,
    share_spread,
    signed,
    spread,
    stand_out,
    tabulate,
)
from liqlab.report._ic_reading import format_p
from liqlab.report._text import MISSING, format_count, format_usd
from liqlab.report._words import percent
from liqlab.study import Study

_BUSIEST = 3


def _delays(study: Study) -> str:
    rows = [
        [
            row["symbol"],
            format_count(row["n"]),
            plain(row["median_s"], 2),
            plain(row["p95_s"], 2),
            plain(row["ticker_interval_s"], 2),
            plain(row["expected_median_s"], 2),
        ]
        for row in list_rows(find_table(study, "q6_delays"))
        if row["n"]
    ]
    words = (
        "Seconds from when a liquidation was known to the next ticker price. With a median of half the ticker's "
        "interval, liquidations come at any moment between prices, and nothing faster than the ticker can be told."
    )
    header = ["symbol", "liquidations", "median", "95 %", "ticker every", "half of that"]
    return paragraph(words, tabulate(header, rows))


def _sweeps(study: Study) -> str:
    frame = find_table(study, "q6_sweeps")
    if frame.is_empty():
        return ""
    rows = []
    for side in ("long", "short"):
        own = frame.filter(pl.col("liquidated_side") == side)
        if own.height:
            tested = own["excess_60s_bps"].drop_nulls()
            middle = own.select(pl.col("n_price_levels", "notional_usd", "range_bps", "duration_s").median()).row(
                0, named=True
            )
            mean = tested.mean()
            rows.append(
                [
                    f"{side}s liquidated",
                    format_count(own.height),
                    plain(middle["n_price_levels"], 0),
                    format_usd(middle["notional_usd"]),
                    plain(middle["range_bps"]),
                    f"{plain(middle['duration_s'], 2)} s",
                    format_count(tested.len()),
                    signed(mean if isinstance(mean, float) else None),
                ]
            )
    words = (
        "Four or more liquidations of one side at ever further prices, each within 2 s of the one before: medians, and "
        "the mean of what the price did in the next 60 s beyond its matched moments, with the pressure (first sweep in "
        "10 min; Q6.3 is its test)."
    )
    header = ["sweeps", "n", "price levels", "notional", "range, bps", "duration", "compared", "excess, bps"]
    return paragraph(words, tabulate(header, rows))


def _absorption(study: Study) -> str:
    every = list_rows(find_table(study, "q6_absorption"))
    rows = [
        [
            _name_group(row),
            format_count(row["n"]),
            format_usd(row["smallest_usd"]),
            plain(row["limit_bps"]),
            share_spread(row["absorbed_frac"], row["ci_low"], row["ci_high"], 0),
            percent(row["others_frac"], 0),
        ]
        for row in every
        if row["n"] and row["split"] in ("all", "session")
    ]
    words = (
        "Large cascades (the largest tenth) that moved the price on, over 30 s, by less than a usual move at matched "
        "moments, beside the same share of smaller ones."
    )
    header = ["", "large cascades", "from", "a usual move, bps", "absorbed", "smaller cascades"]
    return paragraph(words, tabulate(header, rows))


def _efficiency(study: Study) -> str:
    rows = [
        [
            f"{_name_group(row)}: {row['measure']}",
            format_count(row["n"]),
            spread(row["bps_per_musd"], row["per_musd_low"], row["per_musd_high"]),
            spread(row["bps_at_1m"], row["at_1m_low"], row["at_1m_high"]),
            spread(row["exponent"], row["exponent_low"], row["exponent_high"], 2, plain),
        ]
        for row in list_rows(find_table(study, "q6_efficiency"))
        if row["n"] and row["split"] in ("all", "session")
    ]
    words = (
        "How far a cascade moves the price for its size. Bps per $1M weighs by size; the concave fit is move = a × "
        "(notional / $1M)^b. Only the excess is impact: the displacement holds the move that set the cascade off."
    )
    header = ["", "cascades", "bps per $1M", "a: bps at $1M", "b: exponent"]
    return paragraph(words, tabulate(header, rows))


def _name_group(row: dict[str, Any]) -> str:
    return "all" if row["split"] == "all" else f"{row['group']} session"


def _hours(study: Study) -> str:
    every = list_rows(find_table(study, "q6_hours"))
    rows = [
        _hour_row(row) for row in every if row["split"] in ("session", "weekday", "weekend") and row["covered_hours"]
    ]
    hours = [row for row in every if row["split"] == "hour" and row["per_hour"] is not None]
    busiest = sorted(hours, key=lambda row: -row["per_hour"])[:_BUSIEST]
    quietest = sorted(hours, key=lambda row: row["per_hour"])[:_BUSIEST]
    named = (
        f" The busiest hours (UTC) are {_name_hours(busiest)}, the quietest {_name_hours(quietest)}."
        if len(hours) > 2 * _BUSIEST
        else ""
    )
    words = (
        "Liquidations of a symbol per covered hour, and the ratio of that rate to the rate of all other hours, errors "
        f"clustered by day.{named}"
    )
    header = ["part of day or week", "days", "per hour", "notional per hour", "times the rest", "adjusted p"]
    return paragraph(words, tabulate(header, rows))


def _hour_row(row: dict[str, Any]) -> list[str]:
    ratio = [None if row[name] is None else math.exp(row[name]) for name in ("log_ratio", "ci_low", "ci_high")]
    text = stand_out(spread(ratio[0], ratio[1], ratio[2], 2, plain), row["p_adjusted"])
    return [
        row["group"],
        format_count(row["days"]),
        plain(row["per_hour"]),
        format_usd(row["usd_per_hour"]),
        text,
        row["note"] or format_p(row["p_adjusted"]) or MISSING,
    ]


def _name_hours(rows: list[dict[str, Any]]) -> str:
    return ", ".join(f"{row['group']}h ({plain(row['per_hour'], 0)})" for row in rows)


Q6_BLOCKS = (
    Block("From a liquidation to the next price", ("Q6.analysis1", "Q6.metric1"), ("q6_delays",), _delays),
    Block("Sweeps", ("Q6.analysis2", "Q6.metric2"), ("q6_sweeps",), _sweeps),
    Block("Absorption", ("Q6.analysis3",), ("q6_absorption",), _absorption),
    Block("Price impact for the size", ("Q6.metric3",), ("q6_efficiency",), _efficiency),
    Block("Time of day and day of week", ("Q6.analysis4", "Q6.metric4"), ("q6_hours",), _hours),
)
