"""The scorecard: the success criteria of the research plan, measured, and how often noise alone meets each.

A criterion is read as it is written: where the plan names a threshold, the estimate is held against it, and where it
asks whether one thing beats another, or is significant, the interval or the p decides. What a criterion is worth says
the rate at which it is met in the null world, where nothing follows from a liquidation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from liqlab.study._backtest import score_strategies
from liqlab.study._records import ALL, Study
from liqlab.study._scorecard_measures import (
    Measured,
    ScorecardEvidence,
    measure_backtests,
    measure_cascades,
    measure_contagion,
    measure_detector,
    measure_explained,
    measure_families,
    measure_ic,
    measure_imbalance,
    measure_parsing,
    measure_sharpe,
    measure_sharpe_out_of_sample,
    measure_zones,
)
from liqlab.study._scorecard_rates import NullRate, read_null_rates

SCORECARD_FILE = "scorecard.json"
#: Met in more than this share of null worlds, a criterion says nothing of liquidations.
UNINFORMATIVE_FRAC = 0.2
_HOURS_PER_DAY = 24.0

Level = Literal["minimum", "good", "excellent"]
Status = Literal["met", "met, uninformative", "not met", "not testable"]


@dataclass(frozen=True)
class Criterion:
    """One success criterion of the plan: in its words, how it is read here, and what measures it."""

    id: str
    level: Level
    as_written: str
    reading: str
    measure: Callable[[ScorecardEvidence], Measured]


@dataclass(frozen=True)
class ScorecardRow:
    """A criterion, what was measured, and the rate at which noise alone meets it; None where that is not known."""

    criterion: Criterion
    measured: Measured
    null_rate: NullRate | None = None

    @property
    def status(self) -> Status:
        """What to say of it."""
        if self.measured.met is None:
            return "not testable"
        if not self.measured.met:
            return "not met"
        noisy = self.null_rate is not None and self.null_rate.share[0] > UNINFORMATIVE_FRAC
        return "met, uninformative" if noisy else "met"


#: A plain tuple, in the plan's order.
CRITERIA: tuple[Criterion, ...] = (
    Criterion(
        "C1",
        "minimum",
        "Successfully parse and aggregate liquidations data",
        "every record read is kept, quarantined or a duplicate, and at least one liquidation is there",
        measure_parsing,
    ),
    Criterion(
        "C2",
        "minimum",
        "Detect at least 50 cascade events across all symbols",
        "cascades of the run's preset",
        measure_cascades,
    ),
    Criterion(
        "C3",
        "minimum",
        "Calculate liquidation imbalance and test IC (even if negative)",
        "at least one IC of an imbalance with a forward return has a p",
        measure_imbalance,
    ),
    Criterion(
        "C4",
        "minimum",
        "Backtest at least 2 strategies with full metrics",
        "strategies with at least 30 trades, below which their metrics mean nothing",
        measure_backtests,
    ),
    Criterion(
        "C5",
        "good",
        "Liquidation features show IC > 0.05 for some horizons",
        "largest IC without its sign of any liquidation feature with a forward return at any horizon, all symbols",
        measure_ic,
    ),
    Criterion(
        "C6",
        "good",
        "At least 1 strategy has Sharpe > 1.0 in-sample",
        "best annual Sharpe ratio of daily net returns, default or scaled parameters, at least 30 trades, in-sample",
        measure_sharpe,
    ),
    Criterion(
        "C7",
        "good",
        "Cascade detection accuracy > 70%",
        "F1 of detected against causal cascades; only a simulated market says which liquidation caused which",
        measure_detector,
    ),
    Criterion(
        "C8",
        "good",
        "Liquidations explain >30% of OI changes",
        "R² of OI changes on liquidated quantity, bars of 5 min, all regimes and symbols",
        measure_explained,
    ),
    Criterion(
        "C9",
        "excellent",
        "Liquidation features outperform OI/funding features",
        "mean signed daily IC with forward returns less that of OI and funding features; its whole interval above 0",
        measure_families,
    ),
    Criterion(
        "C10",
        "excellent",
        "Multiple strategies with Sharpe > 1.5 in-sample and > 1.0 out-of-sample",
        "strategies above both, at least two; in-sample with default or scaled parameters, out of sample out of fold",
        measure_sharpe_out_of_sample,
    ),
    Criterion(
        "C11",
        "excellent",
        "Cross-asset contagion is statistically significant",
        "any ordered pair with BTC whose conditional response is positive with an adjusted p below 0.05",
        measure_contagion,
    ),
    Criterion(
        "C12",
        "excellent",
        "Liquidation zones predict reversals with >60% accuracy",
        "share of first touches of a zone that reverse, of those that reach a barrier at all",
        measure_zones,
    ),
)


def compute_scorecard(study: Study, null_rates: Mapping[str, NullRate] | None = None) -> tuple[ScorecardRow, ...]:
    """The twelve criteria on a study, in the plan's order.

    Without backtests the criteria that need them are not testable. `null_rates` by criterion are by default those kept
    with the package, of the length nearest to the data's.
    """
    evidence = gather_scorecard(study)
    known = (
        read_null_rates((study.statistics[ALL].covered_hours or 0.0) / _HOURS_PER_DAY)
        if null_rates is None
        else null_rates
    )
    rows = score_criteria(evidence)
    return tuple(replace(row, null_rate=known.get(row.criterion.id)) for row in rows)


def gather_scorecard(study: Study) -> ScorecardEvidence:
    """What of a study the criteria look at."""
    return ScorecardEvidence(
        n_liquidations=study.liquidations.height,
        reconciled=all(row.holds for row in study.reconciliation),
        n_cascades=study.cascades.height,
        preset=study.config.cascades.resolve(),
        ic=study.ic.table,
        ic_comparison=study.ic.comparison,
        tables=study.question_tables,
        strategies=None if study.backtests is None else score_strategies(study.backtests),
    )


def score_criteria(evidence: ScorecardEvidence, criteria: Sequence[Criterion] = CRITERIA) -> tuple[ScorecardRow, ...]:
    """Each criterion measured, without the rate in the null world."""
    return tuple(ScorecardRow(criterion, criterion.measure(evidence)) for criterion in criteria)


def scorecard_to_json(rows: Iterable[ScorecardRow]) -> list[dict[str, Any]]:
    """The content of `scorecard.json`: one record for each criterion, in the plan's order.

    Beside what DESIGN names (`criterion`, `as_written`, `measured`, `interval`, `met`, `null_rate`) it has `id`,
    `level`, `value`, `p_adjusted`, `status`, `reason` (why it is not testable), `note`, and of the null rate its
    interval, seeds, world and days. What does not exist is null.
    """
    return [_to_record(row) for row in rows]


def _to_record(row: ScorecardRow) -> dict[str, Any]:
    criterion, measured, rate = row.criterion, row.measured, row.null_rate
    return {
        "id": criterion.id,
        "level": criterion.level,
        "criterion": criterion.reading,
        "as_written": criterion.as_written,
        "measured": measured.words,
        "value": _number(measured.value),
        "interval": None if measured.interval is None else [float(end) for end in measured.interval],
        "p_adjusted": _number(measured.p_adjusted),
        "met": measured.met,
        "status": row.status,
        "reason": measured.reason,
        "note": measured.note,
        "null_rate": None if rate is None else rate.share[0],
        "null_interval": None if rate is None else list(rate.share[1:]),
        "null_seeds": None if rate is None else rate.seeds,
        "null_world": None if rate is None else rate.world,
        "null_days": None if rate is None else rate.days,
    }


def _number(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)
