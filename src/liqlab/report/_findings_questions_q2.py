"""Question 2 in words: imbalance and what comes after it."""

from __future__ import annotations

from typing import Any

import polars as pl

from liqlab.report._findings_questions_words import (
    Block,
    find_row,
    find_table,
    list_rows,
    paragraph,
    plain,
    signed,
    spread,
    stand_out,
    tabulate,
)
from liqlab.report._ic_reading import format_ic, format_p
from liqlab.report._text import MISSING, format_count, format_usd
from liqlab.report._words import percent
from liqlab.study import ALL, Study

_WINDOW_MIN = 15
_SECONDS_PER_MINUTE = 60
_GROUPS = {"extreme long": "beyond -0.5 (longs)", "extreme short": "beyond +0.5 (shorts)", "moderate": "0.1 to 0.5"}
_IC_FEATURES = ("liq_imbalance", "liq_imbalance_5m", "liq_imbalance_15m", "liq_imbalance_1h")
_STATES = {
    "turned volatile": "turned volatile within the last hour",
    "turned quiet": "turned quiet within the last hour",
    "quiet": "quiet for longer",
    "volatile": "volatile for longer",
}


def _length(minutes: int) -> str:
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h"


def _returns(study: Study) -> str:
    frame = find_table(study, "q2_returns")
    every = list_rows(frame, symbol=ALL)
    horizons = sorted({row["horizon_min"] for row in every})
    rows = []
    for lookback in sorted({row["lookback_min"] for row in every}):
        for group, name in _GROUPS.items():
            own = {row["horizon_min"]: row for row in every if (row["lookback_min"], row["group"]) == (lookback, group)}
            first = own.get(horizons[0])
            if first is not None and first["n"]:
                cells = [_reversal(own[horizon]) if horizon in own else MISSING for horizon in horizons]
                rows.append([f"{_length(lookback)}, {name}", percent(first["share_of_minutes"], 0), *cells])
    words = (
        "Mean return against the pressure after each minute, by trailing window and size of the imbalance, in bps: "
        "positive is reversal. Nothing else is given here, so the moves that caused the liquidations go on in it; the "
        "verdicts above take them out."
    )
    return paragraph(words, tabulate(["imbalance over", "of minutes", *map(_length, horizons)], rows))


def _reversal(row: dict[str, Any]) -> str:
    return stand_out(spread(row["reversal_bps"], row["ci_low"], row["ci_high"]), row["p_adjusted"])


def _coefficients(study: Study) -> str:
    table = study.ic.table.filter(
        (pl.col("target") == "return") & (pl.col("regime") == "all") & pl.col("feature").is_in(_IC_FEATURES)
    )
    names = table.filter(pl.col("ic").is_not_null())["symbol"].unique().to_list()
    symbol = ALL if ALL in names or not names else sorted(names)[0]
    own = table.filter((pl.col("symbol") == symbol) & (pl.col("horizon_s") >= 5 * _SECONDS_PER_MINUTE))
    horizons = own["horizon_s"].unique().sort().to_list()
    rows = []
    for feature in _IC_FEATURES:
        cells = {row["horizon_s"]: row for row in list_rows(own, feature=feature)}
        if any(row["ic"] is not None for row in cells.values()):
            rows.append([f"`{feature}`", *(_coefficient(cells.get(horizon)) for horizon in horizons)])
    words = (
        "Rank correlation of the imbalance with the forward return; negative is reversal, since the imbalance is "
        "positive when shorts are liquidated. Shorter horizons are in section 7."
    )
    header = [f"IC, {symbol}", *(_length(horizon // _SECONDS_PER_MINUTE) for horizon in horizons)]
    return paragraph(words, tabulate(header, rows))


def _coefficient(row: dict[str, Any] | None) -> str:
    if row is None or row["ic"] is None:
        return MISSING
    low, high = format_ic(row["ci_low"]), format_ic(row["ci_high"])
    return stand_out(f"{format_ic(row['ic'])} ({low} to {high})", row["p_adjusted"])


def _race(study: Study) -> str:
    frame, rows = find_table(study, "q2_horse_race"), []
    for row in list_rows(frame, given="price"):
        key = {"horizon_min": row["horizon_min"], "term": row["term"]}
        together = find_row(frame, given="price and the other terms", **key)
        rows.append(
            [
                f"{row['term']}, return over {_length(row['horizon_min'])}",
                format_count(row["n"]),
                _effect(row),
                MISSING if together is None else _effect(together),
            ]
        )
    words = (
        "What one standard deviation of each adds to the forward return in bps, given trailing returns and volatility: "
        "alone, and beside the other two. Here the sign is that of the return itself: a positive number for the "
        "imbalance is continuation."
    )
    return paragraph(words, tabulate(["term", "minutes", "alone", "beside the others"], rows))


def _effect(row: dict[str, Any]) -> str:
    return stand_out(spread(row["effect_bps"], row["ci_low"], row["ci_high"], 2), row["p_adjusted"])


def _regimes(study: Study) -> str:
    rows = [
        [_STATES[row["state"]], format_count(row["n"]), _reversal(row), format_p(row["p_adjusted"])]
        for row in list_rows(find_table(study, "q2_regimes"), horizon_min=_WINDOW_MIN)
        if row["n"]
    ]
    words = "Reversal over 15 min after extreme imbalances, in bps, by what the regime had just done."
    return paragraph(words, tabulate(["regime", "minutes", "reversal", "adjusted p"], rows))


def _cumulative(study: Study) -> str:
    frame, rows = find_table(study, "q2_cumulative"), []
    if frame.is_empty():
        return ""
    for row in frame.sort("time").group_by("symbol", maintain_order=True).last().sort("symbol").iter_rows(named=True):
        sides = [format_usd(row["long_notional_usd"]), format_usd(row["short_notional_usd"])]
        rows.append([row["symbol"], *sides, signed(row["imbalance"], 2)])
    words = "Liquidated notional by side over the whole span; the file has the running sums hour by hour."
    return paragraph(words, tabulate(["symbol", "longs", "shorts", "imbalance of all"], rows))


def _strategy(study: Study) -> str:
    every = [row for row in list_rows(find_table(study, "q2_strategy"), symbol=ALL) if row["n"]]
    rows = [
        [
            _length(row["holding_min"]),
            format_count(row["n"]),
            signed(row["gross_bps"]),
            signed(row["net_bps"]),
            percent(row["win_frac"]),
            spread(row["sharpe"], row["ci_low"], row["ci_high"]),
        ]
        for row in every
        if row["lookback_min"] == _WINDOW_MIN
    ]
    known = [row["sharpe"] for row in every if row["sharpe"] is not None]
    span = (
        f" Over all {len(known)} pairs of window and holding time the ratio runs from {plain(min(known))} to "
        f"{plain(max(known))}: the best of many is no forecast."
        if known
        else ""
    )
    words = (
        f"Long after liquidated longs, short after liquidated shorts, when the imbalance over {_WINDOW_MIN} min is "
        f"beyond 0.5; market orders, taker fees on both sides, no slippage or funding.{span}"
    )
    header = ["held for", "trades", "gross, bps", "net, bps", "win rate", "annual Sharpe ratio after fees"]
    return paragraph(words, tabulate(header, rows))


Q2_BLOCKS = (
    Block(
        "Returns after an imbalance",
        ("Q2.analysis1", "Q2.analysis2", "Q2.analysis3", "Q2.metric1"),
        ("q2_returns",),
        _returns,
    ),
    Block("Information coefficients", ("Q2.analysis3", "Q2.metric3"), ("ic",), _coefficients),
    Block("Beside open interest and funding", ("Q2.analysis4",), ("q2_horse_race",), _race),
    Block("At regime transitions", ("Q2.analysis3",), ("q2_regimes",), _regimes),
    Block("Cumulative volume by side", ("Q2.metric2",), ("q2_cumulative",), _cumulative),
    Block("Trading against imbalances", ("Q2.metric4",), ("q2_strategy",), _strategy),
)
