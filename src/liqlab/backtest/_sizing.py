"""How large to trade: sizes as weights of orders, from nothing that was not known when each order was decided.

Fixed size; a target of volatility, on the trailing volatility or on a forecast (with liquidation features: the plan's
dynamic position sizing); a fraction of Kelly's size from the trades closed before. A weight multiplies the configured
notional, and 1 stands wherever the needed history is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.backtest._execution import PositionLimits
from liqlab.backtest._orders import Orders
from liqlab.backtest._prices import PricePath
from liqlab.core.config import bounded, check_bounds
from liqlab.core.errors import ConfigError, UserError
from liqlab.core.time import MS_PER_DAY, MS_PER_S
from liqlab.panel import PriceSeries
from liqlab.stats import rolling_count, rolling_sum

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

FIXED, TRAILING, FORECAST, KELLY = "fixed", "trailing volatility", "volatility forecast", "fractional Kelly"

_MS_PER_YEAR = 365 * MS_PER_DAY
#: Share of a window's returns that must be known.
_LEAST_KNOWN_FRAC = 0.5


@dataclass(frozen=True)
class SizingConfig:
    """Settings of the sizes.

    `target_volatility_frac`: annual volatility at which a position has weight 1. `lookback_s`: of the trailing
    volatility, from returns of `step_s`. `forecast_tolerance_s`: age at which a forecast is stale. `horizon_s`: over
    which a comparison measures the risk that came. `kelly_frac`: part of Kelly's size; `kelly_trades`: how many of the
    last closed trades it is taken from, at least `kelly_least`. Weights stay in [`min_weight`, `max_weight`], Kelly's
    in [0, `max_weight`].
    """

    target_volatility_frac: float = bounded(0.6, 0.001, 100.0)
    lookback_s: int = bounded(3_600, 60, 30 * 86_400)
    step_s: int = bounded(60, 1, 3_600)
    forecast_tolerance_s: float = bounded(900.0, 1.0, 7 * 86_400.0)
    horizon_s: int = bounded(3_600, 60, 7 * 86_400)
    kelly_frac: float = bounded(0.25, 0.0, 1.0)
    kelly_trades: int = bounded(200, 2, 1_000_000)
    kelly_least: int = bounded(30, 2, 1_000_000)
    min_weight: float = bounded(0.1, 0.0, 1_000.0)
    max_weight: float = bounded(3.0, 0.001, 1_000.0)

    def __post_init__(self) -> None:
        check_bounds(self)
        if self.min_weight > self.max_weight:
            raise ConfigError(
                f"SizingConfig.min_weight must not exceed max_weight, got {self.min_weight} and {self.max_weight}"
            )
        if self.step_s * 2 > min(self.lookback_s, self.horizon_s):
            raise ConfigError(
                f"SizingConfig.step_s must fit twice into lookback_s and horizon_s, got {self.step_s} in "
                f"{self.lookback_s} and {self.horizon_s}"
            )


@dataclass(frozen=True)
class VolatilityForecast:
    """One symbol's forecasts, arrays of shape (n,): made at `times_ms` (ascending, from what was known then), in
    annual volatility as a fraction; NaN where there is none."""

    times_ms: Integers
    volatility: Floats

    def __post_init__(self) -> None:
        if self.times_ms.shape != self.volatility.shape or np.any(np.diff(self.times_ms) < 0):
            raise UserError(
                f"a forecast needs ascending times and one volatility for each, got {self.times_ms.size} times and "
                f"{self.volatility.size} volatilities"
            )


def trailing_volatility(orders: Orders, paths: Mapping[str, PricePath], config: SizingConfig) -> Floats:
    """Annual volatility of the `lookback_s` before each decision, (n,); NaN where less than half of it is known.

    sqrt(mean of squared log returns over `step_s` x steps in a year), on a grid of whole steps, last prices carried
    for at most the path's tolerance. The grid's last point is at or before the decision.
    """
    steps = config.lookback_s // config.step_s
    found = np.full(len(orders), np.nan)
    for rows, path in _by_symbol(orders, paths):
        grid = _Squares.of(path, config)
        found[rows] = grid.mean_before(orders.decision_ms[rows], steps)
    return found


def realised_volatility(orders: Orders, paths: Mapping[str, PricePath], config: SizingConfig) -> Floats:
    """Annual volatility of the `horizon_s` after each decision, (n,): to judge sizes by, never to size with."""
    steps = config.horizon_s // config.step_s
    found = np.full(len(orders), np.nan)
    for rows, path in _by_symbol(orders, paths):
        grid = _Squares.of(path, config)
        later_ms = (orders.decision_ms[rows] // grid.step_ms + 1 + steps) * grid.step_ms
        known = later_ms <= grid.times_ms[-1] if grid.times_ms.size else np.zeros(rows.size, dtype=np.bool_)
        found[rows] = np.where(known, grid.mean_before(later_ms, steps), np.nan)
    return found


def forecast_volatility(orders: Orders, forecasts: Mapping[str, VolatilityForecast], config: SizingConfig) -> Floats:
    """The last forecast made at or before each decision, (n,); NaN without one, or where it is stale."""
    found = np.full(len(orders), np.nan)
    for code, symbol in enumerate(orders.symbols):
        rows, forecast = np.flatnonzero(orders.codes == code), forecasts.get(symbol)
        if forecast is None or not forecast.times_ms.size:
            continue
        last = np.searchsorted(forecast.times_ms, orders.decision_ms[rows], side="right") - 1
        age_ms = orders.decision_ms[rows] - forecast.times_ms[np.maximum(last, 0)]
        fresh = (last >= 0) & (age_ms <= config.forecast_tolerance_s * MS_PER_S)
        found[rows] = np.where(fresh, forecast.volatility[np.maximum(last, 0)], np.nan)
    return found


def size_fixed(orders: Orders, weight: float = 1.0) -> Floats:
    """The same weight for all, (n,)."""
    return np.full(len(orders), weight)


def size_by_volatility(volatility: npt.ArrayLike, config: SizingConfig) -> Floats:
    """Target / volatility within the bounds of weights, (n,); 1 where the volatility is unknown or not above 0.

    Moreira and Muir (2017), "Volatility-managed portfolios", J. Finance 72, with volatility in place of variance.

    >>> size_by_volatility([0.3, 1.2, float("nan")], SizingConfig()).tolist()
    [2.0, 0.5, 1.0]
    """
    values = np.asarray(volatility, dtype=np.float64)
    usable = np.isfinite(values) & (values > 0.0)
    weights = np.divide(config.target_volatility_frac, values, out=np.ones(values.shape), where=usable)
    return np.where(usable, np.clip(weights, config.min_weight, config.max_weight), 1.0)


def size_by_kelly(orders: Orders, trades: pl.DataFrame, limits: PositionLimits, config: SizingConfig) -> Floats:
    """A part of Kelly's size from the trades closed at or before each decision, (n,); 1 while they are too few.

    `trades` is a ledger's table, usually that of the same orders at fixed size: their returns are fractions of the
    notional, whatever it was. With mean m and variance v (n - 1) of the net returns of the last `kelly_trades`, the
    growth-optimal part of the capital is f = m / v: Thorp (2006), "The Kelly criterion in blackjack, sports betting and
    the stock market". The weight is kelly_frac f capital / notional in [0, max_weight]: 0, no trade, when m <= 0.
    """
    closed = trades.select(exit_ms=pl.col("exit_time").to_physical(), net="net_return").sort(
        "exit_ms", maintain_order=True
    )
    exit_ms, net = closed["exit_ms"].to_numpy(), closed["net"].to_numpy()
    moments = _trailing_kelly(net, config)
    n_known = np.searchsorted(exit_ms, orders.decision_ms, side="right")
    part = np.append(np.nan, moments)[n_known]
    weights = config.kelly_frac * part * limits.capital_usd / limits.notional_usd
    return np.where(np.isnan(part), 1.0, np.clip(np.nan_to_num(weights, posinf=np.inf), 0.0, config.max_weight))


def apply_weights(orders: Orders, weights: npt.ArrayLike) -> Orders:
    """The orders with their weights multiplied by (n,) others."""
    return orders.with_values(weight=orders.weight * np.asarray(weights, dtype=np.float64))


def _trailing_kelly(net: Floats, config: SizingConfig) -> Floats:
    """m / v of the last `kelly_trades` returns, each included; NaN while they are fewer than `kelly_least`."""
    found = np.full(net.size, np.nan)
    for last in range(config.kelly_least - 1, net.size):
        window = net[max(last + 1 - config.kelly_trades, 0) : last + 1]
        mean, variance = float(window.mean()), float(window.var(ddof=1))
        found[last] = mean / variance if variance > 0.0 else np.inf * np.sign(mean) if mean else 0.0
    return found


def _by_symbol(orders: Orders, paths: Mapping[str, PricePath]) -> list[tuple[Integers, PricePath]]:
    """The rows of each symbol's orders, with its path."""
    rows = [(np.flatnonzero(orders.codes == code), paths.get(symbol)) for code, symbol in enumerate(orders.symbols)]
    return [(own, path) for own, path in rows if own.size and path is not None]


@dataclass(frozen=True)
class _Squares:
    """Squared log returns of a path on a grid of whole steps; the one at `times_ms[i]` is known there."""

    times_ms: Integers
    squares: Floats
    step_ms: int

    @classmethod
    def of(cls, path: PricePath, config: SizingConfig) -> _Squares:
        step_ms = config.step_s * MS_PER_S
        if not path.known_ms.size:
            return cls(np.empty(0, np.int64), np.empty(0), step_ms)
        first, last = int(path.known_ms[0]) // step_ms, int(path.known_ms[-1]) // step_ms
        times = np.arange(first, last + 1, dtype=np.int64) * step_ms
        prices = PriceSeries(path.known_ms, path.price).last_known(times, max(path.tolerance_ms, step_ms))
        returns = np.diff(np.log(prices), prepend=np.nan)
        return cls(times, returns**2, step_ms)

    def mean_before(self, times_ms: Integers, steps: int) -> Floats:
        """Annual volatility of the last `steps` returns known at each time; NaN where fewer than half are known."""
        if not self.times_ms.size:
            return np.full(times_ms.size, np.nan)
        count = rolling_count(self.squares, steps)
        enough = count >= max(_LEAST_KNOWN_FRAC * steps, 2)
        mean = np.divide(rolling_sum(self.squares, steps), count, out=np.full(count.size, np.nan), where=enough)
        row = (times_ms - self.times_ms[0]) // self.step_ms
        known = (row >= 0) & (row < mean.size)
        variance = np.where(known, mean[np.clip(row, 0, mean.size - 1)], np.nan)
        return np.sqrt(variance * (_MS_PER_YEAR / self.step_ms))
