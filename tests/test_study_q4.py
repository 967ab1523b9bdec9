"""Question 4: zones against matched levels, the shift of the map; and what bad input leaves of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import polars as pl
import pytest
from evidence_of import evidence_of

from liqlab.core.schema import check_frame
from liqlab.core.time import MS_PER_DAY, MS_PER_HOUR
from liqlab.panel import ZONES, ZoneConfig
from liqlab.study._evidence import Evidence
from liqlab.study._inference import Answer, QuestionConfig
from liqlab.study._protocol import Finding
from liqlab.study._q4_zones import Sightings, answer_q4, find_sightings
from liqlab.study._q4_zones_compare import compare_pairs, compare_touches
from liqlab.study._q4_zones_levels import MIRROR, RANDOM, ZONE, LevelConfig, Levels
from liqlab.study._q4_zones_shift import LIQUIDATION_DENSITY, ZONE_SHIFT, infer_shift, measure_shift
from liqlab.study._q4_zones_tables import ZONE_FORECASTS, ZONE_RELIABILITY, ZONE_SCORES
from liqlab.worlds import DEFAULT_START_MS

SYMBOLS = ("BTCUSDT", "SOLUSDT")
CONFIG = QuestionConfig(n_resamples=999)
TABLES = {
    "zones": ZONES,
    "zone_scores": ZONE_SCORES,
    "zone_forecasts": ZONE_FORECASTS,
    "zone_reliability": ZONE_RELIABILITY,
    "zone_shift": ZONE_SHIFT,
    "liquidation_density": LIQUIDATION_DENSITY,
}
Frames = tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return evidence_of("null", 4, days=5.0, symbols=SYMBOLS)


@pytest.fixture(scope="module")
def seen(evidence: Evidence) -> Sightings:
    return find_sightings(evidence, SYMBOLS, ZoneConfig(), LevelConfig(), 0)


@pytest.fixture(scope="module")
def answer(evidence: Evidence) -> Answer:
    return answer_q4(evidence, CONFIG)


def _findings(answer: Answer) -> dict[str, Finding]:
    return {finding.id: finding for finding in answer.findings}


def test_every_hypothesis_has_a_finding_with_numbers(answer: Answer) -> None:
    assert list(_findings(answer)) == ["Q4.1", "Q4.2", "Q4.3", "Q4.4"]
    for finding in answer.findings:
        assert not finding.shortfall
        assert not finding.doubt
        assert finding.effect is not None
        assert finding.ci_low is not None
        assert finding.ci_high is not None
        assert finding.ci_low <= finding.effect <= finding.ci_high


def test_tables_are_as_declared(answer: Answer) -> None:
    assert set(answer.tables) == set(TABLES)
    for name, table in TABLES.items():
        assert check_frame(answer.tables[name], table).columns == table.names
        assert answer.tables[name].height


def test_the_same_evidence_gives_the_same_answer(evidence: Evidence, answer: Answer) -> None:
    again = answer_q4(evidence, CONFIG)
    assert again.findings == answer.findings
    for name, table in answer.tables.items():
        assert again.tables[name].equals(table)


def test_where_nothing_follows_from_liquidations_zones_neither_attract_nor_turn_the_price(answer: Answer) -> None:
    for name in ("Q4.1", "Q4.2", "Q4.3"):
        found = _findings(answer)[name]
        assert found.ci_low is not None
        assert found.ci_high is not None
        assert found.ci_low < 0.0 < found.ci_high


def test_a_mirror_image_is_as_far_away_on_the_other_side(evidence: Evidence, seen: Sightings) -> None:
    levels = seen.levels
    for code, name in enumerate(SYMBOLS):
        symbol = evidence.symbols[name]
        zones, mirrors = (np.flatnonzero((levels.kind == kind) & (levels.code == code)) for kind in (ZONE, MIRROR))
        np.testing.assert_array_equal(levels.pair[zones], levels.pair[mirrors])
        np.testing.assert_array_equal(levels.side[zones], -levels.side[mirrors])
        price = symbol.price[symbol.rows_at(levels.time_ms[zones])]
        np.testing.assert_allclose(levels.level[zones] * levels.level[mirrors], price**2, rtol=1e-12)
        away = 1e4 * np.log(levels.level[zones] / price) * levels.side[zones]
        np.testing.assert_allclose(away, levels.distance[zones] * levels.volatility_bps[zones], rtol=1e-9)


def test_levels_are_in_reach_and_random_ones_on_both_sides(seen: Sightings) -> None:
    levels = seen.levels
    assert levels.distance.min() >= 0.25
    assert levels.distance.max() <= 2.0
    drawn = levels.kind == RANDOM
    assert 0.4 < (levels.side[drawn] > 0.0).mean() < 0.6
    assert levels.is_clear[drawn].mean() > 0.5


def test_levels_do_not_change_when_the_future_arrives(seen: Sightings) -> None:
    now_ms = DEFAULT_START_MS + 40 * MS_PER_HOUR

    def past_only(*frames: pl.DataFrame) -> Frames:
        first, second, third = (rows.filter(pl.col("known_time").to_physical() <= now_ms) for rows in frames)
        return first, second, third

    past = evidence_of("null", 4, days=5.0, symbols=SYMBOLS, change=past_only)
    found = find_sightings(past, SYMBOLS, ZoneConfig(), LevelConfig(), 0).levels
    whole = seen.levels
    for code in range(len(SYMBOLS)):
        for kind in (ZONE, MIRROR, RANDOM):
            own = (found.code == code) & (found.kind == kind) & (found.time_ms < now_ms)
            same = (whole.code == code) & (whole.kind == kind) & (whole.time_ms < now_ms)
            assert own.sum()
            for field in fields(Levels):
                if field.name != "pair":
                    values, expected = getattr(found, field.name)[own], getattr(whole, field.name)[same]
                    np.testing.assert_allclose(values, expected, rtol=1e-12)


def test_reactions_are_what_a_slow_walk_along_the_prices_gives(evidence: Evidence, seen: Sightings) -> None:
    levels, reactions = seen.levels, seen.reactions
    outcomes = {"none": 0, "reversed": 0, "broke": 0}
    for row in range(0, len(levels.level), 23):
        symbol = evidence.symbols[SYMBOLS[levels.code[row]]]
        known, price = symbol.prices.known_ms, symbol.prices.price
        start, side = levels.time_ms[row], levels.side[row]
        hour = np.flatnonzero((known > start) & (known <= start + MS_PER_HOUR))
        beyond = hour[side * (price[hour] - levels.level[row]) >= 0.0]
        if np.isnan(reactions.visited[row]):
            continue
        assert reactions.visited[row] == float(len(beyond) > 0)
        assert reactions.touch_ms[row] == (known[beyond[0]] if len(beyond) else -1)
        if not len(beyond) or np.isnan(reactions.reversed[row]):
            continue
        touch = beyond[0]
        at = symbol.rows_at([known[touch]])[0]
        width = 1e-4 * np.sqrt(15.0 * np.nanmean(symbol.trailing_return_bps(60)[at - 179 : at + 1] ** 2))
        after = np.flatnonzero((known > known[touch]) & (known <= known[touch] + MS_PER_HOUR))
        moves = side * np.log(price[after] / price[touch])
        hits = np.flatnonzero(np.abs(moves) >= width)
        outcome = "none" if not len(hits) else ("broke" if moves[hits[0]] > 0.0 else "reversed")
        assert (reactions.broke[row], reactions.reversed[row]) == (outcome == "broke", outcome == "reversed")
        outcomes[outcome] += 1
    assert min(outcomes["reversed"], outcomes["broke"]) > 5


def test_a_visit_made_more_likely_at_zones_is_found(seen: Sightings) -> None:
    levels, random = seen.levels, np.random.default_rng(0)
    everywhere = levels.kind == ZONE
    chance = np.where(everywhere, 0.5, 0.3)
    values = (random.random(len(chance)) < chance).astype(np.float64)
    found = compare_pairs(levels, values, everywhere).infer(3_600_000, CONFIG)
    assert found.ci_low < 0.2 < found.ci_high
    assert found.p < 0.01


def test_a_reversal_made_more_likely_at_zones_is_found(seen: Sightings) -> None:
    levels, reactions, random = seen.levels, seen.reactions, np.random.default_rng(0)
    everywhere = levels.kind == ZONE
    chance = np.where(everywhere, 0.75, 0.4)
    values = np.where(reactions.touch_ms >= 0, random.random(len(chance)) < chance, np.nan)
    found = compare_touches(levels, reactions, values, everywhere)
    inference = found.infer(3_600_000, CONFIG)
    assert inference.ci_low < 0.35 < inference.ci_high
    assert inference.p < 0.05
    assert found.n_zones == int((everywhere & (reactions.touch_ms >= 0) & np.isfinite(reactions.quickening)).sum())


def test_a_trend_alone_is_not_taken_for_an_attraction(seen: Sightings) -> None:
    levels = seen.levels
    values = np.clip(0.5 - 0.15 * levels.trend[:, 1], 0.0, 1.0)
    found = compare_pairs(levels, values, levels.kind == ZONE)
    assert abs(found.effect) < 0.01
    assert abs(found.zone_value - found.random_value) > 0.01


def test_the_same_day_again_is_no_shift(evidence: Evidence) -> None:
    symbol = evidence.symbols["BTCUSDT"]
    day = symbol.liquidations.filter(pl.col("known_time").to_physical() < DEFAULT_START_MS + MS_PER_DAY)
    copies = [
        day.with_columns(pl.col("known_time") + pl.duration(milliseconds=MS_PER_DAY * number)) for number in range(5)
    ]
    repeated = replace(symbol, liquidations=pl.concat(copies))
    shift = measure_shift(replace(evidence, symbols={"BTCUSDT": repeated}), ZoneConfig(), 0)
    assert shift.height == 4
    assert (shift["new_frac"] == 0.0).all()
    assert infer_shift(shift).estimate < 0.0


def test_a_map_that_moves_each_day_is_a_shift(evidence: Evidence) -> None:
    symbol = evidence.symbols["BTCUSDT"]
    day = symbol.liquidations.filter(pl.col("known_time").to_physical() < DEFAULT_START_MS + MS_PER_DAY)
    moved = [
        day.with_columns(
            pl.col("known_time") + pl.duration(milliseconds=MS_PER_DAY * number),
            price=pl.col("price") * 1.3**number,
        )
        for number in range(5)
    ]
    shift = measure_shift(
        replace(evidence, symbols={"BTCUSDT": replace(symbol, liquidations=pl.concat(moved))}), ZoneConfig(), 0
    )
    assert (shift["new_frac"] == 1.0).all()
    assert infer_shift(shift).estimate == pytest.approx(1.0)


def test_density_adds_up_to_what_was_liquidated(evidence: Evidence, answer: Answer) -> None:
    density = answer.tables["liquidation_density"]
    for name, symbol in evidence.symbols.items():
        own = density.filter(pl.col("symbol") == name)
        total = own["long_notional_usd"].sum() + own["short_notional_usd"].sum()
        assert total == pytest.approx(symbol.liquidations["notional_usd"].sum())
        assert own["n_liquidations"].sum() == symbol.liquidations.height


def _without_ticker(liquidations: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> Frames:
    return liquidations, ticker.clear(), ratio


def _few_events(liquidations: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> Frames:
    return liquidations.head(12), ticker, ratio


def _longs_only_without_the_rest(liquidations: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> Frames:
    bare = ticker.with_columns(open_interest=pl.lit(None, pl.Float64))
    return liquidations.with_columns(liquidated_side=pl.lit("long")), bare, ratio.clear()


def _gap(liquidations: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> Frames:
    first, last = (DEFAULT_START_MS + hours * MS_PER_HOUR for hours in (50, 62))
    outside = ~pl.col("known_time").to_physical().is_between(first, last)
    return liquidations.filter(outside), ticker.filter(outside), ratio


def _answer(change: Callable[..., Frames], symbols: tuple[str, ...] = SYMBOLS) -> dict[str, Finding]:
    answer = answer_q4(evidence_of("null", 4, days=5.0, symbols=symbols, change=change), CONFIG)
    for name, table in TABLES.items():
        check_frame(answer.tables[name], table)
    return _findings(answer)


def test_without_a_ticker_the_shift_of_zones_is_still_answered() -> None:
    found = _answer(_without_ticker)
    assert all("no ticker" in found[name].shortfall for name in ("Q4.1", "Q4.2", "Q4.3"))
    assert not found["Q4.4"].shortfall
    assert found["Q4.4"].ci_low is not None


def test_twelve_liquidations_make_no_zone() -> None:
    found = _answer(_few_events)
    assert "needs 100 hours of a zone within reach, found 0" in found["Q4.1"].shortfall
    assert all(finding.shortfall for finding in found.values())


@pytest.mark.parametrize("change", [_longs_only_without_the_rest, _gap])
def test_spoilt_input_leaves_zones_answered(change: Callable[..., Frames]) -> None:
    found = _answer(change)
    for name in ("Q4.1", "Q4.2"):
        assert not found[name].shortfall
        assert found[name].ci_low is not None


def test_days_beside_a_gap_are_not_compared(evidence: Evidence) -> None:
    gap = evidence_of("null", 4, days=5.0, symbols=SYMBOLS, change=_gap)
    days = measure_shift(gap, ZoneConfig(), 0)["time"].unique().len()
    assert days == measure_shift(evidence, ZoneConfig(), 0)["time"].unique().len() - 2


def test_one_symbol_alone_is_enough() -> None:
    found = _answer(lambda *frames: frames, ("SOLUSDT",))
    assert not found["Q4.1"].shortfall
