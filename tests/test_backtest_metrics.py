"""Every measure of a ledger: by hand, by slow loops, invariances, and what has no number."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from ledger_of import START_MS, make_equity, make_ledger

from liqlab.backtest import (
    METRICS,
    ExecutionConfig,
    Ledger,
    Metric,
    Orders,
    PositionLimits,
    PricePath,
    compute_daily_returns,
    compute_equity,
    compute_metrics,
    empty_ledger,
    find_untestable,
    make_metrics_frame,
    run_engine,
)
from liqlab.backtest._blocks import assign_blocks, block_days
from liqlab.backtest._metrics import METRIC_UNITS
from liqlab.backtest._metrics_days import split_by_day
from liqlab.core.schema import check_frame
from liqlab.core.time import MS_PER_DAY, MS_PER_HOUR
from liqlab.stats import (
    compute_wilson,
    deflated_sharpe_ratio,
    minimum_track_record_length,
    probabilistic_sharpe_ratio,
    sharpe_ratio,
)

CONFIG = ExecutionConfig()
YEAR = math.sqrt(365.0)


def _measure(ledger: Ledger, n_days: int, config: ExecutionConfig = CONFIG, **options: object) -> dict[str, Metric]:
    equity = make_equity(ledger, START_MS, START_MS + n_days * MS_PER_DAY, config.limits.capital_usd)
    return {metric.name: metric for metric in compute_metrics(ledger, equity, config, **options)}  # type: ignore[arg-type]


def _random_ledger(seed: int, n: int = 120, n_days: int = 12, mean: float = 2e-4) -> Ledger:
    random = np.random.default_rng(seed)
    entry = START_MS + np.sort(random.integers(0, n_days * MS_PER_DAY - MS_PER_HOUR, n))
    return make_ledger(
        entry,
        entry + random.integers(60_000, MS_PER_HOUR, n),
        mean + 2e-3 * random.standard_t(5, n),
        fees=1e-4,
        slippage=5e-5,
        funding=1e-5 * random.standard_normal(n),
        notional_usd=random.choice([5_000.0, 10_000.0, 20_000.0], n),
    )


def test_the_metrics_come_in_a_fixed_order_with_their_units() -> None:
    ledger = _random_ledger(1)
    metrics = compute_metrics(ledger, make_equity(ledger, START_MS, START_MS + 12 * MS_PER_DAY), CONFIG)
    assert [(metric.name, metric.unit) for metric in metrics] == list(METRIC_UNITS.items())
    frame = check_frame(make_metrics_frame(metrics, "test"), METRICS)
    assert frame["metric"].to_list() == list(METRIC_UNITS)
    assert frame["value"].null_count() == 0
    for metric in metrics:
        assert bool(metric.method) == (metric.ci_low is not None) == (metric.ci_high is not None)


def test_three_trades_have_the_numbers_worked_out_by_hand() -> None:
    hour = MS_PER_HOUR
    entry = START_MS + np.array([hour, 25 * hour, 26 * hour])
    exits = START_MS + np.array([2 * hour, 28 * hour, 27 * hour])
    ledger = make_ledger(entry, exits, [0.03, -0.01, 0.02], fees=0.001, funding=[0.0, 0.001, -0.001])
    found = _measure(ledger, 4)
    # Net 0.029, -0.012, 0.020 of $10,000 on $100,000; the third exits before the second.
    expected = {
        "n_trades": 3,
        "n_days": 4,
        "net_return": 0.0037,
        "net_return_optimistic": 0.0037,
        "gross_return": 0.004,
        "mean_net_bps": 370 / 3,
        "mean_gross_bps": 400 / 3,
        "win_rate": 2 / 3,
        "profit_factor": 490 / 120,
        "cost_share": 30 / 600,
        "cost_share_of_gross": 30 / 400,
        "sharpe": YEAR * sharpe_ratio([0.0029, 0.0008, 0.0, 0.0]),
        "max_drawdown": 100_370 / 100_490 - 1,
        "calmar": 0.0037 / (4 / 365) / (120 / 100_490),
        "drawdown_length": 4 - 27 / 24,
        "turnover": 60_000 / 100_000 / 4,
        "exposure": 4 / 96,
        "gross_exposure": (1 + 3 + 1) / 96 * 0.1,
        "mean_holding": 5 / 3 * 3_600,
    }
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value), name
    assert found["sortino"].value is None
    assert found["sortino"].note == "no losing day: the ratio is not defined"
    assert found["n_trades"].note == "not testable: 3 trades, at least 30 needed"


def test_the_measures_of_many_trades_are_those_of_loops() -> None:
    ledger = _random_ledger(2)
    found = _measure(ledger, 12)
    daily, gains, losses, traded, wins = [0.0] * 12, 0.0, 0.0, 0.0, 0
    for trade in ledger.trades.iter_rows(named=True):
        usd = trade["net_return"] * trade["notional_usd"]
        exit_ms = int(trade["exit_time"].timestamp() * 1_000)
        daily[(exit_ms - START_MS - 1) // MS_PER_DAY] += usd / 100_000
        gains, losses = gains + max(usd, 0.0), losses + max(-usd, 0.0)
        wins += usd > 0
        traded += 2 * trade["notional_usd"]
    assert found["net_return"].value == pytest.approx(sum(daily))
    assert found["sharpe"].value == pytest.approx(YEAR * sharpe_ratio(daily))
    assert found["profit_factor"].value == pytest.approx(gains / losses)
    assert found["turnover"].value == pytest.approx(traded / 100_000 / 12)
    wilson = found["win_rate"]
    assert (wilson.value, wilson.ci_low, wilson.ci_high) == compute_wilson(wins, 120)


def test_exposure_is_what_a_look_at_every_second_finds() -> None:
    random = np.random.default_rng(3)
    entry = START_MS + 1_000 * random.integers(0, 80_000, 40)
    ledger = make_ledger(entry, entry + 1_000 * random.integers(1, 4_000, 40), 0.001)
    seconds = START_MS + 1_000 * np.arange(86_400) + 500
    start = ledger.trades["entry_time"].to_physical().to_numpy()
    end = ledger.trades["exit_time"].to_physical().to_numpy()
    open_now = ((start[:, None] <= seconds) & (seconds < end[:, None])).sum(axis=0)
    found = _measure(ledger, 1)
    assert found["exposure"].value == pytest.approx((open_now > 0).mean())
    assert found["gross_exposure"].value == pytest.approx(open_now.mean() * 10_000 / 100_000)


def test_the_net_return_is_that_of_the_equity_curve_and_gross_less_costs() -> None:
    ledger = _random_ledger(4)
    found = _measure(ledger, 12)
    equity = make_equity(ledger, START_MS, START_MS + 12 * MS_PER_DAY)["equity"]
    costs = (ledger.trades["gross_return"] - ledger.trades["net_return"]) * ledger.trades["notional_usd"]
    assert found["net_return"].value == pytest.approx(equity[-1] / equity[0] - 1.0)
    assert found["net_return"].value == pytest.approx((found["gross_return"].value or 0) - costs.sum() / 100_000)
    assert found["cost_share_of_gross"].note == "" or (found["cost_share_of_gross"].value or 2.0) > 1.0


def test_twice_the_capital_halves_returns_and_leaves_ratios() -> None:
    ledger = _random_ledger(5)
    rich = replace(CONFIG, limits=PositionLimits(capital_usd=200_000.0))
    once, twice = _measure(ledger, 12), _measure(ledger, 12, rich)
    for name in ("net_return", "gross_return", "turnover", "gross_exposure"):
        assert twice[name].value == pytest.approx((once[name].value or math.nan) / 2), name
    assert twice["net_return"].ci_low == pytest.approx((once["net_return"].ci_low or math.nan) / 2)
    same = ("sharpe", "sortino", "probabilistic_sharpe", "win_rate", "profit_factor", "cost_share", "mean_net_bps")
    for name in same:
        assert twice[name].value == pytest.approx(once[name].value), name


def test_the_result_hangs_on_the_seed_alone_and_the_values_not_on_it() -> None:
    ledger = _random_ledger(6)
    assert _measure(ledger, 12, seed=1) == _measure(ledger, 12, seed=1)
    one, other = _measure(ledger, 12, seed=1), _measure(ledger, 12, seed=2)
    assert {name: metric.value for name, metric in one.items()} == {
        name: metric.value for name, metric in other.items()
    }
    assert one["mean_net_bps"].ci_low != other["mean_net_bps"].ci_low


def test_days_without_trades_are_days() -> None:
    ledger = _random_ledger(7, mean=1e-3)
    short, long = _measure(ledger, 12), _measure(ledger, 48)
    assert long["n_days"].value == 48
    assert 0.0 < (long["sharpe"].value or 0.0) < (short["sharpe"].value or 0.0)
    assert (long["turnover"].value or 0.0) == pytest.approx((short["turnover"].value or 0.0) / 4)


def test_the_sharpe_family_is_that_of_the_statistics() -> None:
    ledger = _random_ledger(8, mean=1e-3)
    equity = make_equity(ledger, START_MS, START_MS + 12 * MS_PER_DAY)
    daily = split_by_day(equity["time"].to_physical().to_numpy(), equity["equity"].to_numpy()) / 100_000
    scaled = (daily - daily.mean()) / daily.std()
    shape = (float((scaled**3).mean()), float((scaled**4).mean()))
    sharpe = sharpe_ratio(daily)
    trials = [1.0, -2.0, 3.0, math.nan, 0.5]
    found = _measure(ledger, 12, n_trials=40, trial_sharpes=trials)
    variance = float(np.var([1.0, -2.0, 3.0, 0.5], ddof=1)) / 365.0
    assert found["probabilistic_sharpe"].value == pytest.approx(probabilistic_sharpe_ratio(sharpe, 12, *shape))
    assert found["deflated_sharpe"].value == pytest.approx(deflated_sharpe_ratio(sharpe, 12, variance, 40, *shape))
    assert found["minimum_track_record"].value == pytest.approx(minimum_track_record_length(sharpe, 0.0, *shape))
    assert "best of 40 trials without skill, by the spread of 4 trials" in found["deflated_sharpe"].note


def test_more_trials_deflate_more_and_one_does_not() -> None:
    ledger = _random_ledger(9, mean=1e-3)
    one, ten, many = (_measure(ledger, 12, n_trials=n) for n in (1, 10, 1_000))
    assert one["deflated_sharpe"].value == one["probabilistic_sharpe"].value
    assert (
        (many["deflated_sharpe"].value or 0.0)
        < (ten["deflated_sharpe"].value or 0.0)
        < (one["deflated_sharpe"].value or 0.0)
    )
    assert "spread unknown" in ten["deflated_sharpe"].note
    with pytest.raises(ValueError, match="n_trials must be at least 1, got 0"):
        _measure(ledger, 12, n_trials=0)


def test_a_losing_strategy_never_has_a_track_record_long_enough() -> None:
    found = _measure(_random_ledger(10, mean=-1e-3), 12)
    assert (found["sharpe"].value or 0.0) < 0.0
    assert found["minimum_track_record"].value is None
    assert found["minimum_track_record"].note == "never: the Sharpe ratio is not above 0"
    assert found["cost_share_of_gross"].value is None
    assert "costs add to a loss" in found["cost_share_of_gross"].note
    assert 0.0 < (found["cost_share"].value or 0.0) < 1.0


@pytest.mark.parametrize("reason", ["", "prices every 300 s cannot decide a stop"])
def test_without_trades_every_number_is_missing_and_says_why(reason: str) -> None:
    ledger = empty_ledger("test", not_testable=reason)
    found = _measure(ledger, 9)
    assert found.pop("n_trades").value == 0.0
    for metric in found.values():
        assert (metric.value, metric.ci_low, metric.ci_high) == (None, None, None)
        assert metric.note == f"not testable: {reason or 'no trades'}"
    assert set(make_metrics_frame(list(found.values()), "test")["value"]) == {None}


@pytest.mark.parametrize(("n_trades", "testable"), [(1, False), (29, False), (30, True), (31, True)])
def test_fewer_than_thirty_trades_are_not_testable(n_trades: int, testable: bool) -> None:
    assert (find_untestable(_random_ledger(1, n_trades)) == "") == testable


def test_one_trade_has_numbers_but_no_intervals() -> None:
    found = _measure(make_ledger([START_MS + MS_PER_HOUR], [START_MS + 2 * MS_PER_HOUR], [0.01], fees=0.001), 9)
    assert found["mean_net_bps"].value == pytest.approx(90.0)
    assert found["mean_net_bps"].ci_low is None
    assert found["mean_net_bps"].note.startswith("no interval: 1 blocks of time")
    assert found["profit_factor"].value is None
    assert found["profit_factor"].note == "no losing trade: the ratio is not defined"
    assert found["calmar"].value is None
    assert found["max_drawdown"].value == 0.0


def test_one_day_has_no_sharpe_ratio() -> None:
    found = _measure(_random_ledger(1, 60, 1), 1)
    for name in ("sharpe", "probabilistic_sharpe", "deflated_sharpe", "minimum_track_record", "sortino"):
        assert found[name].value is None
        assert found[name].note.startswith("fewer than 2 days, or no spread")
    assert found["mean_net_bps"].value is not None


def test_the_same_result_every_day_has_no_sharpe_ratio() -> None:
    entry = START_MS + MS_PER_DAY * np.arange(12) + MS_PER_HOUR
    found = _measure(make_ledger(entry, entry + MS_PER_HOUR, 0.0), 12)
    assert found["sharpe"].value is None
    assert found["net_return"].value == 0.0
    assert found["net_return"].ci_low is None
    assert found["cost_share"].value is None
    assert found["cost_share"].note == "no trade moved: nothing to share"


def test_only_losses_make_a_profit_factor_of_zero() -> None:
    entry = START_MS + MS_PER_HOUR * np.arange(1, 41)
    found = _measure(make_ledger(entry, entry + 60_000, -np.linspace(0.001, 0.01, 40)), 3)
    assert found["profit_factor"].value == 0.0
    assert found["profit_factor"].note == "no winning trade"
    assert found["win_rate"].value == 0.0
    assert found["win_rate"].ci_high == pytest.approx(0.0876, abs=1e-4)


def test_unknown_funding_is_said_beside_every_net_number() -> None:
    entry = START_MS + MS_PER_HOUR * np.arange(1, 41)
    funding = np.where(np.arange(40) < 3, np.nan, 1e-4)
    found = _measure(make_ledger(entry, entry + 60_000, np.linspace(-0.01, 0.011, 40), funding=funding), 3)
    for name in ("net_return", "mean_net_bps", "profit_factor", "sharpe", "cost_share"):
        assert "funding unknown in 3 of 40 trades" in found[name].note
    assert "funding" not in found["gross_return"].note


def test_the_optimistic_bound_stands_beside_and_mixes_into_nothing() -> None:
    entry = START_MS + MS_PER_HOUR * np.arange(1, 41)
    gross = np.linspace(-0.01, 0.011, 40)
    plain = _measure(make_ledger(entry, entry + 60_000, gross), 3)
    better = np.where(np.arange(40) < 5, gross + 0.02, gross)
    bounded = _measure(make_ledger(entry, entry + 60_000, gross, gross_optimistic=better), 3)
    bound = bounded.pop("net_return_optimistic")
    assert bound.value == pytest.approx((plain["net_return"].value or math.nan) + 5 * 0.02 * 0.1)
    assert {**plain, "net_return_optimistic": bound} == {**bounded, "net_return_optimistic": bound}


def test_a_curve_of_one_moment_is_refused() -> None:
    ledger = _random_ledger(1)
    with pytest.raises(ValueError, match="at least two moments, it has 1"):
        compute_metrics(ledger, make_equity(ledger, START_MS, START_MS + MS_PER_DAY)[:1], CONFIG)


def test_frames_of_another_shape_are_refused() -> None:
    ledger = _random_ledger(1)
    with pytest.raises(TypeError, match="table trades: column net_return"):
        compute_metrics(replace(ledger, trades=ledger.trades.drop("net_return")), pl.DataFrame(), CONFIG)


def test_a_row_at_midnight_belongs_to_the_day_that_ends() -> None:
    day = MS_PER_DAY
    times = np.array([START_MS, START_MS + day, START_MS + day + 1, START_MS + 4 * day])
    np.testing.assert_allclose(split_by_day(times, np.array([100.0, 101.0, 103.0, 106.0])), [1.0, 2.0, 0.0, 3.0])
    late = np.array([START_MS + day // 2, START_MS + day, START_MS + day + 5])
    np.testing.assert_allclose(split_by_day(late, np.array([100.0, 101.0, 99.0])), [1.0, -2.0])


def test_the_daily_changes_add_up_to_the_change_of_the_curve() -> None:
    random = np.random.default_rng(1)
    times = np.unique(START_MS + random.integers(0, 9 * MS_PER_DAY, 300))
    curve = 1e5 + np.cumsum(random.standard_normal(times.size))
    assert split_by_day(times, curve).sum() == pytest.approx(curve[-1] - curve[0])


def test_blocks_are_wide_where_time_allows_and_never_split_what_overlaps() -> None:
    entry = START_MS + MS_PER_HOUR * np.arange(0, 40 * 24, 5)
    assert assign_blocks(make_ledger(entry, entry + 60_000, 0.0).trades).width_ms == 2 * MS_PER_DAY
    nine_days = entry[entry < START_MS + 9 * MS_PER_DAY]
    blocks = assign_blocks(make_ledger(nine_days, nine_days + 60_000, 0.0).trades)
    assert (blocks.width_ms, blocks.n_blocks) == (12 * MS_PER_HOUR, 18)
    overlapping = assign_blocks(make_ledger(nine_days, nine_days + 10 * MS_PER_HOUR, 0.0).trades)
    assert (overlapping.width_ms, overlapping.n_blocks) == (MS_PER_DAY, 9)
    assert assign_blocks(make_ledger([], [], []).trades).n_blocks == 0


def test_blocks_do_not_know_the_order_of_trades_or_their_results() -> None:
    trades = _random_ledger(3).trades
    blocks = assign_blocks(trades)
    order = np.random.default_rng(1).permutation(trades.height)
    shuffled = assign_blocks(trades[order])
    np.testing.assert_array_equal(shuffled.block, blocks.block[order])
    assert blocks.sums(np.ones(trades.height)).sum() == trades.height


def test_days_come_in_at_most_32_blocks_and_at_least_8() -> None:
    random = np.random.default_rng(1)
    assert np.unique(block_days(random.standard_normal(9))).size == 9
    assert np.unique(block_days(random.standard_normal(365))).size <= 32
    dependent = np.convolve(random.standard_normal(70), np.ones(8))
    assert np.bincount(block_days(dependent))[0] > 1
    assert np.unique(block_days(dependent)).size >= 8


def test_intervals_of_the_mean_hold_the_truth_as_often_as_they_say() -> None:
    held = 0
    for seed in range(120):
        metric = _measure(_random_ledger(seed, mean=1e-3), 12, n_resamples=399)["mean_gross_bps"]
        assert metric.ci_low is not None
        assert metric.ci_high is not None
        held += metric.ci_low <= 10.0 <= metric.ci_high
    assert 0.87 <= held / 120 <= 0.99


def test_the_interval_of_nine_days_holds_the_true_sharpe_ratio() -> None:
    random = np.random.default_rng(4)
    held = 0
    for _ in range(300):
        entry = START_MS + MS_PER_DAY * np.arange(9) + MS_PER_HOUR
        ledger = make_ledger(entry, entry + 60_000, 0.01 * (0.2 + random.standard_normal(9)))
        metric = _measure(ledger, 9, n_resamples=39)["sharpe"]
        assert metric.ci_low is not None
        assert metric.ci_high is not None
        held += metric.ci_low <= 0.2 * YEAR <= metric.ci_high
    assert 0.92 <= held / 300 <= 0.98


def test_from_thirty_days_on_the_sharpe_ratio_is_bootstrapped() -> None:
    assert "Mertens" in _measure(_random_ledger(1), 29)["sharpe"].method
    metric = _measure(_random_ledger(1, 300, 60), 60)["sharpe"]
    assert metric.method.startswith("studentised bootstrap over")
    assert (metric.ci_low or math.inf) < (metric.value or 0.0) < (metric.ci_high or -math.inf)


def test_the_engines_own_ledger_and_curve_have_every_measure_and_agree() -> None:
    random = np.random.default_rng(11)
    known_ms = START_MS + 5_000 * np.arange(10 * 17_280)
    path = PricePath.from_ticks(
        "BTCUSDT", known_ms, 100 * np.exp(np.cumsum(2e-4 * random.standard_normal(known_ms.size)))
    )
    decisions = np.sort(random.choice(known_ms[100:-500], 150, replace=False))
    orders = Orders.gather(
        ("BTCUSDT",), np.zeros(150), decisions, random.choice([-1.0, 1.0], 150), stop_frac=0.003, timeout_ms=1_200_000
    )
    ledger = run_engine({"BTCUSDT": path}, orders, CONFIG, "test")
    equity = compute_equity(ledger, {"BTCUSDT": path}, CONFIG, START_MS, START_MS + 10 * MS_PER_DAY)
    found = {metric.name: metric for metric in compute_metrics(ledger, equity, CONFIG)}
    assert find_untestable(ledger) == ""
    net = float((ledger.trades["net_return"] * ledger.trades["notional_usd"]).sum()) / 100_000
    daily = compute_daily_returns(equity, 100_000)
    assert found["net_return"].value == pytest.approx(net) == pytest.approx(daily.sum())
    assert found["sharpe"].value == pytest.approx(YEAR * sharpe_ratio(daily))
    assert found["max_drawdown"].value == pytest.approx(equity["drawdown"].min())
    assert {metric.name for metric in found.values() if metric.value is None} <= {
        "cost_share_of_gross",
        "minimum_track_record",
    }
