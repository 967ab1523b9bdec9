"""Quiet or volatile, as known at each minute: by trailing volatility quantile and by a filtered hidden Markov model."""

from liqlab.regimes._compute import QUIET, VOLATILE, RegimeResult, compute_regimes
from liqlab.regimes._config import RegimeConfig
from liqlab.regimes._reading import RegimeSummary, list_transitions, regime_at, summarise_regimes
from liqlab.regimes._walk import RegimeFit

__all__ = [
    "QUIET",
    "VOLATILE",
    "RegimeConfig",
    "RegimeFit",
    "RegimeResult",
    "RegimeSummary",
    "compute_regimes",
    "list_transitions",
    "regime_at",
    "summarise_regimes",
]
