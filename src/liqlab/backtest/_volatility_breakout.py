"""Strategy 4, `volatility_breakout`: go with the price when liquidations suddenly come fast.

Entry: on the 5-second grid, the bar at which the liquidation rate (events in the last minute) comes to lie more than
`threshold_sigma` (the plan's 3) trailing standard deviations above its trailing mean, with at least `min_events` in the
minute: at the crossing. Mean and standard deviation are over the `baseline_min` that ended a minute before, so that the
spike is not measured against itself; against a baseline that never varied nothing can be told.

Direction: that of the price over the last `move_min` minutes, from the last price known then to the last one known now.
Where either is unknown or stale, or the price has moved less than `least_move_bps` (or not at all), there is no trade.

Exit: `normal` when the rate is back at `exit_sigma` above the trailing mean; else after `timeout_min`.

Stop: the price reverses: `stop_frac` from the entry, or `trail_frac` from the best price since.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liqlab.backtest._inputs import Bars, MarketInputs, SymbolInputs
from liqlab.backtest._orders import NEVER, Orders
from liqlab.backtest._signals import (
    FILL_SLACK_MS,
    Booleans,
    Columns,
    Floats,
    Integers,
    find_edges,
    find_next,
    find_ready,
    gather_orders,
    hide_uncovered,
    join_signals,
    off_at_zero,
    rows_of,
    sum_covered,
    time_of,
)
from liqlab.core.config import bounded, check_bounds
from liqlab.core.time import MS_PER_MINUTE
from liqlab.stats import rolling_moments

_BPS = 1e4
_RATE_MIN = 1.0


@dataclass(frozen=True)
class VolatilityBreakoutParameters:
    """What `volatility_breakout` trades; the threshold is the plan's.

    `threshold_sigma`, `min_events`, `baseline_min` (60: an hour; 1,440: a day), `move_min`, `least_move_bps`,
    `exit_sigma`, `timeout_min`: see the module. `stop_frac`, `trail_frac`: 0 for none.
    """

    threshold_sigma: float = bounded(3.0, 0.5, 50.0)
    baseline_min: float = bounded(60.0, 5.0, 10_080.0)
    min_events: int = bounded(5, 1, 100_000)
    move_min: float = bounded(1.0, 0.1, 240.0)
    least_move_bps: float = bounded(0.0, 0.0, 1_000.0)
    exit_sigma: float = bounded(1.0, -5.0, 50.0)
    timeout_min: float = bounded(60.0, 1.0, 1_440.0)
    stop_frac: float = bounded(0.005, 0.0, 0.5)
    trail_frac: float = bounded(0.0, 0.0, 0.5)

    def __post_init__(self) -> None:
        check_bounds(self)


class VolatilityBreakout:
    """Strategy 4 of the plan; see the module."""

    name = "volatility_breakout"
    description = "With the price when liquidations come over 3 sigma faster than usual, out when the rate is normal"
    Parameters = VolatilityBreakoutParameters
    default = VolatilityBreakoutParameters()
    scaled = VolatilityBreakoutParameters(min_events=3)

    def decide(self, inputs: MarketInputs, parameters: VolatilityBreakoutParameters) -> Orders:
        """One order per burst of liquidations during which the price moved."""
        return gather_orders(inputs, {name: _decide(one, parameters) for name, one in inputs.symbols.items()})


@dataclass(frozen=True)
class _Rate:
    """On the grid: events per minute, its mean and standard deviation before; arrays of shape (n,)."""

    is_ready: Booleans
    now: Floats
    mean: Floats
    std: Floats

    def exceeds(self, sigma: float) -> Booleans:
        above: Booleans = self.now > self.mean + sigma * self.std
        return above


def _measure(bars: Bars, baseline_min: float) -> _Rate:
    minute, rows = rows_of(_RATE_MIN), rows_of(baseline_min)
    is_heard = find_ready(bars.covered, minute)
    rate = hide_uncovered(sum_covered(bars.count, bars.covered, minute), is_heard)
    moments = rolling_moments(rate, rows)
    unknown = np.full(minute, np.nan)
    mean, std = (np.concatenate([unknown, column])[: len(rate)] for column in (moments.mean, moments.std))
    is_known = find_ready(bars.covered, rows) & is_heard & (std > 0.0)
    return _Rate(is_known, rate, mean, std)


def _decide(inputs: SymbolInputs, parameters: VolatilityBreakoutParameters) -> Columns:
    bars = inputs.bars
    rate = _measure(bars, parameters.baseline_min)
    holds = rate.exceeds(parameters.threshold_sigma) & (rate.now >= parameters.min_events)
    rows = find_edges(holds, rate.is_ready)
    moved = _measure_moves(inputs, bars.times_ms[rows], parameters.move_min)
    is_moving = (np.abs(moved) * _BPS >= parameters.least_move_bps) & (moved != 0.0) & ~np.isnan(moved)
    rows, side = rows[is_moving], np.sign(moved[is_moving])
    is_normal = bars.covered & (rate.now <= rate.mean + parameters.exit_sigma * rate.std)
    normal_ms = time_of(bars.times_ms, find_next(is_normal, rows))
    decision_ms, timeout_ms = bars.times_ms[rows], round(parameters.timeout_min * MS_PER_MINUTE)
    signal_ms, signal = join_signals(normal_ms, np.full(len(rows), NEVER), decision_ms + timeout_ms + FILL_SLACK_MS)
    return {
        "decision_ms": decision_ms,
        "side": side,
        "stop_frac": off_at_zero(parameters.stop_frac),
        "trail_frac": off_at_zero(parameters.trail_frac),
        "timeout_ms": timeout_ms,
        "exit_signal_ms": signal_ms,
        "exit_signal": signal,
    }


def _measure_moves(inputs: SymbolInputs, times_ms: Integers, minutes: float) -> Floats:
    """The return up to each time over the minutes before it; NaN where either price is unknown."""
    before = inputs.price_at(times_ms - round(minutes * MS_PER_MINUTE))
    return inputs.price_at(times_ms) / before - 1.0
