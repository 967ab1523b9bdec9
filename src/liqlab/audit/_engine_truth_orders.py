"""Strategies that toss coins: every kind of order that the engine knows, on any market."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from liqlab.backtest import NEVER, ExecutionConfig, FillModel, LatencyModel, MarketInputs, Orders, PositionLimits
from liqlab.core.time import MS_PER_MINUTE

Floats = npt.NDArray[np.float64]

_BPS = 1e-4
#: How far stops, targets and trails lie from the price, in bps.
_NEAREST_BPS, _FARTHEST_BPS = 5.0, 60.0
_TWO_POSITIONS = PositionLimits(max_positions=2, cooldown_s=0.0)


@dataclass(frozen=True)
class RandomStrategy:
    """Which kinds of orders are drawn, and how they are executed."""

    name: str
    limit: bool = False
    stop: bool = False
    target: bool = False
    trail: bool = False
    partial: bool = False
    signal: bool = False
    execution: ExecutionConfig = field(default_factory=lambda: ExecutionConfig(limits=_TWO_POSITIONS))


_AT_ONCE = ExecutionConfig(LatencyModel(0.0), limits=_TWO_POSITIONS)
_IN_A_QUEUE = ExecutionConfig(fills=FillModel(queue_ahead_usd=50_000.0), limits=_TWO_POSITIONS)

_EVERYTHING = RandomStrategy("", limit=True, stop=True, target=True, trail=True, partial=True, signal=True)

RANDOM_STRATEGIES: tuple[RandomStrategy, ...] = (
    RandomStrategy("market, timeout"),
    RandomStrategy("market, stop, target, timeout", stop=True, target=True),
    RandomStrategy("market, trailing stop, timeout", trail=True),
    RandomStrategy("market, stop, partial target, trail, timeout", stop=True, target=True, trail=True, partial=True),
    RandomStrategy("limit, timeout", limit=True),
    RandomStrategy("limit, stop, target, exit signal, timeout", limit=True, stop=True, target=True, signal=True),
    replace(_EVERYTHING, name="limit, everything, no delay", execution=_AT_ONCE),
    replace(_EVERYTHING, name="limit, everything, size ahead in the queue", execution=_IN_A_QUEUE),
)


def draw_orders(strategy: RandomStrategy, inputs: MarketInputs, generator: np.random.Generator, n: int) -> Orders:
    """About `n` orders at random moments; four in five trade against the last minute's move of the price.

    A price that is known too late or too early, by a fill that comes from before the decision, earns or loses by that.
    Limits lie up to 10 bps away from the last price known, or up to 2 bps beyond it.
    """
    names = tuple(inputs.symbols)
    code = generator.integers(0, len(names), n)
    decision_ms = generator.integers(inputs.start_ms + MS_PER_MINUTE, inputs.end_ms, n)
    price, before = np.full(n, np.nan), np.full(n, np.nan)
    for number, one in enumerate(inputs.symbols.values()):
        own = code == number
        price[own] = one.price_at(decision_ms[own])
        before[own] = one.price_at(decision_ms[own] - MS_PER_MINUTE)
    against = np.where(price < before, 1.0, -1.0)
    side = np.where(generator.random(n) < 0.8, against, generator.choice([-1.0, 1.0], n))
    stop_price = price * (1.0 - side * _distance(generator, n, True))
    has_stop_price = generator.random(n) < 0.3
    known = ~np.isnan(price)
    return Orders.gather(
        names,
        code[known],
        decision_ms[known],
        side[known],
        limit_price=(price * (1.0 - side * generator.uniform(-2.0, 10.0, n) * _BPS))[known]
        if strategy.limit
        else np.nan,
        limit_life_ms=generator.integers(1, 20 * MS_PER_MINUTE, n)[known] if strategy.limit else NEVER,
        target_frac=_distance(generator, n, strategy.target)[known],
        target_share=generator.uniform(0.2, 1.0, n)[known] if strategy.partial else 1.0,
        stop_frac=_distance(generator, n, strategy.stop)[known],
        stop_price=np.where(has_stop_price, stop_price, np.nan)[known] if strategy.stop else np.nan,
        trail_frac=_distance(generator, n, strategy.trail)[known],
        timeout_ms=generator.integers(MS_PER_MINUTE, 60 * MS_PER_MINUTE, n)[known],
        exit_signal_ms=(decision_ms + generator.integers(0, 40 * MS_PER_MINUTE, n))[known]
        if strategy.signal
        else NEVER,
        exit_signal=generator.integers(0, 2, n)[known],
        weight=generator.uniform(0.1, 5.0, n)[known],
    )


def _distance(generator: np.random.Generator, n: int, is_on: bool) -> Floats:
    """Fractions of the price, nine in ten of them there at all; NaN throughout when it is off."""
    drawn = generator.uniform(_NEAREST_BPS, _FARTHEST_BPS, n) * _BPS
    return np.where(is_on & (generator.random(n) < 0.9), drawn, np.nan)
