"""What cascades did to the price, from the ticker alone: liquidation prices are bankruptcy prices."""

from __future__ import annotations

import polars as pl

from liqlab.cascades._presets import CascadeConfig
from liqlab.core.schema import CASCADES, TIME, check_frame
from liqlab.core.time import MS_PER_S
from liqlab.regimes import regime_at

_ROW = "_row"
_BPS = 1e4

#: Labels by notional, the largest first.
_TIERS = (("$5M+", 5e6), ("$1M+", 1e6), ("<$1M", 0.0))


def attach_prices(
    cascades: pl.DataFrame,
    ticker: pl.DataFrame,
    coverage: pl.DataFrame,
    config: CascadeConfig,
    regimes: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """The whole cascades table, in the order of `cascades`, the frame of `detect_cascades`.

    The price at a moment is mark price, else last price, of the ticker row with the greatest known_time at or before
    it; null when that row is older than `config.price_max_age_s`. `pre_price` is the price known strictly before the
    first liquidation was. A displacement is (price / pre_price - 1) * 1e4 bps, at `confirmed` and at `ended`; it is
    null when either price is, and when no price has come since `pre_price`: a reading against itself measures nothing.

    `ticker` needs symbol, known_time, mark_price and last_price and may lack symbols or days; `coverage` holds the
    intervals (start, end) in which the recorder listened. A cascade is covered when one of them holds it, from the
    known time of its first liquidation to `ended`. `regimes` is the table of one symbol, that of all the cascades: then
    `regime` is the one known when the first liquidation was; null without it.
    """
    prices = _usable_prices(ticker)
    rows = cascades.with_row_index(_ROW)
    max_age_ms = round(config.price_max_age_s * MS_PER_S)
    for name, moment, strictly in (("pre", "first_known", True), ("at", "confirmed", False), ("out", "ended", False)):
        rows = rows.join(_price_at(rows, prices, name, moment, strictly, max_age_ms), on=_ROW, maintain_order="left")
    rows = rows.join(_covered(rows, coverage), on=_ROW, maintain_order="left").with_columns(
        _displacement("at").alias("displacement_at_confirmation_bps"),
        _displacement("out").alias("displacement_bps"),
        _tier(),
        regime=_regime_at_start(cascades, regimes),
    )
    return check_frame(rows.select(CASCADES.names), CASCADES)


def _regime_at_start(cascades: pl.DataFrame, regimes: pl.DataFrame | None) -> pl.Series:
    if regimes is None:
        return pl.repeat(None, cascades.height, dtype=pl.String, eager=True)
    return regime_at(regimes, cascades["first_known"].to_physical().to_numpy())


def _usable_prices(ticker: pl.DataFrame) -> pl.DataFrame:
    """symbol, known_time, price: the last row of each known time, sorted by known_time."""
    price = pl.coalesce(pl.col("mark_price").fill_nan(None), pl.col("last_price").fill_nan(None))
    return (
        ticker.select("symbol", "known_time", price=price)
        .drop_nulls("price")
        .unique(["symbol", "known_time"], keep="last", maintain_order=True)
        .sort("known_time", "symbol")
    )


def _price_at(
    rows: pl.DataFrame, prices: pl.DataFrame, name: str, moment: str, strictly: bool, max_age_ms: int
) -> pl.DataFrame:
    """Row number, `{name}_price` and `{name}_known`: the price known at (or strictly before) the time in `moment`."""
    asked = rows.select(_ROW, "symbol", moment, asked=pl.col(moment) - pl.duration(milliseconds=int(strictly)))
    found = asked.sort("asked").join_asof(
        prices.rename({"known_time": "found"}),
        left_on="asked",
        right_on="found",
        by="symbol",
        strategy="backward",
        check_sortedness=False,
    )
    is_fresh = (pl.col(moment) - pl.col("found")).dt.total_milliseconds() <= max_age_ms
    return found.select(
        _ROW,
        pl.when(is_fresh).then("price").alias(f"{name}_price"),
        pl.when(is_fresh).then("found").alias(f"{name}_known"),
    )


def _displacement(name: str) -> pl.Expr:
    has_moved_on = pl.col(f"{name}_known") > pl.col("pre_known")
    return pl.when(has_moved_on).then((pl.col(f"{name}_price") / pl.col("pre_price") - 1.0) * _BPS)


def _covered(rows: pl.DataFrame, coverage: pl.DataFrame) -> pl.DataFrame:
    """Row number and `covered`: one interval that began by the first liquidation lasts until the end."""
    intervals = coverage.select("start", "end").sort("start", "end").select("start", lasts=pl.col("end").cum_max())
    asked = rows.select(_ROW, "first_known", "ended").sort("first_known")
    found = asked.join_asof(intervals.cast(TIME), left_on="first_known", right_on="start", check_sortedness=False)
    return found.select(_ROW, covered=(pl.col("lasts") >= pl.col("ended")).fill_null(value=False))


def _tier() -> pl.Expr:
    (largest, largest_usd), (large, large_usd), (small, _) = _TIERS
    notional_usd = pl.col("notional_usd")
    return (
        pl.when(notional_usd >= largest_usd)
        .then(pl.lit(largest))
        .when(notional_usd >= large_usd)
        .then(pl.lit(large))
        .otherwise(pl.lit(small))
        .alias("tier")
    )
