"""How far the ticker price had moved some seconds after a large liquidation, up or down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.core.time import MS_PER_S
from liqlab.panel._prices import INTERVALS_PER_TOLERANCE, PriceSeries, measure_ticker_interval_ms
from liqlab.panel._published import defined, large_threshold, mean_or_none
from liqlab.stats import linear_quantile

FloatArray = npt.NDArray[np.float64]

HORIZONS_S = (0.5, 1.0, 5.0, 10.0, 30.0, 60.0)


@dataclass(frozen=True)
class PriceMove:
    """Absolute moves in bps over one horizon. `reason` says why there are none; then the numbers are None."""

    horizon_s: float
    events: int
    median_bps: float | None
    mean_bps: float | None
    p95_bps: float | None
    reason: str | None


def compute_price_moves(
    liquidations: pl.DataFrame,
    ticker: pl.DataFrame,
    ticker_interval_ms: Mapping[str, int | None] | None = None,
) -> tuple[PriceMove, ...]:
    """Absolute moves after large liquidations at 0.5, 1, 5, 10, 30 and 60 s, pooled over the symbols given.

    move = 10,000 |b / a - 1|, where a is the first ticker price (mark, else last) known at or after the liquidation's
    known_time and b the first known at or after known_time + horizon. Large: quantity at or above the 95th percentile
    of the symbol's whole sample, as in the published table. A price later than three typical ticker intervals
    (`ticker_interval_ms` by symbol, else measured on `ticker`) leaves the event out. A horizon below the ticker
    interval is not testable: prices that coarse cannot show it. `ticker` needs only symbol, known_time, mark_price and
    last_price.
    """
    found: list[Mapping[float, FloatArray | str]] = []
    for (symbol,), rows in sorted(liquidations.partition_by("symbol", as_dict=True).items()):
        prices = ticker.filter(pl.col("symbol") == symbol)
        interval = measure_ticker_interval_ms(prices) if ticker_interval_ms is None else ticker_interval_ms.get(symbol)
        found.append(_moves_of_symbol(rows, prices, interval))
    return tuple(_summarise(horizon, [moves[horizon] for moves in found]) for horizon in HORIZONS_S)


def _moves_of_symbol(
    liquidations: pl.DataFrame, ticker: pl.DataFrame, interval_ms: int | None
) -> Mapping[float, FloatArray | str]:
    """For each horizon the moves, or the reason why it is not testable."""
    prices = PriceSeries.from_ticker(ticker)
    if interval_ms is None or not len(prices.known_ms):
        return dict.fromkeys(HORIZONS_S, "no ticker prices")
    quantity = liquidations["quantity"].to_numpy()
    times = liquidations["known_time"].to_physical().to_numpy()[quantity >= large_threshold(quantity)]
    tolerance_ms = INTERVALS_PER_TOLERANCE * interval_ms
    start = prices.first_from(times, tolerance_ms)
    moves: dict[float, FloatArray | str] = {}
    for horizon_s in HORIZONS_S:
        horizon_ms = round(horizon_s * MS_PER_S)
        if horizon_ms < interval_ms:
            moves[horizon_s] = (
                f"ticker prices come every {interval_ms / MS_PER_S:.3g} s: too coarse for {horizon_s:g} s"
            )
            continue
        move = 1e4 * np.abs(prices.first_from(times + horizon_ms, tolerance_ms) / start - 1.0)
        moves[horizon_s] = move[~np.isnan(move)]
    return moves


def _summarise(horizon_s: float, found: list[FloatArray | str]) -> PriceMove:
    measured = [moves for moves in found if not isinstance(moves, str)]
    moves = np.concatenate([np.empty(0), *measured])
    reason = None
    if not moves.size:
        reasons = dict.fromkeys(moves for moves in found if isinstance(moves, str))
        reason = "no large liquidation with a price at both ends" if measured else "; ".join(reasons)
        reason = reason or "no liquidations"
    return PriceMove(
        horizon_s=horizon_s,
        events=moves.size,
        median_bps=defined(linear_quantile(moves, 0.5)),
        mean_bps=mean_or_none(moves),
        p95_bps=defined(linear_quantile(moves, 0.95)),
        reason=reason,
    )
