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
from liqlab.audit._published_fade import (
    PUBLISHED_FILL_RULES,
    PublishedFadeParameters,
    find_fade_signals,
    make_minute_bars,
    trade_as_published,
)
from liqlab.audit._published_fade_market import PublishedFade, make_fade_market, simulate_as_published
from liqlab.audit._published_fade_world import RandomWalkConfig, make_random_walk
from liqlab.audit._score import (
    ALL,
    DetectorScore,
    list_causal_cascades,
    read_detector_input,
    score_detector,
)
from liqlab.audit._strategy_audit import StrategyAudit, StrategyAuditConfig, audit_strategy
from liqlab.audit._strategy_fills import FillCheck, check_fills
from liqlab.audit._strategy_placebo import PlaceboCheck, check_placebo
from liqlab.audit._strategy_render import render_strategy_audit
from liqlab.audit._strategy_truncation import TruncationCheck, check_truncation

__all__ = [
    "ALL",
    "DEFAULT_SEEDS",
    "ESTIMANDS",
    "FIRST_SEED",
    "PLANTED_BUGS",
    "PLANTED_RELATIONS",
    "POPULATION_SYMBOLS",
    "PUBLISHED_FILL_RULES",
    "AuditReport",
    "ChainConfig",
    "ColumnCheck",
    "Compute",
    "Cut",
    "DetectorScore",
    "Estimand",
    "FillCheck",
    "IcTruth",
    "PlaceboCheck",
    "PlantedBug",
    "PlantedRelation",
    "Planting",
    "Population",
    "PublishedFade",
    "PublishedFadeParameters",
    "RandomWalkConfig",
    "SeedIc",
    "SeedSums",
    "SelfTest",
    "StrategyAudit",
    "StrategyAuditConfig",
    "TruncationCheck",
    "WorldPopulation",
    "WrongValue",
    "audit_chain",
    "audit_lookahead",
    "audit_strategy",
    "check_fills",
    "check_ic_truth",
    "check_placebo",
    "check_truncation",
    "choose_cuts",
    "compare_tables",
    "compute_chain",
    "compute_impact_30s",
    "compute_population",
    "describe_time",
    "estimate_population",
    "find_fade_signals",
    "fingerprint",
    "get_estimand",
    "get_planted_bug",
    "judge",
    "list_causal_cascades",
    "list_stale",
    "make_fade_market",
    "make_minute_bars",
    "make_random_walk",
    "match_cascades",
    "measure_ic_truth",
    "read_detector_input",
    "read_estimands",
    "render_ic_truth",
    "render_strategy_audit",
    "score_detector",
    "self_test_chain",
    "simulate_as_published",
    "store_estimands",
    "stored_estimands",
    "trade_as_published",
    "truncate_captures",
]
