"""Strategies combined: how much of each, fitted on their past returns only, refitted in the order of time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.core.config import bounded, check_bounds
from liqlab.core.errors import UserError
from liqlab.core.schema import COUNT, FLOAT, TIME, Column, Table
from liqlab.core.time import MS_PER_S
from liqlab.stats import compute_drawdowns, sharpe_ratio

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

EQUAL, INVERSE_VOLATILITY, RISK_PARITY = "equal weight", "inverse volatility", "hierarchical risk parity"
METHODS = (EQUAL, INVERSE_VOLATILITY, RISK_PARITY)

#: A strategy whose deviation is a smaller part of the largest one did not move: rounding is all there is.
_ALIVE_FRAC = 1e-5
#: A weight below this is none.
_LEAST_WEIGHT = 1e-12

_METHOD = Column("method", pl.String(), "", " | ".join(f"`{name}`" for name in METHODS))
_STRATEGY = Column("strategy", pl.String(), "", "the strategy")

PORTFOLIO_WEIGHTS = Table(
    "portfolio_weights",
    "one strategy's share in one portfolio from one refit on",
    (
        _METHOD,
        Column("time", TIME, "ms UTC", "the refit: everything used was known there"),
        _STRATEGY,
        Column("weight", FLOAT, "fraction", "share of the capital; what is left stays in cash"),
        Column("n_rows", COUNT, "", "rows of past returns behind the fit; 0 where it fell back to equal shares"),
    ),
)

PORTFOLIO_RETURNS = Table(
    "portfolio_returns",
    "one portfolio over one period",
    (
        _METHOD,
        Column("time", TIME, "ms UTC", "end of the period"),
        Column("return", FLOAT, "fraction", "sum of weight x return of the strategies"),
    ),
)

PORTFOLIOS = Table(
    "portfolios",
    "one portfolio, or one strategy alone, over all periods",
    (
        Column("portfolio", pl.String(), "", "method of combination, or the name of a strategy"),
        Column("n_periods", COUNT, "", "periods"),
        Column("total_return", FLOAT, "fraction", "sum of the returns"),
        Column("volatility", FLOAT, "per sqrt(year)", "annual standard deviation of the returns"),
        Column("sharpe", FLOAT, "per sqrt(year)", "annual Sharpe ratio; null without spread"),
        Column("max_drawdown", FLOAT, "fraction", "deepest fall of 1 + the running sum of returns; <= 0"),
    ),
)


@dataclass(frozen=True)
class PortfolioConfig:
    """Refits every `refit_periods`, on the last `window_periods` of returns, first with `least_periods` of them.

    Until then shares are equal. A period lasts `period_s`. No strategy has more than `max_weight` of the capital, all
    together at most `max_gross`.
    """

    period_s: int = bounded(3_600, 1, 366 * 86_400)
    refit_periods: int = bounded(24, 1, 1_000_000)
    window_periods: int = bounded(24 * 30, 2, 1_000_000)
    least_periods: int = bounded(48, 2, 1_000_000)
    max_weight: float = bounded(0.6, 0.01, 1.0)
    max_gross: float = bounded(1.0, 0.01, 100.0)

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class PortfolioResult:
    """The tables PORTFOLIO_WEIGHTS, PORTFOLIO_RETURNS and PORTFOLIOS, and what to mind."""

    weights: pl.DataFrame
    returns: pl.DataFrame
    summary: pl.DataFrame
    notes: tuple[str, ...]


def combine_strategies(
    times_ms: Integers,
    returns: Floats,
    names: Sequence[str],
    config: PortfolioConfig | None = None,
    methods: Sequence[str] = METHODS,
) -> PortfolioResult:
    """Portfolios of strategies whose returns (t, k) on the capital end at `times_ms` (t,), ascending.

    The weights of the periods from one refit to the next are fitted on returns that had ended by the refit. A strategy
    that never moved in a window has no risk to be measured: the fitted methods leave it out, equal weight does not.
    `UserError` for returns that are not finite (a period without a trade is 0), of another shape, or out of order.
    """
    config = config or PortfolioConfig()
    _check(times_ms, returns, names)
    starts = range(0, len(times_ms), config.refit_periods)
    weight_rows, return_frames, series = [], [], {}
    for method in methods:
        earned = np.zeros(len(times_ms))
        for start in starts:
            stop = min(start + config.refit_periods, len(times_ms))
            weights, n_rows = fit_weights(returns[:start], method, config)
            earned[start:stop] = returns[start:stop] @ weights
            moment = int(times_ms[start - 1] if start else times_ms[0] - config.period_s * MS_PER_S)
            weight_rows += [(method, moment, name, w, n_rows) for name, w in zip(names, weights.tolist(), strict=True)]
        series[method] = earned
        return_frames.append(_as_frame(method, times_ms, earned))
    singles = {name: returns[:, column] for column, name in enumerate(names)}
    return PortfolioResult(
        weights=_typed(weight_rows, PORTFOLIO_WEIGHTS),
        returns=pl.concat([PORTFOLIO_RETURNS.empty(), *return_frames]),
        summary=_typed([_summarise(*item, config) for item in {**series, **singles}.items()], PORTFOLIOS),
        notes=tuple(_notes(returns, names, config)),
    )


def fit_weights(past: Floats, method: str, config: PortfolioConfig) -> tuple[Floats, int]:
    """Weights (k,) from past returns (t, k), capped; and how many rows they rest on, 0 for equal shares.

    Equal weight is 1 / k. Inverse volatility: w proportional to 1 / standard deviation. Hierarchical risk parity: Lopez
    de Prado (2016), "Building diversified portfolios that outperform out of sample", J. Portfolio Management 42, with
    the linkage of Ward. The last two by `skfolio`.
    """
    window = past[-config.window_periods :]
    deviation = window.std(axis=0) if len(window) else np.zeros(past.shape[1])
    alive = np.flatnonzero(deviation > _ALIVE_FRAC * deviation.max())
    equal = np.full(past.shape[1], 1.0 / past.shape[1])
    if method not in _FITS or len(window) < config.least_periods or not alive.size:
        return cap_weights(equal, config), 0
    weights = np.zeros(past.shape[1])
    # Weights know no scale, the library's smallest variance does.
    scaled = window[:, alive] / deviation.max()
    weights[alive] = 1.0 if alive.size == 1 else _FITS[method](scaled)
    return cap_weights(weights, config), len(window)


def cap_weights(weights: Floats, config: PortfolioConfig) -> Floats:
    """Weights (k,), none above `max_weight`, the excess shared among the others by their weights, gross at the cap.

    What no strategy may take stays in cash.
    """
    capped = weights * min(1.0, config.max_gross / max(float(np.abs(weights).sum()), 1e-300))
    for _ in range(len(weights)):
        over = capped > config.max_weight + 1e-15
        excess = float((capped[over] - config.max_weight).sum())
        capped = np.where(over, config.max_weight, capped)
        room = (capped < config.max_weight) & (capped > _LEAST_WEIGHT)
        if excess <= 0.0 or not room.any():
            break
        capped[room] += excess * (capped[room] / float(capped[room].sum()))
    return np.minimum(capped, config.max_weight)


def _fit_inverse_volatility(window: Floats) -> Floats:
    from skfolio.optimization import InverseVolatility

    return np.asarray(InverseVolatility(prior_estimator=_prior()).fit(window).weights_, dtype=np.float64)


def _fit_risk_parity(window: Floats) -> Floats:
    from skfolio.optimization import HierarchicalRiskParity

    return np.asarray(HierarchicalRiskParity(prior_estimator=_prior()).fit(window).weights_, dtype=np.float64)


def _prior() -> object:
    """The sample covariance as it is: neither method inverts it, so a singular one needs no repair."""
    from skfolio.moments import EmpiricalCovariance
    from skfolio.prior import EmpiricalPrior

    return EmpiricalPrior(covariance_estimator=EmpiricalCovariance(nearest=False))


_FITS: dict[str, Callable[[Floats], Floats]] = {
    INVERSE_VOLATILITY: _fit_inverse_volatility,
    RISK_PARITY: _fit_risk_parity,
}


def _check(times_ms: Integers, returns: Floats, names: Sequence[str]) -> None:
    if returns.shape != (len(times_ms), len(names)) or not len(names):
        raise UserError(f"a portfolio needs returns ({len(times_ms)}, {len(names)}), got {returns.shape}")
    if not np.isfinite(returns).all():
        row, column = (int(i) for i in np.argwhere(~np.isfinite(returns))[0])
        raise UserError(f"the return of {names[column]} in row {row} is not finite; a period without a trade is 0")
    if np.any(np.diff(times_ms) <= 0):
        raise UserError("the periods of a portfolio must ascend, each once")


def _as_frame(method: str, times_ms: Integers, earned: Floats) -> pl.DataFrame:
    columns = {"method": [method] * len(times_ms), "time": times_ms, "return": earned}
    return pl.DataFrame(columns).cast(PORTFOLIO_RETURNS.dtypes)  # type: ignore[arg-type]


def _typed(rows: Sequence[tuple[object, ...]], table: Table) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=table.dtypes, orient="row")


def _summarise(name: str, earned: Floats, config: PortfolioConfig) -> tuple[object, ...]:
    per_year = 365.0 * 86_400.0 / config.period_s
    volatility = float(earned.std(ddof=1)) * per_year**0.5 if earned.size > 1 else None
    ratio = sharpe_ratio(earned, per_year)
    curve = np.append(1.0, 1.0 + np.cumsum(earned))
    fall = float(compute_drawdowns(curve).min())
    return name, earned.size, float(earned.sum()), volatility, None if np.isnan(ratio) else ratio, fall


def _notes(returns: Floats, names: Sequence[str], config: PortfolioConfig) -> Iterator[str]:
    if len(returns) < config.least_periods + 1:
        yield f"{len(returns)} periods are too few to fit on the past ({config.least_periods} needed): equal shares."
    for name in [name for name, own in zip(names, returns.T, strict=True) if not own.any()]:
        yield f"{name} never traded: the fitted portfolios leave it out."
    if len(names) * config.max_weight < 1.0:
        yield f"{len(names)} strategies of at most {config.max_weight:.0%} each leave a part in cash."
