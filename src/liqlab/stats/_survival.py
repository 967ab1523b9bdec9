"""How long something lasts when some of it was not seen to end: survival curves, quantiles, restricted means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from liqlab.stats._intervals import Estimate, estimate_by_influence

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_95_PERCENT = 1.959963984540054
#: Products of survival shares carry rounding: 0.5 may come as 0.5000000000000001.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class SurvivalCurve:
    """The Kaplan-Meier estimate at the times (m,) at which something ended, ascending; steps down at each of them.

    `survival` is the share that lasts longer, `n_at_risk` how many had lasted until then, `n_events` how many ended.
    `standard_error` and the pointwise 95 % band are NaN where undefined.
    """

    times: Floats
    survival: Floats
    standard_error: Floats
    ci_low: Floats
    ci_high: Floats
    n_at_risk: Integers
    n_events: Integers
    n_values: int
    n_censored: int
    n_clusters: int


@dataclass(frozen=True)
class SurvivalQuantile:
    """A quantile of a duration with its 95 % interval; infinite where the curve does not fall that far."""

    probability: float
    estimate: float
    ci_low: float
    ci_high: float


@dataclass(frozen=True)
class LogRank:
    """The log-rank comparison of two groups."""

    statistic: float
    p: float
    n_values: int
    n_events: int


def compute_survival(
    durations: npt.ArrayLike, observed: npt.ArrayLike, clusters: npt.ArrayLike | None = None
) -> SurvivalCurve:
    """The Kaplan-Meier curve of `durations` (n,), `observed` (n,) saying which of them were seen to end.

    S(t) = product over end times u <= t of (1 - d_u / Y_u), d_u ends among the Y_u that lasted until u; what is
    censored at u still counts in Y_u: Kaplan and Meier (1958), J. Am. Stat. Assoc. 53. Variance of Greenwood (1926),
    S^2 sum d / (Y (Y - d)); with `clusters` (n,) instead the sum over clusters of the squared influence, see
    `restricted_mean`. The band is S^exp(+- 1.96 se / (S |log S|)), which stays within [0, 1]: Kalbfleisch and Prentice
    (1980). Where everything has ended it is [0, the limit before]. Censoring must not depend on the durations.

    Rows with a NaN are left out; negative durations and infinite ends are a ValueError. Without ends the arrays are
    empty.
    """
    sample, ended, labels = _complete(durations, observed, clusters)
    times, at_risk, events = _count(sample, ended)
    survival = _product_limit(at_risk, events)
    n_clusters = np.unique(labels).size
    if clusters is None:
        left = at_risk - events
        terms = np.divide(events, at_risk * left, out=np.full(times.size, np.nan), where=left > 0)
        error = survival * np.sqrt(np.cumsum(terms))
    else:
        error = survival * _clustered_hazard_error(sample, ended, labels, times, at_risk, events)
    low, high = _band(survival, error)
    return SurvivalCurve(
        times=times,
        survival=survival,
        standard_error=error,
        ci_low=low,
        ci_high=high,
        n_at_risk=at_risk,
        n_events=events,
        n_values=sample.size,
        n_censored=int((~ended).sum()),
        n_clusters=n_clusters,
    )


def survival_quantile(curve: SurvivalCurve, probability: float = 0.5) -> SurvivalQuantile:
    """The first time at which at least `probability` have ended, and the interval of times whose band holds that.

    With q = 1 - probability the estimate is the first time with S <= q, the limits are the first times at which the
    lower and the upper limit of S fall to q: Brookmeyer and Crowley (1982), "A confidence interval for the median
    survival time", Biometrics 38. NaN without any end; `probability` outside (0, 1) is a ValueError.
    """
    if not 0.0 < probability < 1.0:
        raise ValueError(f"probability must lie in (0, 1), got {probability}")
    if not curve.times.size:
        return SurvivalQuantile(probability, float("nan"), float("nan"), float("nan"))
    rest = 1.0 - probability + _ROUNDING
    found = (_first(curve.times, share <= rest) for share in (curve.survival, curve.ci_low, curve.ci_high))
    return SurvivalQuantile(probability, *found)


def restricted_mean(
    durations: npt.ArrayLike, observed: npt.ArrayLike, horizon: float, clusters: npt.ArrayLike | None = None
) -> Estimate:
    """The mean of min(duration, `horizon`), errors clustered by `clusters` (n,), each value its own by default.

    The integral of the Kaplan-Meier curve from 0 to the horizon: Irwin (1949); Royston and Parmar (2013), "Restricted
    mean survival time: an alternative to the hazard ratio", BMC Med. Res. Methodol. 13. Its error comes from the
    influence of each value i, - sum over end times u <= horizon of A(u) (dN_i(u) - Y_i(u) d_u / Y_u) / (Y_u - d_u),
    with A(u) the integral of the curve from u to the horizon, N_i its end and Y_i whether it is at risk: with one
    value per cluster Greenwood's, summed by cluster otherwise (Williams 1995, "Product-limit survival functions with
    correlated survival times", Lifetime Data Analysis 1). Student's t with clusters - 1 degrees of freedom.

    NaN where nothing reaches the horizon and the longest value is censored: the curve is not known so far.
    """
    sample, ended, labels = _complete(durations, observed, clusters)
    mean, influence = _restrict(sample, ended, horizon)
    return estimate_by_influence(mean, influence, labels)


def compare_restricted_means(
    durations: npt.ArrayLike,
    observed: npt.ArrayLike,
    group: npt.ArrayLike,
    horizon: float,
    clusters: npt.ArrayLike | None = None,
) -> Estimate:
    """The restricted mean where `group` (n,) is true less that where it is false; `restricted_mean` says the rest.

    Null hypothesis: both groups last equally long on average up to the horizon; alternative: they do not. A cluster
    may hold values of both groups. NaN where one of the means is.
    """
    sample, ended, labels = _complete(durations, observed, clusters)
    inside = np.asarray(group, dtype=bool)[~np.isnan(np.asarray(durations, dtype=np.float64))]
    influence = np.empty(sample.size)
    first, influence[inside] = _restrict(sample[inside], ended[inside], horizon)
    second, others = _restrict(sample[~inside], ended[~inside], horizon)
    influence[~inside] = -others
    return estimate_by_influence(first - second, influence, labels)


def compute_log_rank(durations: npt.ArrayLike, observed: npt.ArrayLike, group: npt.ArrayLike) -> LogRank:
    """Compare the whole curves of two groups, `group` (n,) saying to which a duration belongs.

    Null hypothesis: both have the same hazard at every time; alternative: they differ (with most power where one is
    always higher). Observed less expected ends of a group over all times, squared, by its hypergeometric variance: a
    chi-square of one degree. Mantel (1966); computed by statsmodels. Values must be independent: where they cluster,
    use `compare_restricted_means`. NaN with one group alone or without ends.
    """
    sample, ended, _ = _complete(durations, observed, None)
    labels = np.asarray(group)[~np.isnan(np.asarray(durations, dtype=np.float64))]
    if np.unique(labels).size > 2:
        raise ValueError(f"group must hold two values, got {np.unique(labels).size}")
    if np.unique(labels).size < 2 or not _comparable(sample, ended, labels):
        return LogRank(float("nan"), float("nan"), sample.size, int(ended.sum()))
    from statsmodels.duration.survfunc import survdiff

    statistic, p = survdiff(sample, ended.astype(np.int64), labels)
    return LogRank(float(statistic), float(p), sample.size, int(ended.sum()))


def _complete(
    durations: npt.ArrayLike, observed: npt.ArrayLike, clusters: npt.ArrayLike | None
) -> tuple[Floats, npt.NDArray[np.bool_], npt.NDArray[np.generic]]:
    sample, ended = np.asarray(durations, dtype=np.float64), np.asarray(observed, dtype=bool)
    labels = np.arange(sample.size) if clusters is None else np.asarray(clusters)
    if sample.ndim != 1 or sample.shape != ended.shape or sample.shape != labels.shape:
        raise ValueError(
            f"durations, observed and clusters must be alike, got {sample.shape}, {ended.shape} and {labels.shape}"
        )
    present = ~np.isnan(sample)
    sample, ended, labels = sample[present], ended[present], labels[present]
    if (sample < 0.0).any() or np.isinf(sample[ended]).any():
        raise ValueError("durations must not be negative, and those seen to end must be finite")
    return sample, ended, labels


def _count(sample: Floats, ended: npt.NDArray[np.bool_]) -> tuple[Floats, Integers, Integers]:
    """The times at which something ended, how many had lasted until then, and how many ended."""
    times, events = np.unique(sample[ended], return_counts=True)
    at_risk = sample.size - np.searchsorted(np.sort(sample), times, side="left")
    return times, at_risk.astype(np.int64), events.astype(np.int64)


def _product_limit(at_risk: Integers, events: Integers) -> Floats:
    return np.asarray(np.cumprod(1.0 - events / at_risk), dtype=np.float64)


def _band(survival: Floats, error: Floats) -> tuple[Floats, Floats]:
    inside = (survival > 0.0) & (survival < 1.0)
    logs = np.log(survival, out=np.full(survival.shape, -1.0), where=inside)
    scale = np.where(inside, error / np.where(inside, survival * -logs, 1.0), np.nan)
    low, high = np.exp(logs * np.exp(_95_PERCENT * scale)), np.exp(logs * np.exp(-_95_PERCENT * scale))
    if survival.size and survival[-1] <= 0.0:
        low[-1], high[-1] = 0.0, high[-2] if survival.size > 1 else 1.0
    return low, high


def _clustered_hazard_error(
    sample: Floats,
    ended: npt.NDArray[np.bool_],
    labels: npt.NDArray[np.generic],
    times: Floats,
    at_risk: Integers,
    events: Integers,
) -> Floats:
    """Error of log S at each time: by cluster, the running sum of (ends - at risk x hazard) / (Y - d)."""
    _, cluster_of = np.unique(labels, return_inverse=True)
    n_clusters, n_times = int(cluster_of.max(initial=-1)) + 1, times.size
    if n_clusters < 2:
        return np.full(n_times, np.nan)
    ends, lasting = np.zeros((n_clusters, n_times)), np.zeros((n_clusters, n_times + 1))
    np.add.at(ends, (cluster_of[ended], np.searchsorted(times, sample[ended])), 1.0)
    np.add.at(lasting, (cluster_of, np.searchsorted(times, sample, side="right")), 1.0)
    risk = lasting[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
    left = np.where(at_risk > events, at_risk - events, np.nan)
    steps = (ends - risk * (events / at_risk)) / left
    squares = (np.cumsum(steps, axis=1) ** 2).sum(axis=0)
    return np.asarray(np.sqrt(n_clusters / (n_clusters - 1) * squares))


def _restrict(sample: Floats, ended: npt.NDArray[np.bool_], horizon: float) -> tuple[float, Floats]:
    """The restricted mean and the influence of each value on it."""
    if not sample.size or (sample.max() < horizon and not ended[sample == sample.max()].all()):
        return float("nan"), np.full(sample.size, np.nan)
    times, at_risk, events = _count(np.minimum(sample, horizon), ended & (sample <= horizon))
    edges = np.concatenate([[0.0], times, [horizon]])
    survival = np.concatenate([[1.0], _product_limit(at_risk, events)])
    areas = survival * np.diff(edges)
    rest = areas[::-1].cumsum()[::-1][1:]
    # Where nobody is left after a time, nothing is left of the integral either.
    weight = np.divide(rest, at_risk - events, out=np.zeros(times.size), where=at_risk > events)
    hazard = np.concatenate([[0.0], np.cumsum(weight * events / at_risk)])
    influence = hazard[np.searchsorted(times, sample, side="right")]
    counted = ended & (sample <= horizon)
    influence[counted] -= weight[np.searchsorted(times, sample[counted])]
    return float(areas.sum()), influence


def _comparable(sample: Floats, ended: npt.NDArray[np.bool_], labels: npt.NDArray[np.generic]) -> bool:
    """Whether something ended while both groups were at risk and more than one value was."""
    first = labels == labels[0]
    until = min(sample[first].max(), sample[~first].max())
    return bool((ended & (sample <= until)).any()) and np.unique(sample).size > 1


def _first(times: Floats, reached: npt.NDArray[np.bool_]) -> float:
    places = np.flatnonzero(reached)
    return float(times[places[0]]) if places.size else float("inf")
