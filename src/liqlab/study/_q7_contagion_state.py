"""What is known of one symbol at each moment of the 5 s grid, and what follows: the rows of conditional contagion.

A liquidation of one symbol tells that the market has just moved; so do prices, and where they stand in their own past:
positions are liquidated at prices that have not been seen for as long as they are held, so that a market at an extreme
of its day liquidates in every symbol, without one causing the other. All of that is given before a liquidation counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from liqlab.stats import rolling_max, rolling_sum
from liqlab.study._evidence import STEPS_PER_MINUTE, Floats, SymbolEvidence

#: The response is looked for in this many steps: 25 s.
RESPONSE_STEPS = 5
#: How far back an extreme of the price is remembered, in steps: 1, 5 and 15 min, 1, 4 and 24 h.
_EXTREMES = (12, 60, 180, 720, 2_880, 17_280)
#: Stretches of own liquidations before the cause's bar, in steps: the burst it may belong to (5 s, 25 s), and for how
#: long the symbol has been busy (5 min, 1 h).
_BURST, _BUSY = (1, 5), (59, 720)
_RETURNS_S = (5, 30, 300)
_HOUR = 60 * STEPS_PER_MINUTE
#: Shares of the squared volatility of 1 min, 5 min and 1 h in the two scales of what the price may do next.
_SCALES = ((0.0, 0.5, 0.5), (0.7, 0.2, 0.1))
#: Shares of the hour's volatility below which a shorter one is not believed.
_LEAST_SHARE = 0.1


@dataclass(frozen=True)
class State:
    """One symbol on the grid (n,), NaN where unknown.

    `known` (n, k) is given of cause and effect: prices and volatility known at t, own liquidations in (t - 5 s, t] and
    those of the last 5 min and hour. `before` is 1 for at least one liquidation in (t - 10 s, t - 5 s]. `burst` (n, 3),
    their number and that in 5 s and 25 s before, is given of the effect only: of the cause it is what is asked about.
    `response` is 1 for at least one liquidation in (t, t + 25 s].
    """

    symbol: str
    known: Floats
    before: Floats
    burst: Floats
    response: Floats


def describe_state(symbol: SymbolEvidence) -> State:
    """The state of one symbol; nothing but `response` looks beyond t."""
    count = np.where(symbol.covered, symbol.grid["liq_buy_count"] + symbol.grid["liq_sell_count"], np.nan)
    n = len(count)
    before = np.full(n, np.nan)
    before[1:] = count[:-1]
    now = (np.where(np.isnan(count), np.nan, count > 0.0), np.log1p(count))
    return State(
        symbol.symbol,
        np.column_stack([*_describe_price(symbol), *now, *_count_back(count, _BUSY)]),
        np.where(np.isnan(before), np.nan, before > 0.0),
        np.column_stack([np.log1p(before), *_count_back(count, _BURST)]),
        _look_ahead(count),
    )


def _look_ahead(count: Floats) -> Floats:
    """Whether the `RESPONSE_STEPS` bars after each row hold a liquidation; NaN where one of them is unknown."""
    found = np.full(len(count), np.nan)
    if len(count) > RESPONSE_STEPS:
        windows = np.lib.stride_tricks.sliding_window_view(count[1:], RESPONSE_STEPS)
        total = windows.sum(axis=1)
        found[: len(total)] = np.where(np.isnan(total), np.nan, total > 0.0)
    return found


def _count_back(count: Floats, stretches: Sequence[int]) -> Iterator[Floats]:
    """Logs of 1 + the number of own liquidations in each stretch that ends where the cause's bar begins."""
    running = np.concatenate([[0.0], np.cumsum(np.nan_to_num(count))])
    end = np.maximum(np.arange(len(count)) - 1, 0)
    for steps in stretches:
        yield np.log1p(running[end] - running[np.maximum(end - steps, 0)])


def _describe_price(symbol: SymbolEvidence) -> Iterator[Floats]:
    """Nearness to past extremes, volatility, and returns in units of it.

    With m the highest price of the stretch and s the scale of the next 25 s, nearness is exp(-(m - price) / s), about
    the chance that the price goes beyond m; that to the lowest is added.
    """
    squares = np.nan_to_num(symbol.trailing_return_bps(5)) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        minute, five, hour = (rolling_sum(squares, steps) / steps for steps in (12, 60, _HOUR))
        hour = np.where(np.isnan(symbol.volatility_bps), np.nan, hour)
        parts = (minute, five, hour)
        scales = [
            np.sqrt(RESPONSE_STEPS * sum(share * part for share, part in zip(shares, parts, strict=True)))
            for shares in _SCALES
        ]
        price = 1e4 * np.log(symbol.price)
        for steps in _EXTREMES:
            above, below = rolling_max(price, steps + 1) - price, price + rolling_max(-price, steps + 1)
            for scale in scales:
                yield np.exp(-above / scale) + np.exp(-below / scale)
        yield from (np.log(scale) for scale in scales)
        yield np.log(hour) / 2.0
        yield np.log(np.sqrt(minute) + _LEAST_SHARE * np.sqrt(hour))
        for seconds in _RETURNS_S:
            move = symbol.trailing_return_bps(seconds) / (scales[0] * np.sqrt(seconds / (5.0 * RESPONSE_STEPS)))
            yield move
            yield np.abs(move)
            yield np.log1p(move**2)
