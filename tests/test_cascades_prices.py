"""Prices around cascades: known in time, fresh, and never a reading against itself."""

from __future__ import annotations

import polars as pl
import pytest

from liqlab.cascades import CascadeConfig, CascadePreset, attach_prices, detect_cascades
from liqlab.core.schema import CASCADES, COVERAGE, LIQUIDATIONS, TICKER, TIME

T = 1_770_665_590_000
PAIR = CascadePreset("pair", max_gap_ms=5_000, min_liquidations=2)
CONFIG = CascadeConfig()


def make_cascades(*known: int, symbol: str = "A", usd: float = 100.0) -> pl.DataFrame:
    n = len(known)
    frame = pl.DataFrame(
        {
            "symbol": [symbol] * n,
            "event_time": [T + at - 300 for at in known],
            "known_time": [T + at for at in known],
            "liquidated_side": ["long"] * n,
            "quantity": [1.0] * n,
            "price": [usd] * n,
            "position": [0] * n,
        }
    )
    return detect_cascades(frame.with_columns(pl.col("event_time", "known_time").cast(TIME)), PAIR)


def make_ticker(rows: dict[int, float | None], symbol: str = "A", last: float | None = None) -> pl.DataFrame:
    frame = pl.DataFrame(
        {"known_time": [T + at for at in rows], "mark_price": list(rows.values())},
        schema={"known_time": pl.Int64(), "mark_price": pl.Float64()},
    )
    frame = frame.with_columns(
        pl.col("known_time").cast(TIME), symbol=pl.lit(symbol), last_price=pl.lit(last, pl.Float64)
    )
    return pl.concat([TICKER.empty(), frame], how="diagonal")


def make_coverage(*intervals: tuple[int, int]) -> pl.DataFrame:
    frame = pl.DataFrame(
        {"start": [T + a for a, _ in intervals], "end": [T + b for _, b in intervals]},
        schema={"start": pl.Int64(), "end": pl.Int64()},
    )
    return pl.concat([COVERAGE.empty(), frame.cast(TIME)], how="diagonal")


def test_displacements_compare_prices_known_at_confirmation_and_end_with_the_one_before_the_start() -> None:
    cascades = make_cascades(0, 2_000)
    ticker = make_ticker({-1: 200.0, 0: 150.0, 2_000: 198.0, 2_001: 100.0, 7_001: 196.0, 7_002: 100.0})
    row = attach_prices(cascades, ticker, make_coverage(), CONFIG).row(0, named=True)
    assert row["pre_price"] == 200.0
    assert row["displacement_at_confirmation_bps"] == pytest.approx(-100.0)
    assert row["displacement_bps"] == pytest.approx(-200.0)


def test_a_price_older_than_allowed_is_none_and_so_is_its_displacement() -> None:
    cascades = make_cascades(0, 2_000)
    ticker = make_ticker({-15_001: 200.0, 2_000: 198.0, 7_000: 197.0})
    row = attach_prices(cascades, ticker, make_coverage(), CONFIG).row(0, named=True)
    assert row["pre_price"] is row["displacement_at_confirmation_bps"] is row["displacement_bps"] is None
    fresh = attach_prices(cascades, make_ticker({-15_000: 200.0}), make_coverage(), CONFIG)
    assert fresh["pre_price"].to_list() == [200.0]
    patient = attach_prices(cascades, ticker, make_coverage(), CascadeConfig(price_max_age_s=20.0))
    assert patient["displacement_bps"].to_list() == pytest.approx([-150.0])


@pytest.mark.parametrize("offset", [-299_000, -20_000, -3_000, -1])
def test_five_minute_tickers_give_null_not_zero(offset: int) -> None:
    cascades = make_cascades(0, 500, 900)
    ticker = make_ticker({offset + 300_000 * step: 200.0 + step for step in range(-3, 3)})
    row = attach_prices(cascades, ticker, make_coverage(), CONFIG).row(0, named=True)
    assert row["displacement_at_confirmation_bps"] is None
    assert row["displacement_bps"] is None


def test_a_price_that_was_measured_again_and_did_not_move_is_a_displacement_of_zero() -> None:
    ticker = make_ticker({-1_000: 200.0, 1_000: 200.0, 6_000: 200.0})
    row = attach_prices(make_cascades(0, 2_000), ticker, make_coverage(), CONFIG).row(0, named=True)
    assert row["displacement_at_confirmation_bps"] == row["displacement_bps"] == 0.0


def test_the_last_price_serves_where_there_is_no_mark_price() -> None:
    ticker = make_ticker({-1_000: None, 1_000: 300.0}, last=200.0)
    row = attach_prices(make_cascades(0, 2_000), ticker, make_coverage(), CONFIG).row(0, named=True)
    assert (row["pre_price"], row["displacement_at_confirmation_bps"]) == (200.0, pytest.approx(5_000.0))


def test_a_price_of_another_symbol_is_no_price() -> None:
    table = attach_prices(make_cascades(0, 2_000), make_ticker({-1: 200.0}, symbol="B"), make_coverage(), CONFIG)
    assert table["pre_price"].to_list() == [None]


def test_prices_that_come_later_change_nothing() -> None:
    cascades = make_cascades(0, 2_000)
    known = {-1_000: 200.0, 1_000: 199.0, 6_000: 198.0}
    early = attach_prices(cascades, make_ticker(known), make_coverage(), CONFIG)
    late = attach_prices(cascades, make_ticker({**known, 7_002: 1.0, 8_000: 9.0}), make_coverage(), CONFIG)
    assert early.equals(late)


def test_without_ticker_and_coverage_the_table_is_whole_and_says_so() -> None:
    table = attach_prices(make_cascades(0, 2_000), TICKER.empty(), COVERAGE.empty(), CONFIG)
    assert table.columns == CASCADES.names
    assert table.select("pre_price", "displacement_bps", "covered").row(0) == (None, None, False)


def test_a_table_without_cascades_keeps_its_columns() -> None:
    table = attach_prices(detect_cascades(LIQUIDATIONS.empty(), PAIR), make_ticker({0: 1.0}), make_coverage(), CONFIG)
    assert table.schema == pl.Schema(CASCADES.dtypes)
    assert table.height == 0


@pytest.mark.parametrize(
    ("intervals", "covered"),
    [
        ([(0, 7_001)], True),
        ([(1, 9_000)], False),
        ([(-9_000, 7_000)], False),
        ([(-9_000, 3_000), (3_000, 9_000)], False),
        ([(-9_000, 99_000), (-1_000, 1_000)], True),
    ],
)
def test_a_cascade_is_covered_when_one_interval_holds_all_of_it(
    intervals: list[tuple[int, int]], covered: bool
) -> None:
    table = attach_prices(make_cascades(0, 2_000), TICKER.empty(), make_coverage(*intervals), CONFIG)
    assert table["covered"].to_list() == [covered]


@pytest.mark.parametrize(
    ("usd", "tier"),
    [(499_999.0, "<$1M"), (500_000.0, "$1M+"), (2_499_999.0, "$1M+"), (2_500_000.0, "$5M+")],
)
def test_the_tier_is_a_label_by_notional(usd: float, tier: str) -> None:
    table = attach_prices(make_cascades(0, 1_000, usd=usd), TICKER.empty(), COVERAGE.empty(), CONFIG)
    assert table.select("notional_usd", "tier").row(0) == (2 * usd, tier)


def test_rows_keep_their_order_and_each_symbol_its_prices() -> None:
    cascades = pl.concat(
        [make_cascades(60_000, 61_000, symbol="B"), make_cascades(0, 1_000), make_cascades(60_000, 60_100)]
    )
    ticker = pl.concat([make_ticker({-9: 1.0, 59_000: 2.0}), make_ticker({55_000: 3.0}, symbol="B")])
    table = attach_prices(cascades, ticker, make_coverage(), CONFIG)
    assert table["cascade_id"].to_list() == cascades["cascade_id"].to_list()
    assert table["pre_price"].to_list() == [3.0, 1.0, 2.0]


def test_the_regime_is_the_one_known_when_the_first_liquidation_was() -> None:
    minute = T // 60_000 * 60_000
    minutes = pl.Series([minute - 60_000, minute, minute + 60_000]).cast(TIME)
    table = pl.DataFrame({"symbol": "A", "time": minutes, "regime": ["quiet", "volatile", "quiet"]})
    cascades = make_cascades(0, 2_000)
    known = attach_prices(cascades, TICKER.empty(), COVERAGE.empty(), CONFIG, table)
    assert known["regime"].to_list() == ["volatile"]
    unknown = attach_prices(cascades, TICKER.empty(), COVERAGE.empty(), CONFIG)
    assert unknown["regime"].to_list() == [None]
