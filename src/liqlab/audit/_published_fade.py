"""A published cascade fade with its own fill rule: the example of a backtest that earns on a random walk; for tests.

The protocol is that of a public study of Bybit liquidations which reports a daily Sharpe ratio of 118. Its signals are
sound. Its fill rule reads extremes of 1-minute bars that lie before the fill, and that alone makes the money.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from liqlab.core.config import bounded, check_bounds
from liqlab.core.time import MS_PER_MINUTE, MS_PER_S

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

_BPS = 1e-4


@dataclass(frozen=True)
class PublishedFadeParameters:
    """The published numbers, and the two choices of its fill rule.

    `fill_in_signal_bar`: the scan for the fill begins with the bar whose close set the limit, as published; otherwise
    with the bar after it. `exit_in_fill_bar`: targets and stops are read from the bar that filled the entry, as
    published; otherwise from the bar after it.
    """

    large_usd: float = bounded(50_000.0, 0.0, 1e12)
    max_gap_s: float = bounded(60.0, 0.0, 86_400.0)
    cooldown_s: float = bounded(300.0, 0.0, 86_400.0)
    limit_frac: float = bounded(0.0015, 0.0, 0.5)
    target_frac: float = bounded(0.0012, 0.0, 0.5)
    target_share: float = bounded(0.7, 0.0, 1.0)
    trail_frac: float = bounded(0.0003, 0.0, 0.5)
    timeout_min: int = bounded(60, 1, 10_000)
    maker_bps: float = bounded(2.0, 0.0, 1_000.0)
    taker_bps: float = bounded(5.5, 0.0, 1_000.0)
    fill_in_signal_bar: bool = True
    exit_in_fill_bar: bool = True

    def __post_init__(self) -> None:
        check_bounds(self)


#: The published fill rule, and what is left of it when either choice, or both, is undone.
PUBLISHED_FILL_RULES: dict[str, PublishedFadeParameters] = {
    "as published": PublishedFadeParameters(),
    "fill from the bar after the signal": PublishedFadeParameters(fill_in_signal_bar=False),
    "exits from the bar after the fill": PublishedFadeParameters(exit_in_fill_bar=False),
    "both": PublishedFadeParameters(fill_in_signal_bar=False, exit_in_fill_bar=False),
}


@dataclass(frozen=True)
class MinuteBars:
    """1-minute bars with at least one price, each (n,): `label_ms` is the left edge; all of it is known at the right.

    `low`, `high` and `close` in USD.
    """

    label_ms: Integers
    low: Floats
    high: Floats
    close: Floats

    @property
    def known_ms(self) -> Integers:
        """The right edges."""
        return self.label_ms + MS_PER_MINUTE


@dataclass(frozen=True)
class FadeSignals:
    """One row per cascade, (n,), in order of its end: the bar after it, its side (+1 buy, -1 sell short), its limit.

    `end_ms` is when its last large liquidation became known; `limit_price` comes from the close of bar `bar`.
    """

    end_ms: Integers
    bar: Integers
    side: Integers
    limit_price: Floats


@dataclass(frozen=True)
class FadeTrade:
    """One trade as the published rule books it: bars of entry, target (-1: never) and exit; returns are fractions.

    `reason` is `trailing stop` or `timeout`, of what was left after the target.
    """

    signal: int
    side: int
    entry_bar: int
    entry_price: float
    target_bar: int
    target_price: float
    exit_bar: int
    exit_price: float
    reason: str
    gross_return: float
    fees: float

    @property
    def net_return(self) -> float:
        """Less fees; the protocol knows no other cost."""
        return self.gross_return - self.fees


def make_minute_bars(known_ms: Integers, price: Floats, low: Floats, high: Floats) -> MinuteBars:
    """Bars of the observations (n,), each in the minute in which it became known; minutes without one have no bar."""
    if not len(known_ms):
        nothing = np.empty(0)
        return MinuteBars(np.empty(0, np.int64), nothing, nothing, nothing)
    minute = known_ms // MS_PER_MINUTE
    first = np.flatnonzero(np.diff(minute, prepend=minute[0] - 1))
    last = np.append(first[1:], len(minute)) - 1
    return MinuteBars(
        label_ms=minute[first] * MS_PER_MINUTE,
        low=np.minimum.reduceat(np.minimum(low, price), first),
        high=np.maximum.reduceat(np.maximum(high, price), first),
        close=price[last],
    )


def find_fade_signals(
    known_ms: Integers, is_long: Booleans, notional_usd: Floats, bars: MinuteBars, parameters: PublishedFadeParameters
) -> FadeSignals:
    """Cascades of large liquidations, (n,) in order of known time, with the limit that the protocol sets for each.

    Large ones at most `max_gap_s` apart are one cascade, a single one too. The side is long when the liquidated longs'
    notional is larger, else short. Cascades without a bar after them are left out. Cooldown is not applied here.
    """
    large = notional_usd >= parameters.large_usd
    times, signed_usd = known_ms[large], np.where(is_long, notional_usd, -notional_usd)[large]
    if not len(times) or not len(bars.label_ms):
        nothing = np.empty(0, np.int64)
        return FadeSignals(nothing, nothing, nothing, np.empty(0))
    first = np.flatnonzero(np.diff(times, prepend=times[0] - 2**40) > parameters.max_gap_s * MS_PER_S)
    end_ms = times[np.append(first[1:], len(times)) - 1]
    bar = np.searchsorted(bars.label_ms, end_ms, side="left")
    there = bar < len(bars.label_ms)
    end_ms, bar = end_ms[there], bar[there]
    side = np.where(np.add.reduceat(signed_usd, first)[there] > 0.0, 1, -1)
    limit_price = bars.close[bar] * (1.0 - side * parameters.limit_frac)
    return FadeSignals(end_ms, bar, side, limit_price)


def trade_as_published(
    signals: FadeSignals, bars: MinuteBars, parameters: PublishedFadeParameters | None = None
) -> list[FadeTrade]:
    """The trades that the published fill rule books for these signals, in their order.

    A cascade that ended less than `cooldown_s` after the end of the last cascade that was traded is left out. A short
    is a long in the mirrored price, see `_book`.
    """
    rule = parameters or PublishedFadeParameters()
    trades: list[FadeTrade] = []
    traded_ms: int | None = None
    for number, end_ms in enumerate(signals.end_ms.tolist()):
        if traded_ms is not None and end_ms - traded_ms < rule.cooldown_s * MS_PER_S:
            continue
        trade = _book(number, signals, bars, rule)
        if trade is not None:
            trades.append(trade)
            traded_ms = end_ms
    return trades


def _book(number: int, signals: FadeSignals, bars: MinuteBars, rule: PublishedFadeParameters) -> FadeTrade | None:
    """What the rule makes of one signal: `worst` and `best` of a bar are its low and high, mirrored for a short.

    Each bar's extremes are used without asking which came first.
    """
    bar, side = int(signals.bar[number]), int(signals.side[number])
    limit = float(signals.limit_price[number])
    end = min(bar + rule.timeout_min, len(bars.close) - 1)
    worst, best = (bars.low, bars.high) if side > 0 else (bars.high, bars.low)
    first = bar if rule.fill_in_signal_bar else bar + 1
    reached = np.flatnonzero(side * worst[first : end + 1] <= side * limit)
    if not len(reached):
        return None
    entry = first + int(reached[0])
    target = limit * (1.0 + side * rule.target_frac)
    peak, target_bar = limit, -1
    for k in range(entry if rule.exit_in_fill_bar else entry + 1, end + 1):
        peak = max(peak, float(best[k])) if side > 0 else min(peak, float(best[k]))
        if target_bar < 0 and side * best[k] >= side * target:
            target_bar = k
        trail = peak * (1.0 - side * rule.trail_frac)
        if side * worst[k] <= side * trail:
            exit_price = max(trail, float(worst[k])) if side > 0 else min(trail, float(worst[k]))
            return _close(rule, number, side, (entry, limit), (target_bar, target), (k, exit_price), "trailing stop")
    return _close(rule, number, side, (entry, limit), (target_bar, target), (end, float(bars.close[end])), "timeout")


def _close(
    rule: PublishedFadeParameters,
    signal: int,
    side: int,
    entry: tuple[int, float],
    target: tuple[int, float],
    leave: tuple[int, float],
    reason: str,
) -> FadeTrade:
    share = rule.target_share if target[0] >= 0 else 0.0
    rest_bps = rule.taker_bps if reason == "timeout" else rule.maker_bps
    move = (share * (target[1] - entry[1]) + (1.0 - share) * (leave[1] - entry[1])) / entry[1]
    fees = (rule.maker_bps + share * rule.maker_bps + (1.0 - share) * rest_bps) * _BPS
    return FadeTrade(signal, side, *entry, *target, *leave, reason, side * move, fees)


def place_signals(signals: FadeSignals, parameters: PublishedFadeParameters) -> FadeSignals:
    """The signals for which an order may be placed: `cooldown_s` after the last cascade that had an order.

    The protocol itself asks for the last cascade that was *traded*, which nobody knows before that order has filled or
    died; this is what can be known.
    """
    kept: list[int] = []
    for number, end_ms in enumerate(signals.end_ms.tolist()):
        if not kept or end_ms - signals.end_ms[kept[-1]] >= parameters.cooldown_s * MS_PER_S:
            kept.append(number)
    return replace(
        signals,
        end_ms=signals.end_ms[kept],
        bar=signals.bar[kept],
        side=signals.side[kept],
        limit_price=signals.limit_price[kept],
    )
