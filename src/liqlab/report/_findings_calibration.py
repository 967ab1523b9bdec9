"""What calibration says of the tests behind the verdicts, beside the verdicts themselves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from liqlab.report._text import MISSING, render_markdown_table
from liqlab.study import HYPOTHESES, Hypothesis, describe_target

Record = Mapping[str, Any]

#: Where a claim is true: the world for which power is required first.
_POWER_WORLDS = ("planted-strong", "planted", "plan")
_FALSE_WORLDS = ("null", "random-walk")
_NOT_CALIBRATED = (
    "**These tests are not calibrated yet.** How often each of them is wrong where the truth is known has not been "
    "measured on enough markets (`liqlab calibrate` measures it): do not bet on a verdict."
)


def render_calibration(
    records: Sequence[Record],
    calibration: Sequence[Record],
    days: float,
    hypotheses: Sequence[Hypothesis] = HYPOTHESES,
    usual_settings: bool = True,
) -> str:
    """How often the test of each claim errs and what it can see over about `days`, as Markdown.

    `records` are the verdicts, `calibration` the rows of `read_calibration`. Without any row: that the tests are not
    calibrated. `usual_settings` is false when the run tested with other settings than those that were calibrated.
    """
    known = {row["id"] for row in calibration}
    shown = [one for one in hypotheses if one.id in known]
    if not shown:
        return _NOT_CALIBRATED
    told = {record["id"]: record for record in records}
    length = nearest_length(days, calibration)
    rows = [_row(one, [row for row in calibration if row["id"] == one.id], days, length, told) for one in shown]
    header = [
        *(
            "id",
            "supported though false",
            "supported where true",
            f"seen over {length} days in 80 % of runs",
            "matters",
        ),
        "testable here",
    ]
    parts = [
        "How far to trust these tests: each was run in simulated markets whose truth is known (`liqlab explain ID` "
        "shows all of it). Shares of markets in %, with 95 % intervals and the world; where a claim is true or false "
        "in no calibrated world there is no share. *Seen*: the effect beyond its null value that 80 % of runs of "
        "that length would support.",
        render_markdown_table(header, rows, "lllrrl"),
        *_list_gaps(hypotheses, known, usual_settings),
    ]
    return "\n\n".join(parts)


def nearest_length(days: float, calibration: Sequence[Record]) -> str:
    """The length for which minimum detectable effects are given that is nearest to `days` by ratio."""
    lengths: set[str] = {length for row in calibration for length in row.get("minimum_detectable_by_days", {})} or {"9"}
    return min(lengths, key=lambda length: (_distance(float(length), days), float(length)))


def _row(
    hypothesis: Hypothesis, rows: Sequence[Record], days: float, length: str, told: Mapping[str, Record]
) -> list[str]:
    record = told.get(hypothesis.id)
    return [
        hypothesis.id,
        _rate(_choose(rows, "false", _FALSE_WORLDS, days)),
        _rate(_choose(rows, "true", _POWER_WORLDS, days)),
        _detectable(rows, length, days),
        describe_target(hypothesis),
        MISSING if record is None else "no" if record["verdict"] == "not testable" else "yes",
    ]


def _choose(rows: Sequence[Record], truth: str, worlds: Sequence[str], days: float) -> Record | None:
    """Of the rows in which the claim is so: the first of these worlds, else by name, and of it the nearest length."""
    own = [row for row in rows if row["truth"] == truth and row["supported"] is not None]

    def rank(row: Record) -> tuple[int, str, float]:
        place = worlds.index(row["world"]) if row["world"] in worlds else len(worlds)
        return place, row["world"], _distance(row["days"], days)

    return min(own, key=rank, default=None)


def _rate(row: Record | None) -> str:
    if row is None:
        return MISSING
    share, low, high = (100.0 * value for value in row["supported"])
    return f"{share:.1f} ({low:.1f} to {high:.1f}), `{row['world']}`, {row['days']:g} days"


def _detectable(rows: Sequence[Record], length: str, days: float) -> str:
    """From the world that is most like a recording: where nothing is planted, else any."""
    own = [row for row in rows if row.get("minimum_detectable_by_days", {}).get(length) is not None]
    order = ("plan", *_FALSE_WORLDS)
    best = min(
        own,
        key=lambda row: (
            order.index(row["world"]) if row["world"] in order else len(order),
            row["world"],
            _distance(row["days"], days),
        ),
        default=None,
    )
    return MISSING if best is None else f"{best['minimum_detectable_by_days'][length]:.3g}"


def _list_gaps(hypotheses: Sequence[Hypothesis], known: set[str], usual_settings: bool) -> Iterator[str]:
    missing = [one.id for one in hypotheses if one.id not in known]
    if missing:
        yield f"Not calibrated yet: {', '.join(missing)}; do not bet on these."
    if not usual_settings:
        yield (
            "This run tested with other settings (`[questions]` in its configuration) than those that were calibrated: "
            "the rates above need not hold for it."
        )


def _distance(first: float, second: float) -> float:
    return abs(math.log(first / max(second, 1e-3)))
