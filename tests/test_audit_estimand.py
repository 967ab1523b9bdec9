"""Population values: the measurement, its twin, the rule for claims, and what is kept on the way."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from liqlab.audit import (
    ESTIMANDS,
    FIRST_SEED,
    POPULATION_SYMBOLS,
    Population,
    SeedSums,
    compute_impact_30s,
    compute_population,
    estimate_population,
    fingerprint,
    get_estimand,
    judge,
    list_stale,
    read_estimands,
    store_estimands,
)
from liqlab.cascades import detect_cascades, get_preset
from liqlab.core import schema
from liqlab.core.errors import ConfigError, EnvironmentFailure, UserError
from liqlab.core.time import MS_PER_DAY
from liqlab.worlds import (
    DEFAULT_START_MS,
    WORLD_NAMES,
    MarketTables,
    World,
    compute_free_paths,
    load_world,
    simulate_tables,
)

IMPACT = get_estimand("impact_30s")
END_MS = DEFAULT_START_MS + MS_PER_DAY


def measure(world: World, seeds: Sequence[int], symbols: Sequence[str] = ("BTCUSDT",)) -> list[SeedSums]:
    sums = []
    for seed in seeds:
        tables = simulate_tables(world, symbols, seed, DEFAULT_START_MS, END_MS)
        sums.append(compute_impact_30s(tables, compute_free_paths(world, symbols, seed, DEFAULT_START_MS, END_MS)))
    return sums


def make_market(
    side: str, slope_bps_per_s: float, free_slope_bps_per_s: float = 0.0
) -> tuple[MarketTables, pl.DataFrame]:
    """One cascade, confirmed at second 100; the price rises by the slope from second 0 on for ten minutes."""
    seconds = np.arange(0, 600, 5)
    time = pl.Series(DEFAULT_START_MS + 1_000 * seconds).cast(schema.TIME)
    known = pl.Series(DEFAULT_START_MS + 1_000 * seconds + 50).cast(schema.TIME)
    blank = schema.TICKER.empty()
    ticker = pl.DataFrame(
        {
            "symbol": ["BTCUSDT"] * len(seconds),
            "known_time": known,
            "event_time": known,
            "mark_price": 100.0 * np.exp(1e-4 * slope_bps_per_s * seconds),
        }
    )
    ticker = pl.concat([blank, ticker], how="diagonal").select(schema.TICKER.names)
    confirmed = pl.Series([DEFAULT_START_MS + 100_000] * 3).cast(schema.TIME)
    rows = pl.DataFrame(
        {
            "symbol": ["BTCUSDT"] * 3,
            "event_time": confirmed,
            "known_time": confirmed,
            "liquidated_side": [side] * 3,
            "quantity": [1_000.0] * 3,
            "price": [100.0] * 3,
            "position": [0, 1, 2],
        }
    )
    liquidations = pl.concat([schema.LIQUIDATIONS.empty(), rows], how="diagonal").select(schema.LIQUIDATIONS.names)
    free = pl.DataFrame(
        {
            "symbol": ["BTCUSDT"] * len(seconds),
            "time": time,
            "free_price": 100.0 * np.exp(1e-4 * free_slope_bps_per_s * seconds),
        }
    )
    return MarketTables(liquidations, ticker, schema.LONG_SHORT_RATIO.empty(), pl.DataFrame()), free


@pytest.mark.parametrize(("side", "pressure"), [("long", -1.0), ("short", 1.0)])
def test_a_known_move_is_measured_with_the_sign_of_the_pressure(side: str, pressure: float) -> None:
    sums = compute_impact_30s(*make_market(side, slope_bps_per_s=2.0, free_slope_bps_per_s=0.5))
    assert sums.n == 1
    assert sums.observed == pytest.approx(pressure * 2.0 * 30.0)
    assert sums.twin == pytest.approx(pressure * 0.5 * 30.0)


def test_a_cascade_without_a_price_in_time_is_left_out() -> None:
    tables, free = make_market("long", 1.0)
    known_ms = tables.ticker["known_time"].to_physical() - DEFAULT_START_MS
    for silent_from, silent_to, n in (
        (100_000, 108_000, 1),
        (100_000, 113_000, 0),
        (129_000, 147_000, 0),
        (129_000, 10**9, 0),
    ):
        heard = tables.ticker.filter(~known_ms.is_between(silent_from, silent_to))
        assert compute_impact_30s(replace(tables, ticker=heard), free).n == n


def slow_impact(tables: MarketTables, free: pl.DataFrame) -> tuple[int, float, float]:
    """Row by row, from the definition."""
    n, observed, twin = 0, 0.0, 0.0
    for cascade in detect_cascades(tables.liquidations, get_preset("plan")).iter_rows(named=True):
        ticker = tables.ticker.filter(symbol=cascade["symbol"])
        path = free.filter(symbol=cascade["symbol"])
        confirmed_ms = int(cascade["confirmed"].timestamp() * 1_000 + 0.5)
        known = ticker["known_time"].to_physical().to_list()
        times = path["time"].to_physical().to_list()
        first = next((i for i, ms in enumerate(known) if ms >= confirmed_ms), None)
        last = next((i for i, ms in enumerate(known) if ms >= confirmed_ms + 30_000), None)
        moment = next((i for i, ms in enumerate(times) if ms >= confirmed_ms), None)
        if first is None or last is None or moment is None:
            continue
        pressure = -1.0 if cascade["dominant_side"] == "long" else 1.0
        n += 1
        observed += pressure * 1e4 * math.log(ticker["mark_price"][last] / ticker["mark_price"][first])
        twin += pressure * 1e4 * math.log(path["free_price"][last] / path["free_price"][moment])
    return n, observed, twin


def test_the_sums_are_those_of_a_plain_loop() -> None:
    world, symbols = load_world("plan"), ("BTCUSDT", "ETHUSDT")
    tables = simulate_tables(world, symbols, 3, DEFAULT_START_MS, END_MS)
    free = compute_free_paths(world, symbols, 3, DEFAULT_START_MS, END_MS)
    sums = compute_impact_30s(tables, free)
    n, observed, twin = slow_impact(tables, free)
    assert sums.n == n > 10
    assert (sums.observed, sums.twin) == (pytest.approx(observed), pytest.approx(twin))


def test_without_impact_the_market_is_its_own_twin() -> None:
    sums = measure(load_world("null"), range(4))
    assert sum(one.n for one in sums) > 50
    population = estimate_population(IMPACT, sums)
    assert population.value is not None
    assert population.standard_error is not None
    # The ticker's mark price is an average over tenths of a second and rounded to ticks: no more than that is left.
    assert abs(population.value) < 0.5
    assert population.standard_error < 0.3


def test_the_twin_of_a_market_without_impact_has_mean_zero_after_the_confirmation() -> None:
    population = estimate_population(IMPACT, measure(load_world("null"), range(40, 60)))
    assert population.n_events > 300
    assert population.twin_mean is not None
    assert population.twin_standard_error is not None
    assert abs(population.twin_mean) < 3.5 * population.twin_standard_error


def test_a_path_that_is_no_martingale_shows_in_the_twin() -> None:
    world = load_world("null")
    price = replace(world.price, jumps_per_day=60.0, jump_duration_s=60.0, jump_sd_minutes=10.0)
    population = estimate_population(IMPACT, measure(replace(world, price=price), range(8)))
    assert population.twin_mean is not None
    assert population.twin_standard_error is not None
    assert population.twin_mean > 4.0 * population.twin_standard_error


def test_followers_of_forced_orders_are_recovered_and_the_twin_cuts_the_error() -> None:
    world = load_world("null")
    book = replace(world.book, impact_bps=4.0, transient_frac=0.0, follow_frac=2.0, follow_half_life_s=20.0)
    sums = measure(replace(world, book=book), range(8))
    population = estimate_population(IMPACT, sums)
    assert population.value is not None
    assert population.standard_error is not None
    assert population.value > 3.0 + 4.0 * population.standard_error
    assert population.verdict in ("true", "undefined")
    n = sum(one.n for one in sums)
    mean = sum(one.observed for one in sums) / n
    raw_error = math.sqrt(sum((one.observed - mean * one.n) ** 2 for one in sums)) / n
    assert population.standard_error < raw_error


def test_the_standard_error_is_that_of_a_mean_when_every_seed_has_one_event() -> None:
    values = np.random.default_rng(1).normal(5.0, 2.0, 200)
    population = estimate_population(IMPACT, [SeedSums(1, value + 1.0, 1.0) for value in values.tolist()])
    assert population.value == pytest.approx(values.mean())
    assert population.standard_error == pytest.approx(values.std(ddof=1) / math.sqrt(200))
    assert (population.twin_mean, population.twin_standard_error) == (pytest.approx(1.0), pytest.approx(0.0))
    assert (population.n_seeds, population.n_events, population.verdict) == (200, 200, "true")


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(7)
    covered = 0
    for _ in range(400):
        n = random.poisson(6.0, 60)
        level = random.normal(0.0, 1.0, 60)
        sums = [
            SeedSums(int(k), float(k * (2.0 + a) + random.normal(0.0, k**0.5)), 0.0)
            for k, a in zip(n, level, strict=True)
        ]
        population = estimate_population(IMPACT, sums)
        assert population.value is not None
        assert population.standard_error is not None
        covered += abs(population.value - 2.0) < 1.96 * population.standard_error
    assert 0.90 < covered / 400 < 0.98


@pytest.mark.parametrize(
    ("value", "error", "verdict"),
    [
        (1.2, 0.1, "true"),
        (1.19, 0.1, "undefined"),
        (0.8, 0.1, "false"),
        (0.81, 0.1, "undefined"),
        (-3.0, 0.1, "false"),
        (1.0, 0.0, "true"),
    ],
)
def test_a_claim_is_true_above_delta_false_below_and_undefined_across(value: float, error: float, verdict: str) -> None:
    assert judge(IMPACT, value, error) == verdict
    mirrored = replace(IMPACT, direction=-1, null_value=10.0)
    assert judge(mirrored, 10.0 - value, error) == verdict


def test_without_a_value_or_with_too_few_events_a_claim_is_undefined() -> None:
    assert judge(IMPACT, None, None) == "undefined"
    assert judge(IMPACT, 5.0, None) == "undefined"
    assert estimate_population(IMPACT, [SeedSums(0, 0.0, 0.0)] * 20).value is None
    assert estimate_population(IMPACT, [SeedSums(2, 100.0, 0.0)] * 20).verdict == "undefined"
    assert estimate_population(IMPACT, [SeedSums(100, 5_000.0, 0.0)] * 5).verdict == "undefined"
    assert estimate_population(IMPACT, [SeedSums(100, 5_000.0, 0.0)] * 20).verdict == "true"


class FakeSeeds:
    """Stands in for the simulation; remembers which seeds were asked for."""

    def __init__(self) -> None:
        self.seeds: list[int] = []
        self.fail_at: int | None = None

    def __call__(self, task: Any) -> dict[str, SeedSums]:
        if task.seed == self.fail_at:
            raise KeyboardInterrupt
        self.seeds.append(task.seed)
        random = np.random.default_rng(task.seed)
        return {IMPACT.id: SeedSums(10, 10.0 + float(random.normal()), float(random.normal()))}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeSeeds:
    made = FakeSeeds()
    monkeypatch.setattr("liqlab.audit._population._measure", made)
    return made


def test_more_seeds_compute_only_what_is_missing_and_give_what_one_go_gives(fake: FakeSeeds, tmp_path: Path) -> None:
    plan = load_world("plan")
    compute_population(plan, 3, work=tmp_path, workers=1)
    assert fake.seeds == [FIRST_SEED, FIRST_SEED + 1, FIRST_SEED + 2]
    fake.seeds.clear()
    continued = compute_population(plan, 5, work=tmp_path, workers=1)
    assert fake.seeds == [FIRST_SEED + 3, FIRST_SEED + 4]
    assert continued == compute_population(plan, 5, workers=1)
    assert compute_population(plan, 3, work=tmp_path, workers=1) == compute_population(plan, 3, workers=1)


def test_an_interrupted_computation_goes_on_where_it_was(fake: FakeSeeds, tmp_path: Path) -> None:
    plan = load_world("plan")
    fake.fail_at = FIRST_SEED + 2
    with pytest.raises(KeyboardInterrupt):
        compute_population(plan, 4, work=tmp_path, workers=1)
    kept = tmp_path / "plan.jsonl"
    kept.write_text(kept.read_text(encoding="utf-8")[:-20], encoding="utf-8")
    fake.fail_at = None
    fake.seeds.clear()
    continued = compute_population(plan, 4, work=tmp_path, workers=1)
    assert fake.seeds == [FIRST_SEED + 1, FIRST_SEED + 2, FIRST_SEED + 3]
    assert continued == compute_population(plan, 4, workers=1)


def test_what_was_kept_of_other_dials_is_not_used(fake: FakeSeeds, tmp_path: Path) -> None:
    plan = load_world("plan")
    compute_population(plan, 2, work=tmp_path, workers=1)
    fake.seeds.clear()
    compute_population(replace(plan, book=replace(plan.book, impact_bps=9.0)), 2, work=tmp_path, workers=1)
    assert len(fake.seeds) == 2


def test_a_place_that_cannot_hold_the_work_is_told(fake: FakeSeeds, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(EnvironmentFailure, match="choose another folder to work in"):
        compute_population(load_world("plan"), 2, work=tmp_path / "file", workers=1)
    assert fake.seeds == []


def test_a_number_of_seeds_below_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1, got 0"):
        compute_population(load_world("plan"), 0)


@pytest.mark.usefixtures("fake")
def test_the_span_holds_the_shock_of_a_world() -> None:
    assert compute_population(load_world("plan"), 1, workers=1).days == 1
    crash = load_world("crash")
    days = compute_population(crash, 1, workers=1).days
    assert (days - 1) * 24 < crash.price.shock_start_h + crash.price.shock_duration_min / 60 <= days * 24


def test_the_fingerprint_follows_the_dials_and_not_the_words() -> None:
    plan = load_world("plan")
    assert fingerprint(replace(plan, description="other words", name="other")) == fingerprint(plan)
    assert fingerprint(replace(plan, book=replace(plan.book, impact_bps=9.0))) != fingerprint(plan)


def test_processes_give_the_same_as_one_thread() -> None:
    quiet = load_world("quiet")
    assert compute_population(quiet, 2, workers=2) == compute_population(quiet, 2, workers=1)


@pytest.mark.usefixtures("fake")
def test_stored_values_are_read_back_beside_those_of_other_worlds(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "estimands.json"
    populations = [compute_population(load_world(name), 20, workers=1) for name in ("plan", "null")]
    for population in populations:
        store_estimands([population], path)
    stored = read_estimands(path)
    assert list(stored) == ["null", "plan"]
    for population in populations:
        entry = stored[population.world]["values"]["impact_30s"]
        assert {name: entry[name] for name in Population.__dataclass_fields__} == vars(population.values["impact_30s"])
        assert (entry["delta"], entry["unit"]) == (1.0, "bps")
    assert list_stale(path) == [name for name in WORLD_NAMES if name not in ("plan", "null")]


def test_a_damaged_store_is_told(tmp_path: Path) -> None:
    (tmp_path / "estimands.json").write_text("{", encoding="utf-8")
    with pytest.raises(EnvironmentFailure, match="cannot read"):
        read_estimands(tmp_path / "estimands.json")


def test_the_packaged_values_belong_to_the_worlds_as_they_are() -> None:
    assert list_stale() == [], "run liqlab worlds estimand"
    for entry in read_estimands().values():
        assert set(entry["values"]) == {estimand.id for estimand in ESTIMANDS}
        assert tuple(entry["symbols"]) == POPULATION_SYMBOLS
        json.dumps(entry, allow_nan=False)


def test_the_packaged_values_know_that_nothing_follows_where_nothing_is_caused() -> None:
    verdicts = {name: entry["values"]["impact_30s"]["verdict"] for name, entry in read_estimands().items()}
    assert verdicts["null"] == "false"
    assert verdicts["planted-strong"] == "true"


def test_an_unknown_estimand_is_told_with_those_there_are() -> None:
    with pytest.raises(UserError, match="unknown estimand 'impact'; available: impact_30s"):
        get_estimand("impact")
