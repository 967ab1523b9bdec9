"""Question 5 in words: liquidation rates and the volatility that follows."""

from __future__ import annotations

from typing import Any

import polars as pl

from liqlab.core.time import MS_PER_MINUTE
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
from liqlab.report._text import MISSING, format_count, format_usd
from liqlab.report._words import percent
from liqlab.study import ALL, Study

_HORIZONS_MIN = (5, 15, 60)
_BOTH, _PRICE, _RATES = "price and liquidations", "price only", "liquidations alone"
_UP, _DOWN = "quiet to volatile", "volatile to quiet"
_LOSSES = ("QLIKE", "squared error")
_BPS = 1e4


def _length(minutes: int) -> str:
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h"


def _rates(study: Study) -> str:
    bars, rows = study.bars_1m.filter(pl.col("covered")), []
    for symbol in study.symbols:
        own = bars.filter(pl.col("symbol") == symbol)
        if own.height:
            cells = own.select(
                count=pl.col("liq_count").mean(),
                high=pl.col("liq_count").quantile(0.99, "linear"),
                top=pl.col("liq_count").max(),
                silent=(pl.col("liq_count") == 0).mean(),
                usd=pl.col("liq_notional").mean(),
                usd_top=pl.col("liq_notional").max(),
            ).row(0, named=True)
            rows.append(
                [
                    symbol,
                    plain(cells["count"], 2),
                    plain(cells["high"], 0),
                    format_count(cells["top"]),
                    percent(cells["silent"]),
                    format_usd(cells["usd"]),
                    format_usd(cells["usd_top"]),
                ]
            )
    words = "Liquidations per covered minute."
    header = ["symbol", "events, mean", "99 %", "most", "minutes without", "notional, mean", "most"]
    return paragraph(words, tabulate(header, rows))


def _realised(study: Study) -> str:
    rows = []
    for symbol in study.symbols:
        own = study.prices.filter(pl.col("symbol") == symbol).sort("known_time")
        cells = [_describe_realised(own, minutes) for minutes in _HORIZONS_MIN]
        if set(cells) != {MISSING}:
            rows.append([symbol, *cells])
    words = (
        "Realised volatility over stretches of this length (root of the summed squared minute returns), in bps: "
        "median, and in brackets the 95th percentile. What the next one will be is the outcome of every forecast "
        "below; by minute it is in `tables/labels.parquet`."
    )
    return paragraph(words, tabulate(["symbol", *map(_length, _HORIZONS_MIN)], rows))


def _describe_realised(prices: pl.DataFrame, minutes: int) -> str:
    """Over every stretch of consecutive full minutes."""
    price = pl.coalesce("mark_price", "last_price")
    step = pl.col("known_time").diff().dt.total_milliseconds()
    squares = pl.when(step == MS_PER_MINUTE).then(price.log().diff() ** 2).rolling_sum(minutes, min_samples=minutes)
    values = _BPS * prices.select((squares.clip(lower_bound=0.0).sqrt()).alias("value"))["value"].drop_nulls()
    if values.is_empty():
        return MISSING
    middle, high = values.median(), values.quantile(0.95, "linear")
    return f"{plain(float(middle), 0) if isinstance(middle, int | float) else MISSING} ({plain(high, 0)})"


def _forecasts(study: Study) -> str:
    frame = find_table(study, "q5_forecasts")
    every = list_rows(frame, symbol=ALL)
    horizons = sorted({row["horizon_min"] for row in every})
    rows = []
    for model in dict.fromkeys(row["model"] for row in every):
        own = {row["horizon_min"]: row for row in every if row["model"] == model and row["n"]}
        if own:
            cells = [_score(own.get(horizon)) for horizon in horizons]
            rows.append([model, *cells, *(plain(own[one]["ic"], 3) if one in own else MISSING for one in horizons)])
    words = (
        "Forecasts of realised variance out of sample, refitted as time goes on. R² is of log variance against the "
        "past mean of each symbol, IC the rank correlation with the outcome. *Price only* holds HAR terms, range, "
        "semivariance, jumps, ATR, Bollinger width and the hour of day."
    )
    header = ["model", *(f"R², {_length(one)}" for one in horizons), *(f"IC, {_length(one)}" for one in horizons)]
    return paragraph(words, tabulate(header, rows), _comparisons(study))


def _score(row: dict[str, Any] | None) -> str:
    return MISSING if row is None else spread(row["r2"], row["ci_low"], row["ci_high"], 2, plain)


def _comparisons(study: Study) -> str:
    frame = find_table(study, "q5_comparisons")
    pairs = dict.fromkeys((row["model"], row["against"]) for row in list_rows(frame))
    horizons = sorted({row["horizon_min"] for row in list_rows(frame)})
    rows = []
    for model, against in pairs:
        cells = []
        for loss in _LOSSES:
            for horizon in horizons:
                row = find_row(frame, model=model, against=against, loss=loss, horizon_min=horizon)
                cells.append(_gain(row))
        if set(cells) != {MISSING}:
            rows.append([f"{model} against {against}", *cells])
    header = [f"{loss}, {_length(horizon)}" for loss in _LOSSES for horizon in horizons]
    return tabulate(["loss saved, % (Diebold-Mariano)", *header], rows)


def _gain(row: dict[str, Any] | None) -> str:
    if row is None or row["gain"] is None:
        return MISSING
    return stand_out(spread(row["gain"], row["ci_low"], row["ci_high"]), row["p_adjusted"])


def _transitions(study: Study) -> str:
    frame, rows = find_table(study, "q5_transitions"), []
    for row in list_rows(frame, direction=_UP):
        if row["n_transitions"]:
            back = find_row(frame, direction=_DOWN, model=row["model"])
            rows.append(
                [
                    row["model"],
                    spread(row["auc"], row["ci_low"], row["ci_high"], 2, plain),
                    MISSING if back is None else spread(back["auc"], back["ci_low"], back["ci_high"], 2, plain),
                    percent(row["recall"], 0),
                    percent(row["precision"], 0),
                    plain(row["lead_min"]),
                    plain(row["false_per_6h"], 2),
                ]
            )
    first = next(iter(list_rows(frame, direction=_UP)), None)
    counts = (
        f"{first['n_transitions']:,} transitions, {first['n_alarmed'] or 0:,} of them after half an hour of quiet. "
        if first
        else ""
    )
    words = (
        f"{counts}AUC: probability that a minute before a transition scores above another one; 0.5 is a coin. Recall: "
        "transitions with an alarm in the half hour before; precision: alarms that were followed by one. The level of "
        "the alarms was set on the past, for one false alarm in 6 h of quiet."
    )
    header = ["model", f"AUC, {_UP}", f"AUC, {_DOWN}", "recall", "precision", "lead, min", "false alarms in 6 h"]
    return paragraph(words, tabulate(header, rows))


def _lead(study: Study) -> str:
    rows = [row for row in list_rows(find_table(study, "q5_lead")) if row["correlation"] is not None]
    if not rows:
        return ""
    shown = [row for row in rows if row["lag_min"] in (-60, -30, -15, -5, 0, 5, 15, 30, 60)]
    peak = max(rows, key=lambda row: row["correlation"])
    table = tabulate(
        ["variance comes", "liquidations with variance", "variance with itself"],
        [
            [
                _tell_place(row["lag_min"]),
                spread(row["correlation"], row["ci_low"], row["ci_high"], 2),
                signed(row["of_variance"], 2),
            ]
            for row in shown
        ],
    )
    words = (
        "Correlation of liquidations in 5 min with variance in 5 min so much later; it is largest "
        f"{_tell_lag(peak['lag_min'])}. That variance follows liquidations proves nothing alone: it follows earlier "
        "variance too, as the last column shows."
    )
    return paragraph(words, table)


def _tell_place(minutes: int) -> str:
    return f"{abs(minutes)} min {'later' if minutes > 0 else 'earlier'}" if minutes else "together"


def _tell_lag(minutes: int) -> str:
    if not minutes:
        return "in the same 5 min"
    return f"with variance {abs(minutes)} min {'later' if minutes > 0 else 'earlier'}"


def _say_empty_test(frame: pl.DataFrame) -> str:
    quiet = find_row(frame, sign="liquidations", moments="any quiet minute")
    price = find_row(frame, sign="price moves", moments="transitions")
    if quiet is None or price is None or quiet["led_frac"] is None or price["led_frac"] is None:
        return ""
    return (
        f" Here it says so before {percent(quiet['led_frac'], 0)} of all quiet minutes too, and of price moves alone "
        f"before {percent(price['led_frac'], 0)} of the transitions."
    )


def _published(study: Study) -> str:
    frame, rows = find_table(study, "q5_published"), []
    for row in list_rows(frame):
        if row["n"]:
            rows.append(
                [
                    f"{row['sign']}, before {row['moments']}",
                    format_count(row["n"]),
                    percent(row["led_frac"], 0),
                    plain(row["lead_min"], 0),
                ]
            )
    words = (
        "The published test (a rate above its mean at some minute of the hour before) said that liquidations lead 97 % "
        f"of transitions.{_say_empty_test(frame)} A test that passes without a transition, or without liquidations, "
        "tells nothing of either; Q5.2 asks what liquidations add at one rate of false alarms."
    )
    return paragraph(words, tabulate(["what is said to lead", "n", "led", "lead, min"], rows))


Q5_BLOCKS = (
    Block("Liquidation rate", ("Q5.analysis1", "Q5.metric1"), ("bars_1m",), _rates),
    Block("Realised volatility", ("Q5.analysis2", "Q5.metric2"), ("labels",), _realised),
    Block(
        "Forecasts with and without liquidations",
        ("Q5.analysis3", "Q5.analysis4", "Q5.metric3"),
        ("q5_forecasts", "q5_comparisons"),
        _forecasts,
    ),
    Block("Transitions between regimes", ("Q5.metric4",), ("q5_transitions",), _transitions),
    Block("Lead and lag", (), ("q5_lead",), _lead),
    Block("The published test", (), ("q5_published",), _published),
)
