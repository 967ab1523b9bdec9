"""The exploratory tables of question 1: what their rows and columns are."""

from __future__ import annotations

import polars as pl

from liqlab.core.schema import COUNT, FLOAT, Column, Table

_TEXT = pl.String()


def _number(name: str, unit: str, meaning: str) -> Column:
    return Column(name, FLOAT, unit, meaning)


def _text(name: str, meaning: str) -> Column:
    return Column(name, _TEXT, "", meaning)


def _count(name: str, meaning: str) -> Column:
    return Column(name, COUNT, "", meaning)


def _interval(unit: str) -> tuple[Column, Column]:
    return (
        _number("ci_low", unit, "95 % interval, lower end, by t over blocks of an hour"),
        _number("ci_high", unit, "95 % interval, upper end"),
    )


_SPLIT = (
    _text("split", "what the events are split by; `all` for none"),
    _text("group", "which of them"),
)

CLUSTERS = Table(
    "q1_clusters",
    "clusters of liquidations no further apart than a gap, of one symbol or all",
    (
        _text("symbol", "instrument; `ALL` for all of them, clustered one by one"),
        _number("gap_s", "s", "longest silence inside a cluster, in known time"),
        _count("clusters", "clusters of at least two liquidations"),
        _count("clusters_of_three", "of at least three"),
        _number("share_of_liquidations", "fraction", "liquidations that are part of a cluster"),
        _number("mean_liquidations", "", "liquidations of a cluster, mean"),
        _number("p95_liquidations", "", "95th percentile"),
        _number("median_notional_usd", "USD", "notional of a cluster, median"),
        _number("p95_notional_usd", "USD", "95th percentile"),
        _number("largest_notional_usd", "USD", "the largest"),
        _number("mean_duration_s", "s", "known time of the last less that of the first liquidation, mean"),
    ),
)

IMPACT = Table(
    "q1_impact",
    "price after cascades, signed by pressure, against matched moments: one origin, horizon and group",
    (
        _text("origin", "`confirmed`, `ended`, or when the notional so far had reached `$1M` or `$5M`"),
        _number("horizon_s", "s", "from the first price at or after the origin to the first so much later"),
        *_SPLIT,
        _count("n", "events with a price and a matched moment"),
        _number("mean_bps", "bps", "mean of the events"),
        _number("placebo_bps", "bps", "mean of their matched moments"),
        _number("excess_bps", "bps", "the difference"),
        *_interval("bps"),
        _number("p", "probability", "two-sided p that the excess is zero"),
        _number("p_adjusted", "probability", "Benjamini-Hochberg over this table"),
        _number("unmatched_frac", "fraction", "events with a price but without a matched moment"),
    ),
)

PATHS = Table(
    "q1_paths",
    "mean path of the price around cascades and around their matched moments, signed by pressure",
    (
        _text("origin", "`confirmed` or `ended`"),
        *_SPLIT,
        _number("offset_s", "s", "after the origin; before it where negative"),
        _number("mean_bps", "bps", "against the first price at or after the origin"),
        *_interval("bps"),
        _number("placebo_bps", "bps", "the same at matched moments"),
        _number("placebo_low", "bps", "95 % interval, lower end"),
        _number("placebo_high", "bps", "upper end"),
        _count("n", "events"),
    ),
)

EXCURSIONS = Table(
    "q1_excursions",
    "how far the price went with and against the pressure after cascades began, and after matched moments",
    (
        *_SPLIT,
        _number("horizon_s", "s", "from the first liquidation known on"),
        _count("n", "events with a matched moment"),
        _number("adverse_frac", "fraction", "moved on with the pressure at all: adverse to who trades against it"),
        *_interval("fraction"),
        _number("placebo_adverse_frac", "fraction", "the same at matched moments"),
        _number("published_adverse_frac", "fraction", "as published in February 2026; null where nothing was"),
        _number("median_with_bps", "bps", "farthest move with the pressure, median"),
        _number("placebo_with_bps", "bps", "the same at matched moments"),
        _number("median_against_bps", "bps", "farthest move against the pressure, median"),
        _number("placebo_against_bps", "bps", "the same at matched moments"),
    ),
)

RECOVERY = Table(
    "q1_recovery",
    "share of cascades whose price was back at its pre-cascade level, by Kaplan-Meier",
    (
        *_SPLIT,
        _number("minutes", "min", "since the end of the cascade was known"),
        _number("recovered_frac", "fraction", "share that was back by then"),
        *_interval("fraction"),
        _number("placebo_recovered_frac", "fraction", "the same at matched moments"),
        _number("published_frac", "fraction", "as published in February 2026; null where nothing was"),
        _count("n", "cascades that had moved the price with their pressure"),
        _count("n_at_risk", "of them not yet back and still observed"),
        _count("n_censored", "of all, those not seen to come back"),
    ),
)

CHAIN = Table(
    "q1_chain",
    "whether more liquidations follow the first one, against matched moments without any",
    (
        _text("group", "all first liquidations, or those after which the price had moved with or against the pressure"),
        _count("n", "first liquidations with a matched moment"),
        _number("followed_frac", "fraction", "share with further liquidations of that side in the next 60 s"),
        _number("placebo_frac", "fraction", "the same at matched moments"),
        _number("excess_frac", "fraction", "the difference"),
        *_interval("fraction"),
        _number("p", "probability", "two-sided p that the difference is zero"),
        _number("p_adjusted", "probability", "Benjamini-Hochberg over this table"),
        _number("unmatched_frac", "fraction", "first liquidations without a matched moment"),
    ),
)

SEVERITY = Table(
    "q1_severity",
    "how severe cascades are in one regime or state of liquidity",
    (
        *_SPLIT,
        _text("measure", "`notional_usd`, `duration_s` or `displacement_bps` (signed by pressure)"),
        _text("unit", "of the numbers"),
        _count("n", "cascades"),
        _number("median", "", "median"),
        _number("mean", "", "mean"),
        *_interval(""),
        _number("difference", "", "mean less that of the first group of the split; null for it"),
        _number("p", "probability", "two-sided p that the difference is zero, by t over blocks of an hour"),
        _number("p_adjusted", "probability", "Benjamini-Hochberg over this table"),
    ),
)

BALANCE = Table(
    "q1_balance",
    "how alike events and their matched moments are in one covariate",
    (
        _text("events", "which events"),
        _text("covariate", "what they are matched on; returns signed by pressure, in units of trailing volatility"),
        _number("events_mean", "", "mean of the matched events"),
        _number("controls_mean", "", "mean of their matched moments"),
        _number("standardised_difference", "", "difference over the pooled standard deviation; below 0.1 is balanced"),
        _number("unmatched_frac", "fraction", "events without any matched moment"),
    ),
)
