"""Rows of the table of information coefficients from what was measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

from liqlab.core import schema
from liqlab.core.schema import Column, Table
from liqlab.models._ic_config import ALL_REGIMES, ALL_SYMBOLS, IcConfig, Target
from liqlab.models._ic_inference import EVERY_TIME, IcInference
from liqlab.models._ic_measure import Clock, Floats, Measures
from liqlab.stats import adjust_benjamini_hochberg, spearman_matrix

_CELL = (
    Column("symbol", schema.SYMBOL, "", "instrument; `ALL` for the symbols together"),
    Column("feature", pl.String(), "", "the feature"),
    Column("target", pl.String(), "", "`return` or `volatility`"),
    Column("horizon_s", schema.COUNT, "s", "forward length of the label"),
)
DAILY = Table(
    "ic_daily",
    "the rank correlation of one feature with one label within one day",
    (
        Column("day", pl.Date(), "", "the day (UTC); pairs whose label ends in it"),
        *_CELL,
        Column("ic", schema.FLOAT, "correlation", "Spearman rank correlation within the day"),
        Column("n", schema.COUNT, "", "pairs with both values"),
    ),
)
FIFTHS = Table(
    "ic_fifths",
    "the mean label of one fifth of a feature, fifths of the whole sample: a description, not a strategy",
    (
        *_CELL,
        Column("regime", pl.String(), "", "`all`, or only times in the `quiet` or `volatile` regime"),
        Column("fifth", schema.COUNT, "", "1 for the lowest values of the feature to 5 for the highest"),
        Column("mean_label", schema.FLOAT, "fraction", "mean label in it"),
        Column("n", schema.COUNT, "", "pairs in it"),
    ),
)
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Part:
    """What was measured for some features of one symbol, or of `ALL`, with the inference by (subset, label)."""

    symbol: str
    features: tuple[str, ...]
    regimes: tuple[str, ...]
    measures: Measures
    inference: IcInference
    n_symbols: int


def list_rows(part: Part, config: IcConfig) -> Iterator[dict[str, Any]]:
    """The rows of `core.schema.IC`, without `p_adjusted`."""
    monotonicity, targets = _rank_fifths(part.measures), config.targets
    for subset, regime in enumerate(part.regimes):
        for label, target in enumerate(targets):
            for place, feature in enumerate(part.features):
                at = (subset, label, place)
                yield {
                    "feature": feature,
                    "symbol": part.symbol,
                    "target": target.kind,
                    "horizon_s": target.horizon_s,
                    "regime": regime,
                    "ic": part.measures.ic[at],
                    "n": part.measures.n_pairs[at],
                    "p_adjusted": None,
                    "method": _method(part.inference, at),
                    **{name: float(getattr(part.inference, name)[at]) for name in _INFERRED},
                    **_over_days(part, at, regime, config),
                    **_over_fifths(part, at, monotonicity),
                    "note": "; ".join(_notes(part, at, target, config)),
                }


def list_daily_rows(part: Part, clock: Clock, config: IcConfig) -> Iterator[dict[str, Any]]:
    """The rows of `DAILY`: days that have a correlation."""
    first = _EPOCH + timedelta(milliseconds=clock.start_ms)
    ic, n_pairs, targets = part.measures.daily_ic, part.measures.daily_pairs, config.targets
    for label, place, day in np.argwhere(~np.isnan(ic)).tolist():
        target = targets[label]
        yield {
            "day": first + timedelta(days=day),
            "symbol": part.symbol,
            "feature": part.features[place],
            "target": target.kind,
            "horizon_s": target.horizon_s,
            "ic": ic[label, place, day],
            "n": n_pairs[label, place, day],
        }


def list_fifth_rows(part: Part, config: IcConfig) -> Iterator[dict[str, Any]]:
    """The rows of `FIFTHS`: fifths that hold a pair, from the lowest (1) of the feature."""
    counts, targets = part.measures.fifth_counts, config.targets
    for subset, label, place, fifth in np.argwhere(counts > 0).tolist():
        target, count = targets[label], counts[subset, label, place, fifth]
        yield {
            "symbol": part.symbol,
            "feature": part.features[place],
            "target": target.kind,
            "horizon_s": target.horizon_s,
            "regime": part.regimes[subset],
            "fifth": fifth + 1,
            "mean_label": part.measures.fifth_sums[subset, label, place, fifth] / count,
            "n": count,
        }


def build_frame(rows: Sequence[dict[str, Any]], dtypes: dict[str, Any]) -> pl.DataFrame:
    """A frame of these columns; NaN becomes null."""
    columns = {
        name: pl.Series(name, [row[name] for row in rows], dtype, strict=False) for name, dtype in dtypes.items()
    }
    return pl.DataFrame(columns).with_columns(pl.col(pl.Float64).fill_nan(None))


def adjust_p(table: pl.DataFrame) -> pl.DataFrame:
    """Fill `p_adjusted`: one exploratory family for each target, rows over all times and rows by regime apart.

    Returns and volatilities do not share a family: volatility is easy to foresee, and Benjamini and Hochberg allow one
    false discovery for every nineteen true ones, so its many discoveries would buy false ones among the returns.
    """
    whole = (table["regime"] == ALL_REGIMES).to_numpy()
    p = table["p"].fill_null(float("nan")).to_numpy()
    adjusted = np.full(p.size, np.nan)
    for target in table["target"].unique().to_list():
        own = (table["target"] == target).to_numpy()
        for family in (own & whole, own & ~whole):
            if family.any():
                adjusted[family] = adjust_benjamini_hochberg(p[family])
    return table.with_columns(pl.Series("p_adjusted", adjusted).fill_nan(None))


_INFERRED = ("p", "ci_low", "ci_high", "p_bootstrap", "ci_low_bootstrap", "ci_high_bootstrap")


def _method(found: IcInference, at: tuple[int, int, int]) -> str:
    cosines, blocks = int(found.n_cosines[at]), int(found.n_blocks[at])
    parts = [f"fixed-b, {cosines} cosines"] if cosines else []
    parts += [f"studentised bootstrap, {blocks} blocks"] if blocks else []
    return "; ".join(parts) or "not testable"


def _over_days(part: Part, at: tuple[int, int, int], regime: str, config: IcConfig) -> dict[str, Any]:
    if regime != ALL_REGIMES:
        return dict.fromkeys(("daily_mean", "daily_spread", "daily_ratio", "days", "same_sign_frac", "turnover"))
    daily = part.measures.daily_ic[at[1:]]
    daily = daily[~np.isnan(daily)]
    mean = float(daily.mean()) if daily.size else math.nan
    spread = float(daily.std(ddof=1)) if daily.size >= config.min_days else math.nan
    return {
        "daily_mean": mean,
        "daily_spread": spread,
        "daily_ratio": mean / spread if spread > 0.0 else None,
        "days": daily.size,
        "same_sign_frac": float((np.sign(daily) == np.sign(part.measures.ic[at])).mean()) if daily.size else None,
        "turnover": 1.0 - part.measures.persistence[at[1:]],
    }


def _over_fifths(part: Part, at: tuple[int, int, int], monotonicity: Floats) -> dict[str, Any]:
    counts = part.measures.fifth_counts[at]
    means = part.measures.fifth_sums[at][counts > 0] / counts[counts > 0]
    return {
        "top_minus_bottom": means[-1] - means[0] if means.size > 1 else None,
        "monotonicity": monotonicity[at] if means.size > 2 else None,
    }


def _rank_fifths(measures: Measures) -> Floats:
    """Rank correlation (s, m, k) of the fifths that hold a pair with their mean labels; ties can leave some empty."""
    counts = measures.fifth_counts
    means = np.divide(measures.fifth_sums, counts, out=np.full(counts.shape, np.nan), where=counts > 0)
    n_fifths = counts.shape[-1]
    order = np.arange(n_fifths, dtype=np.float64)[:, None]
    ranked: Floats = spearman_matrix(order, means.reshape(-1, n_fifths).T).reshape(counts.shape[:-1])
    return ranked


def _notes(part: Part, at: tuple[int, int, int], target: Target, config: IcConfig) -> Iterator[str]:
    subset, place = at[0], at[2]
    n_pairs, ic = int(part.measures.n_pairs[at]), float(part.measures.ic[at])
    n_infinite = int(part.measures.presence.infinite[place])
    if n_infinite:
        yield f"{n_infinite:,} infinite values left out"
    if part.symbol == ALL_SYMBOLS and part.n_symbols == 1:
        yield "one symbol only"
    if math.isnan(ic):
        yield _absence(part, at, target)
        return
    if n_pairs < config.min_pairs:
        yield f"{n_pairs} pairs, an interval needs {config.min_pairs}"
    elif abs(ic) == 1.0:
        yield "the ranks agree in every pair: no interval"
    else:
        if not part.inference.n_cosines[at]:
            yield "too short for the horizon: no interval"
        if at[0] == EVERY_TIME and not part.inference.n_blocks[at]:
            yield f"fewer than {config.min_blocks} blocks of twice the horizon: no bootstrap"
    days = int((~np.isnan(part.measures.daily_ic[at[1:]])).sum())
    if subset == 0 and days < config.min_days:
        yield f"{days} {'day' if days == 1 else 'days'} with {config.min_day_pairs} pairs: no spread over days"
    occupied = int((part.measures.fifth_counts[at] > 0).sum())
    if occupied < config.n_fifths:
        yield f"ties leave {occupied} of {config.n_fifths} fifths"


def _absence(part: Part, at: tuple[int, int, int], target: Target) -> str:
    """Why there is no correlation."""
    subset, label, place = at
    presence = part.measures.presence
    what = f"{target.kind} over {target.horizon_s} s"
    if presence.times[subset] == 0:
        return f"the {part.regimes[subset]} regime never occurs"
    if presence.features[subset, place] == 0:
        return "the feature has no value"
    if presence.labels[subset, label] == 0:
        return f"no {what} is known"
    if not presence.feature_varies[place]:
        return "the feature does not vary"
    if part.measures.n_pairs[at] < 2:
        return "feature and label are not known together"
    return (
        "feature or label does not vary where both are known"
        if presence.label_varies[label]
        else f"the {what} does not vary"
    )
