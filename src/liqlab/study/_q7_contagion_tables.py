"""The exploratory tables of question 7: what their rows and columns are."""

from __future__ import annotations

import polars as pl

from liqlab.core.schema import COUNT, FLOAT, Column, Table


def _number(name: str, unit: str, meaning: str) -> Column:
    return Column(name, FLOAT, unit, meaning)


def _text(name: str, meaning: str) -> Column:
    return Column(name, pl.String(), "", meaning)


def _count(name: str, meaning: str) -> Column:
    return Column(name, COUNT, "", meaning)


_BY_HOURS = "95 % interval, Student's t over blocks of an hour"
_ADJUSTED = _number("p_adjusted", "probability", "Benjamini-Hochberg over this table, an exploratory family")
_PAIR = (_text("cause", "symbol that may come first"), _text("effect", "symbol that may follow"))
_REGIME = _text("regime", "`all`, or times at which the cause is in the `quiet` or `volatile` regime")

CONTAGION_RESPONSES = Table(
    "contagion_responses",
    "conditional response of one symbol to another: the regressions behind the verdicts",
    (
        *_PAIR,
        _number("increase", "probability", "of a liquidation 5 to 30 s later, given all that was known by then"),
        _number("ci_low", "probability", f"{_BY_HOURS}, lower end"),
        _number("ci_high", "probability", "upper end"),
        _number("p", "probability", "two-sided p that the increase is zero, same procedure"),
        _ADJUSTED,
        _number("base_rate", "probability", "of a liquidation of the effect in 25 s"),
        _number("relative", "base rates", "increase over base rate"),
        _number("relative_low", "base rates", f"{_BY_HOURS}, lower end"),
        _number("relative_high", "base rates", "upper end"),
        _count("n_events", "intervals of 5 s with a liquidation of the cause"),
    ),
)

CONTAGION_LIFTS = Table(
    "contagion_lifts",
    "how often one symbol is liquidated after another, whatever the reason: description, no sign of contagion",
    (
        *_PAIR,
        _number("window_s", "s", "length of the time after the bar of 5 s with the cause's liquidation"),
        _REGIME,
        _number("probability_given", "probability", "of a liquidation of the effect within the window after the cause"),
        _number("base_rate", "probability", "of one within a window at any time of the regime"),
        _number("lift", "", "the first over the second: above 1 wherever assets follow one market"),
        _number("lift_low", "", f"{_BY_HOURS}, of the logarithm, lower end"),
        _number("lift_high", "", "upper end"),
        _number("severity_ratio", "", "USD liquidated of the effect in the window per USD of the cause in its bar"),
        _number("severity_base", "", "the same with what the effect has in a window at any time of the regime"),
        _count("n_events", "bars with a liquidation of the cause"),
    ),
)

CONTAGION_CORRELATIONS = Table(
    "contagion_correlations",
    "correlation of log(1 + liquidated USD) of two symbols at one bar width, and which of the two comes first",
    (
        _text("first", "one symbol"),
        _text("second", "the other"),
        _number("width_s", "s", "bar width"),
        _number("correlation", "correlation", "in the same bar"),
        _number("peak_lag_s", "s", "lag of the largest correlation; positive: `first` comes first"),
        _number("peak_low_s", "s", "95 % interval of that lag by bootstrap of blocks of an hour, lower end"),
        _number("peak_high_s", "s", "upper end"),
        _number("peak_correlation", "correlation", "the largest correlation"),
        _number("band", "correlation", "what the largest exceeds in 5 % of cases when the series are independent"),
        _number("p", "probability", "of such a largest correlation between independent series, by turning"),
        _ADJUSTED,
        _number("asymmetry", "correlation", "mean correlation with `first` ahead less that with `second` ahead"),
    ),
)

CONTAGION_LEADS = Table(
    "contagion_leads",
    "correlation of BTC's liquidations with another symbol's at one lag",
    (
        _text("first", "BTC"),
        _text("second", "the other symbol"),
        _number("width_s", "s", "bar width"),
        _number("lag_s", "s", "positive: `first` comes first"),
        _number("correlation", "correlation", "of log(1 + liquidated USD)"),
        _number("pointwise_band", "correlation", "half width of Bartlett's 95 % band for this lag alone"),
        _number("band", "correlation", "band of all lags together"),
    ),
)

CONTAGION_GRANGER = Table(
    "contagion_granger",
    "whether one symbol's liquidated notional predicts another's, given both assets' returns and volatility",
    (
        *_PAIR,
        _number("bar_s", "s", "bar width"),
        _count("lags", "lags of every series"),
        _text("lag_rule", "`criterion` (Schwarz) or `fixed`"),
        _number("coefficient_sum", "", "sum of the coefficients of the cause's lags, in logs of 1 + USD"),
        _number("ci_low", "", "95 % interval, lower end"),
        _number("ci_high", "", "upper end"),
        _number("p", "probability", "two-sided p that the sum is zero, robust to autocorrelation"),
        _number("p_adjusted", "probability", "Benjamini-Yekutieli over all pairs and lags of this table"),
        _number("gain_frac", "fraction", "share of the residual variance that the cause removes"),
        _number("n_effective", "", "rows on which the sum rests; below 10 there is no p"),
        _count("n", "bars used"),
    ),
)

CONTAGION_HAWKES = Table(
    "contagion_hawkes",
    "kernel of a multivariate Hawkes process with exogenous rates: direct children of one event",
    (
        *_PAIR,
        _number("children", "", "expected direct children in the effect of one event of the cause"),
        _number("ci_low", "", "95 % interval from the observed information, lower end, not below 0"),
        _number("ci_high", "", "upper end"),
        _count("n_events", "events of the cause, one per push"),
    ),
)

CONTAGION_HAWKES_FIT = Table(
    "contagion_hawkes_fit",
    "how the Hawkes process fits one symbol",
    (
        _text("symbol", "instrument; `ALL` for the whole process"),
        _count("n_events", "events, one per push"),
        _number("branching_ratio", "", "direct children per event: of this symbol's events, or of all"),
        _number("exogenous_frac", "fraction", "share of the events that price moves and volatility explain"),
        _number("spectral_radius", "", "of the kernel matrix; below 1 the process is stationary"),
        _number("ks_statistic", "", "largest distance of rescaled gaps from an exponential distribution"),
        _number("ks_p", "probability", "Kolmogorov-Smirnov: small means that the model does not fit"),
        _number("ljung_box_p", "probability", "small means that rescaled gaps still depend on each other"),
    ),
)

CONTAGION_AGREEMENT = Table(
    "contagion_agreement",
    "what each method says of one ordered pair at its own adjusted 5 %",
    (
        *_PAIR,
        _text("response", "conditional response: `more`, `less`, `none`, or empty where not measured"),
        _text("granger", "conditional Granger, lags by criterion: likewise"),
        _text("hawkes", "kernel above zero: `more` or `none`"),
        _text("lead", "bars of 5 s correlate most with the cause ahead, its interval clear of zero: `more` or `none`"),
        _count("n_more", "methods that say `more`"),
        Column("agree", pl.Boolean(), "", "all methods with an answer give the same one"),
    ),
)
