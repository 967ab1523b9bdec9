"""The price path that no liquidation moves: by the minute, then ten times a second, day by day with carried state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liqlab.core.time import MS_PER_DAY, MS_PER_MINUTE
from liqlab.worlds._compiled import compiled
from liqlab.worlds._dials import BookDials, PriceDials, SymbolDials, World
from liqlab.worlds._random import named_generator

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

STEP_MS = 100
STEPS_PER_MINUTE = MS_PER_MINUTE // STEP_MS
STEPS_PER_DAY = MS_PER_DAY // STEP_MS
MINUTES_PER_DAY = 1_440
_MINUTES_PER_YEAR = 365 * MINUTES_PER_DAY
_MINUTES_PER_HOUR = 60
_N_SCALES = 4
_FIRST_MONDAY = 4
_SATURDAY = 5


@dataclass(frozen=True)
class DayNodes:
    """One symbol's day by the minute, arrays of 1,440 unless said otherwise.

    `minute_sd`: standard deviation of the minute's log return, jumps apart. `return_z` is that return in such units,
    for days of which only minutes are drawn. `log_volatility` is the latent state without season, `is_volatile` whether
    its slow half lies above its median. `depth_usd`: notional that moves the price by the book's impact. `jumps` is
    (n, 3): first step, number of steps, log return. `basis_frac` has 1,441 values; `volume` is base units traded.
    """

    day: int
    minute_sd: Floats
    return_z: Floats
    log_volatility: Floats
    is_volatile: NDArray[np.bool_]
    depth_usd: Floats
    jumps: Floats
    basis_frac: Floats
    volume: Floats


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
    """Minute returns (standard normal), log volatility (variance 1) and jumps of one source, common or a symbol's."""

    def __init__(self, seed: int, name: str, dials: PriceDials) -> None:
        self.seed, self.name, self.dials = seed, name, dials
        first = named_generator(seed, name, "volatility")
        slow, fast = dials.volatility_slow_half_life_min, dials.volatility_fast_half_life_min
        half_lives = np.geomspace(slow, fast, _N_SCALES).tolist()
        self.scales = [_Reverting(half_life, _N_SCALES**-0.5, first) for half_life in half_lives]
        self.pending: list[float] = []

    def next_day(self, day: int) -> tuple[Floats, Floats, Floats, Floats]:
        """Returns z (1440,), slow and fast log volatility (1440,), jumps (n, 3): minute, size and duration drawn."""
        generator = named_generator(self.seed, self.name, day, "minutes")
        scales = [scale.next_day(generator)[:-1] for scale in self.scales]
        returns = generator.standard_normal(MINUTES_PER_DAY)
        slow, fast = scales[0] + scales[1], scales[2] + scales[3]
        return returns, slow, fast, self._draw_jumps(named_generator(self.seed, self.name, day, "jumps"))

    def _draw_jumps(self, generator: np.random.Generator) -> Floats:
        """A branching process: each jump has Poisson many children, exponentially later; later days' wait."""
        dials = self.dials
        base_rate = dials.jumps_per_day * (1.0 - dials.jump_excitation_frac)
        waiting = self.pending + (generator.random(generator.poisson(base_rate)) * MINUTES_PER_DAY).tolist()
        self.pending, times = [], []
        while waiting:
            time = waiting.pop()
            if time >= MINUTES_PER_DAY:
                self.pending.append(time - MINUTES_PER_DAY)
                continue
            times.append(time)
            children = generator.poisson(dials.jump_excitation_frac)
            waiting += (time + dials.jump_excitation_min * generator.exponential(size=children)).tolist()
        times.sort()
        signs = np.where(generator.random(len(times)) < dials.jump_down_frac, -1.0, 1.0)
        sizes = signs * np.abs(generator.standard_normal(len(times))) * dials.jump_sd_minutes
        durations = generator.exponential(size=len(times)) * dials.jump_duration_s
        return np.column_stack([np.array(times), sizes, durations]).reshape(-1, 3)


class _SymbolNoise:
    def __init__(self, world: World, symbol: str, seed: int) -> None:
        self.world, self.symbol, self.seed = world, symbol, seed
        self.dials = world.dials_of(symbol)
        self.shocks = _Shocks(seed, symbol, world.price)
        first = named_generator(seed, symbol, "slow")
        funding = world.funding
        self.basis = _Reverting(funding.basis_half_life_min, funding.basis_sd_bps / 1e4, first)

    def next_day(self, day: int, common: tuple[Floats, Floats, Floats, Floats]) -> DayNodes:
        price, dials, book = self.world.price, self.dials, self.world.book
        own = self.shocks.next_day(day)
        weight, rest = dials.common_correlation, (1.0 - dials.common_correlation**2) ** 0.5
        shared, apart = price.common_volatility_frac**0.5, (1.0 - price.common_volatility_frac) ** 0.5
        slow, fast = (price.volatility_log_sd * (shared * common[i] + apart * own[i]) for i in (1, 2))
        # Subtracting the variance makes the mean of the squared volatility one.
        log_volatility = slow + fast - price.volatility_log_sd**2
        weekend = is_weekend(day)
        level = dials.annual_volatility_frac / _MINUTES_PER_YEAR**0.5 * (1.0 - price.weekend_calm_frac * weekend)
        minute_sd = level * _season(price.daily_season) * np.exp(log_volatility)
        generator = named_generator(self.seed, self.symbol, day, "slow")
        depth = dials.depth_usd * _depth(book, slow + fast, weekend, generator)
        return DayNodes(
            day,
            minute_sd,
            weight * common[0] + rest * own[0],
            log_volatility,
            slow > 0.0,
            depth,
            _place_jumps(minute_sd, ((weight, common[3]), (rest, own[3]))),
            self.basis.next_day(generator),
            _draw_volume(dials, minute_sd, generator),
        )


def is_weekend(day: int) -> bool:
    """Whether a day number (days since Thursday 1970-01-01) is a Saturday or Sunday."""
    return (day - _FIRST_MONDAY) % 7 >= _SATURDAY


def _season(exponent: float) -> Floats:
    """A factor by minute of the UTC day, highest when the United States open, mean square one; 1 for exponent 0."""
    shape = activity_profile() ** exponent
    return np.asarray(shape / np.sqrt(np.mean(shape**2)))


def activity_profile() -> Floats:
    """How busy each minute of the UTC day is, (1440,), mean one: calm at night, Europe's morning, the US opening."""
    hour = np.arange(MINUTES_PER_DAY) / _MINUTES_PER_HOUR
    shape = 0.55 + 1.1 * np.exp(-0.5 * ((hour - 15.0) / 1.7) ** 2) + 0.25 * np.exp(-0.5 * ((hour - 8.0) / 2.0) ** 2)
    return np.asarray(shape / shape.mean())


def _depth(book: BookDials, log_volatility: Floats, weekend: bool, generator: np.random.Generator) -> Floats:
    noise = np.repeat(generator.standard_normal(24), _MINUTES_PER_HOUR) * book.depth_noise_log_sd
    level = activity_profile() ** book.depth_season * (1.0 - book.weekend_thin_frac * weekend)
    return np.asarray(level * np.exp(noise - book.depth_volatility_exponent * log_volatility))


def _place_jumps(minute_sd: Floats, sources: Sequence[tuple[float, Floats]]) -> Floats:
    """Jumps of all sources by first step, none reaching beyond midnight: (n, 3) of step, steps, log return."""
    parts = []
    for weight, drawn in sources:
        first = np.floor(drawn[:, 0] * STEPS_PER_MINUTE)
        steps = np.clip(np.rint(drawn[:, 2] * 1_000 / STEP_MS), 1.0, STEPS_PER_DAY - first)
        minute = (drawn[:, 0]).astype(np.int64)
        parts.append(np.column_stack([first, steps, weight * drawn[:, 1] * minute_sd[minute]]))
    jumps = np.concatenate(parts)
    return jumps[np.argsort(jumps[:, 0], kind="stable")]


def _draw_volume(dials: SymbolDials, minute_sd: Floats, generator: np.random.Generator) -> Floats:
    """Base units traded each minute, more when volatile."""
    level = dials.annual_volatility_frac / _MINUTES_PER_YEAR**0.5
    relative = minute_sd / level if level > 0 else np.ones(MINUTES_PER_DAY)
    noise = np.exp(0.3 * generator.standard_normal(MINUTES_PER_DAY))
    return np.asarray(dials.volume_24h / MINUTES_PER_DAY * relative * noise)


def walk_days(world: World, symbols: Sequence[str], seed: int, first_day: int) -> Iterator[list[DayNodes]]:
    """The skeleton day by day without end, from `first_day`: the nodes of each symbol, in order.

    A symbol's numbers depend on the world, the seed, its name and the first day, not on which others are simulated.
    """
    common = _Shocks(seed, "common", world.price)
    noises = [_SymbolNoise(world, symbol, seed) for symbol in symbols]
    day = first_day
    while True:
        shared = common.next_day(day)
        yield [noise.next_day(day, shared) for noise in noises]
        day += 1


def minute_returns(nodes: DayNodes) -> Floats:
    """Log return of each minute, (1440,), for a day that is not drawn in steps."""
    returns = nodes.minute_sd * nodes.return_z
    np.add.at(returns, (nodes.jumps[:, 0] // STEPS_PER_MINUTE).astype(np.int64), nodes.jumps[:, 2])
    return returns


def draw_free_paths(
    world: World, symbols: Sequence[str], seed: int, nodes: Sequence[DayNodes], start: Floats, hours_before: float
) -> Floats:
    """Log price after each step of the day without any liquidation, (n_symbols, 864,000), from `start` (n_symbols,).

    The steps of all symbols share a factor drawn from the common stream. `hours_before`: from the world's first
    midnight to this day's, for the shock.
    """
    day = nodes[0].day
    common = named_generator(seed, "common", day, "steps").standard_normal(STEPS_PER_DAY, dtype=np.float32)
    paths = np.empty((len(symbols), STEPS_PER_DAY))
    shock = _shock_per_step(world.price, hours_before)
    for row, symbol in enumerate(symbols):
        generator = named_generator(seed, symbol, day, "steps")
        paths[row] = generator.standard_normal(STEPS_PER_DAY, dtype=np.float32)
        dials = world.dials_of(symbol)
        scale = nodes[row].minute_sd / STEPS_PER_MINUTE**0.5
        _add_up(paths[row], common, dials.common_correlation, scale, nodes[row].jumps, shock, float(start[row]))
    return paths


def _shock_per_step(price: PriceDials, hours_before: float) -> tuple[int, int, float]:
    """First and last step of the shock as seen from this midnight, and its log return per step."""
    first = round((price.shock_start_h - hours_before) * _MINUTES_PER_HOUR * STEPS_PER_MINUTE)
    steps = max(round(price.shock_duration_min * STEPS_PER_MINUTE), 1)
    return first, first + steps, float(np.log1p(price.shock_return_frac) / steps)


@compiled
def _add_up(path: Any, common: Any, weight: float, scale: Any, jumps: Any, shock: Any, start: float) -> None:
    """Turn a symbol's own standard normals, in place, into its log price after each step."""
    rest = (1.0 - weight * weight) ** 0.5
    shock_first, shock_stop, shock_return = shock
    for step in range(len(path)):
        path[step] = scale[step // STEPS_PER_MINUTE] * (weight * common[step] + rest * path[step])
        if shock_first <= step < shock_stop:
            path[step] += shock_return
    for row in range(len(jumps)):
        first, steps = int(jumps[row, 0]), int(jumps[row, 1])
        for step in range(first, min(first + steps, len(path))):
            path[step] += jumps[row, 2] / steps
    level = start
    for step in range(len(path)):
        level += path[step]
        path[step] = level
