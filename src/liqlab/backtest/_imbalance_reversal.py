"""Strategy 2, `imbalance_reversal`: trade against the side that is being liquidated when nearly all of it is one side.

Entry: on the 5-second grid, the bar at which the one-sided share of the volume liquidated in the trailing window comes
to lie over `threshold_frac` (the plan's 70 %), with enough liquidations in the window: at the crossing, not at every
bar beyond it. Both that bar and the one before must have been observed well enough to tell.

Direction: the plan's "opposite to the liquidation side" as a fade by pressure: longs are being liquidated (forced
sales, `liq_imbalance` below 0), so buy; shorts, so sell. This is also what the plan expects in question 2.

Exit: `normal` when |imbalance| falls below `exit_imbalance`; else after `timeout_min` (the plan's hour). A window
without any liquidation is normal.

Stop: the imbalance worsens: the same side's share is at least `worse_share` while the notional in the window is at
least `worse_growth` times what it was at the decision. A hard stop in price stands behind it.

With buy and sell the volumes of liquidated longs and shorts: imbalance = (sell - buy) / (sell + buy), and a share of
70 % is an |imbalance| of 0.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from liqlab.backtest._inputs import BAR_MS, Bars, MarketInputs, SymbolInputs
from liqlab.backtest._orders import Orders
from liqlab.backtest._signals import (
    FILL_SLACK_MS,
    Booleans,
    Columns,
    Floats,
    Integers,
    compiled,
    find_edges,
    find_next,
    find_ready,
    gather_orders,
    join_signals,
    off_at_zero,
    rows_of,
    sum_covered,
    time_of,
)
from liqlab.core.config import bounded, check_bounds
from liqlab.core.time import MS_PER_MINUTE


@dataclass(frozen=True)
class ImbalanceReversalParameters:
    """What `imbalance_reversal` trades; the defaults are the plan's where it says a number.

    `window_min`: trailing window. `threshold_frac`: one-sided share of the volume. `min_liquidations`, `min_usd`: least
    number and notional in the window. `exit_imbalance`, `worse_share`, `worse_growth`: see the module. `timeout_min`:
    longest holding time. `target_frac`, `stop_frac`: distances from the entry price, 0: none.
    """

    window_min: float = bounded(15.0, 1.0, 1_440.0)
    threshold_frac: float = bounded(0.7, 0.5, 0.999)
    min_liquidations: int = bounded(10, 1, 1_000_000)
    min_usd: float = bounded(250_000.0, 0.0, 1e12)
    exit_imbalance: float = bounded(0.2, 0.0, 1.0)
    timeout_min: float = bounded(60.0, 1.0, 1_440.0)
    worse_share: float = bounded(0.9, 0.5, 1.0)
    worse_growth: float = bounded(2.0, 1.0, 1_000.0)
    target_frac: float = bounded(0.0, 0.0, 0.5)
    stop_frac: float = bounded(0.015, 0.0, 0.5)

    def __post_init__(self) -> None:
        check_bounds(self)


class ImbalanceReversal:
    """Strategy 2 of the plan; see the module."""

    name = "imbalance_reversal"
    description = "Against the side that makes up over 70 % of the liquidations, out when normal or after an hour"
    Parameters = ImbalanceReversalParameters
    default = ImbalanceReversalParameters()
    scaled = ImbalanceReversalParameters(min_liquidations=5, min_usd=50_000.0)

    def decide(self, inputs: MarketInputs, parameters: ImbalanceReversalParameters) -> Orders:
        """One order per crossing of the threshold."""
        return gather_orders(inputs, {name: _decide(one, parameters) for name, one in inputs.symbols.items()})


@dataclass(frozen=True)
class _Window:
    """Trailing sums on the grid: arrays of shape (n,). `share` and `imbalance` are NaN in a window without volume."""

    is_ready: Booleans
    long_share: Floats
    imbalance: Floats
    usd: Floats
    count: Floats


def _measure(bars: Bars, rows: int) -> _Window:
    buy, sell, usd, count = (
        sum_covered(column, bars.covered, rows)
        for column in (bars.buy_volume, bars.sell_volume, bars.buy_usd + bars.sell_usd, bars.count)
    )
    total = buy + sell
    share, imbalance = np.full(len(total), np.nan), np.full(len(total), np.nan)
    np.divide(buy, total, out=share, where=total > 0.0)
    np.divide(sell - buy, total, out=imbalance, where=total > 0.0)
    return _Window(find_ready(bars.covered, rows), share, imbalance, usd, count)


def _decide(inputs: SymbolInputs, parameters: ImbalanceReversalParameters) -> Columns:
    bars = inputs.bars
    window = _measure(bars, rows_of(parameters.window_min))
    rows, is_long = _find_entries(window, parameters)
    timeout_ms = round(parameters.timeout_min * MS_PER_MINUTE)
    is_empty = window.usd == 0.0
    is_normal = bars.covered & ((np.abs(window.imbalance) < parameters.exit_imbalance) | is_empty)
    normal_ms = time_of(bars.times_ms, find_next(is_normal, rows))
    worse_ms = time_of(bars.times_ms, _find_worse(window, rows, is_long, timeout_ms + FILL_SLACK_MS, parameters))
    decision_ms = bars.times_ms[rows]
    signal_ms, signal = join_signals(normal_ms, worse_ms, decision_ms + timeout_ms + FILL_SLACK_MS)
    return {
        "decision_ms": decision_ms,
        "side": np.where(is_long, 1.0, -1.0),
        "target_frac": off_at_zero(parameters.target_frac),
        "stop_frac": off_at_zero(parameters.stop_frac),
        "timeout_ms": timeout_ms,
        "exit_signal_ms": signal_ms,
        "exit_signal": signal,
    }


def _find_entries(window: _Window, parameters: ImbalanceReversalParameters) -> tuple[Integers, Booleans]:
    """The rows of the crossings, ascending, and whether longs are being liquidated there."""
    enough = (window.count >= parameters.min_liquidations) & (window.usd >= parameters.min_usd)
    longs = find_edges(enough & (window.long_share > parameters.threshold_frac), window.is_ready)
    shorts = find_edges(enough & (1.0 - window.long_share > parameters.threshold_frac), window.is_ready)
    rows = np.concatenate([longs, shorts])
    order = np.argsort(rows, kind="stable")
    return rows[order], (np.arange(len(rows)) < len(longs))[order]


def _find_worse(
    window: _Window, rows: Integers, is_long: Booleans, horizon_ms: int, parameters: ImbalanceReversalParameters
) -> Integers:
    share, growth = parameters.worse_share, parameters.worse_growth
    found: Integers = _scan_worse(window.long_share, window.usd, rows, is_long, horizon_ms // BAR_MS, share, growth)
    return found


@compiled
def _scan_worse(
    long_share: Any, usd: Any, rows: Any, is_long: Any, horizon: int, worse_share: float, worse_growth: float
) -> Any:
    n = len(usd)
    found = np.full(len(rows), n, np.int64)
    for k in range(len(rows)):
        level = worse_growth * usd[rows[k]]
        for row in range(rows[k] + 1, min(n, rows[k] + horizon + 1)):
            share = long_share[row] if is_long[k] else 1.0 - long_share[row]
            if share >= worse_share and usd[row] >= level:
                found[k] = row
                break
    return found
