"""Results by group: slow loops, groups that add up to all, and regimes as known at the entry."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from ledger_of import START_MS, make_ledger
from scipy import stats as scipy_stats

from liqlab.backtest import BREAKDOWN, Ledger, compute_breakdown, empty_ledger
from liqlab.backtest._blocks import assign_blocks
from liqlab.core.schema import REGIMES, TIME, check_frame
from liqlab.core.time import MS_PER_DAY, MS_PER_HOUR
from liqlab.stats import adjust_benjamini_hochberg, compute_wilson


def _ledger(seed: int = 1, n: int = 200) -> Ledger:
    random = np.random.default_rng(seed)
    entry = START_MS + np.sort(random.integers(0, 20 * MS_PER_DAY, n))
    return make_ledger(
        entry,
        entry + 60_000,
        2e-3 * random.standard_normal(n),
        fees=1e-4,
        slippage=random.uniform(0.0, 1e-4, n),
        symbols=random.choice(["BTCUSDT", "ETHUSDT", "SOLUSDT"], n).tolist(),
        sides=random.choice(["long", "short"], n).tolist(),
        reasons=random.choice(["target", "stop", "timeout"], n).tolist(),
    )


def _regimes(rows: list[tuple[str, int, str | None]]) -> pl.DataFrame:
    frame = pl.DataFrame(
        {
            "symbol": [symbol for symbol, _, _ in rows],
            "time": pl.Series([time for _, time, _ in rows], dtype=pl.Int64).cast(TIME),
            "regime": pl.Series([regime for _, _, regime in rows], dtype=pl.String),
        }
    )
    missing = [
        pl.lit(None, column.dtype).alias(column.name) for column in REGIMES.columns[2:] if column.name != "regime"
    ]
    return frame.with_columns(missing).select(REGIMES.names)


def test_every_group_has_the_numbers_of_a_loop() -> None:
    ledger = _ledger()
    block = assign_blocks(ledger.trades).block
    sessions = {**dict.fromkeys(range(8), "Asia 00-08"), **dict.fromkeys(range(8, 13), "Europe 08-13")}
    sessions |= {**dict.fromkeys(range(13, 21), "US 13-21"), **dict.fromkeys(range(21, 24), "late 21-24")}
    groups: dict[tuple[str, str], list[int]] = {}
    trades = list(ledger.trades.iter_rows(named=True))
    for number, trade in enumerate(trades):
        hour = trade["entry_time"].hour
        keys = [("all", "all"), ("session", sessions[hour]), ("hour", f"{hour:02d}"), ("symbol", trade["symbol"])]
        for key in [*keys, ("exit reason", trade["exit_reason"]), ("side", trade["side"])]:
            groups.setdefault(key, []).append(number)
    found = compute_breakdown(ledger)
    assert {(row["by"], row["group"]) for row in found.iter_rows(named=True)} == set(groups)
    for row in found.iter_rows(named=True):
        members = groups[row["by"], row["group"]]
        net = [trades[number]["net_return"] for number in members]
        assert row["n_trades"] == len(members)
        assert row["mean_net_bps"] == pytest.approx(1e4 * sum(net) / len(net))
        assert row["total_net_usd"] == pytest.approx(1e4 * sum(net))
        costs = [trades[number]["fees"] + trades[number]["slippage"] for number in members]
        assert row["total_costs_usd"] == pytest.approx(1e4 * sum(costs))
        wilson = compute_wilson(sum(value > 0 for value in net), len(net))
        assert (row["win_rate"], row["win_rate_low"], row["win_rate_high"]) == wilson
        assert row["n_blocks"] == len({block[number] for number in members})


@pytest.mark.parametrize("by", ["session", "hour", "symbol", "exit reason", "side"])
def test_the_groups_add_up_to_all_trades(by: str) -> None:
    found = compute_breakdown(_ledger(2))
    everything, part = found.filter(by="all").row(0, named=True), found.filter(by=by)
    assert part["n_trades"].sum() == everything["n_trades"]
    for column in ("total_net_usd", "total_costs_usd"):
        assert part[column].sum() == pytest.approx(everything[column])


def test_groups_come_in_their_natural_order() -> None:
    found = compute_breakdown(_ledger())
    assert found["by"].unique(maintain_order=True).to_list() == [
        "all", "session", "hour", "symbol", "exit reason", "side",
    ]  # fmt: skip
    assert found.filter(by="session")["group"].to_list() == ["Asia 00-08", "Europe 08-13", "US 13-21", "late 21-24"]
    assert found.filter(by="hour")["group"].to_list() == [f"{hour:02d}" for hour in range(24)]
    check_frame(found, BREAKDOWN)


def test_with_one_trade_a_day_the_interval_is_that_of_students_t() -> None:
    net = 1e-3 * np.random.default_rng(1).standard_normal(25)
    entry = START_MS + MS_PER_DAY * np.arange(25)
    row = compute_breakdown(make_ledger(entry, entry + 60_000, net)).row(0, named=True)
    expected = scipy_stats.ttest_1samp(1e4 * net, 0.0)
    assert row["p"] == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval()
    assert (row["ci_low"], row["ci_high"]) == (pytest.approx(low), pytest.approx(high))


def test_trades_that_come_together_count_as_one_block() -> None:
    net = np.repeat(1e-3 * np.random.default_rng(1).standard_normal(25), 4)
    entry = np.repeat(START_MS + MS_PER_DAY * np.arange(25), 4)
    symbols = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"] * 25
    together = compute_breakdown(make_ledger(entry, entry + 60_000, net, symbols=symbols)).row(0, named=True)
    alone = compute_breakdown(make_ledger(entry[::4], entry[::4] + 60_000, net[::4])).row(0, named=True)
    for column in ("mean_net_bps", "ci_low", "ci_high", "p"):
        assert together[column] == pytest.approx(alone[column])


def test_adjusted_p_values_are_those_of_the_groups_without_the_whole() -> None:
    found = compute_breakdown(_ledger(3))
    assert found.filter(by="all")["p_adjusted"].null_count() == 1
    family = found.filter((pl.col("by") != "all") & pl.col("p").is_not_null())
    np.testing.assert_allclose(family["p_adjusted"], adjust_benjamini_hochberg(family["p"].to_numpy()))


def test_the_regime_is_the_last_one_known_at_the_entry_of_the_same_symbol() -> None:
    entry = START_MS + MS_PER_HOUR * np.array([1, 2, 3, 4, 5, 6])
    symbols = ["BTCUSDT", "BTCUSDT", "BTCUSDT", "ETHUSDT", "ETHUSDT", "SOLUSDT"]
    ledger = make_ledger(entry, entry + 60_000, np.array([1, 2, 4, 8, 16, 32]) * 1e-4, symbols=symbols)
    regimes = _regimes(
        [
            ("BTCUSDT", START_MS, None),
            ("BTCUSDT", START_MS + 2 * MS_PER_HOUR, "quiet"),
            ("BTCUSDT", START_MS + 3 * MS_PER_HOUR + 1, "volatile"),
            ("ETHUSDT", START_MS, "volatile"),
            ("ETHUSDT", START_MS + 4 * MS_PER_HOUR + 1, "quiet"),
        ]
    )
    found = compute_breakdown(ledger, regimes).filter(by="regime")
    totals = dict(zip(found["group"], found["total_net_usd"], strict=True))
    assert totals == {
        "quiet": pytest.approx(2 + 4 + 16),
        "unknown": pytest.approx(1 + 32),
        "volatile": pytest.approx(8),
    }


def test_later_regimes_change_nothing() -> None:
    ledger = _ledger(4)
    last_ms = int(ledger.trades["entry_time"].to_physical().max())  # type: ignore[arg-type]
    rows: list[tuple[str, int, str | None]] = [
        (symbol, START_MS + hour * MS_PER_HOUR, "quiet" if hour % 7 < 4 else "volatile")
        for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT")
        for hour in range(480)
    ]
    later: list[tuple[str, int, str | None]] = [("BTCUSDT", last_ms + 1, "volatile"), ("ETHUSDT", last_ms + 2, None)]
    whole = compute_breakdown(ledger, _regimes(rows))
    assert whole.filter(by="regime")["n_trades"].sum() == ledger.trades.height
    assert compute_breakdown(ledger, _regimes([*rows, *later])).equals(whole)


def test_the_order_of_trades_changes_nothing() -> None:
    ledger = _ledger(5)
    order = np.random.default_rng(1).permutation(ledger.trades.height)
    shuffled = compute_breakdown(Ledger("test", ledger.trades[order], ledger.fills))
    plain = compute_breakdown(ledger)
    assert shuffled.select("by", "group", "n_trades").equals(plain.select("by", "group", "n_trades"))
    np.testing.assert_allclose(shuffled["ci_low"].to_numpy(), plain["ci_low"].to_numpy(), rtol=1e-9)


def test_without_trades_there_are_no_groups() -> None:
    found = compute_breakdown(empty_ledger("test"))
    assert check_frame(found, BREAKDOWN).height == 0


def test_one_trade_has_a_mean_and_no_interval() -> None:
    found = compute_breakdown(make_ledger([START_MS], [START_MS + 60_000], [0.01]))
    assert set(found["by"]) == {"all", "session", "hour", "symbol", "exit reason", "side"}
    for row in found.iter_rows(named=True):
        assert row["mean_net_bps"] == pytest.approx(100.0)
        assert (row["ci_low"], row["ci_high"], row["p"], row["p_adjusted"]) == (None, None, None, None)
        assert row["win_rate_low"] == pytest.approx(0.2065, abs=1e-4)


def test_equal_results_have_no_interval() -> None:
    entry = START_MS + MS_PER_DAY * np.arange(20)
    row = compute_breakdown(make_ledger(entry, entry + 60_000, 0.0)).row(0, named=True)
    assert row["mean_net_bps"] == 0.0
    assert row["ci_low"] is None
    assert not math.isnan(row["total_net_usd"])
