"""Question 6: what cascades move the price for their size, and which large ones hardly do."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from liqlab.core.time import MS_PER_HOUR, MS_PER_MINUTE, MS_PER_S
from liqlab.stats import linear_quantile
from liqlab.study._evidence import Booleans, Evidence, Floats, Integers
from liqlab.study._inference import QuestionConfig
from liqlab.study._placebo import Moments, Outcomes
from liqlab.study._placebo_events import CascadeMoments
from liqlab.study._placebo_inference import describe_columns
from liqlab.study._q6_microstructure_hours import SESSIONS
from liqlab.study._q6_microstructure_tables import ABSORPTION, DELAYS, EFFICIENCY

_BLOCK_MIN = 60
_MUSD = 1e6
_LARGE_QUANTILE = 0.9
_EXPONENTS = np.linspace(0.0, 1.5, 76)
_LEAST_EVENTS, _LEAST_BLOCKS = 10, 8
#: Percentiles of an exploratory interval need no more.
_MOST_RESAMPLES = 999


def describe_delays(evidence: Evidence) -> pl.DataFrame:
    """Table `q6_delays`."""
    rows: list[tuple[object, ...]] = []
    for name, symbol in evidence.symbols.items():
        known = symbol.liquidations["known_time"].to_physical().to_numpy()
        prices = symbol.prices.known_ms
        place = np.searchsorted(prices, known, side="left")
        inside = place < len(prices)
        delay = (prices[place[inside]] - known[inside]) / MS_PER_S if inside.any() else np.empty(0)
        delay = delay[delay <= symbol.tolerance_ms / MS_PER_S]
        interval = symbol.ticker_interval_s
        if not delay.size:
            rows.append((name, 0, None, None, None, None, "no price after a liquidation"))
            continue
        note = f"prices come every {interval:.3g} s: what happens faster cannot be seen"
        middle, late = linear_quantile(delay, 0.5), linear_quantile(delay, 0.95)
        rows.append((name, delay.size, middle, late, interval, interval / 2.0, note))
    return pl.DataFrame(rows, DELAYS.dtypes, orient="row").with_columns(pl.col(pl.Float64).replace(np.inf, None))


def describe_absorption(evidence: Evidence, events: CascadeMoments, outcomes: Outcomes) -> pl.DataFrame:
    """Table `q6_absorption`; `outcomes` over 30 s from confirmation. The size of a cascade is known only at its end."""
    total = events.column(evidence, "notional_usd").astype(np.float64)
    known = outcomes.is_known
    if known.sum() < _LEAST_EVENTS:
        return ABSORPTION.empty()
    smallest = linear_quantile(total[known], _LARGE_QUANTILE)
    limit = float(np.nanmedian(np.abs(outcomes.controls[known])))
    small_move = (np.abs(outcomes.excess) < limit).astype(np.float64)
    rows = []
    for split, group, where in _split(events.moments):
        large, others = known & where & (total >= smallest), known & where & (total < smallest)
        times, n = events.moments.times_ms[large], int(large.sum())
        if not n:
            continue
        mean, low, high = describe_columns(times, small_move[large][:, None], np.ones(n), _BLOCK_MIN)
        rest = float(small_move[others].mean()) if others.any() else None
        share = float(mean[0]), max(float(low[0]), 0.0), min(float(high[0]), 1.0)
        rows.append((split, group, n, smallest, limit, *share, rest))
    return pl.DataFrame(rows, ABSORPTION.dtypes, orient="row").fill_nan(None)


def describe_efficiency(
    evidence: Evidence, events: CascadeMoments, outcomes: Outcomes, config: QuestionConfig
) -> pl.DataFrame:
    """Table `q6_efficiency`. The displacement holds the move that set the cascade off: it describes, and tests nothing.

    Source of the concave law: Almgren et al. (2005), "Direct estimation of equity market impact"; Toth et al. (2011),
    "Anomalous price impact and the critical nature of liquidity in financial markets", Phys. Rev. X 1.
    """
    displacement = events.moments.pressure * events.column(evidence, "displacement_bps").astype(np.float64)
    total = events.column(evidence, "notional_usd").astype(np.float64)
    measures = (
        ("excess over 30 s", outcomes.excess, events.notional_usd),
        ("displacement", displacement, total),
    )
    rows = []
    for measure, moves, notional in measures:
        for split, group, where in _split(events.moments):
            chosen = where & np.isfinite(moves) & (notional > 0.0)
            if chosen.sum() >= _LEAST_EVENTS:
                found = _fit(moves[chosen], notional[chosen] / _MUSD, events.moments.times_ms[chosen], config)
                rows.append((measure, split, group, int(chosen.sum()), *found))
    return pl.DataFrame(rows, EFFICIENCY.dtypes, orient="row").fill_nan(None)


def _split(moments: Moments) -> Iterator[tuple[str, str, Booleans]]:
    hour = moments.times_ms // MS_PER_HOUR % 24
    yield "all", "all", np.ones(len(moments), dtype=bool)
    for name, (first, end) in SESSIONS.items():
        yield "session", name, (hour >= first) & (hour < end)
    for code, name in enumerate(moments.symbols):
        yield "symbol", name, moments.codes == code


def _fit(moves: Floats, size: Floats, times_ms: Integers, config: QuestionConfig) -> tuple[float | None, ...]:
    """bps per $1M, a and b, each with a percentile interval over resampled blocks of an hour.

    For every exponent b the best a is sum(x^b y) / sum(x^2b), and what it explains is sum(x^b y)^2 / sum(x^2b): so sums
    by block are all that a resample needs.
    """
    names, block = np.unique(times_ms // (_BLOCK_MIN * MS_PER_MINUTE), return_inverse=True)
    powers = size[:, None] ** _EXPONENTS
    columns = np.concatenate([powers * moves[:, None], powers**2, moves[:, None], size[:, None]], axis=1)
    sums = np.zeros((names.size, columns.shape[1]))
    np.add.at(sums, block, columns)
    estimate = _solve(sums.sum(axis=0, keepdims=True))[:, 0]
    if names.size < _LEAST_BLOCKS:
        return tuple(value for one in estimate for value in (float(one), None, None))
    random = np.random.default_rng(config.seed)
    drawn = random.multinomial(
        names.size, np.full(names.size, 1.0 / names.size), min(config.n_resamples, _MOST_RESAMPLES)
    )
    low, high = np.quantile(_solve(drawn.astype(np.float64) @ sums), (0.025, 0.975), axis=1)
    return tuple(float(value) for parts in zip(estimate, low, high, strict=True) for value in parts)


def _solve(totals: Floats) -> Floats:
    """Rows bps per $1M, a and b, (3, r), from totals (r, 2 m + 2)."""
    m = _EXPONENTS.size
    products, squares = totals[:, :m], totals[:, m : 2 * m]
    # Only a price that moves with the pressure has an exponent: a falling curve is fitted by the flattest one.
    explained = np.sign(products) * products**2 / squares
    best = explained.argmax(axis=1)
    rows = np.arange(len(totals))
    return np.stack(
        [totals[:, 2 * m] / totals[:, 2 * m + 1], products[rows, best] / squares[rows, best], _EXPONENTS[best]]
    )
