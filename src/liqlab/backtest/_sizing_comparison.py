"""Ways of sizing the same decisions, side by side: what risk came against what was meant, and what it earned."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.backtest._engine import run_engine
from liqlab.backtest._equity import compute_daily_returns, compute_equity
from liqlab.backtest._execution import ExecutionConfig
from liqlab.backtest._inputs import MarketInputs
from liqlab.backtest._orders import Orders
from liqlab.backtest._sizing import (
    FIXED,
    FORECAST,
    KELLY,
    TRAILING,
    SizingConfig,
    VolatilityForecast,
    apply_weights,
    forecast_volatility,
    realised_volatility,
    size_by_kelly,
    size_by_volatility,
    size_fixed,
    trailing_volatility,
)
from liqlab.backtest._trials import DAYS_PER_YEAR
from liqlab.core.schema import COUNT, FLOAT, Column, Table
from liqlab.core.time import MS_PER_DAY
from liqlab.stats import Estimate, estimate_by_influence, sharpe_ratio

Floats = npt.NDArray[np.float64]

SIZING = Table(
    "backtest_sizing",
    "one way of sizing one strategy's decisions",
    (
        Column("strategy", pl.String(), "", "the strategy"),
        Column("method", pl.String(), "", f"`{FIXED}`, `{TRAILING}`, `{FORECAST}` or `{KELLY}`"),
        Column("n_trades", COUNT, "", "trades"),
        Column("n_unknown", COUNT, "", "decisions without the history that the method needs: weight 1"),
        Column("mean_weight", FLOAT, "", "mean weight of the decisions"),
        Column("target_risk", FLOAT, "per sqrt(year)", "volatility meant for a position of weight 1"),
        Column(
            "realised_risk", FLOAT, "per sqrt(year)", "mean of weight x the volatility that came after the decision"
        ),
        Column(
            "risk_spread", FLOAT, "", "standard deviation of log(weight x volatility that came): 0 is perfect sizing"
        ),
        Column(
            "spread_saved", FLOAT, "", "squared deviation of that log saved against fixed size, mean; > 0 is better"
        ),
        Column("ci_low", FLOAT, "", "95 % interval of `spread_saved`, lower end; decisions of a day are one cluster"),
        Column("ci_high", FLOAT, "", "95 % interval of `spread_saved`, upper end"),
        Column("p", FLOAT, "probability", "two-sided, of the claim that nothing is saved"),
        Column("mean_net", FLOAT, "fraction", "mean net return per trade, of its own notional; null without trades"),
        Column("net_return", FLOAT, "fraction", "net result as a part of the capital"),
        Column("sharpe", FLOAT, "per sqrt(year)", "daily Sharpe ratio, days without a trade included"),
        Column("max_drawdown", FLOAT, "fraction", "deepest fall of the equity; <= 0"),
    ),
)


def compare_sizings(
    strategy: str,
    inputs: MarketInputs,
    orders: Orders,
    execution: ExecutionConfig | None = None,
    config: SizingConfig | None = None,
    forecasts: Mapping[str, VolatilityForecast] | None = None,
) -> pl.DataFrame:
    """The frame SIZING: fixed size, trailing volatility, the forecasts where they are given, fractional Kelly.

    The weights of a method multiply those of the orders. Risk is compared over decisions whose following `horizon_s`
    was observed and whose weight is above zero in the method and in fixed size, whether they traded or not. With
    l = log(weight x volatility that came), `spread_saved` is the mean of (l_fixed - mean)^2 - (l - mean)^2: null
    hypothesis 0, error clustered over UTC days by the influence of each decision. Raises what `run_engine` does.
    """
    execution, config = execution or ExecutionConfig(), config or SizingConfig()
    paths = inputs.paths
    fixed = run_engine(paths, orders, execution, strategy)
    trailing = trailing_volatility(orders, paths, config)
    methods = {FIXED: (size_fixed(orders), 0), TRAILING: (size_by_volatility(trailing, config), _unknown(trailing))}
    if forecasts is not None:
        forecast = forecast_volatility(orders, forecasts, config)
        methods[FORECAST] = (size_by_volatility(forecast, config), _unknown(forecast))
    kelly = size_by_kelly(orders, fixed.trades, execution.limits, config)
    closed = np.sort(fixed.trades["exit_time"].to_physical().to_numpy())
    n_closed = np.searchsorted(closed, orders.decision_ms, side="right")
    methods[KELLY] = (kelly, int(np.count_nonzero(n_closed < config.kelly_least)))
    came = realised_volatility(orders, paths, config)
    rows = [
        (
            strategy,
            method,
            *_measure(strategy, inputs, apply_weights(orders, weights), execution, n_unknown, came, config),
        )
        for method, (weights, n_unknown) in methods.items()
    ]
    return _with_spread(pl.DataFrame(rows, schema=_MEASURED, orient="row"), methods, orders, came)


_SPREAD = ("risk_spread", "spread_saved", "ci_low", "ci_high", "p")
_MEASURED = {name: dtype for name, dtype in SIZING.dtypes.items() if name not in _SPREAD}


def _unknown(volatility: Floats) -> int:
    return int(np.count_nonzero(~(volatility > 0.0)))


def _measure(
    strategy: str,
    inputs: MarketInputs,
    orders: Orders,
    execution: ExecutionConfig,
    n_unknown: int,
    came: Floats,
    config: SizingConfig,
) -> tuple[object, ...]:
    """The columns of one method, those of the spread left out."""
    ledger = run_engine(inputs.paths, orders, execution, strategy)
    equity = compute_equity(ledger, inputs.paths, execution, inputs.start_ms, inputs.end_ms)
    daily = compute_daily_returns(equity, execution.limits.capital_usd)
    risk = orders.weight * came
    return (
        ledger.trades.height,
        n_unknown,
        _mean(orders.weight),
        config.target_volatility_frac,
        _mean(risk[~np.isnan(risk)]),
        ledger.trades["net_return"].mean(),
        float(daily.sum()),
        _known(sharpe_ratio(daily, DAYS_PER_YEAR)),
        equity["drawdown"].min(),
    )


def _with_spread(
    frame: pl.DataFrame, methods: Mapping[str, tuple[Floats, int]], orders: Orders, came: Floats
) -> pl.DataFrame:
    """The frame with the columns of the spread, in the order of SIZING."""
    days = orders.decision_ms // MS_PER_DAY
    spreads = [compare_spread(methods[FIXED][0], weights, came, days) for weights, _ in methods.values()]
    rows = [
        tuple(map(_known, (spread, saved.estimate, saved.ci_low, saved.ci_high, saved.p))) for spread, saved in spreads
    ]
    columns = pl.DataFrame(rows, schema={name: SIZING.dtypes[name] for name in _SPREAD}, orient="row")
    return frame.hstack(columns).select(SIZING.names)


def compare_spread(
    fixed: Floats, weights: Floats, came: Floats, clusters: npt.NDArray[np.int64]
) -> tuple[float, Estimate]:
    """Standard deviation of log(weights x came), and the squared deviation saved against `fixed`; all (n,)."""
    usable = (weights > 0.0) & (fixed > 0.0) & (came > 0.0)
    if np.count_nonzero(usable) < 2:
        nothing = np.empty(0)
        return math.nan, estimate_by_influence(math.nan, nothing, nothing)
    before, after = (_squared_deviations(np.log(size[usable] * came[usable])) for size in (fixed, weights))
    saved = before - after
    mean = float(saved.mean())
    return math.sqrt(float(after.mean())), estimate_by_influence(mean, (saved - mean) / saved.size, clusters[usable])


def _squared_deviations(values: Floats) -> Floats:
    squares: Floats = (values - values.mean()) ** 2
    return squares


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if values.size else None


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
