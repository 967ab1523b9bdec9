"""Features of a symbol's own liquidations: rows known strictly before t alone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import numpy.typing as npt

from liqlab.features._config import ROWS_PER_MINUTE
from liqlab.features._feature import LIQUIDATION, PLAN, WINDOWS_S, Feature
from liqlab.features._inputs import FeatureInputs, divide, rows_of

Floats = npt.NDArray[np.float64]

#: Values that a z-score must be able to stand on.
_LEAST_FOR_ZSCORE = 5
_ZSCORE = "standard score against the trailing window, the value itself included"
_CASCADE_LOOKBACK_S = 60


def _column(name: str, inputs: FeatureInputs) -> Floats:
    return inputs[name]


def _sum(name: str, rows: int, inputs: FeatureInputs) -> Floats:
    return inputs.sum_of(name, rows)


def _mean(rows: int, inputs: FeatureInputs) -> Floats:
    return inputs.moments_of("liq_volume", rows).mean


def _std(rows: int, inputs: FeatureInputs) -> Floats:
    return inputs.moments_of("liq_volume", rows).std


def _max(rows: int, inputs: FeatureInputs) -> Floats:
    return inputs.max_of("liq_volume", rows)


def _imbalance_over(rows: int, inputs: FeatureInputs) -> Floats:
    sell, buy = inputs.sum_of("liq_sell_volume", rows), inputs.sum_of("liq_buy_volume", rows)
    return divide(sell - buy, sell + buy)


def _zscore(name: str, rows: int, inputs: FeatureInputs) -> Floats:
    moments = inputs.moments_of(name, rows)
    value: Floats = getattr(inputs, name)
    return np.where(moments.count >= _LEAST_FOR_ZSCORE, divide(value - moments.mean, moments.std), np.nan)


def _windowed() -> Iterator[Feature]:
    for ending, seconds in WINDOWS_S.items():
        rows = rows_of(seconds)
        for statistic, compute, word in (("mean", _mean, "mean"), ("std", _std, "sd"), ("max", _max, "max")):
            yield Feature(
                name=f"liq_volume_{statistic}_{ending}",
                family=LIQUIDATION,
                inputs=("bars_5s.liq_volume",),
                lookback_s=seconds,
                warm_up_s=seconds * 4 // 5,
                unit="base units",
                price_step_s=None,
                meaning=f"{statistic} of the 5 s bars' volumes over {ending}",
                formula=f"{word}(v_s : t - {ending} < s <= t)" + (", divisor n - 1" if word == "sd" else ""),
                source=PLAN,
                compute=partial(compute, rows),
            )
    for ending, seconds in WINDOWS_S.items():
        yield Feature(
            name=f"liq_imbalance_{ending}",
            family=LIQUIDATION,
            inputs=("bars_5s.liq_sell_volume", "bars_5s.liq_buy_volume"),
            lookback_s=seconds,
            warm_up_s=seconds * 4 // 5,
            unit="fraction",
            price_step_s=None,
            meaning=f"imbalance of the volume of {ending}: -1 only longs were liquidated, 1 only shorts; null without",
            formula="(sell - buy) / (sell + buy), sums over the window",
            source="research plan, question 2",
            compute=partial(_imbalance_over, rows_of(seconds)),
        )
    for ending, seconds in WINDOWS_S.items():
        yield Feature(
            name=f"liq_imbalance_zscore_{ending}",
            family=LIQUIDATION,
            inputs=("bars_5s.liq_sell_volume", "bars_5s.liq_buy_volume"),
            lookback_s=seconds,
            warm_up_s=seconds * 4 // 5,
            unit="standard deviations",
            price_step_s=None,
            meaning=f"the bar's imbalance against the non-empty bars of {ending}; null with fewer than 5 or no spread",
            formula="(i_t - mean(i)) / sd(i) over non-empty bars; " + _ZSCORE,
            source=PLAN,
            compute=partial(_zscore, "imbalance", rows_of(seconds)),
        )
    for ending, seconds in WINDOWS_S.items():
        lookback_s = seconds + 60
        yield Feature(
            name=f"liq_rate_zscore_{ending}",
            family=LIQUIDATION,
            inputs=("bars_5s.liq_count",),
            lookback_s=lookback_s,
            warm_up_s=-(-lookback_s * 4 // 25) * 5,
            unit="standard deviations",
            price_step_s=None,
            meaning=f"liq_rate against its own values of {ending}; null with fewer than 5 or no spread",
            formula="(r_t - mean(r)) / sd(r); " + _ZSCORE,
            source=PLAN,
            compute=partial(_zscore, "rate", rows_of(seconds)),
        )


LIQUIDATION_FEATURES: tuple[Feature, ...] = (
    Feature(
        name="liq_volume_1s",
        family=LIQUIDATION,
        inputs=("bars_1s.liq_volume",),
        lookback_s=1,
        warm_up_s=5,
        unit="base units",
        price_step_s=None,
        meaning="volume liquidated in the last second",
        formula="sum(q : t - 1 s <= known < t)",
        source=PLAN,
        compute=partial(_column, "liq_volume_1s"),
    ),
    Feature(
        name="liq_volume_5s",
        family=LIQUIDATION,
        inputs=("bars_5s.liq_volume",),
        lookback_s=5,
        warm_up_s=5,
        unit="base units",
        price_step_s=None,
        meaning="volume liquidated in the last 5 s",
        formula="v_t = sum(q : t - 5 s <= known < t)",
        source=PLAN,
        compute=partial(_column, "liq_volume"),
    ),
    Feature(
        name="liq_volume_1m",
        family=LIQUIDATION,
        inputs=("bars_5s.liq_volume",),
        lookback_s=60,
        warm_up_s=50,
        unit="base units",
        price_step_s=None,
        meaning="volume liquidated in the last minute, in its covered bars",
        formula="sum(v_s : t - 1 m < s <= t)",
        source=PLAN,
        compute=partial(_sum, "liq_volume", ROWS_PER_MINUTE),
    ),
    Feature(
        name="liq_buy_volume",
        family=LIQUIDATION,
        inputs=("bars_5s.liq_buy_volume",),
        lookback_s=5,
        warm_up_s=5,
        unit="base units",
        price_step_s=None,
        meaning="volume of liquidated longs in the last 5 s (Bybit's `Buy` is the side of the position)",
        formula="sum(q of longs : t - 5 s <= known < t)",
        source=PLAN,
        compute=partial(_column, "liq_buy_volume"),
    ),
    Feature(
        name="liq_sell_volume",
        family=LIQUIDATION,
        inputs=("bars_5s.liq_sell_volume",),
        lookback_s=5,
        warm_up_s=5,
        unit="base units",
        price_step_s=None,
        meaning="volume of liquidated shorts in the last 5 s",
        formula="sum(q of shorts : t - 5 s <= known < t)",
        source=PLAN,
        compute=partial(_column, "liq_sell_volume"),
    ),
    Feature(
        name="liq_imbalance",
        family=LIQUIDATION,
        inputs=("bars_5s.liq_sell_volume", "bars_5s.liq_buy_volume"),
        lookback_s=5,
        warm_up_s=5,
        unit="fraction",
        price_step_s=None,
        meaning="imbalance of the last 5 s, negative when longs are liquidated; null in an empty bar",
        formula="i_t = (sell - buy) / (sell + buy)",
        source=PLAN,
        compute=lambda inputs: inputs.imbalance,
    ),
    Feature(
        name="liq_rate",
        family=LIQUIDATION,
        inputs=("bars_5s.liq_count",),
        lookback_s=60,
        warm_up_s=50,
        unit="events per minute",
        price_step_s=None,
        meaning="liquidations per covered minute over the last minute",
        formula="r_t = 12 sum(n_s) / covered bars, t - 1 m < s <= t",
        source=PLAN,
        compute=lambda inputs: inputs.rate,
    ),
    Feature(
        name="liq_cascade_flag",
        family=LIQUIDATION,
        inputs=("liquidations.quantity", "liquidations.price", "liquidations.known_time"),
        lookback_s=_CASCADE_LOOKBACK_S,
        warm_up_s=50,
        unit="0 or 1",
        price_step_s=None,
        meaning="1 while a confirmed cascade goes on, as known at t",
        formula="1 if confirmed < t and t - last known <= max_gap, else 0",
        source=PLAN,
        compute=lambda inputs: (inputs.cascade_volume > 0).astype(np.float64),
    ),
    Feature(
        name="liq_cascade_size",
        family=LIQUIDATION,
        inputs=("liquidations.quantity", "liquidations.price", "liquidations.known_time"),
        lookback_s=_CASCADE_LOOKBACK_S,
        warm_up_s=50,
        unit="base units",
        price_step_s=None,
        meaning="volume so far of the confirmed cascade that goes on; 0 without one",
        formula="sum(q of the cascade : known < t)",
        source=PLAN,
        compute=lambda inputs: inputs.cascade_volume,
    ),
    *_windowed(),
)
