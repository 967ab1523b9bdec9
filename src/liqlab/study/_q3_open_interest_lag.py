"""Does the price move first, or the liquidations? The lag at which they go together most, with an interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from liqlab.core.schema import LONG
from liqlab.core.time import MS_PER_S
from liqlab.study._evidence import Evidence, SymbolEvidence
from liqlab.study._inference import BlockInference, QuestionConfig, infer_from_influence, infer_mean

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

_BPS = 1e4
_LONGEST_LAG_S = 60
#: An interval longer than so many typical ones is a gap.
_GAP_INTERVALS = 1.5
#: Tickers whose intervals differ by more than this share are not put on one scale of lags.
_LIKE_INTERVAL_FRAC = 0.2


@dataclass(frozen=True)
class TickerIntervals:
    """What happened between each ticker price and the one before: arrays of shape (n,).

    `return_bps` is NaN, and `pressure_usd` (signed liquidated notional by event time) zero, across a gap; rows with the
    same `segment` have no gap between them. Both are square roots with their sign, in units of their root mean square:
    in plain products a few large liquidations decide, and nine days do not tell the lag.
    """

    known_ms: Integers
    return_bps: Floats
    pressure_usd: Floats
    segment: Integers
    n_liquidations: int


@dataclass(frozen=True)
class PriceLag:
    """The lag of liquidations behind the price in seconds; positive: the price came first.

    `lags_s` and `correlation` (2 L + 1,) are the pooled cross-correlation. `vertex_s` is that of the parabola through
    the highest correlation and its neighbours, NaN where there is none inside, and `influence` (n,) at `known_ms` is
    that of each ticker interval on it; `peak_products` (n,) average to the highest correlation.
    """

    lags_s: Floats
    correlation: Floats
    vertex_s: float
    known_ms: Integers
    influence: Floats
    peak_products: Floats
    step_s: float
    n_liquidations: int

    def infer(self, config: QuestionConfig, null_s: float) -> BlockInference:
        """The vertex with interval and p against `null_s`."""
        if not np.isfinite(self.vertex_s):
            return BlockInference.unknown()
        horizon_ms = round(2.0 * self.step_s * MS_PER_S)
        return infer_from_influence(self.known_ms, self.influence, self.vertex_s, horizon_ms, config, null_s)

    def has_peak(self, config: QuestionConfig) -> bool:
        """Whether the highest correlation is above zero beyond chance."""
        found = infer_mean(self.known_ms, self.peak_products, round(self.step_s * MS_PER_S), config)
        return bool(found.ci_low > 0.0)


def choose_alike(evidence: Evidence, symbols: Sequence[str]) -> list[str]:
    """Those of the symbols with about the median ticker interval and a liquidation."""
    busy = [name for name in symbols if evidence.symbols[name].liquidations.height]
    if not busy:
        return []
    intervals = np.array([evidence.symbols[name].ticker_interval_s for name in busy])
    middle = float(np.median(intervals))
    near = np.abs(intervals - middle) <= _LIKE_INTERVAL_FRAC * middle
    return [name for name, alike in zip(busy, near, strict=True) if alike]


def measure_intervals(symbol: SymbolEvidence) -> TickerIntervals:
    """A symbol's ticker intervals; a liquidation belongs to the interval in which it happened, its right end included.

    A liquidated long presses the price down, a liquidated short up.
    """
    known, price = symbol.prices.known_ms, symbol.prices.price
    returns = np.full(len(known), np.nan)
    returns[1:] = _BPS * np.diff(np.log(price))
    gap = np.diff(known, prepend=known[:1]) > _GAP_INTERVALS * (symbol.ticker_interval_ms or 0)
    gap[:1] = True
    rows = symbol.liquidations
    sign = np.where((rows["liquidated_side"] == LONG).to_numpy(), -1.0, 1.0)
    place = np.searchsorted(known, rows["event_time"].to_physical().to_numpy(), side="left")
    inside = place < len(known)
    inside[inside] = ~gap[place[inside]]
    pressure = np.bincount(place[inside], (sign * rows["notional_usd"].to_numpy())[inside], len(known)).astype(
        np.float64
    )
    returns[gap] = np.nan
    return TickerIntervals(known, _scale(returns), _scale(pressure), np.cumsum(gap), int(inside.sum()))


def measure_lag(evidence: Evidence, symbols: Sequence[str]) -> PriceLag:
    """The pooled cross-correlation of pressure with returns and its vertex; `symbols` from `choose_alike`."""
    intervals = [measure_intervals(evidence.symbols[name]) for name in symbols]
    step_s = float(np.median([evidence.symbols[name].ticker_interval_s for name in symbols])) if symbols else 1.0
    n_lags = max(2, int(_LONGEST_LAG_S / step_s))
    lags = np.arange(-n_lags, n_lags + 1)
    totals = np.zeros((2, len(lags)))
    for own in intervals:
        for column, lag in enumerate(lags.tolist()):
            products, known = _multiply(own, lag)
            totals[:, column] += products.sum(), known.sum()
    correlation = np.divide(totals[0], totals[1], out=np.zeros(len(lags)), where=totals[1] > 0.0)
    times = np.concatenate([np.empty(0, np.int64), *(own.known_ms for own in intervals)])
    peak = int(np.argmax(correlation))
    vertex, influence, products = _find_vertex(intervals, lags, correlation, peak)
    return PriceLag(
        lags.astype(np.float64) * step_s,
        correlation,
        vertex * step_s,
        times,
        influence * step_s,
        products,
        step_s,
        sum(own.n_liquidations for own in intervals),
    )


def _find_vertex(
    intervals: Sequence[TickerIntervals], lags: Integers, correlation: Floats, peak: int
) -> tuple[float, Floats, Floats]:
    """Vertex in steps, its influence, and the products at the peak, of all intervals one after the other.

    With correlations a, b, c at lags k - 1, k, k + 1 the vertex is k + (a - c) / 2 / (a - 2 b + c).
    """
    n = sum(len(own.known_ms) for own in intervals)
    if not 0 < peak < len(lags) - 1:
        return float("nan"), np.full(n, np.nan), np.full(n, np.nan)
    a, b, c = correlation[peak - 1 : peak + 2]
    bend = a - 2.0 * b + c
    if not bend < 0.0:
        return float("nan"), np.full(n, np.nan), np.full(n, np.nan)
    lean = a - c
    slopes = np.array([bend - lean, 2.0 * lean, -bend - lean]) / (2.0 * bend * bend)
    influence, at_peak = np.zeros(n), np.zeros(n)
    for column, slope in enumerate(slopes):
        place = peak - 1 + column
        parts = [_multiply(own, int(lags[place])) for own in intervals]
        products, known = (np.concatenate(both) for both in zip(*parts, strict=True))
        share = known.mean()
        influence += slope * np.where(known, products - correlation[place], 0.0) / share
        if place == peak:
            at_peak = np.where(known, products, np.nan)
    return float(lags[peak] + lean / (2.0 * bend)), influence, at_peak


def _multiply(own: TickerIntervals, lag: int) -> tuple[Floats, Booleans]:
    """Pressure at each interval times the return `lag` intervals before, and where both are known; (n,)."""
    n = len(own.known_ms)
    products, known = np.zeros(n), np.zeros(n, dtype=bool)
    if abs(lag) >= n:
        return products, known
    rows = slice(max(lag, 0), n + min(lag, 0))
    others = slice(max(-lag, 0), n - max(lag, 0))
    product = own.pressure_usd[rows] * own.return_bps[others]
    known[rows] = np.isfinite(product) & (own.segment[rows] == own.segment[others])
    products[rows] = np.where(known[rows], product, 0.0)
    return products, known


def _scale(values: Floats) -> Floats:
    """Square roots with their sign, in units of their root mean square; zeros stay zeros."""
    roots = np.sign(values) * np.sqrt(np.abs(values))
    known = roots[np.isfinite(roots)]
    size = float(np.sqrt((known**2).mean())) if known.size else 0.0
    return np.asarray(roots / size if size > 0.0 else roots)
