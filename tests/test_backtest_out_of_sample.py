"""Out of sample: frozen parameters, side by side, and what may be concluded."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from liqlab.backtest import OUT_OF_SAMPLE, TRADES, Ledger, Metric, Sample, compare_samples, empty_ledger
from liqlab.core.errors import UserError
from liqlab.core.schema import TIME, check_frame
from liqlab.core.time import MS_PER_DAY, MS_PER_HOUR, parse_time

START_MS = parse_time("2026-02-09")
N_DAYS = 10


def _ledger(net: np.ndarray, start_ms: int = START_MS, parameters: str = "a=1", strategy: str = "fade") -> Ledger:
    """Trades spread evenly over ten days."""
    decision_ms = start_ms + np.linspace(0, N_DAYS * MS_PER_DAY - 1, net.size).astype(np.int64)
    trades = TRADES.empty().clear(n=net.size)
    times = {name: pl.Series(decision_ms).cast(TIME) for name in ("decision_time", "entry_time", "exit_time")}
    trades = trades.with_columns(**times, net_return=pl.Series(net))
    return Ledger(strategy, trades, pl.DataFrame(), n_orders=net.size, parameters=parameters)


def _metric(name: str, value: float | None) -> Metric:
    return Metric(name, value, None, None, "unit", "", "")


def _sample(net: np.ndarray, start_ms: int = START_MS, sharpe: float | None = 2.0, **named: str) -> Sample:
    metrics = (
        _metric("n_trades", float(net.size)),
        _metric("sharpe", sharpe),
        _metric("mean_net_bps", 1e4 * net.mean()),
    )
    return Sample(_ledger(net, start_ms, **named), metrics, start_ms, start_ms + N_DAYS * MS_PER_DAY)


LATER_MS = START_MS + 20 * MS_PER_DAY


def _noise(seed: int, mean: float, n: int = 200) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1e-3, n)


def test_degradation_is_the_difference_of_means_with_an_interval_over_days() -> None:
    inside, outside = _noise(0, 2e-3), _noise(1, 0.5e-3)
    found = compare_samples(_sample(inside), _sample(outside, LATER_MS))
    change = found.degradation
    assert change.estimate == pytest.approx(outside.mean() - inside.mean())
    assert change.ci_low < -1.5e-3 < change.ci_high < 0.0
    assert change.p < 0.001
    assert change.n_clusters == 2 * N_DAYS
    assert found.not_testable == ""
    assert "bps" in found.sentence


def test_the_interval_covers_no_change_when_there_is_none() -> None:
    covered = []
    for seed in range(200):
        found = compare_samples(_sample(_noise(2 * seed, 1e-3)), _sample(_noise(2 * seed + 1, 1e-3), LATER_MS))
        covered.append(found.degradation.ci_low <= 0.0 <= found.degradation.ci_high)
    # Binomial with 200 draws at 0.95: below 0.90 once in two thousand.
    assert np.mean(covered) > 0.90


def test_trades_of_one_day_count_as_one_when_they_move_together() -> None:
    days = np.random.default_rng(5).normal(0.0, 1e-3, (2, N_DAYS))
    together = [np.repeat(side, 20) for side in days]
    apart = [_noise(seed, side.mean()) for seed, side in enumerate(days)]
    clustered, free = (
        compare_samples(_sample(inside), _sample(outside, LATER_MS)).degradation
        for inside, outside in (together, apart)
    )
    assert clustered.standard_error > 2.5 * free.standard_error


def test_survival_is_the_ratio_of_the_sharpe_ratios_and_undefined_without_a_profit_in_sample() -> None:
    inside, outside = _sample(_noise(0, 1e-3), sharpe=4.0), _sample(_noise(1, 1e-3), LATER_MS, sharpe=1.0)
    assert compare_samples(inside, outside).survival_ratio == 0.25
    for sharpe in (-1.0, 0.0, None):
        assert math.isnan(compare_samples(_sample(_noise(0, 1e-3), sharpe=sharpe), outside).survival_ratio)


def test_the_table_sets_metrics_side_by_side_and_says_which_stayed_good() -> None:
    found = compare_samples(_sample(_noise(0, 1e-3)), _sample(_noise(1, -1e-3), LATER_MS, sharpe=0.5))
    table = check_frame(found.table, OUT_OF_SAMPLE)
    assert table["metric"].to_list() == ["n_trades", "sharpe", "mean_net_bps"]
    assert table["kept"].to_list() == [None, True, False]
    assert table["difference"][1] == -1.5
    assert found.kept_frac == 0.5
    assert set(table["parameters"]) == {"a=1"}
    worse = compare_samples(_sample(_noise(0, -1e-3), sharpe=-2.0), _sample(_noise(1, 1e-3), LATER_MS))
    assert worse.table["kept"].to_list() == [None, None, None]
    assert math.isnan(worse.kept_frac)


@pytest.mark.parametrize("n", [0, 1, 29])
def test_too_few_trades_are_not_testable_and_still_listed(n: int) -> None:
    few = Sample(_ledger(_noise(1, 1e-3, n), LATER_MS), (_metric("n_trades", float(n)),), LATER_MS, LATER_MS + 1)
    found = compare_samples(_sample(_noise(0, 1e-3)), few)
    assert f"{n} trades out of sample" in found.not_testable
    assert found.table.height == 1
    assert found.sentence.startswith("Not testable")


def test_trades_on_few_days_and_prices_that_decide_nothing_are_not_testable() -> None:
    net = _noise(1, 1e-3, 40)
    crowded = _ledger(net, LATER_MS)
    times = pl.Series(LATER_MS + np.arange(40) * MS_PER_HOUR).cast(TIME)
    crowded = Ledger("fade", crowded.trades.with_columns(decision_time=times), pl.DataFrame(), parameters="a=1")
    found = compare_samples(_sample(_noise(0, 1e-3)), Sample(crowded, (), LATER_MS, LATER_MS + 1))
    assert "trades on 2 days out of sample" in found.not_testable
    coarse = Sample(empty_ledger("fade", "a=1", 5, "prices every 300 s"), (), LATER_MS, LATER_MS + 1)
    assert "prices every 300 s" in compare_samples(_sample(_noise(0, 1e-3)), coarse).not_testable


def test_other_parameters_other_strategies_and_the_same_data_are_refused() -> None:
    inside = _sample(_noise(0, 1e-3))
    with pytest.raises(UserError, match="same parameters"):
        compare_samples(inside, _sample(_noise(1, 1e-3), LATER_MS, parameters="a=2"))
    with pytest.raises(UserError, match="same strategy"):
        compare_samples(inside, _sample(_noise(1, 1e-3), LATER_MS, strategy="bounce"))
    with pytest.raises(UserError, match="must be other data"):
        compare_samples(inside, _sample(_noise(1, 1e-3), START_MS + MS_PER_DAY))
