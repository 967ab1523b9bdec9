"""A feature at t depends on what was known by t, on no more history than it declares, and on nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from test_features_market import (
    END_MS,
    GAPS_MS,
    PRESET,
    START_MS,
    SYMBOLS,
    gap_tables,
    gapless_tables,
    known_in,
    walk_features,
)

from liqlab.cascades import detect_cascades, get_preset
from liqlab.core.errors import UserError
from liqlab.core.schema import check_frame
from liqlab.core.time import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE
from liqlab.features import FEATURE_TABLE, FEATURES, FeatureConfig, FeatureWalk

#: By then the ticker interval has been measured on its first 1,000 rows.
MEASURED_MS = START_MS + 90 * MS_PER_MINUTE


def until(features: pl.DataFrame, cut_ms: int) -> pl.DataFrame:
    return features.filter(pl.col("time").to_physical() <= cut_ms)


def choose_cuts() -> list[int]:
    """Inside bursts and cascades, at and beside bar edges, between event and known time, at silences, on hours."""
    cascades = detect_cascades(gap_tables().liquidations["BTCUSDT"], PRESET)
    late = cascades.filter(pl.col("confirmed").to_physical() > MEASURED_MS)
    confirmed = late["confirmed"].to_physical().to_list()
    rows = known_in(gap_tables().liquidations["BTCUSDT"], MEASURED_MS, END_MS)
    event, known = (rows[name].to_physical().to_numpy() for name in ("event_time", "known_time"))
    across = np.flatnonzero(event // 5_000 < known // 5_000)
    edge = START_MS + 100 * MS_PER_MINUTE + 35_000
    return [
        *(moment + shift for moment in confirmed[3::40] for shift in (0, 1)),
        *late["ended"].to_physical().to_list()[5::60],
        *(int(known[row]) - 1 for row in across[10::60]),
        *(edge + shift for shift in (-1, 0, 1)),
        *(moment for gap in GAPS_MS for moment in (gap[0] + 30_000, gap[1], gap[1] + 61_000)),
        START_MS + 3 * MS_PER_HOUR,
        START_MS + 3 * MS_PER_HOUR + 1,
        END_MS,
    ]


@pytest.mark.parametrize("symbol", SYMBOLS[:2])
def test_features_of_what_was_known_at_a_cut_are_the_features_of_everything_until_then(symbol: str) -> None:
    whole, _ = walk_features(gap_tables(), symbol)
    cuts = choose_cuts()
    assert len(cuts) > 20
    for cut_ms in cuts:
        early, _ = walk_features(gap_tables().known_until(cut_ms), symbol)
        assert_frame_equal(until(early, cut_ms), until(whole, cut_ms), check_exact=True)


@settings(max_examples=10)
@given(st.integers(MEASURED_MS, END_MS))
def test_no_moment_at_all_can_be_told_from_the_future(cut_ms: int) -> None:
    whole, _ = walk_features(gap_tables(), "SOLUSDT")
    early, _ = walk_features(gap_tables().known_until(cut_ms), "SOLUSDT")
    assert_frame_equal(until(early, cut_ms), until(whole, cut_ms), check_exact=True)


@pytest.mark.parametrize("step_ms", [MS_PER_HOUR, 2 * MS_PER_HOUR, MS_PER_DAY])
def test_day_by_day_gives_the_bits_of_one_long_day(step_ms: int) -> None:
    whole, _ = walk_features(gap_tables(), "DOGEUSDT", step_ms=100 * MS_PER_DAY)
    assert whole.height == (END_MS - START_MS) // 5_000
    parts, _ = walk_features(gap_tables(), "DOGEUSDT", step_ms=step_ms)
    assert_frame_equal(parts, whole, check_exact=True)


def test_a_feature_forgets_what_lies_before_its_lookback() -> None:
    late_ms = START_MS + MS_PER_HOUR
    tables = gapless_tables()
    late = replace(
        tables,
        start_ms=late_ms,
        liquidations={name: known_in(rows, late_ms, END_MS) for name, rows in tables.liquidations.items()},
    )
    whole, _ = walk_features(tables, "BTCUSDT")
    found, _ = walk_features(late, "BTCUSDT")
    for feature in FEATURES:
        since = pl.col("time").to_physical() > late_ms + feature.lookback_s * 1_000
        columns = ("time", feature.name)
        assert_frame_equal(
            found.filter(since).select(columns),
            whole.filter(since).select(columns),
            check_exact=True,
        )


def test_the_first_value_comes_with_the_warm_up_that_is_declared() -> None:
    _, walk = walk_features(gapless_tables(), "BTCUSDT")
    for feature, note in zip(FEATURES, walk.notes, strict=True):
        assert note.first_ms is not None
        warm_up_s = (note.first_ms - START_MS) / 1_000
        if feature.name.startswith(("liq_imbalance", "liq_corr", "liq_rate_z")) or feature.family == "long/short ratio":
            assert warm_up_s >= feature.warm_up_s, feature.name
        else:
            assert warm_up_s == feature.warm_up_s, feature.name


def test_nothing_is_carried_into_or_across_a_silence() -> None:
    features, _ = walk_features(gap_tables(), "BTCUSDT")
    start_ms, end_ms = GAPS_MS[2]
    inside = pl.col("time").to_physical().is_between(start_ms + MS_PER_MINUTE, end_ms, closed="none")
    silent = features.filter(inside).drop("symbol", "time")
    assert silent.height > 200
    assert silent.null_count().row(0) == (silent.height,) * len(FEATURES)
    for feature in FEATURES:
        if 60 < feature.lookback_s < (end_ms - start_ms) / 1_000:
            soon = pl.col("time").to_physical().is_between(end_ms, end_ms + 750 * feature.lookback_s)
            assert features.filter(soon)[feature.name].null_count() == features.filter(soon).height, feature.name


def test_the_table_has_its_columns_and_neither_nan_nor_infinity() -> None:
    features, walk = walk_features(gap_tables(), "BTCUSDT")
    check_frame(features, FEATURE_TABLE)
    assert features.columns == FEATURE_TABLE.names
    values = features.select(feature.name for feature in FEATURES)
    assert values.select(pl.all().is_finite().all()).row(0) == (True,) * len(FEATURES)
    for note in walk.notes:
        assert note.n_values == features.height - features[note.column].null_count()
        assert note.n_times == features.height


def test_relations_between_features_hold() -> None:
    table, _ = walk_features(gap_tables(), "BTCUSDT")
    both = table["liq_buy_volume"] + table["liq_sell_volume"]
    np.testing.assert_allclose(both.to_numpy(), table["liq_volume_5s"].to_numpy(), rtol=1e-12)
    assert (table["liq_volume_1s"] <= table["liq_volume_5s"] * (1 + 1e-12)).all()
    assert ((table["liq_cascade_size"] > 0) == (table["liq_cascade_flag"] == 1.0)).all()
    for ending in ("5m", "15m", "1h"):
        assert (table[f"liq_volume_max_{ending}"] >= table[f"liq_volume_mean_{ending}"]).all()
        assert table[f"liq_imbalance_{ending}"].is_between(-1.0, 1.0).all()
    assert table["liq_correlation_5m"].is_between(-1.0, 1.0).all()


def test_chosen_features_are_those_of_the_whole_table() -> None:
    names = ("realised_volatility_5m", "liq_rate", "liq_correlation_5m")
    whole, _ = walk_features(gap_tables(), "BTCUSDT")
    chosen, _ = walk_features(gap_tables(), "BTCUSDT", FeatureConfig(features=names))
    assert_frame_equal(chosen, whole.select("symbol", "time", *names), check_exact=True)
    none, _ = walk_features(gap_tables(), "BTCUSDT", FeatureConfig(features=()))
    assert_frame_equal(none, whole.select("symbol", "time"))


def test_an_unknown_feature_is_refused_with_those_there_are() -> None:
    tables = gapless_tables()
    config = FeatureConfig(features=("liq_rate", "liq_vibes"))
    with pytest.raises(UserError, match=r"unknown feature 'liq_vibes'; available: atr_bps, .*liq_rate"):
        FeatureWalk("BTCUSDT", tables.liquidations, tables.scope(), get_preset("plan"), config)


def test_days_of_another_symbol_or_out_of_order_are_refused() -> None:
    tables = gapless_tables()
    walk = FeatureWalk("BTCUSDT", tables.liquidations, tables.scope(), PRESET)
    first, second = tables.days("BTCUSDT")
    walk.add(second)
    with pytest.raises(ValueError, match="in order"):
        walk.add(first)
    with pytest.raises(ValueError, match="SOLUSDT"):
        walk.add(tables.days("SOLUSDT")[0])


def test_rows_in_any_order_give_the_same_features() -> None:
    tables = gapless_tables()
    shuffled = {name: rows.sample(fraction=1.0, shuffle=True, seed=2) for name, rows in tables.liquidations.items()}
    walks = [FeatureWalk("BTCUSDT", rows, tables.scope(), PRESET) for rows in (tables.liquidations, shuffled)]
    first, second = (walk.add(tables.days("BTCUSDT")[0]) for walk in walks)
    exact = ("liq_cascade_size", "liq_cascade_flag")
    assert_frame_equal(first.select(exact), second.select(exact), check_exact=True)
    assert_frame_equal(first, second, rel_tol=1e-9)


def test_days_that_are_left_out_are_silence() -> None:
    hours = gapless_tables().days("BTCUSDT", MS_PER_HOUR)
    walk = FeatureWalk("BTCUSDT", gapless_tables().liquidations, gapless_tables().scope(), PRESET)
    walk.add(hours[0])
    after = walk.add(hours[3])
    assert after["trailing_return_1h"].null_count() == after.height
    assert after["liq_volume_1m"].head(9).null_count() == 9
    assert after["liq_volume_1m"].null_count() == 9
