"""The obvious loops that the benchmarks compare with; `python benchmarks/obvious.py SOURCE TARGET` writes Parquet."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd

TICKER_FIELDS = {
    "lastPrice": "last_price",
    "markPrice": "mark_price",
    "indexPrice": "index_price",
    "fundingRate": "funding_rate",
    "bid1Price": "bid_price",
    "bid1Size": "bid_size",
    "ask1Price": "ask_price",
    "ask1Size": "ask_size",
}


def load_liquidations_obviously(folder: Path) -> pd.DataFrame:
    """What one writes first: `json.loads` for each line, a dictionary for each row, pandas."""
    rows = []
    for path in sorted(folder.rglob("*.jsonl.gz")):
        with gzip.open(path, "rt") as stream:
            for line in stream:
                message = json.loads(line)
                for item in message["result"]["data"]:
                    rows.append(
                        {
                            "symbol": item["s"],
                            "event_time": item["T"],
                            "push_time": message["result"]["ts"],
                            "known_time": message["ts"],
                            "liquidated_side": "long" if item["S"] == "Buy" else "short",
                            "quantity": float(item["v"]),
                            "price": float(item["p"]),
                        }
                    )
    frame = pd.DataFrame(rows)
    for column in ("event_time", "push_time", "known_time"):
        frame[column] = pd.to_datetime(frame[column], unit="ms", utc=True)
    frame["notional_usd"] = frame["price"] * frame["quantity"]
    return frame.sort_values(["known_time", "event_time"], kind="stable", ignore_index=True)


def load_ticker_obviously(folder: Path) -> pd.DataFrame:
    """What one writes first: `json.loads` for each frame and a dictionary that carries the state."""
    rows = []
    state: dict[str, Any] = {}
    for path in sorted(folder.rglob("*.jsonl.gz")):
        with gzip.open(path, "rt") as stream:
            for line in stream:
                message = json.loads(line)
                data = message["result"]["data"]
                state = {**state, **data} if message["result"]["type"] == "delta" else data
                interest = float(state["openInterest"]) / 2
                values = [float(state[name]) for name in TICKER_FIELDS]
                rows.append((state["symbol"], message["result"]["ts"], message["ts"], interest, *values))
    names = ["symbol", "event_time", "known_time", "open_interest", *TICKER_FIELDS.values()]
    frame = pd.DataFrame(rows, columns=names)
    for column in ("event_time", "known_time"):
        frame[column] = pd.to_datetime(frame[column], unit="ms", utc=True)
    return frame.sort_values("known_time", kind="stable", ignore_index=True)


if __name__ == "__main__":
    load_liquidations_obviously(Path(sys.argv[1])).to_parquet(sys.argv[2])
