"""How often, and how much, one symbol is liquidated after another, against its base rate: description, no verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from liqlab.core.time import MS_PER_HOUR, MS_PER_S
from liqlab.stats import rolling_sum
from liqlab.study._evidence import STEP_MS, Booleans, Evidence, Floats, Integers
from liqlab.study._q7_contagion_tables import CONTAGION_LIFTS

#: After the cause's bar, in steps: 5 s, 30 s, 1 min.
_WINDOWS = (1, 6, 12)
_REGIMES = {"all": None, "quiet": 0, "volatile": 1}
Numbers = list[float | None]


@dataclass(frozen=True)
class _Followers:
    """Of all symbols (n, s): bars with a liquidation, their USD, and the same in the window after; 0 where unknown."""

    has: Floats
    usd: Floats
    has_after: Floats
    usd_after: Floats


def measure_lifts(evidence: Evidence) -> pl.DataFrame:
    """Table `contagion_lifts`: every ordered pair, window and regime with a liquidation of the cause.

    lift = P(effect in the window | cause) / P(effect in the window), its interval by the logarithm, from sums by hour.
    """
    names = list(evidence.symbols)
    rows: list[dict[str, Any]] = []
    for steps in _WINDOWS:
        followers, known = _follow(evidence, names, steps)
        for regime, code in _REGIMES.items():
            rows += _measure(evidence, names, followers, known, (regime, code), steps)
    return pl.DataFrame(rows, schema=CONTAGION_LIFTS.dtypes, orient="row")


def _follow(evidence: Evidence, names: Sequence[str], steps: int) -> tuple[_Followers, Booleans]:
    """What follows each row, and at which rows it is known of all symbols that the recorder listened."""
    covered = np.column_stack([evidence.symbols[name].covered for name in names])
    grids = [evidence.symbols[name].grid for name in names]
    count = np.column_stack([np.nan_to_num(grid["liq_buy_count"] + grid["liq_sell_count"]) for grid in grids])
    usd = np.column_stack([np.nan_to_num(grid["liq_buy_notional"] + grid["liq_sell_notional"]) for grid in grids])
    has_after = _sum_columns(count, steps) > 0.0
    usd_after = _sum_columns(usd, steps)
    all_covered = np.asarray(covered.all(axis=1))
    known: Booleans = all_covered & (_sum_ahead(all_covered.astype(np.float64), steps) == steps)
    return _Followers((count > 0.0).astype(np.float64), usd, has_after.astype(np.float64), usd_after), known


def _sum_columns(table: Floats, steps: int) -> Floats:
    return np.column_stack([_sum_ahead(table[:, place], steps) for place in range(table.shape[1])])


def _sum_ahead(values: Floats, steps: int) -> Floats:
    """Sum of the `steps` values after each row; 0 where they do not all exist."""
    found = np.zeros(len(values))
    if len(values) > steps:
        found[:-steps] = rolling_sum(values, steps)[steps:]
    return found


def _measure(
    evidence: Evidence,
    names: Sequence[str],
    followers: _Followers,
    known: Booleans,
    regime: tuple[str, int | None],
    steps: int,
) -> Iterator[dict[str, Any]]:
    words, code = regime
    for place, cause in enumerate(names):
        symbol = evidence.symbols[cause]
        rows = np.flatnonzero(known if code is None else known & (symbol.regime == code))
        own, usd = followers.has[rows, place], float(followers.usd[rows, place].sum())
        n_events = int(own.sum())
        if n_events == 0:
            continue
        after, usd_after = followers.has_after[rows], followers.usd_after[rows]
        starts = np.flatnonzero(np.diff(symbol.times_ms[rows] // MS_PER_HOUR, prepend=-1))
        both, any_time = np.add.reduceat(own[:, None] * after, starts), np.add.reduceat(after, starts)
        events, n_rows = np.add.reduceat(own, starts), np.diff(starts, append=rows.size)
        lift, low, high = _infer(both, any_time, events, n_rows)
        for other, effect in enumerate(names):
            if other == place:
                continue
            yield {
                "cause": cause,
                "effect": effect,
                "window_s": steps * STEP_MS / MS_PER_S,
                "regime": words,
                "probability_given": both[:, other].sum() / n_events,
                "base_rate": any_time[:, other].sum() / rows.size,
                "lift": lift[other],
                "lift_low": low[other],
                "lift_high": high[other],
                "severity_ratio": float(own @ usd_after[:, other]) / usd if usd > 0.0 else None,
                "severity_base": float(usd_after[:, other].mean()) * n_events / usd if usd > 0.0 else None,
                "n_events": n_events,
            }


def _infer(both: Floats, after: Floats, events: Floats, rows: Integers) -> tuple[Numbers, Numbers, Numbers]:
    """Lifts with their intervals from sums by hour (h, s), (h, s), (h,) and (h,); None where there is none."""
    from scipy.special import stdtrit

    found, total, n_hours = both.sum(axis=0), after.sum(axis=0), len(rows)
    base = total / rows.sum()
    lift = np.divide(found / events.sum(), base, out=np.full(base.shape, np.nan), where=base > 0.0)
    known = found > 0.0
    pull = np.divide(both, found, out=np.full(both.shape, np.nan), where=known)
    pull -= np.divide(after, total, out=np.full(both.shape, np.nan), where=known)
    pull -= (events / events.sum() - rows / rows.sum())[:, None]
    error = np.sqrt(n_hours / (n_hours - 1) * (pull**2).sum(axis=0)) if n_hours > 1 else np.full(base.shape, np.nan)
    factor = np.exp(float(stdtrit(max(n_hours - 1, 1), 0.975)) * error)
    return _numbers(lift), _numbers(lift / factor), _numbers(lift * factor)


def _numbers(values: Floats) -> Numbers:
    return [value if np.isfinite(value) else None for value in values.tolist()]
