"""The side check finds swapped sides, and does not find what is not there."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from test_panel_frames import START_MS, Row, liquidations_of, ticker_of

from liqlab.core.errors import ConfigError
from liqlab.core.schema import LONG, SHORT, TICKER
from liqlab.panel import SideCheckConfig, check_sides

STEP_MS = 5_000
HOUR_MS = 3_600_000


def _world(seed: int, impact: float, hours: int = 12, symbol: str = "A") -> tuple[pl.DataFrame, pl.DataFrame]:
    """Random prices that each liquidation moves by `impact` standard deviations of 5 s in the direction of pressure."""
    random = np.random.default_rng(seed)
    n = hours * HOUR_MS // STEP_MS
    steps = random.standard_normal(n)
    rows: list[Row] = []
    for place in np.sort(random.choice(np.arange(30, n - 30), n // 60, replace=False)):
        is_long = bool(random.random() < 0.5)
        steps[place] += -impact if is_long else impact
        known = START_MS + int(place) * STEP_MS - 2_500
        rows.append((symbol, known - 300, known, LONG if is_long else SHORT, 1.0, 100.0))
    prices = 100 * np.exp(1e-4 * steps.cumsum())
    return liquidations_of(rows), ticker_of(symbol, [START_MS + STEP_MS * i for i in range(n)], prices.tolist())


def _swapped(liquidations: pl.DataFrame) -> pl.DataFrame:
    return liquidations.with_columns(
        liquidated_side=pl.when(pl.col("liquidated_side") == LONG).then(pl.lit(SHORT)).otherwise(pl.lit(LONG))
    )


def test_right_sides_are_consistent_and_swapped_ones_contradicted() -> None:
    liquidations, ticker = _world(1, 4.0)
    right, swapped = check_sides(liquidations, ticker), check_sides(_swapped(liquidations), ticker)
    assert right.verdict == "consistent"
    assert swapped.verdict == "contradicted"
    assert "swapped" in swapped.reason
    assert right.t is not None
    assert right.mean_bps is not None
    assert swapped.t == pytest.approx(-right.t)
    assert swapped.mean_bps == pytest.approx(-right.mean_bps)
    assert right.events == liquidations.height
    assert right.events_used == liquidations.height


def test_where_liquidations_move_nothing_it_stays_undecided() -> None:
    verdicts = [check_sides(*_world(seed, 0.0)).verdict for seed in range(20)]
    assert verdicts.count("undecided") >= 19


def test_one_burst_of_any_size_is_one_block_and_decides_nothing() -> None:
    liquidations, ticker = _world(2, 4.0)
    burst = pl.concat([liquidations.filter(pl.col("liquidated_side") == SHORT).head(1)] * 500)
    check = check_sides(burst, ticker)
    assert (check.verdict, check.blocks, check.events_used) == ("undecided", 1, 500)
    assert "20 needed" in check.reason
    assert check.t is None


def test_symbols_that_move_together_count_as_one_block_not_two() -> None:
    liquidations, ticker = _world(3, 0.5)
    twins = pl.concat([liquidations, liquidations.with_columns(symbol=pl.lit("B"))])
    prices = pl.concat([ticker, ticker.with_columns(symbol=pl.lit("B"))])
    alone, together = check_sides(liquidations, ticker), check_sides(twins, prices)
    assert together.blocks == alone.blocks
    assert together.t == pytest.approx(alone.t)


def test_moves_are_measured_across_the_window_from_prices_known_then() -> None:
    known = [START_MS + HOUR_MS + 600_000 * index for index in range(20)]
    liquidations = liquidations_of([("A", at, at, LONG, 1.0, 1.0) for at in known])
    times, prices = [], []
    for index, at in enumerate(known):
        times += [at - 60_001, at - 60_000, at, at + 59_999, at + 60_000]
        prices += [50.0, 100.0, 70.0, 60.0, 99.0 - index / 100]
    check = check_sides(liquidations, ticker_of("A", times, prices), ticker_interval_ms={"A": 5_000})
    assert check.mean_bps == pytest.approx(np.mean([100 + index for index in range(20)]))
    assert (check.window_s, check.block_s, check.blocks) == (60.0, 300.0, 20)
    assert check.verdict == "consistent"


def test_coarse_tickers_widen_window_and_blocks() -> None:
    liquidations, ticker = _world(4, 4.0)
    coarse = ticker.gather_every(60)
    check = check_sides(liquidations, coarse)
    assert (check.window_s, check.block_s) == (300.0, 600.0)
    assert check.blocks >= 20


def test_events_without_prices_near_are_left_out() -> None:
    liquidations, ticker = _world(5, 4.0)
    cut = START_MS + 6 * HOUR_MS
    check = check_sides(liquidations, ticker.filter(pl.col("known_time").to_physical() < cut))
    assert 0 < check.events_used < check.events
    assert check.events_used == liquidations.filter(pl.col("known_time").to_physical() <= cut - 65_000).height


@pytest.mark.parametrize("liquidations", [_world(6, 1.0)[0], liquidations_of([])])
def test_without_prices_or_liquidations_it_is_undecided_and_says_why(liquidations: pl.DataFrame) -> None:
    check = check_sides(liquidations, TICKER.empty())
    assert (check.verdict, check.events_used, check.mean_bps, check.t) == ("undecided", 0, None, None)
    assert check.reason == "no ticker prices of a liquidated symbol"


def test_a_symbol_without_ticker_does_not_hinder_the_others() -> None:
    liquidations, ticker = _world(7, 4.0)
    more = pl.concat([liquidations, liquidations.with_columns(symbol=pl.lit("B"))])
    check = check_sides(more, ticker)
    assert check.verdict == "consistent"
    assert check.events == 2 * check.events_used


def test_a_threshold_out_of_range_is_named() -> None:
    with pytest.raises(ConfigError, match="minimum_blocks"):
        SideCheckConfig(minimum_blocks=1)
