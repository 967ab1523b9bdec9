"""The slow skeleton of the market: one value a minute, carried from day to day, with a factor common to all symbols."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from liqlab.worlds._instruments import Instrument
from liqlab.worlds._random import named_generator

Floats = NDArray[np.float64]

MINUTES_PER_DAY = 1_440
_MINUTES_PER_YEAR = 365 * MINUTES_PER_DAY
_MINUTES_PER_HOUR = 60

_VOLATILITY_SD = 0.25
_VOLATILITY_HALF_LIVES_MIN = (720.0, 30.0)
_JUMPS_PER_DAY = 2.0
_JUMP_SD_MINUTES = 6.0


@dataclass(frozen=True)
class DayNodes:
    """One symbol's day by the minute: 1,441 values from midnight to midnight, both included.

    `minute_sd` and `jump` have 1,440 values: the standard deviation of each minute's log return, jumps apart, and the
    part of that return that comes at one moment.
    """

    day: int
    log_price: Floats
    minute_sd: Floats
    jump: Floats
    log_open_interest: Floats
    log_volume_24h: Floats
    premium_frac: Floats


class _Reverting:
    """A stationary first-order autoregression by the minute with standard deviation `sd`."""

    def __init__(self, half_life_min: float, sd: float, generator: np.random.Generator) -> None:
        self.persistence = 0.5 ** (1.0 / half_life_min)
        self.noise_sd = sd * (1.0 - self.persistence**2) ** 0.5
        self.value = sd * float(generator.standard_normal())

    def next_day(self, generator: np.random.Generator) -> Floats:
        noise = self.noise_sd * generator.standard_normal(MINUTES_PER_DAY)
        path = list(accumulate(noise.tolist(), lambda value, step: self.persistence * value + step, initial=self.value))
        self.value = path[-1]
        return np.array(path)


class _Shocks:
    """Standard normal minute returns, log volatility and jumps (in minutes' standard deviations) of one source."""

    def __init__(self, seed: int, name: str) -> None:
        self.seed, self.name = seed, name
        first = named_generator(seed, name, "volatility")
        self.volatilities = [_Reverting(half_life, _VOLATILITY_SD, first) for half_life in _VOLATILITY_HALF_LIVES_MIN]

    def next_day(self, day: int) -> tuple[Floats, Floats, Floats]:
        generator = named_generator(self.seed, self.name, day, "minutes")
        log_volatility = np.sum([part.next_day(generator)[:-1] for part in self.volatilities], axis=0)
        returns = generator.standard_normal(MINUTES_PER_DAY)
        hits = generator.random(MINUTES_PER_DAY) < _JUMPS_PER_DAY / MINUTES_PER_DAY
        return returns, log_volatility, _JUMP_SD_MINUTES * hits * generator.standard_normal(MINUTES_PER_DAY)


class _SymbolWalk:
    def __init__(self, instrument: Instrument, seed: int) -> None:
        self.instrument = instrument
        self.shocks = _Shocks(seed, instrument.symbol)
        self.log_price = float(np.log(instrument.start_price))
        first = named_generator(seed, instrument.symbol, "slow")
        self.open_interest = _Reverting(2_880.0, 0.03, first)
        self.volume = _Reverting(1_440.0, 0.2, first)
        self.premium = _Reverting(300.0, 0.0001, first)

    def next_day(self, seed: int, day: int, common: tuple[Floats, Floats, Floats]) -> DayNodes:
        dials = self.instrument
        own = self.shocks.next_day(day)
        weight, rest = dials.common_correlation, (1.0 - dials.common_correlation**2) ** 0.5
        returns, jumps = (weight * common[part] + rest * own[part] for part in (0, 2))
        # Two sources of two parts each: subtracting the variance makes the mean of the squared volatility one.
        log_volatility = common[1] + own[1] - 4 * _VOLATILITY_SD**2
        level = dials.annual_volatility_frac / _MINUTES_PER_YEAR**0.5 * _season()
        minute_sd = level * np.exp(log_volatility)
        jumps = minute_sd * jumps
        log_price = self.log_price + np.concatenate([[0.0], np.cumsum(minute_sd * returns + jumps)])
        self.log_price = float(log_price[-1])
        slow = named_generator(seed, dials.symbol, day, "slow")
        return DayNodes(
            day,
            log_price,
            minute_sd,
            jumps,
            np.log(max(dials.open_interest, 1e-9)) + self.open_interest.next_day(slow),
            np.log(max(dials.volume_24h, 1e-9)) + self.volume.next_day(slow),
            self.premium.next_day(slow),
        )


def walk_days(seed: int, instruments: Sequence[Instrument], days: range) -> Iterator[list[DayNodes]]:
    """The skeleton day by day: for each of `days` the nodes of each instrument, in order.

    A symbol's numbers depend on the seed, its name and the first day, not on which other symbols are simulated.
    Log prices are a random walk whose variance follows the hour of day and two log-normal autoregressions.
    """
    common = _Shocks(seed, "common")
    walks = [_SymbolWalk(instrument, seed) for instrument in instruments]
    for day in days:
        shared = common.next_day(day)
        yield [walk.next_day(seed, day, shared) for walk in walks]


def walk_long_share(seed: int, symbol: str, n_hours: int) -> Floats:
    """The share of accounts that are long, hour by hour, shape (n_hours,): stationary around 0.56, within (0, 1)."""
    generator = named_generator(seed, symbol, "accounts")
    noise = 0.012 * generator.standard_normal(n_hours)
    path = list(accumulate(noise.tolist(), lambda value, step: 0.97 * value + step, initial=0.0))
    return np.clip(0.56 + np.array(path[1:]), 0.05, 0.95)


def _season() -> Floats:
    """Volatility by minute of the UTC day with mean square one, highest when the United States open."""
    hour = np.arange(MINUTES_PER_DAY) / _MINUTES_PER_HOUR
    shape = 0.6 + 1.3 * np.exp(-0.5 * ((hour - 15.0) / 1.6) ** 2) + 0.3 * np.exp(-0.5 * ((hour - 8.0) / 2.0) ** 2)
    return np.asarray(shape / np.sqrt(np.mean(shape**2)))


def mean_minute_sd(instrument: Instrument) -> float:
    """Root mean square of the minute log return over the long run, jumps included."""
    jumps = _JUMPS_PER_DAY / MINUTES_PER_DAY * _JUMP_SD_MINUTES**2
    return float(instrument.annual_volatility_frac / _MINUTES_PER_YEAR**0.5 * (1.0 + jumps) ** 0.5)
