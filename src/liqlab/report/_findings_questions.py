"""The findings on the seven questions: verdicts first, then what was found around them, then what to mind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from liqlab.report._findings_questions_q1 import Q1_BLOCKS
from liqlab.report._findings_questions_q2 import Q2_BLOCKS
from liqlab.report._findings_questions_q3 import Q3_BLOCKS
from liqlab.report._findings_questions_q4 import Q4_BLOCKS
from liqlab.report._findings_questions_q5 import Q5_BLOCKS
from liqlab.report._findings_questions_q6 import Q6_BLOCKS
from liqlab.report._findings_questions_q7 import Q7_BLOCKS
from liqlab.report._findings_questions_words import Block
from liqlab.report._ic_reading import format_p
from liqlab.report._text import format_count
from liqlab.report._verdicts_text import NOT_TESTABLE, Record, format_effect
from liqlab.study import QUESTIONS, Answer, Study

#: The descriptions of each question, in the order of the plan's analyses.
QUESTION_BLOCKS: Mapping[str, tuple[Block, ...]] = {
    "Q1": Q1_BLOCKS,
    "Q2": Q2_BLOCKS,
    "Q3": Q3_BLOCKS,
    "Q4": Q4_BLOCKS,
    "Q5": Q5_BLOCKS,
    "Q6": Q6_BLOCKS,
    "Q7": Q7_BLOCKS,
}
_TITLES = {
    "Q1": "cascades and price impact",
    "Q2": "imbalance as a signal of direction",
    "Q3": "liquidations and open interest",
    "Q4": "liquidation zones as support and resistance",
    "Q5": "liquidations as a predictor of volatility",
    "Q6": "microstructure",
    "Q7": "contagion between assets",
}
_READING = (
    "Each question opens with the verdicts on its claims (rules and corrected p in section 2). What stands below "
    "them is **descriptive, no verdict**: splits, curves and comparisons that nobody claimed beforehand, or that "
    "were looked at in many ways at once. They show where an effect sits and how large it may be, and decide "
    "nothing. Intervals are 95 % and allow for events that come together; an *adjusted p* is corrected for all rows "
    "of its own table (Benjamini-Hochberg), and **bold** numbers have one below 0.05. Numbers are of all symbols "
    "together where the table has them; the file named beside each title holds the rest."
)


def render_questions(
    study: Study, pictures: Mapping[str, Sequence[str]] | None = None, heading: str = "## The seven questions"
) -> str:
    """The section of all questions, as Markdown; `pictures` are by question. Without answers it says why."""
    if not study.answers:
        return f"{heading}\n\nNot asked in this run (`--no-claims`): run it again without that option."
    shown = pictures or {}
    sections = [render_question(study, answer, shown.get(answer.question, ())) for answer in study.answers]
    return "\n\n".join([heading, _READING, *sections])


def render_question(study: Study, answer: Answer, pictures: Sequence[str] = ()) -> str:
    """One question: its claims with their verdicts, its descriptions, its pictures, and what to mind."""
    name = answer.question
    own = [record for record in study.verdicts if record["question"] == name]
    title = f"### Question {name.removeprefix('Q')}: {_TITLES[name]}"
    parts = [title, f"*The plan's hypothesis: {QUESTIONS[name]}.*", "\n".join(map(_say_verdict, own))]
    missing = []
    for block in QUESTION_BLOCKS[name]:
        text = block.render(study)
        if text:
            files = ", ".join(f"`tables/{table}.parquet`" for table in block.tables)
            parts.append(f"**{block.title}** ({files}). {text}")
        else:
            missing.append(block.title)
    if missing:
        parts.append(f"Nothing to describe with this data: {'; '.join(missing)}.")
    parts += pictures
    if answer.notes:
        parts.append("\n".join(["Mind:", "", *(f"- {note}" for note in answer.notes)]))
    return "\n\n".join(part for part in parts if part)


def _say_verdict(record: Record) -> str:
    """One claim in one line."""
    claim = record["claim"].replace("<", "\\<").replace(">", "\\>")
    verdict = f"**{record['verdict']}**"
    if record["verdict"] == NOT_TESTABLE:
        return f"- {record['id']} *{claim}*: {verdict}, {record['needs']}"
    numbers = f"{format_effect(record)} {record['unit']}, adjusted p {format_p(record['p_adjusted'])}"
    why = f"; {record['why']}" if record.get("why") else ""
    return f"- {record['id']} *{claim}*: {verdict}: {numbers}, n = {format_count(record['n'])}{why}"
