"""How often each test is wrong: every question answered in many simulated markets whose truth is known.

Each seed is one market of the length of a study, answered by the run's own functions with its own resample counts. What
a seed gave is kept, so that an interrupted calibration goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

from liqlab import __version__
from liqlab.core.errors import ConfigError
from liqlab.core.parallel import count_workers, ordered_map
from liqlab.core.progress import SILENT, Progress, stage
from liqlab.core.seed_log import SeedLog
from liqlab.study._backtest import find_defaults
from liqlab.study._configuration import StudyConfig
from liqlab.study._evidence_world import build_evidence, simulate_recording
from liqlab.study._hypotheses import HYPOTHESES
from liqlab.study._inference import QuestionConfig
from liqlab.study._protocol import Judgement, Verdict
from liqlab.study._questions import answer_all, judge_answers
from liqlab.worlds import DEFAULT_SYMBOLS, World, list_dials

#: Seeds count up from here, apart from those of estimands, of the table of information coefficients, and of tests.
FIRST_CALIBRATION_SEED = 300_000
DEFAULT_CALIBRATION_SEEDS = 200
#: Modules of this folder that make numbers or verdicts; the others run, put away or write down.
_DECIDING = ("_evidence", "_inference", "_liquidity", "_placebo", "_protocol", "_q", "_regression", "_symbols")
#: Hypotheses of these questions are calibrated here; strategies are by their audit.
_QUESTION = "Q"


@dataclass(frozen=True)
class Outcome:
    """What one market said of one hypothesis; numbers are None where there are none.

    `decides` is false where a declared minimum was missing or the test could not be trusted.
    """

    effect: float | None
    ci_low: float | None
    ci_high: float | None
    p: float | None
    n: int
    shortfall: str
    doubt: str
    verdict: Verdict

    @property
    def decides(self) -> bool:
        """The test had what it needs, an interval included."""
        return not self.shortfall and not self.doubt and None not in (self.effect, self.ci_low, self.ci_high)


@dataclass(frozen=True)
class SeedOutcomes:
    """The outcome of each hypothesis, by id, in the market of one seed."""

    seed: int
    outcomes: Mapping[str, Outcome]


@dataclass(frozen=True)
class Calibration:
    """The seeds of one world at one length; `fingerprint` names world, settings and code that they stand for."""

    world: str
    days: float
    symbols: tuple[str, ...]
    fingerprint: str
    seeds: tuple[SeedOutcomes, ...] = field(repr=False)

    def outcomes_of(self, identifier: str) -> list[Outcome]:
        """The outcomes of one hypothesis, seed by seed."""
        return [seed.outcomes[identifier] for seed in self.seeds]


@dataclass(frozen=True)
class _SeedTask:
    world: World
    seed: int
    days: float
    symbols: tuple[str, ...]
    config: QuestionConfig


def calibrate(
    world: World,
    n_seeds: int = DEFAULT_CALIBRATION_SEEDS,
    *,
    days: float = 9.0,
    symbols: Sequence[str] = DEFAULT_SYMBOLS,
    config: QuestionConfig | None = None,
    work: Path | None = None,
    workers: int | None = None,
    progress: Progress = SILENT,
) -> Calibration:
    """Every question in `n_seeds` independent markets of `world`, from the seed `FIRST_CALIBRATION_SEED` on.

    In the folder `work` each seed is kept as soon as it is there: after an interruption, or with more seeds, only the
    missing ones are computed; what other dials, settings or code gave is not used. The answer does not depend on
    `workers` nor on interruptions. Raises `ConfigError` for less than one seed or a length that is not above zero,
    `EnvironmentFailure` when the disk refuses.
    """
    if n_seeds < 1 or not (days > 0.0 and math.isfinite(days)):
        raise ConfigError(f"a calibration needs at least one seed and days above 0, got {n_seeds} and {days:g}")
    names, settings = tuple(symbols), config or QuestionConfig()
    mark = _fingerprint(world, days, names, settings)
    log = SeedLog(None if work is None else work / f"calibration-{world.name}-{days:g}d.jsonl", mark)
    done = {seed: _from_plain(seed, value) for seed, value in log.read().items()}
    seeds = range(FIRST_CALIBRATION_SEED, FIRST_CALIBRATION_SEED + n_seeds)
    tasks = [_SeedTask(world, seed, days, names, settings) for seed in seeds if seed not in done]
    with stage(progress, f"calibration in {world.name}", n_seeds), log:
        progress.advance(n_seeds - len(tasks))
        for found in _measure_all(tasks, workers):
            done[found.seed] = found
            log.add(found.seed, {name: asdict(outcome) for name, outcome in found.outcomes.items()})
            progress.advance()
    return Calibration(world.name, days, names, mark, tuple(done[seed] for seed in seeds))


def _measure_all(tasks: list[_SeedTask], workers: int | None) -> Iterator[SeedOutcomes]:
    return ordered_map(_measure, tasks, min(count_workers(workers), max(len(tasks), 1)))


def _measure(task: _SeedTask) -> SeedOutcomes:
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    # Seeds run side by side: BLAS threads of one would only wait for those of the other.
    with threadpool_limits(1, "blas"):
        recording = simulate_recording(task.world, task.seed, task.days, task.symbols)
        settings = StudyConfig(questions=replace(task.config, seed=task.seed))
        answers = answer_all(build_evidence(recording, settings), settings.questions)
        judgements = judge_answers(answers, find_defaults(recording, settings))
    return SeedOutcomes(task.seed, {one.hypothesis.id: _to_outcome(one) for one in judgements})


def _to_outcome(judgement: Judgement) -> Outcome:
    finding = judgement.finding
    return Outcome(
        _number(finding.effect),
        _number(finding.ci_low),
        _number(finding.ci_high),
        _number(finding.p),
        int(finding.n),
        finding.shortfall,
        finding.doubt,
        judgement.verdict,
    )


def _number(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _from_plain(seed: int, value: Mapping[str, Mapping[str, Any]]) -> SeedOutcomes:
    return SeedOutcomes(seed, {name: Outcome(**outcome) for name, outcome in value.items()})


def _fingerprint(world: World, days: float, symbols: tuple[str, ...], config: QuestionConfig) -> str:
    """Changes with anything that may change a verdict, the code of the questions included."""
    basis = {
        "dials": {key: value for key, value in list_dials(world).items() if key not in ("name", "description")},
        "days": days,
        "symbols": symbols,
        "config": asdict(config),
        "hypotheses": [asdict(hypothesis) for hypothesis in HYPOTHESES if hypothesis.id.startswith(_QUESTION)],
        "code": _hash_code(),
        "version": __version__,
    }
    return hashlib.sha256(json.dumps(basis, sort_keys=True).encode()).hexdigest()[:16]


def _hash_code() -> str:
    modules = sorted(
        (file for file in resources.files("liqlab.study").iterdir() if file.name.endswith(".py")),
        key=lambda file: file.name,
    )
    digest = hashlib.sha256()
    for module in modules:
        if module.name.startswith(_DECIDING):
            digest.update(module.name.encode() + module.read_bytes())
    return digest.hexdigest()
