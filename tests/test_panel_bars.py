"""Bars against a slow oracle, between widths, and against the future."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from test_panel_frames import START_MS, deliveries_of, liquidations_of, random_liquidations

from liqlab.core.errors import UserError
from liqlab.core.schema import BAR_WIDTHS_MS, BARS, LONG, SHORT, TIME, check_frame
from liqlab.panel import CoverageConfig, compute_bars, compute_coverage

HOUR_MS = 3_600_000
FLOWS = ("count", "volume", "notional")
SYMBOLS = ("BTCUSDT", "ETHUSDT")


def _oracle(
    rows: pl.DataFrame, width_ms: int, start_ms: int, end_ms: int, symbols: list[str]
) -> list[dict[str, object]]:
    """Every bar by looking at every row."""
    records = rows.with_columns(known=pl.col("known_time").to_physical()).to_dicts()
    bars: list[dict[str, object]] = []
    for symbol in sorted(symbols):
        for right in range(start_ms + width_ms, end_ms + 1, width_ms):
            inside = [r for r in records if r["symbol"] == symbol and right - width_ms <= r["known"] < right]
            bar: dict[str, object] = {"symbol": symbol, "time": right}
            volumes = {}
            for name, sides in (("", (LONG, SHORT)), ("buy_", (LONG,)), ("sell_", (SHORT,))):
                chosen = [r for r in inside if r["liquidated_side"] in sides]
                volumes[name] = sum(r["quantity"] for r in chosen)
                bar[f"liq_{name}count"] = len(chosen)
                bar[f"liq_{name}volume"] = float(volumes[name])
                bar[f"liq_{name}notional"] = float(sum(r["notional_usd"] for r in chosen))
            bar["liq_imbalance"] = (volumes["sell_"] - volumes["buy_"]) / volumes[""] if inside else None
            bars.append(bar | {"covered": None})
    return bars


@pytest.mark.parametrize("width", ["1s", "5s", "1m", "1h"])
@pytest.mark.parametrize("seed", [1, 2])
def test_bars_are_those_of_the_slow_oracle(width: str, seed: int) -> None:
    step = BAR_WIDTHS_MS[width]
    span_ms = {"1s": 120_000, "5s": 600_000, "1m": HOUR_MS}.get(width, 5 * HOUR_MS)
    rows = random_liquidations(seed, 60, span_ms, SYMBOLS)
    end_ms = START_MS + span_ms
    bars = check_frame(compute_bars(rows, width, START_MS, end_ms), BARS[width])
    expected = pl.DataFrame(_oracle(rows, step, START_MS, end_ms, list(SYMBOLS)), infer_schema_length=None)
    expected = expected.with_columns(pl.col("time").cast(TIME), pl.col("covered").cast(pl.Boolean))
    assert_frame_equal(bars, expected.cast(dict(BARS[width].dtypes)).select(bars.columns))
    assert bars["liq_count"].sum() > 0


@pytest.mark.parametrize(("fine", "coarse"), [("1s", "5s"), ("5s", "1m"), ("1m", "1h"), ("1s", "1h")])
def test_a_coarser_width_is_the_aggregate_of_the_finer(fine: str, coarse: str) -> None:
    rows = random_liquidations(4, 300, 2 * HOUR_MS, SYMBOLS)
    runs = deliveries_of([("BTCUSDT", "liquidation", "bybit", 0, HOUR_MS // 2)])
    coverage = compute_coverage(runs)
    end_ms = START_MS + 2 * HOUR_MS
    finer = compute_bars(rows, fine, START_MS, end_ms, coverage=coverage)
    step = BAR_WIDTHS_MS[coarse]
    summed = (
        finer.with_columns(time=((pl.col("time").to_physical() - 1) // step * step + step).cast(TIME))
        .group_by("symbol", "time", maintain_order=True)
        .agg(pl.col("^liq_(buy_|sell_)?(count|volume|notional)$").sum(), pl.col("covered").last())
    )
    coarser = compute_bars(rows, coarse, START_MS, end_ms, coverage=coverage)
    assert_frame_equal(coarser.drop("liq_imbalance"), summed, check_column_order=False)


@given(st.integers(0, 1000), st.integers(0, 1200))
def test_what_becomes_known_later_changes_no_bar_before(seed: int, cut_s: int) -> None:
    rows = random_liquidations(seed, 40, 1_200_000)
    cut_ms = START_MS + cut_s * 1_000
    whole = compute_bars(rows, "5s", START_MS, START_MS + 1_200_000)
    early = compute_bars(
        rows.filter(pl.col("known_time").to_physical() < cut_ms), "5s", START_MS, START_MS + 1_200_000, ["BTCUSDT"]
    )
    before = pl.col("time").to_physical() <= cut_ms
    assert_frame_equal(whole.filter(before), early.filter(before))


@given(st.integers(0, 1000))
def test_every_row_is_in_exactly_one_bar_and_long_plus_short_is_the_total(seed: int) -> None:
    rows = random_liquidations(seed, 50, 600_000, SYMBOLS)
    bars = compute_bars(rows, "1s", START_MS, START_MS + 660_000)
    assert bars["liq_count"].sum() == rows.height
    assert bars["liq_notional"].sum() == pytest.approx(rows["notional_usd"].sum())
    for flow in FLOWS:
        assert (bars[f"liq_buy_{flow}"] + bars[f"liq_sell_{flow}"]).equals(bars[f"liq_{flow}"], check_names=False)
    assert bars.filter(pl.col("liq_count") == 0)["liq_imbalance"].is_null().all()
    assert bars.filter(pl.col("liq_count") > 0)["liq_imbalance"].is_between(-1, 1).all()


def test_a_row_known_on_an_edge_belongs_to_the_bar_that_starts_there() -> None:
    rows = liquidations_of([("A", START_MS, START_MS + 5_000, LONG, 2.0, 10.0)])
    bars = compute_bars(rows, "5s", START_MS, START_MS + 15_000)
    assert bars["liq_count"].to_list() == [0, 1, 0]
    assert bars["liq_imbalance"].to_list() == [None, -1.0, None]


def test_days_done_one_by_one_are_the_whole() -> None:
    rows = random_liquidations(9, 200, 4 * HOUR_MS, SYMBOLS)
    whole = compute_bars(rows, "1m", START_MS, START_MS + 4 * HOUR_MS)
    parts = [
        compute_bars(rows, "1m", START_MS + hour * HOUR_MS, START_MS + (hour + 1) * HOUR_MS, SYMBOLS)
        for hour in range(4)
    ]
    assert_frame_equal(pl.concat(parts).sort("symbol", "time"), whole)


def test_a_symbol_without_rows_gets_empty_bars_and_others_are_left_out() -> None:
    rows = liquidations_of([("A", START_MS, START_MS, LONG, 2.0, 10.0)])
    bars = compute_bars(rows, "1h", START_MS, START_MS + 2 * HOUR_MS, ["B"])
    assert bars["symbol"].to_list() == ["B", "B"]
    assert bars["liq_notional"].to_list() == [0.0, 0.0]
    check_frame(bars, BARS["1h"])


def test_no_rows_and_no_symbols_give_an_empty_table() -> None:
    bars = compute_bars(liquidations_of([]), "1m", START_MS, START_MS + HOUR_MS)
    assert_frame_equal(bars, BARS["1m"].empty())


def test_an_empty_span_gives_no_bars() -> None:
    assert compute_bars(random_liquidations(1, 5), "1h", START_MS, START_MS).height == 0


def test_covered_says_whether_the_recorder_had_delivered_within_the_tolerance() -> None:
    rows = liquidations_of([("A", START_MS, START_MS, LONG, 2.0, 10.0)])
    runs = deliveries_of([("A", "liquidation", "bybit", 7_000, 12_000)])
    coverage = compute_coverage(runs, CoverageConfig(tolerance_alone_s=6.0))
    bars = compute_bars(rows, "5s", START_MS, START_MS + 25_000, coverage=coverage)
    assert bars["covered"].to_list() == [False, True, True, False, False]
    assert compute_bars(rows, "5s", START_MS, START_MS + 5_000)["covered"].to_list() == [None]


def test_a_span_off_the_grid_and_an_unknown_width_are_the_users_mistake() -> None:
    rows = random_liquidations(1, 5)
    with pytest.raises(UserError, match="whole multiples of 5s"):
        compute_bars(rows, "5s", START_MS + 1, START_MS + 5_000)
    with pytest.raises(UserError, match="available: 1h, 1m, 1s, 5s"):
        compute_bars(rows, "2s", START_MS, START_MS + 5_000)
    with pytest.raises(UserError, match="before they start"):
        compute_bars(rows, "5s", START_MS, START_MS - 5_000)
