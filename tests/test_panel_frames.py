"""Small frames that the panel tests share, and that they are what the schema says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from liqlab.core.schema import LIQUIDATIONS, LONG, LONG_SHORT_RATIO, SHORT, TICKER, check_frame

START_MS = 1_770_595_200_000  # 2026-02-09, a Monday
#: symbol, event_ms, known_ms, side, quantity, price
Row = tuple[str, int, int, str, float, float]


def liquidations_of(rows: Sequence[Row], push_delay_ms: int | None = None) -> pl.DataFrame:
    columns: dict[str, Any] = {
        "symbol": [row[0] for row in rows],
        "exchange": ["bybit"] * len(rows),
        "event_time": [row[1] for row in rows],
        "push_time": [None if push_delay_ms is None else row[1] + push_delay_ms for row in rows],
        "known_time": [row[2] for row in rows],
        "liquidated_side": [row[3] for row in rows],
        "quantity": [row[4] for row in rows],
        "price": [row[5] for row in rows],
        "notional_usd": [row[4] * row[5] for row in rows],
        "source_file": ["a.jsonl"] * len(rows),
        "source_line": list(range(1, len(rows) + 1)),
        "position": [0] * len(rows),
    }
    return pl.DataFrame(columns, schema=LIQUIDATIONS.dtypes)


def random_liquidations(
    seed: int, n: int, span_ms: int = 7_200_000, symbols: Sequence[str] = ("BTCUSDT",)
) -> pl.DataFrame:
    """Bursts with ties in time and size, in the lake's order."""
    random = np.random.default_rng(seed)
    bursts = random.integers(0, span_ms, size=max(1, n // 5))
    rows = []
    for _ in range(n):
        event = START_MS + int(random.choice(bursts)) + int(random.integers(0, 4)) * 500
        side = LONG if random.random() < 0.6 else SHORT
        quantity = float(np.round(random.lognormal(0, 2), 2) + 0.01)
        price = 100.0 + int(random.integers(0, 10))
        rows.append((str(random.choice(symbols)), event, event + int(random.integers(1, 700)), side, quantity, price))
    return liquidations_of(sorted(rows, key=lambda row: (row[2], row[1])))


def ticker_of(
    symbol: str, known_ms: Sequence[int], prices: Sequence[float | None], **columns: Sequence[Any]
) -> pl.DataFrame:
    """Ticker rows with these mark prices; other columns null unless given."""
    n = len(known_ms)
    data: dict[str, Any] = {name: [None] * n for name in TICKER.names}
    data |= {"symbol": [symbol] * n, "exchange": ["bybit"] * n, "source_file": ["t.jsonl"] * n}
    data |= {"known_time": list(known_ms), "event_time": list(known_ms), "mark_price": list(prices)}
    data |= {"source_line": list(range(1, n + 1))} | {name: list(values) for name, values in columns.items()}
    return pl.DataFrame(data, schema=TICKER.dtypes)


def ratio_of(symbol: str, known_ms: Sequence[int], buy_ratios: Sequence[float]) -> pl.DataFrame:
    n = len(known_ms)
    data = {
        "symbol": [symbol] * n,
        "event_time": list(known_ms),
        "known_time": list(known_ms),
        "buy_ratio": list(buy_ratios),
        "sell_ratio": [1 - share for share in buy_ratios],
        "ratio": [share / (1 - share) for share in buy_ratios],
        "source_file": ["r.jsonl"] * n,
        "source_line": list(range(1, n + 1)),
    }
    return pl.DataFrame(data, schema=LONG_SHORT_RATIO.dtypes)


def deliveries_of(rows: Sequence[tuple[str, str, str, int, int]]) -> pl.DataFrame:
    """Runs of deliveries: symbol, stream, exchange, first and last in milliseconds after START_MS."""
    schema = {
        "symbol": pl.String,
        "stream": pl.String,
        "exchange": pl.String,
        "first_ms": pl.Int64,
        "last_ms": pl.Int64,
    }
    moved = [(symbol, stream, who, START_MS + first, START_MS + last) for symbol, stream, who, first, last in rows]
    return pl.DataFrame(moved, schema=schema, orient="row")


def test_the_builders_make_tables_of_the_schema() -> None:
    check_frame(random_liquidations(1, 20), LIQUIDATIONS)
    check_frame(liquidations_of([]), LIQUIDATIONS)
    check_frame(ticker_of("A", [START_MS], [1.0]), TICKER)
    check_frame(ratio_of("A", [START_MS], [0.5]), LONG_SHORT_RATIO)
