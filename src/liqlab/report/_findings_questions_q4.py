"""Question 4 in words: zones of past liquidations beside matched levels."""

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
    scaled,
    signed,
    spread,
    spread_of,
    stand_out,
    tabulate,
)
from liqlab.report._ic_reading import format_p
from liqlab.report._text import MISSING, format_count, format_usd
from liqlab.report._words import percent
from liqlab.study import Study

_GROUPS = ("fullest third", "other two thirds", "above the price", "below the price")
_REVERSAL = "reversal after first touch (probability)"
_VISIT = "visit within 60 min (probability)"
_VOLATILITIES = "(volatilities)"
_BPS = 1e4
_PERCENT = 100.0


def _density(study: Study) -> str:
    frame = find_table(study, "liquidation_density")
    if frame.is_empty():
        return ""
    sums = (
        frame.group_by("symbol", "low", "high")
        .agg(pl.col("long_notional_usd", "short_notional_usd", "n_liquidations").sum())
        .with_columns(notional_usd=pl.col("long_notional_usd") + pl.col("short_notional_usd"))
        .sort("symbol", "notional_usd", "low", descending=[False, True, False])
    )
    rows = []
    for (symbol,), own in sums.group_by("symbol", maintain_order=True):
        top = own.row(0, named=True)
        total = float(own["notional_usd"].sum())
        rows.append(
            [
                str(symbol),
                format_count(own.height),
                format_usd(total / own.height),
                f"{_price(top['low'])} to {_price(top['high'])}",
                format_usd(top["notional_usd"]),
                percent(top["long_notional_usd"] / top["notional_usd"] if top["notional_usd"] else None, 0),
            ]
        )
    words = (
        "Liquidated notional by price level ($100 wide for Bitcoin, 15 bps for the others), over the whole span; the "
        "file has it day by day, the heat maps of section 3 in time."
    )
    header = ["symbol", "levels with liquidations", "mean of a level", "fullest level, USD", "its notional", "longs"]
    return paragraph(words, tabulate(header, rows))


def _price(value: float) -> str:
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.5g}"


def _zones(study: Study) -> str:
    frame = find_table(study, "zones")
    if frame.is_empty():
        return ""
    width = _BPS * (pl.col("high") / pl.col("low") - 1.0)
    maps = frame.group_by("symbol", "time").agg(
        n=pl.len(), mass=pl.col("mass_frac").sum(), fullest=pl.col("mass_frac").max()
    )
    widths = frame.group_by("symbol").agg(width=width.median())
    found = maps.group_by("symbol").agg(pl.len().alias("maps"), pl.col("n", "mass", "fullest").median())
    rows = [
        [
            row["symbol"],
            format_count(row["maps"]),
            plain(row["n"], 0),
            plain(row["width"], 0),
            percent(row["mass"], 0),
            percent(row["fullest"]),
        ]
        for row in found.join(widths, on="symbol").sort("symbol").iter_rows(named=True)
    ]
    words = "Zones on a map, and what they hold of the notional liquidated in the window before it; medians."
    header = ["symbol", "maps", "zones", "width of a zone, bps", "share of notional", "fullest zone"]
    return paragraph(words, tabulate(header, rows))


def _scores(study: Study) -> str:
    frame = find_table(study, "zone_scores")
    rows = [_score_row(row) for row in list_rows(frame, group="all") if row["n_zones"]]
    words = (
        "Do zones attract the price, turn it, or let it through? Beside levels at the same distance, on the same side "
        "and with the same trailing volatility. A reversal or breakout is the first of two barriers at equal distance "
        "after a first touch. Difference: with distance and path equal, so it need not be the plain difference."
    )
    header = ["measure", "zones", "n", "other levels", "n", "difference", "adjusted p"]
    return paragraph(words, tabulate(header, rows), _groups(study))


def _score_row(row: dict[str, Any]) -> list[str]:
    in_volatilities = row["measure"].endswith(_VOLATILITIES)
    factor, decimals = (1.0, 2) if in_volatilities else (_PERCENT, 1)
    name = row["measure"] if in_volatilities else f"{row['measure'].rpartition(' (')[0]}, %"
    zones, other = scaled(row, factor, "zones", "other_levels")
    return [
        name,
        plain(zones, decimals),
        format_count(row["n_zones"]),
        plain(other, decimals),
        format_count(row["n_other"]),
        stand_out(spread_of(row, "difference", decimals, factor), row["p_adjusted"]),
        format_p(row["p_adjusted"]),
    ]


def _groups(study: Study) -> str:
    frame, rows = find_table(study, "zone_scores"), []
    for group in _GROUPS:
        cells = []
        for measure in (_VISIT, _REVERSAL):
            row = find_row(frame, measure=measure, group=group)
            if row is None or not row["n_zones"]:
                cells += [MISSING, MISSING]
                continue
            text = spread_of(row, "difference", factor=_PERCENT)
            cells += [format_count(row["n_zones"]), stand_out(text, row["p_adjusted"])]
        if set(cells) != {MISSING}:
            rows.append([group, *cells])
    return tabulate(["zones less other levels, percentage points", "n", "visits", "first touches", "reversals"], rows)


def _forecasts(study: Study) -> str:
    rows = [
        [
            row["levels"],
            format_count(row["n"]),
            percent(row["hit_rate"]),
            percent(row["decided_hit_rate"]),
            spread(row["brier"], row["ci_low"], row["ci_high"], 3, plain),
            plain(row["reliability"], 4),
            signed(row["skill"], 3),
        ]
        for row in list_rows(find_table(study, "zone_forecasts"))
        if row["n"]
    ]
    words = (
        "Forecasting a reversal at a first touch from how often earlier touches reversed. Hit rate: share that did, "
        "and of those that reached a barrier at all. Brier score: 0 is perfect, 0.25 a coin; reliability: its part "
        "from being wrong on average; skill above 0: better than always forecasting the overall share."
    )
    header = ["levels", "touches", "hit rate", "where decided", "Brier score", "reliability", "skill"]
    return paragraph(words, tabulate(header, rows))


def _shift(study: Study) -> str:
    frame = find_table(study, "zone_shift")
    if frame.is_empty():
        return ""
    columns = ("new_frac", "new_half_frac", "chance_frac")
    means = frame.group_by("symbol").agg(
        pl.len().alias("days"), pl.col(*columns).mean(), pl.col("centre_shift_bps").abs().median()
    )
    rows = [
        [
            row["symbol"],
            format_count(row["days"]),
            *(percent(row[name]) for name in columns),
            plain(row["centre_shift_bps"], 0),
        ]
        for row in means.sort("symbol").iter_rows(named=True)
    ]
    words = (
        "Share of a day's zone mass outside the zones of the day before, mean over days. Between random halves of the "
        "two days it must exceed that between halves of one day (chance) before one can speak of a shift. Centre: how "
        "far the mean liquidation price moved, median size."
    )
    header = ["symbol", "pairs of days", "new", "new, halves", "chance", "centre moved, bps"]
    return paragraph(words, tabulate(header, rows))


Q4_BLOCKS = (
    Block("Density by price level", ("Q4.analysis1", "Q4.metric1"), ("liquidation_density",), _density),
    Block("Zones", ("Q4.analysis2",), ("zones",), _zones),
    Block(
        "Attraction, reversal, breakout",
        ("Q4.analysis3", "Q4.analysis4", "Q4.metric2", "Q4.metric3", "Q4.metric4"),
        ("zone_scores",),
        _scores,
    ),
    Block("How far reversals can be forecast", ("Q4.metric3",), ("zone_forecasts", "zone_reliability"), _forecasts),
    Block("Shift over time", (), ("zone_shift",), _shift),
)
