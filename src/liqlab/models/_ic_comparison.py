"""Liquidation features against those of open interest and funding, and the best of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.core import schema
from liqlab.core.schema import Column, Table
from liqlab.features import LIQUIDATION_FAMILIES
from liqlab.models._ic_config import ALL_REGIMES, ALL_SYMBOLS
from liqlab.stats import adjust_benjamini_hochberg, cluster_mean_t

Floats = npt.NDArray[np.float64]

#: Families of features that those of liquidations are compared with.
OTHER_FAMILIES = ("open interest", "funding")
#: Days with a difference below which no interval is given.
LEAST_DAYS = 3

COMPARISON = Table(
    "ic_comparison",
    "liquidation features against those of open interest and funding, for one label",
    (
        Column("target", pl.String(), "", "`return` or `volatility`"),
        Column("horizon_s", schema.COUNT, "s", "forward length of the label; null for all of them together"),
        Column("liquidation_ic", schema.FLOAT, "correlation", "mean signed daily IC of the liquidation features"),
        Column("other_ic", schema.FLOAT, "correlation", "the same of the features of open interest and funding"),
        Column("difference", schema.FLOAT, "correlation", "the first less the second"),
        Column("ci_low", schema.FLOAT, "correlation", "95 % interval of the difference, lower end"),
        Column("ci_high", schema.FLOAT, "correlation", "upper end"),
        Column("p", schema.FLOAT, "probability", "two-sided p that the difference is zero"),
        Column("p_adjusted", schema.FLOAT, "probability", "Benjamini-Hochberg over this table"),
        Column("days", schema.COUNT, "", "days compared"),
        Column("liquidation_features", schema.COUNT, "", "liquidation features with a coefficient"),
        Column("other_features", schema.COUNT, "", "features of open interest and funding with a coefficient"),
        Column("method", pl.String(), "", "how the interval and p were computed"),
        Column("note", pl.String(), "", "why there is no number; empty when nothing"),
    ),
)


def compare_families(
    daily: pl.DataFrame,
    families: Mapping[str, str],
    ours: tuple[str, ...] = LIQUIDATION_FAMILIES,
    others: tuple[str, ...] = OTHER_FAMILIES,
) -> pl.DataFrame:
    """The mean signed correlation of the liquidation features less that of the others, day by day, with its interval.

    `daily` is that of `IcResult`, of which the rows of symbol `ALL` are used; `families` gives each feature's family,
    and features without one take no part. One row per target and horizon, and one per target with a null horizon over
    all of them together: target, horizon_s, liquidation_ic, other_ic, difference, ci_low, ci_high, p, p_adjusted
    (Benjamini and Hochberg over these rows), days, liquidation_features, other_features, method, note.

    The sign of a feature at day d is that of the mean of its daily correlations before d, weighted by pairs; every
    label of those days ended in them. Its signed correlation of day d is averaged over the features of its group; the
    differences between the two averages, one per day, are a series of which the mean and Student's t are taken. Null
    hypothesis: both groups predict equally well with signs learned from the past; alternative: one does better.
    Without any relation a signed correlation has mean zero, however many features a group has: the larger group is
    not favoured, as it would be by a maximum or by absolute values. And the differences are then uncorrelated.
    """
    pooled = daily.filter(pl.col("symbol") == ALL_SYMBOLS)
    rows: list[dict[str, Any]] = []
    for (target,), found in pooled.group_by("target", maintain_order=True):
        columns = _Columns.of(found, families, ours, others)
        ordered = found.sort("horizon_s", "day", maintain_order=True)
        by_horizon = {
            horizon: _daily_scores(part, columns)
            for (horizon,), part in ordered.group_by("horizon_s", maintain_order=True)
        }
        rows += [_summarise(str(target), horizon, scores, columns) for horizon, scores in by_horizon.items()]
        if len(by_horizon) > 1:
            rows.append(_summarise(str(target), None, _average(list(by_horizon.values())), columns))
    table = pl.DataFrame(rows, schema=COMPARISON.dtypes, orient="row").with_columns(pl.col(pl.Float64).fill_nan(None))
    if table.height:
        adjusted = adjust_benjamini_hochberg(table["p"].fill_null(float("nan")).to_numpy())
        table = table.with_columns(pl.Series("p_adjusted", adjusted).fill_nan(None))
    return table


def rank_features(
    table: pl.DataFrame,
    families: Mapping[str, str],
    chosen: tuple[str, ...] = LIQUIDATION_FAMILIES,
    top: int = 3,
    symbol: str = ALL_SYMBOLS,
) -> pl.DataFrame:
    """The `top` features of the chosen families by target and horizon, smallest p first, then largest |ic|.

    `table` is that of `IcResult`. Columns: target, horizon_s, rank from 1, feature, family, ic, ci_low, ci_high, p,
    p_adjusted, same_sign_frac, days. Rows without a p are left out. Being chosen as the best of many, their ic is too
    large on average; `p_adjusted` takes the choice into account, the interval does not.
    """
    of_family = pl.col("feature").replace_strict(dict(families), default=None, return_dtype=pl.String()).alias("family")
    found = (
        table.filter((pl.col("symbol") == symbol) & (pl.col("regime") == ALL_REGIMES) & pl.col("p").is_not_null())
        .with_columns(of_family)
        .filter(pl.col("family").is_in(chosen))
        .sort("target", "horizon_s", "p", -pl.col("ic").abs(), "feature", maintain_order=True)
        .with_columns(rank=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("target", "horizon_s"))
        .filter(pl.col("rank") <= top)
    )
    columns = ("target", "horizon_s", "rank", "feature", "family", "ic", "ci_low", "ci_high", "p", "p_adjusted")
    return found.select(*columns, "same_sign_frac", "days")


@dataclass(frozen=True)
class _Columns:
    """The days and features of one target, and which features belong to which group."""

    days: dict[Any, int]
    features: dict[str, int]
    ours: npt.NDArray[np.bool_]
    others: npt.NDArray[np.bool_]

    @classmethod
    def of(
        cls, daily: pl.DataFrame, families: Mapping[str, str], ours: tuple[str, ...], others: tuple[str, ...]
    ) -> _Columns:
        names = daily["feature"].unique().sort().to_list()
        groups = [families.get(name) for name in names]
        return cls(
            {day: place for place, day in enumerate(daily["day"].unique().sort().to_list())},
            {name: place for place, name in enumerate(names)},
            np.array([group in ours for group in groups]),
            np.array([group in others for group in groups]),
        )


def _daily_scores(daily: pl.DataFrame, columns: _Columns) -> Floats:
    """Mean signed correlation by day (d, 2): of the liquidation features and of the others; NaN where there is none."""
    ic = np.full((len(columns.days), len(columns.features)), np.nan)
    weight = np.zeros(ic.shape)
    for day, feature, value, count in daily.select("day", "feature", "ic", "n").iter_rows():
        at = (columns.days[day], columns.features[feature])
        ic[at], weight[at] = value, count
    # Up to yesterday: the first day has no past.
    past = np.cumsum(np.nan_to_num(ic) * weight, axis=0) - np.nan_to_num(ic) * weight
    sign = np.sign(past)
    sign[0] = 0.0
    signed = np.where(sign != 0.0, sign * ic, np.nan)
    return np.column_stack([_row_means(signed[:, group]) for group in (columns.ours, columns.others)])


def _row_means(table: Floats) -> Floats:
    """Mean of what is not NaN in each row."""
    count = (~np.isnan(table)).sum(axis=1)
    means: Floats = np.divide(np.nansum(table, axis=1), count, out=np.full(len(table), np.nan), where=count > 0)
    return means


def _average(scores: list[Floats]) -> Floats:
    """The mean over horizons, each day with those that both groups have."""
    both = np.array([np.where(np.isnan(part).any(axis=1, keepdims=True), np.nan, part) for part in scores])
    return np.column_stack([_row_means(both[:, :, group].T) for group in range(2)])


def _summarise(target: str, horizon_s: Any, scores: Floats, columns: _Columns) -> dict[str, Any]:
    scores = scores[~np.isnan(scores).any(axis=1)]
    found = cluster_mean_t(scores[:, 0] - scores[:, 1], np.arange(len(scores)))
    row: dict[str, Any] = dict.fromkeys(COMPARISON.names)
    row |= {
        "target": target,
        "horizon_s": horizon_s,
        "liquidation_ic": float(scores[:, 0].mean()) if len(scores) else None,
        "other_ic": float(scores[:, 1].mean()) if len(scores) else None,
        "difference": found.mean,
        "days": len(scores),
        "liquidation_features": int(columns.ours.sum()),
        "other_features": int(columns.others.sum()),
        "method": "mean of daily differences, signs learned on the days before, Student's t",
        "note": "; ".join(_notes(len(scores), columns)),
    }
    if len(scores) >= LEAST_DAYS and found.standard_error > 0.0:
        row |= _interval(found.mean, found.standard_error, len(scores) - 1)
    return row


def _interval(mean: float, error: float, degrees: int) -> dict[str, float]:
    from scipy.special import stdtr, stdtrit

    half = float(stdtrit(degrees, 0.975)) * error
    return {"ci_low": mean - half, "ci_high": mean + half, "p": 2.0 * float(stdtr(degrees, -abs(mean) / error))}


def _notes(n_days: int, columns: _Columns) -> Iterator[str]:
    if not columns.ours.any():
        yield "no liquidation feature has a daily correlation"
    elif not columns.others.any():
        yield "no feature of open interest or funding has a daily correlation"
    elif n_days < LEAST_DAYS:
        yield f"signs could be learned for {n_days} {'day' if n_days == 1 else 'days'}, an interval needs {LEAST_DAYS}"
