"""Labels against a slow oracle, and that each is final when it is given."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from test_features_market import (
    END_MS,
    GAPS_MS,
    START_MS,
    Tables,
    empty_tables,
    gap_tables,
    gapless_tables,
    known_in,
    walk_labels,
)

from liqlab.core.errors import ConfigError
from liqlab.core.schema import LABEL_HORIZONS_S, LABELS, VOLATILITY_HORIZONS_S, check_frame
from liqlab.core.time import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE
from liqlab.features import FeatureConfig, LabelWalk
from liqlab.panel import PriceSeries, covered_ms, mark_covered, select_intervals

TOLERANCE_MS = 15_000
CONFIG = FeatureConfig(decision_delay_s=10.0)


class SlowLabels:
    """One row at a time, from the price series."""

    def __init__(self, tables: Tables, symbol: str, delay_ms: int) -> None:
        self.prices = PriceSeries.from_ticker(tables.ticker[symbol])
        self.intervals = select_intervals(tables.scope().coverage, symbol)
        self.delay_ms = delay_ms

    def first(self, moment: int) -> tuple[int, float] | None:
        """When the first price from a moment on was known, and the price."""
        for known, price in zip(*self._near(moment), strict=True):
            if known >= moment:
                return (int(known), float(price)) if known - moment <= TOLERANCE_MS else None
        return None

    def _near(self, moment: int) -> tuple[np.ndarray, np.ndarray]:
        near = slice(*np.searchsorted(self.prices.known_ms, [moment - 60_000, moment + 60_000]))
        return self.prices.known_ms[near], self.prices.price[near]

    def is_covered(self, start: int, end: int) -> bool:
        """At both ends, and at four fifths of the grid times between."""
        grid = np.arange(start, end + 1, 5_000)
        listened = mark_covered(grid, self.intervals)
        return bool(listened[0] and listened[-1] and listened[1:].mean() >= 0.8 - 1e-12)

    def change(self, start: int, end: int) -> float | None:
        first, last = self.first(start), self.first(end)
        return None if first is None or last is None or first[0] == last[0] else last[1] / first[1]

    def compute(self, time: int, name: str) -> float | None:
        kind, horizon = name.removesuffix("s").split("_")
        start, end = time + self.delay_ms, time + self.delay_ms + 1_000 * int(horizon)
        if not self.is_covered(start, end):
            return None
        if kind == "return":
            change = self.change(start, end)
            return None if change is None else change - 1
        minutes = range(start, end, MS_PER_MINUTE)
        squares = [
            math.log(change) ** 2
            for minute in minutes
            if (change := self.change(minute, minute + MS_PER_MINUTE)) is not None
        ]
        return math.sqrt(sum(squares) * len(minutes) / len(squares)) if len(squares) >= 0.8 * len(minutes) else None


def test_every_label_is_what_the_slow_oracle_says() -> None:
    tables = gap_tables()
    labels, _ = walk_labels(tables, "SOLUSDT", CONFIG)
    check_frame(labels, LABELS)
    random = np.random.default_rng(4)
    around = [edge + shift for gap in GAPS_MS for edge in gap for shift in range(-180_000, 90_000, 15_000)]
    times = labels["time"].to_physical().to_numpy()
    chosen = {*random.choice(times, 120).tolist(), *(moment // 5_000 * 5_000 for moment in around), int(times[-1])}
    sample = labels.filter(pl.col("time").to_physical().is_in(sorted(chosen)))
    slow = SlowLabels(tables, "SOLUSDT", 10_000)
    for name in LABELS.names[2:]:
        expected = [slow.compute(time, name) for time in sample["time"].to_physical()]
        assert sample[name].is_null().to_list() == [value is None for value in expected], name
        assert 0 < sample[name].null_count() < sample.height, name
        there = [value for value in expected if value is not None]
        np.testing.assert_allclose(sample[name].drop_nulls().to_numpy(), there, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("step_ms", [MS_PER_HOUR, MS_PER_DAY])
def test_every_time_comes_once_and_piece_by_piece_gives_the_bits_of_one_piece(step_ms: int) -> None:
    whole, _ = walk_labels(gap_tables(), "BTCUSDT", step_ms=100 * MS_PER_DAY)
    assert whole["time"].to_physical().to_list() == list(range(START_MS + 5_000, END_MS + 1, 5_000))
    parts, _ = walk_labels(gap_tables(), "BTCUSDT", step_ms=step_ms)
    assert_frame_equal(parts, whole, check_exact=True)


def test_a_row_is_given_when_no_later_price_can_change_it_and_not_before() -> None:
    tables = gap_tables()
    whole, _ = walk_labels(tables, "BTCUSDT")
    walk = LabelWalk("BTCUSDT", tables.scope())
    given = pl.concat([walk.add(day) for day in tables.days("BTCUSDT", MS_PER_HOUR)])
    reach_ms = 5_000 + 14_400_000 + TOLERANCE_MS
    last_ms = given["time"].to_physical()[-1]
    assert last_ms + reach_ms < END_MS <= last_ms + 5_000 + reach_ms
    assert_frame_equal(given, whole.head(given.height), check_exact=True)
    assert walk.finish().height == whole.height - given.height
    assert walk.finish().height == 0


def test_a_label_starts_with_the_first_price_from_the_decision_on_and_not_with_one_before() -> None:
    tables = gapless_tables()
    time = START_MS + MS_PER_HOUR
    row = pl.col("time").to_physical() == time
    labels, _ = walk_labels(tables, "BTCUSDT")
    for known_ms, factor in ((time + 4_999, 1.0), (time + 5_000, 1 / 1.01)):
        rows = tables.ticker["BTCUSDT"]
        price = PriceSeries.from_ticker(rows).first_from([time + 5_000])[0]
        known = pl.lit(known_ms).cast(rows.schema["known_time"])
        extra = rows.head(1).with_columns(known_time=known, mark_price=1.01 * price)
        ticker = pl.concat([rows, extra]).sort("known_time", maintain_order=True)
        found, _ = walk_labels(replace(tables, ticker={**tables.ticker, "BTCUSDT": ticker}), "BTCUSDT")
        expected = (1 + labels.filter(row)["return_300s"].item()) * factor - 1
        assert found.filter(row)["return_300s"].item() == pytest.approx(expected, abs=1e-12)


def ticker_every(seconds: int) -> Tables:
    """The gapless market with fewer ticker rows."""
    tables = gapless_tables()
    thin = {
        symbol: rows.filter(
            pl.col("known_time").to_physical() // (1_000 * seconds)
            != (pl.col("known_time").to_physical() // (1_000 * seconds)).shift(1)
        )
        for symbol, rows in tables.ticker.items()
    }
    return replace(tables, ticker=thin)


def test_a_horizon_shorter_than_the_ticker_interval_is_null_with_the_reason() -> None:
    labels, walk = walk_labels(ticker_every(300), "BTCUSDT")
    notes = {note.column: note for note in walk.notes}
    for horizon in LABEL_HORIZONS_S:
        column = labels[f"return_{horizon}s"]
        assert (column.null_count() == labels.height) == (horizon < 300)
    assert notes["return_60s"].note == "ticker prices come every 300 s; needs 60 s"
    assert notes["return_300s"].note == ""
    for horizon in VOLATILITY_HORIZONS_S:
        assert labels[f"volatility_{horizon}s"].null_count() == labels.height
        assert notes[f"volatility_{horizon}s"].note == "ticker prices come every 300 s; needs 60 s"


def test_a_ticker_every_minute_gives_volatility() -> None:
    labels, _ = walk_labels(ticker_every(60), "BTCUSDT")
    fine, _ = walk_labels(gapless_tables(), "BTCUSDT")
    coarse, dense = (table["volatility_3600s"].drop_nulls().to_numpy() for table in (labels, fine))
    assert len(coarse) > 0.9 * len(dense)
    assert coarse.mean() == pytest.approx(dense.mean(), rel=0.2)


def test_without_a_ticker_all_labels_are_null_with_the_reason() -> None:
    labels, walk = walk_labels(empty_tables(), "BTCUSDT")
    assert labels.null_count().drop("symbol", "time").row(0) == (labels.height,) * (len(LABELS.names) - 2)
    assert {note.note for note in walk.notes} == {"no ticker prices"}


def test_one_price_cannot_answer_for_both_ends() -> None:
    tables = gapless_tables()
    hole = (START_MS + MS_PER_HOUR, START_MS + MS_PER_HOUR + 10_000)
    ticker = {
        name: pl.concat([known_in(rows, 0, hole[0]), known_in(rows, hole[1], END_MS)])
        for name, rows in tables.ticker.items()
    }
    labels, _ = walk_labels(replace(tables, ticker=ticker), "BTCUSDT")
    first = pl.col("time").to_physical() == hole[0] - 5_000
    assert labels.filter(first)["return_10s"].item() is None
    assert labels.filter(first)["return_30s"].item() is not None


def test_most_of_the_stretch_must_be_covered() -> None:
    tables = gap_tables()
    labels, _ = walk_labels(tables, "BTCUSDT")
    intervals = select_intervals(tables.scope().coverage, "BTCUSDT")
    for row in labels.filter(pl.col("return_3600s").is_not_null()).gather_every(50).iter_rows(named=True):
        start = int(row["time"].timestamp() * 1_000) + 5_000
        assert covered_ms(intervals, start, start + 3_600_000) >= 0.79 * 3_600_000


@pytest.mark.parametrize("delay_s", [1.0, 7.5, 5.001])
def test_a_delay_off_the_grid_is_refused(delay_s: float) -> None:
    with pytest.raises(ConfigError, match=r"decision_delay_s must be a multiple of 5 s"):
        FeatureConfig(decision_delay_s=delay_s)


def test_days_of_another_symbol_or_out_of_order_are_refused() -> None:
    tables = gapless_tables()
    walk = LabelWalk("BTCUSDT", tables.scope())
    first, second = tables.days("BTCUSDT")
    walk.add(second)
    with pytest.raises(ValueError, match="in order"):
        walk.add(first)
    with pytest.raises(ValueError, match="SOLUSDT"):
        walk.add(tables.days("SOLUSDT")[0])
