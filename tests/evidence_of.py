"""Evidence of a simulated market, by the run's own functions; of its tables after a test has spoilt them, too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import polars as pl

from liqlab.cascades import CascadeConfig, attach_prices, detect_cascades
from liqlab.core import schema
from liqlab.core.schema import TIME
from liqlab.core.time import MS_PER_DAY
from liqlab.lake import FrameLake
from liqlab.panel import find_scope, list_minute_prices, read_known_liquidations, select_intervals, walk_days
from liqlab.regimes import RegimeConfig, compute_regimes
from liqlab.study._evidence import Evidence, EvidenceBuilder
from liqlab.worlds import DEFAULT_START_MS, DEFAULT_SYMBOLS, MarketTables, load_world, simulate_tables

Change = Callable[[pl.DataFrame, pl.DataFrame, pl.DataFrame], tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]]


@lru_cache(maxsize=2)
def market_of(world: str, seed: int = 1, days: float = 1.0, symbols: Sequence[str] = DEFAULT_SYMBOLS) -> MarketTables:
    """The tables of a named world from the usual start on; `symbols` a tuple."""
    end_ms = DEFAULT_START_MS + round(days * MS_PER_DAY)
    return simulate_tables(load_world(world), symbols, seed, DEFAULT_START_MS, end_ms)


def evidence_of(
    world: str,
    seed: int = 1,
    *,
    days: float = 1.0,
    symbols: Sequence[str] = DEFAULT_SYMBOLS,
    change: Change | None = None,
) -> Evidence:
    """The evidence of a market; `change` maps (liquidations, ticker, long_short_ratio) to what was recorded of them."""
    market = market_of(world, seed, days, tuple(symbols))
    tables = market.liquidations, market.ticker, market.long_short_ratio
    return build_evidence(*(change(*tables) if change else tables))


def build_evidence(liquidations: pl.DataFrame, ticker: pl.DataFrame, long_short_ratio: pl.DataFrame) -> Evidence:
    """The evidence of tables of `core.schema`, over the span they cover, with default settings."""
    lake = FrameLake(liquidations, ticker, long_short_ratio)
    scope, settings = find_scope(lake), CascadeConfig()
    builder = EvidenceBuilder(scope)
    found, cascades, regimes = {}, [schema.CASCADES.empty()], {}
    for symbol in scope.symbols:
        found[symbol] = read_known_liquidations(lake, symbol, scope)
        days = list(walk_days(lake, symbol, scope, found[symbol], lake.read_long_short_ratio(symbol)))
        for day in days:
            builder.add(day)
        minutes = pl.concat([list_minute_prices(day.dataset) for day in days])
        regimes[symbol] = compute_regimes(
            symbol,
            minutes["time"].to_physical().to_numpy(),
            minutes["price"].to_numpy(),
            RegimeConfig(),
            scope.ticker_interval_ms.get(symbol),
        ).table
        intervals = select_intervals(scope.coverage, symbol)
        recorder = pl.DataFrame({"start": intervals.start_ms, "end": intervals.end_ms}).cast(TIME)
        prices = pl.concat([day.ticker for day in days]).select("symbol", "known_time", "mark_price", "last_price")
        own = detect_cascades(found[symbol], settings.resolve())
        cascades.append(attach_prices(own, prices, recorder, settings, regimes[symbol]))
    table = pl.concat(cascades).sort("confirmed", "symbol", maintain_order=True)
    return builder.finish(found, table, regimes)
