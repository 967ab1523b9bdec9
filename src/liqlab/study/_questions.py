"""The catalogue of questions: each with the function that answers it, and all of them on one evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from liqlab.core.progress import SILENT, Progress, stage
from liqlab.study._evidence import Evidence
from liqlab.study._hypotheses import HYPOTHESES
from liqlab.study._inference import Answer, QuestionConfig
from liqlab.study._protocol import Finding, Judgement, judge_all
from liqlab.study._q1_impact import answer_q1
from liqlab.study._q2_imbalance import answer_q2
from liqlab.study._q3_open_interest import answer_q3
from liqlab.study._q4_zones import answer_q4
from liqlab.study._q5_volatility import answer_q5
from liqlab.study._q6_microstructure import answer_q6
from liqlab.study._q7_contagion import answer_q7

AnswerQuestion = Callable[[Evidence, QuestionConfig], Answer]

#: A plain tuple: a question is its module and one line here.
QUESTION_ANSWERS: tuple[tuple[str, AnswerQuestion], ...] = (
    ("Q1", answer_q1),
    ("Q2", answer_q2),
    ("Q3", answer_q3),
    ("Q4", answer_q4),
    ("Q5", answer_q5),
    ("Q6", answer_q6),
    ("Q7", answer_q7),
)


def answer_all(
    evidence: Evidence, config: QuestionConfig | None = None, progress: Progress = SILENT
) -> tuple[Answer, ...]:
    """Every question of the catalogue, in its order, one step of progress each.

    A question that the data cannot answer says so in its findings; none is left out.
    """
    settings, answers = config or QuestionConfig(), []
    with stage(progress, "questions", len(QUESTION_ANSWERS)):
        for _, answer in QUESTION_ANSWERS:
            answers.append(answer(evidence, settings))
            progress.advance()
    return tuple(answers)


def judge_answers(answers: Iterable[Answer], strategies: Iterable[Finding]) -> tuple[Judgement, ...]:
    """The verdict on every hypothesis of the catalogue, p-values corrected over all of it.

    `strategies` are the findings of `judge_strategies`.

    Raises `ValueError` when two answers have a finding of one hypothesis, or none has that of another.
    """
    findings = [*(finding for answer in answers for finding in answer.findings), *strategies]
    by_id = {finding.id: finding for finding in findings}
    if len(by_id) < len(findings):
        raise ValueError("two findings of one hypothesis")
    return judge_all(HYPOTHESES, by_id)
