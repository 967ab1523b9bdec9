"""The run: what a lake says, put together for the report; the questions, their protocol and their verdicts."""

from liqlab.study._backtest_record import BacktestRecord, compute_backtests
from liqlab.study._calibration import Calibration, calibrate
from liqlab.study._calibration_rates import CalibrationRow, check_calibration, compute_rates, format_rate
from liqlab.study._calibration_store import build_calibration_page, render_criteria, store_calibration
from liqlab.study._configuration import StudyConfig, load_study_config
from liqlab.study._hypotheses import HYPOTHESES, QUESTIONS, find_hypothesis
from liqlab.study._hypotheses_minima import find_shortfall
from liqlab.study._hypotheses_page import build_hypotheses_page, describe_hypothesis, describe_target
from liqlab.study._inference import Answer, QuestionConfig
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
from liqlab.study._run_tables import QUESTION_TABLES, RESULT_TABLES
from liqlab.study._scorecard import (
    CRITERIA,
    SCORECARD_FILE,
    UNINFORMATIVE_FRAC,
    ScorecardRow,
    compute_scorecard,
    scorecard_to_json,
)
from liqlab.study._scorecard_measures import StrategyResult
from liqlab.study._scorecard_null import NullScorecard, measure_scorecard, store_scorecard
from liqlab.study._stages import peak_memory_mb

__all__ = [
    "ALL",
    "ALPHA",
    "CRITERIA",
    "HYPOTHESES",
    "QUESTIONS",
    "QUESTION_TABLES",
    "RESULT_TABLES",
    "SCORECARD_FILE",
    "UNINFORMATIVE_FRAC",
    "VERDICTS",
    "VERDICTS_FILE",
    "Answer",
    "BacktestRecord",
    "Calibration",
    "CalibrationRow",
    "Finding",
    "Hypothesis",
    "Judgement",
    "NotTestable",
    "NullScorecard",
    "QuestionConfig",
    "RunRecord",
    "ScorecardRow",
    "StageRecord",
    "StrategyResult",
    "Study",
    "StudyConfig",
    "Verdict",
    "build_calibration_page",
    "build_hypotheses_page",
    "calibrate",
    "check_calibration",
    "compute_backtests",
    "compute_features",
    "compute_rates",
    "compute_scorecard",
    "conjoin",
    "decide",
    "describe_hypothesis",
    "describe_study",
    "describe_target",
    "find_hypothesis",
    "find_shortfall",
    "format_rate",
    "judge_all",
    "load_study_config",
    "measure_scorecard",
    "peak_memory_mb",
    "read_verdicts",
    "render_criteria",
    "run_study",
    "scorecard_to_json",
    "store_calibration",
    "store_scorecard",
    "verdicts_to_json",
]
