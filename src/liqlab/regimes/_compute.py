"""The table of regimes of one symbol, from its prices on a one-minute grid."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.core.schema import REGIMES, TIME, check_frame
from liqlab.core.time import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE, MS_PER_S
from liqlab.regimes._config import RegimeConfig
from liqlab.regimes._model import HALF
from liqlab.regimes._volatility import compute_returns, compute_thresholds, compute_volatility
from liqlab.regimes._walk import NEVER, RegimeFit, Walk, walk_forward

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

QUIET = "quiet"
VOLATILE = "volatile"

_S_PER_MINUTE = MS_PER_MINUTE // MS_PER_S
#: Fewer returns than this in the volatility window measure no volatility.
_LEAST_RETURNS = 6
#: Returns that a stretch of the hidden Markov model holds at least.
_LEAST_RETURNS_PER_STRETCH = 3
#: A ticker this much slower than whole minutes still counts as those minutes: polls drift.
_DRIFT_MINUTES = 0.05
#: A filtered probability is carried for this many stretches after the last one observed.
_STRETCHES_CARRIED = 2


@dataclass(frozen=True)
class RegimeResult:
    """`table` (`core.schema.REGIMES`, one row per minute), one `RegimeFit` per refit, and what to mind.

    `reason` says why there is no regime at all, or that the step was raised because prices come more slowly; it is
    empty otherwise. `return_step_s` and `hmm_step_s` are the steps used.
    """

    table: pl.DataFrame
    fits: tuple[RegimeFit, ...]
    reason: str
    return_step_s: int
    hmm_step_s: int


def compute_regimes(
    symbol: str,
    times_ms: npt.ArrayLike,
    prices: npt.ArrayLike,
    config: RegimeConfig | None = None,
    ticker_interval_ms: int | None = None,
) -> RegimeResult:
    """Quiet or volatile at each minute, known then, by trailing quantile and by a filtered hidden Markov model.

    `times_ms` of shape (n,) are consecutive whole minutes (milliseconds UTC), `prices` of shape (n,) the ticker price
    known at each, NaN when there is none or it is stale; infinite and non-positive prices count as none. A grid with
    holes is a ValueError: give NaN there.

    volatility_bps: see `compute_volatility` in this folder. regime: volatile where it exceeds threshold_bps, the
    trailing quantile of the volatilities strictly before. The model has two Gaussian states of ln(volatility) over
    consecutive stretches, known when a stretch ends; a stretch without any move has no logarithm and counts as missing.
    volatile_probability is P(volatile | stretches up to now) under the last fit, carried up to two stretches after the
    last one observed; regime_hmm is volatile where it exceeds one half.

    A ticker slower than `return_step_s` raises the step to whole minutes at or above `ticker_interval_ms` (3 s of drift
    are forgiven); coarser than a sixth of the volatility window gives no regime. A stretch holds whole steps, at least
    three. No row depends on a later price: the table of the first k minutes is the first k rows of the table of all.
    """
    config = config or RegimeConfig()
    minutes, known = _check_grid(times_ms, prices)
    steps = _choose_steps(config, ticker_interval_ms)
    nothing = np.full(len(minutes), np.nan)
    if steps.too_coarse:
        never = Walk(nothing, np.full(len(minutes), NEVER), ())
        return _assemble(symbol, minutes, nothing, nothing, never, steps)
    returns = compute_returns(minutes, known, steps.return_s // _S_PER_MINUTE)
    volatility = compute_volatility(
        returns, steps.return_s // _S_PER_MINUTE, config.volatility_window_s // _S_PER_MINUTE, config.min_present_frac
    )
    thresholds = compute_thresholds(
        volatility,
        config.quantile,
        round(config.quantile_window_days * MS_PER_DAY / MS_PER_MINUTE),
        round(config.quantile_min_history_hours * MS_PER_HOUR / MS_PER_MINUTE),
    )
    return _assemble(symbol, minutes, volatility, thresholds, _walk_minutes(minutes, returns, steps, config), steps)


@dataclass(frozen=True)
class _Steps:
    return_s: int
    hmm_s: int
    too_coarse: bool
    reason: str


def _choose_steps(config: RegimeConfig, interval_ms: int | None) -> _Steps:
    """The configured steps, raised to what the ticker can show."""
    slowest_s = math.ceil((interval_ms or 0) / MS_PER_MINUTE - _DRIFT_MINUTES) * _S_PER_MINUTE
    return_s = max(config.return_step_s, slowest_s)
    hmm_s = max(-(-config.hmm_step_s // return_s), _LEAST_RETURNS_PER_STRETCH) * return_s
    changes = [
        f"{what} of {used} s instead of {wanted} s"
        for what, used, wanted in (
            ("returns", return_s, config.return_step_s),
            ("stretches of the hidden Markov model", hmm_s, config.hmm_step_s),
        )
        if used != wanted
    ]
    origin = f"prices come every {(interval_ms or 0) / MS_PER_S:g} s: " if return_s > config.return_step_s else ""
    if return_s * _LEAST_RETURNS > config.volatility_window_s:
        window_s = config.volatility_window_s
        too_few = f"returns over {return_s} s are too coarse for a volatility over {window_s} s: no regime"
        return _Steps(return_s, hmm_s, True, origin + too_few)
    return _Steps(return_s, hmm_s, False, origin + ", ".join(changes) if changes else "")


def _check_grid(times_ms: npt.ArrayLike, prices: npt.ArrayLike) -> tuple[IntArray, FloatArray]:
    minutes, known = np.asarray(times_ms, dtype=np.int64), np.asarray(prices, dtype=np.float64)
    if minutes.ndim != 1 or minutes.shape != known.shape:
        raise ValueError(f"times_ms and prices must be one-dimensional and alike, got {minutes.shape}, {known.shape}")
    if (minutes % MS_PER_MINUTE).any() or (np.diff(minutes) != MS_PER_MINUTE).any():
        raise ValueError("times_ms must be consecutive whole minutes; give NaN prices where nothing is known")
    return minutes, known


def _walk_minutes(minutes: IntArray, returns: FloatArray, steps: _Steps, config: RegimeConfig) -> Walk:
    """The walk over stretches, carried to the minutes: each has the state at the last stretch end up to it."""
    step_ms = steps.hmm_s * MS_PER_S
    at_end = minutes % step_ms == 0
    volatility = compute_volatility(
        returns, steps.return_s // _S_PER_MINUTE, steps.hmm_s // _S_PER_MINUTE, config.min_present_frac
    )[at_end]
    observations = np.full(len(volatility), np.nan)
    moved = volatility > 0.0
    observations[moved] = np.log(volatility[moved])
    ends = minutes[at_end]
    walk = walk_forward(ends, observations, step_ms, config)
    seen = np.searchsorted(ends, minutes, side="right")
    observed = np.searchsorted(ends[moved], minutes, side="right")
    age_ms = minutes - np.concatenate([[NEVER], ends[moved]])[observed]
    probability = np.concatenate([[np.nan], walk.probability])[seen]
    probability[(observed == 0) | (age_ms > _STRETCHES_CARRIED * step_ms)] = np.nan
    return Walk(probability, np.concatenate([[NEVER], walk.fitted_ms])[seen], walk.fits)


def _assemble(
    symbol: str, minutes: IntArray, volatility: FloatArray, thresholds: FloatArray, walk: Walk, steps: _Steps
) -> RegimeResult:
    table = pl.DataFrame(
        {
            "symbol": pl.repeat(symbol, len(minutes), dtype=pl.String, eager=True),
            "time": pl.Series(minutes).cast(TIME),
            "volatility_bps": volatility,
            "threshold_bps": thresholds,
            "volatile_probability": walk.probability,
            "fitted": pl.Series(walk.fitted_ms),
        },
        nan_to_null=True,
    )
    table = table.with_columns(
        _label(pl.col("volatility_bps") > pl.col("threshold_bps")).alias("regime"),
        _label(pl.col("volatile_probability") > HALF).alias("regime_hmm"),
        pl.when(pl.col("fitted") != NEVER).then(pl.col("fitted").cast(TIME)).alias("fitted"),
    ).select(REGIMES.names)
    return RegimeResult(check_frame(table, REGIMES), walk.fits, steps.reason, steps.return_s, steps.hmm_s)


def _label(volatile: pl.Expr) -> pl.Expr:
    """`volatile`, `quiet`, or null where the comparison is."""
    return pl.when(volatile).then(pl.lit(VOLATILE)).when(~volatile).then(pl.lit(QUIET))
