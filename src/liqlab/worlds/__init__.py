"""Simulated markets with known truth, written as the captures of a recorder or straight into the canonical tables.

Traders with leverage, forced orders that move the price, and every mechanism a dial; named worlds are TOML files.
"""

from liqlab.worlds._delivery import Delivered, deliver_days
from liqlab.worlds._dials import (
    BookDials,
    FundingDials,
    PriceDials,
    RecorderDials,
    SpillDials,
    SymbolDials,
    TraderDials,
    World,
)
from liqlab.worlds._dirt import DirtCounts
from liqlab.worlds._market import LiquidationArrays, MarketDay, SymbolDay, iterate_market
from liqlab.worlds._named import DEFAULT_SYMBOLS, WORLD_NAMES, list_dials, load_world
from liqlab.worlds._noise import DayNodes
from liqlab.worlds._simulate import DEFAULT_START_MS, SimulationSummary, simulate
from liqlab.worlds._tables import MarketTables, simulate_tables
from liqlab.worlds._ticker import TickerArrays, compute_ticker
from liqlab.worlds._truth import (
    TRUTH_CASCADES,
    TRUTH_LIQUIDATIONS,
    TRUTH_PATH,
    TRUTH_TABLES,
    Truth,
    collect_truth,
    load_truth,
    render_world,
)
from liqlab.worlds._twin import compute_free_paths

__all__ = [
    "DEFAULT_START_MS",
    "DEFAULT_SYMBOLS",
    "TRUTH_CASCADES",
    "TRUTH_LIQUIDATIONS",
    "TRUTH_PATH",
    "TRUTH_TABLES",
    "WORLD_NAMES",
    "BookDials",
    "DayNodes",
    "Delivered",
    "DirtCounts",
    "FundingDials",
    "LiquidationArrays",
    "MarketDay",
    "MarketTables",
    "PriceDials",
    "RecorderDials",
    "SimulationSummary",
    "SpillDials",
    "SymbolDay",
    "SymbolDials",
    "TickerArrays",
    "TraderDials",
    "Truth",
    "World",
    "collect_truth",
    "compute_free_paths",
    "compute_ticker",
    "deliver_days",
    "iterate_market",
    "list_dials",
    "load_truth",
    "load_world",
    "render_world",
    "simulate",
    "simulate_tables",
]
