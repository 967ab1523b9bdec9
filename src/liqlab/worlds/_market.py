"""One symbol's day: a price path ten times a second, the forced orders it causes, and what the ticker would say.

Prices know nothing of liquidations; liquidations follow from past prices: the faster the price has moved in the last
minute, the more clusters start, mostly on the side that loses by the move.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from liqlab.core.time import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE, MS_PER_S
from liqlab.worlds._instruments import Instrument
from liqlab.worlds._random import named_generator
from liqlab.worlds._walk import MINUTES_PER_DAY, DayNodes, mean_minute_sd

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

STEP_MS = 100
_STEPS_PER_MINUTE = MS_PER_MINUTE // STEP_MS
_STEPS_PER_DAY = MS_PER_DAY // STEP_MS
_STEPS_PER_S = MS_PER_S // STEP_MS
_OPEN_INTEREST_STEPS = 5 * _STEPS_PER_S
_VOLUME_STEPS = 5
_FUNDING_INTERVAL_MS = 8 * MS_PER_HOUR

#: The last forced order of a day comes this long before midnight, so that no message of it is delivered the day after.
_QUIET_BEFORE_MIDNIGHT_MS = 1_500

_LOOKBACK_S = 60
_CALM_WEIGHT = 0.1
_LARGEST_MOVE_SD = 6.0
_CLUSTER_LOG_SD = 1.4
_GAP_LOG_SD = 2.2
_LONGEST_GAP_MS = 30_000.0
_AGAINST_CLUSTER_FRAC = 0.03
_LARGEST_SIZE_SD = 3.3
_CLOSING_FRAC = 0.6
_REFILL_HALF_LIFE_MS = 30 * MS_PER_MINUTE
_BASE_FUNDING = 0.0001


@dataclass(frozen=True)
class LiquidationArrays:
    """Forced orders of one symbol, n of them by `event_ms`; `price` is the bankruptcy price, `quantity` base units."""

    event_ms: Integers
    is_long: NDArray[np.bool_]
    quantity: Floats
    price: Floats


@dataclass(frozen=True)
class TickerArrays:
    """The state of one symbol's ticker at n moments, rounded as the exchange publishes it.

    `open_interest` is in base units and counted once per contract; the publisher doubles it.
    """

    time_ms: Integers
    last_price: Floats
    mark_price: Floats
    index_price: Floats
    open_interest: Floats
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


def compute_log_price(instrument: Instrument, seed: int, nodes: DayNodes) -> Floats:
    """Log price every `STEP_MS` of the day, shape (864,000,): Brownian bridges between the minute nodes, and jumps.

    The bridges of all symbols share a part drawn from the common stream, so that correlation holds below a minute, and
    jumps of one minute come at one moment in all of them. Nothing in the path so far tells where it goes.
    """
    weight, rest = instrument.common_correlation, (1.0 - instrument.common_correlation**2) ** 0.5
    shape = (MINUTES_PER_DAY, _STEPS_PER_MINUTE)
    common = named_generator(seed, "common", nodes.day, "bridges")
    noise = weight * common.standard_normal(shape)
    noise += rest * named_generator(seed, instrument.symbol, nodes.day, "bridges").standard_normal(shape)
    walk = np.cumsum(noise, axis=1) / _STEPS_PER_MINUTE**0.5
    passed = np.arange(1, _STEPS_PER_MINUTE + 1) / _STEPS_PER_MINUTE
    bridge = (walk - passed * walk[:, -1:]) * nodes.minute_sd[:, None]
    line = nodes.log_price[:-1, None] + passed * (np.diff(nodes.log_price) - nodes.jump)[:, None]
    jumped = np.arange(_STEPS_PER_MINUTE) >= common.integers(0, _STEPS_PER_MINUTE, (MINUTES_PER_DAY, 1))
    return np.asarray(line + bridge + jumped * nodes.jump[:, None], dtype=np.float64).ravel()


def draw_liquidations(instrument: Instrument, seed: int, day: int, log_price: Floats) -> LiquidationArrays:
    """The day's forced orders, given the log price of each step of that day."""
    generator = named_generator(seed, instrument.symbol, day, "liquidations")
    move = _trailing_move(instrument, log_price[::_STEPS_PER_S])
    second = _draw_cluster_seconds(instrument, generator, move)
    size = _draw_cluster_sizes(instrument, generator, move[second])
    follows = generator.random(len(second)) < 0.5 + 0.45 * np.tanh(np.abs(move[second]))
    cluster_is_long = (move[second] < 0) == follows
    first_ms = second * MS_PER_S + generator.integers(0, MS_PER_S, len(second))
    time_ms = np.repeat(first_ms, size) + _draw_offsets(instrument, generator, size)
    is_long = np.repeat(cluster_is_long, size) ^ (generator.random(len(time_ms)) < _AGAINST_CLUSTER_FRAC)
    kept = time_ms < MS_PER_DAY - _QUIET_BEFORE_MIDNIGHT_MS
    time_ms, is_long = time_ms[kept], is_long[kept]
    order = np.argsort(time_ms, kind="stable")
    time_ms, is_long = time_ms[order], is_long[order]
    market = np.exp(log_price[time_ms // STEP_MS])
    return LiquidationArrays(
        day * MS_PER_DAY + time_ms,
        is_long,
        _draw_quantities(instrument, generator, market),
        _bankruptcy_prices(instrument, generator, market, is_long),
    )


def _trailing_move(instrument: Instrument, log_price: Floats) -> Floats:
    """Log return over the last minute in its long-run standard deviations, each second; shorter after midnight."""
    before = np.concatenate([np.full(_LOOKBACK_S, log_price[0]), log_price[:-_LOOKBACK_S]])
    sd = max(mean_minute_sd(instrument), 1e-12)
    return np.asarray(np.clip((log_price - before) / sd, -_LARGEST_MOVE_SD, _LARGEST_MOVE_SD))


def _draw_cluster_seconds(instrument: Instrument, generator: np.random.Generator, move: Floats) -> Integers:
    """The second of day in which each cluster starts: Poisson counts, their rate growing with the move squared."""
    weight = _CALM_WEIGHT + (1.0 - _CALM_WEIGHT) * move**2
    tilt = 1.0 - instrument.falling_tilt_frac * np.sign(move)
    counts = generator.poisson(instrument.clusters_per_day * MS_PER_S / MS_PER_DAY * weight * tilt)
    return np.repeat(np.arange(len(move)), counts)


def _draw_cluster_sizes(instrument: Instrument, generator: np.random.Generator, move: Floats) -> Integers:
    """Liquidations in each cluster, at least one; more after a larger move."""
    mean = instrument.further_liquidations_per_cluster * (0.4 + 0.3 * np.abs(move))
    further = mean * generator.lognormal(-0.5 * _CLUSTER_LOG_SD**2, _CLUSTER_LOG_SD, len(move))
    # Rounding at random keeps the mean that plain rounding of small numbers would lose.
    return 1 + np.floor(further + generator.random(len(move))).astype(np.int64)


def _draw_offsets(instrument: Instrument, generator: np.random.Generator, size: Integers) -> Integers:
    """Milliseconds of each liquidation after the first of its cluster, clusters one after another."""
    gaps = generator.lognormal(np.log(instrument.gap_median_ms), _GAP_LOG_SD, int(size.sum()))
    passed = np.cumsum(np.minimum(gaps, _LONGEST_GAP_MS))
    first = np.cumsum(size) - size
    return np.asarray(passed - np.repeat(passed[first], size)).astype(np.int64)


def _draw_quantities(instrument: Instrument, generator: np.random.Generator, market: Floats) -> Floats:
    """Base units, log-normal in USD with its far tail cut, whole steps, at least one."""
    deviations = np.minimum(generator.standard_normal(len(market)), _LARGEST_SIZE_SD)
    notional = instrument.size_median_usd * np.exp(instrument.size_log_sd * deviations)
    steps = np.maximum(np.rint(notional / market / instrument.quantity_step), 1.0)
    return np.round(steps * instrument.quantity_step, instrument.quantity_decimals)


def _bankruptcy_prices(
    instrument: Instrument, generator: np.random.Generator, market: Floats, is_long: NDArray[np.bool_]
) -> Floats:
    """Where the margin is gone: about the maintenance margin below the market for longs, above it for shorts."""
    distance = instrument.maintenance_margin_frac * generator.uniform(0.8, 1.2, len(market))
    price = market * np.where(is_long, 1.0 - distance, 1.0 + distance)
    ticks = np.maximum(np.rint(price / instrument.price_tick), 1.0)
    return np.round(ticks * instrument.price_tick, instrument.price_decimals)


def compute_ticker(
    instrument: Instrument,
    seed: int,
    nodes: DayNodes,
    log_price: Floats,
    liquidations: LiquidationArrays,
    every: int = 1,
) -> TickerArrays:
    """The ticker at each `every`-th step of the day; the states do not depend on `every`, only which are given.

    Mark and index prices move once a second, open interest every five seconds, traded volume twice a second, bid, ask
    and last price at any step.
    """
    generator = named_generator(seed, instrument.symbol, nodes.day, "ticker")
    step = np.arange(0, _STEPS_PER_DAY, every)
    price_digits = instrument.price_decimals
    sizes = [_draw_touch_sizes(instrument, generator, log_price, step) for _side in ("bid", "ask")]
    traded = _last_step(generator, 0.3)[step]
    hit_bid = (generator.random(_STEPS_PER_DAY) < 0.5)[traded]
    bid, ask = _quote(instrument, log_price[step])
    traded_bid, traded_ask = _quote(instrument, log_price[traded])
    index = np.exp(log_price[step - step % _STEPS_PER_S])
    premium = _between_nodes(nodes.premium_frac, step - step % _STEPS_PER_S)
    volume = np.exp(_between_nodes(nodes.log_volume_24h, step - step % _VOLUME_STEPS))
    time_ms = nodes.day * MS_PER_DAY + step * STEP_MS
    return TickerArrays(
        time_ms,
        np.where(hit_bid, traded_bid, traded_ask),
        np.round(index * (1.0 + premium), price_digits),
        np.round(index, price_digits),
        _open_interest(instrument, nodes, liquidations, step),
        np.round(_BASE_FUNDING + nodes.premium_frac[step // _STEPS_PER_MINUTE], 8),
        (time_ms // _FUNDING_INTERVAL_MS + 1) * _FUNDING_INTERVAL_MS,
        bid,
        sizes[0],
        ask,
        sizes[1],
        np.asarray(np.round(volume, 4), dtype=np.float64),
        np.round(volume * np.exp(nodes.log_price[step // _STEPS_PER_MINUTE]), 4),
    )


def _quote(instrument: Instrument, log_price: Floats) -> tuple[Floats, Floats]:
    """Bid and ask: the ticks around the price, one apart."""
    below = np.maximum(np.floor(np.exp(log_price) / instrument.price_tick), 1.0)
    bid, ask = (np.round(ticks * instrument.price_tick, instrument.price_decimals) for ticks in (below, below + 1.0))
    return bid, ask


def _last_step(generator: np.random.Generator, probability: float) -> Integers:
    """For each step of the day, the last step up to it at which something of this probability per step happened."""
    happened = generator.random(_STEPS_PER_DAY) < probability
    return np.maximum.accumulate(np.where(happened, np.arange(_STEPS_PER_DAY), 0))


def _draw_touch_sizes(
    instrument: Instrument, generator: np.random.Generator, log_price: Floats, step: Integers
) -> Floats:
    changed = _last_step(generator, 0.75)
    deviations = generator.standard_normal(_STEPS_PER_DAY)[changed][step]
    quantity = instrument.touch_size_usd / np.exp(log_price[0]) * np.exp(deviations)
    return np.asarray(np.maximum(np.round(quantity, instrument.quantity_decimals), instrument.quantity_step))


def _open_interest(instrument: Instrument, nodes: DayNodes, liquidations: LiquidationArrays, step: Integers) -> Floats:
    """Base units: the slow walk, less what forced orders closed and nobody has opened again yet."""
    slot_ms = _OPEN_INTEREST_STEPS * STEP_MS
    slot = -(-(liquidations.event_ms - nodes.day * MS_PER_DAY) // slot_ms)
    closed = np.bincount(slot, _CLOSING_FRAC * liquidations.quantity, MS_PER_DAY // slot_ms + 1)
    decay = 0.5 ** (slot_ms / _REFILL_HALF_LIFE_MS)
    gone = np.array(list(accumulate(closed.tolist(), lambda before, more: decay * before + more)))
    now = step // _OPEN_INTEREST_STEPS
    walk = np.exp(_between_nodes(nodes.log_open_interest, now * _OPEN_INTEREST_STEPS))
    return np.asarray(np.round(np.maximum(walk - gone[now], 0.0), instrument.quantity_decimals))


def _between_nodes(values: Floats, step: Integers) -> Floats:
    return np.interp(step / _STEPS_PER_MINUTE, np.arange(MINUTES_PER_DAY + 1), values)
