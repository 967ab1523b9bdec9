"""The dials of each instrument: rough figures of the five that the plan names, generic ones for any other."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from liqlab.core.config import bounded, check_bounds
from liqlab.core.errors import UserError

#: The plan's five symbols.
DEFAULT_SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "DOGEUSDT", "XRPUSDT")

_SYMBOL = re.compile(r"[A-Z0-9]{2,30}")


@dataclass(frozen=True)
class Instrument:
    """One simulated perpetual: how it is quoted, how it moves and how it is liquidated."""

    symbol: str
    start_price: float = bounded(12.5, 1e-8, 1e8)
    price_tick: float = bounded(0.001, 1e-8, 1e3)
    price_decimals: int = bounded(3, 0, 8)
    quantity_decimals: int = bounded(1, 0, 8)
    annual_volatility_frac: float = bounded(0.9, 0.0, 10.0)
    common_correlation: float = bounded(0.7, 0.0, 1.0)
    clusters_per_day: float = bounded(200.0, 0.0, 1e5)
    further_liquidations_per_cluster: float = bounded(1.2, 0.0, 1e3)
    gap_median_ms: float = bounded(400.0, 1.0, 60_000.0)
    size_median_usd: float = bounded(350.0, 1e-3, 1e7)
    size_log_sd: float = bounded(2.2, 0.0, 4.0)
    falling_tilt_frac: float = bounded(0.15, -1.0, 1.0)
    maintenance_margin_frac: float = bounded(0.01, 0.0, 0.2)
    open_interest: float = bounded(4e6, 0.0, 1e15)
    volume_24h: float = bounded(1e7, 0.0, 1e15)
    touch_size_usd: float = bounded(20_000.0, 0.0, 1e9)

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_bounds(self)

    @property
    def quantity_step(self) -> float:
        """The smallest quantity, in base units."""
        return float(10.0**-self.quantity_decimals)


_KNOWN = (
    Instrument(
        "BTCUSDT",
        start_price=69_000.0,
        price_tick=0.1,
        price_decimals=2,
        quantity_decimals=3,
        annual_volatility_frac=0.5,
        common_correlation=0.9,
        clusters_per_day=270.0,
        further_liquidations_per_cluster=6.5,
        gap_median_ms=70.0,
        size_median_usd=921.0,
        size_log_sd=2.1,
        falling_tilt_frac=0.12,
        maintenance_margin_frac=0.005,
        open_interest=29_946.0,
        volume_24h=95_000.0,
        touch_size_usd=400_000.0,
    ),
    Instrument(
        "ETHUSDT",
        start_price=2_010.0,
        price_tick=0.01,
        price_decimals=2,
        quantity_decimals=2,
        annual_volatility_frac=0.65,
        common_correlation=0.88,
        clusters_per_day=205.0,
        further_liquidations_per_cluster=4.5,
        gap_median_ms=90.0,
        size_median_usd=789.0,
        size_log_sd=2.18,
        falling_tilt_frac=0.26,
        maintenance_margin_frac=0.005,
        open_interest=415_045.0,
        volume_24h=2_200_000.0,
        touch_size_usd=250_000.0,
    ),
    Instrument(
        "SOLUSDT",
        start_price=84.5,
        price_tick=0.01,
        price_decimals=2,
        quantity_decimals=1,
        annual_volatility_frac=0.8,
        common_correlation=0.84,
        clusters_per_day=225.0,
        further_liquidations_per_cluster=2.75,
        gap_median_ms=120.0,
        size_median_usd=440.0,
        size_log_sd=2.06,
        falling_tilt_frac=0.16,
        maintenance_margin_frac=0.01,
        open_interest=3_369_027.0,
        volume_24h=14_000_000.0,
        touch_size_usd=90_000.0,
    ),
    Instrument(
        "DOGEUSDT",
        start_price=0.1025,
        price_tick=0.00001,
        price_decimals=5,
        quantity_decimals=0,
        annual_volatility_frac=0.9,
        common_correlation=0.8,
        clusters_per_day=138.0,
        further_liquidations_per_cluster=1.2,
        gap_median_ms=200.0,
        size_median_usd=196.0,
        size_log_sd=2.4,
        falling_tilt_frac=0.15,
        maintenance_margin_frac=0.01,
        open_interest=695_795_471.0,
        volume_24h=2_400_000_000.0,
        touch_size_usd=30_000.0,
    ),
    Instrument(
        "XRPUSDT",
        start_price=1.49,
        price_tick=0.0001,
        price_decimals=4,
        quantity_decimals=1,
        annual_volatility_frac=0.85,
        common_correlation=0.8,
        clusters_per_day=190.0,
        further_liquidations_per_cluster=1.7,
        gap_median_ms=170.0,
        size_median_usd=359.0,
        size_log_sd=2.28,
        falling_tilt_frac=0.14,
        maintenance_margin_frac=0.01,
        open_interest=110_000_000.0,
        volume_24h=190_000_000.0,
        touch_size_usd=45_000.0,
    ),
)


def find_instruments(symbols: Iterable[str]) -> tuple[Instrument, ...]:
    """The dials of each symbol in order, a repeated symbol once; `UserError` for a malformed one or none at all."""
    known = {instrument.symbol: instrument for instrument in _KNOWN}
    names = tuple(dict.fromkeys(symbols))
    for name in names:
        if not _SYMBOL.fullmatch(name):
            raise UserError(f"cannot simulate the symbol {name!r}: a symbol is 2 to 30 of A-Z and 0-9, such as BTCUSDT")
    if not names:
        raise UserError(f"no symbol to simulate; name at least one, such as {DEFAULT_SYMBOLS[0]}")
    return tuple(known.get(name) or Instrument(name) for name in names)
