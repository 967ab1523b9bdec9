"""How liquid the market of a symbol is at each moment, against its own last three days."""

from __future__ import annotations

import numpy as np
import polars as pl

from liqlab.study._evidence import STEP_MS, STEPS_PER_MINUTE, Floats, Integers, SymbolEvidence

#: Names of the three states, by code; -1 is unknown.
LIQUIDITY = ("deep", "middle", "thin")
_BPS = 1e4
_WINDOW_MIN = 5
_TRAILING_BINS, _LEAST_BINS = 3 * 288, 288


def measure_cost(symbol: SymbolEvidence) -> Floats:
    """What the best prices cost on the grid (n,): spread in bps over the USD at the best bid and ask.

    Where the spread is a single tick, as in large markets, the size tells; where it varies, both do. Without sizes it
    is the spread alone, without bid and ask prices one over the size (at the ticker price); NaN without either. What
    there is in less than half of the priced rows counts as missing.
    """
    grid = symbol.grid
    bid, ask = grid["bid_price"], grid["ask_price"]
    spread = np.where((bid > 0.0) & (ask > bid), _BPS * (ask - bid) / symbol.price, np.nan)
    usd = (grid["bid_size"] + grid["ask_size"]) * symbol.price
    usd = np.where(usd > 0.0, usd, np.nan)
    enough = 0.5 * np.isfinite(symbol.price).sum()
    has_spread, has_size = np.isfinite(spread).sum() > enough, np.isfinite(usd).sum() > enough
    if has_spread and has_size:
        return np.asarray(spread / usd)
    if has_spread or has_size:
        return spread if has_spread else 1.0 / usd
    return np.full(symbol.price.shape, np.nan)


def is_thin(symbol: SymbolEvidence, times_ms: Integers) -> Floats:
    """1 where the cost, median of the last 5 min, is above its trailing 3-day median; 0 where not, NaN where unknown.

    Unknown is the first day.
    """
    now, (middle,) = _compare(symbol, times_ms, (0.5,))
    return np.where(np.isfinite(now + middle), (now > middle).astype(np.float64), np.nan)


def rank_liquidity(symbol: SymbolEvidence, times_ms: Integers) -> Integers:
    """Codes of `LIQUIDITY` by trailing 3-day terciles of the cost; -1 where unknown."""
    now, (low, high) = _compare(symbol, times_ms, (1.0 / 3.0, 2.0 / 3.0))
    known = np.isfinite(now + low + high)
    return np.where(known, (now > low).astype(np.int64) + (now > high), -1)


def _compare(symbol: SymbolEvidence, times_ms: Integers, quantiles: tuple[float, ...]) -> tuple[Floats, list[Floats]]:
    """The cost of the last 5 min, and trailing quantiles of it by full 5 min that are over, at each time."""
    cost, steps = measure_cost(symbol), _WINDOW_MIN * STEPS_PER_MINUTE
    ends = np.flatnonzero(symbol.times_ms % (steps * STEP_MS) == 0)
    bins = pl.Series(_median_before(cost, ends, steps)).fill_nan(None)
    place = np.searchsorted(symbol.times_ms[ends], times_ms, side="right")
    limits = []
    for quantile in quantiles:
        trailing = bins.rolling_quantile(quantile, "linear", _TRAILING_BINS, min_samples=_LEAST_BINS)
        limits.append(np.concatenate([[np.nan], trailing.fill_null(float("nan")).to_numpy()])[place])
    return _median_before(cost, symbol.rows_at(times_ms), steps), limits


def _median_before(values: Floats, rows: Integers, steps: int) -> Floats:
    """The median of the `steps` values up to each row, that included; NaN where fewer than half of them are known."""
    padded = np.concatenate([np.full(steps, np.nan), values])
    ordered = np.sort(padded[rows[:, None] + 1 + np.arange(steps)], axis=1)
    count = np.isfinite(ordered).sum(axis=1)
    middle = np.stack([np.maximum(count - 1, 0) // 2, count // 2], axis=1)
    found = np.take_along_axis(ordered, np.minimum(middle, steps - 1), axis=1).mean(axis=1)
    return np.where(2 * count >= steps, found, np.nan)
