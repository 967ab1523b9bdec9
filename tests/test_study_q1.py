"""Question 1: what is found where it was planted and where it was not, what describes it, and what bad data does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from evidence_of import Change, evidence_of

from liqlab.core.schema import TIME, check_frame
from liqlab.core.time import MS_PER_HOUR, MS_PER_MINUTE
from liqlab.study import HYPOTHESES
from liqlab.study._evidence import Evidence
from liqlab.study._inference import Answer, QuestionConfig
from liqlab.study._liquidity import is_thin, measure_cost, rank_liquidity
from liqlab.study._protocol import judge_all
from liqlab.study._q1_impact import answer_q1
from liqlab.study._q1_impact_aftermath import _first_passage, _measure_extreme
from liqlab.study._q1_impact_tables import BALANCE, CHAIN, CLUSTERS, EXCURSIONS, IMPACT, PATHS, RECOVERY, SEVERITY
from liqlab.worlds import DEFAULT_START_MS

IDS = ["Q1.1", "Q1.2", "Q1.3", "Q1.4"]
TABLES = (CLUSTERS, IMPACT, PATHS, EXCURSIONS, RECOVERY, CHAIN, SEVERITY, BALANCE)
PAIR = ("BTCUSDT", "ETHUSDT")
CONFIG = QuestionConfig(n_resamples=999)


@pytest.fixture(scope="module")
def planted() -> Evidence:
    return evidence_of("planted-strong", 2, days=5.0, symbols=PAIR)


@pytest.fixture(scope="module")
def answer(planted: Evidence) -> Answer:
    return answer_q1(planted, CONFIG)


def test_every_hypothesis_has_its_finding_and_every_table_its_columns(answer: Answer) -> None:
    assert [finding.id for finding in answer.findings] == IDS
    assert list(answer.tables) == [table.name for table in TABLES]
    for table in TABLES:
        frame = answer.tables[table.name]
        assert frame.columns == table.names
        assert check_frame(frame, table).height > 0


def test_planted_impact_of_both_sides_is_found_with_the_pressure(answer: Answer) -> None:
    for finding in answer.findings[2:]:
        assert finding.shortfall == ""
        assert finding.doubt == ""
        assert finding.ci_low is not None
        assert finding.ci_low > 0.0
        assert finding.effect is not None
        assert finding.effect > 5.0


def test_without_any_impact_the_intervals_hold_zero() -> None:
    answer = answer_q1(evidence_of("null", 2, days=4.0, symbols=PAIR), CONFIG)
    for finding in answer.findings[1:]:
        assert finding.ci_low is not None
        assert finding.ci_high is not None
        assert finding.ci_low < 0.0 < finding.ci_high
    assert "needs 30 cascades of $1M or more" in answer.findings[0].shortfall


def test_the_same_evidence_gives_the_same_answer(planted: Evidence, answer: Answer) -> None:
    again = answer_q1(planted, CONFIG)
    assert again.findings == answer.findings
    assert all(again.tables[name].equals(answer.tables[name]) for name in answer.tables)


def test_impact_adds_up_and_a_path_meets_the_impact_at_its_horizon(answer: Answer) -> None:
    impact, paths = answer.tables[IMPACT.name], answer.tables[PATHS.name]
    known = impact.filter(pl.col("n") > 0)
    assert (known["mean_bps"] - known["placebo_bps"] - known["excess_bps"]).abs().max() < 1e-9
    at_zero = paths.filter(pl.col("offset_s") == 0.0)
    assert at_zero["mean_bps"].abs().max() == 0.0
    for horizon in (10.0, 30.0, 60.0, 300.0):
        row = impact.filter(
            (pl.col("origin") == "confirmed") & (pl.col("horizon_s") == horizon) & (pl.col("split") == "all")
        )
        path = paths.filter(
            (pl.col("origin") == "confirmed") & (pl.col("split") == "all") & (pl.col("offset_s") == horizon)
        )
        assert path["mean_bps"][0] == pytest.approx(row["mean_bps"][0], rel=0.02)


def test_shares_stand_beside_those_of_matched_moments_and_the_published(answer: Answer) -> None:
    recovery = answer.tables[RECOVERY.name].filter(pl.col("split") == "all").sort("minutes")
    for column in ("recovered_frac", "placebo_recovered_frac"):
        assert recovery[column].is_between(0.0, 1.0).all()
        assert (recovery[column].diff().drop_nulls() >= 0.0).all()
    assert recovery.filter(pl.col("published_frac").is_not_null())["minutes"].to_list() == [1.0, 60.0]
    hour = answer.tables[EXCURSIONS.name].filter((pl.col("horizon_s") == 3_600.0) & (pl.col("split") == "all"))
    assert hour["published_adverse_frac"].to_list() == [0.94]
    assert hour["placebo_adverse_frac"][0] > 0.8


def test_clusters_are_those_of_a_walk_through_the_liquidations(planted: Evidence, answer: Answer) -> None:
    known = planted.symbols["ETHUSDT"].liquidations["known_time"].to_physical().to_list()
    sizes, size = [], 1
    for before, after in zip(known, [*known[1:], 10**18], strict=True):
        if after - before <= 3_000:
            size += 1
        else:
            sizes.append(size)
            size = 1
    row = answer.tables[CLUSTERS.name].filter((pl.col("symbol") == "ETHUSDT") & (pl.col("gap_s") == 3.0))
    assert row["clusters"][0] == sum(size >= 2 for size in sizes)
    assert row["clusters_of_three"][0] == sum(size >= 3 for size in sizes)
    assert row["share_of_liquidations"][0] == pytest.approx(sum(size for size in sizes if size >= 2) / len(known))


def test_a_way_back_is_that_of_a_walk_along_the_prices(planted: Evidence) -> None:
    symbol = planted.symbols["BTCUSDT"]
    known, prices = symbol.prices.known_ms, symbol.prices.price
    random = np.random.default_rng(1)
    times = np.sort(random.integers(known[100], known[-1], 60))
    pressure, shift = random.choice([-1.0, 1.0], 60), random.uniform(2.0, 60.0, 60)
    minutes, seen = _first_passage(symbol, times, pressure, shift)
    for row in range(60):
        start = int(np.searchsorted(known, times[row]))
        level = prices[start] / (1.0 + pressure[row] * shift[row] / 1e4)
        back, last = None, start
        for place in range(start, len(known)):
            if known[place] > times[row] + 4 * MS_PER_HOUR:
                break
            last = place
            if pressure[row] * (prices[place] - level) <= 0.0:
                back = place
                break
        assert seen[row] == (back is not None)
        assert minutes[row] == pytest.approx((known[last] - times[row]) / MS_PER_MINUTE)


def test_an_extreme_is_that_of_the_prices_in_the_window(planted: Evidence) -> None:
    symbol = planted.symbols["BTCUSDT"]
    known, prices = symbol.prices.known_ms, symbol.prices.price
    times = np.random.default_rng(2).integers(known[0], known[-1] - 400_000, 50)
    pressure = np.where(np.arange(50) % 2, 1.0, -1.0)
    for sign in (1.0, -1.0):
        found = _measure_extreme(symbol, times, pressure, sign, 300_000)
        for row in range(50):
            inside = prices[(known >= times[row]) & (known <= times[row] + 300_000)]
            moves = 1e4 * sign * pressure[row] * (inside / inside[0] - 1.0)
            # The price at the end may be the first one after it.
            assert found[row] >= moves.max() - 1e-9
            after = prices[np.searchsorted(known, times[row] + 300_000)]
            assert found[row] <= max(moves.max(), 1e4 * sign * pressure[row] * (after / inside[0] - 1.0)) + 1e-9


def test_liquidity_is_told_from_the_past_alone(planted: Evidence) -> None:
    symbol = planted.symbols["BTCUSDT"]
    times = symbol.times_ms[0] + np.arange(1, 90) * MS_PER_HOUR
    thin, rank = is_thin(symbol, times), rank_liquidity(symbol, times)
    assert np.isnan(thin[:20]).all()
    assert 0.2 < np.nanmean(thin) < 0.8
    assert set(rank.tolist()) == {-1, 0, 1, 2}
    cut = int(symbol.rows_at([times[60]])[0]) + 1
    past = replace(
        symbol,
        times_ms=symbol.times_ms[:cut],
        covered=symbol.covered[:cut],
        price=symbol.price[:cut],
        grid={name: values[:cut] for name, values in symbol.grid.items()},
        regime=symbol.regime[:cut],
    )
    assert np.array_equal(is_thin(past, times[:61]), thin[:61], equal_nan=True)
    assert np.array_equal(rank_liquidity(past, times[:61]), rank[:61])


def test_liquidity_does_with_what_the_ticker_has(planted: Evidence) -> None:
    symbol = planted.symbols["BTCUSDT"]
    empty = np.full(symbol.price.shape, np.nan)
    no_sizes = replace(symbol, grid={**symbol.grid, "bid_size": empty, "ask_size": empty})
    no_prices = replace(symbol, grid={**symbol.grid, "bid_price": empty, "ask_price": empty})
    neither = replace(no_sizes, grid={**no_sizes.grid, "bid_price": empty})
    assert np.isfinite(measure_cost(no_sizes)).mean() > 0.9
    assert np.isfinite(measure_cost(no_prices)).mean() > 0.9
    assert np.isnan(measure_cost(neither)).all()


def drop_ticker(rows: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> tuple[pl.DataFrame, ...]:
    return rows, ticker.clear(), ratio


def drop_quotes(rows: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> tuple[pl.DataFrame, ...]:
    names = ("bid_price", "ask_price", "bid_size", "ask_size")
    return rows, ticker.with_columns(pl.lit(None, pl.Float64).alias(name) for name in names), ratio


def keep_longs(rows: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> tuple[pl.DataFrame, ...]:
    return rows.filter(pl.col("liquidated_side") == "long"), ticker, ratio


def keep_few(rows: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> tuple[pl.DataFrame, ...]:
    return rows.head(20), ticker, ratio


def drop_liquidations(rows: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> tuple[pl.DataFrame, ...]:
    return rows.clear(), ticker, ratio


def cut_a_gap(rows: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> tuple[pl.DataFrame, ...]:
    start, end = (pl.lit(DEFAULT_START_MS + hour * MS_PER_HOUR).cast(TIME) for hour in (20, 30))
    outside = ~pl.col("known_time").is_between(start, end)
    return rows.filter(outside), ticker.filter(outside), ratio


def slow_down(rows: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> tuple[pl.DataFrame, ...]:
    return rows, ticker.gather_every(60), ratio


@pytest.mark.parametrize(
    ("change", "symbols", "expected"),
    [
        (drop_ticker, PAIR, {"Q1.1": "no ticker", "Q1.3": "no ticker", "Q1.4": "no ticker"}),
        (drop_quotes, PAIR, {"Q1.2": "needs a day of bid and ask prices or sizes", "Q1.3": "", "Q1.4": ""}),
        (keep_longs, PAIR, {"Q1.3": "", "Q1.4": "needs 30 cascades dominated by liquidated shorts, found 0"}),
        (keep_few, PAIR, {"Q1.3": "needs 30 cascades", "Q1.4": "needs 30 cascades"}),
        (drop_liquidations, PAIR, dict.fromkeys(IDS, "needs 30 cascades")),
        (cut_a_gap, PAIR, {"Q1.3": "", "Q1.4": ""}),
        (slow_down, PAIR, dict.fromkeys(IDS, "needs a ticker at least every")),
        (None, ("BTCUSDT",), {"Q1.3": "", "Q1.4": ""}),
    ],
)
def test_bad_data_leaves_its_reason_and_every_other_hypothesis_answered(
    change: Change | None, symbols: tuple[str, ...], expected: dict[str, str]
) -> None:
    evidence = evidence_of("planted-strong", 3, days=2.0, symbols=symbols, change=change)
    answer = answer_q1(evidence, CONFIG)
    found = {finding.id: finding for finding in answer.findings}
    assert list(found) == IDS
    for name, words in expected.items():
        if words:
            assert words in found[name].shortfall
        else:
            assert found[name].shortfall == ""
            assert found[name].effect is not None
    for table in TABLES:
        check_frame(answer.tables[table.name], table)
    own = [hypothesis for hypothesis in HYPOTHESES if hypothesis.question == "Q1"]
    assert len(judge_all(own, found)) == 4
