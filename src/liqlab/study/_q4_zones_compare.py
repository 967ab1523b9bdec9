"""Zones against matched levels: one regression for each measure, for verdicts and for exploratory splits alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from liqlab.core.time import MS_PER_MINUTE
from liqlab.stats import Estimate, estimate_by_influence
from liqlab.study._inference import BlockInference, QuestionConfig, infer_from_influence
from liqlab.study._q4_zones_levels import MIRROR, ZONE, Levels, Reactions
from liqlab.study._regression import RegressionFit, fit_least_squares

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

_BLOCK_MIN = 360


@dataclass(frozen=True)
class Comparison:
    """One measure at zones and at the levels they are compared with, and the regression that compares them.

    The last column of the regression is what zones have more. `zone_value` and `random_value` are plain means.
    `times_ms` (n,) and `is_zone` (n,) are those of the rows of the regression; `unmatched_frac` is the share of zones
    (or of touches of one) without anything to compare with.
    """

    fit: RegressionFit
    times_ms: Integers
    is_zone: Booleans
    zone_value: float
    random_value: float
    n_zones: int
    n_random: int
    unmatched_frac: float

    @property
    def effect(self) -> float:
        """What zones have more, path and distance being equal."""
        return float(self.fit.coefficients[-1])

    def infer(self, horizon_ms: int, config: QuestionConfig) -> BlockInference:
        """The effect with interval and p. Null hypothesis: it is zero; alternative: it is not."""
        if not np.isfinite(self.effect):
            return BlockInference.unknown()
        influence, weights = self.fit.influence[:, -1], self.fit.weights[:, -1]
        return infer_from_influence(self.times_ms, influence, self.effect, horizon_ms, config, weights=weights)

    def describe(self) -> Estimate:
        """The same by Student's t over blocks of 6 h, for exploratory tables."""
        if not np.isfinite(self.effect):
            return Estimate(*(float("nan"),) * 6, 0, 0)
        blocks = self.times_ms // (_BLOCK_MIN * MS_PER_MINUTE)
        return estimate_by_influence(self.effect, self.fit.influence[:, -1] / self.fit.n, blocks)

    def count_blocks(self, block_min: int) -> int:
        """Blocks of time that hold a zone."""
        return np.unique(self.times_ms[self.is_zone] // (max(block_min, 1) * MS_PER_MINUTE)).size


def compare_pairs(levels: Levels, values: Floats, where: Booleans) -> Comparison:
    """Zones of `where` (k,) against their mirror images: `values` (k,) at one less that at the other.

    The difference is regressed on the trailing returns towards the zone and on a constant, which is the effect. A
    mirror image in a zone is none. The drift of the sample (a column for the side) is not taken out: a path without
    its own drift comes back to where it has been, and zones would seem to attract.
    """
    zones = np.flatnonzero((levels.kind == ZONE) & where & np.isfinite(values))
    mirrors = np.flatnonzero(levels.kind == MIRROR)
    partner = mirrors[levels.pair[zones]]
    matched = levels.is_clear[partner] & np.isfinite(values[partner])
    rows, others = zones[matched], partner[matched]
    columns = [levels.trend[rows], np.ones((len(rows), 1))]
    fit = fit_least_squares(values[rows] - values[others], np.concatenate(columns, axis=1))
    used = fit.used
    return Comparison(
        fit,
        levels.time_ms[rows][used],
        np.ones(fit.n, dtype=bool),
        _mean(values[rows][used]),
        _mean(values[others][used]),
        fit.n,
        fit.n,
        1.0 - float(matched.mean()) if len(zones) else float("nan"),
    )


def compare_touches(levels: Levels, reactions: Reactions, values: Floats, where: Booleans) -> Comparison:
    """First touches of the zones of `where` (k,) against first touches of levels outside of zones, mirror or random.

    `values` (k,) are regressed on a constant, distance, approach and quickening, and on being a zone, which is the
    effect. Unmatched is a touch of a zone without a touch of another level of the same map.
    """
    known = (reactions.touch_ms >= 0) & np.isfinite(values)
    is_zone = levels.kind == ZONE
    rows = np.flatnonzero(known & np.where(is_zone, where, levels.is_clear & _of_groups(levels, where)))
    columns = [
        np.ones((len(rows), 1)),
        reactions.approach[rows],
        np.stack([reactions.quickening[rows], levels.distance[rows], is_zone[rows].astype(np.float64)], axis=1),
    ]
    fit = fit_least_squares(values[rows], np.concatenate(columns, axis=1))
    rows = rows[fit.used]
    own, other = rows[is_zone[rows]], rows[~is_zone[rows]]
    return Comparison(
        fit,
        reactions.touch_ms[rows],
        is_zone[rows],
        _mean(values[own]),
        _mean(values[other]),
        len(own),
        len(other),
        1.0 - float(np.isin(_map_of(levels, own), _map_of(levels, other)).mean()) if len(own) else float("nan"),
    )


def _of_groups(levels: Levels, where: Booleans) -> Booleans:
    """Levels of the symbols that have a zone in `where`."""
    return np.asarray(np.isin(levels.code, np.unique(levels.code[where & (levels.kind == ZONE)])))


def _map_of(levels: Levels, rows: Integers) -> Integers:
    """A number for the symbol and moment of each row."""
    return np.asarray(levels.time_ms[rows] * (int(levels.code.max(initial=0)) + 1) + levels.code[rows])


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")
