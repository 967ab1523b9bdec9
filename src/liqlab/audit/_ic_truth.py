"""What the table of information coefficients finds in worlds where it is known what there is to find.

In the `null` world nothing follows from a liquidation, so no liquidation feature may survive the correction against a
forward return, but for the share of seeds that the level allows. In a world with planted effects the planted relations
must be found, with the right sign.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from liqlab import __version__
from liqlab.core import schema
from liqlab.core.errors import ConfigError
from liqlab.core.parallel import count_workers, ordered_map
from liqlab.core.progress import SILENT, Progress, stage
from liqlab.core.seed_log import SeedLog
from liqlab.core.time import MS_PER_DAY
from liqlab.features import FEATURES, LIQUIDATION_FAMILIES, FeatureStore, iterate_features
from liqlab.lake import FrameLake
from liqlab.models import IcConfig, compute_ic
from liqlab.panel import find_scope
from liqlab.stats import compute_wilson
from liqlab.worlds import DEFAULT_START_MS, DEFAULT_SYMBOLS, World, list_dials, simulate_tables

#: Seeds count up from here, apart from those of estimands, examples and tests.
FIRST_IC_SEED = 200_000
ALPHA = 0.05
#: A run's own settings for the correlations with returns; the fewest resamples, for nothing rests on them here.
TRUTH_CONFIG = IcConfig(volatility_horizons_s=(), regimes=False, n_resamples=99)


@dataclass(frozen=True)
class PlantedRelation:
    """A relation that the dials of `planted` and `planted-strong` put there, and its sign.

    A forced order moves the price with its pressure, and more of the same follows within a minute: shorts liquidated
    (imbalance > 0) go before a rise, longs liquidated (imbalance < 0) before a fall.
    """

    feature: str
    horizon_s: int
    sign: int


PLANTED_RELATIONS = (
    PlantedRelation("liq_imbalance", 10, 1),
    PlantedRelation("liq_imbalance", 30, 1),
    PlantedRelation("liq_imbalance", 60, 1),
    PlantedRelation("liq_imbalance_5m", 60, 1),
)


@dataclass(frozen=True)
class SeedIc:
    """One seed's table: liquidation features that survive against a return, and the pooled planted relations.

    `survivors` are (feature, symbol, horizon_s, ic); `planted` (feature, horizon_s, ic, p_adjusted), None where there
    is no number; `tested` counts the rows of the family with a p-value.
    """

    seed: int
    tested: int
    survivors: tuple[tuple[str, str, int, float], ...]
    planted: tuple[tuple[str, int, float | None, float | None], ...]


@dataclass(frozen=True)
class IcTruth:
    """The seeds of one world, and what they say; intervals are Wilson's, 95 %."""

    world: str
    days: int
    symbols: tuple[str, ...]
    seeds: tuple[SeedIc, ...]

    @property
    def n_with_survivors(self) -> int:
        """Seeds in which at least one liquidation feature survives against a forward return."""
        return sum(bool(seed.survivors) for seed in self.seeds)

    def share_with_survivors(self) -> tuple[float | None, float | None, float | None]:
        """The share of such seeds with its 95 % interval."""
        return compute_wilson(self.n_with_survivors, len(self.seeds))

    def count_found(self, relation: PlantedRelation) -> tuple[int, int]:
        """Seeds in which the relation survives with its sign, and with the other one."""
        rows = [
            (ic, p)
            for seed in self.seeds
            for feature, horizon, ic, p in seed.planted
            if (feature, horizon) == (relation.feature, relation.horizon_s)
        ]
        found = [ic for ic, p in rows if ic is not None and p is not None and p < ALPHA]
        right = sum(ic * relation.sign > 0 for ic in found)
        return right, len(found) - right


#: Worlds in which nothing follows from a liquidation, and those where the planted relations are.
_NOTHING_THERE = ("null", "random-walk")
_PLANTED_THERE = ("planted", "planted-strong")
#: Of the seeds, how many may hold a false discovery, and in how many a planted relation must be found.
MOST_WITH_SURVIVORS_FRAC = 0.1
LEAST_FOUND_FRAC = 0.8


def check_ic_truth(truth: IcTruth) -> tuple[str, ...]:
    """What does not hold in this world, in words; nothing is asked of worlds without a known answer."""
    n_seeds, failures = len(truth.seeds), []
    if truth.world in _NOTHING_THERE and truth.n_with_survivors > MOST_WITH_SURVIVORS_FRAC * n_seeds:
        failures.append(f"a liquidation feature survives in {truth.n_with_survivors} of {n_seeds} seeds")
    if truth.world in _PLANTED_THERE:
        for relation in PLANTED_RELATIONS:
            right, wrong = truth.count_found(relation)
            if right < LEAST_FOUND_FRAC * n_seeds or wrong:
                failures.append(
                    f"{relation.feature} over {relation.horizon_s} s is found with its sign in {right} and with the "
                    f"other in {wrong} of {n_seeds} seeds"
                )
    return tuple(failures)


def render_ic_truth(truth: IcTruth) -> str:
    """What was found, as lines of text."""
    share, low, high = truth.share_with_survivors()
    tests = sorted(seed.tested for seed in truth.seeds)
    cells = sum(len(seed.survivors) for seed in truth.seeds)
    lines = [
        f"world {truth.world}: {len(truth.seeds)} seeds of {truth.days} days, {len(truth.symbols)} symbols, "
        f"{tests[len(tests) // 2]:,} coefficients with forward returns tested in each (median)",
        f"seeds in which a liquidation feature survives the correction against a forward return: "
        f"{truth.n_with_survivors} ({100 * (share or 0):.0f} %, 95 % interval {100 * (low or 0):.0f} to "
        f"{100 * (high or 0):.0f} %), {cells:,} cells in all",
    ]
    for relation in PLANTED_RELATIONS:
        right, wrong = truth.count_found(relation)
        sign = "+" if relation.sign > 0 else "-"
        lines.append(
            f"{relation.feature} with the return over {relation.horizon_s} s (planted sign {sign}), all symbols: found "
            f"with this sign in {right}, with the other in {wrong} seeds"
        )
    return "\n".join(lines)


@dataclass(frozen=True)
class _SeedTask:
    world: World
    seed: int
    days: int
    symbols: tuple[str, ...]
    config: IcConfig


def measure_ic_truth(
    world: World,
    n_seeds: int,
    *,
    days: int = 9,
    symbols: tuple[str, ...] = DEFAULT_SYMBOLS,
    config: IcConfig | None = None,
    work: Path | None = None,
    workers: int | None = None,
    progress: Progress = SILENT,
) -> IcTruth:
    """The table of information coefficients in `n_seeds` independent markets of `world`, by the run's own functions.

    Interrupted, or called again with more seeds, it goes on from what the folder `work` holds. `config` is by default a
    run less what has no part in the family of returns: volatilities, regimes, and the bootstrap beside the p that is
    corrected. Raises `ConfigError` for less than one seed or day.
    """
    if n_seeds < 1 or days < 1:
        raise ConfigError(f"seeds and days must be at least 1, got {n_seeds} and {days}")
    settings = config or TRUTH_CONFIG
    mark = _fingerprint(world, days, symbols, settings)
    log = SeedLog(None if work is None else work / f"ic-{world.name}.jsonl", mark)
    done = {seed: _from_plain(value) for seed, value in log.read().items()}
    seeds = range(FIRST_IC_SEED, FIRST_IC_SEED + n_seeds)
    tasks = [_SeedTask(world, seed, days, symbols, settings) for seed in seeds if seed not in done]
    with stage(progress, f"information coefficients of {world.name}", n_seeds), log:
        progress.advance(n_seeds - len(tasks))
        for found in _measure_all(tasks, workers):
            done[found.seed] = found
            log.add(found.seed, asdict(found))
            progress.advance()
    return IcTruth(world.name, days, symbols, tuple(done[seed] for seed in seeds))


def _measure_all(tasks: list[_SeedTask], workers: int | None) -> Iterator[SeedIc]:
    return ordered_map(_measure, tasks, min(count_workers(workers), max(len(tasks), 1)))


def _measure(task: _SeedTask) -> SeedIc:
    end_ms = DEFAULT_START_MS + task.days * MS_PER_DAY
    market = simulate_tables(task.world, task.symbols, task.seed, DEFAULT_START_MS, end_ms)
    lake = FrameLake(market.liquidations, market.ticker, market.long_short_ratio)
    features, labels = [], [schema.LABELS.empty()]
    for day in iterate_features(lake, find_scope(lake)):
        features.append(day.features)
        labels.append(day.labels)
    store = FeatureStore.from_frames(pl.concat(features), pl.concat(labels))
    return _read_table(task.seed, compute_ic(store, None, task.config, workers=1).table)


def _read_table(seed: int, table: pl.DataFrame) -> SeedIc:
    own = [feature.name for feature in FEATURES if feature.family in LIQUIDATION_FAMILIES]
    family = table.filter((pl.col("target") == "return") & (pl.col("regime") == "all"))
    rows = family.filter(pl.col("feature").is_in(own) & (pl.col("p_adjusted") < ALPHA))
    pooled = {
        (row["feature"], row["horizon_s"]): (row["ic"], row["p_adjusted"])
        for row in family.filter(pl.col("symbol") == "ALL").iter_rows(named=True)
    }
    return SeedIc(
        seed,
        family["p"].drop_nulls().len(),
        tuple(rows.select("feature", "symbol", "horizon_s", "ic").iter_rows()),
        tuple(
            (one.feature, one.horizon_s, *pooled.get((one.feature, one.horizon_s), (None, None)))
            for one in PLANTED_RELATIONS
        ),
    )


def _from_plain(value: dict[str, Any]) -> SeedIc:
    survivors = tuple((name, symbol, horizon, ic) for name, symbol, horizon, ic in value["survivors"])
    planted = tuple((name, horizon, ic, p) for name, horizon, ic, p in value["planted"])
    return SeedIc(value["seed"], value["tested"], survivors, planted)


def _fingerprint(world: World, days: int, symbols: tuple[str, ...], config: IcConfig) -> str:
    basis = {
        "dials": list_dials(world),
        "days": days,
        "symbols": symbols,
        "config": asdict(config),
        "relations": [asdict(one) for one in PLANTED_RELATIONS],
        "version": __version__,
    }
    return hashlib.sha256(json.dumps(basis, sort_keys=True).encode()).hexdigest()[:16]
