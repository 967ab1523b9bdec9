"""The exploratory tables of question 2: what their rows and columns are."""

from __future__ import annotations

import polars as pl

from liqlab.core.schema import COUNT, FLOAT, TIME, Column, Table

_LOOKBACK = Column("lookback_min", COUNT, "min", "trailing window of the imbalance")
_HORIZON = Column("horizon_min", COUNT, "min", "forward length of the return")
_SYMBOL = Column("symbol", pl.String(), "", "instrument; `ALL` for all of them")
_GROUP = Column(
    "group",
    pl.String(),
    "",
    "`extreme long` (imbalance < -0.5), `extreme short` (> 0.5), `extreme` (both), `moderate` (0.1 to 0.5), or "
    "`extreme less moderate`",
)
_N = Column("n", COUNT, "", "minutes of the group with a return")
_P = Column("p", FLOAT, "probability", "two-sided p that it is zero")
_P_ADJUSTED = Column("p_adjusted", FLOAT, "probability", "Benjamini-Hochberg over this table")
_REVERSAL = Column("reversal_bps", FLOAT, "bps", "mean forward return against the pressure: positive is reversal")


def _interval(unit: str, how: str) -> tuple[Column, Column]:
    return (
        Column("ci_low", FLOAT, unit, f"95 % interval, lower end, {how}"),
        Column("ci_high", FLOAT, unit, "95 % interval, upper end"),
    )


_BY_BLOCKS = "by t over blocks of an hour, or of two horizons, with all symbols of a block together"

RETURNS = Table(
    "q2_returns",
    "forward returns after extreme and moderate imbalances, nothing else given",
    (
        _LOOKBACK,
        _HORIZON,
        _SYMBOL,
        _GROUP,
        _N,
        Column("share_of_minutes", FLOAT, "fraction", "the group's share of all minutes with a return"),
        _REVERSAL,
        *_interval("bps", _BY_BLOCKS),
        _P,
        _P_ADJUSTED,
    ),
)

REGIMES = Table(
    "q2_regimes",
    "reversal after extreme imbalances over 15 min, by what the regime had just done",
    (
        _HORIZON,
        Column(
            "state",
            pl.String(),
            "",
            "`turned volatile` or `turned quiet` within the last hour, else `quiet` or `volatile` for longer",
        ),
        _N,
        _REVERSAL,
        *_interval("bps", _BY_BLOCKS),
        _P,
        _P_ADJUSTED,
    ),
)

HORSE_RACE = Table(
    "q2_horse_race",
    "imbalance, OI change and funding in one regression on the forward return, given price",
    (
        _HORIZON,
        Column("given", pl.String(), "", "`price` for the term alone, `price and the other terms` for all together"),
        Column("term", pl.String(), "", "`imbalance`, `open interest change` (both over 15 min) or `funding rate`"),
        Column("n", COUNT, "", "minutes"),
        Column("deviation", FLOAT, "", "standard deviation of the term: ratio, %, or % per funding interval"),
        Column("effect_bps", FLOAT, "bps", "change of the forward return for one standard deviation of the term"),
        *_interval("bps", _BY_BLOCKS),
        _P,
        _P_ADJUSTED,
    ),
)

STRATEGY = Table(
    "q2_strategy",
    "trading against extreme imbalances with market orders, decided once every holding period",
    (
        _LOOKBACK,
        Column("holding_min", COUNT, "min", "how long a position is held, and how often one may be opened"),
        _SYMBOL,
        Column("n", COUNT, "", "trades"),
        Column("gross_bps", FLOAT, "bps", "mean return of a trade before costs"),
        Column("net_bps", FLOAT, "bps", "the same after a taker's fee of 5.5 bps on each side"),
        Column("win_frac", FLOAT, "fraction", "trades with a positive net return"),
        Column("days", COUNT, "", "days with a minute to trade in, those without a trade included"),
        Column("sharpe", FLOAT, "per sqrt(year)", "mean over deviation of the daily net returns, times sqrt(365)"),
        *_interval("per sqrt(year)", "of `sharpe`, days being independent and alike"),
    ),
)

CUMULATIVE = Table(
    "q2_cumulative",
    "liquidated notional by side since the start, at each full hour",
    (
        Column("symbol", pl.String(), "", "instrument"),
        Column("time", TIME, "ms UTC", "full hour"),
        Column("long_notional_usd", FLOAT, "USD", "liquidated longs since the start"),
        Column("short_notional_usd", FLOAT, "USD", "liquidated shorts since the start"),
        Column("imbalance", FLOAT, "ratio", "(shorts - longs) / total, since the start"),
    ),
)
