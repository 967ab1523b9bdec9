"""Question 1 in words: clusters, impact, excursions, recovery, chains, severity."""

from __future__ import annotations

from typing import Any

from liqlab.report._findings_questions_words import (
    Block,
    find_row,
    find_table,
    list_rows,
    paragraph,
    plain,
    share_spread,
    signed,
    spread_of,
    stand_out,
    tabulate,
)
from liqlab.report._ic_reading import format_p, name_horizon
from liqlab.report._text import MISSING, format_count, format_usd
from liqlab.report._words import percent
from liqlab.study import ALL, Study

_ORIGINS = {
    "confirmed": "its confirmation",
    "$1M": "the moment it had reached $1M",
    "$5M": "the moment it had reached $5M",
    "ended": "its end",
}
_GROUPS = {
    ("side", "long"): "longs liquidated (price pushed down)",
    ("side", "short"): "shorts liquidated (price pushed up)",
    ("regime", "quiet"): "quiet regime",
    ("regime", "volatile"): "volatile regime",
    ("liquidity", "deep"): "deep liquidity",
    ("liquidity", "middle"): "middle liquidity",
    ("liquidity", "thin"): "thin liquidity",
}
_CHAIN_GROUPS = {"moved with it": "price had moved on with it", "moved against it": "price had moved against it"}
_RECOVERY_MIN = (1.0, 5.0, 15.0, 60.0, 240.0)
_BALANCED = 0.25
#: Below so many cascades an interval would only look like one.
_LEAST_FOR_INTERVAL = 10
_PERCENT = 100.0


def _clusters(study: Study) -> str:
    rows = [
        [
            f"{row['gap_s']:g} s",
            format_count(row["clusters"]),
            format_count(row["clusters_of_three"]),
            percent(row["share_of_liquidations"]),
            plain(row["mean_liquidations"]),
            f"{plain(row['mean_duration_s'])} s",
            format_usd(row["median_notional_usd"]),
            format_usd(row["p95_notional_usd"]),
            format_usd(row["largest_notional_usd"]),
        ]
        for row in list_rows(find_table(study, "q1_clusters"), symbol=ALL)
    ]
    header = ["silence up to", "clusters", "of 3 or more", "of all liquidations", "events", "duration"]
    words = (
        "Consecutive liquidations of one symbol with no silence longer than this; events and duration are means, "
        "duration from first to last liquidation."
    )
    return paragraph(words, tabulate([*header, "notional: median", "95 %", "largest"], rows))


def _size(study: Study) -> str:
    frame = find_table(study, "q1_severity")
    rows = []
    for measure, name, decimals in (
        ("notional_usd", "size (notional)", 0),
        ("duration_s", "duration in s", 1),
        ("displacement_bps", "price move before it to its end, with the pressure, in bps", 1),
    ):
        every = find_row(frame, split="all", measure=measure)
        if every is None or not every["n"]:
            continue
        quiet, volatile = (find_row(frame, split="regime", measure=measure, group=one) for one in ("quiet", "volatile"))
        thin = find_row(frame, split="liquidity", measure=measure, group="thin")
        cells = [_centre(row, measure, decimals) for row in (every, quiet, volatile, thin)]
        rows.append([name, format_count(every["n"]), *cells, format_p(volatile["p_adjusted"] if volatile else None)])
    words = (
        "Median / mean of each group. Adjusted p: whether the mean differs between volatile and quiet regimes. The "
        "move up to the end holds what set the cascade off, so it is no impact."
    )
    header = ["severity", "n", "all cascades", "quiet", "volatile", "thin liquidity", "volatile = quiet: adjusted p"]
    return paragraph(words, tabulate(header, rows))


def _centre(row: dict[str, float] | None, measure: str, decimals: int) -> str:
    if row is None or not row["n"]:
        return MISSING
    if measure == "notional_usd":
        return f"{format_usd(row['median'])} / {format_usd(row['mean'])}"
    return f"{plain(row['median'], decimals)} / {plain(row['mean'], decimals)}"


def _impact(study: Study) -> str:
    frame = find_table(study, "q1_impact")
    everywhere = list_rows(frame, split="all")
    horizons = sorted({row["horizon_s"] for row in everywhere})
    rows = []
    for origin, name in _ORIGINS.items():
        own = {row["horizon_s"]: row for row in everywhere if row["origin"] == origin}
        if any(row["n"] for row in own.values()):
            most = max(own.values(), key=lambda row: row["n"])
            cells = [_excess(own[horizon], most["n"]) if horizon in own else MISSING for horizon in horizons]
            rows.append([name, format_count(most["n"]), percent(most["unmatched_frac"], 0), *cells])
    header = ["from", "n", "unmatched", *(name_horizon(int(horizon)) for horizon in horizons)]
    words = (
        "What a cascade adds to the return of matched moments (same symbol and hour, alike in trailing volatility and "
        "return), in bps times the pressure: positive is continuation. Prices start with the first one at or after the "
        "moment named."
    )
    return paragraph(words, tabulate(header, rows), _impact_by_group(study))


def _excess(row: dict[str, Any], usual_n: int = 0) -> str:
    """The excess, its interval where there are enough cascades for one, and their number where it is not the usual."""
    few = row["n"] < _LEAST_FOR_INTERVAL
    text = signed(row["excess_bps"]) if few else spread_of(row, "excess_bps")
    shown = text if few else stand_out(text, row["p_adjusted"])
    return f"{shown} [{row['n']}]" if text != MISSING and row["n"] < usual_n else shown


def _impact_by_group(study: Study) -> str:
    frame, rows = find_table(study, "q1_impact"), []
    for (split, group), name in _GROUPS.items():
        row = find_row(frame, origin="confirmed", horizon_s=30.0, split=split, group=group)
        if row is not None and row["n"]:
            means = [signed(row["mean_bps"]), signed(row["placebo_bps"])]
            rows.append([name, format_count(row["n"]), *means, _excess(row), format_p(row["p_adjusted"])])
    return tabulate(["30 s from confirmation", "n", "cascades", "matched moments", "excess", "adjusted p"], rows)


def _excursions(study: Study) -> str:
    rows = []
    for row in list_rows(find_table(study, "q1_excursions"), split="all"):
        if row["n"]:
            rows.append(
                [
                    name_horizon(int(row["horizon_s"])),
                    format_count(row["n"]),
                    f"{plain(row['median_with_bps'])} ({plain(row['placebo_with_bps'])})",
                    f"{plain(row['median_against_bps'])} ({plain(row['placebo_against_bps'])})",
                    share_spread(row["adverse_frac"], row["ci_low"], row["ci_high"]),
                    percent(row["placebo_adverse_frac"]),
                    percent(row["published_adverse_frac"]),
                ]
            )
    words = (
        "Farthest move with the pressure (drawdown after liquidated longs, rally after liquidated shorts) and against "
        "it, median in bps, that of matched moments in brackets; and the share in which the price went on with the "
        "pressure at all. The published share (February 2026) had no such comparison."
    )
    header = ["within", "n", "farthest with it", "farthest against it", "went on", "matched moments", "published"]
    return paragraph(words, tabulate(header, rows))


def _recovery(study: Study) -> str:
    rows = []
    for row in list_rows(find_table(study, "q1_recovery"), split="all"):
        if row["n"] and row["minutes"] in _RECOVERY_MIN:
            back = share_spread(row["recovered_frac"], row["ci_low"], row["ci_high"])
            others = [percent(row["placebo_recovered_frac"]), percent(row["published_frac"])]
            rows.append([f"{row['minutes']:g} min", back, *others, format_count(row["n_at_risk"])])
    first = find_row(find_table(study, "q1_recovery"), split="all")
    counts = f"{first['n']:,} had moved it, {first['n_censored']:,} were not seen to come back" if first else ""
    words = (
        f"Share of cascades whose price was back at its level before them (Kaplan-Meier, so those not seen to the end "
        f"count as long as they were seen): {counts}."
    )
    header = ["within", "back (95 % interval)", "matched moments", "published", "still away and observed"]
    return paragraph(words, tabulate(header, rows))


def _chain(study: Study) -> str:
    rows = [
        [
            _CHAIN_GROUPS.get(row["group"], row["group"]),
            format_count(row["n"]),
            percent(row["followed_frac"]),
            percent(row["placebo_frac"]),
            stand_out(spread_of(row, "excess_frac", factor=_PERCENT), row["p_adjusted"]),
        ]
        for row in list_rows(find_table(study, "q1_chain"))
        if row["n"]
    ]
    words = (
        "Initial liquidation, price move, more liquidations: how often the first liquidation after a silence is "
        "followed by more of its side within 60 s, beside matched moments without one; the excess is in percentage "
        "points."
    )
    return paragraph(words, tabulate(["first liquidations", "n", "followed", "matched moments", "excess"], rows))


def _balance(study: Study) -> str:
    rows = [row for row in list_rows(find_table(study, "q1_balance")) if row["standardised_difference"] is not None]
    if not rows:
        return ""
    worst = max(rows, key=lambda row: abs(row["standardised_difference"]))
    size = abs(worst["standardised_difference"])
    verdict = "comparable throughout" if size <= _BALANCED else "not fully comparable there: read that row with care"
    origin = _ORIGINS.get(worst["events"], worst["events"])
    return (
        f"The largest difference between cascades and their matched moments is {size:.2f} standard deviations "
        f"({worst['covariate']}, from {origin}): {verdict}."
    )


Q1_BLOCKS = (
    Block("Clusters of liquidations", ("Q1.analysis1", "Q1.metric1", "Q1.metric2"), ("q1_clusters",), _clusters),
    Block("Impact after cascades", ("Q1.analysis2",), ("q1_impact", "q1_paths"), _impact),
    Block("Drawdown and rally", ("Q1.metric3",), ("q1_excursions",), _excursions),
    Block("Recovery time", ("Q1.metric4",), ("q1_recovery",), _recovery),
    Block("Chains", ("Q1.analysis3",), ("q1_chain",), _chain),
    Block("Severity by regime and liquidity", ("Q1.analysis4", "Q1.metric1", "Q1.metric2"), ("q1_severity",), _size),
    Block("How alike the matched moments are", (), ("q1_balance",), _balance),
)
