"""Question 1, described: clusters by gap, whether liquidations follow liquidations, how severe cascades are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from liqlab.core.schema import LONG
from liqlab.core.time import MS_PER_MINUTE, MS_PER_S
from liqlab.stats import compare_means, linear_quantile
from liqlab.study._evidence import Booleans, Evidence, Floats, Integers, SymbolEvidence
from liqlab.study._placebo import MatchedMoments, MomentMatcher, Moments, Outcomes, measure_outcomes
from liqlab.study._placebo_inference import compute_influence, describe_columns, describe_influence
from liqlab.study._q1_impact_splits import BLOCK_MIN, MatchedSet, adjust_table, split_events
from liqlab.study._q1_impact_tables import CHAIN, CLUSTERS, SEVERITY

_GAPS_S = (1, 2, 3, 5)
#: A first liquidation comes after so much silence; whether the price moves is seen so long after it.
_SILENCE_MS, _REACTION_MS, _FOLLOW_MS = 5 * MS_PER_MINUTE, 10 * MS_PER_S, 60 * MS_PER_S
_MEASURES = (("notional_usd", "USD"), ("duration_s", "s"), ("displacement_bps", "bps"))
_NAN = float("nan")


def describe_clusters(evidence: Evidence) -> pl.DataFrame:
    """Table `q1_clusters`."""
    rows = []
    for gap_s in _GAPS_S:
        found = {name: _cluster(symbol, gap_s) for name, symbol in evidence.symbols.items()}
        total = {name: symbol.liquidations.height for name, symbol in evidence.symbols.items()}
        found["ALL"] = np.concatenate([np.empty((3, 0)), *found.values()], axis=1)
        total["ALL"] = sum(total.values())
        rows += [(name, float(gap_s), *_describe_clusters(found[name], total[name])) for name in found]
    return pl.DataFrame(rows, CLUSTERS.dtypes, orient="row").fill_nan(None)


def describe_chain(evidence: Evidence, matcher: MomentMatcher) -> pl.DataFrame:
    """Table `q1_chain`: 10 s after a liquidation that broke 5 min of silence, by what the price has done since.

    Matched moments are alike in what the price has done and without a liquidation in the minutes before: what is left
    is what a liquidation tells of further ones beyond the move itself.
    """
    moments = _list_first(evidence)
    busy = {name: (_known(symbol), _known(symbol)) for name, symbol in evidence.symbols.items()}
    matched = matcher.match(moments, busy)
    outcomes = measure_outcomes(evidence, matched, _is_followed)
    moved = measure_outcomes(evidence, matched, _measure_reaction).own
    rows: list[dict[str, Any]] = []
    everything = np.ones(len(moments), dtype=bool)
    for group, where in (("all", everything), ("moved with it", moved > 0.0), ("moved against it", moved < 0.0)):
        rows.append({"group": group} | _describe_followed(matched, outcomes, where))
    return adjust_table(rows, CHAIN.dtypes) if len(moments) else CHAIN.empty()


def describe_severity(evidence: Evidence, confirmed: MatchedSet) -> pl.DataFrame:
    """Table `q1_severity`: by regime and liquidity known when the cascade was confirmed."""
    groups = [row for row in split_events(evidence, confirmed.events) if row[0] in ("all", "regime", "liquidity")]
    blocks = confirmed.moments.times_ms // (BLOCK_MIN * MS_PER_MINUTE)
    rows: list[dict[str, Any]] = []
    for measure, unit in _MEASURES:
        values = confirmed.events.column(evidence, measure).astype(np.float64)
        if measure == "displacement_bps":
            values = confirmed.moments.pressure * values
        for split in ("all", "regime", "liquidity"):
            own = [(group, where & np.isfinite(values)) for name, group, where in groups if name == split]
            for group, where in own:
                row = {"split": split, "group": group, "measure": measure, "unit": unit}
                first = own[0][1] if group != own[0][0] else None
                rows.append(row | _describe_values(values, confirmed.moments.times_ms, blocks, where, first))
    return adjust_table(rows, SEVERITY.dtypes) if len(confirmed.moments) else SEVERITY.empty()


def _cluster(symbol: SymbolEvidence, gap_s: int) -> Floats:
    """Number of liquidations, notional and duration in s of every cluster of at least two, (3, n)."""
    known = _known(symbol)
    if not known.size:
        return np.empty((3, 0))
    starts = np.concatenate([[0], np.flatnonzero(np.diff(known) > gap_s * MS_PER_S) + 1])
    ends = np.concatenate([starts[1:], [known.size]])
    count = ends - starts
    notional = np.add.reduceat(symbol.liquidations["notional_usd"].to_numpy(), starts)
    table = np.stack([count.astype(np.float64), notional, (known[ends - 1] - known[starts]) / MS_PER_S])
    return np.asarray(table[:, count >= 2])


def _describe_clusters(clusters: Floats, total: int) -> Iterator[float | int]:
    count, notional, duration = clusters
    yield count.size
    yield int((count >= 3.0).sum())
    yield float(count.sum()) / total if total else _NAN
    if not count.size:
        yield from [_NAN] * 6
        return
    yield float(count.mean())
    yield linear_quantile(count, 0.95)
    yield linear_quantile(notional, 0.5)
    yield linear_quantile(notional, 0.95)
    yield float(notional.max())
    yield float(duration.mean())


def _list_first(evidence: Evidence) -> Moments:
    """10 s after each liquidation that came after silence."""
    found = {}
    for name, symbol in evidence.symbols.items():
        known = _known(symbol)
        first = np.flatnonzero(np.diff(known, prepend=evidence.start_ms) > _SILENCE_MS)
        is_long = (symbol.liquidations["liquidated_side"] == LONG).to_numpy()[first]
        found[name] = (known[first] + _REACTION_MS, np.where(is_long, -1.0, 1.0))
    return Moments.gather(found)


def _is_followed(symbol: SymbolEvidence, times_ms: Integers, pressure: Floats) -> Floats:
    """1 where a liquidation of that side becomes known in (t, t + 60 s], else 0; NaN where nobody listened."""
    known = _known(symbol)
    is_long = (symbol.liquidations["liquidated_side"] == LONG).to_numpy()
    found = np.zeros(len(times_ms))
    for sign, side in ((-1.0, is_long), (1.0, ~is_long)):
        own = known[side]
        first = np.searchsorted(own, times_ms, side="right")
        last = np.searchsorted(own, times_ms + _FOLLOW_MS, side="right")
        found = np.where(pressure == sign, (last > first).astype(np.float64), found)
    rows = symbol.rows_at(times_ms + _FOLLOW_MS)
    listened = (rows >= 0) & (times_ms + _FOLLOW_MS <= symbol.times_ms[-1]) & symbol.covered[rows]
    return np.where(listened, found, np.nan)


def _measure_reaction(symbol: SymbolEvidence, times_ms: Integers, pressure: Floats) -> Floats:
    """Return in bps with the pressure from the price known 10 s ago to that known now."""
    before = symbol.prices.last_known(times_ms - _REACTION_MS, symbol.tolerance_ms)
    now = symbol.prices.last_known(times_ms, symbol.tolerance_ms)
    return np.asarray(1e4 * pressure * (now / before - 1.0))


def _describe_followed(matched: MatchedMoments, outcomes: Outcomes, where: Booleans) -> dict[str, float | int]:
    used, known = where & outcomes.is_known, where & np.isfinite(outcomes.own)
    influence = compute_influence(matched, outcomes, where)
    found = describe_influence(influence, BLOCK_MIN)
    n = int(used.sum())
    return {
        "n": n,
        "followed_frac": float(outcomes.own[used].mean()) if n else _NAN,
        "placebo_frac": float(outcomes.control_means[used].mean()) if n else _NAN,
        "excess_frac": influence.estimate,
        "ci_low": found.ci_low,
        "ci_high": found.ci_high,
        "p": found.p,
        "unmatched_frac": 1.0 - n / int(known.sum()) if known.any() else _NAN,
    }


def _describe_values(
    values: Floats, times_ms: Integers, blocks: Integers, where: Booleans, first: Booleans | None
) -> dict[str, float | int]:
    """A group's mean, and its difference from the group `first`."""
    n = int(where.sum())
    mean, low, high = describe_columns(times_ms[where], values[where][:, None], np.ones(n), BLOCK_MIN)
    row = {
        "n": n,
        "median": float(np.median(values[where])) if n else _NAN,
        "mean": float(mean[0]),
        "ci_low": float(low[0]),
        "ci_high": float(high[0]),
        "difference": _NAN,
        "p": _NAN,
    }
    if first is not None:
        found = compare_means(values[where], blocks[where], values[first], blocks[first])
        row |= {"difference": found.estimate, "p": found.p}
    return row


def _known(symbol: SymbolEvidence) -> Integers:
    return symbol.liquidations["known_time"].to_physical().to_numpy()
