"""The exploratory tables of question 5: what their rows and columns are."""

from __future__ import annotations

import polars as pl

from liqlab.core.schema import COUNT, FLOAT, Column, Table

_HORIZON = Column("horizon_min", COUNT, "min", "how far ahead variance is forecast")
_MODEL = Column(
    "model",
    pl.String(),
    "",
    "`price only` (HAR, range, semivariance, jumps, ATR, Bollinger width, hour), `price and liquidations`, "
    "`liquidations alone`, `ATR alone`, or `Bollinger alone`",
)
_SYMBOL = Column("symbol", pl.String(), "", "instrument; `ALL` for all of them")
_BY_BLOCKS = "by t over blocks of two hours or of two horizons, with all symbols of a block together"


def _number(name: str, unit: str, meaning: str) -> Column:
    return Column(name, FLOAT, unit, meaning)


def _count(name: str, meaning: str) -> Column:
    return Column(name, COUNT, "", meaning)


def _interval(unit: str, what: str = "95 % interval") -> tuple[Column, Column]:
    return (
        _number("ci_low", unit, f"{what}, lower end, {_BY_BLOCKS}"),
        _number("ci_high", unit, f"{what}, upper end"),
    )


FORECASTS = Table(
    "q5_forecasts",
    "one model's forecasts of realised variance, out of sample",
    (
        _HORIZON,
        _SYMBOL,
        _MODEL,
        _count("n", "forecasts with an outcome"),
        _number("r2", "", "of log variance, out of sample, against the past mean of each symbol"),
        *_interval("", "95 % interval of `r2`"),
        _number("qlike", "", "mean QLIKE loss of the variance: 0 is perfect"),
        _number("ic", "correlation", "rank correlation of forecast and outcome; of `ALL` the mean of the symbols"),
    ),
)

COMPARISONS = Table(
    "q5_comparisons",
    "losses of one model's forecasts against those of another",
    (
        _HORIZON,
        Column("loss", pl.String(), "", "`QLIKE`, or `squared error` of log variance"),
        _MODEL,
        Column("against", pl.String(), "", "the model it is compared with"),
        _count("n", "minutes compared, all symbols of a minute as one"),
        _number("gain", "%", "mean loss saved, in % of that of `against`, the cost of estimating included"),
        _number("ci_low", "%", "95 % interval of `gain`, lower end, fixed-b"),
        _number("ci_high", "%", "95 % interval of `gain`, upper end"),
        _number("t", "", "Diebold-Mariano statistic with fixed-smoothing critical values; positive: `model` is better"),
        _number("p", "probability", "two-sided p that both lose alike"),
        _number("p_adjusted", "probability", "Benjamini-Hochberg over this table"),
    ),
)

TRANSITIONS = Table(
    "q5_transitions",
    "how one model sees transitions between regimes coming, out of sample",
    (
        Column("direction", pl.String(), "", "`quiet to volatile` or `volatile to quiet`"),
        _MODEL,
        _count("n_transitions", "transitions that could be foreseen, flickering ones included"),
        _number("auc", "", "P(a minute with a transition in the next 15 min scores above one without)"),
        *_interval("", "95 % interval of `auc`"),
        _count("n_alarmed", "transitions from quiet to volatile after half an hour of quiet"),
        _number("recall", "fraction", "share of these with an alarm in the half hour before"),
        _number("precision", "fraction", "share of the alarms followed by a transition within half an hour"),
        _number("lead_min", "min", "mean time from the first such alarm to the transition; 0 without an alarm"),
        _number("false_per_6h", "", "false alarms in 6 h of quiet; the level was set for one, on the past"),
    ),
)

LEAD = Table(
    "q5_lead",
    "correlation of liquidations in 5 min with variance in 5 min, so much later",
    (
        Column("lag_min", COUNT, "min", "from the 5 min of liquidations to those of variance; negative: before"),
        _count("n", "pairs, all symbols"),
        _number("correlation", "", "of log(1 + events per minute) and log variance, within symbols"),
        *_interval(""),
        _number("of_variance", "", "the same of variance with itself: what prices alone tell at this lag"),
    ),
)

PUBLISHED = Table(
    "q5_published",
    "the published test that liquidations lead transitions to the volatile regime, and what it finds elsewhere",
    (
        Column("sign", pl.String(), "", "what is said to lead: `liquidations` or `price moves`"),
        Column("moments", pl.String(), "", "`transitions` from quiet to volatile, or `any quiet minute`"),
        _count("n", "moments"),
        _number(
            "led_frac", "fraction", "share with the sign's 5 min rate above its mean at some minute of the hour before"
        ),
        _number("lead_min", "min", "mean time from the first such minute to the moment"),
    ),
)
