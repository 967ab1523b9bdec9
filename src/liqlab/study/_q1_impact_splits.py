"""Question 1, described: impact by origin, horizon and group, mean paths, balance of the matched moments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.core.time import MS_PER_S
from liqlab.regimes import QUIET, VOLATILE
from liqlab.stats import adjust_benjamini_hochberg
from liqlab.study._evidence import Booleans, Evidence, Floats, Integers, SymbolEvidence
from liqlab.study._liquidity import LIQUIDITY, rank_liquidity
from liqlab.study._placebo import MatchedMoments, MomentMatcher, Moments, Outcomes, measure_outcomes, signed_return
from liqlab.study._placebo_events import CascadeMoments
from liqlab.study._placebo_inference import compute_influence, describe_columns, describe_influence
from liqlab.study._q1_impact_tables import BALANCE, IMPACT, PATHS

BLOCK_MIN = 60
HORIZONS_S = (10, 30, 60, 300)
_OFFSETS_S = np.arange(-60, 301, 5)
_BPS = 1e4
_ALL = ("all", "all")
#: With fewer events their spread is no measure of a difference.
_LEAST_FOR_SPREAD = 10
_TIERS = ("<$1M", "$1M+", "$5M+")


@dataclass(frozen=True)
class MatchedSet:
    """Events of one origin with their matched moments."""

    name: str
    events: CascadeMoments
    matched: MatchedMoments

    @classmethod
    def match(cls, name: str, events: CascadeMoments, matcher: MomentMatcher) -> MatchedSet:
        """Match the events with placebo moments outside cascades."""
        return cls(name, events, matcher.match(events.moments))

    @property
    def moments(self) -> Moments:
        """The events."""
        return self.events.moments


def describe_impact(evidence: Evidence, origins: Sequence[MatchedSet]) -> pl.DataFrame:
    """Table `q1_impact`. The tier is used where it is known: at the end."""
    rows = []
    for events in origins:
        splits = list(split_events(evidence, events.events, with_tier=events.name == "ended"))
        for horizon_s in HORIZONS_S:
            outcomes = measure_outcomes(evidence, events.matched, signed_return(horizon_s * MS_PER_S))
            for split, group, where in splits:
                row = {"origin": events.name, "horizon_s": float(horizon_s), "split": split, "group": group}
                rows.append(row | _describe_excess(events.matched, outcomes, where))
    return adjust_table(rows, IMPACT.dtypes)


def describe_paths(evidence: Evidence, origins: Sequence[MatchedSet]) -> pl.DataFrame:
    """Table `q1_paths`, the data of the event-study fans."""
    frames = [PATHS.empty()]
    for events in origins:
        own, controls = _measure_paths(evidence, events.matched)
        for split, group, where in _sides(events.moments):
            chosen = where & events.matched.is_matched & np.isfinite(own).any(axis=1)
            if chosen.any():
                frame = _describe_paths(events.matched, own, controls, np.flatnonzero(chosen))
                names = {"origin": pl.lit(events.name), "split": pl.lit(split), "group": pl.lit(group)}
                frames.append(frame.with_columns(**names).select(PATHS.names))
    return pl.concat(frames)


def describe_balance(origins: Sequence[MatchedSet]) -> pl.DataFrame:
    """Table `q1_balance`."""
    rows = []
    for events in origins:
        if not len(events.moments):
            continue
        unmatched = 1.0 - float(events.matched.is_matched.mean())
        for covariate, (own, others, difference) in events.matched.describe_balance().items():
            known = difference if events.matched.is_matched.sum() >= _LEAST_FOR_SPREAD else None
            rows.append((events.name, covariate, own, others, known, unmatched))
    return pl.DataFrame(rows, BALANCE.dtypes, orient="row").fill_nan(None)


def split_events(
    evidence: Evidence, events: CascadeMoments, *, with_tier: bool = False
) -> Iterator[tuple[str, str, Booleans]]:
    """(split, group, events in it): all, by side, regime, liquidity, symbol and, if asked for, tier."""
    moments = events.moments
    yield from _sides(moments)
    regime = map_states(evidence, moments, read_regime)
    yield "regime", QUIET, regime == 0
    yield "regime", VOLATILE, regime == 1
    liquidity = map_states(evidence, moments, rank_liquidity)
    for code, name in enumerate(LIQUIDITY):
        yield "liquidity", name, liquidity == code
    for code, name in enumerate(moments.symbols):
        yield "symbol", name, moments.codes == code
    if with_tier:
        tier = events.column(evidence, "tier")
        for name in _TIERS:
            yield "tier", name, np.asarray(tier == name, dtype=bool)


def map_states(evidence: Evidence, moments: Moments, state: Any) -> Integers:
    """`state(symbol, times)` at each moment, (n,)."""
    found = np.full(len(moments), -1, dtype=np.int64)
    for code, name in enumerate(moments.symbols):
        own = moments.codes == code
        if own.any() and len(evidence.symbols[name].times_ms):
            found[own] = state(evidence.symbols[name], moments.times_ms[own])
    return found


def read_regime(symbol: SymbolEvidence, times_ms: Integers) -> Integers:
    """The code of the regime known at each time; -1 where unknown."""
    rows = symbol.rows_at(times_ms)
    return np.where(rows >= 0, symbol.regime[rows], -1).astype(np.int64)


def adjust_table(rows: list[dict[str, Any]], dtypes: dict[str, pl.DataType]) -> pl.DataFrame:
    """The rows with `p_adjusted` by Benjamini-Hochberg over all of them, NaN as null."""
    if not rows:
        return pl.DataFrame(schema=dtypes)
    adjusted = adjust_benjamini_hochberg([row["p"] for row in rows])
    rows = [row | {"p_adjusted": float(p)} for row, p in zip(rows, adjusted, strict=True)]
    return pl.DataFrame(rows, schema=dtypes, orient="row").fill_nan(None)


def _sides(moments: Moments) -> Iterator[tuple[str, str, Booleans]]:
    yield *_ALL, np.ones(len(moments), dtype=bool)
    yield "side", "long", moments.pressure < 0.0
    yield "side", "short", moments.pressure > 0.0


def _describe_excess(matched: MatchedMoments, outcomes: Outcomes, where: Booleans) -> dict[str, float | int]:
    used = where & outcomes.is_known
    priced = where & np.isfinite(outcomes.own)
    influence = compute_influence(matched, outcomes, where)
    found = describe_influence(influence, BLOCK_MIN)
    n = int(used.sum())
    return {
        "n": n,
        "mean_bps": float(outcomes.own[used].mean()) if n else float("nan"),
        "placebo_bps": float(outcomes.control_means[used].mean()) if n else float("nan"),
        "excess_bps": influence.estimate,
        "ci_low": found.ci_low,
        "ci_high": found.ci_high,
        "p": found.p,
        "unmatched_frac": 1.0 - n / int(priced.sum()) if priced.any() else float("nan"),
    }


def _measure_paths(evidence: Evidence, matched: MatchedMoments) -> tuple[Floats, Floats]:
    """Paths of the events (n, k offsets) and of their controls (n, m, k), signed; NaN where a price is missing."""
    moments, width = matched.moments, len(_OFFSETS_S)
    own = np.full((len(moments), width), np.nan)
    controls = np.full((*matched.control_ms.shape, width), np.nan)
    for code, name in enumerate(moments.symbols):
        rows = np.flatnonzero(moments.codes == code)
        symbol, pressure = evidence.symbols[name], moments.pressure[rows]
        own[rows] = pressure[:, None] * _read_paths(symbol, moments.times_ms[rows])
        times = matched.control_ms[rows]
        values = pressure[:, None, None] * _read_paths(symbol, times)
        controls[rows] = np.where(times[:, :, None] >= 0, values, np.nan)
    return own, controls


def _read_paths(symbol: SymbolEvidence, times_ms: Integers) -> Floats:
    """Return in bps from the first price at or after each time to that at each offset: (..., k)."""
    wanted = times_ms[..., None] + _OFFSETS_S * MS_PER_S
    prices = symbol.prices.first_from(wanted, symbol.tolerance_ms)
    base: npt.NDArray[np.float64] = symbol.prices.first_from(times_ms, symbol.tolerance_ms)
    return np.asarray(_BPS * (prices / base[..., None] - 1.0))


def _describe_paths(matched: MatchedMoments, own: Floats, controls: Floats, rows: Integers) -> pl.DataFrame:
    mean, low, high = describe_columns(matched.moments.times_ms[rows], own[rows], np.ones(rows.size), BLOCK_MIN)
    times = matched.control_ms[rows]
    present = times >= 0
    weight = np.broadcast_to(1.0 / present.sum(axis=1, keepdims=True), times.shape)[present]
    placebo = describe_columns(times[present], controls[rows][present], weight, BLOCK_MIN)
    return pl.DataFrame(
        {
            "offset_s": _OFFSETS_S.astype(np.float64),
            "mean_bps": mean,
            "ci_low": low,
            "ci_high": high,
            "placebo_bps": placebo[0],
            "placebo_low": placebo[1],
            "placebo_high": placebo[2],
            "n": np.isfinite(own[rows]).sum(axis=0).astype(np.int64),
        }
    ).fill_nan(None)
