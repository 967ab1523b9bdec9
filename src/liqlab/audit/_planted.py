"""Bugs that look ahead, in the forms that real code has them: the audit must catch each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.core.errors import unknown_name
from liqlab.core.time import MS_PER_HOUR, MS_PER_MINUTE, MS_PER_S
from liqlab.panel import Scope, compute_bars
from liqlab.stats import filter_states

FloatArray = npt.NDArray[np.float64]

_KEYS = ("symbol", "time")
_BAR_MS = 5 * MS_PER_S
_PRICE = pl.coalesce("mark_price", "last_price")
_PERSISTENCE = np.array([[0.95, 0.05], [0.10, 0.90]])
_START = np.array([0.5, 0.5])
#: Log volatility (bps per square root of an hour) of a quiet and a volatile market, set by hand.
_MEANS, _STDS = np.log([25.0, 80.0]), np.array([0.4, 0.4])


@dataclass(frozen=True)
class Planting:
    """What a bug is made of: the scope, the tables of the chain, and what the chain itself keeps apart.

    `liquidations`, `ticker` and `long_short_ratio` are tables of the lake, `labels` those of the features.
    """

    scope: Scope
    tables: Mapping[str, pl.DataFrame]
    liquidations: pl.DataFrame
    ticker: pl.DataFrame
    long_short_ratio: pl.DataFrame
    labels: pl.DataFrame


@dataclass(frozen=True)
class PlantedBug:
    """A bug: its name, what it does wrong, the rule of the audit that catches it, and itself.

    `plant` gives a table with symbol, time and what was computed wrongly.
    """

    name: str
    wrong: str
    rule: Literal["look-ahead", "gap"]
    plant: Callable[[Planting], pl.DataFrame]

    @property
    def table(self) -> str:
        """The table under which it stands in the chain's output."""
        return f"planted: {self.name}"


def get_planted_bug(name: str) -> PlantedBug:
    """The bug called `name`; `UserError` lists those there are."""
    for bug in PLANTED_BUGS:
        if bug.name == name:
            return bug
    raise unknown_name("planted bug", name, [bug.name for bug in PLANTED_BUGS])


def _bars(planting: Planting) -> pl.DataFrame:
    return planting.tables["bars_5s"]


def _of_bars(planting: Planting, value: pl.Expr) -> pl.DataFrame:
    return _bars(planting).select(*_KEYS, value=value)


def _prices(planting: Planting) -> pl.DataFrame:
    return planting.tables["dataset"].select(*_KEYS, price=_PRICE)


def _centred_window(planting: Planting) -> pl.DataFrame:
    return _of_bars(planting, pl.col("liq_notional").rolling_mean(13, center=True).over("symbol"))


def _left_label(planting: Planting) -> pl.DataFrame:
    shifted = pl.col("time") - pl.duration(milliseconds=_BAR_MS)
    return _bars(planting).select("symbol", time=shifted, value="liq_volume")


def _event_time_as_known(planting: Planting) -> pl.DataFrame:
    rows = planting.liquidations.with_columns(known_time=pl.col("event_time"))
    scope = planting.scope
    bars = compute_bars(rows, "5s", scope.start_ms, scope.end_ms, scope.symbols)
    return bars.select(*_KEYS, value="liq_volume")


def _whole_sample_quantile(planting: Planting) -> pl.DataFrame:
    notional = pl.col("liq_notional")
    large = notional.filter(notional > 0).quantile(0.95, "linear").over("symbol")
    return _of_bars(planting, notional / large)


def _whole_sample_zscore(planting: Planting) -> pl.DataFrame:
    volume = pl.col("liq_volume")
    return _of_bars(planting, ((volume - volume.mean()) / volume.std()).over("symbol"))


def _whole_sample_rank(planting: Planting) -> pl.DataFrame:
    volume = pl.col("liq_volume")
    return _of_bars(planting, (volume.rank("average") / volume.len()).over("symbol"))


def _log_volatility(planting: Planting) -> list[pl.DataFrame]:
    """Per symbol symbol, time and `log_volatility` every five minutes, where there is one."""
    every_five = pl.col("time").to_physical() % (5 * MS_PER_MINUTE) == 0
    usable = planting.tables["regimes"].filter(every_five & (pl.col("volatility_bps") > 0))
    rows = usable.select(*_KEYS, log_volatility=pl.col("volatility_bps").log())
    return rows.partition_by("symbol", maintain_order=True) or [rows]


def _smoothed_regime(planting: Planting) -> pl.DataFrame:
    from hmmlearn.hmm import GaussianHMM

    model = GaussianHMM(2, covariance_type="diag")
    model.startprob_, model.transmat_ = _START, _PERSISTENCE
    model.means_, model.covars_ = _MEANS[:, None], _STDS[:, None] ** 2

    def smooth(log_volatility: FloatArray) -> FloatArray:
        probability: FloatArray = model.predict_proba(log_volatility[:, None])[:, 1]
        return probability

    return _volatile_probability(planting, smooth)


def _regime_fitted_on_all(planting: Planting) -> pl.DataFrame:
    def fit_and_filter(log_volatility: FloatArray) -> FloatArray:
        volatile = log_volatility > np.quantile(log_volatility, 0.75)
        parts = log_volatility[~volatile], log_volatility[volatile]
        means = np.array([part.mean() if part.size else 0.0 for part in parts])
        stds = np.array([max(part.std(), 0.05) if part.size else 1.0 for part in parts])
        z = (log_volatility[:, None] - means) / stds
        log_density = -0.5 * z**2 - np.log(stds) - 0.5 * math.log(2 * math.pi)
        return filter_states(log_density, _START, _PERSISTENCE)[0][:, 1]

    return _volatile_probability(planting, fit_and_filter)


def _volatile_probability(planting: Planting, estimate: Callable[[FloatArray], FloatArray]) -> pl.DataFrame:
    def with_probability(rows: pl.DataFrame) -> pl.DataFrame:
        observed = rows["log_volatility"].to_numpy()
        return rows.select(*_KEYS, value=pl.Series(estimate(observed) if observed.size else observed))

    return pl.concat(map(with_probability, _log_volatility(planting)))


def _forward_join(planting: Planting) -> pl.DataFrame:
    prices = planting.ticker.select("symbol", time="known_time", value="mark_price")
    return _joined(planting, prices, "forward")


def _open_interest_at_stamp(planting: Planting) -> pl.DataFrame:
    stamp = pl.col("event_time").dt.truncate("5m")
    rows = planting.ticker.drop_nulls("open_interest").group_by("symbol", time=stamp, maintain_order=True)
    history = rows.agg(value=pl.col("open_interest").last())
    return _joined(planting, history, "backward")


def _open_interest_before_poll(planting: Planting) -> pl.DataFrame:
    asked = pl.col("known_time") - pl.duration(seconds=5)
    rows = planting.ticker.select("symbol", time=asked, value="open_interest")
    return _joined(planting, rows, "backward")


def _ratio_at_stamp(planting: Planting) -> pl.DataFrame:
    return _join_ratio(planting, "event_time")


def _ratio_without_lag(planting: Planting) -> pl.DataFrame:
    return _join_ratio(planting, "known_time")


def _join_ratio(planting: Planting, moment: str) -> pl.DataFrame:
    rows = planting.long_short_ratio.select("symbol", time=moment, value="ratio")
    return _joined(planting, rows, "backward")


def _joined(planting: Planting, rows: pl.DataFrame, strategy: Literal["backward", "forward"]) -> pl.DataFrame:
    """The 5-second grid with the row of each symbol that an as-of join finds."""
    grid = _bars(planting).select(_KEYS).sort("time", "symbol")
    found = rows.sort("time", "symbol", maintain_order=True)
    return grid.join_asof(found, on="time", by="symbol", strategy=strategy, check_sortedness=False)


def _scaler_on_test_fold(planting: Planting) -> pl.DataFrame:
    fold = pl.col("time").to_physical() // (6 * MS_PER_HOUR)
    size = pl.col("liq_notional").log1p()
    return _of_bars(planting, ((size - size.mean()) / size.std()).over("symbol", fold))


def _cascade_end_at_start(planting: Planting) -> pl.DataFrame:
    names = ("n_liquidations", "notional_usd", "duration_s", "displacement_bps")
    return planting.tables["cascades"].select("cascade_id", "symbol", *names, time="confirmed")


def _fill_of_short_gaps(planting: Planting) -> pl.DataFrame:
    """Filled forward where the gap turns out to be shorter than half an hour."""
    price, stretch = pl.col("price"), pl.col("stretch")
    gaps = _prices(planting).with_columns(stretch=price.is_not_null().cum_sum().over("symbol"))
    is_short = (price.is_null().sum() <= 30 * MS_PER_MINUTE // _BAR_MS).over("symbol", stretch)
    came_back = stretch < stretch.max().over("symbol")
    filled = pl.when(is_short & came_back).then(price.forward_fill().over("symbol")).otherwise(price)
    return gaps.select(*_KEYS, value=filled)


def _interpolation_over_gaps(planting: Planting) -> pl.DataFrame:
    return _prices(planting).select(*_KEYS, value=pl.col("price").interpolate().over("symbol"))


def _back_fill(planting: Planting) -> pl.DataFrame:
    return _of_bars(planting, pl.col("liq_imbalance").backward_fill().over("symbol"))


def _fill_over_gaps(planting: Planting) -> pl.DataFrame:
    return _prices(planting).select(*_KEYS, value=pl.col("price").forward_fill().over("symbol"))


def _leaking_target(planting: Planting) -> pl.DataFrame:
    leader = planting.scope.symbols[0]
    target = planting.labels.filter(pl.col("symbol") == leader).select("time", value="return_60s")
    return _bars(planting).select(_KEYS).join(target, on="time", how="left", maintain_order="left")


def _running_minute(planting: Planting) -> pl.DataFrame:
    minute = pl.col("time").to_physical() // MS_PER_MINUTE
    prices = _prices(planting).with_columns(value=pl.col("price").last().over("symbol", minute))
    return prices.filter(pl.col("time").to_physical() % MS_PER_MINUTE == 0).select(*_KEYS, pl.col("value"))


PLANTED_BUGS = (
    PlantedBug(
        "centred window",
        "a mean over the half minute before and after each bar",
        "look-ahead",
        _centred_window,
    ),
    PlantedBug(
        "left-labelled bar", "a bar labelled by its left edge, 5 s before it is over", "look-ahead", _left_label
    ),
    PlantedBug(
        "event time as known time",
        "bars by the exchange's time, with rows that had not been delivered yet",
        "look-ahead",
        _event_time_as_known,
    ),
    PlantedBug(
        "whole-sample quantile",
        "size measured by the 95 % quantile of all bars, later ones included",
        "look-ahead",
        _whole_sample_quantile,
    ),
    PlantedBug(
        "whole-sample z-score",
        "mean and standard deviation of all bars, later ones included",
        "look-ahead",
        _whole_sample_zscore,
    ),
    PlantedBug("whole-sample rank", "rank among all bars, later ones included", "look-ahead", _whole_sample_rank),
    PlantedBug(
        "smoothed regime probability",
        "a library's `predict_proba`, which uses the observations after t, parameters known beforehand",
        "look-ahead",
        _smoothed_regime,
    ),
    PlantedBug(
        "regime model fitted on all data",
        "filtered probabilities of a model whose parameters come from the whole sample",
        "look-ahead",
        _regime_fitted_on_all,
    ),
    PlantedBug(
        "forward as-of join", "the first price known after t instead of the last before", "look-ahead", _forward_join
    ),
    PlantedBug(
        "open interest at its stamp",
        "the open interest that closes a 5-minute period used from the stamp that begins it",
        "look-ahead",
        _open_interest_at_stamp,
    ),
    PlantedBug(
        "open interest before its poll",
        "rows moved 5 s back, to when the poll is thought to have been asked",
        "look-ahead",
        _open_interest_before_poll,
    ),
    PlantedBug(
        "long/short ratio at its stamp",
        "used from the time it is stamped with, before it was delivered or published",
        "look-ahead",
        _ratio_at_stamp,
    ),
    PlantedBug(
        "long/short ratio without lag",
        "used when it was delivered, without the publication lag",
        "look-ahead",
        _ratio_without_lag,
    ),
    PlantedBug(
        "scaler fitted on the test fold",
        "standardised by mean and spread of the 6-hour fold in which t lies",
        "look-ahead",
        _scaler_on_test_fold,
    ),
    PlantedBug(
        "cascade end at its start",
        "final size, length and displacement of a cascade used when it is confirmed",
        "look-ahead",
        _cascade_end_at_start,
    ),
    PlantedBug(
        "forward fill of short gaps",
        "filled only where the gap turns out shorter than half an hour, which is known when it ends",
        "look-ahead",
        _fill_of_short_gaps,
    ),
    PlantedBug(
        "interpolation across gaps",
        "a straight line to the first price after the gap",
        "look-ahead",
        _interpolation_over_gaps,
    ),
    PlantedBug("back-fill", "empty bars take the imbalance of the next one that has any", "look-ahead", _back_fill),
    PlantedBug(
        "forward fill across gaps",
        "the last price before a gap carried through it as if it were fresh",
        "gap",
        _fill_over_gaps,
    ),
    PlantedBug(
        "target through a cross-asset join",
        "another symbol's forward return joined at the same time, as if it were trailing",
        "look-ahead",
        _leaking_target,
    ),
    PlantedBug(
        "close of the running minute",
        "at each whole minute the last price of the minute that only begins there",
        "look-ahead",
        _running_minute,
    ),
)
