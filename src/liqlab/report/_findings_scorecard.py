"""The scorecard in the findings: the plan's success criteria, and what meeting one is worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from liqlab.report._text import MISSING, format_count, render_markdown_table
from liqlab.report._words import percent
from liqlab.study import UNINFORMATIVE_FRAC

Record = Mapping[str, Any]

_STATUSES = ("met", "met, uninformative", "not met", "not testable")


def render_scorecard(records: Sequence[Record], heading: str = "## Scorecard") -> str:
    """The records of `scorecard.json` as Markdown: counts, the table, how each was read, and the null world's rates."""
    counts = Counter(record["status"] for record in records)
    said = ", ".join(f"{counts[status]} {status}" for status in _STATUSES if counts[status])
    rows = [
        [
            record["id"],
            record["level"],
            _escape(record["as_written"]),
            _escape(record["measured"] or record["reason"]),
            _interval(record),
            f"**{record['status']}**" if record["status"] == "met" else record["status"],
            _null_rate(record),
        ]
        for record in records
    ]
    header = ["id", "level", "as written", "measured", "95 % interval", "", "met in the null world"]
    parts = [
        heading,
        f"The plan's {len(records)} success criteria, read as they are written: {said}. {_say_null(records)}",
        render_markdown_table(header, rows, "lllllll"),
        "\n".join(["How each is read, and what to mind:", "", *_list_readings(records)]),
    ]
    return "\n\n".join(parts)


def _say_null(records: Sequence[Record]) -> str:
    known = [record for record in records if record["null_rate"] is not None]
    most = percent(UNINFORMATIVE_FRAC, 0)
    if not known:
        return (
            "How often each is met where liquidations have no effect at all has not been measured yet (`liqlab "
            "calibrate --scorecard` does): a criterion that noise meets too says nothing."
        )
    first = known[0]
    return (
        f"The last column is the share of {format_count(first['null_seeds'])} simulated markets of "
        f"{first['null_days']:g} days in which nothing follows from a liquidation, and which meet the criterion all "
        f"the same. Above {most} it is called uninformative: meeting it says nothing about liquidations. The minimum "
        "criteria ask whether the work was done, so any market meets them."
    )


def _interval(record: Record) -> str:
    if record["interval"] is None:
        return MISSING
    low, high = record["interval"]
    if low is None or high is None:
        return MISSING
    decimals = 3 if max(abs(low), abs(high)) < 1 else 2
    text = f"{low:.{decimals}f} to {high:.{decimals}f}"
    p = record["p_adjusted"]
    return text if p is None else f"{text}, adjusted p {'<0.0001' if p < 0.0001 else f'{p:.4f}'}"


def _null_rate(record: Record) -> str:
    if record["null_rate"] is None:
        return "not measured"
    low, high = record["null_interval"]
    return f"{percent(record['null_rate'], 0)} ({100 * low:.0f} to {100 * high:.0f})"


def _list_readings(records: Sequence[Record]) -> Iterator[str]:
    for record in records:
        reason = f"not testable: {record['reason']}" if record["met"] is None else ""
        parts = (record["criterion"], reason, record["note"])
        yield f"- {record['id']}: {_escape('; '.join(part.rstrip('.') for part in parts if part))}."


def _escape(text: str) -> str:
    return text.replace("<", "\\<").replace(">", "\\>")
