"""The evidence of any recording, and of a simulated market, by the run's own functions."""

from __future__ import annotations

from collections.abc import Sequence

from liqlab.cascades import detect_cascades
from liqlab.core.progress import SILENT
from liqlab.core.time import MS_PER_DAY
from liqlab.lake import FrameLake, Recording
from liqlab.panel import find_scope, read_known_liquidations, walk_days
from liqlab.study._configuration import StudyConfig
from liqlab.study._evidence import Evidence, EvidenceBuilder
from liqlab.study._predict import compute_symbol_regimes
from liqlab.study._run import _attach as attach_all_prices
from liqlab.study._walk import Gatherer
from liqlab.worlds import DEFAULT_START_MS, DEFAULT_SYMBOLS, World, simulate_tables


def build_evidence(lake: Recording, config: StudyConfig | None = None) -> Evidence:
    """What the questions look at, of a lake or of tables in memory, without the rest of a run.

    Raises `UserError` for a symbol that is not there and `SourceError` when the span holds no row.
    """
    config = config or StudyConfig()
    scope = find_scope(lake, config.symbols, config.start_ms, config.end_ms, config.coverage)
    liquidations, cascades = {}, {}
    for symbol in scope.symbols:
        liquidations[symbol] = read_known_liquidations(lake, symbol, scope, config.assumed_delay_s)
        cascades[symbol] = detect_cascades(liquidations[symbol], config.cascades.resolve())
    gatherer, builder = Gatherer(config, scope, liquidations, cascades), EvidenceBuilder(scope)
    for symbol in scope.symbols:
        ratio = lake.read_long_short_ratio(symbol)
        for day in walk_days(lake, symbol, scope, liquidations[symbol], ratio, config.dataset):
            gatherer.add(day)
            builder.add(day)
    regimes = compute_symbol_regimes(gatherer.gathered.minute_prices, scope, config, SILENT)
    priced = attach_all_prices(cascades, gatherer.gathered, regimes, scope.coverage, config)
    return builder.finish(liquidations, priced, {symbol: result.table for symbol, result in regimes.items()})


def simulate_recording(
    world: World, seed: int, days: float = 9.0, symbols: Sequence[str] = DEFAULT_SYMBOLS
) -> FrameLake:
    """`days` of a simulated market, from `DEFAULT_START_MS` on, as its captures would give it."""
    end_ms = DEFAULT_START_MS + round(days * MS_PER_DAY)
    market = simulate_tables(world, symbols, seed, DEFAULT_START_MS, end_ms)
    return FrameLake(market.liquidations, market.ticker, market.long_short_ratio)


def simulate_evidence(
    world: World,
    seed: int,
    days: float = 9.0,
    symbols: Sequence[str] = DEFAULT_SYMBOLS,
    config: StudyConfig | None = None,
) -> Evidence:
    """The evidence of a simulated recording; see `simulate_recording`."""
    return build_evidence(simulate_recording(world, seed, days, symbols), config)
