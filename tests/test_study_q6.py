"""Question 6: sweeps and hours against slow walks, sizes against laws put in, and what bad data does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from evidence_of import Change, evidence_of

from liqlab.core.schema import TIME, check_frame
from liqlab.core.time import MS_PER_HOUR, parse_time
from liqlab.study._evidence import Evidence
from liqlab.study._inference import Answer, QuestionConfig
from liqlab.study._q6_microstructure import answer_q6
from liqlab.study._q6_microstructure_hours import HourlyRates, compare_rates, count_by_hour
from liqlab.study._q6_microstructure_size import _fit
from liqlab.study._q6_microstructure_sweeps import find_sweeps, list_sweeps
from liqlab.study._q6_microstructure_tables import ABSORPTION, DELAYS, EFFICIENCY, HOURS, SWEEPS
from liqlab.worlds import DEFAULT_START_MS

IDS = ["Q6.1", "Q6.2", "Q6.3", "Q6.4"]
TABLES = (DELAYS, SWEEPS, ABSORPTION, EFFICIENCY, HOURS)
PAIR = ("BTCUSDT", "ETHUSDT")
CONFIG = QuestionConfig(n_resamples=999)


@pytest.fixture(scope="module")
def planted() -> Evidence:
    return evidence_of("planted-strong", 2, days=5.0, symbols=PAIR)


@pytest.fixture(scope="module")
def answer(planted: Evidence) -> Answer:
    return answer_q6(planted, CONFIG)


def test_every_hypothesis_has_its_finding_and_every_table_its_columns(answer: Answer) -> None:
    assert [finding.id for finding in answer.findings] == IDS
    assert list(answer.tables) == [table.name for table in TABLES]
    for table in TABLES:
        frame = answer.tables[table.name]
        assert frame.columns == table.names
        assert check_frame(frame, table).height > 0


def test_planted_continuation_after_sweeps_is_found(answer: Answer) -> None:
    sweeps = answer.findings[2]
    assert sweeps.shortfall == sweeps.doubt == ""
    assert sweeps.ci_low is not None
    assert sweeps.ci_low > 0.0


def test_without_any_impact_sweeps_have_no_continuation() -> None:
    sweeps = answer_q6(evidence_of("null", 3, days=3.0, symbols=PAIR), CONFIG).findings[2]
    assert sweeps.ci_low is not None
    assert sweeps.ci_high is not None
    assert sweeps.ci_low < 0.0 < sweeps.ci_high


def test_a_weekend_claim_needs_weekends_and_a_session_claim_days(answer: Answer) -> None:
    found = {finding.id: finding for finding in answer.findings}
    assert found["Q6.1"].shortfall == found["Q6.2"].shortfall == ""
    assert "needs 4 weekends, found 0" in found["Q6.4"].shortfall
    hours = answer.tables[HOURS.name]
    assert hours.filter(pl.col("split") == "session")["p"].null_count() == 0
    assert hours.filter(pl.col("split") == "weekday")["p"].null_count() == 5
    short = answer_q6(evidence_of("null", 3, days=3.0, symbols=PAIR), CONFIG).findings
    assert "needs 5 covered days, found 3" in short[0].shortfall
    assert "needs 5 covered days, found 3" in short[1].shortfall


def slow_sweeps(rows: pl.DataFrame) -> list[tuple[int, float]]:
    """(known, pressure) of the first liquidation of every run at the fourth distinct price within 2 s."""
    found: list[tuple[int, float]] = []
    run: list[tuple[int, float]] = []
    side, done = "", False
    columns = [rows["known_time"].to_physical(), rows["event_time"].to_physical()]
    for known, event, price, own in zip(*columns, rows["price"], rows["liquidated_side"], strict=True):
        sign = -1.0 if own == "long" else 1.0
        joins = run and own == side and sign * (price - run[-1][1]) >= 0.0 and abs(event - run[-1][0]) <= 2_000
        if not joins:
            run, side, done = [], own, False
        run.append((event, price))
        latest = max(at for at, _ in run)
        recent = run
        while max(at for at, _ in recent[:1]) < latest - 2_000:
            recent = recent[1:]
        if not done and len({level for _, level in recent}) >= 4:
            found.append((known, sign))
            done = True
    return found


def test_sweeps_are_those_of_a_walk_through_the_liquidations(planted: Evidence) -> None:
    for symbol in planted.symbols.values():
        expected = slow_sweeps(symbol.liquidations)
        found = find_sweeps(symbol)
        assert list(zip(found.known_ms.tolist(), found.pressure.tolist(), strict=True)) == expected
        times = [known for known, _ in expected]
        alone = [place == 0 or at - times[place - 1] > 600_000 for place, at in enumerate(times)]
        assert found.is_event.tolist() == alone


def test_a_sweep_is_known_without_what_comes_after(planted: Evidence) -> None:
    symbol = planted.symbols["ETHUSDT"]
    whole = find_sweeps(symbol)
    for cut_ms in whole.known_ms[[3, len(whole.known_ms) // 2]]:
        past = symbol.liquidations.filter(pl.col("known_time") <= pl.lit(int(cut_ms)).cast(TIME))
        found = find_sweeps(replace(symbol, liquidations=past))
        before = whole.known_ms <= cut_ms
        assert found.known_ms.tolist() == whole.known_ms[before].tolist()
        assert found.is_event.tolist() == whole.is_event[before].tolist()


def test_the_list_of_sweeps_holds_all_of_them_and_the_return_of_events(planted: Evidence, answer: Answer) -> None:
    moments, sweeps = list_sweeps(planted)
    table = answer.tables[SWEEPS.name]
    assert table.height == sum(len(one.known_ms) for one in sweeps.values())
    assert table["n_price_levels"].min() >= 4
    assert (table["n_liquidations"] >= table["n_price_levels"]).all()
    assert 0 < table["return_60s_bps"].count() <= len(moments)


def test_hourly_counts_hold_every_liquidation_in_covered_time(planted: Evidence) -> None:
    rates = count_by_hour(planted)
    total = sum(symbol.liquidations.height for symbol in planted.symbols.values())
    assert rates.n.sum() == total
    assert rates.covered_h.sum() == pytest.approx(2 * 5 * 24)
    one = planted.symbols["BTCUSDT"].liquidations["known_time"].to_physical().to_numpy() // MS_PER_HOUR
    two = planted.symbols["ETHUSDT"].liquidations["known_time"].to_physical().to_numpy() // MS_PER_HOUR
    for hour, n in zip(rates.hours[:30], rates.n[:30], strict=True):
        assert n == (one == hour).sum() + (two == hour).sum()


def make_rates(first: str, counts: Sequence[float], covered: Sequence[float] | None = None) -> HourlyRates:
    hours = parse_time(first) // MS_PER_HOUR + np.arange(len(counts))
    time = np.ones(len(counts)) if covered is None else np.asarray(covered, dtype=np.float64)
    n = np.asarray(counts, dtype=np.float64)
    return HourlyRates(hours, time, n, 1e3 * n, time)


def test_the_log_ratio_of_rates_and_its_error_are_those_of_the_jackknife_over_days() -> None:
    random = np.random.default_rng(4)
    n = random.poisson(40.0, 30 * 24).astype(np.float64)
    rates = make_rates("2026-02-09", n, random.uniform(0.5, 1.0, n.size))
    inside = rates.in_session("Asia")
    found = compare_rates(rates, inside)

    def ratio(kept: np.ndarray) -> float:
        parts = [rates.n[kept & group].sum() / rates.covered_h[kept & group].sum() for group in (inside, ~inside)]
        return math.log(parts[0] / parts[1])

    everything = np.ones(n.size, dtype=bool)
    left = np.array([ratio(rates.days != day) for day in np.unique(rates.days)])
    assert found.estimate == pytest.approx(ratio(everything))
    jackknife = math.sqrt(29.0 / 30.0 * ((left - left.mean()) ** 2).sum())
    assert found.standard_error == pytest.approx(jackknife, rel=0.05)
    assert found.n_clusters == 30


def test_weekends_count_when_a_day_of_them_was_listened_to() -> None:
    # 2026-02-09 is a Monday: the two weekends that follow begin on the 14th and the 21st.
    rates = make_rates("2026-02-09", np.ones(14 * 24))
    assert rates.count_weekends() == 2
    assert rates.weekdays[0] == 0
    assert rates.is_weekend.sum() == 4 * 24
    half = make_rates("2026-02-09", np.ones(5 * 24 + 20))
    assert half.count_weekends() == 0


def test_the_concave_fit_finds_the_law_that_was_put_in() -> None:
    random = np.random.default_rng(5)
    size = np.exp(random.normal(-1.0, 1.0, 2_000))
    times = DEFAULT_START_MS + np.sort(random.integers(0, 9 * 24 * MS_PER_HOUR, 2_000))
    moves = 6.0 * size**0.5 + random.normal(0.0, 1.0, 2_000)
    found = np.array(_fit(moves, size, times, CONFIG), dtype=np.float64).reshape(3, 3)
    assert found[0, 0] == pytest.approx(moves.sum() / size.sum())
    (_, scale_low, scale_high), (_, exponent_low, exponent_high) = found[1:].tolist()
    assert scale_low < 6.0 < scale_high
    assert exponent_low <= 0.5 <= exponent_high
    assert exponent_high - exponent_low < 0.15


def drop_ticker(rows: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> tuple[pl.DataFrame, ...]:
    return rows, ticker.clear(), ratio


def keep_shorts(rows: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> tuple[pl.DataFrame, ...]:
    return rows.filter(pl.col("liquidated_side") == "short"), ticker, ratio


def drop_liquidations(rows: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> tuple[pl.DataFrame, ...]:
    return rows.clear(), ticker, ratio


def cut_a_gap(rows: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> tuple[pl.DataFrame, ...]:
    start, end = (pl.lit(DEFAULT_START_MS + hour * MS_PER_HOUR).cast(TIME) for hour in (20, 30))
    outside = ~pl.col("known_time").is_between(start, end)
    return rows.filter(outside), ticker.filter(outside), ratio


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (drop_ticker, {"Q6.2": "no ticker", "Q6.3": "no ticker", "Q6.4": "no ticker"}),
        (keep_shorts, {"Q6.1": "needs 5 covered days, found 2"}),
        (drop_liquidations, {"Q6.1": "needs liquidations in and outside the Asia session", "Q6.3": "needs 30 sweeps"}),
        (cut_a_gap, {"Q6.3": ""}),
    ],
)
def test_bad_data_leaves_its_reason_and_every_other_hypothesis_answered(
    change: Change, expected: dict[str, str]
) -> None:
    answer = answer_q6(evidence_of("planted-strong", 3, days=2.0, symbols=PAIR, change=change), CONFIG)
    found = {finding.id: finding for finding in answer.findings}
    assert list(found) == IDS
    for name, words in expected.items():
        assert words in found[name].shortfall
        assert words or not found[name].shortfall
    for table in TABLES:
        check_frame(answer.tables[table.name], table)
