"""What holds for every entry of the catalogue, its page, and the dictionary of a run."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from test_features_market import gap_tables, walk_features

from liqlab.core.errors import UserError
from liqlab.core.schema import TABLES
from liqlab.features import (
    FAMILIES,
    FEATURE_TABLE,
    FEATURES,
    ColumnNote,
    Feature,
    describe_features,
    render_feature_page,
    select_features,
)

#: The names of the plan and of DESIGN section 8, then the baselines to beat.
WINDOWED = ("liq_volume_mean", "liq_volume_std", "liq_volume_max", "liq_imbalance_zscore", "liq_rate_zscore")
PLAN_NAMES = {
    *("liq_volume_1s", "liq_volume_5s", "liq_volume_1m", "liq_buy_volume", "liq_sell_volume", "liq_imbalance"),
    *("liq_rate", "liq_cascade_flag", "liq_cascade_size", "liq_btc_lead", "liq_correlation_5m"),
    *(f"{name}_{window}" for name in (*WINDOWED, "liq_imbalance") for window in ("5m", "15m", "1h")),
}
BASELINE_NAMES = {
    *("open_interest_velocity", "open_interest_acceleration", "organic_open_interest_change"),
    *("funding_rate", "funding_rate_change", "basis_bps", "long_short_ratio", "long_short_ratio_change"),
    *("atr_bps", "bollinger_width", "trailing_return_1m"),
    *(f"{name}_{window}" for name in ("realised_volatility", "trailing_return") for window in ("5m", "15m", "1h")),
}
COLUMNS = {f"{table.name}.{column.name}" for table in TABLES for column in table.columns}


def test_every_name_of_the_plan_is_there_and_no_other() -> None:
    names = [feature.name for feature in FEATURES]
    assert len(names) == len(set(names))
    assert set(names) == PLAN_NAMES | BASELINE_NAMES
    assert FEATURE_TABLE.names == ["symbol", "time", *names]


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_an_entry_says_what_a_reader_needs(feature: Feature) -> None:
    assert feature.family in FAMILIES
    assert feature.inputs
    assert set(feature.inputs) <= COLUMNS
    assert 0 < feature.warm_up_s <= feature.lookback_s + 5
    assert feature.warm_up_s % 5 == 0
    for text in (feature.unit, feature.meaning, feature.formula, feature.source):
        assert text
        assert "|" not in text, "it would break the table of the page"
    needs_price = any(name.startswith("dataset.") and "price" in name for name in feature.inputs)
    if feature.family in ("price", "open interest"):
        assert feature.price_step_s is not None
    assert feature.price_step_s is None or needs_price or feature.family == "open interest"


def test_the_page_of_features_is_fresh(repository: Path) -> None:
    page = (repository / "docs" / "features.md").read_text(encoding="utf-8")
    assert page == render_feature_page(), "run python tools/make_docs.py"
    for feature in FEATURES:
        assert f"| `{feature.name}` |" in page
    assert max(map(len, page.split("##")[0].splitlines())) <= 120


def test_features_are_selected_in_the_order_asked_for_and_once() -> None:
    chosen = select_features(["liq_rate", "basis_bps", "liq_rate"])
    assert [feature.name for feature in chosen] == ["liq_rate", "basis_bps"]
    assert select_features() == FEATURES
    with pytest.raises(UserError, match=r"unknown feature 'liq_rat'; available: atr_bps"):
        select_features(["liq_rat"])


def test_the_dictionary_of_a_run_has_a_row_for_each_feature() -> None:
    notes = [note for symbol in ("BTCUSDT", "SOLUSDT") for note in walk_features(gap_tables(), symbol)[1].notes]
    dictionary = describe_features(notes)
    assert dictionary["feature"].to_list() == [feature.name for feature in FEATURES]
    frames = pl.concat([walk_features(gap_tables(), symbol)[0] for symbol in ("BTCUSDT", "SOLUSDT")])
    for row in dictionary.iter_rows(named=True):
        present = frames.filter(pl.col(row["feature"]).is_not_null())
        assert row["non_null_frac"] == pytest.approx(present.height / frames.height)
        assert row["first_time"] == present["time"].min()
        assert row["note"] == ""


def test_a_remark_names_its_symbols_unless_it_is_about_all() -> None:
    def note(symbol: str, column: str, text: str) -> ColumnNote:
        return ColumnNote(symbol, column, 10, 0, None, text)

    dictionary = describe_features(
        [
            note("A", "liq_rate", "constant: 0 throughout"),
            note("B", "liq_rate", ""),
            note("A", "basis_bps", "no ticker prices"),
            note("B", "basis_bps", "no ticker prices"),
        ]
    )
    assert dictionary.select("feature", "note").rows() == [
        ("liq_rate", "A: constant: 0 throughout"),
        ("basis_bps", "no ticker prices"),
    ]
    assert dictionary["first_time"].null_count() == 2
