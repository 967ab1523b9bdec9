"""Matched controls: for each treated moment the nearest others of the same kind, and how alike both became."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

NO_MATCH = -1
#: A difference of exactly one caliper counts as within it, whatever the division makes of it.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Matches:
    """Controls of each treated row, nearest first.

    `indices` (n, n_controls) are rows of the candidates, -1 where there is none, and `distances` alike, NaN there.
    `n_found` (n,) counts them; `unmatched_frac` is the share of treated rows with no control at all (NaN without
    treated rows).
    """

    indices: Integers
    distances: Floats
    n_found: Integers
    unmatched_frac: float


@dataclass(frozen=True)
class Balance:
    """Standardised mean differences of each covariate, (d,): treated less candidates, matched treated less controls.

    Both are in units of the same pooled standard deviation; below 0.1 in size counts as balanced (Austin 2009).
    """

    before: Floats
    after: Floats


def match_controls(
    treated: npt.ArrayLike,
    candidates: npt.ArrayLike,
    calipers: npt.ArrayLike,
    n_controls: int = 1,
    *,
    treated_groups: npt.ArrayLike | None = None,
    candidate_groups: npt.ArrayLike | None = None,
    allowed: npt.ArrayLike | None = None,
    max_uses: int | None = None,
    seed: int = 0,
) -> Matches:
    """The `n_controls` nearest `candidates` (m, d) of each row of `treated` (n, d), within the calipers.

    A candidate may serve if it belongs to the same group (exact match of `treated_groups` (n,) and `candidate_groups`
    (m,)), is `allowed` (m,), and differs by at most `calipers` (d,) in every covariate; an infinite caliper ignores its
    covariate. Differences are divided by their caliper, the distance is Euclidean, and among equal ones the lower row
    comes first. Nearest-neighbour matching within calipers: Cochran and Rubin (1973), "Controlling bias in
    observational studies", Sankhya A 35; Stuart (2010), "Matching methods for causal inference", Stat. Sci. 25.

    Controls serve any number of treated rows, or at most `max_uses`: then treated rows choose one after the other, in a
    random order of `seed`, so that none comes first by its time. Rows with a NaN match nothing. Nothing here looks at
    outcomes. Calipers that are not above zero, or all infinite, and unlike shapes are a ValueError.

    >>> match_controls([[1.0], [9.0]], [[0.5], [1.2], [3.0]], [1.0], 2).indices.tolist()
    [[1, 0], [-1, -1]]
    """
    own, others, scale = _check_tables(treated, candidates, calipers)
    if n_controls < 1 or (max_uses is not None and max_uses < 1):
        raise ValueError(f"n_controls and max_uses must be at least 1, got {n_controls} and {max_uses}")
    usable, known = _complete(others), _complete(own)
    if allowed is not None:
        usable = usable & _column(allowed, len(others), "allowed").astype(bool)
    used = np.isfinite(scale)
    if not used.any():
        raise ValueError("at least one caliper must be finite: without one no control is nearer than another")
    own, others = own[:, used] / scale[used], others[:, used] / scale[used]
    indices, distances = _empty(len(own), n_controls)
    random = np.random.default_rng(seed)
    for rows, pool in _pairs_of_groups(treated_groups, candidate_groups, known, usable):
        if max_uses is None:
            indices[rows], distances[rows] = _nearest(own[rows], others[pool], pool, n_controls)
        else:
            order = random.permutation(rows)
            indices[order], distances[order] = _take_turns(own[order], others[pool], pool, n_controls, max_uses)
    found = (indices != NO_MATCH).sum(axis=1)
    return Matches(indices, distances, found, float((found == 0).mean()) if len(own) else float("nan"))


def find_far_moments(
    moments: npt.ArrayLike,
    events: npt.ArrayLike,
    before: float,
    after: float,
    *,
    moment_groups: npt.ArrayLike | None = None,
    event_groups: npt.ArrayLike | None = None,
) -> Booleans:
    """Which `moments` (m,) have no event in [moment - before, moment + after], ends included; (m,).

    With groups only events of the same group count. Times in any unit; NaN moments are never far, NaN events are none.
    For a placebo: `before` keeps it clear of what an earlier event still does, `after` of the next one.

    >>> find_far_moments([0.0, 5.0, 10.0], [4.0], before=2.0, after=0.0).tolist()
    [True, False, True]
    """
    times, marks = np.asarray(moments, dtype=np.float64), np.asarray(events, dtype=np.float64)
    if (moment_groups is None) != (event_groups is None):
        raise ValueError("moment_groups and event_groups must come together")
    if not (before >= 0.0 and after >= 0.0):
        raise ValueError(f"before and after must not be negative, got {before} and {after}")
    far = np.zeros(times.size, dtype=bool)
    known, present = ~np.isnan(times), ~np.isnan(marks)
    for rows, near in _pairs_of_groups(moment_groups, event_groups, known, present):
        ordered = np.sort(marks[near])
        first = np.searchsorted(ordered, times[rows] - before, side="left")
        far[rows] = first == np.searchsorted(ordered, times[rows] + after, side="right")
    return far


def compute_balance(treated: npt.ArrayLike, candidates: npt.ArrayLike, matches: Matches) -> Balance:
    """How alike treated rows and controls are in each covariate, before and after matching.

    (mean of treated - mean of others) / sqrt((var of treated + var of candidates) / 2): Austin (2009), "Balance
    diagnostics for comparing the distribution of baseline covariates", Stat. Med. 28. After matching each matched
    treated row counts once, and its controls in equal parts. Rows with a NaN are left out. NaN without rows or without
    any spread.
    """
    own, others, _ = _check_tables(treated, candidates, np.ones(np.asarray(treated).shape[1]))
    complete, usable = own[_complete(own)], others[_complete(others)]
    nothing = np.full(own.shape[1], np.nan)
    if not len(complete) or not len(usable):
        return Balance(nothing, nothing.copy())
    spread = np.sqrt((complete.var(axis=0) + usable.var(axis=0)) / 2.0)

    def standardise(difference: Floats) -> Floats:
        out = np.full(spread.shape, np.nan)
        return np.asarray(np.divide(difference, spread, out=out, where=spread > 0.0))

    before = standardise(complete.mean(axis=0) - usable.mean(axis=0))
    matched = np.flatnonzero(matches.n_found > 0)
    if not matched.size:
        return Balance(before, nothing)
    chosen = matches.indices[matched]
    values = np.where((chosen != NO_MATCH)[:, :, None], others[chosen], 0.0)
    controls = values.sum(axis=1) / matches.n_found[matched, None]
    return Balance(before, standardise((own[matched] - controls).mean(axis=0)))


def _check_tables(
    treated: npt.ArrayLike, candidates: npt.ArrayLike, calipers: npt.ArrayLike
) -> tuple[Floats, Floats, Floats]:
    own, others = np.asarray(treated, dtype=np.float64), np.asarray(candidates, dtype=np.float64)
    scale = np.asarray(calipers, dtype=np.float64)
    if own.ndim != 2 or others.ndim != 2 or not own.shape[1] == others.shape[1] == scale.size:
        raise ValueError(
            "treated, candidates and calipers must be (n, d), (m, d) and (d,), got "
            f"{own.shape}, {others.shape} and {scale.shape}"
        )
    if not (scale > 0.0).all():
        raise ValueError(f"calipers must be above 0, got {scale.tolist()}")
    return own, others, scale


def _complete(table: Floats) -> Booleans:
    return np.asarray(~np.isnan(table).any(axis=1))


def _column(values: npt.ArrayLike, size: int, name: str) -> npt.NDArray[Any]:
    column = np.asarray(values)
    if column.shape != (size,):
        raise ValueError(f"{name} must have shape ({size},), got {column.shape}")
    return column


def _pairs_of_groups(
    own_groups: npt.ArrayLike | None, other_groups: npt.ArrayLike | None, own: Booleans, other: Booleans
) -> list[tuple[Integers, Integers]]:
    """Rows of both sides that may meet, group by group, in ascending order of the group."""
    if (own_groups is None) != (other_groups is None):
        raise ValueError("groups must be given for both sides or for none")
    if own_groups is None or other_groups is None:
        return [(np.flatnonzero(own), np.flatnonzero(other))]
    left, right = _column(own_groups, own.size, "groups"), _column(other_groups, other.size, "groups")
    names, codes = np.unique(np.concatenate([left, right]), return_inverse=True)
    left_rows = _rows_by_code(codes[: own.size], own, names.size)
    right_rows = _rows_by_code(codes[own.size :], other, names.size)
    return [pair for pair in zip(left_rows, right_rows, strict=True) if pair[0].size]


def _rows_by_code(codes: npt.NDArray[np.integer], kept: Booleans, n_codes: int) -> list[Integers]:
    rows = np.flatnonzero(kept)
    order = rows[np.argsort(codes[rows], kind="stable")]
    return np.split(order, np.searchsorted(codes[order], np.arange(1, n_codes)))


def _nearest(own: Floats, others: Floats, pool: Integers, n_controls: int) -> tuple[Integers, Floats]:
    """The nearest of `others` to each row of `own`: ask for more until none that was not returned could be nearer."""
    indices, distances = _empty(len(own), n_controls)
    if not len(others):
        return indices, distances
    tree, waiting, asked = _tree(others), np.arange(len(own)), n_controls + 1
    while waiting.size:
        places, lengths, reach = _ask(tree, own[waiting], others, asked)
        best = lengths[:, :n_controls]
        settled = np.isinf(reach) | ((best < reach[:, None]).sum(axis=1) == n_controls)
        found = np.isfinite(best[settled])
        rows, width = waiting[settled], best.shape[1]
        indices[rows, :width] = np.where(found, pool[places[settled, :width]], NO_MATCH)
        distances[rows, :width] = np.where(found, best[settled], np.nan)
        waiting, asked = waiting[~settled], 4 * asked
    return indices, distances


def _take_turns(own: Floats, others: Floats, pool: Integers, n_controls: int, max_uses: int) -> tuple[Integers, Floats]:
    """The same, row after row in the order given, no control serving more than `max_uses` times."""
    indices, distances = _empty(len(own), n_controls)
    if not len(others):
        return indices, distances
    tree, left = _tree(others), np.full(len(others), max_uses)
    for row in range(len(own)):
        asked, settled = n_controls + 1, False
        while not settled:
            places, lengths, reach = (part[0] for part in _ask(tree, own[row : row + 1], others, asked))
            certain = (lengths < reach) & (left[places] > 0)
            settled = bool(np.isinf(reach)) or int(certain.sum()) >= n_controls
            asked *= 4
        chosen = np.flatnonzero(certain)[:n_controls]
        left[places[chosen]] -= 1
        indices[row, : chosen.size] = pool[places[chosen]]
        distances[row, : chosen.size] = lengths[chosen]
    return indices, distances


def _empty(n: int, n_controls: int) -> tuple[Integers, Floats]:
    return np.full((n, n_controls), NO_MATCH, dtype=np.int64), np.full((n, n_controls), np.nan)


def _tree(others: Floats) -> Any:
    from scipy.spatial import KDTree

    return KDTree(others)


def _ask(tree: Any, points: Floats, others: Floats, asked: int) -> tuple[Integers, Floats, Floats]:
    """The `asked` nearest within the calipers, by distance and row; and the distance from which others may be missing.

    Places and distances have shape (points, asked or fewer), infinite where there is none, the last (points,).
    """
    asked = min(asked, len(others))
    # The corner of the box is the farthest that the calipers allow; the bound itself is excluded.
    bound = np.sqrt(others.shape[1]) * (1.0 + _ROUNDING) ** 2
    lengths, places = tree.query(points, k=np.arange(1, asked + 1), distance_upper_bound=bound)
    reach = lengths[:, -1].copy() if asked < len(others) else np.full(len(points), np.inf)
    places = np.where(np.isfinite(lengths), places, 0)
    outside = (np.abs(points[:, None, :] - others[places]) > 1.0 + _ROUNDING).any(axis=2)
    lengths = np.where(outside, np.inf, lengths)
    order = np.lexsort((places, lengths), axis=-1)
    return np.take_along_axis(places, order, axis=1), np.take_along_axis(lengths, order, axis=1), reach
