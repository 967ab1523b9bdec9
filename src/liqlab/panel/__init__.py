"""From rows to the researcher's panel: scope, bars, coverage, the joined dataset, descriptive statistics.

Pure functions, frames in and frames or frozen records out; only `find_scope`, `read_known_liquidations` and `walk_days`
read a lake.
"""

from liqlab.panel._bars import compute_bars
from liqlab.panel._coverage import (
    CoverageConfig,
    Intervals,
    compute_coverage,
    covered_ms,
    list_gaps,
    mark_covered,
    select_intervals,
)
from liqlab.panel._dataset import DatasetConfig, join_dataset, list_minute_prices
from liqlab.panel._price_moves import PriceMove, compute_price_moves
from liqlab.panel._prices import INTERVALS_PER_TOLERANCE, PriceSeries, measure_ticker_interval_ms
from liqlab.panel._published import PublishedBlock, compute_published
from liqlab.panel._scope import Scope, find_scope
from liqlab.panel._side_check import SideCheck, SideCheckConfig, check_sides
from liqlab.panel._statistics import (
    ActivityBucket,
    DelayQuantiles,
    EventGap,
    SideTotals,
    SizeBin,
    SymbolStatistics,
    compute_statistics,
)
from liqlab.panel._walk import PanelDay, read_known_liquidations, walk_days
from liqlab.panel._zones import (
    NOT_REACHED,
    ZONES,
    LevelLiquidations,
    PriceGrid,
    ZoneConfig,
    ZoneMaps,
    find_first_barrier,
    find_first_reach,
    find_runs,
    map_zones,
    select_fullest,
)

__all__ = [
    "INTERVALS_PER_TOLERANCE",
    "NOT_REACHED",
    "ZONES",
    "ActivityBucket",
    "CoverageConfig",
    "DatasetConfig",
    "DelayQuantiles",
    "EventGap",
    "Intervals",
    "LevelLiquidations",
    "PanelDay",
    "PriceGrid",
    "PriceMove",
    "PriceSeries",
    "PublishedBlock",
    "Scope",
    "SideCheck",
    "SideCheckConfig",
    "SideTotals",
    "SizeBin",
    "SymbolStatistics",
    "ZoneConfig",
    "ZoneMaps",
    "check_sides",
    "compute_bars",
    "compute_coverage",
    "compute_price_moves",
    "compute_published",
    "compute_statistics",
    "covered_ms",
    "find_first_barrier",
    "find_first_reach",
    "find_runs",
    "find_scope",
    "join_dataset",
    "list_gaps",
    "list_minute_prices",
    "map_zones",
    "mark_covered",
    "measure_ticker_interval_ms",
    "read_known_liquidations",
    "select_fullest",
    "select_intervals",
    "walk_days",
]
