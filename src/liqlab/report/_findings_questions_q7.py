"""Question 7 in words: liquidations of one asset after those of another."""

from __future__ import annotations

from typing import Any

from liqlab.report._findings_questions_words import (
    Block,
    find_row,
    find_table,
    list_rows,
    paragraph,
    plain,
    signed,
    spread,
    spread_of,
    stand_out,
    tabulate,
)
from liqlab.report._ic_reading import format_p
from liqlab.report._text import MISSING, format_count
from liqlab.report._words import percent
from liqlab.study import ALL, Study

_WINDOW_S = 30.0
_LEADER = "BTC"
_PERCENT = 100.0


def _involves_leader(row: dict[str, Any], first: str = "cause", second: str = "effect") -> bool:
    return bool(row[first].startswith(_LEADER) or row[second].startswith(_LEADER))


def _responses(study: Study) -> str:
    rows = [
        [
            f"{row['cause']} → {row['effect']}",
            format_count(row["n_events"]),
            percent(row["base_rate"]),
            stand_out(spread_of(row, "increase", 2, _PERCENT), row["p_adjusted"]),
            spread(row["relative"], row["relative_low"], row["relative_high"], 2),
            format_p(row["p_adjusted"]),
        ]
        for row in list_rows(find_table(study, "contagion_responses"))
        if row["increase"] is not None
    ]
    words = (
        "Events of BTC, and what they add to the probability of a liquidation of the other 5 to 30 s later, in "
        "percentage points, given both assets' trailing returns, volatility and liquidations. The verdicts rest on "
        "these regressions alone. Relative: in units of the base rate."
    )
    header = ["first → then", "events", "base rate", "added", "relative", "adjusted p"]
    return paragraph(words, tabulate(header, rows))


def _lifts(study: Study) -> str:
    frame, rows = find_table(study, "contagion_lifts"), []
    for row in list_rows(frame, window_s=_WINDOW_S, regime="all"):
        if row["n_events"] and row["lift"] is not None and row["cause"].startswith(_LEADER):
            by_regime = [
                find_row(frame, window_s=_WINDOW_S, regime=regime, cause=row["cause"], effect=row["effect"])
                for regime in ("quiet", "volatile")
            ]
            rows.append(
                [
                    f"{row['effect']} after {row['cause']}",
                    percent(row["probability_given"]),
                    percent(row["base_rate"]),
                    spread(row["lift"], row["lift_low"], row["lift_high"], 2, plain),
                    *(MISSING if one is None else plain(one["lift"], 2) for one in by_regime),
                    f"{plain(row['severity_ratio'], 3)} ({plain(row['severity_base'], 3)})",
                ]
            )
    words = (
        "P(other liquidation | BTC liquidation) within 30 s, beside the probability at any time, and USD liquidated of "
        "the other per USD of BTC (in brackets at any time). Assets that follow one market show lifts far above 1 "
        "without any contagion: a description."
    )
    header = ["", "probability", "at any time", "lift", "lift, quiet", "lift, volatile", "severity ratio"]
    return paragraph(words, tabulate(header, rows))


def _correlations(study: Study) -> str:
    every = [row for row in list_rows(find_table(study, "contagion_correlations")) if row["correlation"] is not None]
    widths = sorted({row["width_s"] for row in every})
    rows = []
    for pair in dict.fromkeys((row["first"], row["second"]) for row in every):
        own = {row["width_s"]: row for row in every if (row["first"], row["second"]) == pair}
        narrow = own.get(widths[0])
        cells = [signed(own[width]["correlation"], 3) if width in own else MISSING for width in widths]
        rows.append(
            [f"{pair[0]} and {pair[1]}", *cells, _peak(narrow), format_p(narrow["p_adjusted"] if narrow else None)]
        )
    words = (
        "Correlation of log(1 + liquidated USD) in the same bar, and where that of the narrowest bars peaks: at a "
        "positive lag the first named comes first. The p asks whether the two are related at any lag, not which leads."
    )
    header = ["pair", *(f"{width:g} s" for width in widths), "peak at (95 %)", "adjusted p"]
    return paragraph(words, tabulate(header, rows))


def _peak(row: dict[str, Any] | None) -> str:
    if row is None or row["peak_lag_s"] is None:
        return MISSING
    if row["peak_low_s"] is None or row["peak_high_s"] is None:
        return f"{signed(row['peak_lag_s'], 0)} s"
    return f"{signed(row['peak_lag_s'], 0)} s ({signed(row['peak_low_s'], 0)} to {signed(row['peak_high_s'], 0)})"


def _granger(study: Study) -> str:
    rows = [
        [
            f"{row['cause']} → {row['effect']}",
            format_count(row["lags"]),
            stand_out(spread(row["coefficient_sum"], row["ci_low"], row["ci_high"], 3), row["p_adjusted"]),
            percent(row["gain_frac"], 2),
            format_p(row["p_adjusted"]),
        ]
        for row in list_rows(find_table(study, "contagion_granger"), lag_rule="criterion")
        if row["coefficient_sum"] is not None and _involves_leader(row)
    ]
    words = (
        "Granger causality in bars of one minute given both assets' returns and volatility: sum of the coefficients of "
        "the first one's lags (number by Schwarz's criterion), and what they remove of the residual variance. P "
        "corrected over all pairs and lags (Benjamini-Yekutieli)."
    )
    return paragraph(words, tabulate(["first → then", "lags", "sum", "variance removed", "adjusted p"], rows))


def _hawkes(study: Study) -> str:
    every = {(row["cause"], row["effect"]): row for row in list_rows(find_table(study, "contagion_hawkes"))}
    symbols = list(dict.fromkeys(cause for cause, _ in every))
    rows = [
        [
            f"{cause} →",
            *(
                spread(one["children"], one["ci_low"], one["ci_high"], 2, plain)
                if (one := every.get((cause, effect)))
                else MISSING
                for effect in symbols
            ),
        ]
        for cause in symbols
    ]
    words = (
        "Multivariate Hawkes process with price moves and volatility as exogenous rates: expected direct children of "
        f"one event, by row of the cause.{_fit(study)}"
    )
    return paragraph(words, tabulate(["", *symbols], rows))


def _fit(study: Study) -> str:
    fit = find_table(study, "contagion_hawkes_fit")
    whole = find_row(fit, symbol=ALL)
    if whole is None or whole["branching_ratio"] is None:
        return ""
    own = [row for row in list_rows(fit) if row["symbol"] != ALL and row["ks_p"] is not None]
    poor = [row["symbol"] for row in own if row["ks_p"] < 0.05]
    fits = (
        f" By time rescaling it does not fit {', '.join(poor)}: read the kernels as how events come together."
        if poor
        else " Time rescaling finds nothing against the fit."
    )
    return (
        f" Branching ratio {plain(whole['branching_ratio'], 2)}, spectral radius {plain(whole['spectral_radius'], 2)}, "
        f"{percent(whole['exogenous_frac'], 0)} of the {format_count(whole['n_events'])} events exogenous.{fits}"
    )


def _agreement(study: Study) -> str:
    rows = [
        [
            f"{row['cause']} → {row['effect']}",
            *(row[name] or MISSING for name in ("response", "granger", "hawkes", "lead")),
            format_count(row["n_more"]),
        ]
        for row in list_rows(find_table(study, "contagion_agreement"))
        if _involves_leader(row)
    ]
    words = "What each method says of the same pair at its own corrected 5 %; only the conditional response decides."
    header = ["first → then", "response", "Granger", "Hawkes", "lead", "say more"]
    return paragraph(words, tabulate(header, rows))


Q7_BLOCKS = (
    Block("Response to BTC", ("Q7.analysis1", "Q7.analysis2"), ("contagion_responses",), _responses),
    Block("Probability and severity", ("Q7.metric3", "Q7.metric4"), ("contagion_lifts",), _lifts),
    Block(
        "Correlation, and which comes first",
        ("Q7.analysis3", "Q7.analysis4", "Q7.metric1"),
        ("contagion_correlations", "contagion_leads"),
        _correlations,
    ),
    Block("Granger causality", ("Q7.analysis4", "Q7.metric2"), ("contagion_granger",), _granger),
    Block("Hawkes process", ("Q7.analysis4",), ("contagion_hawkes", "contagion_hawkes_fit"), _hawkes),
    Block("Agreement of the methods", (), ("contagion_agreement",), _agreement),
)
