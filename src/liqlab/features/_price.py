"""Features of the ticker price alone, to be beaten: ranges, bands, realised volatility, trailing returns."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import numpy.typing as npt

from liqlab.features._config import STEP_S
from liqlab.features._feature import PRICE, WINDOWS_S, Feature
from liqlab.features._inputs import FeatureInputs, divide, rows_of, shift

Floats = npt.NDArray[np.float64]

_BPS = 1e4
_MINUTE_S = 60
_ATR_RANGES = 14
_BAND_PRICES = 20
_BAND_WIDTH_SDS = 4.0
_PRICES = ("dataset.mark_price", "dataset.last_price")


def _trailing_return(seconds: int, inputs: FeatureInputs) -> Floats:
    before = shift(inputs.price, rows_of(seconds))
    return divide(inputs.price - before, before)


def _realised_volatility(seconds: int, inputs: FeatureInputs) -> Floats:
    rows = rows_of(seconds)
    squares = inputs.moments_of("squared_minute_return", rows)
    variance = np.where(squares.count >= inputs.need(rows), squares.mean * (seconds / _MINUTE_S), np.nan)
    return _BPS * np.sqrt(variance)


def _mean_of_present(values: Floats, least: int) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Mean over the first axis of what is there, NaN with fewer than `least`; and how many are there."""
    count = np.sum(~np.isnan(values), axis=0)
    total = np.sum(np.where(np.isnan(values), 0.0, values), axis=0)
    return divide(total, np.where(count >= least, count, 0).astype(np.float64)), count


def _average_true_range(inputs: FeatureInputs) -> Floats:
    ranges = inputs.minute_values(inputs.minute_range, _ATR_RANGES)
    mean, _ = _mean_of_present(ranges, inputs.need(_ATR_RANGES))
    return _BPS * divide(mean, inputs.price)


def _bollinger_width(inputs: FeatureInputs) -> Floats:
    prices = inputs.minute_values(inputs.price, _BAND_PRICES)
    mean, _ = _mean_of_present(prices, inputs.need(_BAND_PRICES))
    variance, _ = _mean_of_present((prices - mean) ** 2, 1)
    return divide(_BAND_WIDTH_SDS * np.sqrt(variance), mean)


def _windowed() -> Iterator[Feature]:
    for ending, seconds in WINDOWS_S.items():
        yield Feature(
            name=f"realised_volatility_{ending}",
            family=PRICE,
            inputs=_PRICES,
            lookback_s=seconds + _MINUTE_S,
            warm_up_s=max(_MINUTE_S + seconds * 4 // 5, -(-(seconds + _MINUTE_S) * 4 // 25) * 5),
            unit="bps",
            price_step_s=_MINUTE_S,
            meaning=f"root of the summed squared 1 min log returns of {ending}, averaged over the twelve 5 s offsets",
            formula=f"1e4 sqrt({seconds // _MINUTE_S} mean(log(P_s / P_(s-1m))^2 : t - {ending} < s <= t))",
            source="Zhang, Mykland and Aït-Sahalia (2005), subsampling",
            compute=partial(_realised_volatility, seconds),
        )
    for ending, seconds in {"1m": _MINUTE_S, **WINDOWS_S}.items():
        yield Feature(
            name=f"trailing_return_{ending}",
            family=PRICE,
            inputs=_PRICES,
            lookback_s=seconds,
            warm_up_s=seconds + STEP_S,
            unit="fraction",
            price_step_s=seconds,
            meaning=f"return of the last {ending}",
            formula=f"P_t / P_(t-{ending}) - 1",
            source="momentum and reversal baseline",
            compute=partial(_trailing_return, seconds),
        )


PRICE_FEATURES: tuple[Feature, ...] = (
    Feature(
        name="atr_bps",
        family=PRICE,
        inputs=_PRICES,
        lookback_s=_ATR_RANGES * _MINUTE_S,
        warm_up_s=715,
        unit="bps",
        price_step_s=_MINUTE_S,
        meaning="average true range: mean range of the last 14 minutes, from prices every 5 s",
        formula="1e4 mean_k(max P - min P over [t - (k+1) m, t - k m], k = 0..13) / P_t",
        source="Wilder (1978), plain mean",
        compute=_average_true_range,
    ),
    Feature(
        name="bollinger_width",
        family=PRICE,
        inputs=_PRICES,
        lookback_s=(_BAND_PRICES - 1) * _MINUTE_S,
        warm_up_s=915,
        unit="fraction",
        price_step_s=_MINUTE_S,
        meaning="width of the Bollinger bands (2 sd each way) of 20 one-minute prices, relative to their mean",
        formula="4 sd / mean of P_(t - k m), k = 0..19, divisor n",
        source="Bollinger (2001)",
        compute=_bollinger_width,
    ),
    *_windowed(),
)
