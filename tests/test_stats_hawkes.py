"""Hawkes processes: likelihood against sums over all pairs, recovery of what was simulated, what must not be found."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from scipy.optimize import approx_fprime

from liqlab.core.errors import ConfigError
from liqlab.stats import (
    HawkesConfig,
    HawkesEvents,
    HawkesParameters,
    compare_excitation,
    diagnose_hawkes,
    fit_hawkes,
    hawkes_log_likelihood,
    prepare_hawkes,
)

Floats = npt.NDArray[np.float64]
ONE_WAY = HawkesParameters(
    np.array([[0.2], [0.1]]), np.array([[[0.5], [0.0]], [[0.3], [0.2]]]), np.array([[2.0], [0.5]])
)


def make_parameters(baseline: object, branching: object, decay: object) -> HawkesParameters:
    return HawkesParameters(*(np.asarray(part, dtype=np.float64) for part in (baseline, branching, decay)))


def simulate_branching(
    random: np.random.Generator, immigrants: list[Floats], branching: Floats, decay: Floats, end: float
) -> list[Floats]:
    """Every immigrant has its children, these theirs, and so on: Hawkes and Oakes (1974). One exponential."""
    found: list[list[float]] = [[] for _ in immigrants]
    waiting = [(float(time), source) for source, times in enumerate(immigrants) for time in times]
    while waiting:
        time, source = waiting.pop()
        found[source].append(time)
        for target in range(len(immigrants)):
            for _ in range(random.poisson(branching[target, source, 0])):
                child = time + random.exponential(1.0 / decay[source, 0])
                if child < end:
                    waiting.append((child, target))
    return [np.array(sorted(times)) for times in found]


def simulate_hawkes(random: np.random.Generator, parameters: HawkesParameters, end: float) -> list[Floats]:
    rates = parameters.baseline[:, 0]
    immigrants = [random.uniform(0.0, end, random.poisson(rate * end)) for rate in rates]
    return simulate_branching(random, immigrants, parameters.branching, parameters.decay, end)


def simulate_by_covariate(random: np.random.Generator, covariate: Floats, step: float, rate: float) -> Floats:
    counts = random.poisson(rate * covariate * step)
    return np.repeat(np.arange(covariate.size) * step, counts) + random.uniform(0.0, step, counts.sum())


def slow_intensity(
    lists: list[list[float]], i: int, time: float, baseline: Floats, covariates: Floats, parameters: HawkesParameters
) -> float:
    """The formula of the model, over every earlier event."""
    total = float(baseline[i] @ covariates)
    for j, times in enumerate(lists):
        for u in times:
            if u < time:
                for k in range(parameters.decay.shape[1]):
                    b = parameters.decay[j, k]
                    total += parameters.branching[i, j, k] * b * math.exp(-b * (time - u))
    return total


def slow_log_likelihood(
    lists: list[list[float]],
    windows: list[tuple[float, float]],
    parameters: HawkesParameters,
    covariate: Callable[[float], Floats] = lambda _: np.array([1.0]),
    exposure: Floats | None = None,
) -> float:
    """Every pair of events, window by window; `exposure` is the integral of the covariates over all windows."""
    if exposure is None:
        exposure = np.array([sum(end - start for start, end in windows)])
    total = -float((parameters.baseline @ exposure).sum())
    for start, end in windows:
        inside = [[t for t in times if start <= t <= end] for times in lists]
        for i, times in enumerate(inside):
            for time in times:
                total += math.log(slow_intensity(inside, i, time, parameters.baseline, covariate(time), parameters))
        for j, times in enumerate(inside):
            for u in times:
                for k in range(parameters.decay.shape[1]):
                    children = parameters.branching[:, j, k].sum()
                    total -= children * (1.0 - math.exp(-parameters.decay[j, k] * (end - u)))
    return total


def test_the_reference_likelihood() -> None:
    """alpha .6 and beta 1.2 are half a child per event: recomputed independently."""
    events = prepare_hawkes([[1.0, 2.0, 3.0]], [[0.0, 4.0]])
    value, _ = hawkes_log_likelihood(events, make_parameters([[0.5]], [[[0.6 / 1.2]]], [[1.2]]))
    assert value == pytest.approx(-4.675822948804586, rel=1e-14)


def test_the_reference_process_has_mean_cluster_two_and_rate_one() -> None:
    """mu .5, alpha 1, beta 2: branching ratio .5, so 1 / (1 - .5) events per immigrant."""
    parameters = make_parameters([[0.5]], [[[0.5]]], [[2.0]])
    assert parameters.spectral_radius == 0.5
    random = np.random.default_rng(8)
    (times,) = simulate_hawkes(random, parameters, 20_000.0)
    assert times.size / 20_000.0 == pytest.approx(1.0, abs=0.05)
    fit = fit_hawkes(prepare_hawkes([times], [[0.0, 20_000.0]]))
    assert fit.branching_ratio == pytest.approx(0.5, abs=3.0 * fit.kernel_errors[0, 0])
    assert fit.exogenous_frac == pytest.approx(0.5, abs=0.05)
    assert fit.is_stationary


EVENT_LISTS = st.lists(
    st.lists(st.integers(0, 40).map(lambda n: n / 4.0), max_size=12).map(sorted), min_size=1, max_size=3
)


@settings(max_examples=60, deadline=None)
@given(EVENT_LISTS, st.integers(1, 2), st.integers(0, 2**31), st.booleans())
def test_the_recursion_is_the_sum_over_all_pairs(lists: list[list[float]], k: int, seed: int, cut: bool) -> None:
    """Times on a coarse grid, so that many coincide; one window or three, one of them without neighbours."""
    random, d = np.random.default_rng(seed), len(lists)
    parameters = make_parameters(
        random.uniform(0.1, 1.0, (d, 1)), random.uniform(0.0, 0.9, (d, d, k)), random.uniform(0.1, 5.0, (d, k))
    )
    windows = [(0.0, 3.1), (3.1, 5.05), (7.0, 10.0)] if cut else [(0.0, 10.0)]
    value, _ = hawkes_log_likelihood(prepare_hawkes(lists, windows), parameters)
    assert value == pytest.approx(slow_log_likelihood(lists, windows, parameters), rel=1e-10, abs=1e-10)


def test_covariates_and_windows_enter_the_integral_as_they_stand() -> None:
    lists, windows = [[0.5, 1.5, 4.0, 6.0], [2.5, 6.5]], [(0.0, 3.0), (3.5, 7.0)]
    grid = np.array([[1.0, 0.0], [2.0, 3.0], [0.5, 0.5], [4.0, 1.0]])  # cells of two units from 0
    parameters = make_parameters([[0.3, 0.2, 0.1], [0.1, 0.4, 0.2]], [[[0.4], [0.2]], [[0.1], [0.3]]], [[1.0], [2.0]])
    # Covered: 2 units of cell 0, 1 + 0.5 of cell 1, 2 of cell 2, 1 of cell 3.
    exposure = np.array([6.5, 1 * 2 + 2 * 1.5 + 0.5 * 2 + 4, 0 + 3 * 1.5 + 0.5 * 2 + 1])
    expected = slow_log_likelihood(
        lists, windows, parameters, lambda time: np.array([1.0, *grid[int(time // 2)]]), exposure
    )
    events = prepare_hawkes(lists, windows, grid, 2.0)
    assert events.exposure == pytest.approx(exposure)
    assert hawkes_log_likelihood(events, parameters)[0] == pytest.approx(expected, rel=1e-12)


def test_the_gradient_is_that_of_the_value() -> None:
    random = np.random.default_rng(4)
    lists = [np.sort(random.uniform(0.0, 50.0, 30)), np.sort(random.integers(0, 50, 20).astype(float))]
    events = prepare_hawkes(lists, [[0.0, 20.0], [21.0, 50.0]], random.uniform(0.0, 2.0, (50, 1)), 1.0)
    shapes = ((2, 2), (2, 2, 2), (2, 2))
    sizes = np.cumsum([math.prod(shape) for shape in shapes])[:-1]

    def unpack(point: Floats) -> HawkesParameters:
        return make_parameters(
            *(part.reshape(shape) for part, shape in zip(np.split(point, sizes), shapes, strict=True))
        )

    point = random.uniform(0.2, 1.0, 16)
    _, gradient = hawkes_log_likelihood(events, unpack(point))
    found = np.concatenate([part.ravel() for part in (gradient.baseline, gradient.branching, gradient.decay)])
    numerical = approx_fprime(point, lambda x: hawkes_log_likelihood(events, unpack(x))[0], 1e-7)
    assert found == pytest.approx(numerical, rel=1e-4, abs=1e-3)


def test_events_of_one_batch_do_not_excite_one_another() -> None:
    parameters = make_parameters([[0.5]], [[[0.8]]], [[1.0]])
    value, _ = hawkes_log_likelihood(prepare_hawkes([[1.0, 1.0, 1.0]], [[0.0, 2.0]]), parameters)
    assert value == pytest.approx(3 * math.log(0.5) - 1.0 - 3 * 0.8 * (1.0 - math.exp(-1.0)))
    assert prepare_hawkes([[1.0, 1.0, 1.5, 1.5]], [[0.0, 2.0]]).tied_frac == 0.5


def test_the_order_of_events_is_nothing_and_events_outside_the_windows_are_left_out() -> None:
    random = np.random.default_rng(2)
    times = random.uniform(0.0, 30.0, 40)
    kept = times[(times >= 5.0) & (times <= 25.0)]
    one, other = prepare_hawkes([times], [[5.0, 25.0]]), prepare_hawkes([np.sort(kept)], [[5.0, 25.0]])
    parameters = make_parameters([[0.5]], [[[0.3]]], [[1.0]])
    assert hawkes_log_likelihood(one, parameters)[0] == hawkes_log_likelihood(other, parameters)[0]
    assert one.counts.tolist() == [kept.size]


def test_without_intensity_the_likelihood_is_minus_infinity() -> None:
    value, gradient = hawkes_log_likelihood(
        prepare_hawkes([[1.0]], [[0.0, 2.0]]), make_parameters([[0.0]], [[[0.5]]], [[1.0]])
    )
    assert value == -math.inf
    assert np.isnan(gradient.baseline).all()


@pytest.fixture(scope="module")
def one_way() -> HawkesEvents:
    """Component 0 excites both; component 1 excites itself alone."""
    times = simulate_hawkes(np.random.default_rng(17), ONE_WAY, 12_000.0)
    return prepare_hawkes(times, [[0.0, 12_000.0]])


def test_a_one_way_process_is_recovered(one_way: HawkesEvents) -> None:
    fit = fit_hawkes(one_way)
    assert fit.converged
    for found, errors, truth in (
        (fit.parameters.baseline, fit.standard_errors.baseline, ONE_WAY.baseline),
        (fit.parameters.branching, fit.standard_errors.branching, ONE_WAY.branching),
        (fit.parameters.decay, fit.standard_errors.decay, ONE_WAY.decay),
    ):
        assert (errors > 0.0).all()
        assert (np.abs(found - truth) < 3.0 * errors).all()
    assert (fit.kernel_errors < 0.05).all()
    assert fit.spectral_radius == pytest.approx(0.5, abs=0.06)


def test_the_direction_of_excitation_is_told_apart(one_way: HawkesEvents) -> None:
    full = fit_hawkes(one_way)
    there, back = compare_excitation(one_way, 1, 0, full=full), compare_excitation(one_way, 0, 1, full=full)
    assert there.p < 1e-10
    assert there.ci_low > 0.2
    assert back.p > 0.05
    assert back.ci_low == 0.0
    assert back.ci_high < 0.1
    assert compare_excitation(one_way, 1, 0).statistic == there.statistic


def test_a_kernel_that_is_masked_stays_zero(one_way: HawkesEvents) -> None:
    fit = fit_hawkes(one_way, excitation=[[True, False], [False, True]])
    assert fit.parameters.kernel_matrix[0, 1] == fit.parameters.kernel_matrix[1, 0] == 0.0
    assert fit.kernel_errors[0, 1] == 0.0
    assert fit.log_likelihood < fit_hawkes(one_way).log_likelihood - 100.0


def test_given_decays_are_kept_and_two_exponentials_gain_nothing_where_one_is_true(one_way: HawkesEvents) -> None:
    fixed = fit_hawkes(one_way, HawkesConfig(fixed_decay=(2.0, 0.5)))
    assert fixed.parameters.decay.tolist() == [[2.0, 0.5], [2.0, 0.5]]
    assert fixed.parameters.kernel_matrix == pytest.approx(ONE_WAY.kernel_matrix, abs=0.08)
    two = fit_hawkes(one_way, HawkesConfig(n_exponentials=2, shared_decay=True))
    assert np.array_equal(two.parameters.decay[0], two.parameters.decay[1])
    assert two.log_likelihood >= fixed.log_likelihood - 1e-6


def test_time_rescaling_accepts_the_truth_and_rejects_a_poisson_process(one_way: HawkesEvents) -> None:
    true = diagnose_hawkes(one_way, ONE_WAY)
    assert (true.ks_p > 0.01).all()
    assert (true.ljung_box_p > 0.01).all()
    assert [gaps.size for gaps in true.gaps] == one_way.counts.tolist()
    rates = (one_way.counts / 12_000.0)[:, None]
    flat = diagnose_hawkes(one_way, make_parameters(rates, np.zeros((2, 2, 1)), np.ones((2, 1))))
    assert (flat.ks_p < 1e-6).all()
    assert flat.ljung_box_p[0] < 1e-4


def test_the_gaps_are_integrals_of_the_intensity() -> None:
    lists, windows = [[0.5, 1.5, 1.5, 4.0], [1.0, 4.5]], [(0.0, 2.0), (3.0, 5.0)]
    grid = np.array([[1.0], [0.2], [3.0], [0.5], [2.0]])
    parameters = make_parameters([[0.3, 0.2], [0.1, 0.4]], [[[0.4], [0.2]], [[0.1], [0.3]]], [[1.0], [2.0]])
    gaps = diagnose_hawkes(prepare_hawkes(lists, windows, grid, 1.0), parameters).gaps
    middles = (np.arange(50_000) + 0.5) / 10_000
    for i, times in enumerate(lists):
        rates = np.zeros(middles.size)
        for start, end in windows:
            inside = [[t for t in part if start <= t <= end] for part in lists]
            for place in np.flatnonzero((middles > start) & (middles < end)):
                x = np.array([1.0, grid[int(middles[place]), 0]])
                if place % 20 == 10:  # every twentieth is fine enough, and weighs twenty
                    rates[place] = 20 * slow_intensity(inside, i, middles[place], parameters.baseline, x, parameters)
        sums = np.array([rates[middles < time].sum() / 10_000 for time in times])
        assert gaps[i] == pytest.approx(np.diff(sums, prepend=0.0), abs=2e-3)


def test_a_shared_covariate_looks_like_contagion_until_it_is_given() -> None:
    random = np.random.default_rng(23)
    covariate = np.exp(1.2 * np.convolve(random.standard_normal(400), np.ones(5) / math.sqrt(5.0), "same"))
    times = [simulate_by_covariate(random, covariate, 40.0, 0.2) for _ in range(2)]
    without = fit_hawkes(prepare_hawkes(times, [[0.0, 16_000.0]]))
    given = fit_hawkes(prepare_hawkes(times, [[0.0, 16_000.0]], covariate[:, None], 40.0))
    assert without.parameters.kernel_matrix.min() > 0.25
    assert without.spectral_radius > 0.7
    assert (given.parameters.kernel_matrix < 3.0 * given.kernel_errors).all()
    assert given.spectral_radius < 0.15
    assert given.exogenous_frac > 0.9
    assert given.parameters.baseline[:, 1] == pytest.approx(0.2, abs=0.03)


def test_the_test_of_a_kernel_keeps_its_size() -> None:
    """Two processes that excite only themselves: p at or below .05 in about one of twenty."""
    random = np.random.default_rng(31)
    truth = make_parameters([[0.4], [0.4]], [[[0.3], [0.0]], [[0.0], [0.3]]], [[1.0], [1.0]])
    config = HawkesConfig(n_starts=1)
    rejected = 0
    for _ in range(60):
        events = prepare_hawkes(simulate_hawkes(random, truth, 500.0), [[0.0, 500.0]])
        rejected += compare_excitation(events, 1, 0, config).p <= 0.05
    assert rejected <= scipy_stats.binom.ppf(0.999, 60, 0.05)


def test_no_dependence_gives_a_kernel_of_zero_within_its_error() -> None:
    times = np.random.default_rng(6).uniform(0.0, 2_000.0, 800)
    fit = fit_hawkes(prepare_hawkes([times], [[0.0, 2_000.0]]))
    assert fit.branching_ratio < 0.1
    assert fit.is_stationary


def test_two_fits_of_the_same_events_are_the_same_to_the_bit(one_way: HawkesEvents) -> None:
    one, other = fit_hawkes(one_way), fit_hawkes(one_way)
    assert one.log_likelihood == other.log_likelihood
    assert np.array_equal(one.parameters.branching, other.parameters.branching)
    assert np.array_equal(one.standard_errors.decay, other.standard_errors.decay)


@pytest.mark.parametrize("times", [[[], []], [[1.0, 2.0], np.linspace(0.1, 9.9, 50)]])
def test_a_component_with_too_few_events_makes_everything_nan(times: list[list[float]]) -> None:
    events = prepare_hawkes(times, [[0.0, 10.0]])
    fit = fit_hawkes(events)
    assert np.isnan(fit.parameters.branching).all()
    assert math.isnan(fit.spectral_radius)
    assert not fit.is_stationary
    assert not fit.converged
    assert math.isnan(compare_excitation(events, 0, 1).p)
    check = diagnose_hawkes(events, make_parameters([[1.0], [1.0]], np.zeros((2, 2, 1)), np.ones((2, 1))))
    assert math.isnan(check.ks_p[0])


def test_a_covariate_that_is_zero_throughout_is_no_obstacle() -> None:
    times = np.random.default_rng(6).uniform(0.0, 500.0, 200)
    fit = fit_hawkes(prepare_hawkes([times], [[0.0, 500.0]], np.zeros((5, 1)), 100.0))
    assert fit.parameters.baseline[0, 1] == 0.0
    assert fit.parameters.baseline[0, 0] > 0.0


@pytest.mark.parametrize(
    ("windows", "covariates", "step", "message"),
    [
        ([[0.0, 5.0], [4.0, 8.0]], None, None, "disjoint"),
        ([[1.0, 1.0]], None, None, "longer than zero"),
        ([0.0, 1.0], None, None, "shape"),
        ([[0.0, 10.0]], [[-1.0]], 10.0, "not negative"),
        ([[0.0, 10.0]], [[np.nan]], 10.0, "not negative"),
        ([[0.0, 10.0]], [[1.0]], 5.0, "reach 5"),
        ([[0.0, 10.0]], [[1.0]], None, "step above 0"),
    ],
)
def test_what_makes_no_sense_is_refused(windows: object, covariates: object, step: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prepare_hawkes([[1.0]], windows, covariates, step)  # type: ignore[arg-type]


def test_unfit_parameters_and_settings_are_refused() -> None:
    events = prepare_hawkes([[1.0]], [[0.0, 2.0]])
    with pytest.raises(ValueError, match="must have shapes"):
        hawkes_log_likelihood(events, ONE_WAY)
    with pytest.raises(ValueError, match="finite"):
        prepare_hawkes([[np.nan]], [[0.0, 2.0]])
    with pytest.raises(ConfigError, match="n_exponentials"):
        HawkesConfig(n_exponentials=0)
    with pytest.raises(ConfigError, match="above 0"):
        HawkesConfig(fixed_decay=(0.0,))
    with pytest.raises(ValueError, match="excitation and exposure"):
        fit_hawkes(events, excitation=[[True, True]])
    with pytest.raises(ValueError, match=r"0\.\.0"):
        compare_excitation(events, 0, 1)
