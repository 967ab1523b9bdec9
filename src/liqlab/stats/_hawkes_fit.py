"""Maximum likelihood for Hawkes processes: estimates, standard errors, and the test of one kernel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from liqlab.core.config import bounded, check_bounds
from liqlab.core.errors import ConfigError
from liqlab.stats._hawkes import Floats, HawkesEvents, HawkesParameters, hawkes_log_likelihood

Booleans = npt.NDArray[np.bool_]

#: The lowest constant baseline, as a share of the component's mean rate: every event keeps an intensity above zero.
_LEAST_BASELINE = 1e-6
#: The widest range of a decay around where it starts, as a factor each way.
_DECAY_RANGE = 1e4
#: The step of the numerical Hessian, in units of the scaled parameters.
_STEP = 1e-4
#: The kernel of a start, as a share of each component's rate.
_START_SHARE = 0.4
#: When a climb stops: the relative gain of one iteration.
_COARSE, _FINE = 1e-7, 1e-11
_95_PERCENT = 1.959963984540054


@dataclass(frozen=True)
class HawkesConfig:
    """How a Hawkes process is fitted.

    `n_exponentials` make up each kernel. Their decays belong to the source, or with `shared_decay` to all; with
    `fixed_decay` (k,) they are given, and the log likelihood is concave. `n_starts` decays are tried, a factor
    `start_ratio` apart around the inverse of the median gap between events. A component with fewer than `min_events`
    makes everything NaN.
    """

    n_exponentials: int = bounded(1, 1, 4)
    shared_decay: bool = False
    fixed_decay: tuple[float, ...] | None = None
    n_starts: int = bounded(3, 1, 10)
    start_ratio: float = bounded(10.0, 1.5, 1e3)
    min_events: int = bounded(20, 1, 1_000_000)
    max_iterations: int = bounded(500, 1, 100_000)

    def __post_init__(self) -> None:
        check_bounds(self)
        if self.fixed_decay is not None and not (self.fixed_decay and min(self.fixed_decay) > 0.0):
            raise ConfigError(f"HawkesConfig.fixed_decay must hold numbers above 0, got {self.fixed_decay}")


@dataclass(frozen=True)
class HawkesFit:
    """A fitted Hawkes process; NaN throughout where a component had too few events.

    `standard_errors` come from the inverse observed information, baseline and branching in their own unit; those of
    what was fixed are 0, and all are NaN where the information is not positive definite. A kernel that lies at zero, on
    the border, keeps the error that it would have inside. `kernel_errors` (d, d) are those of the kernel matrix.
    `branching_ratio` is the mean number of direct children per event, `exogenous_frac` the share of events that the
    baseline explains. `is_stationary`: the spectral radius is below 1, else the model is no stationary one at all.
    """

    parameters: HawkesParameters
    standard_errors: HawkesParameters
    kernel_errors: Floats
    log_likelihood: float
    branching_ratio: float
    exogenous_frac: float
    spectral_radius: float
    is_stationary: bool
    converged: bool
    n_events: int
    n_free: int


@dataclass(frozen=True)
class ExcitationTest:
    """Whether events of `source` raise the rate of `target`: likelihood-ratio `statistic` and its `p`."""

    target: int
    source: int
    statistic: float
    p: float
    estimate: float
    ci_low: float
    ci_high: float


def fit_hawkes(
    events: HawkesEvents,
    config: HawkesConfig | None = None,
    excitation: npt.ArrayLike | None = None,
    exposure: npt.ArrayLike | None = None,
) -> HawkesFit:
    """The maximum of `hawkes_log_likelihood` over what the configuration and the two masks leave free.

    L-BFGS-B with the analytic gradient, from several starting decays; the best likelihood goes on to convergence.
    Baseline and branching are in their own unit, bounded below by zero, where the likelihood is concave; decays are in
    logarithms. `excitation` (d, d) says which kernels [target, source] may differ from zero, `exposure` (d, q) which
    covariates of `events.covariates` drive which component; both default to all. A covariate that is zero throughout
    keeps a baseline of zero.
    """
    config = config or HawkesConfig()
    d, q = events.n_components, events.exposure.size
    allowed = np.ones((d, d), bool) if excitation is None else np.asarray(excitation, dtype=bool)
    exposed = np.ones((d, q), bool) if exposure is None else np.asarray(exposure, dtype=bool)
    if allowed.shape != (d, d) or exposed.shape != (d, q):
        raise ValueError(f"excitation and exposure must be {(d, d)} and {(d, q)}, got {allowed.shape}, {exposed.shape}")
    space = _Space(events, config, allowed, exposed)
    if d == 0 or events.counts.min() < config.min_events:
        return _empty_fit(events, space)
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    # On matrices this small several BLAS threads wait for one another: on a busy machine a hundred times as long.
    with threadpool_limits(1, "blas"):
        fits = [space.climb(space.start(), decay, _COARSE) for decay in _start_decays(events, config)]
        best = max(fits, key=lambda fit: fit.log_likelihood)
        return _summarise(events, space, space.climb(best.point, best.decay, _FINE))


def compare_excitation(
    events: HawkesEvents,
    target: int,
    source: int,
    config: HawkesConfig | None = None,
    exposure: npt.ArrayLike | None = None,
    full: HawkesFit | None = None,
) -> ExcitationTest:
    """Test the kernel from `source` to `target`.

    Null hypothesis: branching[target, source] is zero, given every other kernel and the covariates. Alternative: it is
    above zero. Twice the gain in log likelihood; zero is the border of what is allowed, so under the null it is a
    mixture of chi-squares with 0 to k degrees of freedom and binomial weights: Self and Liang (1987), "Asymptotic
    properties of maximum likelihood estimators under nonstandard conditions", J. Am. Stat. Assoc. 82, exact for k = 1.
    The decays stay identified by the source's other kernels. The interval is the kernel plus and minus 1.96 errors,
    cut at zero. `full` is the fit with every kernel, where it is at hand. NaN where the fit is.
    """
    d = events.n_components
    if not (0 <= target < d and 0 <= source < d):
        raise ValueError(f"target and source must lie in 0..{d - 1}, got {target} and {source}")
    without = np.ones((d, d), bool)
    without[target, source] = False
    full = full or fit_hawkes(events, config, None, exposure)
    restricted = fit_hawkes(events, config, without, exposure)
    gain = full.log_likelihood - restricted.log_likelihood
    statistic = max(2.0 * gain, 0.0) if gain == gain else gain
    estimate = float(full.parameters.kernel_matrix[target, source])
    reach = _95_PERCENT * float(full.kernel_errors[target, source])
    return ExcitationTest(
        target=target,
        source=source,
        statistic=statistic,
        p=_mixture_p(statistic, full.parameters.decay.shape[1]),
        estimate=estimate,
        ci_low=estimate - min(reach, estimate) if reach == reach else reach,
        ci_high=estimate + reach,
    )


def _mixture_p(statistic: float, k: int) -> float:
    from scipy.stats import binom, chi2

    if not statistic > 0.0:
        return 1.0 if statistic == 0.0 else float("nan")
    degrees = np.arange(1, k + 1)
    return float((binom.pmf(degrees, k, 0.5) * chi2.sf(statistic, degrees)).sum())


def _start_decays(events: HawkesEvents, config: HawkesConfig) -> Iterator[Floats]:
    """Decays (d, k) to start from: the k of one start are a factor `start_ratio` apart, slower ones last."""
    if config.fixed_decay is not None:
        yield np.tile(np.array(config.fixed_decay, dtype=np.float64), (events.n_components, 1))
        return
    gaps = np.diff(events.times)
    gaps = gaps[(gaps > 0.0) & (np.diff(events.window) == 0)]
    middle = 1.0 / np.median(gaps) if gaps.size else events.times.size / events.exposure[0]
    powers = -np.arange(config.n_exponentials) + (config.n_exponentials - 1) / 2.0
    for start in range(config.n_starts):
        shift = (config.n_starts - 1) / 2.0 - start
        yield np.tile(middle * config.start_ratio ** (shift + powers), (events.n_components, 1))


@dataclass(frozen=True)
class _Climb:
    point: Floats
    decay: Floats
    log_likelihood: float
    converged: bool


class _Space:
    """The free parameters as one vector: baseline in units of the mean rate, branching, logarithms of decays."""

    def __init__(self, events: HawkesEvents, config: HawkesConfig, allowed: Booleans, exposed: Booleans) -> None:
        d, q = events.n_components, events.exposure.size
        self.events, self.config = events, config
        self.k = config.n_exponentials if config.fixed_decay is None else len(config.fixed_decay)
        exposed = exposed & (events.exposure > 0.0)
        rates = np.maximum(events.counts, 1)[:, None] / np.where(events.exposure > 0.0, events.exposure, 1.0)
        self.n_decays = 0 if config.fixed_decay is not None else self.k if config.shared_decay else d * self.k
        self.scale = np.concatenate([rates.ravel(), np.ones(d * d * self.k)])
        self.free = np.concatenate(
            [exposed.ravel(), np.repeat(allowed.ravel(), self.k), np.ones(self.n_decays, dtype=bool)]
        )
        self.n_linear = d * q + d * d * self.k
        low = np.zeros(self.free.size)
        low[: d * q].reshape(d, q)[:, 0] = _LEAST_BASELINE
        low[self.n_linear :] = -np.inf
        self.low = low

    def unpack(self, point: Floats, decay: Floats) -> HawkesParameters:
        """The parameters of a full vector; `decay` (d, k) multiplies what the vector says of decays."""
        d, q = self.events.n_components, self.events.exposure.size
        linear = point[: self.n_linear] * self.scale
        if self.n_decays:
            decay = decay * np.exp(point[self.n_linear :]).reshape(-1, self.k)
        return HawkesParameters(linear[: d * q].reshape(d, q), linear[d * q :].reshape(d, d, self.k), decay)

    def pack_gradient(self, gradient: HawkesParameters, decay: Floats) -> Floats:
        linear = np.concatenate([gradient.baseline.ravel(), gradient.branching.ravel()]) * self.scale
        by_log = gradient.decay * decay
        if self.n_decays == self.k:
            by_log = by_log.sum(axis=0)
        return np.concatenate([linear, by_log.ravel()[: self.n_decays]])

    def loss(self, free_point: Floats, decay: Floats) -> tuple[float, Floats]:
        """Minus the log likelihood per event, and its gradient, at the free parameters."""
        parameters = self.unpack(self.fill(free_point), decay)
        value, gradient = hawkes_log_likelihood(self.events, parameters)
        slope = self.pack_gradient(gradient, parameters.decay)[self.free]
        return -value / self.events.times.size, -slope / self.events.times.size

    def fill(self, free_point: Floats) -> Floats:
        point = np.zeros(self.free.size)
        point[self.free] = free_point
        return point

    def start(self) -> Floats:
        """A moderate kernel for every pair, the rest from the covariates in equal shares."""
        d, q = self.events.n_components, self.events.exposure.size
        point = np.zeros(self.free.size)
        point[: d * q] = (1.0 - _START_SHARE) / q
        point[d * q : self.n_linear] = _START_SHARE / (d * self.k)
        return np.asarray(point[self.free])

    def climb(self, point: Floats, decay: Floats, tolerance: float) -> _Climb:
        """The best free parameters in reach of `point`, all relative to `decay`."""
        from scipy.optimize import minimize

        reach = np.log(_DECAY_RANGE)
        bounds = [(low, None) if np.isfinite(low) else (-reach, reach) for low in self.low[self.free]]
        found = minimize(
            self.loss, point, args=(decay,), jac=True, method="L-BFGS-B", bounds=bounds,
            options={"maxiter": self.config.max_iterations, "ftol": tolerance, "gtol": 1e-7, "maxcor": 30},
        )  # fmt: skip
        value = -float(found.fun) * self.events.times.size
        return _Climb(np.asarray(found.x), decay, value, bool(found.success))

    def information(self, free_point: Floats, decay: Floats) -> Floats:
        """The observed information by differences of the gradient, forward where a step back would leave the bounds."""
        low = self.low[self.free]
        n = self.events.times.size
        rows = np.empty((free_point.size, free_point.size))
        here = self.loss(free_point, decay)[1]
        for place in range(free_point.size):
            step = np.zeros(free_point.size)
            step[place] = _STEP
            ahead = self.loss(free_point + step, decay)[1]
            if free_point[place] - _STEP >= low[place]:
                rows[place] = (ahead - self.loss(free_point - step, decay)[1]) / (2.0 * _STEP)
            else:
                rows[place] = (4.0 * ahead - 3.0 * here - self.loss(free_point + 2.0 * step, decay)[1]) / (2.0 * _STEP)
        return n * (rows + rows.T) / 2.0

    def covariance(self, free_point: Floats, decay: Floats) -> Floats:
        """Of the full scaled vector. What the data say nothing about (decays without a kernel) counts as fixed."""
        information = self.information(free_point, decay)
        full = np.full((self.free.size, self.free.size), np.nan)
        if not np.isfinite(information).all():
            return full
        known = np.diag(information) > 1e-7 * max(float(np.diag(information).max()), 0.0)
        try:
            np.linalg.cholesky(information[np.ix_(known, known)])
        except np.linalg.LinAlgError:
            return full
        places = np.flatnonzero(self.free)[known]
        full[:] = 0.0
        full[np.ix_(places, places)] = np.linalg.inv(information[np.ix_(known, known)])
        return full


def _summarise(events: HawkesEvents, space: _Space, climb: _Climb) -> HawkesFit:
    d, q, k = events.n_components, events.exposure.size, space.k
    parameters = space.unpack(space.fill(climb.point), climb.decay)
    covariance = space.covariance(climb.point, climb.decay)
    errors = np.sqrt(np.diag(covariance))
    block = covariance[d * q : space.n_linear, d * q : space.n_linear].reshape(d * d, k, d * d, k)
    kernel_variance = np.diag(block.sum(axis=(1, 3))).reshape(d, d)
    by_log = errors[space.n_linear :].reshape(-1, k) if space.n_decays else np.zeros((1, k))
    linear = errors[: space.n_linear] * space.scale
    children = parameters.kernel_matrix.sum(axis=0)
    radius = parameters.spectral_radius
    return HawkesFit(
        parameters=parameters,
        standard_errors=HawkesParameters(
            linear[: d * q].reshape(d, q), linear[d * q :].reshape(d, d, k), parameters.decay * by_log
        ),
        kernel_errors=np.sqrt(np.maximum(kernel_variance, 0.0)),
        log_likelihood=climb.log_likelihood,
        branching_ratio=float(children @ events.counts / events.times.size),
        exogenous_frac=float((parameters.baseline @ events.exposure).sum() / events.times.size),
        spectral_radius=radius,
        is_stationary=radius < 1.0,
        converged=climb.converged,
        n_events=events.times.size,
        n_free=int(space.free.sum()),
    )


def _empty_fit(events: HawkesEvents, space: _Space) -> HawkesFit:
    d, q = events.n_components, events.exposure.size
    nothing = HawkesParameters(*(np.full(shape, np.nan) for shape in ((d, q), (d, d, space.k), (d, space.k))))
    nan = float("nan")
    return HawkesFit(
        parameters=nothing,
        standard_errors=nothing,
        kernel_errors=np.full((d, d), nan),
        log_likelihood=nan,
        branching_ratio=nan,
        exogenous_frac=nan,
        spectral_radius=nan,
        is_stationary=False,
        converged=False,
        n_events=events.times.size,
        n_free=int(space.free.sum()),
    )
