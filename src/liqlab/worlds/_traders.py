"""Who arrives with which position, drawn ahead of the day from what the undisturbed price has done so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from liqlab.core.time import MS_PER_S
from liqlab.worlds._dials import SymbolDials, TraderDials, World
from liqlab.worlds._noise import (
    MINUTES_PER_DAY,
    STEP_MS,
    STEPS_PER_DAY,
    STEPS_PER_MINUTE,
    DayNodes,
    Floats,
    Integers,
    activity_profile,
    minute_returns,
)
from liqlab.worlds._random import named_generator

TRAILING_MINUTES = 15
_MINUTES_PER_YEAR = 365 * MINUTES_PER_DAY
_LARGEST_SIZE_SD = 4.0
_LARGEST_MOVE_SD = 6.0
_HISTORY_HOLDINGS = 4.0
_LONGEST_HISTORY_DAYS = 6


@dataclass(frozen=True)
class Arrivals:
    """Positions that open on one day in one symbol, n of them in order of `step`.

    `distance_frac`: from entry to the liquidation level, NaN for a position without one. `forced`: at the end of its
    life it is liquidated instead of leaving. `key`: its own stream of random numbers.
    """

    step: Integers
    is_long: NDArray[np.bool_]
    notional_usd: Floats
    distance_frac: Floats
    life_s: Floats
    forced: NDArray[np.bool_]
    key: NDArray[np.uint64]

    def take(self, rows: NDArray[np.bool_] | Integers) -> Arrivals:
        """The positions of `rows`."""
        return Arrivals(*(getattr(self, field.name)[rows] for field in fields(self)))


def draw_arrivals(world: World, symbol: str, seed: int, day: int, closes: Floats) -> Arrivals:
    """The day's arrivals, given the undisturbed log price at the start of each minute and of the 15 before: (1455,).

    The rate of a minute is that of the season, times 1 + `move_response` |z|, where z is the return of the 15 minutes
    before in long-run standard deviations; a group is long with probability `long_frac` + `trend_tilt` tanh(z) / 2.
    """
    traders, dials = world.traders, world.dials_of(symbol)
    generator = named_generator(seed, symbol, day, "arrivals")
    z = _trailing_move(dials, closes)
    minute = _draw_group_minutes(traders, dials, generator, z)
    size = 1 + generator.geometric(1.0 / (1.0 + dials.group_followers), len(minute)) - 1
    long_chance = dials.long_frac + 0.5 * traders.trend_tilt * np.tanh(z[minute])
    group_is_long = generator.random(len(minute)) < long_chance
    group_leverage = np.exp(traders.leverage_log_sd * generator.standard_normal(len(minute)))
    group_margin = np.exp(traders.margin_log_sd * generator.standard_normal(len(minute)))
    first_step = (minute + generator.random(len(minute))) * STEPS_PER_MINUTE
    group = np.repeat(np.arange(len(minute)), size)
    late = generator.random(len(group)) * traders.group_spread_s * MS_PER_S / STEP_MS
    step = np.minimum(first_step[group] + late, STEPS_PER_DAY - 1).astype(np.int64)
    arrivals = Arrivals(
        step,
        group_is_long[group],
        _draw_sizes(dials, generator, len(group)),
        _draw_distances(traders, dials, generator, group_leverage[group], group_margin[group]),
        traders.holding_mean_h * 3_600.0 * generator.exponential(size=len(group)),
        generator.random(len(group)) < traders.random_exit_frac,
        generator.integers(0, 2**63, len(group), dtype=np.uint64),
    )
    return arrivals.take(np.argsort(step, kind="stable"))


def _trailing_move(dials: SymbolDials, closes: Floats) -> Floats:
    sd = dials.annual_volatility_frac * (TRAILING_MINUTES / _MINUTES_PER_YEAR) ** 0.5
    move = (closes[TRAILING_MINUTES:] - closes[:-TRAILING_MINUTES]) / max(sd, 1e-12)
    return np.asarray(np.clip(move, -_LARGEST_MOVE_SD, _LARGEST_MOVE_SD))


def _draw_group_minutes(
    traders: TraderDials, dials: SymbolDials, generator: np.random.Generator, z: Floats
) -> NDArray[np.int64]:
    """The minute in which each group arrives.

    The mean of |z| under calm is taken out, so the rate keeps its meaning.
    """
    season = activity_profile() ** traders.daily_season
    response = (1.0 + traders.move_response * np.abs(z)) / (1.0 + traders.move_response * (2.0 / np.pi) ** 0.5)
    groups_per_day = dials.positions_per_day / (1.0 + dials.group_followers)
    rate = groups_per_day / MINUTES_PER_DAY * season / season.mean() * response
    return np.repeat(np.arange(MINUTES_PER_DAY), generator.poisson(rate))


def _draw_sizes(dials: SymbolDials, generator: np.random.Generator, n: int) -> Floats:
    """Log-normal notional in USD with its far tail cut."""
    deviations = np.minimum(generator.standard_normal(n), _LARGEST_SIZE_SD)
    return np.asarray(dials.size_median_usd * np.exp(dials.size_log_sd * deviations))


def _draw_distances(
    traders: TraderDials,
    dials: SymbolDials,
    generator: np.random.Generator,
    group_leverage: Floats,
    group_margin: Floats,
) -> Floats:
    """From entry to liquidation, see `TraderDials`; NaN for positions without a level.

    Initial margin is at least twice the maintenance margin, as on the exchange.
    """
    highest = min(traders.leverage_max, 0.5 / max(dials.maintenance_margin_frac, 1e-3))
    leverage = np.clip(traders.leverage_median * group_leverage, 1.0, highest)
    own = group_margin * np.exp(traders.follower_log_sd * generator.standard_normal(len(leverage)))
    distance = np.minimum((1.0 / leverage - dials.maintenance_margin_frac) * own, 0.99)
    return np.where(generator.random(len(leverage)) < traders.levered_frac, distance, np.nan)


def count_history_days(world: World) -> int:
    """How many days before the first one still have positions in it that matter."""
    return int(np.clip(np.ceil(_HISTORY_HOLDINGS * world.traders.holding_mean_h / 24.0), 1, _LONGEST_HISTORY_DAYS))


@dataclass(frozen=True)
class History:
    """What the days before the first one leave: open positions with their log entry price, and the last closes."""

    positions: Arrivals
    entry: Floats
    closes: Floats


def draw_history(world: World, symbol: str, seed: int, nodes: Sequence[DayNodes]) -> History:
    """The positions still open at the end of `nodes`, from a path by the minute that ends at the start price.

    Whoever left by then is gone, and whoever's level the path has passed since; nobody's order moved that path.
    """
    n_days = len(nodes)
    returns = np.concatenate([minute_returns(day) for day in nodes])
    path = np.concatenate([[0.0], np.cumsum(returns)])
    path += np.log(world.dials_of(symbol).start_price) - path[-1]
    padded = np.concatenate([np.full(TRAILING_MINUTES, path[0]), path])
    parts, minutes = [], []
    for number, day in enumerate(nodes):
        first = number * MINUTES_PER_DAY
        closes = padded[first : first + MINUTES_PER_DAY + TRAILING_MINUTES]
        parts.append(draw_arrivals(world, symbol, seed, day.day, closes))
        minutes.append(first + parts[-1].step // STEPS_PER_MINUTE)
    drawn = Arrivals(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Arrivals)))
    minute = np.concatenate(minutes)
    passed_s = (n_days * MINUTES_PER_DAY - minute) * 60.0
    entry = path[minute]
    low = np.minimum.accumulate(path[::-1])[::-1][minute]
    high = np.maximum.accumulate(path[::-1])[::-1][minute]
    gone = np.where(
        drawn.is_long, low - entry <= np.log1p(-drawn.distance_frac), high - entry >= np.log1p(drawn.distance_frac)
    )
    kept = np.flatnonzero((drawn.life_s > passed_s) & ~gone)
    alive = drawn.take(kept)
    alive = Arrivals(
        *(getattr(alive, f.name) if f.name != "life_s" else alive.life_s - passed_s[kept] for f in fields(alive))
    )
    return History(alive, entry[kept], path[-1 - TRAILING_MINUTES : -1] if n_days else path)
