"""Verdicts as text of at most 100 columns and as Markdown, and one hypothesis in full."""

from __future__ import annotations

import json
import math
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any

from liqlab.core.errors import EnvironmentFailure
from liqlab.report._ic_reading import format_p
from liqlab.report._text import MISSING, TEXT_WIDTH, format_count, render_markdown_table, render_table
from liqlab.report._words import plural
from liqlab.study import QUESTIONS, VERDICTS, Hypothesis, describe_hypothesis, find_hypothesis

Record = Mapping[str, Any]

NOT_TESTABLE = "not testable"
#: Where `liqlab calibrate` leaves its rates, in the package of the questions.
_CALIBRATION = ("liqlab.study", "calibration.json")
_RATES = ("supported", "rejected", "raw_rejected", "coverage")
_HEADER = ("verdict", "id", "effect (95 % interval) and unit", "adjusted p", "n")
_WIDTHS = (12, 4, 52, 10, 12)
_CLAIM_INDENT, _WHY_INDENT = 20 * " ", 22 * " "
_READING = (
    "Supported: above no effect, at least as large as what matters, and significant among all claims (adjusted p). "
    "Rejected: an effect that matters is ruled out; a small one may exist. Inconclusive: the data cannot tell. Not "
    "testable: a minimum declared before is missing. `liqlab explain ID RESULTS` says more."
)


def count_verdicts(records: Sequence[Record]) -> str:
    """How many claims there are of each verdict, in words.

    >>> count_verdicts([{"verdict": "supported"}, {"verdict": "rejected"}, {"verdict": "rejected"}])
    '3 claims: 1 supported, 2 rejected, 0 inconclusive, 0 not testable'
    """
    counts = Counter(record["verdict"] for record in records)
    return f"{plural(len(records), 'claim')}: " + ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS)


def render_verdict_table(records: Sequence[Record]) -> str:
    """The verdicts (see `study.read_verdicts`) for a terminal, by question; no line is longer than 100 columns.

    Verdict first, then effect with 95 % interval and unit, p adjusted over the whole family, number of cases, and the
    claim. Below a claim: why it is inconclusive, what is missing to test it, and notes. Nothing is cut.
    """
    lines = [count_verdicts(records), "", _row(_HEADER), f"{_CLAIM_INDENT}claim, and why the verdict is so"]
    question = ""
    for record in records:
        if record["question"] != question:
            question = record["question"]
            lines += ["", *_wrap(f"{question}  {QUESTIONS.get(question, '')}".rstrip())]
        lines += [_row(_cells(record)), *_wrap(record["claim"], _CLAIM_INDENT), *_wrap(_say_why(record), _WHY_INDENT)]
    return "\n".join([*lines, "", *_wrap(_READING)])


def render_verdicts_markdown(records: Sequence[Record], heading: str = "## Verdicts") -> str:
    """The verdicts for the findings document: counts, a table of all, and why what is not decided is not.

    `records` as in `render_verdict_table`.
    """
    rows = [
        [
            f"**{record['verdict']}**" if record["verdict"] in VERDICTS[:2] else record["verdict"],
            record["id"],
            record["claim"].replace("<", "\\<").replace(">", "\\>"),
            format_effect(record),
            record["unit"],
            format_p(record["p_adjusted"]),
            format_count(record["n"]),
        ]
        for record in records
    ]
    header = ["verdict", "id", "claim", "effect (95 % interval)", "unit", "adjusted p", "n"]
    parts = [heading, f"{count_verdicts(records)}. {_READING}", render_markdown_table(header, rows, "lllrlrr")]
    for title, untestable in (("By which rule", False), ("Not testable, and why", True)):
        own = [record for record in records if (record["verdict"] == NOT_TESTABLE) == untestable]
        if own:
            parts.append("\n".join([f"{title}:", "", *_list_reasons(own)]))
    return "\n\n".join(parts)


def explain(identifier: str, record: Record | None = None, calibration: Sequence[Record] = ()) -> str:
    """One hypothesis in full, for a terminal: the declaration, its calibration, and its result where there is one.

    `record` is that of `identifier` in a results folder; `calibration` are the rows of `read_calibration`, those of
    other hypotheses being passed over. Raises `UserError` for an unknown identifier.
    """
    hypothesis = find_hypothesis(identifier)
    title = f"{hypothesis.id}  {hypothesis.claim}"
    question = f"{hypothesis.question}: {QUESTIONS[hypothesis.question]}"
    parts = [f"{_fill(title)}\n{_fill(question)}"]
    parts += [_paragraph(name, text) for name, text in describe_hypothesis(hypothesis)]
    parts.append(f"Calibration\n{_describe_calibration(hypothesis, calibration)}")
    if record is not None:
        parts.append("\n".join(_describe_result(hypothesis, record)))
    return "\n\n".join(parts)


def read_calibration() -> list[dict[str, Any]]:
    """What calibration found, one row per hypothesis, world and length; empty when there was none yet.

    Keys: id, world, days, seeds, truth (`true`, `false` or `undefined`: the claim in that world), minimum_detectable
    (None where unknown), and [rate, low, high] or None for each of supported, rejected, raw_rejected (p below 0.05
    before adjustment) and coverage (of the 95 % interval).
    """
    folder, name = _CALIBRATION
    file = resources.files(folder) / name
    if not file.is_file():
        return []
    try:
        rows = json.loads(file.read_bytes())["rows"]
    except (ValueError, KeyError, TypeError) as error:
        raise EnvironmentFailure(f"{file} is damaged ({error}); install liqlab again") from error
    return list(rows)


def _row(cells: Sequence[str]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells[:3], _WIDTHS[:3], strict=True)]
    padded += [cell.rjust(width) for cell, width in zip(cells[3:], _WIDTHS[3:], strict=True)]
    return "  ".join(padded)


def _cells(record: Record) -> tuple[str, ...]:
    effect = MISSING if record["effect"] is None else f"{format_effect(record)} {record['unit']}"
    return record["verdict"], record["id"], effect, format_p(record["p_adjusted"]), format_count(record["n"])


def _list_reasons(records: Sequence[Record]) -> Iterator[str]:
    """One line for each reason, with the hypotheses that share it."""
    groups: dict[str, list[str]] = {}
    for record in records:
        groups.setdefault(_say_why(record), []).append(record["id"])
    yield from (f"- {', '.join(ids)}: {why or 'no reason is given'}" for why, ids in groups.items())


def format_effect(record: Record) -> str:
    """Effect with its interval, to a tenth of what matters or finer.

    >>> format_effect({"effect": 3.104, "ci_low": 1.2, "ci_high": 5.0, "delta": 1.0})
    '+3.10 (+1.20 to +5.00)'
    """
    effect, low, high = record["effect"], record["ci_low"], record["ci_high"]
    if effect is None:
        return MISSING
    decimals = max(2, 1 + math.ceil(-math.log10(record.get("delta") or 0.01)))
    if low is None or high is None:
        return f"{effect:+,.{decimals}f}"
    return f"{effect:+,.{decimals}f} ({low:+,.{decimals}f} to {high:+,.{decimals}f})"


def _say_why(record: Record) -> str:
    """The rule that gave the verdict, or what is missing, and what to mind."""
    why = record["needs"] if record["verdict"] == NOT_TESTABLE else record.get("why", "")
    return "; ".join(text for text in (why, record["note"]) if text)


def _describe_result(hypothesis: Hypothesis, record: Record) -> Iterator[str]:
    yield f"Result: {record['verdict'].upper()}"
    why = _say_why(record)
    if why:
        yield _fill(why, "  ")
    if record["verdict"] == NOT_TESTABLE:
        return
    yield _fill(f"effect: {format_effect(record)} {hypothesis.unit}", "  ")
    yield f"  p: {format_p(record['p'])}, adjusted for all claims: {format_p(record['p_adjusted'])}"
    yield f"  from {format_count(record['n'])} cases" + _say_blocks(record)
    if record["method"] != hypothesis.test:
        yield _fill(f"method: {record['method']}", "  ")


def _say_blocks(record: Record) -> str:
    blocks = record.get("n_blocks")
    return f" in {format_count(blocks)} blocks of time" if blocks else ""


def _describe_calibration(hypothesis: Hypothesis, calibration: Sequence[Record]) -> str:
    own = [row for row in calibration if row["id"] == hypothesis.id]
    if not own:
        return "  not calibrated yet: how often this test is wrong has not been measured"
    rows = [
        [
            row["world"],
            f"{row['days']:g}",
            row["truth"],
            format_count(row["seeds"]),
            *(_rate(row[name]) for name in _RATES),
            MISSING if row["minimum_detectable"] is None else f"{row['minimum_detectable']:.3g}",
        ]
        for row in own
    ]
    header = ["world", "days", "claim is", "seeds", "supported", "rejected", "p < 0.05", "coverage", "detects"]
    words = (
        "In simulated markets whose truth is known, in % of seeds (95 % interval). Supported where the claim is true "
        f"is power, where it is false an error. Detects: the effect found in 80 % of runs, in {hypothesis.unit}."
    )
    return f"{textwrap.indent(render_table(header, rows, 'lrlrrrrrr', TEXT_WIDTH - 2), '  ')}\n{_fill(words, '  ')}"


def _rate(rate: Sequence[float] | None) -> str:
    if rate is None:
        return MISSING
    return "{:.0f} ({:.0f}–{:.0f})".format(*(100 * value for value in rate))


def _paragraph(name: str, text: str) -> str:
    return f"{name[0].upper()}{name[1:]}\n{_fill(text, '  ')}"


def _fill(text: str, indent: str = "") -> str:
    return "\n".join(_wrap(text, indent))


def _wrap(text: str, indent: str = "") -> list[str]:
    """The lines of `text`; a number and its % stay together."""
    lines = textwrap.wrap(
        text.replace(" %", "\N{NO-BREAK SPACE}%"),
        TEXT_WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]
