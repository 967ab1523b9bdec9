"""What the research code finds against what is there: the look-ahead audit, the detector's score, population values."""

from liqlab.audit._chain import ChainConfig, compute_chain
from liqlab.audit._engine_truth import (
    EngineTruth,
    FairMean,
    ReversionMean,
    imply_net,
    measure_engine_truth,
    render_engine_truth,
)
from liqlab.audit._engine_truth_market import TruthMarket, TruthWorld, make_truth_market
from liqlab.audit._engine_truth_orders import RANDOM_STRATEGIES, RandomStrategy, draw_orders
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
from liqlab.audit._published_fade_market import FadeMarkets, PublishedFade, make_fade_market, simulate_as_published
from liqlab.audit._published_fade_world import RandomWalkConfig, make_random_walk
from liqlab.audit._score import (
    ALL,
    DetectorScore,
    list_causal_cascades,
    read_detector_input,
    score_detector,
)
from liqlab.audit._strategy_audit import StrategyAudit, StrategyAuditConfig, audit_strategy, check_effort
from liqlab.audit._strategy_backtest import Backtest, StrategyResult, simulate_honestly, summarise
from liqlab.audit._strategy_contract import CONTRACT, ContractCheck, ContractItem, check_contract
from liqlab.audit._strategy_fills import LEAST_TRADES, WIN_RATE_MARGIN, FillCheck, check_fills
from liqlab.audit._strategy_placebo import PlaceboCheck, check_placebo
from liqlab.audit._strategy_render import render_strategy_audit
from liqlab.audit._strategy_surrogates import SURROGATES
from liqlab.audit._strategy_truncation import TruncationCheck, check_truncation

__all__ = [
    "ALL",
    "CONTRACT",
    "DEFAULT_SEEDS",
    "ESTIMANDS",
    "FIRST_SEED",
    "LEAST_TRADES",
    "PLANTED_BUGS",
    "PLANTED_RELATIONS",
    "POPULATION_SYMBOLS",
    "PUBLISHED_FILL_RULES",
    "RANDOM_STRATEGIES",
    "SURROGATES",
    "WIN_RATE_MARGIN",
    "AuditReport",
    "Backtest",
    "ChainConfig",
    "ColumnCheck",
    "Compute",
    "ContractCheck",
    "ContractItem",
    "Cut",
    "DetectorScore",
    "EngineTruth",
    "Estimand",
    "FadeMarkets",
    "FairMean",
    "FillCheck",
    "IcTruth",
    "PlaceboCheck",
    "PlantedBug",
    "PlantedRelation",
    "Planting",
    "Population",
    "PublishedFade",
    "PublishedFadeParameters",
    "RandomStrategy",
    "RandomWalkConfig",
    "ReversionMean",
    "SeedIc",
    "SeedSums",
    "SelfTest",
    "StrategyAudit",
    "StrategyAuditConfig",
    "StrategyResult",
    "TruncationCheck",
    "TruthMarket",
    "TruthWorld",
    "WorldPopulation",
    "WrongValue",
    "audit_chain",
    "audit_lookahead",
    "audit_strategy",
    "check_contract",
    "check_effort",
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
    "draw_orders",
    "estimate_population",
    "find_fade_signals",
    "fingerprint",
    "get_estimand",
    "get_planted_bug",
    "imply_net",
    "judge",
    "list_causal_cascades",
    "list_stale",
    "make_fade_market",
    "make_minute_bars",
    "make_random_walk",
    "make_truth_market",
    "match_cascades",
    "measure_engine_truth",
    "measure_ic_truth",
    "read_detector_input",
    "read_estimands",
    "render_engine_truth",
    "render_ic_truth",
    "render_strategy_audit",
    "score_detector",
    "self_test_chain",
    "simulate_as_published",
    "simulate_honestly",
    "store_estimands",
    "stored_estimands",
    "summarise",
    "trade_as_published",
    "truncate_captures",
]
