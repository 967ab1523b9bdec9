"""Every table of liqlab: its columns with type, unit and meaning, declared once.

A table made anywhere in the program has at least these columns, in this order, with these types. `check_frame` raises
when it does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

TIME = pl.Datetime("ms", "UTC")
SYMBOL = pl.String()
FLOAT = pl.Float64()
COUNT = pl.Int64()

LONG = "long"
SHORT = "short"


@dataclass(frozen=True)
class Column:
    """One column: its name, Polars type, unit ("" when it has none) and what it means."""

    name: str
    dtype: pl.DataType
    unit: str
    meaning: str


@dataclass(frozen=True)
class Table:
    """A table: its name, what one row is, and its columns."""

    name: str
    row: str
    columns: tuple[Column, ...]

    @property
    def names(self) -> list[str]:
        """Column names in order."""
        return [column.name for column in self.columns]

    @property
    def dtypes(self) -> dict[str, pl.DataType]:
        """Column name to Polars type, in order."""
        return {column.name: column.dtype for column in self.columns}

    def empty(self) -> pl.DataFrame:
        """A frame of this table without rows."""
        return pl.DataFrame(schema=self.dtypes)


def check_frame(frame: pl.DataFrame, table: Table) -> pl.DataFrame:
    """`frame` itself when it has the columns of `table` with their types; `TypeError` otherwise."""
    for column in table.columns:
        found = frame.schema.get(column.name)
        if found != column.dtype:
            raise TypeError(f"table {table.name}: column {column.name} must be {column.dtype}, found {found}")
    return frame


_SYMBOL = Column("symbol", SYMBOL, "", "instrument, as the exchange writes it")
_KNOWN = Column("known_time", TIME, "ms UTC", "when the recording machine had it (the capture's own `ts`)")
_ORIGIN = (
    Column("source_file", pl.String(), "", "capture file, relative to the source folder"),
    Column("source_line", COUNT, "", "line in that file, from 1"),
)

LIQUIDATIONS = Table(
    "liquidations",
    "one forced order",
    (
        _SYMBOL,
        Column("exchange", pl.String(), "", "exchange that published it"),
        Column("event_time", TIME, "ms UTC", "the exchange's `T`"),
        Column(
            "push_time",
            TIME,
            "ms UTC",
            "when the exchange pushed the message (`result.ts`), null if not recorded",
        ),
        _KNOWN,
        Column("liquidated_side", pl.String(), "", "`long` or `short`: whose position was closed"),
        Column("quantity", FLOAT, "base units", "size of the forced order"),
        Column("price", FLOAT, "USD", "as published: on Bybit the bankruptcy price, not the fill"),
        Column("notional_usd", FLOAT, "USD", "price x quantity"),
        *_ORIGIN,
        Column("position", COUNT, "", "place in its message, from 0"),
    ),
)

TICKER = Table(
    "ticker",
    "one observation of the ticker, deltas carried forward",
    (
        _SYMBOL,
        Column("exchange", pl.String(), "", "exchange that published it"),
        Column("event_time", TIME, "ms UTC", "the exchange's own time where it gave one, else the capture's"),
        _KNOWN,
        Column("last_price", FLOAT, "USD", "last traded price"),
        Column("mark_price", FLOAT, "USD", "mark price"),
        Column("index_price", FLOAT, "USD", "index price"),
        Column("open_interest", FLOAT, "base units", "open contracts, counted once per contract"),
        Column("open_interest_value", FLOAT, "USD", "open interest in USD, counted once per contract"),
        Column(
            "open_interest_basis",
            pl.String(),
            "",
            "`single`, `halved` (published double-sided) or `as published`",
        ),
        Column("funding_rate", FLOAT, "fraction per interval", "funding rate of the current interval"),
        Column("next_funding_time", TIME, "ms UTC", "when funding is next exchanged"),
        Column("bid_price", FLOAT, "USD", "best bid"),
        Column("bid_size", FLOAT, "base units", "size at the best bid"),
        Column("ask_price", FLOAT, "USD", "best ask"),
        Column("ask_size", FLOAT, "base units", "size at the best ask"),
        *_ORIGIN,
    ),
)

LONG_SHORT_RATIO = Table(
    "long_short_ratio",
    "one hour's share of accounts that are long and short",
    (
        _SYMBOL,
        Column("event_time", TIME, "ms UTC", "the exchange's timestamp"),
        _KNOWN,
        Column("buy_ratio", FLOAT, "fraction", "share of accounts net long"),
        Column("sell_ratio", FLOAT, "fraction", "share of accounts net short"),
        Column("ratio", FLOAT, "", "buy_ratio / sell_ratio"),
        *_ORIGIN,
    ),
)

COVERAGE = Table(
    "coverage",
    "an interval in which the recorder is known to have listened",
    (
        Column("symbol", SYMBOL, "", "instrument; `ALL` for the recorder as a whole"),
        Column("stream", pl.String(), "", "`liquidation`, `ticker`, `long_short_ratio`; `any` for the recorder"),
        Column("exchange", pl.String(), "", "exchange whose recorder this is"),
        Column("start", TIME, "ms UTC", "first delivery"),
        Column("end", TIME, "ms UTC", "last delivery plus the tolerance"),
    ),
)

QUARANTINE = Table(
    "quarantine",
    "one bad line, or one bad liquidation inside a good message",
    (
        Column("source_file", pl.String(), "", "capture file, relative to the source folder"),
        Column("source_line", COUNT, "", "line in that file, from 1"),
        Column("stream", pl.String(), "", "what the line said it was; `unrecognised` when it did not say"),
        Column("reason", pl.String(), "", "what is wrong with it"),
        Column("text", pl.String(), "", "the text, cut to 2,000 characters"),
    ),
)

_FLOW = tuple(
    Column(f"liq_{side}{measure}", COUNT if measure == "count" else FLOAT, unit, f"{meaning}{whose}")
    for side, whose in (("", ""), ("buy_", ", liquidated longs"), ("sell_", ", liquidated shorts"))
    for measure, unit, meaning in (
        ("count", "", "number of liquidations"),
        ("volume", "base units", "quantity liquidated"),
        ("notional", "USD", "notional liquidated"),
    )
)

_BAR_COLUMNS = (
    _SYMBOL,
    Column("time", TIME, "ms UTC", "right edge t: the bar holds the rows known in [t - width, t)"),
    *_FLOW,
    Column("liq_imbalance", FLOAT, "fraction", "(sell volume - buy volume) / total volume; null in an empty bar"),
    Column("covered", pl.Boolean(), "", "the recorder had delivered within the tolerance before t"),
)

BAR_WIDTHS_MS = {"1s": 1_000, "5s": 5_000, "1m": 60_000, "1h": 3_600_000}
BARS = {width: Table(f"bars_{width}", f"one {width} bar of one symbol", _BAR_COLUMNS) for width in BAR_WIDTHS_MS}

_TICKER_NOT_JOINED = {"symbol", "exchange", "event_time", "known_time", "source_file", "source_line"}
DATASET = Table(
    "dataset",
    "one 5s bar with the ticker and the long/short ratio known at its right edge",
    (
        *_BAR_COLUMNS,
        *(column for column in TICKER.columns if column.name not in _TICKER_NOT_JOINED),
        Column("ticker_age_s", FLOAT, "s", "age of the ticker row at t; null when there is none or it is stale"),
        *(column for column in LONG_SHORT_RATIO.columns if column.name in ("buy_ratio", "sell_ratio", "ratio")),
        Column("ratio_age_s", FLOAT, "s", "age of the long/short row's event time at t; null when none or stale"),
    ),
)

CASCADES = Table(
    "cascades",
    "one cluster of liquidations that crossed the thresholds",
    (
        Column("cascade_id", pl.String(), "", "symbol and known time of its first liquidation"),
        _SYMBOL,
        Column("start", TIME, "ms UTC", "event time of its earliest liquidation"),
        Column("confirmed", TIME, "ms UTC", "known time of the liquidation that crossed every threshold"),
        Column("end", TIME, "ms UTC", "event time of its latest liquidation"),
        Column("ended", TIME, "ms UTC", "first moment at which its end was known: silence longer than max_gap"),
        Column("duration_s", FLOAT, "s", "end - start"),
        Column("n_liquidations", COUNT, "", "liquidations in it"),
        Column("volume", FLOAT, "base units", "quantity liquidated"),
        Column("notional_usd", FLOAT, "USD", "notional liquidated"),
        Column("long_volume", FLOAT, "base units", "quantity of liquidated longs"),
        Column("short_volume", FLOAT, "base units", "quantity of liquidated shorts"),
        Column("long_notional_usd", FLOAT, "USD", "notional of liquidated longs"),
        Column("short_notional_usd", FLOAT, "USD", "notional of liquidated shorts"),
        Column("dominant_side", pl.String(), "", "liquidated side with the larger notional; `long` on a tie"),
        Column("imbalance", FLOAT, "fraction", "(short volume - long volume) / volume"),
        Column("price_low", FLOAT, "USD", "lowest liquidation price"),
        Column("price_high", FLOAT, "USD", "highest liquidation price"),
        Column("n_price_levels", COUNT, "", "distinct liquidation prices"),
        Column("vwap", FLOAT, "USD", "notional / volume, of liquidation prices"),
        Column("n_at_confirmation", COUNT, "", "liquidations when it was confirmed"),
        Column("notional_at_confirmation_usd", FLOAT, "USD", "notional when it was confirmed"),
        Column("pre_price", FLOAT, "USD", "ticker price (mark, else last) known before its first liquidation"),
        Column(
            "displacement_at_confirmation_bps",
            FLOAT,
            "bps",
            "ticker price known at confirmation against pre_price",
        ),
        Column("displacement_bps", FLOAT, "bps", "ticker price known when it ended against pre_price"),
        Column("covered", pl.Boolean(), "", "the recorder listened from its start to its end"),
        Column("tier", pl.String(), "", "`<$1M`, `$1M+` or `$5M+` by notional: a label, not a threshold"),
        Column("regime", pl.String(), "", "`quiet` or `volatile`, known when its first liquidation was; else null"),
    ),
)

REGIMES = Table(
    "regimes",
    "one minute of one symbol: quiet or volatile, as known then",
    (
        _SYMBOL,
        Column("time", TIME, "ms UTC", "the minute at which this was known"),
        Column("volatility_bps", FLOAT, "bps per square root of an hour", "realised volatility, trailing window"),
        Column("threshold_bps", FLOAT, "bps per square root of an hour", "trailing quantile of volatilities before"),
        Column("regime", pl.String(), "", "`quiet` or `volatile` by the trailing quantile; null until there is one"),
        Column("volatile_probability", FLOAT, "probability", "filtered probability of the volatile state (HMM)"),
        Column("regime_hmm", pl.String(), "", "`quiet` or `volatile` by that probability; null until there is one"),
        Column("fitted", TIME, "ms UTC", "when the hidden Markov model in use was fitted, on data before it"),
    ),
)

REGIME_TRANSITIONS = Table(
    "regime_transitions",
    "one change of regime, by trailing quantile",
    (
        _SYMBOL,
        Column("time", TIME, "ms UTC", "the first minute at which the new regime was known"),
        Column("from", pl.String(), "", "`quiet` or `volatile`"),
        Column("to", pl.String(), "", "`quiet` or `volatile`"),
    ),
)

LABEL_HORIZONS_S = (10, 30, 60, 300, 900, 3_600, 14_400)
VOLATILITY_HORIZONS_S = (300, 900, 3_600)

LABELS = Table(
    "labels",
    "what came after one moment of one symbol: targets, the only columns that look ahead",
    (
        _SYMBOL,
        Column("time", TIME, "ms UTC", "the decision time t"),
        *(
            Column(f"return_{horizon}s", FLOAT, "fraction", f"return over {horizon} s from t + decision delay")
            for horizon in LABEL_HORIZONS_S
        ),
        *(
            Column(
                f"volatility_{horizon}s",
                FLOAT,
                "fraction",
                f"realised volatility over {horizon} s from t + decision delay: root of summed squared 1 min returns",
            )
            for horizon in VOLATILITY_HORIZONS_S
        ),
    ),
)

IC = Table(
    "ic",
    "the rank correlation of one feature with one label, over one symbol or all",
    (
        Column("feature", pl.String(), "", "the feature"),
        Column("symbol", SYMBOL, "", "instrument; `ALL` for the symbols together, ranked within each"),
        Column("target", pl.String(), "", "`return` or `volatility`"),
        Column("horizon_s", COUNT, "s", "forward length of the label"),
        Column("regime", pl.String(), "", "`all`, or only times in the `quiet` or `volatile` regime"),
        Column("ic", FLOAT, "correlation", "Spearman rank correlation"),
        Column("ci_low", FLOAT, "correlation", "95 % interval, lower end, from the procedure in `method`"),
        Column("ci_high", FLOAT, "correlation", "95 % interval, upper end"),
        Column("p", FLOAT, "probability", "two-sided p that the correlation is zero, same procedure"),
        Column(
            "p_adjusted",
            FLOAT,
            "probability",
            "Benjamini-Hochberg over the rows of this target, at all times or by regime",
        ),
        Column("n", COUNT, "", "pairs with both values"),
        Column("method", pl.String(), "", "how the interval and p were computed"),
        Column("ci_low_bootstrap", FLOAT, "correlation", "95 % interval by studentised block bootstrap, lower end"),
        Column("ci_high_bootstrap", FLOAT, "correlation", "upper end"),
        Column("p_bootstrap", FLOAT, "probability", "two-sided p of the bootstrap"),
        Column("daily_mean", FLOAT, "correlation", "mean of the daily rank correlations"),
        Column("daily_spread", FLOAT, "correlation", "standard deviation of the daily rank correlations"),
        Column("daily_ratio", FLOAT, "", "daily_mean / daily_spread"),
        Column("days", COUNT, "", "days with a rank correlation"),
        Column("same_sign_frac", FLOAT, "fraction", "share of days whose rank correlation has the sign of `ic`"),
        Column("turnover", FLOAT, "fraction", "1 - rank autocorrelation of the feature at a lag of the horizon"),
        Column("top_minus_bottom", FLOAT, "fraction", "mean label of the highest fifth less that of the lowest fifth"),
        Column("monotonicity", FLOAT, "correlation", "rank correlation of fifth and its mean label, -1 to 1"),
        Column("note", pl.String(), "", "why there is no number, or what to mind; empty when nothing"),
    ),
)

PREDICTIONS = Table(
    "predictions",
    "one out-of-fold forecast",
    (
        _SYMBOL,
        Column("time", TIME, "ms UTC", "the decision time t"),
        Column("target", pl.String(), "", "`return` or `volatility`"),
        Column("horizon_s", COUNT, "s", "forward length of the label"),
        Column("split", pl.String(), "", "`expanding` or `rolling`"),
        Column("model", pl.String(), "", "the model"),
        Column("fold", COUNT, "", "number of the fold, from 0"),
        Column("prediction", FLOAT, "fraction", "forecast of the label, made with what was known at t"),
    ),
)

TABLES = (
    LIQUIDATIONS,
    TICKER,
    LONG_SHORT_RATIO,
    COVERAGE,
    QUARANTINE,
    *BARS.values(),
    DATASET,
    CASCADES,
    REGIMES,
    REGIME_TRANSITIONS,
    LABELS,
    IC,
    PREDICTIONS,
)
