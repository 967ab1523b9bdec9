"""How good forecasts of an event are: the Brier score with its reliability, and the area under the ROC curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from liqlab.stats._descriptive import group_sums
from liqlab.stats._intervals import Estimate, compute_wilson, estimate_by_influence
from liqlab.stats._ranks import rank_average

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class BrierScore:
    """The mean squared error of probabilities, and what it is made of.

    `score` with its interval; `reliability` (0 is perfect), `resolution` (more is better) and `uncertainty` of Murphy;
    `skill` = 1 - score / uncertainty, above zero when better than the overall share. The other arrays are the
    reliability table, (n_bins,): bins [low, high), forecasts and mean forecast in them, share of events with its 95 %
    Wilson interval; NaN in empty bins.
    """

    score: Estimate
    reliability: float
    resolution: float
    uncertainty: float
    skill: float
    bin_low: Floats
    bin_high: Floats
    n: Integers
    mean_forecast: Floats
    observed_frac: Floats
    observed_low: Floats
    observed_high: Floats


def compute_brier(
    probabilities: npt.ArrayLike,
    outcomes: npt.ArrayLike,
    n_bins: int = 10,
    clusters: npt.ArrayLike | None = None,
) -> BrierScore:
    """The Brier score of `probabilities` (n,) in [0, 1] for `outcomes` (n,) of 0 and 1, with a reliability table.

    score = mean (p - o)^2: Brier (1950). Over bins of equal width with n_b forecasts, mean forecast p_b and share o_b:
    reliability = sum n_b (p_b - o_b)^2 / n, resolution = sum n_b (o_b - o)^2 / n, uncertainty = o (1 - o): Murphy
    (1973), "A new vector partition of the probability score", J. Appl. Meteorology 12. Their sum, resolution taken
    away, is the score exactly where forecasts are equal within each bin. The last bin holds 1. The interval is by
    Student's t over `clusters` (n,), each value its own by default.

    Rows with a NaN are left out; without rows everything is NaN. Other values are a ValueError.
    """
    p, o, labels = _complete(probabilities, outcomes, clusters)
    if p.size and not (p.min() >= 0.0 and p.max() <= 1.0):
        raise ValueError(f"probabilities must lie in [0, 1], got {p.min():g} to {p.max():g}")
    edges = np.linspace(0.0, 1.0, n_bins + 1)
    place = np.minimum(np.searchsorted(edges, p, side="right") - 1, n_bins - 1)
    n, hits, sums = (group_sums(place, weights, n_bins) for weights in (np.ones(p.size), o, p))
    mean_forecast, observed = _ratio(sums, n), _ratio(hits, n)
    wilson = [compute_wilson(int(h), int(c)) if c else (np.nan, np.nan, np.nan) for h, c in zip(hits, n, strict=True)]
    table = np.array(wilson, dtype=np.float64).reshape(n_bins, 3)
    losses, share = (p - o) ** 2, float(o.mean()) if o.size else float("nan")
    score = float(losses.mean()) if o.size else float("nan")
    uncertainty = share * (1.0 - share)
    return BrierScore(
        score=estimate_by_influence(score, (losses - score) / max(p.size, 1), labels),
        reliability=float(np.nansum(n * (mean_forecast - observed) ** 2) / p.size) if p.size else float("nan"),
        resolution=float(np.nansum(n * (observed - share) ** 2) / p.size) if p.size else float("nan"),
        uncertainty=uncertainty,
        skill=1.0 - score / uncertainty if uncertainty > 0.0 else float("nan"),
        bin_low=edges[:-1],
        bin_high=edges[1:],
        n=n.astype(np.int64),
        mean_forecast=mean_forecast,
        observed_frac=observed,
        observed_low=table[:, 1],
        observed_high=table[:, 2],
    )


def compute_auc(scores: npt.ArrayLike, outcomes: npt.ArrayLike, clusters: npt.ArrayLike | None = None) -> Estimate:
    """The area under the ROC curve of `scores` (n,) for `outcomes` (n,) of 0 and 1: P(event scores higher), ties half.

    Null hypothesis: it is 0.5, the scores of events and others are alike in this respect; alternative: it is not. With
    the placement v of a score (the share of the other class that it beats; for a non-event the share that beats it),
    m events and n others, the variance is var(v of events) / m + var(v of others) / n: DeLong, DeLong and
    Clarke-Pearson (1988), "Comparing the areas under two or more correlated ROC curves", Biometrics 44. With
    `clusters` (n,) the influences (v - area) / m and / n are summed by cluster first: Obuchowski (1997), "Nonparametric
    analysis of clustered ROC curve data", Biometrics 53, by Student's t of clusters - 1. p and interval are on the
    logit scale, where they stay within (0, 1) and agree; `standard_error` is that of the area.

    Rows with a NaN are left out. Without both classes everything is NaN; a perfect area has no error.
    """
    from scipy.special import expit, logit

    s, o, labels = _complete(scores, outcomes, clusters)
    event = o == 1.0
    m, n = int(event.sum()), int((~event).sum())
    if not m or not n:
        return estimate_by_influence(float("nan"), np.zeros(s.size), labels)
    placement = np.empty(s.size)
    ranks = rank_average(s)
    placement[event] = (ranks[event] - rank_average(s[event])) / n
    placement[~event] = 1.0 - (ranks[~event] - rank_average(s[~event])) / m
    area = float(placement[event].mean())
    influence = (placement - area) / np.where(event, m, n)
    if clusters is None:
        # The small-sample factors of the two variances, instead of one for all clusters.
        influence *= np.sqrt(np.where(event, m / max(m - 1, 1), n / max(n - 1, 1)) * (s.size - 1) / s.size)
    slope = area * (1.0 - area)
    plain = estimate_by_influence(area, influence, labels)
    if not slope > 0.0 or not plain.standard_error > 0.0:
        return plain
    by_logit = estimate_by_influence(float(logit(area)), influence / slope, labels)
    return Estimate(
        estimate=area,
        standard_error=plain.standard_error,
        p=by_logit.p,
        ci_low=float(expit(by_logit.ci_low)),
        ci_high=float(expit(by_logit.ci_high)),
        degrees_of_freedom=plain.degrees_of_freedom,
        n_values=plain.n_values,
        n_clusters=plain.n_clusters,
    )


def _complete(
    values: npt.ArrayLike, outcomes: npt.ArrayLike, clusters: npt.ArrayLike | None
) -> tuple[Floats, Floats, npt.NDArray[np.generic]]:
    x, o = np.asarray(values, dtype=np.float64), np.asarray(outcomes, dtype=np.float64)
    labels = np.arange(x.size) if clusters is None else np.asarray(clusters)
    if x.ndim != 1 or x.shape != o.shape or x.shape != labels.shape:
        raise ValueError(f"values, outcomes and clusters must be alike, got {x.shape}, {o.shape} and {labels.shape}")
    present = ~(np.isnan(x) | np.isnan(o))
    x, o, labels = x[present], o[present], labels[present]
    if not np.isin(o, (0.0, 1.0)).all():
        raise ValueError("outcomes must be 0 or 1")
    return x, o, labels


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """NaN where nothing was counted."""
    return np.asarray(np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0.0))
