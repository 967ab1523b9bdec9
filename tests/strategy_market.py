"""Small markets for strategies, from arrays: random ones with bursts of liquidations, and those a test writes down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.backtest._inputs import MarketInputs
from liqlab.backtest._orders import NEVER, Orders
from liqlab.backtest._prices import PricePath
from liqlab.core.schema import LIQUIDATIONS, LONG, SHORT, TIME
from liqlab.core.time import MS_PER_HOUR

START_MS = 1_770_595_200_000  # 2026-02-09
SYMBOLS = ("BTCUSDT", "ETHUSDT")
_FIRST_PRICE = {"BTCUSDT": 70_000.0, "ETHUSDT": 2_000.0}


@dataclass(frozen=True)
class Rows:
    """Liquidations of one symbol: arrays of shape (n,)."""

    known_ms: npt.NDArray[np.int64]
    is_long: npt.NDArray[np.bool_]
    notional_usd: npt.NDArray[np.float64]
    price: npt.NDArray[np.float64]


def frame_rows(symbol: str, rows: Rows) -> pl.DataFrame:
    """The table of liquidations; those known in one millisecond are the places of one message."""
    n = len(rows.known_ms)
    _, first, inverse = np.unique(rows.known_ms, return_index=True, return_inverse=True)
    columns = {
        "symbol": [symbol] * n,
        "exchange": ["bybit"] * n,
        "event_time": pl.Series(rows.known_ms - 300).cast(TIME),
        "push_time": pl.Series(rows.known_ms - 50).cast(TIME),
        "known_time": pl.Series(rows.known_ms).cast(TIME),
        "liquidated_side": [LONG if is_long else SHORT for is_long in rows.is_long.tolist()],
        "quantity": rows.notional_usd / rows.price,
        "price": rows.price,
        "notional_usd": rows.notional_usd,
        "source_file": ["made"] * n,
        "source_line": inverse + 1,
        "position": np.arange(n) - first[inverse],
    }
    return pl.DataFrame(columns, schema=LIQUIDATIONS.dtypes)


def write_rows(*rows: tuple[float, str, float], price: float = 70_000.0) -> Rows:
    """Liquidations as (seconds after the start, `long` or `short`, notional in USD)."""
    seconds, sides, notional = zip(*rows, strict=True) if rows else ((), (), ())
    return Rows(
        START_MS + np.round(np.array(seconds, dtype=np.float64) * 1_000).astype(np.int64),
        np.array([side == LONG for side in sides], dtype=np.bool_),
        np.array(notional, dtype=np.float64),
        np.full(len(seconds), price),
    )


def make_market(
    rows: Rows, seconds: Sequence[float], prices: Sequence[float], hours: float, symbol: str = "BTCUSDT"
) -> MarketInputs:
    """A market of one symbol, the recorder listening all the time."""
    end_ms = START_MS + round(hours * MS_PER_HOUR)
    known = START_MS + np.round(np.array(seconds) * 1_000).astype(np.int64)
    path = PricePath.from_ticks(symbol, known, prices, interval_ms=5_000, covered=[(START_MS, end_ms)])
    return MarketInputs.gather(frame_rows(symbol, rows), {symbol: path}, START_MS, end_ms)


def random_market(
    seed: int,
    hours: float = 12.0,
    symbols: Sequence[str] = SYMBOLS,
    *,
    side: str | None = None,
    gap: tuple[float, float] | None = None,
    has_liquidations: bool = True,
    has_prices: bool = True,
) -> MarketInputs:
    """Random walks with liquidations alone and in bursts; `side`: of one side only; `gap`: hours without a recorder."""
    end_ms = START_MS + round(hours * MS_PER_HOUR)
    outage = (START_MS, START_MS) if gap is None else tuple(START_MS + round(hour * MS_PER_HOUR) for hour in gap)
    tables, paths = [LIQUIDATIONS.empty()], {}
    for code, symbol in enumerate(symbols):
        generator = np.random.default_rng([seed, code])
        path = _walk(generator, symbol, end_ms, outage, has_prices)
        paths[symbol] = path
        if has_liquidations:
            tables.append(frame_rows(symbol, _draw_rows(generator, path, symbol, end_ms, side, outage)))
    return MarketInputs.gather(pl.concat(tables), paths, START_MS, end_ms)


def _walk(
    generator: np.random.Generator, symbol: str, end_ms: int, outage: tuple[int, ...], has_prices: bool
) -> PricePath:
    due = np.arange(START_MS + 1_000, end_ms, 5_000)
    known = due + generator.integers(0, 500, len(due))
    prices = _FIRST_PRICE[symbol] * np.exp(np.cumsum(generator.normal(0.0, 3e-4, len(due))))
    kept = ((known < outage[0]) | (known >= outage[1])) & has_prices
    covered = [(START_MS, outage[0]), (outage[1], end_ms)] if outage[0] < outage[1] else [(START_MS, end_ms)]
    return PricePath.from_ticks(symbol, known[kept], prices[kept], interval_ms=5_000, covered=covered)


def _draw_rows(
    generator: np.random.Generator,
    path: PricePath,
    symbol: str,
    end_ms: int,
    side: str | None,
    outage: tuple[int, ...],
) -> Rows:
    """About twenty single liquidations an hour, and two bursts of one side, mostly, with a heavy tail of sizes."""
    hours = (end_ms - START_MS) / MS_PER_HOUR
    singles = generator.integers(START_MS + 1, end_ms, round(20 * hours))
    parts, longs = [singles], [generator.random(len(singles)) < 0.5]
    for moment in generator.integers(START_MS + 1, end_ms, round(2 * hours)).tolist():
        n = int(generator.integers(4, 60))
        parts.append(moment + np.cumsum(generator.integers(0, 6, n) * 250))
        longs.append(generator.random(n) < (0.9 if generator.random() < 0.5 else 0.1))
    known, is_long = np.concatenate(parts), np.concatenate(longs)
    if side is not None:
        is_long = np.full(len(known), side == LONG)
    kept = (known < end_ms) & ((known < outage[0]) | (known >= outage[1]))
    order = np.argsort(known[kept], kind="stable")
    known, is_long = known[kept][order], is_long[kept][order]
    notional = np.exp(generator.normal(10.0, 1.5, len(known)))
    place = np.maximum(np.searchsorted(path.known_ms, known, side="right") - 1, 0)
    market = path.price[place] if len(path.price) else np.full(len(known), _FIRST_PRICE[symbol])
    return Rows(known, is_long, notional, market * np.where(is_long, 0.999, 1.001))


def splice(early: MarketInputs, late: MarketInputs, cut_ms: int) -> MarketInputs:
    """The first market up to the cut, the second one's liquidations and prices after it."""
    tables, paths = [LIQUIDATIONS.empty()], {}
    for name, one in early.truncate(cut_ms).symbols.items():
        other = late.symbols[name]
        after = other.liquidations.filter(pl.col("known_time").to_physical() > cut_ms)
        tables += [one.liquidations, after]
        is_after = other.path.known_ms > cut_ms
        known = np.concatenate([one.path.known_ms, other.path.known_ms[is_after]])
        prices = np.concatenate([one.path.price, other.path.price[is_after]])
        covered = np.vstack([one.covered, [(cut_ms + 1, late.end_ms)]])
        paths[name] = PricePath.from_ticks(name, known, prices, interval_ms=5_000, covered=covered)
    return MarketInputs.gather(pl.concat(tables), paths, early.start_ms, late.end_ms)


def known_by(orders: Orders, cut_ms: int) -> Orders:
    """The orders decided at or before the cut, without the exit signals that came after it."""
    decided = orders.select(orders.decision_ms <= cut_ms)
    is_later = decided.exit_signal_ms > cut_ms
    return decided.with_values(
        exit_signal_ms=np.where(is_later, NEVER, decided.exit_signal_ms),
        exit_signal=np.where(is_later, 0, decided.exit_signal),
    )


def list_columns(orders: Orders) -> Mapping[str, list[object]]:
    """The columns as lists, NaN as None, for comparisons that show where they differ; the symbol by name."""
    columns: dict[str, list[object]] = {"symbol": [orders.symbols[code] for code in orders.codes.tolist()]}
    for field in fields(orders)[2:]:
        values = getattr(orders, field.name).tolist()
        columns[field.name] = [None if value != value else value for value in values]
    return columns
