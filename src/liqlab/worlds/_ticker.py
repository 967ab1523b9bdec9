"""What the ticker of one symbol publishes: from the recorded states of its day."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liqlab.core.time import MS_PER_HOUR
from liqlab.worlds._compiled import compiled, normal, uniform
from liqlab.worlds._dials import FundingDials, SymbolDials, World
from liqlab.worlds._market import SymbolDay
from liqlab.worlds._noise import MINUTES_PER_DAY, STEPS_PER_DAY, STEPS_PER_MINUTE, Floats, Integers
from liqlab.worlds._random import named_generator

_FUNDING_INTERVAL_MS = 8 * MS_PER_HOUR
_FUNDING_MINUTES = 480
_VOLUME_STEPS = 5
_SIZE_CHANGE_CHANCE = 0.75
_LONGEST_UNCHANGED = 8


@dataclass(frozen=True)
class TickerArrays:
    """The state of one symbol's ticker at n moments, rounded as the exchange publishes it.

    `open_interest` is in base units and, like its value in USD, counted once per contract; the publisher doubles both.
    """

    time_ms: Integers
    last_price: Floats
    mark_price: Floats
    index_price: Floats
    open_interest: Floats
    open_interest_value: Floats
    funding_rate: Floats
    next_funding_ms: Integers
    bid_price: Floats
    bid_size: Floats
    ask_price: Floats
    ask_size: Floats
    volume_24h: Floats
    turnover_24h: Floats

    def take(self, rows: slice | Integers) -> TickerArrays:
        """The states of `rows`."""
        return TickerArrays(*(getattr(self, field.name)[rows] for field in fields(self)))


def compute_ticker(world: World, seed: int, day: SymbolDay) -> TickerArrays:
    """The ticker at each recorded state of a symbol's day; which states are recorded does not change any of them.

    Bid and ask are whole ticks around the price, `spread_bps` apart but at least one tick; sizes follow the book's
    depth. The index is the price less its transient impact and the basis; funding follows from the premium of the mark
    price over it (`_funding_by_minute`). Traded volume covers the 24 hours before and moves twice a second.
    """
    dials, digits = day.dials, day.dials.price_decimals
    step = np.arange(0, STEPS_PER_DAY, day.every, dtype=np.int64)
    minute = step // STEPS_PER_MINUTE
    price = np.exp(day.log_price)
    bid, ask = _quote(dials, world.book.spread_bps, price)
    last_bid, last_ask = _quote(dials, world.book.spread_bps, np.exp(day.last_log_price))
    basis = np.interp(step / STEPS_PER_MINUTE, np.arange(MINUTES_PER_DAY + 1), day.nodes.basis_frac)
    index = np.exp(day.log_price - day.transient - basis)
    mark = np.exp(day.log_mark)
    per_minute = STEPS_PER_MINUTE // day.every
    funding = _funding_by_minute(world.funding, mark[::per_minute] / index[::per_minute] - 1.0)
    mark = np.round(mark, digits)
    open_interest = np.round(day.open_interest, dials.quantity_decimals)
    volume = np.round(_volume_24h(day.volume_before, day.nodes.volume, step - step % _VOLUME_STEPS), 4)
    time_ms = day.time_ms
    return TickerArrays(
        time_ms,
        np.where(day.last_hit_bid, last_bid, last_ask),
        np.asarray(mark, dtype=np.float64),
        np.asarray(np.round(index, digits), dtype=np.float64),
        open_interest,
        # Published double-sided with two decimals.
        0.5 * np.round(2.0 * open_interest * mark, 2),
        funding[minute],
        (time_ms // _FUNDING_INTERVAL_MS + 1) * _FUNDING_INTERVAL_MS,
        bid,
        _draw_sizes(dials, day, seed, "bid", step, price),
        ask,
        _draw_sizes(dials, day, seed, "ask", step, price),
        volume,
        np.round(volume * price[::per_minute][minute], 4),
    )


def _quote(dials: SymbolDials, spread_bps: float, price: Floats) -> tuple[Floats, Floats]:
    """Bid and ask: whole ticks around the price."""
    ticks = np.maximum(np.rint(spread_bps / 1e4 * price / dials.price_tick), 1.0)
    below = np.maximum(np.floor(price / dials.price_tick - 0.5 * (ticks - 1.0)), 1.0)
    bid, ask = (np.round(level * dials.price_tick, dials.price_decimals) for level in (below, below + ticks))
    return bid, ask


def _funding_by_minute(funding: FundingDials, premium: Floats) -> Floats:
    """The rate as it stands in each minute: P + clamp(I - P), capped, P the mean premium since the last funding time.

    Source: the exchange's description of its funding rate; I is the interest rate per interval.
    """
    intervals = premium.reshape(-1, _FUNDING_MINUTES)
    mean = np.cumsum(intervals, axis=1) / np.arange(1, _FUNDING_MINUTES + 1)
    rate = mean + np.clip(funding.interest_frac - mean, -funding.clamp_frac, funding.clamp_frac)
    return np.asarray(np.round(np.clip(rate, -funding.cap_frac, funding.cap_frac), 8).ravel())


def _volume_24h(before: Floats, today: Floats, step: Integers) -> Floats:
    """Base units traded in the 24 hours up to each step, from those of each minute of the day before and of the day."""
    gained = np.concatenate([[0.0], np.cumsum(today - before)])
    return np.asarray(np.interp(step / STEPS_PER_MINUTE, np.arange(MINUTES_PER_DAY + 1), before.sum() + gained))


def _draw_sizes(dials: SymbolDials, day: SymbolDay, seed: int, side: str, step: Integers, price: Floats) -> Floats:
    """Quantity at the touch: log-normal around the dial, deeper when the book is; whole steps, at least one."""
    key = named_generator(seed, day.symbol, day.nodes.day, side).integers(0, 2**63, dtype=np.uint64)
    depth = day.nodes.depth_usd[step // STEPS_PER_MINUTE] / dials.depth_usd
    quantity = dials.touch_size_usd / price * depth * np.exp(_deviations(key, step))
    return np.asarray(np.maximum(np.round(quantity, dials.quantity_decimals), dials.quantity_step))


@compiled
def _deviations(key: Any, steps: Any) -> Any:
    """A standard normal for each step that stays until the next step at which the touch changes."""
    drawn = np.empty(len(steps))
    for i in range(len(steps)):
        step = steps[i]
        for _ in range(_LONGEST_UNCHANGED):
            if step <= 0 or uniform(key, 4 * step) < _SIZE_CHANGE_CHANCE:
                break
            step -= 1
        drawn[i] = normal(key, 4 * step + 1)
    return drawn


def long_share(day: SymbolDay) -> NDArray[np.float64]:
    """The share of accounts that are long at the start of each hour of the day, (24,), with four decimals."""
    return np.round(day.long_accounts / np.maximum(day.long_accounts + day.short_accounts, 1.0), 4)
