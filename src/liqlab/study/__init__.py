"""The run: what a lake says, put together for the report."""

from liqlab.study._configuration import StudyConfig, load_study_config
from liqlab.study._records import ALL, NotTestable, StageRecord, Study
from liqlab.study._run import peak_memory_mb, run_study

__all__ = [
    "ALL",
    "NotTestable",
    "StageRecord",
    "Study",
    "StudyConfig",
    "load_study_config",
    "peak_memory_mb",
    "run_study",
]
