"""Zones within reach of the price, the levels they are compared with, and what the price then does at each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from liqlab.core.config import bounded, check_bounds
from liqlab.core.time import MS_PER_MINUTE
from liqlab.panel import NOT_REACHED, ZoneMaps, find_first_barrier, find_first_reach
from liqlab.stats import rolling_sum
from liqlab.study._evidence import STEP_MS, STEPS_PER_MINUTE, SymbolEvidence

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

ZONE, MIRROR, RANDOM = 0, 1, 2
#: Trailing returns beside which zones are compared; seconds.
TREND_S = (300, 3_600, 14_400)
APPROACH_S = (60, 300, 900)

_BPS = 1e4
_MINUTES_OF_VOLATILITY = 15
#: Returns count at most so many times their own volatility, so that one crash does not decide for all.
_LARGEST_RETURN = 3.0
#: Share of a window in which the price must be known.
_LEAST_KNOWN_FRAC = 0.9


@dataclass(frozen=True)
class LevelConfig:
    """Which levels are looked at, and for how long.

    Levels lie between `nearest` and `farthest` trailing hourly volatilities away from the price. The price has
    `visit_min` to come, and from its first touch `barrier_min` to reach a barrier one trailing 15 min volatility away;
    a breakout is followed for `breakout_min`. `n_random` further levels are drawn at each moment. Time near a level is
    time within `near` hourly volatilities of it.
    """

    nearest: float = bounded(0.25, 0.01, 10.0)
    farthest: float = bounded(2.0, 0.1, 20.0)
    near: float = bounded(0.1, 0.01, 10.0)
    visit_min: int = bounded(60, 5, 1_440)
    barrier_min: int = bounded(60, 5, 1_440)
    breakout_min: int = bounded(5, 1, 1_440)
    n_random: int = bounded(12, 1, 1_000)

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class Levels:
    """Levels of one or more symbols at the moments of their maps: arrays of shape (k,).

    `kind` is `ZONE` (the near edge of a zone), `MIRROR` (as far from the price, on the other side) or `RANDOM`; a
    mirror's `pair` is its zone's, -1 for random levels. `side` is +1 above the price, -1 below, `distance` in trailing
    hourly volatilities, `is_clear` says that it lies in no zone. `trend` (k, 3) are the trailing returns over `TREND_S`
    towards the level, in volatilities of their own length.
    """

    code: Integers
    time_ms: Integers
    kind: Integers
    pair: Integers
    level: Floats
    side: Floats
    distance: Floats
    mass_frac: Floats
    is_clear: Booleans
    volatility_bps: Floats
    trend: Floats


@dataclass(frozen=True)
class Reactions:
    """What the price did after the moment of each level: arrays of shape (k,), NaN where unknown or without a touch.

    `visited` and `near_frac` (share of the time near the level) within the time for a visit. At first touch: its time
    (-1 without one), 1 in one of `reversed`, `broke`, neither of them 1 when no barrier was reached, `further` the move
    after a breakout in trailing 15 min volatilities; `approach` (k, 3) are the returns over `APPROACH_S` up to the
    touch in its direction, in volatilities of their own length, `quickening` the log of the 15 min volatility over the
    hourly one.
    """

    visited: Floats
    near_frac: Floats
    touch_ms: Integers
    reversed: Floats
    broke: Floats
    further: Floats
    approach: Floats
    quickening: Floats


def list_levels(symbol: SymbolEvidence, code: int, maps: ZoneMaps, config: LevelConfig, seed: int) -> Levels:
    """All levels of a symbol, map after map within each kind.

    A map counts when the price and its hourly volatility are known at its moment and one of its zones is in reach.
    """
    rows = symbol.rows_at(maps.times_ms)
    price, volatility = _take(symbol.price, rows), _take(symbol.volatility_bps, rows)
    of_zone = maps.map_of_zone
    above = maps.low > price[of_zone]
    edge = np.where(above, maps.low, maps.high)
    side = np.where(above, 1.0, -1.0)
    outside = above | (maps.high <= price[of_zone])
    distance = _distance(edge, price[of_zone], volatility[of_zone])
    kept = outside & (distance >= config.nearest) & (distance <= config.farthest)
    at, level, side, distance = of_zone[kept], edge[kept], side[kept], distance[kept]
    drawn_at, drawn_side, drawn_distance = _draw(len(rows), np.unique(at), code, config, seed)
    drawn = price[drawn_at] * np.exp(drawn_side * drawn_distance * volatility[drawn_at] / _BPS)
    n_zones, n_drawn = len(at), len(drawn)
    which = np.concatenate([at, at, drawn_at])
    sides = np.concatenate([side, -side, drawn_side])
    found = np.concatenate([level, price[at] ** 2 / level, drawn])
    kind = np.repeat([ZONE, MIRROR, RANDOM], [n_zones, n_zones, n_drawn])
    pair = np.concatenate([np.arange(n_zones), np.arange(n_zones), np.full(n_drawn, -1)])
    mass = np.concatenate([maps.mass_frac[kept]] * 2 + [np.full(n_drawn, np.nan)])
    is_clear = ~maps.contains(which, found)
    return Levels(
        np.full(len(which), code, dtype=np.int64),
        maps.times_ms[which],
        kind.astype(np.int64),
        pair.astype(np.int64),
        found,
        sides,
        np.concatenate([distance, distance, drawn_distance]),
        mass,
        is_clear,
        volatility[which],
        _returns_towards(symbol, rows[which], sides, volatility[which] / np.sqrt(3_600.0), TREND_S),
    )


def measure_reactions(symbol: SymbolEvidence, levels: Levels, config: LevelConfig) -> Reactions:
    """What the price of one symbol did at its `levels`."""
    known, prices = symbol.prices.known_ms, symbol.prices.price
    visit_ms = config.visit_min * MS_PER_MINUTE
    until = levels.time_ms + visit_ms
    reached = find_first_reach(known, prices, levels.time_ms, until, levels.level, levels.side)
    touched = reached != NOT_REACHED
    told = _is_told(symbol, levels.time_ms, visit_ms)
    visited = np.where(told, touched, np.nan)
    touch_ms = np.full(len(reached), -1, dtype=np.int64)
    touch_ms[touched] = known[reached[touched]]
    near = np.where(told, _measure_nearness(symbol, levels, visit_ms, config.near), np.nan)
    outcome = _follow_touches(symbol, levels, np.flatnonzero(touched), reached[touched], config)
    return Reactions(visited, near, touch_ms, *outcome)


def join_levels(parts: Sequence[Levels]) -> Levels:
    """One after the other, with numbers of pairs that stay unique."""
    parts = [_no_levels(), *parts]
    columns = {field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Levels)}
    before = np.cumsum([0, *((part.kind == ZONE).sum() for part in parts)])[:-1]
    shift = np.repeat(before, [len(part.pair) for part in parts])
    columns["pair"] = np.where(columns["pair"] < 0, -1, columns["pair"] + shift)
    return Levels(**columns)


def join_reactions(parts: Sequence[Reactions]) -> Reactions:
    """One after the other."""
    none = np.empty(0)
    nothing = Reactions(none, none, np.empty(0, np.int64), none, none, none, np.empty((0, len(APPROACH_S))), none)
    every = [nothing, *parts]
    return Reactions(
        **{field.name: np.concatenate([getattr(part, field.name) for part in every]) for field in fields(Reactions)}
    )


def _no_levels() -> Levels:
    whole, none = np.empty(0, np.int64), np.empty(0)
    return Levels(
        whole, whole, whole, whole, none, none, none, none, np.empty(0, bool), none, np.empty((0, len(TREND_S)))
    )


def trailing_volatility_bps(symbol: SymbolEvidence) -> Floats:
    """Realised volatility of the last 15 min on the grid, bps; NaN where less than 80 % of its returns are known."""
    squares = symbol.trailing_return_bps(60) ** 2
    present = ~np.isnan(squares)
    window = _MINUTES_OF_VOLATILITY * STEPS_PER_MINUTE
    total, count = rolling_sum(np.where(present, squares, 0.0), window), rolling_sum(present.astype(float), window)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = np.where(count >= 0.8 * window, np.sqrt(_MINUTES_OF_VOLATILITY * total / count), np.nan)
    return found


def _draw(n_maps: int, used: Integers, code: int, config: LevelConfig, seed: int) -> tuple[Integers, Floats, Floats]:
    """Map, side and distance of the random levels; those of a map do not depend on how many maps follow."""
    uniform = np.random.default_rng([seed, code]).uniform(-1.0, 1.0, (n_maps, config.n_random))[used]
    distance = config.nearest + np.abs(uniform) * (config.farthest - config.nearest)
    return np.repeat(used, config.n_random), np.where(uniform > 0.0, 1.0, -1.0).ravel(), distance.ravel()


def _take(values: Floats, rows: Integers) -> Floats:
    """The values at the rows, NaN at -1."""
    found = np.full(len(rows), np.nan)
    found[rows >= 0] = values[rows[rows >= 0]]
    return found


def _distance(level: Floats, price: Floats, volatility_bps: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.abs(np.log(level / price)) * _BPS / volatility_bps
    return found


def _returns_towards(
    symbol: SymbolEvidence, rows: Integers, sides: Floats, per_root_s_bps: Floats, lengths_s: tuple[int, ...]
) -> Floats:
    """Trailing returns over each length times `sides`, in volatilities of that length; within +-3."""
    columns = []
    for seconds in lengths_s:
        past = _take(symbol.trailing_return_bps(seconds), rows)
        with np.errstate(divide="ignore", invalid="ignore"):
            columns.append(sides * past / (per_root_s_bps * np.sqrt(seconds)))
    return np.asarray(np.clip(np.column_stack(columns), -_LARGEST_RETURN, _LARGEST_RETURN))


def _is_told(symbol: SymbolEvidence, times_ms: Integers, length_ms: int) -> Booleans:
    """Whether the price was known through the `length_ms` after each time, but for a tenth of it."""
    running = np.concatenate([[0], np.cumsum(np.isfinite(symbol.price))])
    first = np.clip(symbol.rows_at(times_ms) + 1, 0, len(symbol.price))
    length = length_ms // STEP_MS
    last = np.minimum(first + length, len(symbol.price))
    return np.asarray((running[last] - running[first] >= _LEAST_KNOWN_FRAC * length) & (last - first == length))


def _measure_nearness(symbol: SymbolEvidence, levels: Levels, length_ms: int, near: float) -> Floats:
    """Share of the time after each moment, of that with a price, spent within `near` volatilities of the level."""
    minutes = np.arange(1, length_ms // MS_PER_MINUTE + 1)
    found = np.full(len(levels.time_ms), np.nan)
    moments, place = np.unique(levels.time_ms, return_inverse=True)
    rows = symbol.rows_at(moments[:, None] + minutes * MS_PER_MINUTE)
    if not rows.size:
        return found
    path = np.log(np.where(rows >= 0, symbol.price[rows], np.nan))[place]
    width = near * levels.volatility_bps / _BPS
    inside = np.abs(path - np.log(levels.level)[:, None]) <= width[:, None]
    known = np.isfinite(path).sum(axis=1)
    np.divide(inside.sum(axis=1), known, out=found, where=known > 0)
    return found


def _follow_touches(
    symbol: SymbolEvidence, levels: Levels, touched: Integers, rows: Integers, config: LevelConfig
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """reversed, broke, further, approach, quickening of all levels, from the rows of the first touches."""
    size = len(levels.level)
    result = [np.full(size, np.nan) for _ in range(3)]
    approach, quickening = np.full((size, len(APPROACH_S)), np.nan), np.full(size, np.nan)
    known, side = symbol.prices.known_ms, levels.side[touched]
    at = symbol.rows_at(known[rows])
    width = _take(trailing_volatility_bps(symbol), at)
    horizon_ms = config.barrier_min * MS_PER_MINUTE
    found, barrier = find_first_barrier(known, symbol.prices.price, rows, np.nan_to_num(width), horizon_ms)
    usable = (width > 0.0) & _is_told(symbol, known[rows], horizon_ms)
    broke = barrier == side
    outcome = (barrier == -side, broke, _follow_breakouts(symbol, found, side, broke, width, config))
    for values, own in zip(result, outcome, strict=True):
        values[touched[usable]] = own[usable]
    per_root_s = width / np.sqrt(_MINUTES_OF_VOLATILITY * 60.0)
    approach[touched] = _returns_towards(symbol, at, side, per_root_s, APPROACH_S)
    hourly = _take(symbol.volatility_bps, at)
    with np.errstate(divide="ignore", invalid="ignore"):
        quickening[touched] = np.log(2.0 * width / hourly)
    return result[0], result[1], result[2], approach, quickening


def _follow_breakouts(
    symbol: SymbolEvidence, found: Integers, side: Floats, broke: Booleans, width: Floats, config: LevelConfig
) -> Floats:
    """Move on from the first price after a breakout, in trailing volatilities; NaN without a breakout."""
    further = np.full(len(found), np.nan)
    after_ms = symbol.prices.known_ms[found[broke]] + 1
    move = symbol.forward_return_bps(after_ms, config.breakout_min * MS_PER_MINUTE)
    with np.errstate(divide="ignore", invalid="ignore"):
        further[broke] = side[broke] * move / width[broke]
    return further
