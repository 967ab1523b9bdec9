"""Question 7: contagion is found where it was planted, and not where symbols only follow one market."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from evidence_of import evidence_of

from liqlab.core import schema
from liqlab.core.schema import Table, check_frame
from liqlab.core.time import MS_PER_HOUR
from liqlab.panel import PriceSeries
from liqlab.study import _q7_contagion_tables as tables_of_q7
from liqlab.study import find_hypothesis
from liqlab.study._evidence import Evidence, SymbolEvidence
from liqlab.study._inference import QuestionConfig
from liqlab.study._q7_contagion import answer_q7
from liqlab.study._q7_contagion_lifts import measure_lifts
from liqlab.study._q7_contagion_regimes import (
    QUIET,
    VOLATILE,
    compare_regimes,
    measure_regime_correlations,
    sum_notional,
)
from liqlab.study._q7_contagion_response import measure_responses
from liqlab.study._q7_contagion_state import describe_state

Floats = npt.NDArray[np.float64]

CONFIG = QuestionConfig(n_resamples=999)
START_MS = 1_770_681_600_000
DECLARED = {table.name: table for table in vars(tables_of_q7).values() if isinstance(table, Table)}
IDS = ("Q7.1", "Q7.2", "Q7.3", "Q7.4")


def make_symbol(name: str, counts: npt.ArrayLike, prices: npt.ArrayLike, usd: float = 1_000.0) -> SymbolEvidence:
    """A symbol with so many liquidated longs in each bar of 5 s, and these prices."""
    count, price = np.asarray(counts, dtype=np.float64), np.asarray(prices, dtype=np.float64)
    times = START_MS + 5_000 * np.arange(1, len(count) + 1, dtype=np.int64)
    grid = {name: np.zeros(len(count)) for name in ("liq_sell_count", "liq_sell_notional")}
    return SymbolEvidence(
        symbol=name,
        times_ms=times,
        covered=np.ones(len(count), dtype=bool),
        price=price,
        grid=grid | {"liq_buy_count": count, "liq_buy_notional": usd * count},
        regime=(np.arange(len(count)) // 720 % 2).astype(np.int8),
        prices=PriceSeries(times, price),
        liquidations=schema.LIQUIDATIONS.empty(),
        cascades=schema.CASCADES.empty(),
        ticker_interval_ms=5_000,
    )


def make_pair(n: int, seed: int, follow: float) -> tuple[SymbolEvidence, SymbolEvidence]:
    """Two symbols on one random walk; the second follows a liquidation of the first two or three bars later."""
    random = np.random.default_rng(seed)
    price = 100.0 * np.exp(np.cumsum(random.normal(0.0, 2e-4, n)))
    first = random.random(n) < 0.03
    second = random.random(n) < 0.02
    for bars in (2, 3):
        second[bars:] |= first[:-bars] & (random.random(n - bars) < follow)
    return make_symbol("BTCUSDT", first, price), make_symbol("ETHUSDT", second, price)


@pytest.fixture(scope="module")
def planted() -> Evidence:
    """Two days in which all of what BTC's liquidations do reaches the others."""
    return evidence_of("planted-strong", 1, days=2.0)


def test_a_symbol_that_follows_is_found_and_the_other_direction_is_not() -> None:
    first, second = make_pair(20_000, seed=5, follow=0.4)
    there, back = measure_responses(describe_state(first), describe_state(second))
    times = first.times_ms
    expected = (1.0 - 0.6**2) * (1.0 - there.base_rate)
    found, other = there.increase.describe(times, MS_PER_HOUR), back.increase.describe(times, MS_PER_HOUR)
    assert found.estimate == pytest.approx(expected, rel=0.2)
    assert found.p < 1e-6
    assert other.p > 0.01
    assert abs(other.estimate) < 0.02


def test_symbols_on_one_path_that_do_not_follow_one_another_show_nothing() -> None:
    first, second = make_pair(20_000, seed=6, follow=0.0)
    for response in measure_responses(describe_state(first), describe_state(second)):
        found = response.increase.describe(first.times_ms, MS_PER_HOUR)
        assert found.ci_low < 0.0 < found.ci_high


def test_a_response_is_the_coefficient_of_one_regression_on_everything() -> None:
    first, second = (describe_state(symbol) for symbol in make_pair(5_000, seed=7, follow=0.3))
    columns = [first.known, second.known, second.before, second.burst, first.before]
    x = np.column_stack([np.ones(len(first.before)), *columns])
    used = np.isfinite(x).all(axis=1) & np.isfinite(second.response)
    used &= np.isfinite(first.response) & np.isfinite(first.burst).all(axis=1)
    oracle = np.linalg.lstsq(x[used], second.response[used], rcond=None)[0][-1]
    there, _ = measure_responses(first, second)
    assert there.increase.estimate == pytest.approx(oracle, abs=1e-8)
    assert there.relative.estimate == pytest.approx(oracle / second.response[used].mean(), rel=1e-7)
    assert np.array_equal(there.increase.used, used)
    assert there.increase.values.sum() == pytest.approx(0.0, abs=1e-6)
    assert there.n_events == int(first.before[used].sum())


def test_cause_and_response_lie_in_the_bars_they_are_said_to() -> None:
    counts = np.zeros(3_000)
    counts[2_000] = 2.0
    state = describe_state(make_symbol("BTCUSDT", counts, np.linspace(100.0, 101.0, 3_000)))
    assert np.flatnonzero(state.before == 1.0).tolist() == [2_001]
    assert state.burst[2_001].tolist() == pytest.approx([np.log(3.0), 0.0, 0.0])
    assert state.burst[2_003].tolist() == pytest.approx([0.0, 0.0, np.log(3.0)])
    assert np.flatnonzero(state.response == 1.0).tolist() == [1_995, 1_996, 1_997, 1_998, 1_999]
    assert np.isnan(state.response[-5:]).all()


def test_what_is_given_does_not_change_when_the_future_arrives() -> None:
    symbol, _ = make_pair(4_000, seed=8, follow=0.0)
    whole = describe_state(symbol)
    for cut in (800, 1_501, 3_000):
        count = symbol.grid["liq_buy_count"].copy()
        price = symbol.price.copy()
        count[cut:], price[cut:] = 9.0, 50.0
        other = describe_state(make_symbol("BTCUSDT", count, price))
        for column in ("known", "before", "burst"):
            np.testing.assert_array_equal(getattr(whole, column)[:cut], getattr(other, column)[:cut])


def test_a_gap_enters_neither_causes_nor_responses() -> None:
    symbol, other = make_pair(4_000, seed=9, follow=0.3)
    covered = symbol.covered.copy()
    covered[2_000:2_100] = False
    there, _ = measure_responses(describe_state(replace(symbol, covered=covered)), describe_state(other))
    assert not there.increase.used[1_995:2_101].any()
    assert there.increase.used[2_101]


def test_regime_correlations_are_those_of_the_rows_in_both_regimes() -> None:
    first, second = make_pair(6_000, seed=10, follow=0.5)
    evidence = Evidence({"BTCUSDT": first, "ETHUSDT": second}, START_MS, int(first.times_ms[-1]))
    pairs = measure_regime_correlations(evidence, list(evidence.symbols))
    x, y = (sum_notional(symbol, 6) for symbol in (first, second))
    known = ~np.isnan(x)
    expected = {
        words: np.corrcoef(x[known & (first.regime == code)], y[known & (first.regime == code)])[0, 1]
        for words, code in ((QUIET, 0), (VOLATILE, 1))
    }
    found = pairs["BTCUSDT", "ETHUSDT"]
    assert {words: part.estimate for words, part in found.items()} == pytest.approx(expected)
    assert compare_regimes(pairs).estimate == pytest.approx(expected[VOLATILE] - expected[QUIET])


def test_lifts_count_what_follows() -> None:
    first, second = make_pair(2_000, seed=11, follow=0.5)
    evidence = Evidence({"BTCUSDT": first, "ETHUSDT": second}, START_MS, int(first.times_ms[-1]))
    row = measure_lifts(evidence).row(
        by_predicate=(pl.col("cause") == "BTCUSDT") & (pl.col("window_s") == 30.0) & (pl.col("regime") == "all"),
        named=True,
    )
    a, b = first.grid["liq_buy_count"] > 0, second.grid["liq_buy_count"]
    after = [b[t + 1 : t + 7].sum() for t in range(len(b) - 6)]
    causes = a[: len(after)]
    given = np.mean([n > 0 for n, cause in zip(after, causes, strict=True) if cause])
    base = np.mean([n > 0 for n in after])
    assert row["probability_given"] == pytest.approx(given)
    assert row["base_rate"] == pytest.approx(base)
    assert row["lift"] == pytest.approx(given / base)
    assert row["lift_low"] < row["lift"] < row["lift_high"]
    assert row["severity_ratio"] == pytest.approx(np.dot(causes, after) / causes.sum())
    assert row["n_events"] == causes.sum()


def test_planted_contagion_is_found_with_its_direction(planted: Evidence) -> None:
    answer = answer_q7(planted, CONFIG)
    lead = answer.findings[0]
    assert tuple(finding.id for finding in answer.findings) == IDS
    assert not lead.shortfall
    assert lead.effect is not None
    assert lead.effect > find_hypothesis("Q7.1").delta
    assert lead.ci_low is not None
    assert lead.ci_low > 0.0
    responses = answer.tables["contagion_responses"]
    from_btc = responses.filter(pl.col("cause") == "BTCUSDT")["increase"].mean()
    to_btc = responses.filter(pl.col("effect") == "BTCUSDT")["increase"].mean()
    assert isinstance(from_btc, float)
    assert isinstance(to_btc, float)
    assert from_btc > 2.0 * abs(to_btc)


def test_nothing_that_is_not_there_is_found_although_lifts_are_large() -> None:
    answer = answer_q7(evidence_of("null", 1, days=2.0), CONFIG)
    lead = answer.findings[0]
    assert lead.p is not None
    assert lead.p > 0.01
    lifts = answer.tables["contagion_lifts"].filter((pl.col("cause") == "BTCUSDT") & (pl.col("regime") == "all"))
    assert (lifts["lift_low"] > 1.5).all()


def test_the_same_input_gives_the_same_answer(planted: Evidence) -> None:
    first, second = answer_q7(planted, CONFIG), answer_q7(planted, CONFIG)
    assert first.findings == second.findings
    for name, table in first.tables.items():
        assert table.equals(second.tables[name]), name


def test_every_table_is_as_declared(planted: Evidence) -> None:
    answer = answer_q7(planted, CONFIG)
    assert set(answer.tables) == set(DECLARED)
    for name, table in answer.tables.items():
        assert check_frame(table, DECLARED[name]).columns == DECLARED[name].names
        assert not table.is_empty()


def _without_ticker(liquidations: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> tuple[pl.DataFrame, ...]:
    return liquidations, ticker.clear(), ratio


def _longs_only(liquidations: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> tuple[pl.DataFrame, ...]:
    return liquidations.filter(pl.col("liquidated_side") == "long"), ticker, ratio


def _hardly_any(liquidations: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> tuple[pl.DataFrame, ...]:
    return liquidations.head(20), ticker, ratio


def _none_of_btc(liquidations: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> tuple[pl.DataFrame, ...]:
    return tuple(frame.filter(pl.col("symbol") != "BTCUSDT") for frame in (liquidations, ticker, ratio))


def _flat_prices(liquidations: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> tuple[pl.DataFrame, ...]:
    return liquidations, ticker.with_columns(mark_price=pl.lit(100.0), last_price=pl.lit(100.0)), ratio


def _with_gap(liquidations: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> tuple[pl.DataFrame, ...]:
    start = liquidations["known_time"].min()
    hours = (pl.col("known_time") - pl.lit(start)).dt.total_hours()
    return liquidations.filter(~hours.is_between(3, 5)), ticker.filter(~hours.is_between(3, 5)), ratio


@pytest.mark.parametrize(
    "change",
    [_without_ticker, _longs_only, _hardly_any, _none_of_btc, _flat_prices, _with_gap],
    ids=lambda f: f.__name__,
)
def test_spoilt_input_is_answered_with_reasons(change: object) -> None:
    answer = answer_q7(evidence_of("planted-strong", 2, days=0.5, change=change), CONFIG)  # type: ignore[arg-type]
    assert tuple(finding.id for finding in answer.findings) == IDS
    assert all(finding.shortfall for finding in answer.findings if finding.effect is None)
    for name, table in answer.tables.items():
        check_frame(table, DECLARED[name])
    if change in (_without_ticker, _hardly_any, _none_of_btc, _flat_prices):
        assert answer.findings[0].shortfall.startswith("needs ")


def test_one_symbol_alone_has_nothing_to_infect() -> None:
    answer = answer_q7(evidence_of("planted-strong", 2, days=0.5, symbols=("BTCUSDT",)), CONFIG)
    assert [finding.shortfall for finding in answer.findings][1] == "needs two symbols, found BTCUSDT"
    assert all(finding.shortfall for finding in answer.findings)
    assert all(table.is_empty() for table in answer.tables.values())


def test_an_alt_without_prices_is_left_out_and_named() -> None:
    def change(
        liquidations: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame
    ) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
        return liquidations, ticker.filter(pl.col("symbol") != "XRPUSDT"), ratio

    answer = answer_q7(evidence_of("planted-strong", 2, days=0.5, change=change), CONFIG)
    assert any(note.startswith("XRPUSDT is left out of the conditional regressions") for note in answer.notes)
    assert "XRPUSDT" not in answer.tables["contagion_responses"]["effect"].to_list()
