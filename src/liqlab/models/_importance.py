"""What a model's forecasts rest on: correlated columns are judged together, and fold against fold."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liqlab.core.time import MS_PER_S
from liqlab.models._ic_config import Target
from liqlab.models._walk_forward_config import WalkForwardConfig
from liqlab.models._walk_forward_tables import IMPORTANCE
from liqlab.stats import rank_average, spearman_matrix

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_TOP = 5


@dataclass(frozen=True)
class ColumnGroups:
    """Groups of columns: `names` of their first members, `members` their places, in the order of the columns."""

    names: tuple[str, ...]
    members: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class FoldImportance:
    """Importance of every group, (groups,), in one fold of one model."""

    target: Target
    model: str
    kind: str
    values: Floats


def group_columns(scaled: Floats, columns: tuple[str, ...], threshold: float) -> ColumnGroups:
    """Columns whose rank correlation in training is at least `threshold` in size, on average, in one group.

    Average-linkage clustering on 1 - |Spearman| of the scaled training rows (n, k), NaN missing. Columns that are
    constant or never present together correlate with nothing.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    k = len(columns)
    if k < 2:
        return ColumnGroups(columns, tuple((place,) for place in range(k)))
    correlation = np.abs(np.nan_to_num(spearman_matrix(scaled, scaled)))
    distance = 1.0 - np.clip(np.maximum(correlation, correlation.T), 0.0, 1.0)
    np.fill_diagonal(distance, 0.0)
    labels = fcluster(linkage(squareform(distance, checks=False), "average"), 1.0 - threshold, "distance")
    found: dict[int, list[int]] = {}
    for place, label in enumerate(labels):
        found.setdefault(int(label), []).append(place)
    members = tuple(tuple(places) for places in found.values())
    return ColumnGroups(tuple(columns[places[0]] for places in members), members)


def gain_importance(gains: Floats, groups: ColumnGroups) -> Floats:
    """Share of the total gain that the splits on each group's columns made, (groups,); zeros without a split."""
    sums = np.array([gains[list(places)].sum() for places in groups.members])
    total = sums.sum()
    return sums / total if total > 0.0 else sums


def permutation_importance(
    predict: Callable[[Floats], Floats],
    scaled: Floats,
    truth: Floats,
    times_ms: Integers,
    codes: Integers,
    groups: ColumnGroups,
    config: WalkForwardConfig,
) -> Floats:
    """R2 lost out of fold, on the model's scale, when a group's columns are shuffled together; (groups,).

    Whole blocks of `permutation_block_s` of a symbol change places with one another, so that a column keeps its own
    dependence in time and its symbol. Negative values are chance. `scaled` (n, k), the others (n,), in order of time.
    """
    spread = float(np.mean((truth - truth.mean()) ** 2))
    if spread <= 0.0:
        return np.zeros(len(groups.members))
    error = float(np.mean((truth - predict(scaled)) ** 2))
    random = np.random.default_rng(config.seed)
    orders = [_shuffle_blocks(times_ms, codes, config, random) for _ in range(config.n_permutations)]
    lost = np.zeros((len(orders), len(groups.members)))
    for place, order in enumerate(orders):
        for group, members in enumerate(groups.members):
            shuffled = scaled.copy()
            shuffled[:, members] = scaled[order][:, members]
            lost[place, group] = (float(np.mean((truth - predict(shuffled)) ** 2)) - error) / spread
    return np.asarray(lost.mean(axis=0))


def _shuffle_blocks(
    times_ms: Integers, codes: Integers, config: WalkForwardConfig, random: np.random.Generator
) -> Integers:
    """For each row the row whose values it takes: of the same symbol, in shuffled blocks of time; (n,)."""
    order = np.arange(times_ms.size)
    block = times_ms // (config.permutation_block_s * MS_PER_S)
    for code in np.unique(codes):
        own = np.flatnonzero(codes == code)
        blocks = np.split(own, np.flatnonzero(np.diff(block[own])) + 1)
        order[own] = np.concatenate([blocks[place] for place in random.permutation(len(blocks))])
    return order


def summarise_importance(
    parts: Iterable[FoldImportance], split: str, groups: ColumnGroups, columns: tuple[str, ...]
) -> pl.DataFrame:
    """Importances averaged over folds, with their spread and how far the folds agree: the table of that name."""
    series: dict[tuple[Target, str, str], list[Floats]] = {}
    for part in parts:
        series.setdefault((part.target, part.model, part.kind), []).append(part.values)
    texts = [",".join(columns[place] for place in places) for places in groups.members]
    frames = [
        pl.DataFrame(
            {
                "target": target.kind,
                "horizon_s": target.horizon_s,
                "split": split,
                "model": model,
                "kind": kind,
                "group": list(groups.names),
                "features": texts,
                "mean": np.mean(values, axis=0),
                "spread": np.std(values, axis=0, ddof=1) if len(values) > 1 else None,
                "top5_frac": np.mean([_is_top(row) for row in values], axis=0),
                "folds": len(values),
                "rank_agreement": rank_agreement(values),
            },
            schema=IMPORTANCE.dtypes,
        )
        for (target, model, kind), values in series.items()
    ]
    return pl.concat([IMPORTANCE.empty(), *frames])


def _is_top(values: Floats) -> NDArray[np.bool_]:
    """Which groups are among the five largest of one fold, earlier ones first on ties; none that is not positive."""
    top = np.zeros(values.size, dtype=bool)
    top[np.argsort(-values, kind="stable")[:_TOP]] = True
    return top & (values > 0.0)


def rank_agreement(rows: list[Floats]) -> float | None:
    """Mean Spearman correlation over all pairs of folds' importances; None below two folds or where all are tied."""
    ranks = [rank_average(row) - (row.size + 1) / 2 for row in rows]
    ranks = [row / np.linalg.norm(row) for row in ranks if np.any(row != 0.0)]
    pairs = [float(first @ second) for first, second in combinations(ranks, 2)]
    return float(np.mean(pairs)) if pairs else None
