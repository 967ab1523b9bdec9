"""What the research code finds against what is there: the detector's score, population values of estimands."""

from liqlab.audit._estimand import (
    ESTIMANDS,
    Estimand,
    Population,
    SeedSums,
    compute_impact_30s,
    estimate_population,
    get_estimand,
    judge,
)
from liqlab.audit._matching import match_cascades
from liqlab.audit._population import (
    DEFAULT_SEEDS,
    FIRST_SEED,
    POPULATION_SYMBOLS,
    WorldPopulation,
    compute_population,
    fingerprint,
    list_stale,
    read_estimands,
    store_estimands,
    stored_estimands,
)
from liqlab.audit._score import (
    ALL,
    DetectorScore,
    compute_wilson,
    list_causal_cascades,
    read_detector_input,
    score_detector,
)

__all__ = [
    "ALL",
    "DEFAULT_SEEDS",
    "ESTIMANDS",
    "FIRST_SEED",
    "POPULATION_SYMBOLS",
    "DetectorScore",
    "Estimand",
    "Population",
    "SeedSums",
    "WorldPopulation",
    "compute_impact_30s",
    "compute_population",
    "compute_wilson",
    "estimate_population",
    "fingerprint",
    "get_estimand",
    "judge",
    "list_causal_cascades",
    "list_stale",
    "match_cascades",
    "read_detector_input",
    "read_estimands",
    "score_detector",
    "store_estimands",
    "stored_estimands",
]
