"""Do ticker prices agree with the sides? They must on average fall around liquidated longs and rise around shorts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.core.config import bounded, check_bounds
from liqlab.core.schema import SHORT
from liqlab.core.time import MS_PER_S
from liqlab.panel._prices import INTERVALS_PER_TOLERANCE, PriceSeries, measure_ticker_interval_ms
from liqlab.panel._published import defined
from liqlab.stats import cluster_mean_t

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

CONSISTENT = "consistent"
CONTRADICTED = "contradicted"
UNDECIDED = "undecided"


@dataclass(frozen=True)
class SideCheckConfig:
    """The least window and block of the side check, and what it takes to decide."""

    window_s: float = bounded(60.0, 1.0, 86_400.0)
    block_s: float = bounded(300.0, 1.0, 604_800.0)
    price_tolerance_s: float = bounded(15.0, 0.0, 86_400.0)
    minimum_blocks: int = bounded(20, 2)
    t_threshold: float = bounded(3.0, 0.0, 100.0)

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class SideCheck:
    """The verdict (`consistent`, `contradicted`, `undecided`) and what it rests on; None where undefined."""

    verdict: str
    reason: str
    mean_bps: float | None
    standard_error_bps: float | None
    t: float | None
    blocks: int
    events_used: int
    events: int
    window_s: float
    block_s: float


def check_sides(
    liquidations: pl.DataFrame,
    ticker: pl.DataFrame,
    config: SideCheckConfig | None = None,
    ticker_interval_ms: Mapping[str, int | None] | None = None,
) -> SideCheck:
    """Test the sides of `liquidations` against ticker prices (mark, else last) of the same symbols.

    For each liquidation, known at k, with pressure -1 for a liquidated long and +1 for a short:
    move = 10,000 pressure (b / a - 1), a the last price known at or before k - w, b the first known at or after k + w,
    w the larger of `window_s` and one typical ticker interval. Prices further away than the larger of
    `price_tolerance_s` and three ticker intervals leave the event out. Liquidations cluster, so the moves are averaged
    within each symbol and block of the larger of `block_s` and 2 w, and the t of the mean of those averages has errors
    clustered by block over simultaneous symbols. Null hypothesis: price moves around liquidations have nothing to do
    with the side. `contradicted` (t < -`t_threshold`) means that the sides are most likely swapped at the source.

    `ticker_interval_ms` by symbol, else measured on `ticker`, which needs only symbol, known_time, mark_price and
    last_price.
    """
    config = config or SideCheckConfig()
    intervals = _intervals(liquidations, ticker, ticker_interval_ms)
    longest_ms = max(intervals.values(), default=0)
    window_ms = max(round(config.window_s * MS_PER_S), longest_ms)
    block_ms = max(round(config.block_s * MS_PER_S), 2 * window_ms)
    moves = pl.concat(
        [
            _moves_of_symbol(liquidations, ticker, symbol, window_ms, _tolerance_ms(config, interval))
            for symbol, interval in sorted(intervals.items())
        ]
        or [_moves_frame("", np.empty(0, dtype=np.int64), np.empty(0))]
    )
    averages = (
        moves.with_columns(block=pl.col("known_ms") // block_ms)
        .group_by("symbol", "block", maintain_order=True)
        .agg(pl.col("move_bps").mean())
    )
    result = cluster_mean_t(averages["move_bps"].to_numpy(), averages["block"].to_numpy())
    verdict, reason = _judge(config, result.n_clusters, result.t, bool(intervals))
    return SideCheck(
        verdict=verdict,
        reason=reason,
        mean_bps=defined(result.mean),
        standard_error_bps=defined(result.standard_error),
        t=defined(result.t),
        blocks=result.n_clusters,
        events_used=moves.height,
        events=liquidations.height,
        window_s=window_ms / MS_PER_S,
        block_s=block_ms / MS_PER_S,
    )


def _intervals(
    liquidations: pl.DataFrame, ticker: pl.DataFrame, given: Mapping[str, int | None] | None
) -> dict[str, int]:
    """The typical ticker interval of each liquidated symbol that has one."""
    intervals: dict[str, int] = {}
    for symbol in liquidations["symbol"].unique().sort():
        measured = (
            measure_ticker_interval_ms(ticker.filter(pl.col("symbol") == symbol))
            if given is None
            else given.get(symbol)
        )
        if measured is not None:
            intervals[symbol] = measured
    return intervals


def _tolerance_ms(config: SideCheckConfig, interval_ms: int) -> int:
    return max(round(config.price_tolerance_s * MS_PER_S), INTERVALS_PER_TOLERANCE * interval_ms)


def _moves_of_symbol(
    liquidations: pl.DataFrame, ticker: pl.DataFrame, symbol: str, window_ms: int, tolerance_ms: int
) -> pl.DataFrame:
    rows = liquidations.filter(pl.col("symbol") == symbol)
    prices = PriceSeries.from_ticker(ticker.filter(pl.col("symbol") == symbol))
    known_ms = rows["known_time"].to_physical().to_numpy()
    pressure = np.where((rows["liquidated_side"] == SHORT).to_numpy(), 1.0, -1.0)
    before = prices.last_known(known_ms - window_ms, tolerance_ms)
    after = prices.first_from(known_ms + window_ms, tolerance_ms)
    move_bps = 1e4 * pressure * (after / before - 1.0)
    priced = ~np.isnan(move_bps)
    return _moves_frame(symbol, known_ms[priced], move_bps[priced])


def _moves_frame(symbol: str, known_ms: IntArray, move_bps: FloatArray) -> pl.DataFrame:
    return pl.DataFrame({"known_ms": known_ms, "move_bps": move_bps}).with_columns(symbol=pl.lit(symbol))


def _judge(config: SideCheckConfig, blocks: int, t: float, has_prices: bool) -> tuple[str, str]:
    if not has_prices:
        return UNDECIDED, "no ticker prices of a liquidated symbol"
    if blocks < config.minimum_blocks:
        return UNDECIDED, f"only {blocks} blocks of time hold a liquidation with prices, {config.minimum_blocks} needed"
    if t < -config.t_threshold:
        return CONTRADICTED, "prices rise around liquidated longs and fall around shorts: the sides look swapped"
    if t > config.t_threshold:
        return CONSISTENT, "prices fall around liquidated longs and rise around liquidated shorts"
    return UNDECIDED, f"the mean signed move lies within {config.t_threshold:g} standard errors of zero"
