"""The audit audited: every planted bug must be caught, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from liqlab.audit._chain import ChainConfig, compute_chain
from liqlab.audit._lookahead import AuditReport, audit_lookahead
from liqlab.audit._lookahead_compare import ColumnCheck
from liqlab.audit._planted import PLANTED_BUGS, get_planted_bug
from liqlab.core.progress import SILENT, Progress

#: Tables of the chain that must hold nothing where the recorder was not listening.
NULL_IN_GAPS = ("features",)


@dataclass(frozen=True)
class SelfTest:
    """`caught`: by name of each planted bug the column in which its rule found it, None where it did not.

    `false_alarms` are columns of the chain's own tables in which something was found; `report` is the whole audit.
    """

    caught: Mapping[str, ColumnCheck | None]
    false_alarms: tuple[ColumnCheck, ...]
    report: AuditReport

    @property
    def passed(self) -> bool:
        """Whether every bug was caught, and nothing else."""
        return not self.false_alarms and all(self.caught.values())


def audit_chain(
    captures: Path,
    config: ChainConfig | None = None,
    n_cuts: int = 12,
    *,
    seed: int = 0,
    workers: int | None = None,
    progress: Progress = SILENT,
) -> AuditReport:
    """`audit_lookahead` of `compute_chain`: rule `gap` for the features, publication lags from the configuration."""
    config = config or ChainConfig()
    planted = [bug.table for bug in map(get_planted_bug, config.planted) if bug.rule == "gap"]
    return audit_lookahead(
        captures,
        partial(compute_chain, config=config),
        n_cuts,
        seed=seed,
        null_in_gaps=[*NULL_IN_GAPS, *planted],
        publication_lags_ms=config.publication_lags_ms,
        workers=workers,
        progress=progress,
    )


def self_test_chain(
    captures: Path,
    config: ChainConfig | None = None,
    n_cuts: int = 12,
    *,
    seed: int = 0,
    workers: int | None = None,
    progress: Progress = SILENT,
) -> SelfTest:
    """The audit of the chain with every bug of `PLANTED_BUGS` in it, see `audit_chain`."""
    planted = replace(config or ChainConfig(), planted=tuple(bug.name for bug in PLANTED_BUGS))
    report = audit_chain(captures, planted, n_cuts, seed=seed, workers=workers, progress=progress)
    caught = {bug.name: next(iter(report.list_wrong(bug.rule, bug.table)), None) for bug in PLANTED_BUGS}
    tables = {bug.table for bug in PLANTED_BUGS}
    others = (check for rule in report.checks for check in report.list_wrong(rule) if check.table not in tables)
    return SelfTest(caught, tuple(others), report)
