"""The exploratory tables of question 6: what their rows and columns are."""

from __future__ import annotations

import polars as pl

from liqlab.core.schema import COUNT, FLOAT, TIME, Column, Table

_TEXT = pl.String()
_LOW, _HIGH = "95 % interval, lower end", "95 % interval, upper end"


def _group(meaning: str) -> tuple[Column, Column]:
    return Column("split", _TEXT, "", "what is split by; `all` for nothing"), Column("group", _TEXT, "", meaning)


DELAYS = Table(
    "q6_delays",
    "how long after a liquidation was known the next ticker price of its symbol came",
    (
        Column("symbol", _TEXT, "", "instrument"),
        Column("n", COUNT, "", "liquidations with a price within the tolerance"),
        Column("median_s", FLOAT, "s", "median delay to the next price"),
        Column("p95_s", FLOAT, "s", "95th percentile"),
        Column("ticker_interval_s", FLOAT, "s", "typical time between two prices"),
        Column("expected_median_s", FLOAT, "s", "half of that: the median if liquidations came at any moment between"),
        Column("note", _TEXT, "", "what the delay can tell"),
    ),
)

SWEEPS = Table(
    "q6_sweeps",
    "one sweep: liquidations of one side at ever further prices in quick succession",
    (
        Column("symbol", _TEXT, "", "instrument"),
        Column("known_time", TIME, "ms UTC", "when it was known: the fourth price within 2 s"),
        Column("liquidated_side", _TEXT, "", "`long` or `short`"),
        Column("n_liquidations", COUNT, "", "liquidations until the run of monotone prices ended"),
        Column("n_price_levels", COUNT, "", "distinct liquidation prices among them"),
        Column("notional_usd", FLOAT, "USD", "their notional"),
        Column("range_bps", FLOAT, "bps", "from the first to the last liquidation price; bankruptcy prices on Bybit"),
        Column("duration_s", FLOAT, "s", "event time of the last less that of the first"),
        Column(
            "return_60s_bps", FLOAT, "bps", "over 60 s from when known, times the pressure; null if not first in 10 min"
        ),
        Column("excess_60s_bps", FLOAT, "bps", "that less the mean of its matched moments; null without one"),
    ),
)

ABSORPTION = Table(
    "q6_absorption",
    "large cascades (largest tenth by notional) that hardly moved the price on",
    (
        *_group("which of them; sessions by confirmation, UTC"),
        Column("n", COUNT, "", "large cascades with a matched moment"),
        Column("smallest_usd", FLOAT, "USD", "notional from which a cascade counts as large"),
        Column("limit_bps", FLOAT, "bps", "median size of the move at matched moments over 30 s: below it is hardly"),
        Column("absorbed_frac", FLOAT, "fraction", "share whose excess over 30 s is smaller than that, either way"),
        Column("ci_low", FLOAT, "fraction", f"{_LOW}, by t over blocks of an hour"),
        Column("ci_high", FLOAT, "fraction", _HIGH),
        Column("others_frac", FLOAT, "fraction", "the same share of all smaller cascades"),
    ),
)

EFFICIENCY = Table(
    "q6_efficiency",
    "how far cascades move the price for their size",
    (
        Column("measure", _TEXT, "", "`excess over 30 s` by the notional at confirmation; `displacement` by the total"),
        *_group("which of them; sessions by confirmation, UTC"),
        Column("n", COUNT, "", "cascades"),
        Column("bps_per_musd", FLOAT, "bps per $1M", "sum of moves over sum of notional"),
        Column("per_musd_low", FLOAT, "bps per $1M", f"{_LOW}, by bootstrap of blocks of an hour"),
        Column("per_musd_high", FLOAT, "bps per $1M", _HIGH),
        Column("bps_at_1m", FLOAT, "bps", "a of the concave fit, move = a (notional / $1M)^b by least squares"),
        Column("at_1m_low", FLOAT, "bps", _LOW),
        Column("at_1m_high", FLOAT, "bps", _HIGH),
        Column("exponent", FLOAT, "", "b, searched between 0 and 1.5; means nothing where a may be zero"),
        Column("exponent_low", FLOAT, "", _LOW),
        Column("exponent_high", FLOAT, "", _HIGH),
    ),
)

HOURS = Table(
    "q6_hours",
    "liquidations per covered hour in one part of the day or week, against the rest",
    (
        *_group("an hour (UTC), a session, a day of the week, or the weekend"),
        Column("covered_hours", FLOAT, "h", "symbol-hours in which the recorder listened"),
        Column("days", COUNT, "", "days with such hours"),
        Column("liquidations", COUNT, "", "known in them"),
        Column("per_hour", FLOAT, "1 / h", "liquidations of a symbol per covered hour, mean over symbols"),
        Column("usd_per_hour", FLOAT, "USD / h", "their notional"),
        Column("log_ratio", FLOAT, "", "log of the rate of liquidations over that of all other hours"),
        Column("ci_low", FLOAT, "", f"{_LOW}, errors clustered by day"),
        Column("ci_high", FLOAT, "", _HIGH),
        Column("p", FLOAT, "probability", "two-sided p that the rates are equal, errors clustered by day"),
        Column("p_adjusted", FLOAT, "probability", "Benjamini-Hochberg over this table"),
        Column("note", _TEXT, "", "why there is no interval; empty when there is"),
    ),
)
