"""What the research code finds against what is there: the look-ahead audit, the detector's score, population values."""

from liqlab.audit._chain import ChainConfig, compute_chain
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
from liqlab.audit._ic_truth import (
    PLANTED_RELATIONS,
    IcTruth,
    PlantedRelation,
    SeedIc,
    check_ic_truth,
    measure_ic_truth,
    render_ic_truth,
)
from liqlab.audit._lookahead import AuditReport, Compute, audit_lookahead
from liqlab.audit._lookahead_captures import truncate_captures
from liqlab.audit._lookahead_compare import ColumnCheck, Cut, WrongValue, compare_tables, describe_time
from liqlab.audit._lookahead_cuts import choose_cuts
from liqlab.audit._lookahead_self_test import SelfTest, audit_chain, self_test_chain
from liqlab.audit._matching import match_cascades
from liqlab.audit._planted import PLANTED_BUGS, PlantedBug, Planting, get_planted_bug
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
    list_causal_cascades,
    read_detector_input,
    score_detector,
)

__all__ = [
    "ALL",
    "DEFAULT_SEEDS",
    "ESTIMANDS",
    "FIRST_SEED",
    "PLANTED_BUGS",
    "PLANTED_RELATIONS",
    "POPULATION_SYMBOLS",
    "AuditReport",
    "ChainConfig",
    "ColumnCheck",
    "Compute",
    "Cut",
    "DetectorScore",
    "Estimand",
    "IcTruth",
    "PlantedBug",
    "PlantedRelation",
    "Planting",
    "Population",
    "SeedIc",
    "SeedSums",
    "SelfTest",
    "WorldPopulation",
    "WrongValue",
    "audit_chain",
    "audit_lookahead",
    "check_ic_truth",
    "choose_cuts",
    "compare_tables",
    "compute_chain",
    "compute_impact_30s",
    "compute_population",
    "describe_time",
    "estimate_population",
    "fingerprint",
    "get_estimand",
    "get_planted_bug",
    "judge",
    "list_causal_cascades",
    "list_stale",
    "match_cascades",
    "measure_ic_truth",
    "read_detector_input",
    "read_estimands",
    "render_ic_truth",
    "score_detector",
    "self_test_chain",
    "store_estimands",
    "stored_estimands",
    "truncate_captures",
]
