"""Walk-forward prediction and information coefficients: what features say about what comes."""

from liqlab.models._ic import IcResult, compute_ic
from liqlab.models._ic_comparison import COMPARISON as IC_COMPARISON
from liqlab.models._ic_comparison import compare_families, rank_features
from liqlab.models._ic_config import IcConfig, Target
from liqlab.models._ic_inference import IcEstimates, IcInference, estimate_ic
from liqlab.models._ic_table import DAILY as IC_DAILY
from liqlab.models._ic_table import FIFTHS as IC_FIFTHS
from liqlab.models._models import MODELS, Model
from liqlab.models._splits import Fold, WalkForwardSplitter, walk_forward_folds
from liqlab.models._walk_forward import run_walk_forward
from liqlab.models._walk_forward_config import WalkForwardConfig
from liqlab.models._walk_forward_sample import list_liquidation_columns
from liqlab.models._walk_forward_tables import COMPARISONS, IMPORTANCE, SCORES, TRIALS, WalkForwardResult

__all__ = [
    "COMPARISONS",
    "IC_COMPARISON",
    "IC_DAILY",
    "IC_FIFTHS",
    "IMPORTANCE",
    "MODELS",
    "SCORES",
    "TRIALS",
    "Fold",
    "IcConfig",
    "IcEstimates",
    "IcInference",
    "IcResult",
    "Model",
    "Target",
    "WalkForwardConfig",
    "WalkForwardResult",
    "WalkForwardSplitter",
    "compare_families",
    "compute_ic",
    "estimate_ic",
    "list_liquidation_columns",
    "rank_features",
    "run_walk_forward",
    "walk_forward_folds",
]
