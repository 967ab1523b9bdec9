"""The run: what a lake says, put together for the report; the questions, their protocol and their verdicts."""

from liqlab.study._calibration import Calibration, calibrate
from liqlab.study._calibration_rates import CalibrationRow, check_calibration, compute_rates, format_rate
from liqlab.study._calibration_store import build_calibration_page, render_criteria, store_calibration
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
from liqlab.study._run import compute_features, describe_study, run_study
from liqlab.study._stages import peak_memory_mb

__all__ = [
    "ALL",
    "ALPHA",
    "HYPOTHESES",
    "QUESTIONS",
    "RESULT_TABLES",
    "VERDICTS",
    "VERDICTS_FILE",
    "Calibration",
    "CalibrationRow",
    "Finding",
    "Hypothesis",
    "Judgement",
    "NotTestable",
    "RunRecord",
    "StageRecord",
    "Study",
    "StudyConfig",
    "Verdict",
    "build_calibration_page",
    "build_hypotheses_page",
    "calibrate",
    "check_calibration",
    "compute_features",
    "compute_rates",
    "conjoin",
    "decide",
    "describe_hypothesis",
    "describe_study",
    "find_hypothesis",
    "find_shortfall",
    "format_rate",
    "judge_all",
    "load_study_config",
    "peak_memory_mb",
    "read_verdicts",
    "render_criteria",
    "run_study",
    "store_calibration",
    "verdicts_to_json",
]
