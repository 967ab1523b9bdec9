"""Strategy 1, `cascade_fade`: trade against the push of a large cascade of liquidations.

Entry: the moment at which a cascade, confirmed by the detector, holds the threshold (the plan's $5M): the first
liquidation with which its running notional is there. Everything known in that millisecond counts.

Direction: by pressure. A liquidated long is a forced sale and pushes the price down, so a cascade in which liquidated
longs weigh more is faded by buying, one of shorts by selling. The plan's own words, "buy after sell liquidations, sell
after buy liquidations", are no fade with the plan's own field definition, in which `Sell` is a liquidated short: they
would follow the push.

Exit: a target, plain (`target_frac`) or a share of the way back to the price before the cascade (`target_move_frac`);
else after `timeout_min`. The target rests from the fill on; the plan's "5-15 minutes" bounds the timeout.

Stop: the cascade goes on: after the decision, further liquidations of the same side hold more than `stop_share` of the
notional that the cascade had at the decision. A hard stop in price stands behind it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liqlab.backtest._inputs import CascadeSteps, MarketInputs, SymbolInputs
from liqlab.backtest._orders import NEVER, Orders
from liqlab.backtest._signals import (
    FILL_SLACK_MS,
    Booleans,
    Columns,
    Floats,
    Integers,
    gather_orders,
    join_signals,
    off_at_zero,
)
from liqlab.cascades import CascadePreset, compute_size_thresholds
from liqlab.core.config import bounded, check_bounds
from liqlab.core.time import MS_PER_MINUTE

#: What an order takes: no target lies at the entry price itself, or at a price of 0.
_NEAREST_TARGET, _FARTHEST_TARGET = 1e-8, 0.9


@dataclass(frozen=True)
class CascadeFadeParameters:
    """What `cascade_fade` trades; the defaults are the plan's.

    `threshold_usd`: notional of a cascade worth a trade. With a `trailing_quantile` q the threshold is the q-quantile
    of the last `trailing_window` cascades of the symbol that had ended before, once there are `trailing_least` (until
    then `threshold_usd`); 0: off. `dominance_frac`: least share of the heavier side. `target_frac`: distance of the
    target from the entry price, 0: none. `target_move_frac`: instead, the share of the way from the price at the
    decision back to the price before the cascade, where both are known and the price went with the pressure; 0: off.
    `timeout_min`: longest holding time. `stop_share`: see the module. `stop_frac`: hard stop, 0: none.
    """

    threshold_usd: float = bounded(5e6, 1e3, 1e12)
    trailing_quantile: float = bounded(0.0, 0.0, 0.999)
    trailing_window: int = bounded(200, 2, 100_000)
    trailing_least: int = bounded(20, 2, 100_000)
    dominance_frac: float = bounded(0.5, 0.5, 1.0)
    target_frac: float = bounded(0.003, 0.0, 0.5)
    target_move_frac: float = bounded(0.0, 0.0, 2.0)
    timeout_min: float = bounded(15.0, 1.0, 1_440.0)
    stop_share: float = bounded(0.5, 0.0, 100.0)
    stop_frac: float = bounded(0.01, 0.0, 0.5)

    def __post_init__(self) -> None:
        check_bounds(self)


class CascadeFade:
    """Strategy 1 of the plan; see the module."""

    name = "cascade_fade"
    description = "Against the push of a cascade over $5M, out at the target or after 15 minutes"
    Parameters = CascadeFadeParameters
    default = CascadeFadeParameters()
    scaled = CascadeFadeParameters(threshold_usd=1e6)

    def decide(self, inputs: MarketInputs, parameters: CascadeFadeParameters) -> Orders:
        """One order per cascade that reaches the threshold."""
        return gather_orders(inputs, {name: _decide(one, parameters) for name, one in inputs.symbols.items()})


def _decide(inputs: SymbolInputs, parameters: CascadeFadeParameters) -> Columns:
    steps, timeout_ms = inputs.steps, round(parameters.timeout_min * MS_PER_MINUTE)
    rows = _find_crossings(steps, parameters)
    decision_ms, is_long = steps.known_ms[rows], steps.is_long_dominated[rows]
    side = np.where(is_long, 1.0, -1.0)
    stop_ms = _find_continuation(inputs, decision_ms, is_long, parameters.stop_share * steps.notional_usd[rows])
    last_ms = decision_ms + timeout_ms + FILL_SLACK_MS
    signal_ms, signal = join_signals(np.full(len(rows), NEVER), stop_ms, last_ms)
    return {
        "decision_ms": decision_ms,
        "side": side,
        "target_frac": _find_targets(inputs, decision_ms, steps.first_known_ms[rows], side, parameters),
        "stop_frac": off_at_zero(parameters.stop_frac),
        "timeout_ms": timeout_ms,
        "exit_signal_ms": signal_ms,
        "exit_signal": signal,
    }


def _find_crossings(steps: CascadeSteps, parameters: CascadeFadeParameters) -> Integers:
    """The first step of each cascade that holds its threshold, where one side weighs enough by then."""
    holds = steps.notional_usd >= _find_thresholds(steps, parameters)[steps.cascade]
    is_first = holds.copy()
    is_first[1:] &= ~(holds[:-1] & (np.diff(steps.cascade) == 0))
    heavier = np.maximum(steps.long_usd, steps.short_usd)
    return np.flatnonzero(is_first & (heavier >= parameters.dominance_frac * steps.notional_usd))


def _find_thresholds(steps: CascadeSteps, parameters: CascadeFadeParameters) -> Floats:
    """The threshold of each cascade in USD, from the whole of those before it: they had ended when it began."""
    is_last = np.append(np.diff(steps.cascade) != 0, True)[: len(steps.cascade)]
    whole_usd = steps.notional_usd[is_last]
    if not parameters.trailing_quantile:
        return np.full(len(whole_usd), parameters.threshold_usd)
    window = max(parameters.trailing_window, parameters.trailing_least)
    trailing = CascadePreset(
        "trailing",
        size_quantile=parameters.trailing_quantile,
        size_window=window,
        size_min_history=parameters.trailing_least,
        size_fallback_usd=parameters.threshold_usd,
    )
    return compute_size_thresholds(whole_usd, trailing)


def _find_continuation(inputs: SymbolInputs, decision_ms: Integers, is_long: Booleans, more_usd: Floats) -> Integers:
    """When the side's liquidations known after each decision come to hold more than `more_usd`; `NEVER` if not."""
    when = np.full(len(decision_ms), NEVER)
    seen = np.searchsorted(inputs.known_ms, decision_ms, side="right")
    times = np.append(inputs.known_ms, NEVER)
    for side, chosen in ((inputs.is_long, is_long), (~inputs.is_long, ~is_long)):
        total = np.cumsum(np.where(side, inputs.notional_usd, 0.0))
        before = np.append(0.0, total)[seen[chosen]]
        when[chosen] = times[np.searchsorted(total, before + more_usd[chosen], side="right")]
    return when


def _find_targets(
    inputs: SymbolInputs,
    decision_ms: Integers,
    first_known_ms: Integers,
    side: Floats,
    parameters: CascadeFadeParameters,
) -> Floats:
    """Distance of each target from the entry price, as a fraction; NaN for none."""
    plain = np.full(len(decision_ms), off_at_zero(parameters.target_frac))
    if not parameters.target_move_frac:
        return plain
    way_back = side * (inputs.price_at(first_known_ms - 1) / inputs.price_at(decision_ms) - 1.0)
    target = np.clip(parameters.target_move_frac * way_back, _NEAREST_TARGET, _FARTHEST_TARGET)
    return np.where(way_back > 0.0, target, plain)
