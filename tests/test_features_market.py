"""A small dirty market that the feature tests share, and that it holds what they need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

import numpy as np
import polars as pl

from liqlab.cascades import CascadePreset
from liqlab.core.schema import BAR_WIDTHS_MS, LIQUIDATIONS, LONG, LONG_SHORT_RATIO, SHORT, TICKER, TIME
from liqlab.core.time import MS_PER_DAY, MS_PER_HOUR, parse_time
from liqlab.features import FeatureConfig, FeatureWalk, LabelWalk
from liqlab.panel import (
    PanelDay,
    Scope,
    compute_bars,
    compute_coverage,
    join_dataset,
    measure_ticker_interval_ms,
)
from liqlab.worlds import load_world, simulate_tables

SYMBOLS = ("BTCUSDT", "DOGEUSDT", "SOLUSDT")
#: Five hours around a midnight.
START_MS, END_MS = parse_time("2026-02-09T21:00"), parse_time("2026-02-10T02:00")
PRESET = CascadePreset("test", max_gap_ms=5_000, min_liquidations=3, min_notional_usd=20_000.0)
#: Silences of the recorder: shorter than the tolerance, longer, longer than most windows, across midnight.
GAPS_MS = tuple(
    (START_MS + int(start * 60_000), START_MS + int(end * 60_000))
    for start, end in ((95.0, 95.7), (110.0, 113.2), (140.0, 164.03), (177.0, 182.5))
)
_RUN_MS = 60_000


@dataclass(frozen=True)
class Tables:
    """What a recorder had of a span [start_ms, end_ms), by symbol."""

    start_ms: int
    end_ms: int
    liquidations: Mapping[str, pl.DataFrame]
    ticker: Mapping[str, pl.DataFrame]
    ratio: Mapping[str, pl.DataFrame]

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(self.liquidations)

    def scope(self) -> Scope:
        intervals = {symbol: measure_ticker_interval_ms(self.ticker[symbol]) for symbol in self.symbols}
        fastest = min((interval for interval in intervals.values() if interval), default=None)
        coverage = compute_coverage(self.deliveries(), None, {"bybit": fastest})
        return Scope(self.symbols, self.start_ms, self.end_ms, intervals, coverage)

    def deliveries(self) -> pl.DataFrame:
        """Runs of deliveries, inside which no silence exceeds a minute."""
        rows = []
        for stream, tables in (("liquidation", self.liquidations), ("ticker", self.ticker)):
            for symbol, table in tables.items():
                known = table["known_time"].to_physical().to_numpy()
                for run in np.split(known, np.flatnonzero(np.diff(known) > _RUN_MS) + 1):
                    if len(run):
                        rows.append((symbol, stream, "bybit", int(run[0]), int(run[-1])))
        names = {"symbol": pl.String, "stream": pl.String, "exchange": pl.String}
        return pl.DataFrame(rows, schema={**names, "first_ms": pl.Int64, "last_ms": pl.Int64}, orient="row")

    def day(self, symbol: str, start_ms: int, end_ms: int) -> PanelDay:
        scope, ticker = self.scope(), self.ticker[symbol]
        bars = {
            width: compute_bars(self.liquidations[symbol], width, start_ms, end_ms, [symbol], scope.coverage)
            for width in BAR_WIDTHS_MS
        }
        dataset = join_dataset(bars["5s"], ticker, self.ratio[symbol], None, scope.ticker_interval_ms)
        return PanelDay(symbol, start_ms, end_ms, known_in(ticker, start_ms, end_ms), bars, dataset)

    def days(self, symbol: str, step_ms: int = MS_PER_DAY) -> list[PanelDay]:
        inner = range((self.start_ms // step_ms + 1) * step_ms, self.end_ms, step_ms)
        return [self.day(symbol, *edges) for edges in pairwise((self.start_ms, *inner, self.end_ms))]

    def known_until(self, cut_ms: int) -> Tables:
        """What of this was known at the cut; the span ends with its hour."""
        return self.change(lambda rows: known_in(rows, 0, cut_ms + 1), -(-cut_ms // MS_PER_HOUR) * MS_PER_HOUR)

    def change(self, function: object, end_ms: int | None = None) -> Tables:
        """Every table passed through a function."""
        changed = {
            name: {symbol: function(rows) for symbol, rows in getattr(self, name).items()}  # type: ignore[operator]
            for name in ("liquidations", "ticker", "ratio")
        }
        return replace(self, end_ms=end_ms or self.end_ms, **changed)

    def only(self, *symbols: str) -> Tables:
        """The same of fewer symbols."""
        chosen = {
            name: {symbol: getattr(self, name)[symbol] for symbol in symbols}
            for name in ("liquidations", "ticker", "ratio")
        }
        return replace(self, **chosen)

    def with_ticker(self, **columns: pl.Expr) -> Tables:
        """The same with other columns in every ticker."""
        return replace(self, ticker={symbol: rows.with_columns(**columns) for symbol, rows in self.ticker.items()})


def known_in(rows: pl.DataFrame, start_ms: int, end_ms: int) -> pl.DataFrame:
    return rows.filter(pl.col("known_time").to_physical().is_between(start_ms, end_ms, closed="left"))


def walk_features(
    tables: Tables, symbol: str, config: FeatureConfig | None = None, step_ms: int = MS_PER_DAY
) -> tuple[pl.DataFrame, FeatureWalk]:
    walk = FeatureWalk(symbol, tables.liquidations, tables.scope(), PRESET, config)
    return pl.concat([walk.add(day) for day in tables.days(symbol, step_ms)]), walk


def walk_labels(
    tables: Tables, symbol: str, config: FeatureConfig | None = None, step_ms: int = MS_PER_DAY
) -> tuple[pl.DataFrame, LabelWalk]:
    walk = LabelWalk(symbol, tables.scope(), config)
    frames = [walk.add(day) for day in tables.days(symbol, step_ms)]
    return pl.concat([*frames, walk.finish()]), walk


@cache
def gapless_tables() -> Tables:
    """Five hours of three symbols: simulated prices, and far more liquidations than usual, in bursts they share."""
    market = simulate_tables(load_world("plan"), SYMBOLS, 3, START_MS, END_MS)
    random = np.random.default_rng(11)
    bursts = np.sort(random.integers(START_MS, END_MS - 10_000, 250))
    liquidations, tickers, ratios = {}, {}, {}
    for symbol in SYMBOLS:
        ticker = market.ticker.filter(pl.col("symbol") == symbol)
        price = float(ticker["mark_price"].mean())  # type: ignore[arg-type]
        own = market.liquidations.filter(pl.col("symbol") == symbol)
        extra = _burst_rows(random, symbol, bursts[random.random(len(bursts)) < 0.7], price)
        liquidations[symbol] = pl.concat([own, extra]).sort("known_time", "event_time", "position", maintain_order=True)
        noise = pl.Series(random.normal(0, 1e-5, ticker.height).round(6))
        no_mark = pl.Series(random.random(ticker.height) < 0.05)
        tickers[symbol] = ticker.with_columns(
            funding_rate=1e-4 + noise, mark_price=pl.when(~no_mark).then("mark_price")
        )
        ratios[symbol] = market.long_short_ratio.filter(pl.col("symbol") == symbol)
    return Tables(START_MS, END_MS, liquidations, tickers, ratios)


@cache
def gap_tables() -> Tables:
    """The same with silences of the recorder."""

    def outside(rows: pl.DataFrame) -> pl.DataFrame:
        for start_ms, end_ms in GAPS_MS:
            rows = rows.filter(~pl.col("known_time").to_physical().is_between(start_ms, end_ms, closed="left"))
        return rows

    tables = gapless_tables()
    return replace(tables.change(outside), ratio=tables.ratio)


def _burst_rows(random: np.random.Generator, symbol: str, starts: np.ndarray, price: float) -> pl.DataFrame:
    n_each = random.integers(1, 12, len(starts))
    known = np.repeat(starts, n_each) + random.integers(0, 9_000, n_each.sum())
    n = len(known)
    quantity = (random.lognormal(8.0, 1.5, n) / price).round(6) + 1e-6
    prices = price * (1 + random.normal(0, 0.002, n))
    columns = {name: [None] * n for name in LIQUIDATIONS.names} | {
        "symbol": [symbol] * n,
        "exchange": ["bybit"] * n,
        "event_time": known - random.integers(1, 600, n),
        "known_time": known,
        "liquidated_side": random.choice([LONG, SHORT], n).tolist(),
        "quantity": quantity,
        "price": prices,
        "notional_usd": quantity * prices,
        "source_file": ["bursts"] * n,
        "source_line": np.arange(n),
        "position": np.zeros(n, np.int64),
    }
    return pl.DataFrame(columns, schema_overrides={n: t for n, t in LIQUIDATIONS.dtypes.items() if t != TIME}).cast(
        LIQUIDATIONS.dtypes  # type: ignore[arg-type]
    )


def empty_tables(symbols: Sequence[str] = SYMBOLS) -> Tables:
    """A recorder that heard nothing."""
    return Tables(
        START_MS,
        END_MS,
        {symbol: LIQUIDATIONS.empty() for symbol in symbols},
        {symbol: TICKER.empty() for symbol in symbols},
        {symbol: LONG_SHORT_RATIO.empty() for symbol in symbols},
    )


def test_the_market_has_bursts_silences_and_a_midnight() -> None:
    tables = gap_tables()
    days = tables.days("BTCUSDT")
    assert [day.start_ms for day in days] == [START_MS, parse_time("2026-02-10")]
    covered = pl.concat([day.dataset for day in days])["covered"]
    assert 0.8 < covered.mean() < 0.95  # type: ignore[operator]
    volume = pl.concat([day.dataset for day in days])["liq_volume"]
    assert (volume > 0).sum() > 300
    assert tables.scope().ticker_interval_ms["BTCUSDT"] is not None
