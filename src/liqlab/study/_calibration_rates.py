"""What the seeds of a calibration say of each test: how often it errs, what it covers, what it can see."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from liqlab.stats import compute_wilson
from liqlab.study._calibration import Calibration, Outcome
from liqlab.study._hypotheses import HYPOTHESES
from liqlab.study._protocol import ALPHA, Hypothesis

Truth = Literal["true", "false", "undefined"]
#: A share with its 95 % interval (Wilson); None where there was nothing to count.
Rate = tuple[float, float, float] | None

#: Lengths of data for which the minimum detectable effect is given, in days.
LENGTHS_DAYS = (9, 30, 90)
#: Seeds that a population value from estimates needs, with which it is taken for known.
ENOUGH_SEEDS = 500
COVERAGE_FRAC = (0.93, 0.97)
LEAST_POWER_FRAC = 0.8
POWER_WORLD, POWER_DAYS = "planted-strong", 9.0
_95_PERCENT = 1.959963984540054
#: Quantile of the normal distribution for 80 % power.
_POWER_Z = 0.8416212335729143

#: Worlds in which nothing follows from a liquidation: there these estimands are their null value by construction.
_WITHOUT_EFFECTS = ("null", "random-walk")
_EFFECTS = (
    *("Q1.1", "Q1.2", "Q1.3", "Q1.4", "Q2.1", "Q2.2", "Q2.3", "Q2.4", "Q4.1", "Q4.2", "Q4.3"),
    *("Q6.2", "Q6.3", "Q6.4", "Q7.1", "Q7.3", "Q7.4"),
)


@dataclass(frozen=True)
class PopulationValue:
    """What the estimand is in a world, and how that is known; None where it is not.

    `declared` values follow from how the world is made. Else it is the mean of the estimates over all seeds whose test
    decides, with its standard error; over fewer than `ENOUGH_SEEDS` it is provisional.
    """

    value: float | None
    standard_error: float | None
    n_seeds: int
    declared: bool

    @property
    def source(self) -> str:
        """How the value is known, in words."""
        if self.declared:
            return "declared: nothing follows from a liquidation in this world"
        if self.value is None:
            return "unknown: too few seeds could be tested"
        provisional = "" if self.n_seeds >= ENOUGH_SEEDS else f", provisional: fewer than {ENOUGH_SEEDS}"
        return f"mean estimate of {self.n_seeds} seeds{provisional}"


@dataclass(frozen=True)
class CalibrationRow:
    """One hypothesis in one world at one length.

    `testable` is the share of seeds in which no minimum was missing and the test did not doubt itself, `hindrance` the
    most frequent reason in the others. `supported` and `rejected` are shares of all seeds, None where none is testable;
    `raw_rejected` (p below 0.05 before adjustment) and `coverage` (of the population value by the 95 % interval) are
    shares of the testable ones. `minimum_detectable` is by length in days, from the spread of the estimates, scaled by
    the square root of time.
    """

    id: str
    world: str
    days: float
    seeds: int
    truth: Truth
    population: PopulationValue
    testable: Rate
    hindrance: str
    supported: Rate
    rejected: Rate
    raw_rejected: Rate
    coverage: Rate
    minimum_detectable: Mapping[int, float | None]
    own_minimum_detectable: float | None

    @property
    def null_is_true(self) -> bool:
        """The estimand is its null value by construction, so that every rejection is an error."""
        return self.population.declared


@dataclass(frozen=True)
class Criterion:
    """One requirement on one hypothesis, or on the whole family (`ALL`): what was found, and whether it is met."""

    id: str
    name: str
    found: str
    passed: bool
    note: str = ""


def compute_rates(
    calibration: Calibration, hypotheses: Sequence[Hypothesis] = HYPOTHESES
) -> tuple[CalibrationRow, ...]:
    """One row for each hypothesis, in the order of the catalogue."""
    return tuple(_compute_row(calibration, hypothesis) for hypothesis in hypotheses)


def _compute_row(calibration: Calibration, hypothesis: Hypothesis) -> CalibrationRow:
    outcomes = calibration.outcomes_of(hypothesis.id)
    deciding = [outcome for outcome in outcomes if outcome.decides]
    population = find_population(hypothesis, calibration.world, outcomes)
    n = len(outcomes)
    with_p = [outcome.p for outcome in deciding if outcome.p is not None]
    spread = _measure_spread(deciding)
    return CalibrationRow(
        hypothesis.id,
        calibration.world,
        calibration.days,
        n,
        judge_truth(hypothesis, population),
        population,
        _rate(len(deciding), n),
        _find_hindrance(outcomes),
        _rate(sum(outcome.verdict == "supported" for outcome in outcomes), n) if deciding else None,
        _rate(sum(outcome.verdict == "rejected" for outcome in outcomes), n) if deciding else None,
        _rate(sum(p < ALPHA for p in with_p), len(with_p)),
        _cover(deciding, population),
        {days: _detect(hypothesis, spread, calibration.days, days) for days in LENGTHS_DAYS},
        _detect(hypothesis, spread, calibration.days, calibration.days),
    )


def _find_hindrance(outcomes: Sequence[Outcome]) -> str:
    reasons = Counter(
        outcome.shortfall or outcome.doubt or "the test gave no interval" for outcome in outcomes if not outcome.decides
    )
    return min(reasons, key=lambda reason: (-reasons[reason], reason), default="")


def find_population(hypothesis: Hypothesis, world: str, outcomes: Sequence[Outcome]) -> PopulationValue:
    """The population value of an estimand: declared where the world's construction gives it, else the mean estimate."""
    if world in _WITHOUT_EFFECTS and hypothesis.id in _EFFECTS:
        return PopulationValue(hypothesis.null_value, 0.0, len(outcomes), declared=True)
    effects = [outcome.effect for outcome in outcomes if outcome.decides and outcome.effect is not None]
    if len(effects) < 2:
        return PopulationValue(None, None, len(effects), declared=False)
    error = float(np.std(effects, ddof=1) / math.sqrt(len(effects)))
    return PopulationValue(float(np.mean(effects)), error, len(effects), declared=False)


def judge_truth(hypothesis: Hypothesis, population: PopulationValue) -> Truth:
    """Whether the claim holds: the population value, with its 95 % interval, against what matters or is claimed."""
    if population.value is None or population.standard_error is None:
        return "undefined"
    reach = _95_PERCENT * population.standard_error
    if hypothesis.claimed_range is not None:
        low, high = hypothesis.claimed_range
        inside = low <= population.value - reach and population.value + reach <= high
        outside = population.value + reach < low or population.value - reach > high
        return "true" if inside else "false" if outside else "undefined"
    gain = hypothesis.direction * (population.value - hypothesis.null_value)
    if gain - reach >= hypothesis.delta:
        return "true"
    return "false" if gain + reach < hypothesis.delta else "undefined"


def _cover(deciding: Sequence[Outcome], population: PopulationValue) -> Rate:
    if population.value is None:
        return None
    held = sum(
        outcome.ci_low <= population.value <= outcome.ci_high
        for outcome in deciding
        if outcome.ci_low is not None and outcome.ci_high is not None
    )
    return _rate(held, len(deciding))


def _rate(count: int, n: int) -> Rate:
    share, low, high = compute_wilson(count, n)
    return None if share is None or low is None or high is None else (share, low, high)


def _measure_spread(deciding: Sequence[Outcome]) -> float | None:
    effects = [outcome.effect for outcome in deciding if outcome.effect is not None]
    return float(np.std(effects, ddof=1)) if len(effects) > 1 else None


def _detect(hypothesis: Hypothesis, spread: float | None, measured_days: float, days: float) -> float | None:
    """The effect beyond the null value that would be supported in 80 % of runs over `days`.

    With the standard deviation s of the estimates, which falls with the square root of time, the larger of
    (z + 0.84) s, z the two-sided normal quantile at the strictest step of Holm's correction over the whole family, and
    delta + 0.84 s. None for a claim of a range, and without two estimates.
    """
    from scipy.special import ndtri

    if spread is None or hypothesis.claimed_range is not None:
        return None
    scaled = spread * math.sqrt(measured_days / days)
    strictest = -float(ndtri(ALPHA / 2.0 / len(HYPOTHESES)))
    return max((strictest + _POWER_Z) * scaled, hypothesis.delta + _POWER_Z * scaled)


def check_calibration(calibration: Calibration, rows: Sequence[CalibrationRow]) -> tuple[Criterion, ...]:
    """What is required of the tests, hypothesis by hypothesis, as far as this world can say.

    Size: where the null hypothesis is true by construction, the 95 % interval of the raw rejection rate reaches 5 % or
    below. Coverage: that of the coverage meets [93, 97] %; more is reported, not held against the test. Power: in
    `planted-strong` at 9 days a true claim is supported in at least 80 % of seeds. Errors: any false claim is supported
    in at most 5 % of seeds, within binomial error.
    """
    found = [criterion for row in rows for criterion in _check_row(row)]
    return (_check_family(calibration, rows), *found)


def _check_row(row: CalibrationRow) -> Iterator[Criterion]:
    if row.null_is_true and row.raw_rejected is not None:
        yield Criterion(row.id, "size", format_rate(row.raw_rejected), row.raw_rejected[1] <= ALPHA)
    if row.coverage is not None:
        low, high = COVERAGE_FRAC
        over = "covers too often" if row.coverage[1] > high else ""
        yield Criterion(row.id, "coverage", format_rate(row.coverage), row.coverage[2] >= low, over)
    if row.world == POWER_WORLD and row.days == POWER_DAYS and row.truth == "true" and row.supported is not None:
        yield Criterion(row.id, "power", format_rate(row.supported), row.supported[0] >= LEAST_POWER_FRAC)


def _check_family(calibration: Calibration, rows: Sequence[CalibrationRow]) -> Criterion:
    false = [row.id for row in rows if row.truth == "false"]
    wrong = [[name for name in false if seed.outcomes[name].verdict == "supported"] for seed in calibration.seeds]
    rate = _rate(sum(bool(names) for names in wrong), len(wrong)) or (0.0, 0.0, 1.0)
    names = sorted({name for names in wrong for name in names})
    note = f"supported though false: {', '.join(names)}" if names else ""
    return Criterion("ALL", "false support", format_rate(rate), rate[1] <= ALPHA, note)


def format_rate(rate: Rate) -> str:
    """A share with its interval in %.

    >>> format_rate((0.05, 0.021, 0.112)), format_rate(None)
    ('5.0 (2.1 to 11.2)', '–')
    """
    return "–" if rate is None else "{:.1f} ({:.1f} to {:.1f})".format(*(100.0 * value for value in rate))


def row_to_record(row: CalibrationRow) -> dict[str, Any]:
    """A row as plain values, for JSON: what `read_calibration` of the report gives."""
    population = row.population
    return {
        "id": row.id,
        "world": row.world,
        "days": row.days,
        "seeds": row.seeds,
        "truth": row.truth,
        "population": population.value,
        "population_standard_error": population.standard_error,
        "population_source": population.source,
        "hindrance": row.hindrance,
        "minimum_detectable": row.own_minimum_detectable,
        "minimum_detectable_by_days": {str(days): value for days, value in row.minimum_detectable.items()},
        **{
            name: None if rate is None else list(rate)
            for name, rate in (
                ("testable", row.testable),
                ("supported", row.supported),
                ("rejected", row.rejected),
                ("raw_rejected", row.raw_rejected),
                ("coverage", row.coverage),
            )
        },
    }
