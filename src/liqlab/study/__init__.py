"""The run: what a lake says, put together for the report; the questions, their protocol and their verdicts."""

from liqlab.study._configuration import StudyConfig, load_study_config
from liqlab.study._hypotheses import HYPOTHESES, QUESTIONS, find_hypothesis
from liqlab.study._hypotheses_minima import find_shortfall
from liqlab.study._hypotheses_page import build_hypotheses_page, describe_hypothesis
from liqlab.study._predict import RESULT_TABLES
from liqlab.study._protocol import (
    ALPHA,
    VERDICTS,
    VERDICTS_FILE,
    Finding,
    Hypothesis,
    Judgement,
    Verdict,
    conjoin,
    decide,
    judge_all,
    read_verdicts,
    verdicts_to_json,
)
from liqlab.study._records import ALL, NotTestable, RunRecord, StageRecord, Study
from liqlab.study._run import compute_features, run_study
from liqlab.study._stages import peak_memory_mb

__all__ = [
    "ALL",
    "ALPHA",
    "HYPOTHESES",
    "QUESTIONS",
    "RESULT_TABLES",
    "VERDICTS",
    "VERDICTS_FILE",
    "Finding",
    "Hypothesis",
    "Judgement",
    "NotTestable",
    "RunRecord",
    "StageRecord",
    "Study",
    "StudyConfig",
    "Verdict",
    "build_hypotheses_page",
    "compute_features",
    "conjoin",
    "decide",
    "describe_hypothesis",
    "find_hypothesis",
    "find_shortfall",
    "judge_all",
    "load_study_config",
    "peak_memory_mb",
    "read_verdicts",
    "run_study",
    "verdicts_to_json",
]
