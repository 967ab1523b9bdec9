"""Markets in which it is known what can be earned: nothing at all, or what was planted after each cascade."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.audit._published_fade_world import RandomWalkConfig, make_random_walk
from liqlab.backtest import MarketInputs, PricePath
from liqlab.core.config import bounded, check_bounds
from liqlab.core.schema import LIQUIDATIONS, LONG, SHORT, TIME
from liqlab.core.time import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE, MS_PER_S

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

START_MS = 1_770_595_200_000
_BPS = 1e-4
#: Prices within a second: its observation is the last of them, with the extremes of all.
_TICKS_PER_S = 4
_TICK_MS = MS_PER_S // _TICKS_PER_S
_KNOWN_AFTER_MS = 300
_FIRST_PRICE = 1_000.0
#: How far a liquidation's own price lies from the market's.
_BANKRUPTCY_FRAC = 1e-3
_FUNDING_MS = 8 * MS_PER_HOUR


@dataclass(frozen=True)
class TruthWorld:
    """Prices every second that move without drift, and liquidations in bursts.

    With `push_bps` 0 nothing can be earned: the price is a martingale, though the bursts follow it, mostly longs after
    a fall and shorts after a rise. With more, cascades of about $1.2M come every `every_min`, know nothing of the walk,
    push the price by so much with their pressure, and `back_frac` of it comes back evenly over the `back_s` after the
    last liquidation.
    """

    days: float = bounded(3.0, 0.1, 365.0)
    n_symbols: int = bounded(3, 1, 20)
    annual_volatility_frac: float = bounded(0.6, 0.0, 10.0)
    push_bps: float = bounded(0.0, 0.0, 1_000.0)
    back_frac: float = bounded(0.0, 0.0, 1.0)
    back_s: float = bounded(300.0, 1.0, 3_600.0)
    every_min: float = bounded(40.0, 30.0, 1_440.0)

    def __post_init__(self) -> None:
        check_bounds(self)

    @property
    def end_ms(self) -> int:
        """The end of the span."""
        return START_MS + round(self.days * MS_PER_DAY)


@dataclass(frozen=True)
class TruthMarket:
    """A market, and by symbol what was planted up to each observation, (n,), in USD.

    The price is M D with M a martingale and D known from the cascades; `planted` is the sum of M(i - 1) (D(i) -
    D(i - 1)). So the price less `planted` is a martingale: one unit held from observation a to observation b, left by
    any rule that does not know the future, earns planted(b) - planted(a) on average.
    """

    inputs: MarketInputs
    planted: Mapping[str, Floats]


@dataclass(frozen=True)
class _Rows:
    """Liquidations of one symbol by event time, arrays (m,)."""

    event_ms: Integers
    is_long: Booleans
    notional_usd: Floats


def make_truth_market(seed: int, world: TruthWorld) -> TruthMarket:
    """The market of a seed; symbols are independent. The same seed gives the same cascades at any volatility."""
    tables, paths, planted = [LIQUIDATIONS.empty()], {}, {}
    for code in range(world.n_symbols):
        name = f"SYMBOL{code}"
        generator = np.random.default_rng([seed, code])
        walk = _walk(generator, world)
        if world.push_bps:
            rows, moved = _plant_cascades(generator, world, walk)
            path = _observe(name, walk * moved, None, world)
            last = slice(_TICKS_PER_S - 1, None, _TICKS_PER_S)
            steps = walk[last][:-1] * np.diff(moved[last])
        else:
            gap = _draw_gap(generator, world)
            rows = _draw_bursts(generator, world, walk, gap)
            path = _observe(name, walk, (generator, gap), world)
            steps = np.zeros(max(len(path.price) - 1, 0))
        tables.append(_frame(name, rows, path))
        paths[name], planted[name] = path, np.append(0.0, np.cumsum(steps))
    inputs = MarketInputs.gather(pl.concat(tables), paths, START_MS, world.end_ms)
    return TruthMarket(inputs, planted)


def _walk(generator: np.random.Generator, world: TruthWorld) -> Floats:
    """The martingale at every tick."""
    config = RandomWalkConfig(
        days=world.days,
        tick_s=1.0 / _TICKS_PER_S,
        annual_volatility_frac=world.annual_volatility_frac,
        n_liquidations=0,
        start_price=_FIRST_PRICE,
        start_ms=START_MS,
    )
    return make_random_walk(int(generator.integers(2**62)), config).price


def _tick_ms(n: int) -> Integers:
    """When each of n ticks comes: the last of a second at its end."""
    return START_MS + _TICK_MS * np.arange(1, n + 1, dtype=np.int64)


def _observe(
    name: str, price: Floats, dirt: tuple[np.random.Generator, Integers] | None, world: TruthWorld
) -> PricePath:
    """One observation per second; with `dirt` spreads, funding of which some is unknown, and a gap."""
    ticks = price[: price.size // _TICKS_PER_S * _TICKS_PER_S].reshape(-1, _TICKS_PER_S)
    last, low, high = ticks[:, -1], ticks.min(axis=1), ticks.max(axis=1)
    known_ms = START_MS + MS_PER_S * np.arange(1, len(ticks) + 1)
    if dirt is None:
        return PricePath.from_ticks(
            name, known_ms, last, low, high, interval_ms=MS_PER_S, covered=[(START_MS, world.end_ms)]
        )
    generator, gap = dirt
    half_spread = np.where(generator.random(len(last)) < 0.7, generator.uniform(0.1, 1.0, len(last)) * _BPS, np.nan)
    funding_ms = np.arange(START_MS + _FUNDING_MS, world.end_ms, _FUNDING_MS)
    rate = generator.normal(0.0, 2e-4, funding_ms.size)
    rate[generator.random(funding_ms.size) < 0.2] = np.nan
    kept = (known_ms < gap[0]) | (known_ms >= gap[1])
    return PricePath.from_ticks(
        name,
        known_ms[kept],
        last[kept],
        low[kept],
        high[kept],
        (last * (1.0 - half_spread))[kept],
        (last * (1.0 + half_spread))[kept],
        funding_ms,
        rate,
        interval_ms=MS_PER_S,
        covered=[(START_MS, gap[0]), (gap[1], world.end_ms)],
    )


def _draw_gap(generator: np.random.Generator, world: TruthWorld) -> Integers:
    """The start and end of 10 to 60 minutes in which the recorder does not listen."""
    length_ms = int(generator.integers(10, 61)) * MS_PER_MINUTE
    start_ms = int(generator.integers(START_MS + MS_PER_HOUR, world.end_ms - 2 * MS_PER_HOUR))
    return np.array([start_ms, start_ms + length_ms])


def _draw_bursts(generator: np.random.Generator, world: TruthWorld, walk: Floats, gap: Integers) -> _Rows:
    """Twenty single liquidations an hour, and two bursts of 4 to 59 with a heavy tail of sizes.

    Nine in ten of a burst are of the side that the last minute's price moved against.
    """
    hours = (world.end_ms - START_MS) / MS_PER_HOUR
    singles = generator.integers(START_MS, world.end_ms, round(20 * hours))
    times, longs = [singles], [generator.random(singles.size) < 0.5]
    for moment in generator.integers(START_MS + MS_PER_MINUTE, world.end_ms, round(2 * hours)).tolist():
        n = int(generator.integers(4, 60))
        now, before = (max((time_ms - START_MS) // _TICK_MS - 1, 0) for time_ms in (moment, moment - MS_PER_MINUTE))
        times.append(moment + np.cumsum(generator.integers(0, 6, n) * 250))
        longs.append((generator.random(n) < 0.9) == (walk[now] < walk[before]))
    event_ms, is_long = np.concatenate(times), np.concatenate(longs)
    known_ms = event_ms + _KNOWN_AFTER_MS
    kept = np.flatnonzero((known_ms < world.end_ms) & ((known_ms < gap[0]) | (known_ms >= gap[1])))
    kept = kept[np.argsort(event_ms[kept], kind="stable")]
    return _Rows(event_ms[kept], is_long[kept], np.exp(generator.normal(10.0, 1.5, kept.size)))


def _plant_cascades(generator: np.random.Generator, world: TruthWorld, walk: Floats) -> tuple[_Rows, Floats]:
    """Cascades of eight liquidations of about $150,000, and what they make of the price: a factor for every tick."""
    every_ms = round(world.every_min * MS_PER_MINUTE)
    moments = np.arange(START_MS + every_ms // 2, world.end_ms - every_ms // 2, every_ms)
    moments = moments + generator.integers(0, every_ms // 8, moments.size)
    waits = np.concatenate([np.zeros((moments.size, 1)), generator.uniform(200, 1_500, (moments.size, 7))], axis=1)
    event_ms = moments[:, None] + np.cumsum(waits, axis=1).astype(np.int64)
    is_long = generator.random(moments.size) < 0.5
    notional_usd = generator.uniform(140_000.0, 160_000.0, event_ms.shape)
    push = np.where(is_long, -1.0, 1.0) * world.push_bps * _BPS
    stays = np.append(0.0, np.cumsum(push * (1.0 - world.back_frac)))
    times = np.stack([event_ms[:, 0], event_ms[:, -1], event_ms[:, -1] + round(world.back_s * MS_PER_S)], axis=1)
    levels = np.stack([stays[:-1], stays[:-1] + push, stays[1:]], axis=1)
    moved = np.exp(np.interp(_tick_ms(walk.size), times.ravel(), levels.ravel()))
    return _Rows(event_ms.ravel(), np.repeat(is_long, 8), notional_usd.ravel()), moved


def _frame(name: str, rows: _Rows, path: PricePath) -> pl.DataFrame:
    """The table of liquidations, each known a little after it happened."""
    n = rows.event_ms.size
    place = np.maximum(np.searchsorted(path.known_ms, rows.event_ms, side="right") - 1, 0)
    price = path.price[place] * np.where(rows.is_long, 1.0 - _BANKRUPTCY_FRAC, 1.0 + _BANKRUPTCY_FRAC)
    columns = {
        "symbol": [name] * n,
        "exchange": ["made"] * n,
        "event_time": pl.Series(rows.event_ms).cast(TIME),
        "push_time": pl.Series(rows.event_ms).cast(TIME),
        "known_time": pl.Series(rows.event_ms + _KNOWN_AFTER_MS).cast(TIME),
        "liquidated_side": np.where(rows.is_long, LONG, SHORT).tolist(),
        "quantity": rows.notional_usd / price,
        "price": price,
        "notional_usd": rows.notional_usd,
        "source_file": [""] * n,
        "source_line": np.arange(1, n + 1),
        "position": np.zeros(n, np.int64),
    }
    return pl.DataFrame(columns, schema=LIQUIDATIONS.dtypes)
