"""What matched outcomes say: excess with interval and p, differences between groups, findings; splits described."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from liqlab.core.time import MS_PER_MINUTE
from liqlab.stats import Estimate, estimate_by_influence
from liqlab.study._evidence import Booleans, Floats, Integers
from liqlab.study._hypotheses import find_hypothesis
from liqlab.study._hypotheses_minima import find_shortfall
from liqlab.study._inference import BlockInference, QuestionConfig, infer_from_influence
from liqlab.study._placebo import MatchedMoments, Outcomes
from liqlab.study._protocol import Finding

#: A larger share of events without a match leaves the question open.
MOST_UNMATCHED_FRAC = 0.3
_NAN = float("nan")


@dataclass(frozen=True)
class Influence:
    """An estimate and what each observation adds to it: influence (m,) with sum zero, at the time of the observation.

    A matched moment counts at its own time, not at that of the event it serves: events of different blocks may share
    it. `scale` is what the sums are divided by.
    """

    estimate: float
    times_ms: Integers
    values: Floats
    scale: float


@dataclass(frozen=True)
class Excess:
    """A matched comparison: its inference, the events and the blocks of time behind it, and who found no match."""

    inference: BlockInference
    n_events: int
    n_blocks: int
    unmatched_frac: float

    @property
    def method(self) -> str:
        """In words, for the table of verdicts."""
        return f"matched comparison, {self.inference.method}"


def compute_influence(
    matched: MatchedMoments,
    outcomes: Outcomes,
    where: Booleans | None = None,
    size: Floats | None = None,
    weights: Floats | None = None,
) -> Influence:
    """Excess per unit of `size` (n,): weighted sum of excess over weighted sum of size, where both known.

    Size and `weights` (n,) are one for each event by default. With own outcomes Y, outcomes of controls y, of which
    event i has m_i, weights w, mu the weighted mean of the y (each w_i / m_i) and estimate b: event i adds
    w_i (Y_i - mu - b size_i), and each of its controls -w_i (y - mu) / m_i. NaN without events of weight above zero.
    """
    used = outcomes.is_known if where is None else outcomes.is_known & where
    if weights is not None:
        used = used & (weights > 0.0)
    rows = np.flatnonzero(used)
    if not rows.size:
        return Influence(_NAN, np.empty(0, np.int64), np.empty(0), _NAN)
    heft = np.ones(rows.size) if weights is None else weights[rows]
    sizes = np.ones(rows.size) if size is None else size[rows]
    others, times = outcomes.controls[rows], matched.control_ms[rows]
    present = np.isfinite(others)
    share = np.where(present, heft[:, None] / present.sum(axis=1, keepdims=True), 0.0)
    centre = float((share * np.where(present, others, 0.0)).sum() / heft.sum())
    scale = float((heft * sizes).sum())
    estimate = float((heft * outcomes.excess[rows]).sum()) / scale
    own = heft * (outcomes.own[rows] - centre - estimate * sizes)
    return Influence(
        estimate,
        np.concatenate([matched.moments.times_ms[rows], times[present]]),
        np.concatenate([own, -share[present] * (others[present] - centre)]),
        scale,
    )


def infer_excess(
    matched: MatchedMoments,
    outcomes: Outcomes,
    horizon_ms: int,
    config: QuestionConfig,
    where: Booleans | None = None,
    size: Floats | None = None,
    weights: Floats | None = None,
) -> Excess:
    """Mean excess (per unit of `size`, weighted) of the events in `where`.

    Null hypothesis: it is zero; alternative: it is not. `n_blocks` counts the blocks that hold events.
    """
    found = compute_influence(matched, outcomes, where, size, weights)
    inside = np.ones(len(matched.moments), dtype=bool) if where is None else where
    return _infer(found, matched, outcomes, [inside], horizon_ms, config)


def compute_difference(
    matched: MatchedMoments,
    outcomes: Outcomes,
    first: Booleans,
    second: Booleans,
    size: Floats | None = None,
    weights: Floats | None = None,
) -> Influence:
    """The excess (per unit of `size`, weighted) of the events in `first` less that of those in `second`, in symbols.

    A symbol with known events in both counts in proportion to S S' / (S + S'), S and S' the weighted sums of size of
    its groups: the weights of Mantel and Haenszel (1959). So a group does not win by holding more of a symbol whose
    book is thin. NaN without such a symbol.
    """
    parts, counts = [], []
    for code in range(len(matched.moments.symbols)):
        own = matched.moments.codes == code
        pair = [compute_influence(matched, outcomes, group & own, size, weights) for group in (first, second)]
        if all(part.values.size for part in pair):
            parts.append(_subtract(*pair))
            counts.append(1.0 / (1.0 / pair[0].scale + 1.0 / pair[1].scale))
    if not parts:
        return Influence(_NAN, np.empty(0, np.int64), np.empty(0), _NAN)
    shares = np.array(counts) / sum(counts)
    return Influence(
        float(sum(share * part.estimate for share, part in zip(shares, parts, strict=True))),
        np.concatenate([part.times_ms for part in parts]),
        np.concatenate([share * part.values for share, part in zip(shares, parts, strict=True)]),
        1.0,
    )


def _subtract(first: Influence, second: Influence) -> Influence:
    return Influence(
        first.estimate - second.estimate,
        np.concatenate([first.times_ms, second.times_ms]),
        np.concatenate([first.values / first.scale, -second.values / second.scale]),
        1.0,
    )


def infer_difference(
    matched: MatchedMoments,
    outcomes: Outcomes,
    horizon_ms: int,
    config: QuestionConfig,
    first: Booleans,
    second: Booleans,
    size: Floats | None = None,
    weights: Floats | None = None,
) -> Excess:
    """The difference of `compute_difference`.

    Null hypothesis: both groups have the same excess within each symbol; alternative: they have not.
    """
    found = compute_difference(matched, outcomes, first, second, size, weights)
    return _infer(found, matched, outcomes, [first, second], horizon_ms, config)


def describe_influence(found: Influence, block_min: int) -> Estimate:
    """Interval and p by Student's t over calendar blocks: for exploratory tables."""
    if not found.values.size:
        return Estimate(_NAN, _NAN, _NAN, _NAN, _NAN, _NAN, 0, 0)
    blocks = found.times_ms // (block_min * MS_PER_MINUTE)
    return estimate_by_influence(found.estimate, found.values / found.scale, blocks)


def describe_columns(
    times_ms: Integers, values: Floats, weights: Floats, block_min: int
) -> tuple[Floats, Floats, Floats]:
    """Weighted means (k,) of the columns of `values` (n, k), NaN left out, with 95 % intervals by t over blocks."""
    from scipy.special import stdtrit

    present = np.isfinite(values)
    weight = np.where(present, weights[:, None], 0.0)
    total = weight.sum(axis=0)
    known = np.where(present, values, 0.0)
    mean = np.divide((weight * known).sum(axis=0), total, out=np.full(total.shape, np.nan), where=total > 0.0)
    names, blocks = np.unique(times_ms // (block_min * MS_PER_MINUTE), return_inverse=True)
    if names.size < 2:
        return mean, np.full(mean.shape, np.nan), np.full(mean.shape, np.nan)
    order = np.argsort(blocks, kind="stable")
    starts = np.searchsorted(blocks[order], np.arange(names.size))
    deviations = weight * np.where(present, known - np.nan_to_num(mean), 0.0)
    sums = np.add.reduceat(deviations[order], starts, axis=0)
    error = np.sqrt(names.size / (names.size - 1) * (sums**2).sum(axis=0))
    error = np.divide(error, total, out=np.full(total.shape, np.nan), where=total > 0.0)
    reach = float(stdtrit(names.size - 1, 0.975)) * error
    return mean, mean - reach, mean + reach


def conclude(
    identifier: str,
    found: Excess,
    *,
    n_events: int | Mapping[str, int],
    ticker_interval_s: float,
    n_days: float | None = None,
    n_weekends: int | None = None,
    shortfall: str = "",
    note: str = "",
) -> Finding:
    """The finding of a hypothesis: its shortfall, its doubt, else its numbers."""
    missing = find_shortfall(
        find_hypothesis(identifier),
        n_events=n_events,
        n_blocks=found.n_blocks,
        n_days=n_days,
        n_weekends=n_weekends,
        ticker_interval_s=ticker_interval_s,
    )
    inference = found.inference
    return Finding(
        identifier,
        effect=inference.estimate,
        ci_low=inference.ci_low,
        ci_high=inference.ci_high,
        p=inference.p,
        n=found.n_events,
        n_blocks=found.n_blocks,
        method=found.method,
        note=join_notes(note, tell_unmatched(found)),
        shortfall="; ".join(text for text in (shortfall, missing) if text),
        doubt=_doubt(found.unmatched_frac),
    )


def count_priced(outcomes: Outcomes, group: Booleans, quick: Booleans) -> int:
    """Events of a group that have an outcome; all of them where no ticker is quick enough, as it is not they that lack.

    `quick` are those of the group whose ticker is quick enough.
    """
    return int((quick & np.isfinite(outcomes.own)).sum()) if quick.any() else int(group.sum())


def tell_unmatched(found: Excess) -> str:
    """How many events found no match, where some did not."""
    share = found.unmatched_frac
    return f"{share:.0%} of the events without a matched moment" if share > 0.005 else ""


def join_notes(*notes: str) -> str:
    """Those that say something."""
    return "; ".join(note for note in notes if note)


def _doubt(unmatched_frac: float) -> str:
    if not unmatched_frac > MOST_UNMATCHED_FRAC:
        return ""
    return f"{unmatched_frac:.0%} of the events have no matched moment, more than {MOST_UNMATCHED_FRAC:.0%}"


def _infer(
    found: Influence,
    matched: MatchedMoments,
    outcomes: Outcomes,
    groups: list[Booleans],
    horizon_ms: int,
    config: QuestionConfig,
) -> Excess:
    priced = [group & np.isfinite(outcomes.own) for group in groups]
    unmatched = _worst_unmatched(priced, outcomes.is_known)
    if not found.values.size:
        return Excess(BlockInference.unknown(), 0, 0, unmatched)
    used = np.any(priced, axis=0) & outcomes.is_known
    # What is bootstrapped is a mean over rows, so each row counts as often as there are rows.
    values = found.values * (found.values.size / found.scale)
    inference = infer_from_influence(found.times_ms, values, found.estimate, horizon_ms, config)
    block_ms = inference.block_min * MS_PER_MINUTE
    n_blocks = np.unique(matched.moments.times_ms[used] // block_ms).size
    return Excess(inference, int(used.sum()), n_blocks, unmatched)


def _worst_unmatched(groups: list[Booleans], known: Booleans) -> float:
    """The largest share of a group's events, of those with an outcome of their own, that lack one to compare with."""
    shares = [float((group & ~known).sum() / group.sum()) for group in groups if group.any()]
    return max(shares, default=_NAN)
