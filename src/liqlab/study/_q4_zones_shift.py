"""How much of the map of zones is new a day later, beyond chance in which liquidations were drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.core.schema import COUNT, FLOAT, SYMBOL, TIME, Column, Table
from liqlab.core.time import MS_PER_DAY, MS_PER_MINUTE
from liqlab.panel import LevelLiquidations, PriceGrid, ZoneConfig, select_fullest
from liqlab.stats import Estimate, estimate_by_influence
from liqlab.study._evidence import STEP_MS, Evidence, SymbolEvidence

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

ZONE_SHIFT = Table(
    "zone_shift",
    "one symbol's map of a day (UTC) beside that of the day before",
    (
        Column("symbol", SYMBOL, "", "instrument"),
        Column("time", TIME, "ms UTC", "the midnight that begins the day"),
        Column("n_liquidations", COUNT, "", "liquidations of the day"),
        Column("n_episodes", COUNT, "", "episodes of the day: liquidations without a silence of 1 min"),
        Column("new_frac", FLOAT, "fraction", "share of the day's zone mass outside the zones of the day before"),
        Column("new_half_frac", FLOAT, "fraction", "the same between random halves of the two days"),
        Column("chance_frac", FLOAT, "fraction", "the same between two random halves of the day itself"),
        Column("centre_shift_bps", FLOAT, "bps", "notional-weighted mean liquidation price against the day before"),
    ),
)

_EPISODE_GAP_MS = MS_PER_MINUTE
#: On the levels of the zones themselves two halves of one day agree in a tenth: nothing could be told from chance.
_LEVELS_TOGETHER = 4
_N_SPLITS = 40
#: Episodes of a day below which halves of it say nothing.
_LEAST_EPISODES = 8
_LEAST_COVERED_FRAC = 0.6


@dataclass(frozen=True)
class _Day:
    """A day's liquidations: its midnight, their rows, and the episode of each, numbered from 0."""

    start_ms: int
    rows: slice
    episode: Integers
    n_episodes: int


def measure_shift(evidence: Evidence, config: ZoneConfig, seed: int) -> pl.DataFrame:
    """The table `ZONE_SHIFT`: each covered day (UTC) with a covered day before it, symbol after symbol.

    Maps are on levels four times as wide as those of the zones. Days with too few liquidations or episodes are left
    out.
    """
    wide = replace(config, level_usd=_LEVELS_TOGETHER * config.level_usd, level_bps=_LEVELS_TOGETHER * config.level_bps)
    records = []
    for code, (name, symbol) in enumerate(evidence.symbols.items()):
        own = LevelLiquidations.gather(symbol.liquidations, PriceGrid.of(name, wide))
        days = _list_days(symbol, own, config)
        for before, day in pairwise(days):
            if day.start_ms - before.start_ms == MS_PER_DAY:
                random = np.random.default_rng([seed, code, day.start_ms // MS_PER_DAY])
                records.append((name, *_compare_days(own, before, day, config, random)))
    return pl.DataFrame(records, schema=ZONE_SHIFT.dtypes, orient="row")


def infer_shift(shift: pl.DataFrame) -> Estimate:
    """The share of the reproducible part of a day's map that is new a day later, errors clustered by day.

    1 - (what halves of neighbouring days have in common) / (what halves of one day have in common), both summed over
    symbols and days: 0 where a day is like another half of the one before, 1 where they have nothing in common. Null
    hypothesis: it is 0; alternative: it is not. The influence is that of a ratio of sums.
    """
    common, reproducible = (1.0 - shift[name].to_numpy() for name in ("new_half_frac", "chance_frac"))
    days = shift["time"].to_physical().to_numpy()
    total = float(reproducible.sum())
    if not total > 0.0:
        return estimate_by_influence(float("nan"), np.zeros(len(days)), days)
    ratio = float(common.sum()) / total
    return estimate_by_influence(1.0 - ratio, (ratio * reproducible - common) / total, days)


def list_density(evidence: Evidence, config: ZoneConfig) -> pl.DataFrame:
    """The table `LIQUIDATION_DENSITY`."""
    parts = [LIQUIDATION_DENSITY.empty()]
    for name, symbol in evidence.symbols.items():
        grid = PriceGrid.of(name, config)
        own = LevelLiquidations.gather(symbol.liquidations, grid)
        if not len(own.known_ms):
            continue
        rows = pl.DataFrame(
            {
                "time": pl.Series(own.known_ms // MS_PER_DAY * MS_PER_DAY).cast(TIME),
                "level": own.levels[own.codes],
                "long_notional_usd": np.where(own.is_long, own.notional_usd, 0.0),
                "short_notional_usd": np.where(own.is_long, 0.0, own.notional_usd),
            }
        )
        sums = rows.group_by("time", "level").agg(
            pl.col("long_notional_usd", "short_notional_usd").sum(), n_liquidations=pl.len().cast(COUNT)
        )
        sums = sums.sort("time", "level")
        levels = sums["level"].to_numpy()
        edges = {"low": grid.low_edge(levels), "high": grid.low_edge(levels + 1)}
        columns = [pl.Series(key, values) for key, values in edges.items()]
        named = sums.with_columns(*columns, symbol=pl.lit(name))
        parts.append(named.select(LIQUIDATION_DENSITY.names))
    return pl.concat(parts)


LIQUIDATION_DENSITY = Table(
    "liquidation_density",
    "what one symbol's liquidations of a day (UTC) add up to on one price level",
    (
        Column("symbol", SYMBOL, "", "instrument"),
        Column("time", TIME, "ms UTC", "the midnight that begins the day, by known time"),
        Column("low", FLOAT, "USD", "lower edge of the level: $100 wide for Bitcoin, 15 bps for the others"),
        Column("high", FLOAT, "USD", "upper edge"),
        Column("long_notional_usd", FLOAT, "USD", "notional of liquidated longs, by liquidation price"),
        Column("short_notional_usd", FLOAT, "USD", "notional of liquidated shorts"),
        Column("n_liquidations", COUNT, "", "number of liquidations"),
    ),
)


def _list_days(symbol: SymbolEvidence, placed: LevelLiquidations, config: ZoneConfig) -> list[_Day]:
    """Days that were covered, with enough liquidations and episodes."""
    if not len(symbol.times_ms):
        return []
    day_of_row = (symbol.times_ms - STEP_MS) // MS_PER_DAY
    days, first = np.unique(day_of_row, return_index=True)
    covered = np.add.reduceat(symbol.covered.astype(np.int64), first)
    found = []
    for day in days[covered * STEP_MS >= _LEAST_COVERED_FRAC * MS_PER_DAY].tolist():
        rows = placed.known_between(day * MS_PER_DAY - 1, (day + 1) * MS_PER_DAY - 1)
        known = placed.known_ms[rows]
        episode = np.cumsum(np.diff(known, prepend=known[:1]) >= _EPISODE_GAP_MS, dtype=np.int64)
        n_episodes = int(episode[-1]) + 1 if len(episode) else 0
        if len(known) >= config.least_liquidations and n_episodes >= _LEAST_EPISODES:
            found.append(_Day(day * MS_PER_DAY, rows, episode, n_episodes))
    return found


def _compare_days(
    placed: LevelLiquidations, before: _Day, day: _Day, config: ZoneConfig, random: np.random.Generator
) -> tuple[int, int, int, float, float, float, float]:
    """The row of `ZONE_SHIFT` but for the symbol; the time as milliseconds."""
    whole, earlier = placed.density(day.rows), placed.density(before.rows)
    new, chance = [], []
    for _ in range(_N_SPLITS):
        half, other = _split(placed, day, random)
        past, _ = _split(placed, before, random)
        new.append(_share_outside(half, past, config))
        chance.append(_share_outside(half, other, config))
    return (
        day.start_ms,
        day.rows.stop - day.rows.start,
        day.n_episodes,
        _share_outside(whole, earlier, config),
        float(np.mean(new)),
        float(np.mean(chance)),
        1e4 * float(np.log(_centre(placed, whole) / _centre(placed, earlier))),
    )


def _split(placed: LevelLiquidations, day: _Day, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Densities of two halves of a day's episodes, drawn at random."""
    chosen = np.zeros(day.n_episodes, dtype=bool)
    chosen[random.permutation(day.n_episodes)[: day.n_episodes // 2]] = True
    inside = chosen[day.episode]
    rows = np.arange(day.rows.start, day.rows.stop)
    return placed.density(rows[inside]), placed.density(rows[~inside])


def _share_outside(density: Floats, earlier: Floats, config: ZoneConfig) -> float:
    """Share of the mass of the zones of `density` that lies outside the zones of `earlier`."""
    zones, others = (select_fullest(one, config.mass_frac) for one in (density, earlier))
    return float(density[zones & ~others].sum() / density[zones].sum())


def _centre(placed: LevelLiquidations, density: Floats) -> float:
    return float((density * placed.grid.low_edge(placed.levels)).sum() / density.sum())
