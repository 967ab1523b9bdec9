"""A multivariate Hawkes process with exogenous rates: whose liquidations have whose for children?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from liqlab.core.time import MS_PER_S
from liqlab.stats import HawkesConfig, HawkesEvents, HawkesFit, diagnose_hawkes, fit_hawkes, prepare_hawkes
from liqlab.study._evidence import STEP_MS, STEPS_PER_MINUTE, Booleans, Evidence, Floats
from liqlab.study._q7_contagion_tables import CONTAGION_HAWKES, CONTAGION_HAWKES_FIT

#: One exponential with a mean delay of 10 s: between the 5 and 30 s of the claim.
DECAY_PER_S = 0.1
_CONFIG = HawkesConfig(fixed_decay=(DECAY_PER_S,), min_events=50)
_95_PERCENT = 1.959963984540054
#: Constant, trailing volatility and size of the last minute's return: of each symbol its own.
_DRIVERS = 2


def fit_contagion(evidence: Evidence) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Tables `contagion_hawkes` (kernels) and `contagion_hawkes_fit`; empty with fewer than two symbols that can enter.

    Liquidations of one push are one event: the exchange delivers what it has gathered for half a second at once. The
    rate of each symbol follows, beside the kernels, its trailing volatility and the size of its last minute's return,
    known at the start of each minute. A common factor that these do not measure still looks like children.
    """
    names = [name for name, symbol in evidence.symbols.items() if len(_list_times(symbol.liquidations)) > 0]
    windows = _list_windows(evidence, names)
    events = _prepare(evidence, names, windows) if len(names) > 1 and len(windows) else None
    if events is not None:
        enough = events.counts >= _CONFIG.min_events
        if not enough.all():
            names = [name for name, ok in zip(names, enough.tolist(), strict=True) if ok]
            windows = _list_windows(evidence, names)
            events = _prepare(evidence, names, windows) if len(names) > 1 and len(windows) else None
    if events is None or events.counts.min() < _CONFIG.min_events:
        return CONTAGION_HAWKES.empty(), CONTAGION_HAWKES_FIT.empty()
    fit = fit_hawkes(events, _CONFIG, exposure=_own_drivers(len(names)))
    return _list_kernels(names, events, fit), _describe_fit(names, events, fit)


def _list_times(liquidations: pl.DataFrame) -> Floats:
    """Seconds of the events, one for each push: the earliest event time in it."""
    pushes = liquidations.group_by(pl.coalesce("push_time", "event_time").alias("push")).agg(pl.col("event_time").min())
    return np.sort(pushes["event_time"].to_physical().to_numpy()) / MS_PER_S


def _list_windows(evidence: Evidence, names: Sequence[str]) -> Floats:
    """Covered time of all symbols in seconds, (w, 2), from when the drivers of those with a ticker are known."""
    if not names:
        return np.empty((0, 2))
    times = evidence.symbols[names[0]].times_ms
    ready: Booleans = np.ones(len(times), dtype=bool)
    for name in names:
        symbol = evidence.symbols[name]
        ready &= symbol.covered
        if symbol.ticker_interval_ms is not None:
            ready &= np.isfinite(symbol.volatility_bps)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], ready, [False]])))
    return np.column_stack([times[edges[::2]] - STEP_MS, times[edges[1::2] - 1]]) / MS_PER_S


def _prepare(evidence: Evidence, names: Sequence[str], windows: Floats) -> HawkesEvents:
    times = [_list_times(evidence.symbols[name].liquidations) for name in names]
    start_ms, end_ms = int(windows[0, 0] * MS_PER_S), int(windows[-1, 1] * MS_PER_S)
    grid = evidence.symbols[names[0]].times_ms
    first = int(np.searchsorted(grid, start_ms))
    n_cells = -(-(end_ms - start_ms) // (STEPS_PER_MINUTE * STEP_MS))
    # The value in force in a minute is that known when it begins.
    rows = np.minimum(first + STEPS_PER_MINUTE * np.arange(n_cells), len(grid) - 1)
    drivers = np.column_stack([column for name in names for column in _describe_drivers(evidence, name, rows)])
    return prepare_hawkes(times, windows, drivers, STEPS_PER_MINUTE * STEP_MS / MS_PER_S)


def _describe_drivers(evidence: Evidence, name: str, rows: Any) -> tuple[Floats, Floats]:
    symbol = evidence.symbols[name]
    return (
        np.nan_to_num(symbol.volatility_bps[rows], posinf=0.0),
        np.nan_to_num(np.abs(symbol.trailing_return_bps(60))[rows], posinf=0.0),
    )


def _own_drivers(n: int) -> Booleans:
    """Which columns of constant and drivers move which symbol: (n, 1 + 2 n)."""
    own = np.repeat(np.eye(n, dtype=bool), _DRIVERS, axis=1)
    return np.column_stack([np.ones(n, dtype=bool), own])


def _list_kernels(names: Sequence[str], events: HawkesEvents, fit: HawkesFit) -> pl.DataFrame:
    matrix, errors, counts = fit.parameters.kernel_matrix, fit.kernel_errors, events.counts.tolist()
    rows = [
        {
            "cause": cause,
            "effect": effect,
            "children": _number(matrix[i, j]),
            "ci_low": _number(max(matrix[i, j] - _95_PERCENT * errors[i, j], 0.0) + 0.0 * errors[i, j]),
            "ci_high": _number(matrix[i, j] + _95_PERCENT * errors[i, j]),
            "n_events": counts[j],
        }
        for j, cause in enumerate(names)
        for i, effect in enumerate(names)
    ]
    return pl.DataFrame(rows, schema=CONTAGION_HAWKES.dtypes, orient="row")


def _describe_fit(names: Sequence[str], events: HawkesEvents, fit: HawkesFit) -> pl.DataFrame:
    check, counts = diagnose_hawkes(events, fit.parameters), events.counts
    children = fit.parameters.kernel_matrix.sum(axis=0)
    exogenous = fit.parameters.baseline @ events.exposure / counts
    rows: list[dict[str, Any]] = [
        {
            "symbol": "ALL",
            "n_events": int(counts.sum()),
            "branching_ratio": _number(fit.branching_ratio),
            "exogenous_frac": _number(fit.exogenous_frac),
            "spectral_radius": _number(fit.spectral_radius),
        }
    ]
    rows += [
        {
            "symbol": name,
            "n_events": int(counts[i]),
            "branching_ratio": _number(children[i]),
            "exogenous_frac": _number(exogenous[i]),
            "ks_statistic": _number(check.ks_statistic[i]),
            "ks_p": _number(check.ks_p[i]),
            "ljung_box_p": _number(check.ljung_box_p[i]),
        }
        for i, name in enumerate(names)
    ]
    return pl.DataFrame(rows, schema=CONTAGION_HAWKES_FIT.dtypes, orient="row")


def _number(value: float | np.floating[Any]) -> float | None:
    return float(value) if np.isfinite(value) else None
