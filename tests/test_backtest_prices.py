"""From ticker rows to the observations of a backtest: one per second, with extremes, spread and funding."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from test_panel_frames import START_MS, liquidations_of, ticker_of

from liqlab.backtest import PricePath, find_funding_times, read_price_path
from liqlab.core.errors import UserError
from liqlab.core.schema import LONG_SHORT_RATIO
from liqlab.lake import FrameLake
from liqlab.panel import find_scope

HOUR_MS = 3_600_000


def read(ticker: pl.DataFrame) -> PricePath:
    """The path of symbol A of these ticker rows."""
    lake = FrameLake(liquidations_of([]), ticker, LONG_SHORT_RATIO.empty())
    return read_price_path(lake, "A", find_scope(lake))


def test_an_observation_is_the_last_price_of_its_second_with_the_extremes_of_that_second() -> None:
    known = [START_MS + t for t in (0, 100, 700, 999, 1_000, 5_000)]
    ticker = ticker_of("A", known, [100.0, 103.0, 98.0, 101.0, 102.0, 99.0], bid_price=[1.0, 2.0, 3.0, 4.0, None, 6.0])
    path = read(ticker)
    assert (path.known_ms - START_MS).tolist() == [999, 1_000, 5_000]
    assert path.price.tolist() == [101.0, 102.0, 99.0]
    assert path.low.tolist() == [98.0, 102.0, 99.0]
    assert path.high.tolist() == [103.0, 102.0, 99.0]
    np.testing.assert_equal(path.bid, [4.0, np.nan, 6.0])
    assert np.isnan(path.ask).all()


def test_the_price_is_mark_else_last_and_rows_without_one_are_left_out() -> None:
    known = [START_MS + 1_000 * t for t in range(4)]
    ticker = ticker_of("A", known, [100.0, None, 0.0, None], last_price=[1.0, 101.0, None, None])
    assert read(ticker).price.tolist() == [100.0, 101.0]


def test_days_are_strung_together_and_coverage_comes_along() -> None:
    known = [START_MS + 6 * HOUR_MS * t + s for t in range(8) for s in (0, 5_000)]
    path = read(ticker_of("A", known, [100.0] * 16))
    assert path.known_ms.tolist() == known
    assert path.covered.shape == (8, 2)
    assert path.interval_ms == pytest.approx(5_000)


def statements_of(rows: list[tuple[int, int | None, float | None]]) -> pl.DataFrame:
    """Rows (known, next funding, rate), times in hours after START_MS, a midnight."""
    return pl.DataFrame(
        [(START_MS + k * HOUR_MS, None if f is None else START_MS + f * HOUR_MS, r) for k, f, r in rows],
        schema={"known_ms": pl.Int64, "next_ms": pl.Int64, "rate": pl.Float64},
        orient="row",
    )


@pytest.mark.parametrize(
    ("rows", "hours", "rates"),
    [
        ([(1, 8, 1e-4), (7, 8, 2e-4), (9, 16, 3e-4)], [8, 16, 24], [2e-4, 3e-4, math.nan]),
        ([(1, 8, 1e-4), (2, 4, 2e-4), (5, 8, 3e-4)], [4, 8, 16, 24], [2e-4, 3e-4, math.nan, math.nan]),
        ([(1, 8, 1e-4), (8, 16, 9e-4)], [8, 16, 24], [1e-4, 9e-4, math.nan]),
        ([(1, None, 1e-4)], [8, 16, 24], [1e-4, math.nan, math.nan]),
        ([(1, 8, None), (9, 16, 3e-4)], [8, 16, 24], [math.nan, 3e-4, math.nan]),
        ([], [8, 16, 24], [math.nan] * 3),
    ],
    ids=["last rate before it", "revised", "roll at the moment", "no time told", "no rate told", "nothing told"],
)
def test_funding_is_when_the_last_row_before_said_so_with_the_rate_known_then(
    rows: list[Any], hours: list[int], rates: list[float]
) -> None:
    found = find_funding_times(statements_of(rows), START_MS, START_MS + 24 * HOUR_MS)
    assert ((found.time_ms - START_MS) // HOUR_MS).tolist() == hours
    np.testing.assert_equal(found.rate, rates)


def test_a_rate_that_stays_the_same_is_known_in_each_interval() -> None:
    known = [START_MS + 60_000 * t for t in range(24 * 60 + 1)]
    path = read(ticker_of("A", known, [100.0] * len(known), funding_rate=[1e-4] * len(known)))
    inside = path.funding_ms <= known[-1]
    assert ((path.funding_ms - START_MS) // HOUR_MS).tolist()[:3] == [8, 16, 24]
    assert path.funding_rate[inside].tolist() == [1e-4] * 3


def test_a_gap_is_a_pause_longer_than_fifteen_seconds_or_three_intervals() -> None:
    assert PricePath.from_ticks("A", [0, 1_000], [1.0, 1.0]).tolerance_ms == 15_000
    assert PricePath.from_ticks("A", [0, 10_000], [1.0, 1.0]).tolerance_ms == 30_000
    assert PricePath.from_ticks("A", [], []).tolerance_ms == 15_000


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"known_ms": [0, 0], "price": [1.0, 1.0]}, "strictly ascending"),
        ({"known_ms": [0, 1], "price": [1.0]}, "price has 1 values, known_ms 2"),
        ({"known_ms": [0], "price": [0.0]}, "0 < low <= price <= high"),
        ({"known_ms": [0], "price": [math.nan]}, "0 < low <= price <= high"),
        ({"known_ms": [0], "price": [1.0], "low": [2.0]}, "0 < low <= price <= high"),
        ({"known_ms": [0], "price": [1.0], "funding_ms": [1]}, "0 funding rates for 1 moments"),
    ],
)
def test_arrays_that_are_no_prices_are_refused(columns: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        PricePath.from_ticks("A", **columns)
