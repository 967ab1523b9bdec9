"""Question 2: rows against slow sums, planted reversals found, nothing seen ahead, and bad input answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from evidence_of import evidence_of

from liqlab.core import schema
from liqlab.core.schema import check_frame
from liqlab.core.time import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE
from liqlab.panel import PriceSeries
from liqlab.study._evidence import STEP_MS, Evidence, SymbolEvidence
from liqlab.study._inference import Answer, QuestionConfig
from liqlab.study._protocol import Finding
from liqlab.study._q2_imbalance import answer_q2
from liqlab.study._q2_imbalance_rows import find_turns, list_minutes
from liqlab.study._q2_imbalance_splits import TAKER_BPS
from liqlab.study._q2_imbalance_tables import CUMULATIVE, HORSE_RACE, REGIMES, RETURNS, STRATEGY

FAST = QuestionConfig(n_resamples=999)
IDS = ["Q2.1", "Q2.2", "Q2.3", "Q2.4"]
PAIR = ("BTCUSDT", "SOLUSDT")
Frames = tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]


@pytest.fixture(scope="module")
def null() -> Evidence:
    return evidence_of("null", days=2, symbols=PAIR)


@pytest.fixture(scope="module")
def answer(null: Evidence) -> Answer:
    return answer_q2(null, FAST)


def by_id(answer: Answer) -> dict[str, Finding]:
    assert [finding.id for finding in answer.findings] == IDS
    return {finding.id: finding for finding in answer.findings}


def at_moment(frame: pl.DataFrame, after_ms: int, until_ms: int) -> pl.DataFrame:
    known = pl.col("known_time").to_physical()
    return frame.filter((known > after_ms) & (known <= until_ms))


def test_imbalance_is_that_of_the_liquidations_known_in_the_window(null: Evidence) -> None:
    rows, compared = list_minutes(null, PAIR), 0
    window = rows.window(15)
    for row in np.linspace(20, len(rows.times_ms) - 1, 60).astype(int):
        time = int(rows.times_ms[row])
        own = at_moment(null.symbols[PAIR[rows.codes[row]]].liquidations, time - 15 * MS_PER_MINUTE, time)
        long = own.filter(pl.col("liquidated_side") == schema.LONG)["quantity"].sum()
        short = own.filter(pl.col("liquidated_side") == schema.SHORT)["quantity"].sum()
        if np.isnan(window.total[row]):
            continue
        expected = (short - long) / (short + long) if long + short else 0.0
        assert window.imbalance[row] == pytest.approx(expected, abs=1e-9)
        assert window.fade[row] == (-np.sign(expected) if abs(expected) > 0.5 else 0.0)
        assert window.lean[row] == (np.sign(expected) if 0.1 <= abs(expected) <= 0.5 else 0.0)
        compared += bool(own.height)
    assert compared > 15


def test_a_forward_return_starts_at_the_first_price_observed_after_the_minute(null: Evidence) -> None:
    rows = list_minutes(null, PAIR)
    forward, btc = rows.forward_bps(5), null.symbols["BTCUSDT"]
    known, price = btc.prices.known_ms, btc.prices.price
    for row in (100, 500, 2_000):
        first = price[known >= rows.times_ms[row]][0]
        last = price[known >= rows.times_ms[row] + 5 * MS_PER_MINUTE][0]
        assert forward[row] == pytest.approx(1e4 * (last / first - 1.0))


def test_the_hour_after_a_turn_is_an_hour(null: Evidence) -> None:
    rows = list_minutes(null, ("BTCUSDT",))
    symbol = null.symbols["BTCUSDT"]
    turns = symbol.times_ms[find_turns(symbol)[0]]
    age = rows.times_ms[:, None] - turns
    assert (rows.turned_volatile == ((age >= 0) & (age < MS_PER_HOUR)).any(axis=1)).all()
    assert rows.n_turns == turns.size > 0


def test_what_was_known_does_not_change_when_the_future_is_cut_off(null: Evidence) -> None:
    cut = null.start_ms + 30 * MS_PER_HOUR

    def before(*frames: pl.DataFrame) -> Frames:
        early = [frame.filter(pl.col("known_time").to_physical() < cut) for frame in frames]
        return early[0], early[1], early[2]

    short = list_minutes(evidence_of("null", days=2, symbols=PAIR, change=before), ("BTCUSDT",))
    whole = list_minutes(null, ("BTCUSDT",))
    n = int((short.times_ms < cut).sum())
    assert n > 1_700
    assert (short.times_ms[:n] == whole.times_ms[:n]).all()
    np.testing.assert_array_equal(short.window(60).imbalance[:n], whole.window(60).imbalance[:n])
    np.testing.assert_allclose(short.controls[:n], whole.controls[:n])
    assert (short.turned_volatile[:n] == whole.turned_volatile[:n]).all()


def test_every_hypothesis_is_answered_and_every_table_is_as_declared(answer: Answer) -> None:
    assert all(found.shortfall or found.p is not None for found in by_id(answer).values())
    for table in (RETURNS, REGIMES, HORSE_RACE, STRATEGY, CUMULATIVE):
        assert check_frame(answer.tables[table.name], table).height > 0
    assert answer.notes


def test_where_liquidations_cause_nothing_nothing_is_certain(answer: Answer) -> None:
    for identifier in ("Q2.1", "Q2.2"):
        assert (by_id(answer)[identifier].p or 0.0) > 0.01


def test_the_same_seed_gives_the_same_answer(null: Evidence, answer: Answer) -> None:
    assert answer_q2(null, FAST).findings == answer.findings


def test_the_mean_returns_are_those_of_the_rows(null: Evidence, answer: Answer) -> None:
    rows = list_minutes(null, PAIR)
    imbalance, forward = rows.window(60).imbalance, rows.forward_bps(15)
    table = answer.tables[RETURNS.name].filter((pl.col("lookback_min") == 60) & (pl.col("horizon_min") == 15))
    for code, symbol in enumerate(PAIR):
        own = (rows.codes == code) & (imbalance < -0.5) & np.isfinite(forward)
        row = table.filter((pl.col("symbol") == symbol) & (pl.col("group") == "extreme long")).row(0, named=True)
        assert row["n"] == own.sum()
        assert row["reversal_bps"] == pytest.approx(forward[own].mean())
    pooled = table.filter(pl.col("symbol") == "ALL")
    long, short, both = (pooled.filter(pl.col("group") == f"extreme{side}") for side in (" long", " short", ""))
    assert both["n"][0] == long["n"][0] + short["n"][0]
    share = np.array([long["n"][0], short["n"][0]]) / both["n"][0]
    assert both["reversal_bps"][0] == pytest.approx(share @ [long["reversal_bps"][0], short["reversal_bps"][0]])


def test_the_strategy_pays_two_taker_fees_a_trade_and_holds_one_position_at_a_time(answer: Answer) -> None:
    table = answer.tables[STRATEGY.name].drop_nulls("gross_bps")
    paid = table["gross_bps"] - table["net_bps"]
    assert paid.to_numpy() == pytest.approx(2.0 * TAKER_BPS)
    minutes = 2 * MS_PER_DAY / MS_PER_MINUTE
    single = table.filter(pl.col("symbol") != "ALL")
    assert (single["n"] <= minutes / single["holding_min"]).all()


def planted(reversal_bps: float, continuation_bps: float = 0.0, days: int = 4, seed: int = 3) -> Evidence:
    """A random walk whose quarters of an hour begin with liquidations, and drift against or with them afterwards."""
    random = np.random.default_rng(seed)
    n_quarters, per_quarter = days * 96, 180
    kind = random.integers(0, 4, n_quarters)  # extreme long, extreme short, moderate with more shorts, or none
    before = np.concatenate([[3], kind[:-1]])
    drift = np.select([before == 0, before == 1, before == 2], [reversal_bps, -reversal_bps, continuation_bps], 0.0)
    steps = random.normal(0.0, 0.8, (n_quarters, per_quarter)) + drift[:, None] / per_quarter
    price = 100.0 * np.exp(np.cumsum(steps.ravel()) / 1e4)
    times = np.arange(1, price.size + 1, dtype=np.int64) * STEP_MS
    sells = np.zeros((n_quarters, per_quarter))
    buys = np.zeros((n_quarters, per_quarter))
    buys[:, 5] = np.select([kind == 0, kind == 2], [10.0, 4.0], 0.0)
    sells[:, 5] = np.select([kind == 1, kind == 2], [10.0, 6.0], 0.0)
    grid = {name: np.full(price.size, np.nan) for name in ("open_interest", "funding_rate")}
    grid |= {"liq_buy_volume": buys.ravel(), "liq_sell_volume": sells.ravel()}
    grid |= {"liq_buy_notional": 100.0 * buys.ravel(), "liq_sell_notional": 100.0 * sells.ravel()}
    symbol = SymbolEvidence(
        symbol="AAAUSDT",
        times_ms=times,
        covered=np.ones(price.size, dtype=bool),
        price=price,
        grid=grid,
        regime=(np.arange(price.size) // 4_000 % 2).astype(np.int8),
        prices=PriceSeries(times, price),
        liquidations=schema.LIQUIDATIONS.empty(),
        cascades=schema.CASCADES.empty(),
        ticker_interval_ms=STEP_MS,
    )
    return Evidence({"AAAUSDT": symbol}, 0, int(times[-1]))


def test_a_planted_reversal_and_a_planted_continuation_are_found_with_their_signs_and_sizes() -> None:
    """Within the quarter after, the imbalance leaves the window step by step, and so does the drift: half is seen."""
    found = by_id(answer_q2(planted(30.0, 25.0), FAST))
    for identifier, size in (("Q2.1", 30.0), ("Q2.2", 30.0), ("Q2.3", 25.0)):
        finding = found[identifier]
        assert finding.effect is not None
        assert finding.ci_low is not None
        assert finding.ci_low > 0.0
        assert 0.3 * size < finding.effect < size


def test_nothing_planted_nothing_found() -> None:
    found = by_id(answer_q2(planted(0.0), FAST))
    for identifier in ("Q2.1", "Q2.2", "Q2.3"):
        assert (found[identifier].p or 0.0) > 0.01


def only_longs(liquidations: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> Frames:
    return liquidations.filter(pl.col("liquidated_side") == schema.LONG), ticker, ratio


def without_ticker(liquidations: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> Frames:
    return liquidations, ticker.clear(), ratio


def without_ticker_of_one(liquidations: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> Frames:
    return liquidations, ticker.filter(pl.col("symbol") != "SOLUSDT"), ratio


def without_holdings(liquidations: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> Frames:
    nothing = [pl.lit(None, pl.Float64).alias(name) for name in ("open_interest", "open_interest_value")]
    return liquidations, ticker.with_columns(*nothing, funding_rate=pl.lit(None, pl.Float64)), ratio.clear()


def with_a_gap(liquidations: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> Frames:
    start = ticker["known_time"].min()
    inside = pl.col("known_time").is_between(start + pl.duration(hours=20), start + pl.duration(hours=23))
    return liquidations.filter(~inside), ticker.filter(~inside), ratio


def few(liquidations: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> Frames:
    return liquidations.head(5), ticker, ratio


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        (only_longs, {"Q2.2": "blocks of time"}),
        (without_ticker, dict.fromkeys(IDS, "no ticker")),
        (without_ticker_of_one, {}),
        (without_holdings, {}),
        (with_a_gap, {}),
        (few, dict.fromkeys(IDS[:3], "30 blocks of time with events")),
    ],
)
def test_bad_input_is_answered_with_the_reason(change: Callable[..., Frames], missing: dict[str, str]) -> None:
    found = by_id(answer_q2(evidence_of("null", days=2, symbols=PAIR, change=change), FAST))
    for identifier, words in missing.items():
        assert words in found[identifier].shortfall
    if "Q2.1" not in missing:
        assert not found["Q2.1"].shortfall
        assert found["Q2.1"].p is not None
    if change is without_ticker_of_one:
        assert "without SOLUSDT" in found["Q2.1"].note


def test_a_window_that_reaches_into_a_gap_has_no_imbalance() -> None:
    evidence = evidence_of("null", days=2, symbols=PAIR, change=with_a_gap)
    rows = list_minutes(evidence, ("BTCUSDT",))
    gap_end = evidence.start_ms + 23 * MS_PER_HOUR
    soon = (rows.times_ms > gap_end) & (rows.times_ms < gap_end + 10 * MS_PER_MINUTE)
    later = (rows.times_ms > gap_end + 20 * MS_PER_MINUTE) & (rows.times_ms < gap_end + 60 * MS_PER_MINUTE)
    assert np.isnan(rows.window(15).imbalance[soon]).all()
    assert np.isfinite(rows.window(15).imbalance[later]).all()


def test_one_regime_alone_leaves_the_transitions_untested() -> None:
    evidence = planted(10.0)
    symbol = evidence.symbols["AAAUSDT"]
    quiet = replace(symbol, regime=np.zeros_like(symbol.regime))
    found = by_id(answer_q2(replace(evidence, symbols={"AAAUSDT": quiet}), FAST))
    assert "needs 20 transitions from quiet to volatile, found 0" in found["Q2.4"].shortfall
    assert not found["Q2.1"].shortfall


def test_without_any_symbol_everything_is_untested() -> None:
    assert all(found.shortfall for found in answer_q2(Evidence({}, 0, MS_PER_DAY), FAST).findings)
