"""Hawkes processes: events that raise the rate of later events, beside what drives all of them from outside.

The model, its likelihood and its check. With components i, j, exponentials k and piecewise-constant covariates z_q >= 0
(z_0 = 1) the intensity of component i is

    lambda_i(t) = sum_q m_iq z_q(t) + sum_jk n_ijk b_jk sum over events u < t of j of exp(-b_jk (t - u))

with m the `baseline`, n the `branching` (the expected direct children in i of one event in j) and b the `decay`; the
usual alpha is n b. Hawkes (1971), "Spectra of some self-exciting and mutually exciting point processes", Biometrika 58.

Events with one time, whatever their components, are a batch: they do not excite one another, and each counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def _compiled(function: Function) -> Function:
    """`function` compiled at its first call, cached on disk, run without the interpreter lock."""
    compiled: Function = njit(cache=True, nogil=True)(function)
    return compiled


@dataclass(frozen=True)
class HawkesEvents:
    """The events of d components within covered windows, and the covariates at them; made by `prepare_hawkes`.

    `times` (n,) ascending, `components` (n,) and `window` (n,) the numbers of component and window, `window_ends` (w,),
    `covariates` (n, q) at the events, `exposure_before` (n, q) the integral of each covariate over the covered time
    before the event, `exposure` (q,) over all of it. Column 0 is the constant 1, so exposure[0] is the covered time.
    """

    n_components: int
    times: Floats
    components: Integers
    window: Integers
    window_ends: Floats
    covariates: Floats
    exposure_before: Floats
    exposure: Floats

    @property
    def counts(self) -> Integers:
        """Events of each component, (d,)."""
        return np.bincount(self.components, minlength=self.n_components)

    @property
    def tied_frac(self) -> float:
        """The share of events that are not the first at their time; NaN without events."""
        if not self.times.size:
            return float("nan")
        same = (np.diff(self.times) == 0.0) & (np.diff(self.window) == 0)
        return float(same.sum() / self.times.size)


@dataclass(frozen=True)
class HawkesParameters:
    """`baseline` (d, q) events per time and unit of covariate, `branching` (d, d, k) children, `decay` (d, k) per time.

    branching[i, j, k] belongs to the target i and the source j; decay[j, k] to the source. `fit_hawkes` uses the same
    shapes for standard errors, `hawkes_log_likelihood` for a gradient.
    """

    baseline: Floats
    branching: Floats
    decay: Floats

    @property
    def kernel_matrix(self) -> Floats:
        """(d, d): the expected direct children in the row's component of one event in the column's."""
        return np.asarray(self.branching.sum(axis=2))

    @property
    def spectral_radius(self) -> float:
        """The largest absolute eigenvalue of the kernel matrix; below 1 the process is stationary. NaN for NaN."""
        matrix = self.kernel_matrix
        return float(np.abs(np.linalg.eigvals(matrix)).max()) if np.isfinite(matrix).all() else float("nan")


@dataclass(frozen=True)
class HawkesCheck:
    """Goodness of fit by time rescaling; arrays of one number per component, NaN below 20 gaps.

    Null hypothesis: the events come from the given intensity, so that the `gaps` of each component's compensator are
    independent Exponential(1). `ks_p` is that of Kolmogorov and Smirnov for their distribution, `ljung_box_p` for
    their autocorrelation (alternatives: another distribution; dependence). With parameters fitted to the same events
    both are somewhat too large; ties are gaps of length zero, which the first test counts against the model.
    """

    gaps: tuple[Floats, ...]
    ks_statistic: Floats
    ks_p: Floats
    ljung_box_statistic: Floats
    ljung_box_p: Floats
    n_lags: int


def prepare_hawkes(
    times: Sequence[npt.ArrayLike],
    windows: npt.ArrayLike,
    covariates: npt.ArrayLike | None = None,
    step: float | None = None,
) -> HawkesEvents:
    """Merge the event times of d components, in any order, into the input of the other functions.

    `windows` (w, 2) are the covered intervals [start, end], ascending and disjoint, in the unit of `times`: events
    outside are left out, and each window starts anew, without memory of what happened before it. `covariates` (c, q)
    are non-negative values on cells of width `step` from the first window's start; a value is in force during its
    cell, so for nothing to look ahead it must be known at the cell's start. Cells must reach the last window's end.
    NaN, negative covariates, and windows that overlap or are empty are a ValueError.
    """
    spans = _check_windows(windows)
    table, edges = _grid(covariates, step, spans)
    lists = [np.asarray(part, dtype=np.float64).ravel() for part in times]
    merged = np.concatenate(lists) if lists else np.empty(0)
    if not np.isfinite(merged).all():
        raise ValueError("times must be finite")
    components = np.repeat(np.arange(len(lists)), [part.size for part in lists])
    order = np.lexsort((components, merged))
    merged, components = merged[order], components[order]
    window = np.searchsorted(spans[:, 0], merged, side="right") - 1
    inside = (window >= 0) & (merged <= spans[window, 1])
    merged, components, window = merged[inside], components[inside], window[inside]
    knots, cumulated = _cumulate(table, edges, spans)
    cell = np.clip(np.searchsorted(edges, merged, side="right") - 1, 0, len(table) - 1)
    before = np.column_stack([np.interp(merged, knots, column) for column in cumulated.T])
    return HawkesEvents(
        len(lists), merged, components, window, spans[:, 1].copy(), table[cell], before, cumulated[-1].copy()
    )


def hawkes_log_likelihood(events: HawkesEvents, parameters: HawkesParameters) -> tuple[float, HawkesParameters]:
    """The log likelihood and its gradient by baseline, branching and decay.

    sum over events of log lambda_i(t) - sum_i integral of lambda_i over the windows: Ozaki (1979), "Maximum likelihood
    estimation of Hawkes' self-exciting point processes", Ann. Inst. Statist. Math. 31, whose recursion makes it linear
    in the number of events. Minus infinity, with a gradient of NaN, where some event has no intensity above zero.
    """
    baseline, branching, decay = parameters.baseline, parameters.branching, parameters.decay
    _check_shapes(events, parameters)
    gradient = HawkesParameters(np.zeros(baseline.shape), np.zeros(branching.shape), np.zeros(decay.shape))
    logs, finished, lagged = _sum_logs(
        events.times, events.components, events.window, events.window_ends, events.covariates,
        np.ascontiguousarray(baseline), np.ascontiguousarray(branching), np.ascontiguousarray(decay),
        gradient.baseline, gradient.branching, gradient.decay,
    )  # fmt: skip
    if logs == -np.inf:
        return -np.inf, HawkesParameters(*(np.full(part.shape, np.nan) for part in (baseline, branching, decay)))
    children = branching.sum(axis=0)
    value = logs - float((baseline @ events.exposure).sum() + (children * finished).sum())
    return value, HawkesParameters(
        gradient.baseline - events.exposure, gradient.branching - finished, gradient.decay - children * lagged
    )


def diagnose_hawkes(events: HawkesEvents, parameters: HawkesParameters, n_lags: int = 20) -> HawkesCheck:
    """Test the parameters on the events by time rescaling.

    The integral of a component's true intensity between its successive events is Exponential(1), independently:
    Papangelou (1972); Brown et al. (2002), "The time-rescaling theorem and its application to neural spike train data
    analysis", Neural Computation 14. The first gap runs from the start of the first window; uncovered time counts
    nothing. Ljung and Box (1978) with `n_lags` lags, a chi-square with as many degrees of freedom.
    """
    from scipy.stats import chi2, kstest

    _check_shapes(events, parameters)
    excited = _compensate(
        events.times, events.components, events.window, events.window_ends,
        np.ascontiguousarray(parameters.branching), np.ascontiguousarray(parameters.decay),
    )  # fmt: skip
    total = (parameters.baseline[events.components] * events.exposure_before).sum(axis=1) + excited
    gaps = tuple(np.diff(total[events.components == i], prepend=0.0) for i in range(events.n_components))
    found = np.full((4, events.n_components), np.nan)
    for i, sample in enumerate(gaps):
        if sample.size >= max(20, n_lags + 2) and np.isfinite(sample).all():
            test = kstest(sample, "expon")
            statistic = _ljung_box(sample, n_lags)
            found[:, i] = test.statistic, test.pvalue, statistic, chi2.sf(statistic, n_lags)
    return HawkesCheck(gaps, found[0], found[1], found[2], found[3], n_lags)


def _check_windows(windows: npt.ArrayLike) -> Floats:
    spans = np.asarray(windows, dtype=np.float64)
    if spans.ndim != 2 or spans.shape[1] != 2 or not len(spans):
        raise ValueError(f"windows must have shape (w, 2) with w of at least 1, got {spans.shape}")
    # Written so that NaN fails too.
    if not ((spans[:, 1] > spans[:, 0]).all() and (spans[1:, 0] >= spans[:-1, 1]).all()):
        raise ValueError("windows must be ascending, disjoint and longer than zero")
    return spans


def _grid(covariates: npt.ArrayLike | None, step: float | None, spans: Floats) -> tuple[Floats, Floats]:
    """The covariates with the constant in front, (c, 1 + q), and the edges of their cells, (c + 1,)."""
    start, end = spans[0, 0], spans[-1, 1]
    if covariates is None:
        return np.ones((1, 1)), np.array([start, end])
    table = np.asarray(covariates, dtype=np.float64)
    if table.ndim != 2 or step is None or not step > 0.0:
        raise ValueError(f"covariates must have shape (c, q) and come with a step above 0, got {table.shape}, {step}")
    if not (table >= 0.0).all() or np.isinf(table).any():
        raise ValueError("covariates must be finite and not negative")
    edges = start + step * np.arange(len(table) + 1)
    if edges[-1] < end - 1e-9 * step:
        raise ValueError(f"covariates reach {edges[-1]:g}, the last window {end:g}")
    return np.column_stack([np.ones(len(table)), table]), edges


def _cumulate(table: Floats, edges: Floats, spans: Floats) -> tuple[Floats, Floats]:
    """Knots between which everything is constant, and the integral of the covariates over covered time up to each."""
    knots = np.unique(np.concatenate([np.clip(edges, spans[0, 0], spans[-1, 1]), spans.ravel()]))
    middles = (knots[1:] + knots[:-1]) / 2.0
    covered = middles < spans[np.searchsorted(spans[:, 0], middles, side="right") - 1, 1]
    cell = np.clip(np.searchsorted(edges, middles, side="right") - 1, 0, len(table) - 1)
    pieces = table[cell] * (np.diff(knots) * covered)[:, None]
    return knots, np.vstack([np.zeros(table.shape[1]), np.cumsum(pieces, axis=0)])


def _check_shapes(events: HawkesEvents, parameters: HawkesParameters) -> None:
    d, q, k = events.n_components, events.exposure.size, parameters.decay.shape[-1]
    shapes = (parameters.baseline.shape, parameters.branching.shape, parameters.decay.shape)
    if shapes != ((d, q), (d, d, k), (d, k)):
        raise ValueError(
            f"baseline, branching and decay must have shapes {(d, q)}, {(d, d, k)}, {(d, k)}, got {shapes}"
        )


def _ljung_box(sample: Floats, n_lags: int) -> float:
    deviations = sample - sample.mean()
    lags = np.arange(1, n_lags + 1)
    squares = np.array([float(deviations[lag:] @ deviations[:-lag]) for lag in lags]) / float(deviations @ deviations)
    return float(sample.size * (sample.size + 2) * (squares**2 / (sample.size - lags)).sum())


@_compiled
def _advance(gap: float, decay: Any, pending: Any, count: Any, recent: Any, delay: Any) -> None:
    """Let the time `gap` pass. recent = sum of exp(-b age), delay = sum of age exp(-b age), over the events before."""
    for j in range(decay.shape[0]):
        for k in range(decay.shape[1]):
            kept = np.exp(-decay[j, k] * gap)
            recent[j, k] += pending[j]
            delay[j, k] = kept * (delay[j, k] + gap * recent[j, k])
            recent[j, k] *= kept
        count[j] += pending[j]
        pending[j] = 0.0


@_compiled
def _sum_logs(
    times: Any, components: Any, window: Any, ends: Any, covariates: Any, baseline: Any, branching: Any, decay: Any,
    baseline_slope: Any, branching_slope: Any, decay_slope: Any,
) -> Any:  # fmt: skip
    """Sum of log intensities, whose derivatives are added to the slopes; and what the integrals need.

    `finished` is the sum over events of 1 - exp(-b age) at the end of their window, `lagged` that of age exp(-b age).
    """
    shape = decay.shape
    pending, count, recent, delay = np.zeros(shape[0]), np.zeros(shape[0]), np.zeros(shape), np.zeros(shape)
    finished, lagged, total = np.zeros(shape), np.zeros(shape), 0.0
    for event in range(len(times)):
        i = components[event]
        if event > 0 and window[event] != window[event - 1]:
            _advance(ends[window[event - 1]] - times[event - 1], decay, pending, count, recent, delay)
            finished -= recent
            lagged += delay
            recent[:], delay[:] = 0.0, 0.0
        elif event > 0 and times[event] > times[event - 1]:
            _advance(times[event] - times[event - 1], decay, pending, count, recent, delay)
        rate = 0.0
        for q in range(baseline.shape[1]):
            rate += baseline[i, q] * covariates[event, q]
        for j in range(shape[0]):
            for k in range(shape[1]):
                rate += branching[i, j, k] * decay[j, k] * recent[j, k]
        if not rate > 0.0:
            return -np.inf, finished, lagged
        total += np.log(rate)
        weight = 1.0 / rate
        for q in range(baseline.shape[1]):
            baseline_slope[i, q] += covariates[event, q] * weight
        for j in range(shape[0]):
            for k in range(shape[1]):
                branching_slope[i, j, k] += decay[j, k] * recent[j, k] * weight
                decay_slope[j, k] += branching[i, j, k] * (recent[j, k] - decay[j, k] * delay[j, k]) * weight
        pending[i] += 1.0
    if len(times) > 0:
        _advance(ends[window[-1]] - times[-1], decay, pending, count, recent, delay)
    for j in range(shape[0]):
        for k in range(shape[1]):
            finished[j, k] += count[j] - recent[j, k]
            lagged[j, k] += delay[j, k]
    return total, finished, lagged


@_compiled
def _compensate(times: Any, components: Any, window: Any, ends: Any, branching: Any, decay: Any) -> Any:
    """What the kernels add to the integrated intensity of each event's component, from the beginning to that event."""
    shape = decay.shape
    pending, count, recent, delay = np.zeros(shape[0]), np.zeros(shape[0]), np.zeros(shape), np.zeros(shape)
    unfinished, result = np.zeros(shape), np.empty(len(times))
    for event in range(len(times)):
        i = components[event]
        if event > 0 and window[event] != window[event - 1]:
            _advance(ends[window[event - 1]] - times[event - 1], decay, pending, count, recent, delay)
            unfinished += recent
            recent[:], delay[:] = 0.0, 0.0
        elif event > 0 and times[event] > times[event - 1]:
            _advance(times[event] - times[event - 1], decay, pending, count, recent, delay)
        total = 0.0
        for j in range(shape[0]):
            for k in range(shape[1]):
                total += branching[i, j, k] * (count[j] - unfinished[j, k] - recent[j, k])
        result[event] = total
        pending[i] += 1.0
    return result
