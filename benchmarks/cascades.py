"""Cascade detection: batch against a vectorised pandas version, and the time per message of the stream.

Run with `python benchmarks/cascades.py`; prints a Markdown table. The results are compared in the same run.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl

from liqlab.cascades import CascadeEvent, CascadePreset, StreamDetector, detect_cascades, get_preset
from liqlab.core.schema import TIME
from liqlab.sources import parse_line

SYMBOLS = {"BTCUSDT": 68_000.0, "DOGEUSDT": 0.1, "ETHUSDT": 2_000.0, "SOLUSDT": 85.0, "XRPUSDT": 1.4}
START_MS = 1_770_665_590_000
ROUNDS = 5


def main() -> None:
    """Print the table."""
    rows = [*measure_batch(1_000_000), *measure_stream(200_000)]
    print("| what | measured | aim |")
    print("|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


def make_liquidations(n: int, seed: int = 1) -> pl.DataFrame:
    """`n` liquidations sorted by symbol and known time, clustered and sized like those of February 2026."""
    random = np.random.default_rng(seed)
    frames = [_make_symbol(random, n // len(SYMBOLS), name, price) for name, price in SYMBOLS.items()]
    return pl.concat(frames).rechunk()


def _make_symbol(random: np.random.Generator, n: int, symbol: str, price: float) -> pl.DataFrame:
    silence_ms = np.where(random.random(n) < 0.25, random.exponential(170_000, n), random.exponential(300, n))
    known_ms = START_MS + np.cumsum(silence_ms).astype(np.int64)
    prices = (price * np.exp(np.cumsum(random.normal(0.0, 1e-4, n)))).round(4)
    quantity = (random.lognormal(6.8, 2.0, n) / prices).round(4) + 1e-4
    frame = pl.DataFrame(
        {
            "symbol": [symbol] * n,
            "event_time": known_ms - 300,
            "known_time": known_ms,
            "liquidated_side": np.where(random.random(n) < 0.55, "long", "short"),
            "quantity": quantity,
            "price": prices,
            "notional_usd": prices * quantity,
            "position": np.zeros(n, np.int64),
        }
    )
    return frame.with_columns(pl.col("event_time", "known_time").cast(TIME))


def detect_with_pandas(liquidations: pd.DataFrame, preset: CascadePreset) -> pd.DataFrame:
    """The same cascades by groupby and cumulative sums."""
    order = ["symbol", "known_time", "event_time", "position"]
    rows = liquidations.sort_values(order, kind="stable", ignore_index=True)
    silence = rows.groupby("symbol")["known_time"].diff()
    is_first = silence.isna() | (silence > pd.Timedelta(preset.max_gap_ms, "ms"))
    is_long = rows["liquidated_side"] == "long"
    rows = rows.assign(
        cluster=is_first.cumsum(),
        long_volume=rows["quantity"].where(is_long, 0.0),
        short_volume=rows["quantity"].where(~is_long, 0.0),
        long_notional_usd=rows["notional_usd"].where(is_long, 0.0),
        short_notional_usd=rows["notional_usd"].where(~is_long, 0.0),
    )
    clusters = rows.groupby("cluster")
    rows["so_far"] = clusters.cumcount() + 1
    rows["so_far_usd"] = clusters["notional_usd"].cumsum()
    crossed = rows[(rows["so_far"] >= preset.min_liquidations) & (rows["so_far_usd"] >= preset.min_notional_usd)]
    confirmations = crossed.groupby("cluster").agg(
        confirmed=("known_time", "first"),
        n_at_confirmation=("so_far", "first"),
        notional_at_confirmation_usd=("so_far_usd", "first"),
    )
    table = clusters.agg(
        symbol=("symbol", "first"),
        first_known=("known_time", "first"),
        last_known=("known_time", "last"),
        start=("event_time", "first"),
        end=("event_time", "last"),
        n_liquidations=("price", "size"),
        volume=("quantity", "sum"),
        notional_usd=("notional_usd", "sum"),
        long_volume=("long_volume", "sum"),
        short_volume=("short_volume", "sum"),
        long_notional_usd=("long_notional_usd", "sum"),
        short_notional_usd=("short_notional_usd", "sum"),
        price_low=("price", "min"),
        price_high=("price", "max"),
        n_price_levels=("price", "nunique"),
    ).join(confirmations, how="inner")
    by_longs = table["long_notional_usd"] >= table["short_notional_usd"]
    return table.assign(
        ended=table["last_known"] + pd.Timedelta(preset.max_gap_ms + 1, "ms"),
        duration_s=(table["end"] - table["start"]).dt.total_seconds(),
        dominant_side=np.where(by_longs, "long", "short"),
        imbalance=(table["short_volume"] - table["long_volume"]) / table["volume"],
        vwap=table["notional_usd"] / table["volume"],
    ).sort_values(["confirmed", "symbol"], ignore_index=True)


def check_equal(table: pl.DataFrame, expected: pd.DataFrame) -> None:
    """Raise unless both say the same: exact but for the rounding of sums, which pandas compensates."""
    if table.height == 0:
        raise AssertionError("the benchmark's data hold no cascade")
    found = table.drop("cascade_id").to_pandas()
    pd.testing.assert_frame_equal(found, expected[found.columns], check_dtype=False, rtol=1e-9, atol=1e-9)


def measure_batch(n: int) -> list[tuple[str, str, str]]:
    """The batch driver against pandas, round by round in turn."""
    preset = get_preset("plan")
    frame = make_liquidations(n)
    in_pandas = frame.to_pandas()
    table = detect_cascades(frame, preset)
    check_equal(table, detect_with_pandas(in_pandas, preset))
    own, other = [], []
    for _ in range(ROUNDS):
        own += [_seconds(lambda: detect_cascades(frame, preset)) for _ in range(3)]
        other.append(_seconds(lambda: detect_with_pandas(in_pandas, preset)))
    fast, slow = statistics.median(own), statistics.median(other)
    by_size = statistics.median(_seconds(lambda: detect_cascades(frame, get_preset("p95"))) for _ in range(ROUNDS))
    what = f"{n:,} liquidations, {table.height:,} cascades"
    return [
        (f"batch, preset plan: {what}", f"{fast * 1e3:,.0f} ms", ""),
        ("the same with vectorised pandas, equal results", f"{slow * 1e3:,.0f} ms", ""),
        ("ratio of medians", f"{slow / fast:.1f}", "at least 20"),
        (f"batch, preset p95 (trailing quantile): {n:,} liquidations", f"{by_size * 1e3:,.0f} ms", ""),
    ]


def _seconds(function: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


def make_lines(n: int) -> list[bytes]:
    """Captured messages in order of known time: what one symbol's liquidations of the same 500 ms are pushed as."""
    push = (pl.col("known_time").dt.epoch("ms") // 500 + 1) * 500
    rows = make_liquidations(2 * n).with_columns(push=push, event=pl.col("event_time").dt.epoch("ms"))
    messages = rows.group_by("push", "symbol", maintain_order=True).agg("event", "liquidated_side", "quantity", "price")
    return [_make_line(*message) for message in messages.sort("push", "symbol").head(n).iter_rows()]


def _make_line(push_ms: int, symbol: str, *columns: list[Any]) -> bytes:
    data = [
        {"T": event, "s": symbol, "S": "Buy" if side == "long" else "Sell", "v": str(quantity), "p": str(price)}
        for event, side, quantity, price in zip(*columns, strict=True)
    ]
    line = {"ts": push_ms + 60, "exchange": "bybit", "source": "ws", "stream": "liquidation", "symbol": symbol}
    return json.dumps({**line, "result": {"ts": push_ms, "data": data}}, separators=(",", ":")).encode()


def measure_stream(n: int) -> list[tuple[str, str, str]]:
    """Decoding and detecting, message by message, in several passes that must give the same events.

    A message's time is its median over the passes: what other programs on the machine take is not ours.
    """
    lines = make_lines(n)
    passes = [_time_messages(lines) for _ in range(ROUNDS)]
    if any(events != passes[0][0] for events, _ in passes) or not passes[0][0]:
        raise AssertionError("two passes over the same messages differ, or there was no event")
    decode, detect = np.median([nanoseconds for _, nanoseconds in passes], axis=0) / 1e3
    what = f"{len(lines):,} messages, {len(passes[0][0]):,} events"
    return [
        (f"stream, decode and detect: {what}", _describe(decode + detect), "P99 under 15 µs"),
        ("of which decode", _describe(decode), ""),
        ("of which detect", _describe(detect), ""),
    ]


def _describe(microseconds: npt.NDArray[np.float64]) -> str:
    p50, p99 = np.quantile(microseconds, [0.5, 0.99])
    return f"P50 {p50:.1f} µs, P99 {p99:.1f} µs"


def _time_messages(lines: list[bytes]) -> tuple[list[CascadeEvent], npt.NDArray[np.int64]]:
    """The events of all messages, and the nanoseconds that decoding and detecting each took, shape (2, n)."""
    detector = StreamDetector(get_preset("plan"))
    events: list[CascadeEvent] = []
    nanoseconds = np.empty((2, len(lines)), np.int64)
    for i, line in enumerate(lines):
        begun = time.perf_counter_ns()
        message = parse_line(line).liquidations
        decoded = time.perf_counter_ns()
        found = detector.feed(message)
        nanoseconds[1, i] = time.perf_counter_ns() - decoded
        nanoseconds[0, i] = decoded - begun
        events += found
    return events, nanoseconds


if __name__ == "__main__":
    main()
