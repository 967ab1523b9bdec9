"""Strategy 3, `zone_bounce`: expect the price to turn where much was liquidated before.

Zones are those of `panel.map_zones`: the fullest price levels of the liquidations known in the `window_h` before, made
anew every `refresh_min`; a map serves from its moment until the next one. A liquidation's price is a level on the map
here and nothing else: returns and touches are those of the ticker price.

Entry: the first observed price inside a zone, after the price lay at least `approach_bps` away from the zone on the
side it comes from, since the map was made, without having been in the zone or on its far side in between and without a
gap in the prices. From above the zone is a support: buy. From below it is a resistance: sell. At market, or as a limit
order at the price of the decision (`is_limit`).

Exit: the target, 0.5 % from the entry (the plan's "price moves away from zone"); else after `timeout_min`.

Stop: the zone breaks: the price lies `stop_margin_bps` beyond its far edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from liqlab.backtest._inputs import MarketInputs, SymbolInputs
from liqlab.backtest._orders import NEVER, Orders
from liqlab.backtest._signals import Columns, compiled, gather_orders, off_at_zero
from liqlab.core.config import bounded, check_bounds
from liqlab.core.time import MS_PER_MINUTE
from liqlab.panel import ZoneConfig

_BPS = 1e4


@dataclass(frozen=True)
class ZoneBounceParameters:
    """What `zone_bounce` trades; the target is the plan's, the zones are those of question 4.

    `window_h`, `history_h`, `refresh_min`, `mass_frac`, `least_liquidations`: see `panel.ZoneConfig`. `approach_bps`,
    `stop_margin_bps`, `target_frac` (0: none), `timeout_min`: see the module. With `is_limit` the entry rests at the
    price of the decision and is cancelled after `limit_life_min`.
    """

    window_h: float = bounded(48.0, 1.0, 720.0)
    history_h: float = bounded(24.0, 1.0, 720.0)
    refresh_min: int = bounded(60, 5, 1_440)
    mass_frac: float = bounded(0.5, 0.05, 0.95)
    least_liquidations: int = bounded(50, 2, 1_000_000)
    approach_bps: float = bounded(30.0, 0.0, 1_000.0)
    is_limit: bool = False
    limit_life_min: float = bounded(10.0, 0.1, 1_440.0)
    target_frac: float = bounded(0.005, 0.0, 0.5)
    stop_margin_bps: float = bounded(10.0, 0.0, 1_000.0)
    timeout_min: float = bounded(240.0, 1.0, 10_080.0)

    def __post_init__(self) -> None:
        check_bounds(self)

    @property
    def zones(self) -> ZoneConfig:
        """How the zones are found."""
        return ZoneConfig(
            window_h=self.window_h,
            history_h=self.history_h,
            refresh_min=self.refresh_min,
            mass_frac=self.mass_frac,
            least_liquidations=self.least_liquidations,
        )


class ZoneBounce:
    """Strategy 3 of the plan; see the module."""

    name = "zone_bounce"
    description = "With the turn at a zone of past liquidations, out after 0.5 % or when the zone breaks"
    Parameters = ZoneBounceParameters
    default = ZoneBounceParameters()
    scaled = ZoneBounceParameters(window_h=24.0, history_h=6.0, least_liquidations=20, approach_bps=20.0)

    def decide(self, inputs: MarketInputs, parameters: ZoneBounceParameters) -> Orders:
        """One order per arrival at a zone."""
        return gather_orders(inputs, {name: _decide(one, parameters) for name, one in inputs.symbols.items()})


def _decide(inputs: SymbolInputs, parameters: ZoneBounceParameters) -> Columns:
    path, zones = inputs.path, inputs.find_zones(parameters.zones)
    approach = parameters.approach_bps / _BPS
    zone_of, side_of = _scan_arrivals(
        path.known_ms, path.price, zones.times_ms, zones.offsets, zones.low, zones.high, approach, path.tolerance_ms
    )
    rows = np.flatnonzero(zone_of >= 0)
    zone, side = zone_of[rows], side_of[rows].astype(np.float64)
    far_edge = np.where(side > 0.0, zones.low[zone], zones.high[zone])
    return {
        "decision_ms": path.known_ms[rows],
        "side": side,
        "limit_price": path.price[rows] if parameters.is_limit else np.nan,
        "limit_life_ms": round(parameters.limit_life_min * MS_PER_MINUTE) if parameters.is_limit else NEVER,
        "target_frac": off_at_zero(parameters.target_frac),
        "stop_price": far_edge * (1.0 - side * parameters.stop_margin_bps / _BPS),
        "timeout_ms": round(parameters.timeout_min * MS_PER_MINUTE),
    }


@compiled
def _scan_arrivals(
    known_ms: Any, price: Any, map_ms: Any, offsets: Any, low: Any, high: Any, approach: float, tolerance_ms: int
) -> Any:
    """For each price the zone at which it arrives, -1 for none, and the side of the trade: +1 from above, -1 below."""
    zone_of, side_of = np.full(len(price), -1, np.int64), np.zeros(len(price), np.int8)
    for k in range(len(map_ms)):
        first = np.searchsorted(known_ms, map_ms[k], side="left")
        stop = np.searchsorted(known_ms, map_ms[k + 1], side="left") if k + 1 < len(map_ms) else len(price)
        n_zones = offsets[k + 1] - offsets[k]
        # The side on which the price was far enough away last: +1 above, -1 below, 0 not yet or not any more.
        came_from = np.zeros(n_zones, np.int8)
        for row in range(first, stop):
            if row > first and known_ms[row] - known_ms[row - 1] > tolerance_ms:
                came_from[:] = 0
            for place in range(n_zones):
                zone = offsets[k] + place
                if price[row] >= high[zone]:
                    if price[row] >= high[zone] * (1.0 + approach):
                        came_from[place] = 1
                    elif came_from[place] < 0:
                        came_from[place] = 0
                elif price[row] < low[zone]:
                    if price[row] <= low[zone] * (1.0 - approach):
                        came_from[place] = -1
                    elif came_from[place] > 0:
                        came_from[place] = 0
                else:
                    if came_from[place] != 0:
                        zone_of[row], side_of[row] = zone, came_from[place]
                    came_from[place] = 0
    return zone_of, side_of
