"""Bad input gives a note and nulls: no crash, no warning, no NaN."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import polars as pl
import pytest
from test_features_market import (
    END_MS,
    START_MS,
    Tables,
    empty_tables,
    gap_tables,
    gapless_tables,
    known_in,
    walk_features,
    walk_labels,
)

from liqlab.core.errors import ConfigError
from liqlab.core.schema import LIQUIDATIONS
from liqlab.core.time import MS_PER_HOUR
from liqlab.features import FEATURES, FeatureConfig

NAMES = [feature.name for feature in FEATURES]
FAMILY = {feature.name: feature.family for feature in FEATURES}


def notes_of(tables: Tables, symbol: str = "BTCUSDT", config: FeatureConfig | None = None) -> dict[str, str]:
    """The note of each feature; checks what must hold of any table."""
    features, walk = walk_features(tables, symbol, config)
    notes = {note.column: note.note for note in walk.notes}
    for name in NAMES:
        values = features[name].drop_nulls()
        assert values.is_finite().all(), name
        if not len(values):
            assert notes[name], f"{name} is all null without a reason"
        if len(values) > 1 and values.min() == values.max():
            assert notes[name].startswith("constant: "), name
    return notes


def without_liquidations(tables: Tables) -> Tables:
    return replace(tables, liquidations=dict.fromkeys(tables.symbols, LIQUIDATIONS.empty()))


def test_a_market_without_liquidations_gives_constants_and_says_so() -> None:
    notes = notes_of(without_liquidations(gapless_tables()))
    assert notes["liq_volume_5s"] == notes["liq_cascade_flag"] == notes["liq_rate"] == "constant: 0 throughout"
    assert notes["liq_imbalance_1h"].startswith("no value: ")
    assert notes["liq_rate_zscore_5m"].startswith("no value: ")
    assert notes["trailing_return_1m"] == ""


def test_columns_that_are_null_throughout_are_named() -> None:
    tables = gapless_tables().with_ticker(open_interest=pl.lit(None, pl.Float64), index_price=pl.lit(None, pl.Float64))
    notes = notes_of(tables)
    for name in NAMES:
        if FAMILY[name] == "open interest":
            assert notes[name] == "no value: no open_interest in the data"
    assert notes["basis_bps"] == "no value: no index_price in the data"


def test_either_price_will_do() -> None:
    tables = gapless_tables().with_ticker(mark_price=pl.lit(None, pl.Float64))
    features, walk = walk_features(tables, "BTCUSDT")
    notes = {note.column: note.note for note in walk.notes}
    last = tables.day("BTCUSDT", START_MS, END_MS).dataset["last_price"]
    expected = (last / last.shift(12) - 1).drop_nulls()
    assert features["trailing_return_1m"].drop_nulls().to_list() == pytest.approx(expected.to_list(), abs=1e-12)
    assert notes["trailing_return_1m"] == ""


def test_no_long_short_ratio_is_said() -> None:
    tables = gapless_tables()
    empty = {symbol: rows.clear() for symbol, rows in tables.ratio.items()}
    assert notes_of(replace(tables, ratio=empty))["long_short_ratio"] == "no value: no ratio in the data"


def test_constant_columns_are_said() -> None:
    tables = gapless_tables().with_ticker(mark_price=pl.lit(70_000.0), open_interest=pl.lit(5.0))
    notes = notes_of(tables)
    for name in (
        "open_interest_velocity",
        "atr_bps",
        "bollinger_width",
        "realised_volatility_1h",
        "trailing_return_5m",
    ):
        assert notes[name] == "constant: 0 throughout"


def test_one_symbol_alone_has_no_correlation_and_says_why() -> None:
    notes = notes_of(gapless_tables().only("BTCUSDT"))
    assert notes["liq_correlation_5m"] == "no other symbol"
    assert notes["liq_btc_lead"] == ""


def test_without_btc_nothing_leads() -> None:
    notes = notes_of(gapless_tables().only("DOGEUSDT", "SOLUSDT"), "SOLUSDT")
    assert notes["liq_btc_lead"] == "no symbol that begins with BTC"
    assert notes["liq_correlation_5m"] == ""


@pytest.mark.parametrize("bad", [float("inf"), float("-inf"), -1.0, 0.0])
def test_infinite_and_non_positive_inputs_are_left_out_and_counted(bad: float) -> None:
    known = pl.col("known_time").to_physical()
    spoiled = known.is_between(START_MS + MS_PER_HOUR, START_MS + MS_PER_HOUR + 60_000)
    tables = gapless_tables().with_ticker(
        **{
            name: pl.when(spoiled).then(pl.lit(bad)).otherwise(name)
            for name in ("mark_price", "last_price", "index_price", "open_interest")
        }
    )
    features, walk = walk_features(tables, "BTCUSDT")
    during = pl.col("time").to_physical().is_between(START_MS + MS_PER_HOUR + 5_000, START_MS + MS_PER_HOUR + 60_000)
    notes = notes_of(tables)
    for name in ("trailing_return_1m", "basis_bps", "open_interest_velocity", "atr_bps"):
        assert features.filter(during)[name].null_count() == 12
        assert "infinite or non-positive values of" in notes[name]
    assert notes["open_interest_velocity"] == "infinite or non-positive values of open_interest left out: 12"
    assert all(note.note == "" for note in walk.notes if FAMILY[note.column] == "liquidation")
    labels, _ = walk_labels(tables, "BTCUSDT")
    assert labels.drop("symbol", "time").select(pl.all().drop_nulls().is_finite().all()).row(0) == (True,) * 10


def test_an_infinite_liquidation_spoils_only_the_bars_that_hold_it() -> None:
    tables = gapless_tables()
    rows = tables.liquidations["BTCUSDT"].with_row_index("row")
    spoiled = rows.with_columns(
        quantity=pl.when(pl.col("row") == 200).then(pl.lit(float("inf"))).otherwise("quantity")
    ).drop("row")
    bad = replace(tables, liquidations={**tables.liquidations, "BTCUSDT": spoiled})
    notes = notes_of(bad)
    assert notes["liq_volume_5s"] == "infinite values of liq_volume left out: 1"
    whole, _ = walk_features(tables, "BTCUSDT")
    found, _ = walk_features(bad, "BTCUSDT")
    assert found["liq_volume_5s"].null_count() == whole["liq_volume_5s"].null_count() + 1


def test_a_ticker_every_five_minutes_leaves_out_what_it_cannot_show() -> None:
    known = pl.col("known_time").to_physical() // 300_000
    tables = gapless_tables()
    ticker = {symbol: rows.filter(known != known.shift(1)) for symbol, rows in tables.ticker.items()}
    notes = notes_of(replace(tables, ticker=ticker))
    for name in ("atr_bps", "bollinger_width", "realised_volatility_1h", "trailing_return_1m"):
        assert notes[name] == "ticker prices come every 300 s; needs 60 s"
    for name in ("trailing_return_5m", "open_interest_velocity", "basis_bps"):
        assert notes[name] == ""


def test_without_a_ticker_the_liquidation_features_stay() -> None:
    tables = gapless_tables()
    notes = notes_of(replace(tables, ticker={symbol: rows.clear() for symbol, rows in tables.ticker.items()}))
    assert notes["trailing_return_1m"] == notes["open_interest_velocity"] == "no ticker prices"
    assert notes["funding_rate"] == "no value: no funding_rate in the data"
    assert notes["liq_rate"] == notes["liq_correlation_5m"] == ""


def test_a_recorder_that_heard_nothing_gives_nulls_with_notes() -> None:
    notes = notes_of(empty_tables())
    assert notes["liq_volume_5s"] == "no value: never enough of its lookback covered and present"


def test_a_span_shorter_than_every_window_gives_what_it_can() -> None:
    two_minutes = START_MS + MS_PER_HOUR // 30
    short = gapless_tables().change(lambda rows: known_in(rows, START_MS, two_minutes), START_MS + MS_PER_HOUR)
    notes = notes_of(short)
    assert notes["liq_rate"] == ""
    assert notes["liq_volume_mean_5m"].startswith("no value: ")


@pytest.mark.parametrize("frac", [0.05, 1.0])
@pytest.mark.parametrize("make", [gap_tables, gapless_tables, empty_tables])
def test_any_share_of_coverage_may_be_asked_for(frac: float, make: Callable[[], Tables]) -> None:
    config = FeatureConfig(min_covered_frac=frac)
    notes_of(make(), "BTCUSDT", config)
    labels, walk = walk_labels(make(), "BTCUSDT", config)
    assert [note.n_values for note in walk.notes] == [labels[note.column].count() for note in walk.notes]


def test_a_parameter_out_of_range_is_named() -> None:
    with pytest.raises(ConfigError, match=r"FeatureConfig.min_covered_frac must lie in \[0.05, 1\], got 0.0"):
        FeatureConfig(min_covered_frac=0.0)
