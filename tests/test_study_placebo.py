"""Matched placebo moments: who may serve, what is measured, and that nothing is found where there is nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from evidence_of import evidence_of

from liqlab.core import schema
from liqlab.core.schema import TIME
from liqlab.core.time import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE, MS_PER_S
from liqlab.panel import PriceSeries
from liqlab.study._evidence import STEP_MS, Evidence, SymbolEvidence
from liqlab.study._inference import QuestionConfig
from liqlab.study._placebo import (
    MatchedMoments,
    MomentMatcher,
    Moments,
    Outcomes,
    PlaceboConfig,
    compute_covariates,
    measure_outcomes,
    signed_return,
)
from liqlab.study._placebo_events import find_first_known, list_confirmations, list_crossings, list_ends
from liqlab.study._placebo_inference import (
    compute_difference,
    compute_influence,
    describe_columns,
    infer_difference,
    infer_excess,
)

START = 1_770_595_200_000
CONFIG = QuestionConfig(n_resamples=999)


def make_symbol(name: str, days: int, seed: int, *, gap: slice | None = None) -> SymbolEvidence:
    """A random walk with a price every 5 s and no liquidations; no prices and no coverage in `gap` of the rows."""
    times = np.arange(START + STEP_MS, START + days * MS_PER_DAY + 1, STEP_MS)
    price = 100.0 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0.0, 2e-4, times.size)))
    covered = np.ones(times.size, dtype=bool)
    if gap is not None:
        covered[gap], price[gap] = False, np.nan
    kept = np.isfinite(price)
    return SymbolEvidence(
        symbol=name,
        times_ms=times,
        covered=covered,
        price=price,
        grid={},
        regime=np.full(times.size, -1, np.int8),
        prices=PriceSeries(times[kept], price[kept]),
        liquidations=schema.LIQUIDATIONS.empty(),
        cascades=schema.CASCADES.empty(),
        ticker_interval_ms=STEP_MS,
    )


def make_evidence(*symbols: SymbolEvidence) -> Evidence:
    return Evidence(
        {symbol.symbol: symbol for symbol in symbols},
        int(symbols[0].times_ms[0]) - STEP_MS,
        int(symbols[0].times_ms[-1]),
    )


def draw_moments(evidence: Evidence, n: int, seed: int) -> Moments:
    random = np.random.default_rng(seed)
    lasting = evidence.end_ms - evidence.start_ms - 2 * MS_PER_HOUR
    return Moments.gather(
        {
            name: (
                np.sort(evidence.start_ms + 2 * MS_PER_HOUR - 10 * MS_PER_MINUTE + random.integers(0, lasting, n)),
                random.choice([-1.0, 1.0], n),
            )
            for name in evidence.symbols
        }
    )


def test_a_control_is_of_the_same_symbol_within_the_calipers_and_not_shortly_after_a_busy_time() -> None:
    evidence = make_evidence(make_symbol("AAA", 3, 1), make_symbol("BBB", 3, 2, gap=slice(20_000, 25_000)))
    moments = draw_moments(evidence, 60, 3)
    starts = START + np.arange(6, 70, 8) * MS_PER_HOUR
    busy = {"AAA": (starts, starts + MS_PER_HOUR)}
    config = PlaceboConfig()
    found = MomentMatcher(evidence, config).match(moments, busy)
    assert found.is_matched.mean() > 0.5
    for row in range(len(moments)):
        symbol = evidence.symbols[moments.symbols[moments.codes[row]]]
        own = compute_covariates(symbol, moments.times_ms[row : row + 1])[0]
        for control_ms in found.control_ms[row][found.control_ms[row] >= 0]:
            place = int(symbol.rows_at([control_ms])[0])
            assert symbol.times_ms[place] == control_ms
            assert symbol.covered[place]
            other = compute_covariates(symbol, np.array([control_ms]))[0]
            assert abs(other[0] - own[0]) <= config.volatility_caliper + 1e-6
            assert min(abs(other[3] - own[3]), 24.0 - abs(other[3] - own[3])) <= config.hour_caliper + 1e-6
            for value, wanted in zip(other[1:3], own[1:3], strict=True):
                if abs(value) < 2.0 and abs(wanted) < 2.0:
                    assert abs(value - wanted) <= config.return_caliper + 1e-6
            if moments.symbols[moments.codes[row]] == "AAA":
                assert not ((starts <= control_ms) & (control_ms <= starts + 70 * MS_PER_MINUTE)).any()


def test_what_comes_after_a_moment_does_not_change_whether_it_serves() -> None:
    symbol = make_symbol("AAA", 3, 4)
    evidence = make_evidence(symbol)
    moments = Moments.gather({"AAA": ([START + 30 * MS_PER_HOUR], [1.0])})
    before = MomentMatcher(evidence).match(moments, {})
    # A busy period that begins after every control, however closely, leaves all of them in place.
    for control_ms in before.control_ms[0][before.control_ms[0] >= 0]:
        busy = {"AAA": (np.array([control_ms + 1]), np.array([control_ms + 1]))}
        after = MomentMatcher(evidence).match(moments, busy)
        assert control_ms in after.control_ms[0]


def test_covariates_are_those_of_prices_known_at_the_moment() -> None:
    symbol = make_symbol("AAA", 1, 5)
    at = START + 5 * MS_PER_HOUR + 2_345
    row = int(symbol.rows_at([at])[0])
    volatility = symbol.volatility_bps[row]
    found = compute_covariates(symbol, np.array([at]))[0]
    for place, minutes in ((1, 1), (2, 5)):
        move = 1e4 * (symbol.price[row] / symbol.price[row - 12 * minutes] - 1.0)
        assert found[place] == pytest.approx(move / (volatility * (minutes / 60.0) ** 0.5))
    assert found[0] == pytest.approx(np.log(volatility))
    assert found[3] == pytest.approx(5.0 + 2_345 / MS_PER_HOUR)
    later = replace(symbol, prices=PriceSeries(symbol.prices.known_ms[: row + 1], symbol.prices.price[: row + 1]))
    assert np.array_equal(compute_covariates(later, np.array([at]))[0], found)


def test_an_outcome_starts_at_the_first_price_from_the_moment_on_and_carries_the_events_pressure() -> None:
    symbol = make_symbol("AAA", 2, 6)
    evidence = make_evidence(symbol)
    moments = Moments.gather({"AAA": ([START + 30 * MS_PER_HOUR + 1], [-1.0])})
    matched = MomentMatcher(evidence).match(moments, {})
    outcomes = measure_outcomes(evidence, matched, signed_return(30 * MS_PER_S))
    row = int(symbol.rows_at(moments.times_ms)[0]) + 1
    assert outcomes.own[0] == pytest.approx(-1e4 * (symbol.price[row + 6] / symbol.price[row] - 1.0))
    place = int(symbol.rows_at(matched.control_ms[0, :1])[0])
    assert outcomes.controls[0, 0] == pytest.approx(-1e4 * (symbol.price[place + 6] / symbol.price[place] - 1.0))
    assert outcomes.excess[0] == pytest.approx(outcomes.own[0] - outcomes.controls[0].mean())


def test_influence_adds_up_to_nothing_and_the_estimate_is_the_mean_excess() -> None:
    random = np.random.default_rng(7)
    matched = hand_made(40, 3, random)
    outcomes = Outcomes(random.normal(size=40), random.normal(size=(40, 3)))
    outcomes.controls[::4, 1:] = np.nan
    outcomes.controls[1::7] = np.nan
    outcomes.own[5] = np.nan
    found = compute_influence(matched, outcomes)
    assert found.estimate == pytest.approx(np.nanmean(outcomes.excess))
    assert found.values.sum() == pytest.approx(0.0, abs=1e-9)
    # Moving one outcome moves the estimate by 1 / n, and its influence says so.
    size = random.uniform(0.5, 2.0, 40)
    ratio = compute_influence(matched, outcomes, size=size)
    known = outcomes.is_known
    assert ratio.estimate == pytest.approx(outcomes.excess[known].sum() / size[known].sum())
    assert ratio.values.sum() == pytest.approx(0.0, abs=1e-9)


def test_the_error_counts_a_control_that_many_events_share_once_for_each_of_them() -> None:
    n = 50
    times = START + np.arange(n) * MS_PER_HOUR
    moments = Moments(("AAA",), np.zeros(n, np.int64), times, np.ones(n))
    shared = np.full((n, 1), START - MS_PER_DAY, dtype=np.int64)
    matched = MatchedMoments(moments, shared, np.zeros((n, 4)), np.zeros((n, 1, 4)))
    outcomes = Outcomes(np.zeros(n), np.full((n, 1), 3.0))
    alone = compute_influence(matched, outcomes)
    assert np.abs(alone.values).max() == pytest.approx(0.0)
    two = np.where(np.arange(n)[:, None] % 2 == 0, shared, shared - MS_PER_DAY)
    apart = Outcomes(np.zeros(n), np.where(np.arange(n)[:, None] % 2 == 0, 3.0, -1.0))
    found = compute_influence(replace(matched, control_ms=two), apart)
    by_time = {int(at): found.values[found.times_ms == at].sum() / found.scale for at in np.unique(two)}
    # The mean of the two controls is what is taken off: each holds half of it.
    assert sorted(by_time.values()) == pytest.approx([-1.0, 1.0])


def test_a_difference_is_taken_within_symbols() -> None:
    """One symbol moves ten times as far as the other; it is most of one group and little of the other."""
    random = np.random.default_rng(8)
    matched = hand_made(400, 2, random, symbols=("thin", "deep"))
    thin = matched.moments.codes == 0
    first = np.where(thin, random.random(400) < 0.9, random.random(400) < 0.1)
    own = np.where(thin, 10.0, 1.0) + random.normal(0.0, 0.1, 400)
    outcomes = Outcomes(own, np.zeros((400, 2)))
    assert outcomes.excess[first].mean() - outcomes.excess[~first].mean() > 5.0
    assert compute_difference(matched, outcomes, first, ~first).estimate == pytest.approx(0.0, abs=0.05)
    found = infer_difference(matched, outcomes, 30_000, CONFIG, first, ~first)
    assert found.inference.ci_low < 0.0 < found.inference.ci_high
    assert found.n_events == 400


def test_without_events_or_matches_there_is_no_number_and_no_warning() -> None:
    evidence = make_evidence(make_symbol("AAA", 1, 9))
    none = Moments.gather({"AAA": ([], [])})
    matched = MomentMatcher(evidence).match(none)
    assert np.isnan(matched.describe_balance()["hour of day"]).all()
    found = infer_excess(matched, measure_outcomes(evidence, matched, signed_return(30_000)), 30_000, CONFIG)
    assert np.isnan(found.inference.estimate)
    assert found.n_events == 0
    # In the first minutes no covariate is known.
    early = Moments.gather({"AAA": ([START + MS_PER_MINUTE], [1.0])})
    matched = MomentMatcher(evidence).match(early)
    found = infer_excess(matched, measure_outcomes(evidence, matched, signed_return(30_000)), 30_000, CONFIG)
    assert found.unmatched_frac == 1.0


def test_moments_at_random_times_of_a_random_walk_have_no_excess() -> None:
    evidence = make_evidence(make_symbol("AAA", 6, 10), make_symbol("BBB", 6, 11))
    matched = MomentMatcher(evidence).match(draw_moments(evidence, 300, 12), {})
    outcomes = measure_outcomes(evidence, matched, signed_return(30 * MS_PER_S))
    found = infer_excess(matched, outcomes, 30_000, CONFIG)
    assert found.unmatched_frac < 0.02
    assert found.inference.ci_low < 0.0 < found.inference.ci_high
    assert all(abs(row[2]) < 0.1 for row in matched.describe_balance().values())


def test_a_move_that_is_added_after_the_events_is_found_at_its_size() -> None:
    evidence = make_evidence(make_symbol("AAA", 6, 13))
    matched = MomentMatcher(evidence).match(draw_moments(evidence, 300, 14), {})
    outcomes = measure_outcomes(evidence, matched, signed_return(30 * MS_PER_S))
    moved = replace(outcomes, own=outcomes.own + 5.0)
    found = infer_excess(matched, moved, 30_000, CONFIG).inference
    assert found.ci_low < 5.0 < found.ci_high
    assert found.ci_low > 0.0


def test_means_of_columns_are_those_of_each_column_with_its_own_values() -> None:
    values = np.array([[1.0, np.nan], [3.0, 2.0], [5.0, 4.0]])
    times = START + np.array([0, 0, 2]) * MS_PER_HOUR
    mean, low, high = describe_columns(times, values, np.array([1.0, 1.0, 2.0]), 60)
    assert mean.tolist() == pytest.approx([3.5, 10.0 / 3.0])
    assert (low < mean).all()
    assert (mean < high).all()


def test_what_is_known_of_a_cascade_is_what_was_known_then() -> None:
    evidence = evidence_of("plan", 1, days=1.0, symbols=("BTCUSDT",))
    symbol = evidence.symbols["BTCUSDT"]
    first, confirmed, ended = find_first_known(symbol.cascades), list_confirmations(evidence), list_ends(evidence)
    large = list_crossings(evidence, 200_000.0)
    assert 0 < len(large.moments) < len(confirmed.moments)
    for events in (confirmed, ended, large):
        for place in range(len(events.moments)):
            at, begin = events.moments.times_ms[place], first[events.rows[place]]
            known = symbol.liquidations.filter(
                (pl.col("known_time") >= pl.lit(int(begin)).cast(TIME))
                & (pl.col("known_time") <= pl.lit(int(at) - (events is ended)).cast(TIME))
            )
            by_side = dict(known.group_by("liquidated_side").agg(pl.col("notional_usd").sum()).iter_rows())
            long_usd, short_usd = by_side.get("long", 0.0), by_side.get("short", 0.0)
            assert events.notional_usd[place] == pytest.approx(long_usd + short_usd)
            assert events.moments.pressure[place] == (-1.0 if long_usd >= short_usd else 1.0)
    assert ended.notional_usd == pytest.approx(symbol.cascades["notional_usd"].to_numpy())
    assert (large.notional_usd >= 200_000.0 - 1e-3).all()
    reached = symbol.cascades["notional_usd"].to_numpy() >= 200_000.0
    assert set(large.rows.tolist()) == set(np.flatnonzero(reached).tolist())


def hand_made(n: int, k: int, random: np.random.Generator, symbols: tuple[str, ...] = ("AAA",)) -> MatchedMoments:
    """Matched moments at random times."""
    times = START + np.sort(random.integers(0, 9 * MS_PER_DAY, n))
    moments = Moments(symbols, random.integers(0, len(symbols), n), times, random.choice([-1.0, 1.0], n))
    controls = START + random.integers(0, 9 * MS_PER_DAY, (n, k))
    return MatchedMoments(moments, controls, random.normal(size=(n, 4)), random.normal(size=(n, k, 4)))
