"""Portfolios: fitted on the past only, capped, and what the methods are known to give."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liqlab.backtest import (
    METHODS,
    PORTFOLIO_RETURNS,
    PORTFOLIO_WEIGHTS,
    PORTFOLIOS,
    PortfolioConfig,
    cap_weights,
    combine_strategies,
    fit_weights,
)
from liqlab.core.errors import ConfigError, UserError
from liqlab.core.schema import check_frame
from liqlab.core.time import MS_PER_HOUR, parse_time

EQUAL, INVERSE_VOLATILITY, RISK_PARITY = METHODS
START_MS = parse_time("2026-02-09")
NAMES = ("fade", "reversal", "bounce", "breakout")
OPEN = PortfolioConfig(refit_periods=10, window_periods=200, least_periods=20, max_weight=1.0)


def _returns(n: int = 120, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 4)) * [1e-3, 2e-3, 1e-3, 4e-3]


def _times(n: int = 120) -> np.ndarray:
    return START_MS + MS_PER_HOUR * np.arange(1, n + 1)


def test_inverse_volatility_is_proportional_to_one_over_the_deviation() -> None:
    past = _returns()
    weights, n_rows = fit_weights(past, INVERSE_VOLATILITY, OPEN)
    expected = 1.0 / past.std(axis=0, ddof=1)
    np.testing.assert_allclose(weights, expected / expected.sum(), rtol=1e-9)
    assert n_rows == 120


def test_risk_parity_of_two_strategies_weighs_by_inverse_variance() -> None:
    past = _returns()[:, :2]
    expected = 1.0 / past.var(axis=0)
    np.testing.assert_allclose(fit_weights(past, RISK_PARITY, OPEN)[0], expected / expected.sum(), rtol=1e-9)


def test_risk_parity_splits_what_two_copies_of_one_strategy_get() -> None:
    one, other = np.random.default_rng(3).normal(size=(2, 300)) * 1e-3
    other *= one.std() / other.std()
    weights, _ = fit_weights(np.column_stack([one, one, other]), RISK_PARITY, OPEN)
    assert weights[0] == pytest.approx(weights[1])
    assert weights[2] > 1.3 * weights[0]


def test_equal_weight_is_that_of_the_library() -> None:
    from skfolio.optimization import EqualWeighted

    past = _returns()
    np.testing.assert_allclose(fit_weights(past, EQUAL, OPEN)[0], EqualWeighted().fit(past).weights_)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e6])
def test_weights_know_no_scale(method: str, scale: float) -> None:
    np.testing.assert_allclose(
        fit_weights(scale * _returns(), method, OPEN)[0], fit_weights(_returns(), method, OPEN)[0], rtol=1e-9
    )


@pytest.mark.parametrize("n", [1, 19, 25, 64, 119])
def test_what_comes_later_changes_no_weight(n: int) -> None:
    returns, changed = _returns(), _returns()
    changed[n:] = np.random.default_rng(9).normal(size=(120 - n, 4))
    whole, cut, other = (
        combine_strategies(_times(len(rows)), rows, NAMES, OPEN) for rows in (returns, returns[:n], changed)
    )
    # A refit stands at the end of the period before it: one at the cut has seen nothing later.
    known = [
        result.weights.filter(result.weights["time"].to_physical() < _times()[n - 1]) for result in (whole, cut, other)
    ]
    assert known[0].height > 0
    assert known[0].equals(known[1])
    assert known[0].equals(known[2])


def test_returns_of_a_portfolio_are_weights_times_what_came_after() -> None:
    returns, times = _returns(), _times()
    found = combine_strategies(times, returns, NAMES, OPEN)
    for method in METHODS:
        expected = []
        for start in range(0, 120, 10):
            weights, _ = fit_weights(returns[:start], method, OPEN)
            expected += (returns[start : start + 10] @ weights).tolist()
        own = found.returns.filter(found.returns["method"] == method)
        np.testing.assert_allclose(own["return"].to_numpy(), expected, atol=1e-18)
        summary = found.summary.filter(found.summary["portfolio"] == method).row(0, named=True)
        ratio = np.mean(expected) / np.std(expected, ddof=1) * np.sqrt(365 * 24)
        assert summary["sharpe"] == pytest.approx(ratio)
        assert summary["total_return"] == pytest.approx(sum(expected))
    check_frame(found.weights, PORTFOLIO_WEIGHTS)
    check_frame(found.returns, PORTFOLIO_RETURNS)
    check_frame(found.summary, PORTFOLIOS)
    assert found.summary["portfolio"].to_list() == [*METHODS, *NAMES]


def test_before_there_is_a_past_shares_are_equal() -> None:
    weights = combine_strategies(_times(), _returns(), NAMES, OPEN).weights
    early = weights.filter(weights["n_rows"] == 0)
    assert (early["weight"] == 0.25).all()
    assert early.filter(early["method"] == RISK_PARITY)["time"].n_unique() == 2


def test_a_strategy_that_never_traded_is_left_out_by_the_fitted_methods_and_told() -> None:
    returns = _returns()
    returns[:, 2] = 0.0
    found = combine_strategies(_times(), returns, NAMES, OPEN)
    idle = found.weights.filter((found.weights["strategy"] == "bounce") & (found.weights["n_rows"] > 0))
    assert idle.height > 0
    assert (idle["weight"] == 0.0).all()
    assert any("bounce never traded" in note for note in found.notes)
    weights, _ = fit_weights(returns[:, [2, 2]], RISK_PARITY, OPEN)
    assert weights.tolist() == [0.5, 0.5]
    weights, _ = fit_weights(returns[:, [2, 0]], RISK_PARITY, OPEN)
    assert weights.tolist() == [0.0, 1.0]


def test_a_drawdown_counts_from_the_start() -> None:
    returns = np.array([[-0.1], [0.05], [-0.2]])
    found = combine_strategies(_times(3), returns, ["one"], OPEN)
    one = found.summary.filter(found.summary["portfolio"] == "one").row(0, named=True)
    assert one["max_drawdown"] == pytest.approx(-0.25)


@settings(deadline=None)
@given(
    st.lists(st.just(0.0) | st.floats(1e-6, 1.0), min_size=1, max_size=6).filter(lambda values: sum(values) > 0.0),
    st.floats(0.05, 1.0),
    st.floats(0.1, 1.0),
)
def test_capped_weights_obey_both_caps_and_use_what_room_there_is(
    raw: list[float], max_weight: float, max_gross: float
) -> None:
    shares = np.array(raw) / sum(raw)
    config = PortfolioConfig(max_weight=max_weight, max_gross=max_gross)
    capped = cap_weights(shares, config)
    assert (capped <= max_weight + 1e-12).all()
    assert (capped >= 0.0).all()
    reachable = min(max_gross, max_weight * np.count_nonzero(shares > 0.0), 1.0)
    assert capped.sum() == pytest.approx(reachable, abs=1e-9)
    assert (capped[shares == 0.0] == 0.0).all()


def test_a_portfolio_of_nothing_usable_is_refused() -> None:
    good = _returns(5)
    with pytest.raises(UserError, match="reversal in row 2 is not finite"):
        combine_strategies(_times(5), np.where(np.arange(20).reshape(5, 4) == 9, np.nan, good), NAMES)
    with pytest.raises(UserError, match=r"needs returns \(5, 2\)"):
        combine_strategies(_times(5), good, NAMES[:2])
    with pytest.raises(UserError, match="ascend"):
        combine_strategies(_times(5)[::-1], good, NAMES)
    with pytest.raises(ConfigError, match="max_weight"):
        PortfolioConfig(max_weight=0.0)


def test_little_data_are_told() -> None:
    found = combine_strategies(_times(5), _returns(5), NAMES)
    assert any("too few to fit" in note for note in found.notes)
    assert (found.weights["weight"] == 0.25).all()
