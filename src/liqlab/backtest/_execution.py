"""What trading costs and how orders fill: small separate models, composed into one configuration."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from liqlab.core.config import bounded, check_bounds
from liqlab.core.time import MS_PER_S

Floats = npt.NDArray[np.float64]

BPS = 1e-4
#: The size, USD, at which the impact of a market order is `impact_bps`.
IMPACT_NOTIONAL_USD = 1e6


@dataclass(frozen=True)
class LatencyModel:
    """From a decision to the moment at which its order (or its cancellation) is at the exchange."""

    delay_s: float = bounded(5.0, 0.0, 3_600.0)

    def __post_init__(self) -> None:
        check_bounds(self)

    @property
    def delay_ms(self) -> int:
        """The delay in milliseconds."""
        return round(self.delay_s * MS_PER_S)


@dataclass(frozen=True)
class FeeModel:
    """Fees as parts of the notional traded; the defaults are Bybit's for perpetual futures."""

    maker_bps: float = bounded(2.0, -10.0, 100.0)
    taker_bps: float = bounded(5.5, 0.0, 100.0)

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class SlippageModel:
    """What a market order or a triggered stop pays beside the observed price, as a part of it.

    slippage = half spread + impact_bps x sqrt(notional / $1M). The half spread is (ask - bid) / (ask + bid) of the
    observation that fills, where both are known, else `assumed_half_spread_bps`. The square root of size is the usual
    empirical law of impact (Toth et al. 2011, "Anomalous price impact and the critical nature of liquidity in
    financial markets", Physical Review X 1, 021006).
    """

    assumed_half_spread_bps: float = bounded(0.5, 0.0, 100.0)
    impact_bps: float = bounded(3.0, 0.0, 100.0)

    def __post_init__(self) -> None:
        check_bounds(self)

    def half_spread_frac(self, bid: Floats, ask: Floats) -> Floats:
        """Half the spread as a part of the price, (n,); assumed where bid or ask is unknown or they are crossed."""
        usable = (bid > 0) & (ask >= bid) & np.isfinite(ask)
        if not usable.any():
            return np.full(bid.shape, self.assumed_half_spread_bps * BPS)
        known = np.divide(ask - bid, ask + bid, out=np.zeros(bid.shape), where=usable)
        return np.where(usable, known, self.assumed_half_spread_bps * BPS)

    def impact_frac(self, notional_usd: npt.ArrayLike) -> Floats:
        """The impact of a market order of that size as a part of the price."""
        size = np.asarray(notional_usd, dtype=np.float64) / IMPACT_NOTIONAL_USD
        return self.impact_bps * BPS * np.sqrt(size)


@dataclass(frozen=True)
class FillModel:
    """When a resting order fills, and below which resolution prices cannot decide.

    A limit order, a target too, fills once a later observation trades through it. With `queue_ahead_usd` resting before
    it, the price must go beyond it by queue_ahead_usd / depth_usd_per_bps: what eats through a book of that depth has
    also eaten the queue. This is an approximation, for the ticker says nothing about traded volume. Prices that come
    less often than every `coarse_s` cannot decide stops, targets and limits.
    """

    queue_ahead_usd: float = bounded(0.0, 0.0, 1e9)
    depth_usd_per_bps: float = bounded(100_000.0, 1.0, 1e12)
    coarse_s: float = bounded(20.0, 0.1, 86_400.0)

    def __post_init__(self) -> None:
        check_bounds(self)

    @property
    def through_frac(self) -> float:
        """How far beyond a limit the price must go, as a part of the limit; 0.0 means strictly beyond."""
        return min(self.queue_ahead_usd / self.depth_usd_per_bps * BPS, 0.5)


@dataclass(frozen=True)
class FundingModel:
    """Whether funding is charged; when and how much is exchanged is part of the prices."""

    charge: bool = True


@dataclass(frozen=True)
class PositionLimits:
    """How much may be open at once, over all symbols; one position (or resting order) per symbol.

    `notional_usd` is the size of an order of weight 1. After an exit its symbol rests for `cooldown_s`.
    """

    notional_usd: float = bounded(10_000.0, 1.0, 1e9)
    max_positions: int = bounded(5, 1, 1_000)
    cooldown_s: float = bounded(300.0, 0.0, 604_800.0)
    capital_usd: float = bounded(100_000.0, 1.0, 1e12)
    max_gross_usd: float = bounded(100_000.0, 1.0, 1e12)

    def __post_init__(self) -> None:
        check_bounds(self)

    @property
    def cooldown_ms(self) -> int:
        """The cooldown in milliseconds."""
        return round(self.cooldown_s * MS_PER_S)


@dataclass(frozen=True)
class ExecutionConfig:
    """Everything between a decision and its result."""

    latency: LatencyModel = field(default_factory=LatencyModel)
    fees: FeeModel = field(default_factory=FeeModel)
    slippage: SlippageModel = field(default_factory=SlippageModel)
    fills: FillModel = field(default_factory=FillModel)
    funding: FundingModel = field(default_factory=FundingModel)
    limits: PositionLimits = field(default_factory=PositionLimits)
