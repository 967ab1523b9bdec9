"""Calibration kept with the package, and as the page of docs/."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib import resources
from itertools import groupby
from pathlib import Path
from typing import Any

from liqlab.core.errors import EnvironmentFailure
from liqlab.core.files import write_text
from liqlab.study._calibration import Calibration
from liqlab.study._calibration_rates import (
    LENGTHS_DAYS,
    CalibrationRow,
    Criterion,
    check_calibration,
    compute_rates,
    format_rate,
    row_to_record,
)
from liqlab.study._hypotheses import find_hypothesis
from liqlab.study._hypotheses_page import describe_target

_HEAD = """# Calibration

Made by `liqlab calibrate`; run it again instead of editing this page.

Every test was run in many simulated markets whose truth is known, by the run's own functions with its own resample
counts. Shares are in %, with 95 % intervals (Wilson). *Supported* is power where the claim is true there and an error
where it is false; *rejected* the other way round. *p < 0.05* is before the correction for all claims: where the null
hypothesis is true it should be 5 %. *Coverage* is how often the 95 % interval holds the population value. *Testable*
is how often no declared minimum was missing and the test did not doubt itself. A claim is *undefined* in a world where
its population value is too close to the smallest effect that matters to tell.

What a test can see at 9, 30 and 90 days is the effect that would be supported in 80 % of runs so long: from the spread
of the estimates at the calibrated length, scaled by the square root of time, at the strictest step of the correction
for all claims."""

_RATES_HEADER = (
    *("id", "claim is", "population value", "from"),
    *("testable", "supported", "rejected", "p < 0.05", "coverage"),
)


def stored_calibration() -> Path:
    """The package's own file."""
    return Path(str(resources.files("liqlab.study") / "calibration.json"))


def store_calibration(calibration: Calibration, path: Path | None = None) -> Path:
    """Write the rates of a calibration into `path`, in place of those of the same world and length; where they went.

    Raises `EnvironmentFailure` when the disk refuses or the file is damaged.
    """
    path = path or stored_calibration()
    rows = compute_rates(calibration)
    content = _read(path)

    def is_other(record: Mapping[str, Any]) -> bool:
        return (record["world"], record["days"]) != (calibration.world, calibration.days)

    run = {
        "world": calibration.world,
        "days": calibration.days,
        "seeds": len(calibration.seeds),
        "first_seed": calibration.seeds[0].seed,
        "symbols": list(calibration.symbols),
        "fingerprint": calibration.fingerprint,
        "criteria": [asdict(criterion) for criterion in check_calibration(calibration, rows)],
    }
    merged = {
        "made_by": "liqlab calibrate",
        "runs": _sort([*filter(is_other, content["runs"]), run]),
        "rows": _sort([*filter(is_other, content["rows"]), *map(row_to_record, rows)]),
    }
    try:
        write_text(path, json.dumps(merged, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    except OSError as error:
        raise EnvironmentFailure(f"cannot write {path}: {error.strerror}; name another file with -o") from error
    return path


def _sort(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By world and length; those of one run stay in order."""
    return sorted(records, key=lambda record: (record["world"], record["days"]))


def _read(path: Path) -> dict[str, list[dict[str, Any]]]:
    try:
        content = json.loads(path.read_bytes())
        return {"runs": list(content["runs"]), "rows": list(content["rows"])}
    except FileNotFoundError:
        return {"runs": [], "rows": []}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EnvironmentFailure(f"cannot read {path} ({error}); remove it") from error


def build_calibration_page(path: Path | None = None) -> str:
    """The Markdown of docs/calibration.md from what is stored: by world and length, criteria first, then every rate."""
    content = _read(path or stored_calibration())
    parts = [_HEAD]
    for run in content["runs"]:
        own = [row for row in content["rows"] if (row["world"], row["days"]) == (run["world"], run["days"])]
        parts += _describe_run(run, own)
    if not content["runs"]:
        parts.append("Nothing has been calibrated yet.")
    return "\n\n".join(parts) + "\n"


def _describe_run(run: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield f"## `{run['world']}`, {run['days']:g} days"
    yield f"{run['seeds']:,} markets of {len(run['symbols'])} symbols, seeds from {run['first_seed']:,} on."
    yield _list_criteria(run["criteria"])
    yield _table(_RATES_HEADER, (_rate_cells(row) for row in rows if row["testable"][0] > 0.0))
    never = [f"- {row['id']}: {row['hindrance']}" for row in rows if row["testable"][0] == 0.0]
    if never:
        yield "\n".join(["Never testable at this length, and why:", "", *never])
    yield "Smallest effect that is supported in 80 % of runs, beside the smallest that matters:"
    power_header = ("id", "matters", *(f"{days} days" for days in LENGTHS_DAYS))
    yield _table(power_header, (_power_cells(row) for row in rows if row["minimum_detectable"] is not None))


def _list_criteria(criteria: Sequence[Mapping[str, Any]]) -> str:
    """How many of each kind are met, and those that are not."""
    lines = []
    for name, group in groupby(sorted(criteria, key=lambda one: one["name"]), key=lambda one: one["name"]):
        members = list(group)
        failed = [f"{one['id']} {one['found']}" for one in members if not one["passed"]]
        noted = [f"{one['id']} {one['note']}" for one in members if one["note"]]
        met = f"- {name}: met by {len(members) - len(failed)} of {len(members)}"
        missed = f"not met by {', '.join(failed)} %" if failed else ""
        lines.append("; ".join(text for text in (met, missed, *noted) if text))
    return "\n".join(lines)


def _rate_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    value, error = row["population"], row["population_standard_error"]
    known = "–" if value is None else f"{value:.4g}" if not error else f"{value:.4g} ± {error:.2g}"
    rates = (row[name] for name in ("testable", "supported", "rejected", "raw_rejected", "coverage"))
    source = row["population_source"].partition(":")[0]
    return row["id"], row["truth"], known, source, *(format_rate(tuple(rate) if rate else None) for rate in rates)


def _power_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    by_days = row["minimum_detectable_by_days"]
    values = (by_days.get(str(days)) for days in LENGTHS_DAYS)
    target = describe_target(find_hypothesis(row["id"]))
    return row["id"], target, *("–" if value is None else f"{value:.3g}" for value in values)


def _table(header: Sequence[str], rows: Iterator[tuple[str, ...]]) -> str:
    cells = [tuple(text.replace("<", "\\<") for text in row) for row in (tuple(header), *rows)]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join([lines[0], "|" + "---|" * len(header), *lines[1:]])


def render_criteria(criteria: Sequence[Criterion], rows: Sequence[CalibrationRow]) -> str:
    """For a terminal: each criterion with `passes` or `fails`, failures first, and what could not be checked."""
    ordered = sorted(criteria, key=lambda criterion: criterion.passed)
    lines = [
        f"{'passes' if one.passed else 'fails '}  {one.id:<5} {one.name:<14} {one.found} %"
        + (f"; {one.note}" if one.note else "")
        for one in ordered
    ]
    untested = [row.id for row in rows if row.testable is not None and row.testable[0] == 0.0]
    if untested:
        lines.append(f"never testable at this length: {', '.join(untested)}")
    met = sum(one.passed for one in criteria)
    return "\n".join([*lines, f"{met} of {len(criteria)} criteria met"])
