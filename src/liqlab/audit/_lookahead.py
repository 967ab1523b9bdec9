"""The look-ahead audit: the whole chain again from what was known at a cut, and not one earlier value may change."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import polars as pl

from liqlab.audit._lookahead_captures import truncate_captures
from liqlab.audit._lookahead_compare import (
    ColumnCheck,
    Cut,
    Tables,
    WrongValue,
    compare_tables,
    describe_time,
    describe_value,
)
from liqlab.audit._lookahead_cuts import choose_cuts
from liqlab.core.parallel import ordered_map
from liqlab.core.progress import SILENT, Progress, stage

_HEADINGS = {
    "look-ahead": "changed when what came after the cut was taken away",
    "gap": "not null while the recorder was not listening",
}


#: A chain: a folder of captures and a moment (milliseconds UTC) or None, to tables by name, each with `symbol` and
#: `time`, the moment at which a row is claimed to be known. Given a moment, the tables reach at least to it, whatever
#: the captures hold; otherwise to the end of the captures.
Compute = Callable[[Path, int | None], dict[str, pl.DataFrame]]


@dataclass(frozen=True)
class AuditReport:
    """What the audit found: the cuts made, and per rule (`look-ahead`, `gap`) each column it looked at."""

    cuts: tuple[Cut, ...]
    checks: Mapping[str, tuple[ColumnCheck, ...]]

    @property
    def n_values(self) -> int:
        """Values looked at, over all rules, cuts and columns."""
        return sum(check.n_values for checks in self.checks.values() for check in checks)

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong."""
        return not any(self.list_wrong(rule) for rule in self.checks)

    def list_wrong(self, rule: str = "look-ahead", table: str | None = None) -> list[ColumnCheck]:
        """The columns (of one table, or of all) in which `rule` found something wrong, in the order of the tables."""
        return [check for check in self.checks[rule] if check.n_wrong and table in (None, check.table)]

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values for JSON; times in milliseconds UTC."""
        return {"passed": self.passed, "n_values": self.n_values, **asdict(self)}

    def render(self) -> str:
        """The report as text: cuts, tables, and for each wrong column its first wrong time with both values."""
        lines = [f"{len(self.cuts):,} cuts, {self.n_values:,} values compared"]
        lines += [f"  {describe_time(cut.time_ms)}  {cut.kind}" for cut in self.cuts]
        lines += ["", *self._render_tables()]
        empty = dict.fromkeys(check.table for check in self.checks["look-ahead"] if not check.n_values)
        if empty:
            lines += ["", f"not audited, no row at or before a cut: {', '.join(empty)}"]
        for rule, heading in _HEADINGS.items():
            wrong = self.list_wrong(rule)
            if wrong:
                lines += ["", f"{heading}:", *(line for check in wrong for line in _render_wrong(check))]
        n_wrong = sum(len(self.list_wrong(rule)) for rule in self.checks)
        failed = f"LOOK-AHEAD: {n_wrong:,} columns hold values that were not known at their time"
        verdict = failed if n_wrong else "no look-ahead found"
        return "\n".join([*lines, "", verdict])

    def _render_tables(self) -> list[str]:
        names = dict.fromkeys(check.table for check in self.checks["look-ahead"])
        rows = [("table", "columns", "values", "wrong columns")]
        for name in names:
            checks = [check for check in self.checks["look-ahead"] if check.table == name]
            n_values, n_wrong = sum(check.n_values for check in checks), sum(check.n_wrong > 0 for check in checks)
            rows.append((name, f"{len(checks):,}", f"{n_values:,}", f"{n_wrong:,}"))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return ["  ".join([name.ljust(widths[0]), *map(str.rjust, numbers, widths[1:])]) for name, *numbers in rows]


def audit_lookahead(
    captures: Path,
    compute: Compute,
    cuts: int | Sequence[Cut] = 12,
    *,
    seed: int = 0,
    null_in_gaps: Iterable[str] = (),
    publication_lags_ms: Mapping[str, int] | None = None,
    workers: int | None = None,
    progress: Progress = SILENT,
) -> AuditReport:
    """Run `compute` on all of `captures`, then on what was known at each cut, and compare.

    Rule `look-ahead`: every value of every column of every table with `time` at or before the cut is identical in both
    runs, see `compare_tables`. `cuts` are moments, or how many `choose_cuts` shall choose with `seed`.
    `publication_lags_ms` gives, by table of the lake, how long after its known time a row may not be used yet: to the
    run at a cut such rows are not there.

    Rule `gap`: in the full run, the tables named in `null_in_gaps` hold nothing but null at a moment at which table
    `bars_5s` says that the recorder was not listening. A value carried across a gap is made of the past alone, so no
    cut can show it.

    Cuts are worked on side by side in `workers` processes: `compute` must pickle (a function of a module, or
    `functools.partial` of one). What `compute` raises is raised here.
    """
    with tempfile.TemporaryDirectory(prefix="liqlab-audit-") as place:
        with stage(progress, "the whole chain"):
            full = compute(captures, None)
            _save(full, Path(place))
        chosen = choose_cuts(full, cuts, seed) if isinstance(cuts, int) else tuple(cuts)
        gaps = _check_gaps(full, null_in_gaps)
        del full
        found: list[list[ColumnCheck]] = []
        tasks = [_Task(captures, Path(place), compute, cut, publication_lags_ms or {}) for cut in chosen]
        with stage(progress, "the chain at each cut", len(tasks)):
            for checks in ordered_map(_audit_cut, tasks, workers):
                found.append(checks)
                progress.advance()
    return AuditReport(chosen, {"look-ahead": _merge(found), "gap": tuple(gaps)})


@dataclass(frozen=True)
class _Task:
    """One cut: where the captures are, where the full run was saved, what to run."""

    captures: Path
    full: Path
    compute: Compute
    cut: Cut
    publication_lags_ms: Mapping[str, int]


def _audit_cut(task: _Task) -> list[ColumnCheck]:
    with tempfile.TemporaryDirectory(prefix="liqlab-cut-") as place:
        truncate_captures(task.captures, task.cut.time_ms, Path(place), task.publication_lags_ms)
        at_cut = task.compute(Path(place), task.cut.time_ms)
    return compare_tables(_load(task.full), at_cut, task.cut)


def _save(tables: Tables, folder: Path) -> None:
    for number, (name, frame) in enumerate(tables.items()):
        frame.write_ipc(folder / f"{number:03d} {quote(name, safe='')}.arrow")


def _load(folder: Path) -> dict[str, pl.DataFrame]:
    return {unquote(path.stem.split(" ", 1)[1]): pl.read_ipc(path) for path in sorted(folder.glob("*.arrow"))}


def _merge(found: Iterable[Iterable[ColumnCheck]]) -> tuple[ColumnCheck, ...]:
    """The checks of all cuts, one per column; the first wrong value is the one at the earliest time."""
    merged: dict[tuple[str, str], ColumnCheck] = {}
    for checks in found:
        for check in checks:
            key = check.table, check.column
            merged[key] = _add(merged[key], check) if key in merged else check
    return tuple(merged.values())


def _add(ours: ColumnCheck, theirs: ColumnCheck) -> ColumnCheck:
    first = min((wrong for wrong in (ours.first, theirs.first) if wrong is not None), key=_when, default=None)
    n_values, n_wrong = ours.n_values + theirs.n_values, ours.n_wrong + theirs.n_wrong
    return ColumnCheck(ours.table, ours.column, n_values, n_wrong, first)


def _when(wrong: WrongValue) -> float:
    return float("-inf") if wrong.time_ms is None else wrong.time_ms


def _check_gaps(tables: Tables, names: Iterable[str]) -> list[ColumnCheck]:
    """Rule `gap` for each column of the tables."""
    checks = []
    chosen = [name for name in names if name in tables]
    deaf = tables["bars_5s"].filter(~pl.col("covered")).select("symbol", "time") if chosen else pl.DataFrame()
    for name in chosen:
        inside = tables[name].join(deaf, on=["symbol", "time"], how="semi").sort("time", "symbol", maintain_order=True)
        for column in inside.columns:
            if column not in ("symbol", "time"):
                checks.append(_check_gap(name, column, inside))
    return checks


def _check_gap(table: str, column: str, inside: pl.DataFrame) -> ColumnCheck:
    filled = inside.filter(pl.col(column).is_not_null())
    first = None
    if filled.height:
        symbol, time_ms, value = filled.select("symbol", pl.col("time").to_physical(), column).row(0)
        first = WrongValue(time_ms, symbol, describe_value(value), describe_value(None), None)
    return ColumnCheck(table, column, inside.height, filled.height, first)


def _render_wrong(check: ColumnCheck) -> list[str]:
    wrong = check.first
    if wrong is None:
        return []
    when = "" if wrong.time_ms is None else f" at {describe_time(wrong.time_ms)}, {wrong.symbol}"
    lines = [f"  {check.table}.{check.column}: {check.n_wrong:,} of {check.n_values:,} wrong, first{when}"]
    if wrong.cut is None:
        return [*lines, f"    is {wrong.full}, should be {wrong.at_cut}"]
    known = f"from what was known at {describe_time(wrong.cut.time_ms)} ({wrong.cut.kind})"
    return [*lines, f"    {wrong.full} in the full run, {wrong.at_cut} {known}"]
