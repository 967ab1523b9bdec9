"""Every feature against the plainest Python that can say what it means, from raw rows."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from functools import cached_property
from statistics import fmean, stdev
from typing import Any

import numpy as np
import polars as pl
import pytest
from test_features_market import GAPS_MS, PRESET, SYMBOLS, Tables, gap_tables, walk_features

from liqlab.core.schema import LONG
from liqlab.features import FEATURES

Value = float | None
STEP_MS, MINUTE_MS = 5_000, 60_000
WINDOWS_MS = {"5m": 300_000, "15m": 900_000, "1h": 3_600_000}


class Oracle:
    """One symbol's raw rows; each question about a moment is answered by looking at those known by then."""

    def __init__(self, tables: Tables, symbol: str) -> None:
        self.tables, self.symbol = tables, symbol
        self.liquidations = self._rows(tables.liquidations[symbol])
        self.ticker = self._rows(tables.ticker[symbol])
        self.ratio = self._rows(tables.ratio[symbol])
        self.known = {id(rows): [row["known_time"] for row in rows] for rows in (self.ticker, self.ratio)}
        self.heard = sorted(
            row["known_time"]
            for frames in (tables.liquidations, tables.ticker)
            for frame in frames.values()
            for row in self._rows(frame)
        )
        self._cache: dict[Any, Any] = {}

    @staticmethod
    def _rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
        times = [name for name in ("known_time", "event_time") if name in frame.columns]
        rows = frame.with_columns(pl.col(times).to_physical()).to_dicts()
        return sorted(rows, key=lambda row: row["known_time"])

    @cached_property
    def others(self) -> list[Oracle]:
        return [Oracle(self.tables, symbol) for symbol in self.tables.symbols if symbol != self.symbol]

    @cached_property
    def btc(self) -> Oracle:
        return Oracle(self.tables, "BTCUSDT")

    def once(self, key: Any, compute: Callable[[], Any]) -> Any:
        if key not in self._cache:
            self._cache[key] = compute()
        return self._cache[key]

    def is_covered(self, t: int) -> bool:
        """Anything of anyone was heard in the last minute."""
        if t <= self.tables.start_ms:
            return False
        place = bisect_right(self.heard, t)
        return place > 0 and t - self.heard[place - 1] <= MINUTE_MS

    def grid(self, t: int, window_ms: int) -> list[int]:
        """Covered grid times in (t - window, t]."""
        first = max(t - window_ms + STEP_MS, self.tables.start_ms + STEP_MS)
        return [s for s in range(first, t + 1, STEP_MS) if self.is_covered(s)]

    def bar(self, t: int, width_ms: int = STEP_MS) -> list[dict[str, Any]]:
        def find() -> list[dict[str, Any]]:
            known = self.once("known", lambda: [row["known_time"] for row in self.liquidations])
            return self.liquidations[bisect_left(known, t - width_ms) : bisect_left(known, t)]

        return list(self.once((t, width_ms), find))

    def volume(self, t: int, side: str | None = None, what: str = "quantity") -> float:
        return math.fsum(row[what] for row in self.bar(t) if side in (None, row["liquidated_side"]))

    def latest(self, rows: list[dict[str, Any]], t: int, lag_ms: int, tolerance_ms: int) -> dict[str, Any]:
        """The newest usable row at a covered moment, else one without values."""
        place = bisect_right(self.known[id(rows)], t - lag_ms)
        if not place or not self.is_covered(t) or t - lag_ms - rows[place - 1]["known_time"] > tolerance_ms:
            return {}
        return rows[place - 1]

    def asof(self, t: int, name: str) -> Value:
        return self.latest(self.ticker, t, 0, 15_000).get(name)

    def price(self, t: int) -> Value:
        mark = self.asof(t, "mark_price")
        return self.asof(t, "last_price") if mark is None else mark

    def share(self, t: int) -> Value:
        return self.latest(self.ratio, t, 3_600_000, 10_800_000).get("ratio")

    def rate(self, t: int) -> Value:
        def compute() -> Value:
            bars = self.grid(t, MINUTE_MS)
            enough = len(bars) >= 0.8 * 12 and self.is_covered(t)
            return 12 * sum(len(self.bar(s)) for s in bars) / len(bars) if enough else None

        value: Value = self.once(("rate", t), compute)
        return value

    def cascade(self, t: int) -> tuple[bool, float]:
        """Whether a confirmed cascade goes on just before t, and its volume: the rules, row by row."""
        members: list[dict[str, Any]] = []
        before = [row for row in self.liquidations if t - 600_000 <= row["known_time"] < t]
        for row in sorted(before, key=lambda row: (row["known_time"], row["event_time"], row["position"])):
            if members and row["known_time"] - members[-1]["known_time"] > PRESET.max_gap_ms:
                members = []
            members.append(row)
        if not members or t - members[-1]["known_time"] > PRESET.max_gap_ms:
            return False, 0.0
        notional = sum(row["price"] * row["quantity"] for row in members)
        if len(members) < PRESET.min_liquidations or notional < PRESET.min_notional_usd:
            return False, 0.0
        return True, sum(row["quantity"] for row in members)


def imbalance(oracle: Oracle, bars: list[int]) -> Value:
    longs = math.fsum(oracle.volume(s, LONG) for s in bars)
    total = math.fsum(oracle.volume(s) for s in bars)
    return (total - 2 * longs) / total if total > 0 else None


def zscore(value: Value, sample: list[Value]) -> Value:
    there = [item for item in sample if item is not None]
    if value is None or len(there) < 5 or len(set(there)) == 1:
        return None
    return (value - fmean(there)) / stdev(there)


def relative(value: Value, before: Value) -> Value:
    return None if value is None or before is None else value / before - 1


def less(value: Value, before: Value) -> Value:
    return None if value is None or before is None else value - before


def correlation(oracle: Oracle, t: int) -> Value:
    bars = oracle.grid(t, 300_000)
    own = [oracle.volume(s, what="notional_usd") for s in bars]
    found = []
    for other in oracle.others:
        theirs = [other.volume(s, what="notional_usd") for s in bars]
        if len(set(own)) > 1 and len(set(theirs)) > 1:
            found.append(float(np.corrcoef(own, theirs)[0, 1]))
    return fmean(found) if found else None


def velocity(oracle: Oracle, t: int) -> Value:
    change = relative(oracle.asof(t, "open_interest"), oracle.asof(t - 300_000, "open_interest"))
    return None if change is None else change / 5


def acceleration(oracle: Oracle, t: int) -> Value:
    change = less(velocity(oracle, t), velocity(oracle, t - 300_000))
    return None if change is None else change / 5


def organic(oracle: Oracle, t: int) -> Value:
    now, before = oracle.asof(t, "open_interest"), oracle.asof(t - 300_000, "open_interest")
    if now is None or before is None:
        return None
    return (now - before + math.fsum(oracle.volume(s) for s in oracle.grid(t, 300_000))) / before


def true_range(oracle: Oracle, t: int) -> Value:
    prices = [price for k in range(13) if (price := oracle.price(t - k * STEP_MS)) is not None]
    return max(prices) - min(prices) if len(prices) >= 0.8 * 13 else None


def atr(oracle: Oracle, t: int) -> Value:
    ranges = [item for k in range(14) if (item := true_range(oracle, t - k * MINUTE_MS)) is not None]
    price = oracle.price(t)
    return 1e4 * fmean(ranges) / price if len(ranges) >= 0.8 * 14 and price is not None else None


def bollinger(oracle: Oracle, t: int) -> Value:
    prices = [item for k in range(20) if (item := oracle.price(t - k * MINUTE_MS)) is not None]
    return 4 * float(np.std(prices)) / fmean(prices) if len(prices) >= 0.8 * 20 else None


def volatility(oracle: Oracle, t: int, window_ms: int) -> Value:
    squares = []
    for s in range(t - window_ms + STEP_MS, t + 1, STEP_MS):
        change = relative(oracle.price(s), oracle.price(s - MINUTE_MS))
        if change is not None:
            squares.append(math.log1p(change) ** 2)
    n = window_ms // STEP_MS
    return 1e4 * math.sqrt(fmean(squares) * window_ms / MINUTE_MS) if len(squares) >= 0.8 * n else None


def spread(sample: list[float]) -> Value:
    return stdev(sample) if len(sample) > 1 else None


ORACLES: dict[str, Callable[[Oracle, int], Value]] = {
    "liq_volume_1s": lambda o, t: math.fsum(row["quantity"] for row in o.bar(t, 1_000)),
    "liq_volume_5s": lambda o, t: o.volume(t),
    "liq_volume_1m": lambda o, t: math.fsum(o.volume(s) for s in o.grid(t, MINUTE_MS)),
    "liq_buy_volume": lambda o, t: o.volume(t, LONG),
    "liq_sell_volume": lambda o, t: o.volume(t, "short"),
    "liq_imbalance": lambda o, t: imbalance(o, [t]),
    "liq_rate": lambda o, t: o.rate(t),
    "liq_cascade_flag": lambda o, t: float(o.cascade(t)[0]),
    "liq_cascade_size": lambda o, t: o.cascade(t)[1],
    "liq_btc_lead": lambda o, t: o.btc.volume(t - 30_000) if o.is_covered(t - 30_000) else None,
    "liq_correlation_5m": correlation,
    "open_interest_velocity": velocity,
    "open_interest_acceleration": acceleration,
    "organic_open_interest_change": organic,
    "funding_rate": lambda o, t: o.asof(t, "funding_rate"),
    "funding_rate_change": lambda o, t: less(o.asof(t, "funding_rate"), o.asof(t - 3_600_000, "funding_rate")),
    "basis_bps": lambda o, t: (
        None if (change := relative(o.price(t), o.asof(t, "index_price"))) is None else 1e4 * change
    ),
    "long_short_ratio": lambda o, t: o.share(t),
    "long_short_ratio_change": lambda o, t: less(o.share(t), o.share(t - 3_600_000)),
    "atr_bps": atr,
    "bollinger_width": bollinger,
    "trailing_return_1m": lambda o, t: relative(o.price(t), o.price(t - MINUTE_MS)),
}
for _ending, _width in WINDOWS_MS.items():
    ORACLES |= {
        f"liq_volume_mean_{_ending}": lambda o, t, w=_width: fmean(o.volume(s) for s in o.grid(t, w)),
        f"liq_volume_std_{_ending}": lambda o, t, w=_width: spread([o.volume(s) for s in o.grid(t, w)]),
        f"liq_volume_max_{_ending}": lambda o, t, w=_width: max(o.volume(s) for s in o.grid(t, w)),
        f"liq_imbalance_{_ending}": lambda o, t, w=_width: imbalance(o, o.grid(t, w)),
        f"liq_imbalance_zscore_{_ending}": lambda o, t, w=_width: zscore(
            imbalance(o, [t]), [imbalance(o, [s]) for s in o.grid(t, w)]
        ),
        f"liq_rate_zscore_{_ending}": lambda o, t, w=_width: zscore(o.rate(t), [o.rate(s) for s in o.grid(t, w)]),
        f"realised_volatility_{_ending}": lambda o, t, w=_width: volatility(o, t, w),
        f"trailing_return_{_ending}": lambda o, t, w=_width: relative(o.price(t), o.price(t - w)),
    }


def sample_times(tables: Tables, features: pl.DataFrame) -> list[int]:
    """Times with and without liquidations, and those around every silence and the midnight."""
    random = np.random.default_rng(2)
    times = features["time"].to_physical().to_numpy()
    busy = times[(features["liq_volume_5s"].fill_null(0.0) > 0).to_numpy()]
    chosen = {*random.choice(times, 35), *random.choice(busy, 35), times[0], times[11], times[-1]}
    for moment in (*(edge for gap in GAPS_MS for edge in gap), tables.start_ms + 3 * 3_600_000):
        chosen |= {moment // STEP_MS * STEP_MS + k * STEP_MS for k in (-2, 0, 1, 12, 13, 60, 200)}
    return sorted(int(time) for time in chosen)


@pytest.mark.parametrize("symbol", SYMBOLS[:2])
def test_every_feature_is_what_the_slow_oracle_says(symbol: str) -> None:
    tables = gap_tables()
    features, _ = walk_features(tables, symbol)
    times = sample_times(tables, features)
    sample = features.filter(pl.col("time").to_physical().is_in(times))
    assert sample.height == len(times)
    oracle = Oracle(tables, symbol)
    assert set(ORACLES) == {feature.name for feature in FEATURES}
    for feature in FEATURES:
        found = sample[feature.name].to_list()
        assert 0 < sum(value is not None for value in found) < len(found), feature.name
        for t, value in zip(times, found, strict=True):
            rows = -(-feature.lookback_s * 1_000 // STEP_MS)
            ready = oracle.is_covered(t) and len(oracle.grid(t, rows * STEP_MS)) >= 0.8 * rows - 1e-9
            expected = ORACLES[feature.name](oracle, t) if ready else None
            if expected is None or value is None:
                assert value is expected, (feature.name, t)
            else:
                assert value == pytest.approx(expected, rel=1e-9, abs=1e-11), (feature.name, t)
