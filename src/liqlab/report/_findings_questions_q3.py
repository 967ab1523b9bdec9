"""Question 3 in words: liquidations and open interest."""

from __future__ import annotations

from typing import Any

from liqlab.report._findings_questions_words import (
    Block,
    find_row,
    find_table,
    list_rows,
    paragraph,
    plain,
    scaled,
    share_spread,
    signed,
    spread,
    spread_of,
    stand_out,
    tabulate,
)
from liqlab.report._ic_reading import format_p, name_horizon
from liqlab.report._text import MISSING, format_count
from liqlab.report._words import percent
from liqlab.study import ALL, Study

_MAIN_BAR_MIN = 5
_REGIMES = {"all": "all times", "quiet": "quiet regime", "volatile": "volatile regime"}
_PAIRS = {
    "liquidated quantity, OI change": ("liquidations", "OI changes"),
    "return, signed liquidated notional": ("price moves", "liquidations"),
}
_OFFSETS_MIN = (-30, -15, 0, 15, 30)
_HALF = 0.5
_PERCENT = 100.0


def _explained(study: Study) -> str:
    every = list_rows(find_table(study, "oi_explained"), symbol=ALL, lag_s=0)
    widths = sorted({row["bar_min"] for row in every})
    rows = []
    for regime, name in _REGIMES.items():
        own = {row["bar_min"]: row for row in every if row["regime"] == regime and row["r2"] is not None}
        if own:
            rows.append([name, *(_share(own.get(width)) for width in widths)])
    header = ["R²", *(f"bars of {width} min" for width in widths)]
    words = (
        "Share of the variance of open interest changes that goes with the quantity liquidated, in the same bar. The "
        f"plan expects 30-60 % in volatile regimes.{_say_lags(study)}"
    )
    return paragraph(words, tabulate(header, rows))


def _share(row: dict[str, Any] | None) -> str:
    return MISSING if row is None else share_spread(row["r2"], row["r2_low"], row["r2_high"])


def _say_lags(study: Study) -> str:
    """What open interest that is published late would change."""
    every = list_rows(find_table(study, "oi_explained"), symbol=ALL, regime="all", bar_min=_MAIN_BAR_MIN)
    known = {row["lag_s"]: row["r2"] for row in every if row["r2"] is not None}
    if len(known) < 2:
        return ""
    best = max(known, key=lambda lag: known[lag])
    return (
        f" Taking open interest 0 to {max(known)} s after the bar's edge, in case it is published late, gives "
        f"{percent(min(known.values()))} to {percent(max(known.values()))}, most at {best} s."
    )


def _slope(study: Study) -> str:
    rows = []
    for regime, name in _REGIMES.items():
        row = find_row(find_table(study, "oi_explained"), symbol=ALL, regime=regime, bar_min=_MAIN_BAR_MIN, lag_s=0)
        if row is not None and row["slope"] is not None:
            ends = [format_p(row["p_zero_adjusted"]), format_p(row["p_minus_one_adjusted"])]
            slope = spread(row["slope"], row["slope_low"], row["slope_high"], 2)
            rows.append([name, format_count(row["n"]), slope, *ends])
    words = (
        "Change of open interest for each unit liquidated, bars of 5 min. 0: every counterparty opens a position, so "
        "nothing is lost; -1: every counterparty closes one."
    )
    return paragraph(words, tabulate(["", "bars", "slope", "p of 0", "p of -1"], rows))


def _decomposition(study: Study) -> str:
    frame, rows = find_table(study, "oi_decomposition"), []
    for row in list_rows(frame, regime="all", bar_min=_MAIN_BAR_MIN):
        if row["n"]:
            amounts = [_amount(row[name]) for name in ("change", "liquidated", "organic")]
            minute = find_row(frame, symbol=row["symbol"], regime="all", bar_min=1)
            velocity = (
                MISSING
                if minute is None or not minute["n"]
                else _amount((minute["falls"] + minute["rises"]) / minute["n"], sign=False)
            )
            shares = [percent(row["completeness"]), percent(row["r2"]), percent(row["organic_frac"])]
            rows.append([row["symbol"], velocity, *amounts, *shares])
    words = (
        "Open interest over the whole span, in base units. Velocity: mean size of its change per minute. Organic: the "
        "change plus what was liquidated, as if every forced order had closed a contract. Liquidated / falls: how much "
        "of the falls of open interest the published liquidations could be; well below 100 % most falls are none. "
        "Organic share: of the variance."
    )
    header = ["symbol", "velocity", "net change", "liquidated", "organic", "liquidated / falls", "R²", "organic share"]
    return paragraph(words, tabulate(header, rows), _by_regime(study))


def _by_regime(study: Study) -> str:
    rows = []
    for symbol in study.symbols:
        cells = []
        for regime in ("quiet", "volatile"):
            row = find_row(find_table(study, "oi_decomposition"), symbol=symbol, regime=regime, bar_min=_MAIN_BAR_MIN)
            known = row is not None and bool(row["n"])
            cells += [percent(row["completeness"]), percent(row["organic_frac"])] if row and known else [MISSING] * 2
        if set(cells) != {MISSING}:
            rows.append([symbol, *cells])
    header = ["by regime", "quiet: liquidated / falls", "quiet: organic share"]
    return tabulate([*header, "volatile: liquidated / falls", "volatile: organic share"], rows)


def _amount(value: float | None, sign: bool = True) -> str:
    decimals = 0 if value is None or abs(value) >= 100 else 2
    return signed(value, decimals) if sign else plain(value, decimals)


def _lead_lag(study: Study) -> str:
    rows = []
    for row in list_rows(find_table(study, "oi_lead_lag_peaks")):
        first, second = _PAIRS.get(row["pair"], row["pair"].split(", "))
        rows.append(
            [
                f"{row['symbol']}: {first}, then {second}",
                f"{signed(row['peak_lag_s'], 0)} s ({signed(row['peak_low_s'], 0)} to {signed(row['peak_high_s'], 0)})",
                signed(row["correlation"], 2),
                plain(row["band"], 3),
                stand_out(format_p(row["p_adjusted"]), row["p_adjusted"]),
            ]
        )
    words = (
        "Where the cross-correlation is largest: at a positive lag the first comes first. Band: what the largest "
        "exceeds by chance in 5 % of cases between series that are each autocorrelated. Liquidations and open interest "
        "minute by minute, price moves at the ticker's own interval: what is faster cannot be seen."
    )
    header = ["pair", "lag of the peak (95 %)", "correlation there", "band", "adjusted p"]
    return paragraph(words, tabulate(header, rows))


def _before_cascades(study: Study) -> str:
    frame, rows = find_table(study, "oi_event_study"), []
    for offset in _OFFSETS_MIN:
        row = find_row(frame, offset_min=offset)
        if row is not None and row["n"]:
            own, matched = scaled(row, _PERCENT, "cascades_frac", "matched_frac")
            difference = spread_of(row, "difference_frac", 3, _PERCENT)
            rows.append([f"{offset:+d} min" if offset else "0", signed(own, 3), signed(matched, 3), difference])
    n = max((row["n"] for row in list_rows(frame)), default=0)
    words = (
        f"Mean change of open interest in % since one hour before, around the moment one minute before {n:,} cascades "
        "began, beside matched moments: leverage that builds up shows as a difference above zero before 0."
    )
    return paragraph(words, tabulate(["", "cascades", "matched moments", "difference"], rows))


def _key_question(study: Study) -> str:
    rows = []
    for row in list_rows(find_table(study, "oi_ic")):
        if row["ic_organic"] is not None:
            difference = stand_out(spread(row["difference"], row["ci_low"], row["ci_high"], 3), row["p_adjusted"])
            ics = [signed(row["ic_organic"], 3), signed(row["ic_total"], 3)]
            rows.append([f"{name_horizon(row['horizon_s'])}; {row['organic']}", *ics, difference])
    words = (
        "Do liquidations explain why open interest failed to predict (v25)? If most OI changes were liquidations, "
        "taking them out should leave a better forecast. IC of the organic part and of the total change with the "
        f"forward return, the same bars of 5 min.{_answer_key(study)}"
    )
    return paragraph(words, tabulate(["horizon; organic is", "IC organic", "IC total", "difference"], rows))


def _answer_key(study: Study) -> str:
    """The plan's two branches, by the share explained and by the paired comparison."""
    explained = find_row(find_table(study, "oi_explained"), symbol=ALL, regime="all", bar_min=_MAIN_BAR_MIN, lag_s=0)
    rows = [row for row in list_rows(find_table(study, "oi_ic")) if row["ic_organic"] is not None]
    if explained is None or explained["r2"] is None or not rows:
        return ""
    share = percent(explained["r2"], 0)
    first = (
        f"liquidations go with {share} of the variance: most OI changes are not liquidations"
        if explained["r2"] < _HALF
        else f"liquidations go with {share} of the variance: most OI changes are liquidations"
    )
    better = [
        row
        for row in rows
        if row["p_adjusted"] is not None and row["p_adjusted"] < 0.05 and abs(row["ic_organic"]) > abs(row["ic_total"])
    ]
    second = (
        f"the organic part forecasts more strongly in {len(better)} of {len(rows)} comparisons (corrected)"
        if better
        else "the organic part forecasts no better than the total, so liquidations are not what spoilt it"
    )
    return f" Here: {first}, and {second}."


Q3_BLOCKS = (
    Block("OI changes explained", ("Q3.analysis5", "Q3.metric1", "Q3.metric4"), ("oi_explained",), _explained),
    Block("Slope", ("Q3.metric1",), ("oi_explained",), _slope),
    Block(
        "Velocity and decomposition of open interest",
        ("Q3.analysis1", "Q3.analysis2", "Q3.analysis3", "Q3.analysis4", "Q3.metric2", "Q3.metric4"),
        ("oi_decomposition",),
        _decomposition,
    ),
    Block("Who comes first", ("Q3.analysis5", "Q3.metric3"), ("oi_lead_lag_peaks", "oi_lead_lag"), _lead_lag),
    Block("Open interest before cascades", ("Q3.metric3",), ("oi_event_study",), _before_cascades),
    Block("The plan's key question", ("K",), ("oi_ic",), _key_question),
)
