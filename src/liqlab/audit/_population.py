"""Population values of every estimand in a world: many seeds side by side, kept on the way, stored with the package."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from liqlab import __version__
from liqlab.audit._estimand import ESTIMANDS, Estimand, Population, SeedSums, estimate_population
from liqlab.core.errors import ConfigError, EnvironmentFailure
from liqlab.core.files import write_text
from liqlab.core.parallel import count_workers, ordered_map
from liqlab.core.progress import SILENT, Progress, stage
from liqlab.core.seed_log import SeedLog
from liqlab.core.time import MS_PER_DAY
from liqlab.worlds import (
    DEFAULT_START_MS,
    WORLD_NAMES,
    World,
    compute_free_paths,
    list_dials,
    load_world,
    simulate_tables,
)

#: Symbols of each seed's market: the two largest and one further out.
POPULATION_SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
#: Seeds count up from here, far from those that examples, tests and reports use.
FIRST_SEED = 100_000
DEFAULT_SEEDS = 500
_MINUTES_PER_HOUR = 60.0
_HOURS_PER_DAY = 24.0


@dataclass(frozen=True)
class _SeedTask:
    world: World
    seed: int
    days: int


@dataclass(frozen=True)
class WorldPopulation:
    """The population values of one world by estimand. `fingerprint` names the dials and the version they stand for."""

    world: str
    fingerprint: str
    days: int
    symbols: tuple[str, ...]
    first_seed: int
    values: dict[str, Population]


def stored_estimands() -> Path:
    """The package's own file of population values."""
    return Path(str(resources.files("liqlab.audit") / "estimands.json"))


def compute_population(
    world: World,
    n_seeds: int = DEFAULT_SEEDS,
    *,
    work: Path | None = None,
    workers: int | None = None,
    progress: Progress = SILENT,
    estimands: Sequence[Estimand] = ESTIMANDS,
) -> WorldPopulation:
    """The population values of `estimands` in `world` from the seeds `FIRST_SEED` on.

    Each seed is one market of `POPULATION_SYMBOLS`, a day long, or long enough to hold the world's shock. In the folder
    `work` each seed's sums are kept as soon as they are there: after an interruption, or with more seeds, only the
    missing ones are computed. The answer does not depend on `workers` nor on interruptions. Raises `ConfigError` for
    less than one seed, `EnvironmentFailure` when the disk refuses.
    """
    if n_seeds < 1:
        raise ConfigError(f"the number of seeds must be at least 1, got {n_seeds}")
    days, mark = _days(world), fingerprint(world)
    kept = SeedLog(None if work is None else work / f"{world.name}.jsonl", mark)
    done = {seed: {name: SeedSums(**one) for name, one in sums.items()} for seed, sums in kept.read().items()}
    seeds = range(FIRST_SEED, FIRST_SEED + n_seeds)
    missing = [_SeedTask(world, seed, days) for seed in seeds if seed not in done]
    with stage(progress, f"estimands of {world.name}", n_seeds):
        progress.advance(n_seeds - len(missing))
        with kept:
            for task, sums in zip(missing, _measure_all(missing, workers), strict=True):
                done[task.seed] = sums
                kept.add(task.seed, {name: asdict(one) for name, one in sums.items()})
                progress.advance()
    values = {one.id: estimate_population(one, [done[seed][one.id] for seed in seeds]) for one in estimands}
    return WorldPopulation(world.name, mark, days, POPULATION_SYMBOLS, FIRST_SEED, values)


def _measure_all(tasks: Sequence[_SeedTask], workers: int | None) -> Iterator[dict[str, SeedSums]]:
    return ordered_map(_measure, tasks, min(count_workers(workers), max(len(tasks), 1)))


def _measure(task: _SeedTask) -> dict[str, SeedSums]:
    """Every estimand of the catalogue in one seed's market."""
    end_ms = DEFAULT_START_MS + task.days * MS_PER_DAY
    tables = simulate_tables(task.world, POPULATION_SYMBOLS, task.seed, DEFAULT_START_MS, end_ms)
    free = compute_free_paths(task.world, POPULATION_SYMBOLS, task.seed, DEFAULT_START_MS, end_ms)
    return {estimand.id: estimand.compute(tables, free) for estimand in ESTIMANDS}


def _days(world: World) -> int:
    price = world.price
    if price.shock_return_frac == 0.0:
        return 1
    end_h = price.shock_start_h + price.shock_duration_min / _MINUTES_PER_HOUR
    return max(1, math.ceil(end_h / _HOURS_PER_DAY))


def fingerprint(world: World) -> str:
    """Names what population values stand for: dials, symbols, days, version. Changes with any of them."""
    dials = {key: value for key, value in list_dials(world).items() if key not in ("name", "description")}
    basis = {
        "dials": dials,
        "symbols": POPULATION_SYMBOLS,
        "days": _days(world),
        "start_ms": DEFAULT_START_MS,
        "estimands": [estimand.id for estimand in ESTIMANDS],
        "version": __version__,
    }
    return hashlib.sha256(json.dumps(basis, sort_keys=True).encode()).hexdigest()[:16]


def read_estimands(path: Path | None = None) -> dict[str, Any]:
    """Stored population values by world, as plain values; the package's own by default, empty when there are none."""
    try:
        content = json.loads((path or stored_estimands()).read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise EnvironmentFailure(f"cannot read {path or stored_estimands()} ({error}); remove it") from error
    worlds = content.get("worlds", {})
    return worlds if isinstance(worlds, dict) else {}


def store_estimands(populations: Sequence[WorldPopulation], path: Path | None = None) -> Path:
    """Write population values into `path`, beside those of other worlds that it holds; where they went."""
    path = path or stored_estimands()
    worlds = read_estimands(path)
    for population in populations:
        worlds[population.world] = _as_plain(population)
    content = {"made_by": "liqlab worlds estimand", "worlds": dict(sorted(worlds.items()))}
    try:
        write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    except OSError as error:
        raise EnvironmentFailure(f"cannot write {path}: {error.strerror}; name another file with -o") from error
    return path


def _as_plain(population: WorldPopulation) -> dict[str, Any]:
    plain = asdict(population)
    for estimand in ESTIMANDS:
        if estimand.id in plain["values"]:
            claim = {name: getattr(estimand, name) for name in ("claim", "unit", "null_value", "direction", "delta")}
            plain["values"][estimand.id] = claim | plain["values"][estimand.id]
    return plain


def list_stale(path: Path | None = None) -> list[str]:
    """The worlds whose stored population values belong to other dials or another version, or do not exist."""
    stored = read_estimands(path)
    return [name for name in WORLD_NAMES if stored.get(name, {}).get("fingerprint") != fingerprint(load_world(name))]
