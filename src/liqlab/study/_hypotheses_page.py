"""The page of every hypothesis, for docs/."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from liqlab.study._hypotheses import HYPOTHESES, QUESTIONS
from liqlab.study._hypotheses_shared import SHARED
from liqlab.study._protocol import Hypothesis

_HEAD = """# Hypotheses

Made by `python tools/make_docs.py`; edit the catalogue in `liqlab.study` instead of this page.

Each expected finding of the [research plan](plan.md), declared before any data is read. How a verdict comes about and
how to read it: [verdicts.md](verdicts.md). Why the claims are put this way:
[decision 0022](decisions/0022-hypotheses.md). `liqlab explain Q3.2 RESULTS` shows one of them with its calibration and
its result.

All {count} are one family: p-values are adjusted (Holm) for its whole size, and what cannot be tested counts with
p = 1. What many share is described once, under [shared procedures](#shared-procedures).

| id | claim | smallest effect that matters | needs |
|---|---|---|---|
"""


def build_hypotheses_page(hypotheses: Sequence[Hypothesis] = HYPOTHESES) -> str:
    """The Markdown of docs/hypotheses.md: an overview, then each hypothesis in full, by question."""
    rows = "\n".join(_overview_row(hypothesis) for hypothesis in hypotheses)
    parts = [_HEAD.format(count=len(hypotheses)) + rows]
    for question, members in groupby(hypotheses, key=lambda hypothesis: hypothesis.question):
        parts.append(f"## {question}: {QUESTIONS[question]}")
        parts += ["\n".join(_section(hypothesis)) for hypothesis in members]
    parts.append("## Shared procedures")
    parts += [f"### {name.capitalize()}\n\n{_escape(text)}" for name, text in SHARED.items()]
    return "\n\n".join(parts) + "\n"


def describe_target(hypothesis: Hypothesis) -> str:
    """The smallest effect that matters, or the claimed range, with its unit.

    >>> from liqlab.study import find_hypothesis
    >>> describe_target(find_hypothesis("Q1.1")), describe_target(find_hypothesis("Q3.4"))
    ('1 bps', '0 to 5 s')
    """
    if hypothesis.claimed_range is not None:
        low, high = hypothesis.claimed_range
        return f"{low:g} to {high:g} {hypothesis.unit}"
    sign = "" if hypothesis.direction > 0 else "-"
    above = f" above {hypothesis.null_value:g}" if hypothesis.null_value else ""
    return f"{sign}{hypothesis.delta:g} {hypothesis.unit}{above}"


def _overview_row(hypothesis: Hypothesis) -> str:
    needs = "; ".join(hypothesis.minima)
    cells = (hypothesis.id, hypothesis.claim, describe_target(hypothesis), needs)
    return f"| {' | '.join(_escape(cell) for cell in cells)} |"


def _section(hypothesis: Hypothesis) -> Iterator[str]:
    yield f"### {hypothesis.id}"
    yield ""
    yield f"**{_escape(hypothesis.claim)}**"
    yield ""
    for name, text in describe_hypothesis(hypothesis):
        for shared, words in SHARED.items():
            text = text.replace(words, f"See [{shared}](#{shared.replace(' ', '-')}).")
        yield f"- *{name}*: {_escape(text)}"


def describe_hypothesis(hypothesis: Hypothesis) -> Iterator[tuple[str, str]]:
    """Each part of a declaration with its name, in the order in which one reads them."""
    yield "null hypothesis", hypothesis.null
    yield "alternative", hypothesis.alternative
    yield "estimand", hypothesis.estimand
    yield "matters" if hypothesis.claimed_range is None else "claimed", _explain_target(hypothesis)
    yield "test", hypothesis.test
    yield "dependence", hypothesis.dependence
    yield "assumptions", hypothesis.assumptions
    yield "needs", "; ".join(hypothesis.minima)
    yield "how to read it", hypothesis.reading


def _explain_target(hypothesis: Hypothesis) -> str:
    if hypothesis.claimed_range is not None:
        return f"{describe_target(hypothesis)}; {hypothesis.delta_reason}"
    return f"{describe_target(hypothesis)} or more: {hypothesis.delta_reason}"


def _escape(text: str) -> str:
    """`text` as Markdown shows it: no bar ends a cell, no `<` or `*` starts anything."""
    for mark in ("|", "<", ">", "*"):
        text = text.replace(mark, f"\\{mark}")
    return text
