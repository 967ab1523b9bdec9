"""A market in which nothing can be earned: a random walk, and large liquidations that know nothing of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from liqlab.core.config import bounded, check_bounds
from liqlab.core.time import MS_PER_DAY, MS_PER_S

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

MS_PER_YEAR = 365 * MS_PER_DAY


@dataclass(frozen=True)
class RandomWalkConfig:
    """Length, time between prices, volatility a year, number and sizes of large liquidations."""

    days: float = bounded(11.0, 0.01, 3_650.0)
    tick_s: float = bounded(0.5, 0.001, 3_600.0)
    annual_volatility_frac: float = bounded(0.6, 0.0, 10.0)
    n_liquidations: int = bounded(600, 0, 10_000_000)
    least_usd: float = bounded(50_000.0, 0.0, 1e12)
    start_price: float = bounded(100.0, 1e-9, 1e9)
    start_ms: int = 1_770_595_200_000

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class RandomWalk:
    """Prices `known_ms`, `price` (n,); liquidations `liquidation_ms`, `is_long`, `notional_usd` (m,); both by time."""

    known_ms: Integers
    price: Floats
    liquidation_ms: Integers
    is_long: Booleans
    notional_usd: Floats


def make_random_walk(seed: int, config: RandomWalkConfig | None = None) -> RandomWalk:
    """A geometric random walk without drift, and liquidations at uniform times with random sides.

    price = start exp(sum of N(-s^2 / 2, s^2)) with s^2 = volatility^2 tick / year: the price is a martingale. Sizes
    are `least_usd` (1 + an exponential of mean 1). The same seed gives the same market.
    """
    config = config or RandomWalkConfig()
    generator = np.random.default_rng(seed)
    tick_ms = round(config.tick_s * MS_PER_S)
    length_ms = round(config.days * MS_PER_DAY)
    n = length_ms // tick_ms
    spread = config.annual_volatility_frac * (tick_ms / MS_PER_YEAR) ** 0.5
    steps = generator.standard_normal(n)
    price = config.start_price * np.exp(np.cumsum(spread * steps - 0.5 * spread**2))
    times_ms = np.sort(generator.integers(0, length_ms, config.n_liquidations))
    return RandomWalk(
        known_ms=config.start_ms + tick_ms * np.arange(n, dtype=np.int64),
        price=price,
        liquidation_ms=config.start_ms + times_ms,
        is_long=generator.random(config.n_liquidations) < 0.5,
        notional_usd=config.least_usd * (1.0 + generator.exponential(size=config.n_liquidations)),
    )
