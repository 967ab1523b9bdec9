"""Moves after large liquidations start from a price observed afterwards, or are reported as not testable."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from test_panel_frames import START_MS, liquidations_of, random_liquidations, ticker_of

from liqlab.core.schema import LONG, TICKER
from liqlab.panel import PriceMove, compute_price_moves


def _by_horizon(moves: tuple[PriceMove, ...]) -> dict[float, PriceMove]:
    return {move.horizon_s: move for move in moves}


def _one_event(known_ms: int) -> pl.DataFrame:
    return liquidations_of([("A", known_ms - 300, known_ms, LONG, 1.0, 1.0)])


def test_both_prices_are_the_first_known_at_or_after_their_moment() -> None:
    known = [START_MS + 5_000 * row for row in range(20)]
    ticker = ticker_of("A", known, [100.0 + row for row in range(20)])
    moves = _by_horizon(compute_price_moves(_one_event(START_MS + 5_001), ticker))
    # from 102 (known at 10 s), first price at or after 10.001 s: 103, 15.001 s: 104, 35.001 s: 108, 65.001 s: 114
    for horizon, price in ((5.0, 103), (10.0, 104), (30.0, 108), (60.0, 114)):
        assert moves[horizon].median_bps == pytest.approx(1e4 * (price / 102 - 1))
        assert moves[horizon].events == 1


def test_a_price_known_together_with_the_event_counts() -> None:
    ticker = ticker_of("A", [START_MS + 5_000 * row for row in range(20)], [100.0 + row for row in range(20)])
    moves = _by_horizon(compute_price_moves(_one_event(START_MS + 5_000), ticker))
    assert moves[5.0].median_bps == pytest.approx(1e4 * (102 / 101 - 1))


def test_a_horizon_below_the_ticker_interval_is_not_testable_and_says_why() -> None:
    ticker = ticker_of("A", [START_MS + 300_000 * row for row in range(9)], [100.0] * 9)
    moves = compute_price_moves(_one_event(START_MS), ticker)
    assert [move.median_bps for move in moves] == [None] * 6
    assert moves[0].reason == "ticker prices come every 300 s: too coarse for 0.5 s"
    finer = ticker_of("A", [START_MS + 30_000 * row for row in range(9)], [100.0] * 9)
    assert [move.reason is None for move in compute_price_moves(_one_event(START_MS), finer)] == [False] * 4 + [
        True
    ] * 2


def test_a_price_beyond_three_intervals_leaves_the_event_out() -> None:
    known = [START_MS + at for at in (0, 5_000, 10_000, 15_000, 20_000, 90_000)]
    moves = _by_horizon(compute_price_moves(_one_event(START_MS + 15_000), ticker_of("A", known, [100.0] * 6)))
    assert moves[5.0].events == 1
    assert moves[10.0].reason == "no large liquidation with a price at both ends"
    assert moves[60.0].events == 1


def test_without_ticker_or_liquidations_nothing_is_testable() -> None:
    assert {move.reason for move in compute_price_moves(_one_event(START_MS), TICKER.empty())} == {"no ticker prices"}
    assert {move.reason for move in compute_price_moves(liquidations_of([]), TICKER.empty())} == {"no liquidations"}


def test_moves_agree_with_a_loop_over_events_and_pool_the_symbols() -> None:
    symbols = ("A", "B")
    liquidations = random_liquidations(5, 400, 3_600_000, symbols)
    random = np.random.default_rng(5)
    known = np.arange(START_MS - 10_000, START_MS + 3_700_000, 900)
    paths = {name: (100 * np.exp(1e-4 * random.standard_normal(known.size).cumsum())).tolist() for name in symbols}
    ticker = pl.concat([ticker_of(name, known.tolist(), paths[name]) for name in symbols])
    expected: dict[float, list[float]] = {}
    for name in symbols:
        rows = liquidations.filter(pl.col("symbol") == name)
        threshold = float(np.quantile(rows["quantity"], 0.95))
        for event in rows.filter(pl.col("quantity") >= threshold)["known_time"].to_physical():
            for horizon in (1.0, 5.0, 60.0):
                start, end = (next(i for i, t in enumerate(known) if t >= event + h) for h in (0, horizon * 1_000))
                expected.setdefault(horizon, []).append(abs(paths[name][end] / paths[name][start] - 1) * 1e4)
    moves = _by_horizon(compute_price_moves(liquidations, ticker))
    for horizon, values in expected.items():
        assert moves[horizon].events == len(values)
        assert moves[horizon].median_bps == pytest.approx(np.median(values))
        assert moves[horizon].mean_bps == pytest.approx(np.mean(values))
        assert moves[horizon].p95_bps == pytest.approx(np.quantile(values, 0.95))
    assert moves[0.5].reason == "ticker prices come every 0.9 s: too coarse for 0.5 s"
