"""Zones: price ranges in which much was liquidated lately, as known at the time; first touches of levels and barriers.

Nothing here knows a question: a strategy finds the same zones with the same functions.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl
from numba import njit

from liqlab.core.config import bounded, check_bounds
from liqlab.core.schema import COUNT, FLOAT, LONG, SYMBOL, TIME, Column, Table
from liqlab.core.time import MS_PER_HOUR, MS_PER_MINUTE

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

Function = TypeVar("Function", bound=Callable[..., Any])

NOT_REACHED = -1
_BPS = 1e4
_BITCOIN = re.compile(r"(BTC|XBT)([-_/]?(USD|PERP)|$)", re.IGNORECASE)

ZONES = Table(
    "zones",
    "one zone of one symbol on the map of one moment",
    (
        Column("symbol", SYMBOL, "", "instrument"),
        Column("time", TIME, "ms UTC", "when this map was known; it holds what was known in the window before"),
        Column("low", FLOAT, "USD", "lower edge"),
        Column("high", FLOAT, "USD", "upper edge, the first price that is no longer in it"),
        Column("mass_frac", FLOAT, "fraction", "its share of the notional liquidated in the window"),
        Column("notional_usd", FLOAT, "USD", "notional liquidated in it in the window, by liquidation price"),
        Column("n_liquidations", COUNT, "", "liquidations in it in the window"),
        Column("long_frac", FLOAT, "fraction", "share of its notional from liquidated longs"),
    ),
)


@dataclass(frozen=True)
class ZoneConfig:
    """How zones are found.

    A map is made every `refresh_min` from the liquidations known in the `window_h` before, once `history_h` of data and
    `least_liquidations` are there. Price levels are $`level_usd` wide for Bitcoin and `level_bps` for the others. The
    fullest levels that together hold `mass_frac` of the notional are zones; neighbours are one zone.
    """

    window_h: float = bounded(48.0, 1.0, 720.0)
    history_h: float = bounded(24.0, 1.0, 720.0)
    refresh_min: int = bounded(60, 5, 1_440)
    level_usd: float = bounded(100.0, 1.0, 10_000.0)
    level_bps: float = bounded(15.0, 1.0, 500.0)
    mass_frac: float = bounded(0.5, 0.05, 0.95)
    least_liquidations: int = bounded(50, 2, 1_000_000)

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class PriceGrid:
    """Price levels: number k is [k step, (k + 1) step), in USD or, `is_log`, in the logarithm of the price."""

    step: float
    is_log: bool

    @classmethod
    def of(cls, symbol: str, config: ZoneConfig | None = None) -> PriceGrid:
        """The grid of a symbol: dollars for Bitcoin, bps for everything else."""
        config = config or ZoneConfig()
        if _BITCOIN.match(symbol):
            return cls(config.level_usd, is_log=False)
        return cls(float(np.log1p(config.level_bps / _BPS)), is_log=True)

    def number_of(self, prices: npt.ArrayLike) -> Integers:
        """The level of each price above 0."""
        values = np.asarray(prices, dtype=np.float64)
        return np.floor((np.log(values) if self.is_log else values) / self.step).astype(np.int64)

    def low_edge(self, numbers: npt.ArrayLike) -> Floats:
        """The price at which each level begins."""
        edges = np.asarray(numbers, dtype=np.float64) * self.step
        return np.exp(edges) if self.is_log else edges


@dataclass(frozen=True)
class LevelLiquidations:
    """A symbol's liquidations on its price grid, in order of known time: arrays of shape (n,).

    `codes` are places in `levels`, the levels with a liquidation, ascending.
    """

    grid: PriceGrid
    levels: Integers
    known_ms: Integers
    codes: Integers
    notional_usd: Floats
    is_long: Booleans

    @classmethod
    def gather(cls, liquidations: pl.DataFrame, grid: PriceGrid) -> LevelLiquidations:
        """From a table of `core.schema.LIQUIDATIONS` of one symbol; rows without a price or notional are left out."""
        good = (pl.col("price") > 0.0) & pl.col("price").is_finite() & (pl.col("notional_usd") > 0.0)
        rows = liquidations.filter(good & pl.col("notional_usd").is_finite()).sort("known_time", maintain_order=True)
        levels, codes = np.unique(grid.number_of(rows["price"].to_numpy()), return_inverse=True)
        return cls(
            grid,
            levels,
            rows["known_time"].to_physical().to_numpy(),
            codes.astype(np.int64),
            rows["notional_usd"].to_numpy(),
            (rows["liquidated_side"] == LONG).to_numpy(),
        )

    def known_between(self, start_ms: int, end_ms: int) -> slice:
        """The rows known after `start_ms` and at or before `end_ms`."""
        first, last = np.searchsorted(self.known_ms, [start_ms, end_ms], side="right")
        return slice(int(first), int(last))

    def density(self, rows: slice | Integers) -> Floats:
        """Notional of the rows on each of the levels; USD."""
        return np.bincount(self.codes[rows], self.notional_usd[rows], len(self.levels)).astype(np.float64)


@dataclass(frozen=True)
class ZoneMaps:
    """A symbol's zones, map after map, ascending within each: arrays of shape (z,), columns of `ZONES`.

    `times_ms` (m,) are the moments of the maps, `offsets` (m + 1,) where each one's zones begin.
    """

    times_ms: Integers
    offsets: Integers
    low: Floats
    high: Floats
    mass_frac: Floats
    notional_usd: Floats
    n_liquidations: Integers
    long_frac: Floats

    @property
    def map_of_zone(self) -> Integers:
        """The map to which each zone belongs, (z,)."""
        return np.repeat(np.arange(len(self.times_ms)), np.diff(self.offsets))

    def contains(self, maps: Integers, prices: Floats) -> Booleans:
        """Which of the prices (n,) lie in a zone of their map (n,)."""
        found: Booleans = _find_inside(self.offsets, self.low, self.high, maps, prices)
        return found

    def to_frame(self, symbol: str) -> pl.DataFrame:
        """The table `ZONES`."""
        columns = {field.name: getattr(self, field.name) for field in fields(self)[2:]}
        times = pl.Series("time", self.times_ms[self.map_of_zone]).cast(TIME)
        return pl.DataFrame({"time": times, **columns}).select(pl.lit(symbol).alias("symbol"), pl.all())


def map_zones(placed: LevelLiquidations, start_ms: int, end_ms: int, config: ZoneConfig | None = None) -> ZoneMaps:
    """The maps of a symbol whose data begins at `start_ms`, every `refresh_min` until before `end_ms`.

    Each is made of what was known at its moment. A moment with too little known has a map without zones.
    """
    config = config or ZoneConfig()
    step_ms, window_ms = config.refresh_min * MS_PER_MINUTE, round(config.window_h * MS_PER_HOUR)
    first_ms = start_ms + round(config.history_h * MS_PER_HOUR)
    times: Integers = np.arange(-(-first_ms // step_ms) * step_ms, end_ms, step_ms, dtype=np.int64)
    parts, counts = [], []
    for time_ms in times.tolist():
        rows = placed.known_between(time_ms - window_ms, time_ms)
        part = _make_map(placed, rows, config) if rows.stop - rows.start >= config.least_liquidations else _NO_ZONES
        parts.append(part)
        counts.append(part.shape[1])
    low, high, mass_frac, notional, n, long_frac = np.concatenate([_NO_ZONES, *parts], axis=1)
    offsets = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)
    return ZoneMaps(times, offsets, low, high, mass_frac, notional, n.astype(np.int64), long_frac)


_NO_ZONES: Floats = np.empty((6, 0))


def _make_map(placed: LevelLiquidations, rows: slice, config: ZoneConfig) -> Floats:
    """low, high, mass_frac, notional_usd, n_liquidations, long_frac of each zone: (6, z)."""
    density = placed.density(rows)
    first, last = find_runs(placed.levels, select_fullest(density, config.mass_frac))
    is_long = placed.is_long[rows]
    longs = np.bincount(placed.codes[rows], placed.notional_usd[rows] * is_long, len(density))
    counts = np.bincount(placed.codes[rows], minlength=len(density))
    notional, n, long_usd = (_sum_runs(column, first, last) for column in (density, counts, longs))
    return np.stack(
        [
            placed.grid.low_edge(placed.levels[first]),
            placed.grid.low_edge(placed.levels[last] + 1),
            notional / density.sum(),
            notional,
            n,
            long_usd / notional,
        ]
    )


def select_fullest(density: Floats, mass_frac: float) -> Booleans:
    """The fewest levels that hold at least `mass_frac` of the whole, fullest first; of equal ones the lower first.

    The highest density region: Hyndman (1996), "Computing and graphing highest density regions", Am. Statistician 50.

    >>> select_fullest(np.array([1.0, 5.0, 0.0, 4.0]), 0.6).tolist()
    [False, True, False, True]
    """
    order = np.argsort(-density, kind="stable")
    filled = np.cumsum(density[order])
    n_chosen = int(np.searchsorted(filled, mass_frac * filled[-1], side="left")) + 1
    chosen = np.zeros(len(density), dtype=bool)
    chosen[order[:n_chosen]] = True
    return chosen & (density > 0.0)


def find_runs(levels: Integers, chosen: Booleans) -> tuple[Integers, Integers]:
    """First and last place of each run of chosen levels that follow one another without a gap in their numbers."""
    places = np.flatnonzero(chosen)
    breaks = np.flatnonzero(np.diff(levels[places]) > 1)
    ends = np.concatenate([breaks, [len(places) - 1]]).astype(np.int64)
    starts = np.concatenate([[0], breaks + 1]).astype(np.int64)
    return places[starts], places[ends]


def _sum_runs(values: npt.NDArray[Any], first: Integers, last: Integers) -> Floats:
    """Sums from each `first` to its `last`, both included."""
    total = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    return np.asarray(total[last + 1] - total[first])


def find_first_reach(
    known_ms: Integers, prices: Floats, after_ms: Integers, until_ms: Integers, levels: Floats, sides: Floats
) -> Integers:
    """The row of the first price observed after `after_ms`, at or before `until_ms`, at or beyond each level.

    `sides` is +1 for a level above the price, -1 for one below; `NOT_REACHED` where none is. Shapes: prices (n,) with
    `known_ms` ascending, the rest and the result (k,).
    """
    first = np.searchsorted(known_ms, after_ms, side="right")
    last = np.searchsorted(known_ms, until_ms, side="right")
    rows: Integers = _scan_levels(prices, first, last, levels, sides)
    return rows


def find_first_barrier(
    known_ms: Integers, prices: Floats, rows: Integers, widths_bps: Floats, horizon_ms: int
) -> tuple[Integers, Integers]:
    """From the price in each of `rows` (k,): the row that first lies a width away on either side, and which side.

    Sides are +1 and -1; `NOT_REACHED` and 0 where none does within `horizon_ms`. Both barriers are as far in the
    logarithm of the price. Only prices observed after that of the row count.
    """
    last = np.searchsorted(known_ms, known_ms[rows] + horizon_ms, side="right")
    found, sides = _scan_barriers(prices, rows, last, widths_bps / _BPS)
    return found, sides


def _compiled(function: Function) -> Function:
    compiled: Function = njit(cache=True)(function)
    return compiled


@_compiled
def _find_inside(offsets: Any, low: Any, high: Any, maps: Any, prices: Any) -> Any:
    inside = np.zeros(len(prices), np.bool_)
    for i in range(len(prices)):
        for zone in range(offsets[maps[i]], offsets[maps[i] + 1]):
            if low[zone] <= prices[i] < high[zone]:
                inside[i] = True
                break
    return inside


@_compiled
def _scan_levels(prices: Any, first: Any, last: Any, levels: Any, sides: Any) -> Any:
    rows = np.full(len(levels), -1, np.int64)
    for i in range(len(levels)):
        for row in range(first[i], last[i]):
            if sides[i] * (prices[row] - levels[i]) >= 0.0:
                rows[i] = row
                break
    return rows


@_compiled
def _scan_barriers(prices: Any, rows: Any, last: Any, widths: Any) -> Any:
    found, sides = np.full(len(rows), -1, np.int64), np.zeros(len(rows), np.int64)
    for i in range(len(rows)):
        high = prices[rows[i]] * np.exp(widths[i])
        low = prices[rows[i]] * np.exp(-widths[i])
        for row in range(rows[i] + 1, last[i]):
            if prices[row] >= high or prices[row] <= low:
                found[i] = row
                sides[i] = 1 if prices[row] >= high else -1
                break
    return found, sides
