"""The published block against an independent pandas implementation, and a tiny case by hand."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_panel_frames import START_MS, Row, liquidations_of, random_liquidations

from liqlab.core.schema import LONG, SHORT
from liqlab.panel import compute_published

MINUTE_MS = 60_000


def _pandas_block(liquidations: pl.DataFrame, weight: str) -> dict[str, Any]:
    """The published definitions, written the way a notebook would."""
    frame = pd.DataFrame(liquidations.with_columns(T=pl.col("event_time").to_physical()).to_dicts())
    frame = frame.sort_values("T", kind="stable").reset_index(drop=True)
    size, is_long = frame["notional_usd"], frame["liquidated_side"] == "long"
    gaps = frame["T"].diff().dropna() / 1000
    hours = (frame["T"] // 3_600_000 % 24).value_counts().reindex(range(24), fill_value=0)
    minute = frame["T"] // 60_000
    grid = range(minute.min(), minute.max() + 1)
    total = frame[weight].groupby(minute).sum().reindex(grid, fill_value=0.0)
    buys = frame[weight][is_long].groupby(minute[is_long]).sum().reindex(grid, fill_value=0.0)
    imbalance = ((total - 2 * buys) / total).fillna(0.0)
    return {
        "events": len(frame),
        "volume": frame[weight].sum(),
        "notional_usd": size.sum(),
        "mean_size_usd": size.mean(),
        **{f"p{p}_size_usd": size.quantile(p / 100) for p in (50, 75, 90, 95, 99)},
        "buy_events_frac": is_long.mean(),
        "buy_volume_frac": frame[weight][is_long].sum() / frame[weight].sum(),
        "most_active_hour": hours.idxmax(),
        "most_active_hour_events": hours.max(),
        "least_active_hour": hours.idxmin(),
        "least_active_hour_events": hours.min(),
        "mean_gap_s": gaps.mean(),
        "median_gap_s": gaps.median(),
        "longest_gap_s": gaps.max(),
        "rapid_frac": (gaps < 1).sum() / len(frame),
        "bars": len(imbalance),
        "nonempty_bars_frac": (total > 0).mean(),
        "imbalance_mean": imbalance.mean(),
        "imbalance_sd": imbalance.std(),
        "bars_imbalance_below": (imbalance < -0.7).sum(),
        "bars_imbalance_above": (imbalance > 0.7).sum(),
        "imbalance_autocorrelation": tuple(imbalance.autocorr(lag) for lag in (5, 15, 60)),
        **_cascade_block(_cascades_one_by_one(frame)),
    }


def _cascades_one_by_one(frame: pd.DataFrame) -> list[list[dict[str, Any]]]:
    """Walk over the large events of each symbol and open a cascade whenever the silence is too long."""
    found = []
    for _, rows in frame.groupby("symbol"):
        large = rows[rows["quantity"] >= rows["quantity"].quantile(0.95)].to_dict("records")
        current: list[dict[str, Any]] = []
        for event in large:
            if current and event["T"] - current[-1]["T"] > MINUTE_MS:
                found.append(current)
                current = []
            current.append(event)
        found.append(current)
    return [cascade for cascade in found if len(cascade) >= 2]


def _cascade_block(cascades: list[list[dict[str, Any]]]) -> dict[str, Any]:
    notional = [sum(event["notional_usd"] for event in cascade) for cascade in cascades]
    longs = [sum(e["notional_usd"] for e in cascade if e["liquidated_side"] == "long") for cascade in cascades]
    return {
        "cascades": len(cascades),
        "mean_cascade_duration_s": np.mean([(cascade[-1]["T"] - cascade[0]["T"]) / 1000 for cascade in cascades]),
        "mean_cascade_events": np.mean([len(cascade) for cascade in cascades]),
        "mean_cascade_notional_usd": np.mean(notional),
        "buy_cascades_frac": np.mean([2 * buys >= whole for buys, whole in zip(longs, notional, strict=True)]),
    }


def _assert_matches(block: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        assert block[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name


@pytest.mark.parametrize("seed", range(4))
def test_the_block_of_one_symbol_is_that_of_pandas(seed: int) -> None:
    rows = random_liquidations(seed, 900, 9 * 3_600_000)
    _assert_matches(asdict(compute_published(rows, 9)), _pandas_block(rows, "quantity"))


def test_the_block_of_all_is_that_of_pandas_on_notional() -> None:
    rows = random_liquidations(7, 900, 9 * 3_600_000, ("BTCUSDT", "DOGEUSDT"))
    block = compute_published(rows, 9)
    assert (block.symbol, block.volume_unit) == ("ALL", "USD")
    assert any("base units" in note for note in block.notes)
    _assert_matches(asdict(block), _pandas_block(rows, "notional_usd"))


def test_cascades_of_all_are_those_of_its_symbols() -> None:
    symbols = ("A", "B", "C")
    rows = random_liquidations(3, 900, 9 * 3_600_000, symbols)
    assert compute_published(rows, 9).cascades == sum(compute_published(rows, 9, name).cascades for name in symbols)


def _hand_rows() -> pl.DataFrame:
    base = START_MS + 15 * 3_600_000
    events: list[tuple[int, str, float]] = [
        (0, LONG, 1.0),
        (500, SHORT, 1.0),
        (1_500, LONG, 9.0),
        (61_500, SHORT, 9.0),
        (61_500, SHORT, 1.0),
        (3 * MINUTE_MS + 61_501, LONG, 9.0),
    ]
    rows: list[Row] = [("A", base + at, base + at + 300, side, size, 10.0) for at, side, size in events]
    return liquidations_of(rows)


def test_a_tiny_case_by_hand() -> None:
    block = compute_published(_hand_rows(), 1)
    assert (block.events, block.volume, block.notional_usd) == (6, 30.0, 300.0)
    assert block.buy_events_frac == 0.5
    assert block.buy_volume_frac == pytest.approx(19 / 30)
    assert (block.most_active_hour, block.most_active_hour_events) == (15, 6)
    assert (block.least_active_hour, block.least_active_hour_events) == (0, 0)
    # gaps 0.5, 1, 60, 0, 180.001 s: two below a second, of six events
    assert (block.rapid_frac, block.median_gap_s, block.longest_gap_s) == (2 / 6, 1.0, 180.001)
    # the 9s are large; the first two are exactly 60 s apart and tie, the third comes too late
    assert (block.cascades, block.mean_cascade_duration_s, block.mean_cascade_events) == (1, 60.0, 2.0)
    assert (block.mean_cascade_notional_usd, block.buy_cascades_frac) == (180.0, 1.0)
    # minutes 0 (-9/11), 1 (10/10), 4 (-9/9) of 0..4
    assert (block.bars, block.nonempty_bars_frac) == (5, 0.6)
    assert block.imbalance_mean == pytest.approx((-9 / 11 + 1 - 1) / 5)
    assert (block.bars_imbalance_below, block.bars_imbalance_above) == (2, 1)
    assert block.imbalance_autocorrelation == (None, None, None)


def test_order_is_by_event_time_whatever_the_order_of_arrival() -> None:
    rows = _hand_rows()
    assert compute_published(rows.reverse(), 1) == compute_published(rows, 1)


def test_one_event_leaves_undefined_what_needs_two() -> None:
    block = compute_published(_hand_rows().head(1), 1)
    assert (block.events, block.bars, block.cascades, block.rapid_frac) == (1, 1, 0, 0.0)
    assert block.p99_size_usd == 10.0
    assert block.mean_gap_s is block.median_gap_s is block.longest_gap_s is block.imbalance_sd is None
    assert block.mean_cascade_events is block.buy_cascades_frac is None


def test_no_event_at_all_is_a_block_of_zeros_and_nones() -> None:
    block = compute_published(liquidations_of([]), 0, "A")
    assert (block.symbol, block.events, block.notional_usd, block.bars, block.cascades) == ("A", 0, 0.0, 0, 0)
    assert block.mean_size_usd is block.p50_size_usd is block.buy_events_frac is block.most_active_hour is None
    assert block.rapid_frac is block.nonempty_bars_frac is block.imbalance_mean is None
    assert compute_published(liquidations_of([]), 0).symbol == "ALL"


def test_all_at_the_same_time_and_on_one_side() -> None:
    rows = liquidations_of([("A", START_MS, START_MS, SHORT, 1.0, 10.0)] * 4)
    block = compute_published(rows, 1)
    assert (block.rapid_frac, block.longest_gap_s, block.cascades, block.bars) == (0.75, 0.0, 1, 1)
    assert (block.buy_volume_frac, block.buy_cascades_frac, block.imbalance_mean) == (0.0, 0.0, 1.0)


@given(st.integers(0, 10_000), st.integers(1, 60))
def test_shares_are_shares_and_quantiles_ascend(seed: int, n: int) -> None:
    block = asdict(compute_published(random_liquidations(seed, n), 1))
    for name, value in block.items():
        if name.endswith("_frac") and value is not None:
            assert 0 <= value <= 1, name
    sizes = [block[f"p{p}_size_usd"] for p in (50, 75, 90, 95, 99)]
    assert sizes == sorted(sizes)
    assert block["longest_gap_s"] is None or block["longest_gap_s"] >= block["median_gap_s"]
    assert block["bars_imbalance_below"] + block["bars_imbalance_above"] <= block["bars"]


def test_a_symbol_picks_its_rows() -> None:
    rows = random_liquidations(3, 200, 3_600_000, ("A", "B"))
    assert compute_published(rows, 2, "B") == compute_published(rows.filter(pl.col("symbol") == "B"), 2)
    forced = compute_published(rows.filter(pl.col("symbol") == "B"), 2, "ALL")
    assert (forced.symbol, forced.volume_unit) == ("ALL", "USD")
