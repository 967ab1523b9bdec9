"""The as-of join against a slow oracle and against the future."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from test_panel_frames import START_MS, random_liquidations, ratio_of, ticker_of

from liqlab.core.errors import ConfigError
from liqlab.core.schema import DATASET, LONG_SHORT_RATIO, TICKER, check_frame
from liqlab.panel import DatasetConfig, compute_bars, join_dataset

SYMBOLS = ("BTCUSDT", "ETHUSDT")
SPAN_MS = 600_000
CONFIG = DatasetConfig(ticker_tolerance_s=30.0, open_interest_lag_s=20.0, ratio_lag_s=60.0, ratio_tolerance_s=120.0)
FROM_TICKER = ("last_price", "mark_price", "funding_rate", "bid_price")
FROM_OPEN_INTEREST = ("open_interest", "open_interest_value", "open_interest_basis")
FROM_RATIO = ("buy_ratio", "sell_ratio", "ratio")


def _random_inputs(seed: int) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    random = np.random.default_rng(seed)
    bars = compute_bars(random_liquidations(seed, 40, SPAN_MS, SYMBOLS), "5s", START_MS, START_MS + SPAN_MS, SYMBOLS)
    tickers, ratios = [], []
    for symbol in SYMBOLS:
        known = (START_MS + random.integers(-60_000, SPAN_MS, 60)).tolist()
        columns: dict[str, Any] = {
            name: random.random(60).tolist() for name in (*FROM_TICKER[2:], *FROM_OPEN_INTEREST[:2], "last_price")
        }
        basis = random.choice(["single", "halved"], 60).tolist()
        tickers.append(ticker_of(symbol, known, random.random(60).tolist(), open_interest_basis=basis, **columns))
        ratios.append(
            ratio_of(symbol, (START_MS + random.integers(-60_000, SPAN_MS, 6)).tolist(), [0.3] * 3 + [0.6] * 3)
        )
    return bars, pl.concat(tickers), pl.concat(ratios)


def _last_usable(rows: list[dict[str, Any]], at: int, lag_ms: int, tolerance_ms: int) -> dict[str, Any] | None:
    usable = [row for row in rows if row["known_time"] + lag_ms <= at]
    latest = max((row["known_time"] for row in usable), default=None)
    if latest is None or at - latest - lag_ms > tolerance_ms:
        return None
    return [row for row in usable if row["known_time"] == latest][-1]


def _oracle_row(at: int, ticker: list[dict[str, Any]], ratio: list[dict[str, Any]]) -> dict[str, Any]:
    prompt = _last_usable(ticker, at, 0, 30_000)
    lagged = _last_usable(ticker, at, 20_000, 30_000)
    share = _last_usable(ratio, at, 60_000, 120_000)
    row = {name: prompt[name] if prompt else None for name in FROM_TICKER}
    row |= {name: lagged[name] if lagged else None for name in FROM_OPEN_INTEREST}
    row |= {name: share[name] if share else None for name in FROM_RATIO}
    row["ticker_age_s"] = (at - prompt["known_time"]) / 1_000 if prompt else None
    row["ratio_age_s"] = (at - share["event_time"]) / 1_000 if share else None
    return row


def _records(frame: pl.DataFrame, symbol: str) -> list[dict[str, Any]]:
    times = [name for name in ("known_time", "event_time", "time") if name in frame.columns]
    return frame.filter(pl.col("symbol") == symbol).with_columns(pl.col(times).to_physical()).to_dicts()


@pytest.mark.parametrize("seed", range(5))
def test_every_row_is_that_of_the_slow_oracle(seed: int) -> None:
    bars, ticker, ratio = _random_inputs(seed)
    joined = check_frame(join_dataset(bars, ticker, ratio, CONFIG), DATASET)
    assert_frame_equal(joined.select(bars.columns), bars)
    for symbol in SYMBOLS:
        for row in _records(joined, symbol):
            expected = _oracle_row(row["time"], _records(ticker, symbol), _records(ratio, symbol))
            assert {name: row[name] for name in expected} == expected
    assert 0 < joined["mark_price"].null_count() < joined.height
    assert 0 < joined["ratio"].null_count() < joined.height


@given(st.integers(0, 200), st.integers(0, SPAN_MS // 1_000))
def test_what_becomes_known_later_changes_no_row_before(seed: int, cut_s: int) -> None:
    bars, ticker, ratio = _random_inputs(seed)
    known = pl.col("known_time").to_physical() <= START_MS + cut_s * 1_000
    before = pl.col("time").to_physical() <= START_MS + cut_s * 1_000
    whole = join_dataset(bars, ticker, ratio, CONFIG).filter(before)
    early = join_dataset(bars.filter(before), ticker.filter(known), ratio.filter(known), CONFIG)
    assert_frame_equal(whole, early)


def _bars(n: int) -> pl.DataFrame:
    return compute_bars(random_liquidations(1, 3, 1_000, ["A"]), "5s", START_MS, START_MS + 5_000 * n, ["A"])


def test_of_rows_known_together_the_last_one_given_wins() -> None:
    ticker = ticker_of("A", [START_MS + 5_000] * 3, [1.0, 2.0, 3.0])
    assert join_dataset(_bars(1), ticker, LONG_SHORT_RATIO.empty())["mark_price"].to_list() == [3.0]


def test_a_row_known_exactly_at_the_edge_is_used_and_one_exactly_at_the_tolerance_too() -> None:
    ticker = ticker_of("A", [START_MS + 5_000], [1.0])
    config = DatasetConfig(ticker_tolerance_s=5.0)
    joined = join_dataset(_bars(3), ticker, LONG_SHORT_RATIO.empty(), config)
    assert joined["mark_price"].to_list() == [1.0, 1.0, None]
    assert joined["ticker_age_s"].to_list() == [0.0, 5.0, None]


def test_a_stale_row_is_not_replaced_and_a_null_in_the_newest_row_stays_null() -> None:
    ticker = ticker_of("A", [START_MS, START_MS + 5_000], [1.0, None], funding_rate=[0.1, 0.2])
    joined = join_dataset(_bars(8), ticker, LONG_SHORT_RATIO.empty(), DatasetConfig(ticker_tolerance_s=15.0))
    assert joined["funding_rate"].to_list() == [0.2] * 4 + [None] * 4
    assert joined["mark_price"].null_count() == 8


@pytest.mark.parametrize(("interval_ms", "used"), [(1_000, 4), (5_000, 4), (10_000, 7)])
def test_the_default_tolerance_is_three_ticker_intervals_but_at_least_fifteen_seconds(
    interval_ms: int, used: int
) -> None:
    known = [START_MS + 5_000 - interval_ms, START_MS + 5_000]
    ticker = ticker_of("A", known, [1.0, 2.0])
    measured = join_dataset(_bars(10), ticker, LONG_SHORT_RATIO.empty())
    assert measured["mark_price"].to_list() == [2.0] * used + [None] * (10 - used)
    given_ = join_dataset(_bars(10), ticker.tail(1), LONG_SHORT_RATIO.empty(), ticker_interval_ms={"A": interval_ms})
    assert_frame_equal(measured, given_)


def test_a_ratio_waits_for_its_hour_to_end_and_lasts_three_more() -> None:
    bars = compute_bars(random_liquidations(1, 3, 1_000, ["A"]), "5s", START_MS, START_MS + 5 * 3_600_000, ["A"])
    joined = join_dataset(bars, TICKER.empty(), ratio_of("A", [START_MS], [0.4]))
    used = joined.filter(pl.col("buy_ratio").is_not_null())
    assert used["ratio_age_s"].min() == 3_600.0
    assert used["ratio_age_s"].max() == 4 * 3_600.0


def test_without_ticker_and_ratio_their_columns_are_null() -> None:
    joined = check_frame(join_dataset(_bars(4), TICKER.empty(), LONG_SHORT_RATIO.empty()), DATASET)
    assert joined.height == 4
    assert joined.drop(_bars(1).columns).null_count().sum_horizontal().item() == 4 * (joined.width - 13)


def test_one_symbol_never_lends_another_its_rows() -> None:
    joined = join_dataset(_bars(4), ticker_of("B", [START_MS], [1.0]), ratio_of("B", [START_MS - 10**7], [0.5]))
    assert joined["mark_price"].null_count() == 4
    assert joined["ratio"].null_count() == 4


def test_no_bars_give_an_empty_dataset() -> None:
    assert_frame_equal(join_dataset(_bars(0), TICKER.empty(), LONG_SHORT_RATIO.empty()), DATASET.empty())


def test_a_negative_lag_would_look_ahead_and_is_refused() -> None:
    with pytest.raises(ConfigError, match="open_interest_lag_s"):
        DatasetConfig(open_interest_lag_s=-1.0)
