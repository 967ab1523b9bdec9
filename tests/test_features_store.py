"""Reading features and labels, and the whole way from captures to them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from liqlab.cascades import get_preset
from liqlab.core.errors import SourceError, UserError
from liqlab.core.schema import LABELS, check_frame
from liqlab.core.time import parse_time
from liqlab.features import (
    FEATURE_TABLE,
    ColumnNote,
    FeatureConfig,
    FeatureStore,
    FeatureWalk,
    LabelWalk,
    describe_features,
    iterate_features,
)
from liqlab.lake import Lake, ingest
from liqlab.panel import find_scope, read_known_liquidations, walk_days
from liqlab.worlds import simulate

SYMBOLS = ("BTCUSDT", "ETHUSDT")


@pytest.fixture(scope="module")
def lake_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("features")
    start_ms = parse_time("2026-02-09T20:00")
    simulate(folder / "captures", days=0.3, seed=5, symbols=SYMBOLS, start_ms=start_ms, dirt=True, workers=1)
    ingest(folder / "captures", folder / "lake", workers=1)
    return folder / "lake"


@pytest.fixture(scope="module")
def tables(lake_path: Path) -> tuple[pl.DataFrame, pl.DataFrame, list[ColumnNote]]:
    notes: list[ColumnNote] = []
    with Lake(lake_path) as lake:
        days = list(iterate_features(lake, find_scope(lake), notes=notes))
    return pl.concat([day.features for day in days]), pl.concat([day.labels for day in days]), notes


def test_the_way_from_captures_gives_both_tables_for_the_same_times(
    tables: tuple[pl.DataFrame, pl.DataFrame, list[ColumnNote]],
) -> None:
    features, labels, notes = tables
    check_frame(features, FEATURE_TABLE)
    check_frame(labels, LABELS)
    assert_frame_equal(features.select("symbol", "time"), labels.select("symbol", "time"))
    assert features["symbol"].unique().sort().to_list() == list(SYMBOLS)
    assert features.select((pl.col("time").diff().over("symbol") == pl.duration(seconds=5)).all()).item()
    assert features["liq_volume_5s"].sum() > 0
    assert len(notes) == 2 * (len(FEATURE_TABLE.columns) - 2 + len(LABELS.columns) - 2)
    assert describe_features(notes).height == len(FEATURE_TABLE.columns) - 2


def test_the_way_is_that_of_the_walks(
    lake_path: Path, tables: tuple[pl.DataFrame, pl.DataFrame, list[ColumnNote]]
) -> None:
    with Lake(lake_path) as lake:
        scope = find_scope(lake)
        liquidations = {symbol: read_known_liquidations(lake, symbol, scope) for symbol in scope.symbols}
        symbol = "ETHUSDT"
        walk = FeatureWalk(symbol, liquidations, scope, get_preset("plan"))
        labels = LabelWalk(symbol, scope)
        found, known = [], []
        for day in walk_days(lake, symbol, scope, liquidations[symbol], lake.read_long_short_ratio(symbol)):
            found.append(walk.add(day))
            known.append(labels.add(day))
        known.append(labels.finish())
    own = pl.col("symbol") == symbol
    assert_frame_equal(pl.concat(found), tables[0].filter(own), check_exact=True)
    assert_frame_equal(pl.concat(known), tables[1].filter(own), check_exact=True)


def test_a_delay_that_is_assumed_moves_liquidations_and_a_preset_the_cascades(lake_path: Path) -> None:
    config = FeatureConfig(features=("liq_volume_5s", "liq_cascade_flag"))
    loose = replace(get_preset("plan"), min_liquidations=1, min_notional_usd=0.0)
    with Lake(lake_path) as lake:
        scope = find_scope(lake)
        plain, moved, many = (
            pl.concat(day.features for day in iterate_features(lake, scope, config=config, **options))
            for options in ({}, {"assumed_delay_s": 20.0}, {"preset": loose})
        )
    assert plain["liq_volume_5s"].sum() == pytest.approx(moved["liq_volume_5s"].sum(), rel=0.05)
    assert not plain["liq_volume_5s"].equals(moved["liq_volume_5s"])
    assert many["liq_cascade_flag"].sum() > plain["liq_cascade_flag"].sum()


def test_a_store_reads_what_is_asked_for(tables: tuple[pl.DataFrame, pl.DataFrame, list[ColumnNote]]) -> None:
    features, labels, _ = tables
    store = FeatureStore.from_frames(features, labels)
    assert store.symbols == SYMBOLS
    assert store.feature_names == tuple(FEATURE_TABLE.names[2:])
    assert store.label_names == tuple(LABELS.names[2:])
    own = pl.col("symbol") == "ETHUSDT"
    found = store.read("ETHUSDT", features=("liq_rate",), labels=("return_60s",), every_ms=60_000)
    on_minute = pl.col("time").dt.second() == 0
    expected = features.filter(own, on_minute).select("time", "liq_rate")
    assert_frame_equal(found.drop("return_60s"), expected)
    assert_frame_equal(found.select("return_60s"), labels.filter(own, on_minute).select("return_60s"))
    assert_frame_equal(store.read("ETHUSDT"), features.filter(own).drop("symbol"))
    assert store.read("ETHUSDT", features=()).columns == ["time"]


def test_labels_are_joined_by_time_where_some_are_missing(
    tables: tuple[pl.DataFrame, pl.DataFrame, list[ColumnNote]],
) -> None:
    features, labels, _ = tables
    few = labels.filter(pl.col("time").dt.minute() < 30).sample(fraction=1.0, shuffle=True, seed=1)
    found = FeatureStore.from_frames(features, few).read("BTCUSDT", ("liq_rate",), ("return_10s",))
    whole = FeatureStore.from_frames(features, labels).read("BTCUSDT", ("liq_rate",), ("return_10s",))
    expected = whole.with_columns(return_10s=pl.when(pl.col("time").dt.minute() < 30).then("return_10s"))
    assert_frame_equal(found, expected)


def test_a_folder_gives_the_same_store(
    tables: tuple[pl.DataFrame, pl.DataFrame, list[ColumnNote]], tmp_path: Path
) -> None:
    features, labels, _ = tables
    with pytest.raises(SourceError, match=r"no features.parquet in .*liqlab features SOURCE -o"):
        FeatureStore.from_folder(tmp_path)
    features.write_parquet(tmp_path / "features.parquet")
    labels.write_parquet(tmp_path / "labels.parquet")
    store = FeatureStore.from_folder(tmp_path)
    in_memory = FeatureStore.from_frames(features, labels)
    names = LABELS.names[2:]
    assert_frame_equal(store.read("BTCUSDT", labels=names), in_memory.read("BTCUSDT", labels=names))


def test_unknown_names_are_refused_with_those_there_are(
    tables: tuple[pl.DataFrame, pl.DataFrame, list[ColumnNote]],
) -> None:
    store = FeatureStore.from_frames(tables[0], tables[1])
    with pytest.raises(UserError, match="unknown symbol 'XRPUSDT'; available: BTCUSDT, ETHUSDT"):
        store.read("XRPUSDT")
    with pytest.raises(UserError, match="unknown feature 'liq_vibes'"):
        store.read("BTCUSDT", features=("liq_vibes",))
    with pytest.raises(UserError, match="unknown label 'return_1s'; available: return_10s"):
        store.read("BTCUSDT", labels=("return_1s",))
