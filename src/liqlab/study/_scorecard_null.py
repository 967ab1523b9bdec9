"""How often noise alone meets each success criterion: the scorecard of many markets without any effect, and its store.

Each seed is one market of the length of a study, scored by the run's own functions. The markets are those of the world
`null`: volatility clusters, assets share a factor, liquidations follow from prices, and nothing follows from them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import polars as pl

from liqlab import __version__
from liqlab.core import schema
from liqlab.core.errors import ConfigError, EnvironmentFailure
from liqlab.core.files import write_text
from liqlab.core.parallel import count_workers, ordered_map
from liqlab.core.progress import SILENT, Progress, stage
from liqlab.core.seed_log import SeedLog
from liqlab.core.time import MS_PER_DAY
from liqlab.features import FeatureStore, iterate_features
from liqlab.lake import FrameLake
from liqlab.models import compute_ic
from liqlab.panel import find_scope
from liqlab.stats import compute_wilson
from liqlab.study._backtest import backtest_recording, score_strategies
from liqlab.study._configuration import StudyConfig
from liqlab.study._evidence_world import build_evidence
from liqlab.study._questions import answer_all
from liqlab.study._scorecard import CRITERIA, score_criteria
from liqlab.study._scorecard_measures import ScorecardEvidence
from liqlab.study._scorecard_rates import Share, read_runs, stored_scorecard
from liqlab.worlds import DEFAULT_START_MS, DEFAULT_SYMBOLS, World, list_dials, simulate_tables

#: Seeds count up from here, apart from those of calibration, estimands and tests.
FIRST_SCORECARD_SEED = 400_000
#: Criteria whose number does not come from the data, so that a market says nothing of them.
_NOT_OF_THE_DATA = ("C7",)


@dataclass(frozen=True)
class ScoredSeed:
    """Whether the market of one seed meets each criterion, by id; None where it is not testable."""

    seed: int
    met: Mapping[str, bool | None]


@dataclass(frozen=True)
class NullScorecard:
    """The seeds of one world at one length; `fingerprint` names the world and settings that they stand for."""

    world: str
    days: float
    symbols: tuple[str, ...]
    fingerprint: str
    seeds: tuple[ScoredSeed, ...] = field(repr=False)

    def rates(self) -> dict[str, Share | None]:
        """By criterion the share of seeds that meet it with its 95 % interval (Wilson); None where none is testable."""
        return {criterion.id: self._rate(criterion.id) for criterion in CRITERIA}

    def _rate(self, identifier: str) -> Share | None:
        flags = [seed.met.get(identifier) for seed in self.seeds]
        if identifier in _NOT_OF_THE_DATA or all(flag is None for flag in flags):
            return None
        share, low, high = compute_wilson(sum(flag is True for flag in flags), len(flags))
        return None if share is None or low is None or high is None else (share, low, high)


@dataclass(frozen=True)
class _SeedTask:
    world: World
    seed: int
    days: float
    symbols: tuple[str, ...]
    config: StudyConfig


def measure_scorecard(
    world: World,
    n_seeds: int,
    *,
    days: float = 9.0,
    symbols: Sequence[str] = DEFAULT_SYMBOLS,
    config: StudyConfig | None = None,
    work: Path | None = None,
    workers: int | None = None,
    progress: Progress = SILENT,
) -> NullScorecard:
    """The scorecard of `n_seeds` independent markets of `world`, from the seed `FIRST_SCORECARD_SEED` on.

    In the folder `work` each seed is kept as soon as it is there: after an interruption, or with more seeds, only the
    missing ones are computed. The answer does not depend on `workers` nor on interruptions. Raises `ConfigError` for
    less than one seed or a length that is not above zero, `EnvironmentFailure` when the disk refuses.
    """
    if n_seeds < 1 or not (days > 0.0 and math.isfinite(days)):
        raise ConfigError(f"a scorecard needs at least one seed and days above 0, got {n_seeds} and {days:g}")
    names, settings = tuple(symbols), config or StudyConfig()
    mark = _fingerprint(world, days, names, settings)
    log = SeedLog(None if work is None else work / f"scorecard-{world.name}-{days:g}d.jsonl", mark)
    done = {seed: ScoredSeed(seed, value) for seed, value in log.read().items()}
    seeds = range(FIRST_SCORECARD_SEED, FIRST_SCORECARD_SEED + n_seeds)
    tasks = [_SeedTask(world, seed, days, names, settings) for seed in seeds if seed not in done]
    with stage(progress, f"scorecard in {world.name}", n_seeds), log:
        progress.advance(n_seeds - len(tasks))
        for found in _score_all(tasks, workers):
            done[found.seed] = found
            log.add(found.seed, dict(found.met))
            progress.advance()
    return NullScorecard(world.name, days, names, mark, tuple(done[seed] for seed in seeds))


def _score_all(tasks: list[_SeedTask], workers: int | None) -> Iterator[ScoredSeed]:
    return ordered_map(_score, tasks, min(count_workers(workers), max(len(tasks), 1)))


def _score(task: _SeedTask) -> ScoredSeed:
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    end_ms = DEFAULT_START_MS + round(task.days * MS_PER_DAY)
    with threadpool_limits(1, "blas"):
        market = simulate_tables(task.world, task.symbols, task.seed, DEFAULT_START_MS, end_ms)
        lake = FrameLake(market.liquidations, market.ticker, market.long_short_ratio)
        rows = score_criteria(gather_market(lake, task.config))
    return ScoredSeed(task.seed, {row.criterion.id: row.measured.met for row in rows})


def gather_market(lake: FrameLake, config: StudyConfig) -> ScorecardEvidence:
    """What the criteria look at, of tables in memory: nothing is quarantined there."""
    evidence = build_evidence(lake, config)
    scope = find_scope(lake, config.symbols, config.start_ms, config.end_ms, config.coverage)
    answers = answer_all(evidence, config.questions)
    features, labels = [], [schema.LABELS.empty()]
    for day in iterate_features(
        lake,
        scope,
        preset=config.cascades.resolve(),
        config=config.features,
        assumed_delay_s=config.assumed_delay_s,
        dataset=config.dataset,
    ):
        features.append(day.features)
        labels.append(day.labels)
    ic = compute_ic(FeatureStore.from_frames(pl.concat(features), pl.concat(labels)), None, config.ic, workers=1)
    return ScorecardEvidence(
        n_liquidations=sum(symbol.liquidations.height for symbol in evidence.symbols.values()),
        reconciled=True,
        n_cascades=sum(symbol.cascades.height for symbol in evidence.symbols.values()),
        preset=config.cascades.resolve(),
        ic=ic.table,
        ic_comparison=ic.comparison,
        tables={name: table for answer in answers for name, table in answer.tables.items()},
        strategies=score_strategies(backtest_recording(lake, scope, config)),
    )


def store_scorecard(scorecard: NullScorecard, path: Path | None = None) -> Path:
    """Write the rates into `path`, in place of those of the same world and length; where they went.

    Raises `EnvironmentFailure` when the disk refuses or the file is damaged.
    """
    path = path or stored_scorecard()
    kept = [run for run in read_runs(path) if (run["world"], run["days"]) != (scorecard.world, scorecard.days)]
    run = {
        "world": scorecard.world,
        "days": scorecard.days,
        "seeds": len(scorecard.seeds),
        "first_seed": scorecard.seeds[0].seed,
        "symbols": list(scorecard.symbols),
        "version": __version__,
        "fingerprint": scorecard.fingerprint,
        "rates": {name: None if rate is None else list(rate) for name, rate in scorecard.rates().items()},
    }
    runs = sorted([*kept, run], key=lambda one: (one["world"], one["days"]))
    content = {"made_by": "liqlab calibrate --scorecard", "runs": runs}
    try:
        write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    except OSError as error:
        raise EnvironmentFailure(f"cannot write {path}: {error.strerror}; name another file with -o") from error
    return path


def _fingerprint(world: World, days: float, symbols: tuple[str, ...], config: StudyConfig) -> str:
    """Changes with the world, the settings, the criteria and the version."""
    basis = {
        "dials": {key: value for key, value in list_dials(world).items() if key not in ("name", "description")},
        "days": days,
        "symbols": symbols,
        "config": asdict(config),
        "criteria": [(one.id, one.reading) for one in CRITERIA],
        "version": __version__,
    }
    return hashlib.sha256(json.dumps(basis, sort_keys=True).encode()).hexdigest()[:16]
