"""Capture lines and files for tests, written out by hand so that nothing here depends on how they are read."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import zstandard

#: 2026-02-09 19:00 UTC.
START_MS = 1_770_663_600_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000


def dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def liquidation_item(
    event_ms: int, side: str = "Sell", quantity: str = "0.017", price: str = "71182.70", symbol: str = "BTCUSDT"
) -> dict[str, Any]:
    return {"T": event_ms, "s": symbol, "S": side, "v": quantity, "p": price}


def liquidation_line(
    items: Sequence[dict[str, Any]], known_ms: int | None, push_ms: int | None = None, symbol: str = "BTCUSDT"
) -> str:
    result: dict[str, Any] = {"data": list(items)} if push_ms is None else {"ts": push_ms, "data": list(items)}
    line = {"exchange": "bybit", "source": "ws", "stream": "liquidation", "symbol": symbol, "result": result}
    return dumps(line if known_ms is None else {"ts": known_ms, **line})


def rest_line(known_ms: int, fields: dict[str, Any], symbol: str = "BTCUSDT", **envelope: Any) -> str:
    row = {"symbol": symbol, **fields}
    line = {"ts": known_ms, "source": "rest", "stream": "ticker", "symbol": symbol, **envelope}
    return dumps(line | {"result": {"list": [row]}})


def frame_line(
    known_ms: int | None, push_ms: int, kind: str, fields: dict[str, Any], symbol: str = "BTCUSDT", **result: Any
) -> str:
    frame = {"topic": f"tickers.{symbol}", "type": kind, "ts": push_ms, "data": {"symbol": symbol, **fields}, **result}
    line = {"stream": "ticker", "symbol": symbol, "result": frame}
    return dumps(line if known_ms is None else {"ts": known_ms, **line})


def ratio_line(event_ms: int, buy: str = "0.5123", sell: str = "0.4877", symbol: str = "BTCUSDT") -> str:
    row = {"symbol": symbol, "buyRatio": buy, "sellRatio": sell, "timestamp": str(event_ms), "stream": "account_ratio"}
    return dumps(row)


def compress(data: bytes, name: str) -> bytes:
    """`data` as a file called `name` holds it."""
    if name.endswith(".gz"):
        return gzip.compress(data, 6, mtime=0)
    if name.endswith(".zst"):
        return zstandard.ZstdCompressor().compress(data)
    return data


def write_capture(path: Path, lines: Iterable[str]) -> Path:
    """Write lines to `path`, compressed as its name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{line}\n" for line in lines)
    path.write_bytes(compress(text.encode(), path.name))
    return path


def write_recording(
    folder: Path, hours: int, symbols: Sequence[str] = ("BTCUSDT", "ETHUSDT"), seed: int = 1, per_hour: int = 30
) -> list[Path]:
    """A small recording with everything in it: liquidations (some delivered twice, some bad), ticker, ratio."""
    paths = []
    for number, symbol in enumerate(symbols):
        generator = random.Random(seed * 1_000 + number)
        for hour in range(hours):
            start = START_MS + hour * HOUR_MS
            base = folder / symbol / "bybit"
            liquidations = _liquidation_lines(generator, symbol, start, per_hour)
            ticker = _ticker_lines(generator, symbol, start, per_hour)
            paths.append(write_capture(base / "liquidations" / f"liquidation_{hour:04d}.jsonl.gz", liquidations))
            paths.append(write_capture(base / "ticker" / f"ticker_{hour:04d}.jsonl.gz", ticker))
        ratios = [ratio_line(START_MS + hour * HOUR_MS, symbol=symbol) for hour in range(hours)]
        paths.append(write_capture(folder / symbol / "longshort_ratio.jsonl.gz", ratios))
    return paths


def _liquidation_lines(generator: random.Random, symbol: str, start: int, count: int) -> list[str]:
    lines = []
    for _ in range(count):
        event = start + generator.randrange(HOUR_MS)
        items = [
            liquidation_item(
                event - 37 * i,
                generator.choice(("Buy", "Sell")),
                f"{generator.uniform(0.001, 9):.3f}",
                f"{generator.uniform(60_000, 70_000):.2f}",
                symbol,
            )
            for i in range(generator.randrange(1, 4))
        ]
        if generator.random() < 0.05:
            items.insert(1, liquidation_item(event, "Both", symbol=symbol))
        lines.append(liquidation_line(items, event + 300, event + 250, symbol))
        if generator.random() < 0.1:
            lines.append(liquidation_line(items, event + 300 + generator.randrange(5_000), event + 250, symbol))
        if generator.random() < 0.03:
            lines.append('{"ts":')
    return lines


def _ticker_lines(generator: random.Random, symbol: str, start: int, count: int) -> list[str]:
    lines = [frame_line(start + 40, start, "snapshot", {"lastPrice": "65000.5", "openInterest": "1000"}, symbol)]
    for i in range(1, count):
        time = start + i * 20_000
        field = generator.choice(("lastPrice", "markPrice", "bid1Price", "fundingRate"))
        lines.append(frame_line(time + 40, time, "delta", {field: f"{generator.uniform(1, 9):.4f}"}, symbol))
    return lines
