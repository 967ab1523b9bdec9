"""The table of information coefficients against slow second versions, and what it says about bad input."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from scipy.stats import spearmanr

from liqlab.core import schema
from liqlab.core.errors import SourceError
from liqlab.core.time import MS_PER_DAY
from liqlab.features import FeatureStore
from liqlab.models import IcConfig, IcResult, compute_ic
from liqlab.stats import adjust_benjamini_hochberg

Floats = npt.NDArray[np.float64]
Columns = Mapping[str, npt.ArrayLike]

START_MS = 20_493 * MS_PER_DAY
STEP_S = 30
PER_DAY = 86_400 // STEP_S
CONFIG = IcConfig(
    return_horizons_s=(300, 3_600),
    volatility_horizons_s=(300,),
    n_resamples=199,
    min_pairs=20,
    volatility_memory_s=3_600,
)
LABELS = ("return_300s", "return_3600s", "volatility_300s")


def simulate_labels(random: np.random.Generator, n: int) -> dict[str, Floats]:
    """Forward returns and volatility of a random walk."""
    price = np.cumsum(random.standard_normal(n)) * 1e-4
    labels = {}
    for horizon in (300, 3_600):
        steps = horizon // STEP_S
        labels[f"return_{horizon}s"] = np.full(n, np.nan)
        labels[f"return_{horizon}s"][: -steps - 1] = price[steps + 1 :] - price[1:-steps]
    labels["volatility_300s"] = np.abs(labels["return_300s"]) + 1e-6 * random.random(n)
    return labels


def build_store(features: Mapping[str, Columns], labels: Mapping[str, Columns], first_row: int = 0) -> FeatureStore:
    """A store from columns by symbol, NaN as null, on a grid of 30 s."""
    tables = []
    for columns_of in (features, labels):
        frames = []
        for symbol, columns in columns_of.items():
            arrays = {name: np.asarray(values, dtype=np.float64) for name, values in columns.items()}
            size = next(iter(arrays.values())).size
            times = START_MS + 1_000 * STEP_S * (first_row + np.arange(size))
            frame = pl.DataFrame({"symbol": [symbol] * size, "time": pl.Series(times).cast(schema.TIME), **arrays})
            frames.append(frame.with_columns(pl.col(pl.Float64).fill_nan(None)))
        tables.append(pl.concat(frames))
    return FeatureStore.from_frames(*tables)


def build_regimes(symbol: str, n_minutes: int, regime: list[str | None]) -> pl.DataFrame:
    """A table of regimes by minute, as far as the analysis reads it."""
    times = pl.Series(START_MS + 60_000 * np.arange(n_minutes)).cast(schema.TIME)
    return pl.DataFrame({"symbol": [symbol] * n_minutes, "time": times, "regime": pl.Series(regime, dtype=pl.String)})


def row(result: IcResult, feature: str, label: str, symbol: str = "ALL", regime: str = "all") -> dict[str, Any]:
    """The one row of the table with this key."""
    target, horizon = label.removesuffix("s").split("_")
    found = result.table.filter(
        (pl.col("feature") == feature)
        & (pl.col("symbol") == symbol)
        & (pl.col("target") == target)
        & (pl.col("horizon_s") == int(horizon))
        & (pl.col("regime") == regime)
    )
    assert found.height == 1
    return found.row(0, named=True)


@pytest.fixture(scope="module")
def columns() -> tuple[dict[str, dict[str, Floats]], dict[str, dict[str, Floats]]]:
    """Features and labels of two symbols over three days, with gaps; `signal` knows the next five minutes a little."""
    random = np.random.default_rng(1)
    n = 3 * PER_DAY
    features, labels = {}, {}
    for symbol in ("BTCUSDT", "ETHUSDT"):
        labels[symbol] = simulate_labels(random, n)
        known = np.nan_to_num(labels[symbol]["return_300s"])
        features[symbol] = {
            "signal": 0.2 * known / known.std() + random.standard_normal(n),
            "ties": np.round(random.standard_normal(n)),
            "slow": np.cumsum(random.standard_normal(n)),
            "sparse": np.where(random.random(n) < 0.1, random.standard_normal(n), np.nan),
        }
        features[symbol]["slow"][: PER_DAY // 3] = np.nan
    return features, labels


@pytest.fixture(scope="module")
def result(columns: tuple[dict[str, dict[str, Floats]], dict[str, dict[str, Floats]]]) -> IcResult:
    """The analysis of `columns`, with regimes that change every three hours."""
    minutes = 3 * 1_440
    regimes = [
        build_regimes(symbol, minutes, ["quiet" if minute // 180 % 2 else "volatile" for minute in range(minutes)])
        for symbol in columns[0]
    ]
    return compute_ic(build_store(*columns), pl.concat(regimes), CONFIG)


def test_the_table_has_its_columns_and_one_row_per_key(result: IcResult) -> None:
    schema.check_frame(result.table, schema.IC)
    assert result.table.columns == schema.IC.names
    assert result.table.height == 4 * 3 * 3 * 3
    assert not result.table.select("feature", "symbol", "target", "horizon_s", "regime").is_duplicated().any()
    assert not result.table["ic"].is_nan().any()


def test_coefficients_agree_with_scipy_by_symbol(result: IcResult, columns: Any) -> None:
    for symbol, features in columns[0].items():
        for feature, x in features.items():
            for label in LABELS:
                y = columns[1][symbol][label]
                complete = ~(np.isnan(x) | np.isnan(y))
                found = row(result, feature, label, symbol)
                assert found["ic"] == pytest.approx(spearmanr(x[complete], y[complete]).statistic, abs=1e-12)
                assert found["n"] == complete.sum()


def test_the_pooled_coefficient_is_the_correlation_of_ranks_standardised_within_symbols(
    result: IcResult, columns: Any
) -> None:
    for feature in ("signal", "ties", "sparse"):
        for label in LABELS:
            sides: list[list[Floats]] = [[], []]
            for symbol in columns[0]:
                pairs = pd.DataFrame({"x": columns[0][symbol][feature], "y": columns[1][symbol][label]}).dropna().rank()
                for side, name in zip(sides, "xy", strict=True):
                    side.append(((pairs[name] - pairs[name].mean()) / pairs[name].std(ddof=0)).to_numpy())
            expected = np.corrcoef(np.concatenate(sides[0]), np.concatenate(sides[1]))[0, 1]
            assert row(result, feature, label)["ic"] == pytest.approx(expected, abs=1e-9)


def test_regime_rows_are_ranked_among_the_times_of_the_regime(result: IcResult, columns: Any) -> None:
    minute = np.arange(3 * PER_DAY) * STEP_S // 60
    x, y = columns[0]["BTCUSDT"]["ties"], columns[1]["BTCUSDT"]["return_300s"]
    for regime, inside in (("quiet", minute // 180 % 2 == 1), ("volatile", minute // 180 % 2 == 0)):
        complete = inside & ~np.isnan(y)
        found = row(result, "ties", "return_300s", "BTCUSDT", regime)
        assert found["ic"] == pytest.approx(spearmanr(x[complete], y[complete]).statistic, abs=1e-12)
        assert found["n"] == complete.sum()
        assert found["p"] is not None
        assert found["turnover"] is None


def test_daily_coefficients_take_pairs_whose_label_ends_in_the_day(result: IcResult, columns: Any) -> None:
    x, y = columns[0]["ETHUSDT"]["ties"], columns[1]["ETHUSDT"]["return_3600s"]
    found = result.daily.filter(
        (pl.col("symbol") == "ETHUSDT") & (pl.col("feature") == "ties") & (pl.col("horizon_s") == 3_600)
    )
    expected, counts = [], []
    for day in range(3):
        # An hour and the delay of five seconds before midnight lies just after the row 121 steps before it.
        rows = slice(day * PER_DAY, (day + 1) * PER_DAY - 120)
        complete = ~np.isnan(y[rows])
        expected.append(spearmanr(x[rows][complete], y[rows][complete]).statistic)
        counts.append(int(complete.sum()))
    assert found["ic"].to_list() == pytest.approx(expected, abs=1e-12)
    assert found["n"].to_list() == counts
    summary = row(result, "ties", "return_3600s", "ETHUSDT")
    assert summary["daily_mean"] == pytest.approx(np.mean(expected))
    assert summary["daily_spread"] == pytest.approx(np.std(expected, ddof=1))
    assert summary["daily_ratio"] == pytest.approx(np.mean(expected) / np.std(expected, ddof=1))
    assert summary["days"] == 3
    assert summary["same_sign_frac"] == pytest.approx(np.mean(np.sign(expected) == np.sign(summary["ic"])))


def test_turnover_is_one_less_the_rank_autocorrelation_at_the_horizon(result: IcResult, columns: Any) -> None:
    for feature in ("signal", "slow", "sparse"):
        x = columns[0]["BTCUSDT"][feature]
        later, earlier = x[120:], x[:-120]
        complete = ~(np.isnan(later) | np.isnan(earlier))
        expected = 1.0 - spearmanr(later[complete], earlier[complete]).statistic
        assert row(result, feature, "return_3600s", "BTCUSDT")["turnover"] == pytest.approx(expected, abs=1e-12)


def test_fifths_are_those_of_pandas(result: IcResult, columns: Any) -> None:
    pairs = pd.DataFrame({"x": columns[0]["BTCUSDT"]["signal"], "y": columns[1]["BTCUSDT"]["return_300s"]}).dropna()
    fifth = np.floor(5 * (pairs["x"].rank() - 0.5) / len(pairs)).astype(int)
    means = pairs["y"].groupby(fifth).mean()
    found = result.fifths.filter(
        (pl.col("symbol") == "BTCUSDT")
        & (pl.col("feature") == "signal")
        & (pl.col("target") == "return")
        & (pl.col("horizon_s") == 300)
        & (pl.col("regime") == "all")
    )
    assert found["fifth"].to_list() == [1, 2, 3, 4, 5]
    assert found["mean_label"].to_list() == pytest.approx(means.tolist(), abs=1e-15)
    assert found["n"].sum() == len(pairs)
    summary = row(result, "signal", "return_300s", "BTCUSDT")
    assert summary["top_minus_bottom"] == pytest.approx(means.iloc[-1] - means.iloc[0], abs=1e-15)
    assert summary["monotonicity"] == pytest.approx(1.0)


def test_a_planted_relation_is_found_with_its_sign_and_survives_the_correction(result: IcResult) -> None:
    found = row(result, "signal", "return_300s")
    assert found["ci_low"] > 0.1
    assert found["p_adjusted"] < 1e-6
    assert found["p_bootstrap"] <= 0.01
    assert found["same_sign_frac"] == 1.0
    others = result.table.filter(pl.col("feature").is_in(["ties", "sparse"]) & (pl.col("regime") == "all"))
    assert others.filter(pl.col("p_adjusted") < 0.01).is_empty()


def test_the_corrections_are_over_all_rows_of_a_target_and_over_those_by_regime(result: IcResult) -> None:
    whole = pl.col("regime") == "all"
    for target in ("return", "volatility"):
        for family in (whole, ~whole):
            rows = result.table.filter(family & (pl.col("target") == target))
            assert rows.height >= 12
            expected = adjust_benjamini_hochberg(rows["p"].fill_null(float("nan")).to_numpy())
            assert rows["p_adjusted"].fill_null(float("nan")).to_numpy() == pytest.approx(expected, nan_ok=True)


def test_simultaneous_copies_of_a_symbol_add_no_certainty() -> None:
    random = np.random.default_rng(2)
    labels = simulate_labels(random, 2 * PER_DAY)
    features = {"noise": random.standard_normal(2 * PER_DAY)}
    symbols = ("A", "B", "C")
    store = build_store(dict.fromkeys(symbols, features), dict.fromkeys(symbols, labels))
    found = compute_ic(store, None, CONFIG)
    alone, together = row(found, "noise", "return_300s", "A"), row(found, "noise", "return_300s")
    assert together["n"] == 3 * alone["n"]
    for name in ("ic", "p", "ci_low", "ci_high", "p_bootstrap"):
        assert together[name] == pytest.approx(alone[name], abs=1e-9)


def test_the_result_depends_on_the_seed_and_on_nothing_else(columns: Any) -> None:
    store = build_store(*columns)
    first, again = compute_ic(store, None, CONFIG, workers=1), compute_ic(store, None, CONFIG, workers=2)
    for name in ("table", "daily", "fifths", "comparison"):
        assert_frame_equal(getattr(first, name), getattr(again, name), check_exact=True)
    one_by_one = compute_ic(store, None, dataclasses.replace(CONFIG, features_at_once=1))
    assert_frame_equal(first.table, one_by_one.table)
    other = compute_ic(store, None, dataclasses.replace(CONFIG, seed=1))
    drawn = ["ci_low_bootstrap", "ci_high_bootstrap", "p_bootstrap"]
    assert_frame_equal(first.table.drop(drawn), other.table.drop(drawn), check_exact=True)
    assert not first.table["p_bootstrap"].equals(other.table["p_bootstrap"])


def test_bad_columns_get_a_note_and_no_number() -> None:
    random = np.random.default_rng(3)
    n = 2 * PER_DAY
    labels = simulate_labels(random, n)
    labels["volatility_300s"] = np.full(n, np.nan)
    labels["return_3600s"] = np.zeros(n)
    few = np.full(n, np.nan)
    few[:5] = random.standard_normal(5)
    apart = np.full(n, np.nan)
    apart[-5:] = random.standard_normal(5)
    features = {
        "constant": np.full(n, 3.0),
        "empty": np.full(n, np.nan),
        "infinite": np.where(np.arange(n) % 100 == 0, np.inf, random.standard_normal(n)),
        "few": few,
        "apart": apart,
        "zeros": np.where(random.random(n) < 0.05, random.standard_normal(n), -0.0),
    }
    found = compute_ic(build_store({"BTCUSDT": features}, {"BTCUSDT": labels}), None, CONFIG)
    notes = {name: row(found, name, "return_300s")["note"] for name in features}
    assert "the feature does not vary" in notes["constant"]
    assert "the feature has no value" in notes["empty"]
    assert "58 infinite values left out" in notes["infinite"]
    assert "5 pairs, an interval needs 20" in notes["few"]
    assert "feature and label are not known together" in notes["apart"]
    assert "ties leave" in notes["zeros"]
    assert all("one symbol only" in note for note in notes.values())
    assert "no volatility over 300 s is known" in row(found, "infinite", "volatility_300s")["note"]
    assert "the return over 3600 s does not vary" in row(found, "infinite", "return_3600s")["note"]
    for name in ("constant", "empty", "apart"):
        assert row(found, name, "return_300s")["ic"] is None
        assert row(found, name, "return_300s")["method"] == "not testable"
    assert row(found, "infinite", "return_300s")["p"] is not None
    assert any("one symbol only (BTCUSDT)" in note for note in found.notes)
    assert any("the feature does not vary" in note and "constant" in note for note in found.notes)
    assert not any(
        found.table[name].is_nan().any() for name in found.table.columns if found.table[name].dtype == pl.Float64
    )


def test_a_regime_that_never_occurs_is_said() -> None:
    random = np.random.default_rng(4)
    n = 2 * PER_DAY
    store = build_store({"BTCUSDT": {"noise": random.standard_normal(n)}}, {"BTCUSDT": simulate_labels(random, n)})
    regimes = build_regimes("BTCUSDT", 2_880, ["quiet"] * 1_440 + [None] * 1_440)
    found = compute_ic(store, regimes, CONFIG)
    volatile = row(found, "noise", "return_300s", regime="volatile")
    assert volatile["note"].endswith("the volatile regime never occurs")
    assert (volatile["ic"], volatile["p"], volatile["n"]) == (None, None, 0)
    assert row(found, "noise", "return_300s", regime="quiet")["n"] == pytest.approx(PER_DAY, abs=5)
    assert any("the volatile regime never occurs" in note for note in found.notes)
    without = compute_ic(store, regimes.clear(), CONFIG)
    assert row(without, "noise", "return_300s", regime="quiet")["n"] == 0
    whole = pl.col("regime") == "all"
    assert_frame_equal(without.table.filter(whole), found.table.filter(whole))


def test_two_days_with_a_gap_longer_than_any_window_work() -> None:
    random = np.random.default_rng(5)
    n = 2 * PER_DAY
    gone = (np.arange(n) > PER_DAY // 2) & (np.arange(n) < 3 * PER_DAY // 2)
    labels = {name: np.where(gone, np.nan, values) for name, values in simulate_labels(random, n).items()}
    features = {"noise": np.where(gone, np.nan, random.standard_normal(n))}
    found = compute_ic(build_store({"BTCUSDT": features}, {"BTCUSDT": labels}), None, CONFIG)
    summary = row(found, "noise", "return_300s")
    assert summary["days"] == 2
    assert summary["p"] is not None
    assert summary["daily_spread"] is not None


def test_one_hour_of_data_gives_notes_instead_of_intervals() -> None:
    random = np.random.default_rng(6)
    labels = simulate_labels(random, 125)
    store = build_store({"BTCUSDT": {"noise": random.standard_normal(125)}}, {"BTCUSDT": labels}, first_row=1_000)
    found = compute_ic(store, None, CONFIG)
    summary = row(found, "noise", "return_300s")
    assert summary["ic"] is not None
    assert (summary["daily_spread"], summary["days"]) == (None, 1)
    assert "1 day with 30 pairs: no spread over days" in summary["note"]
    assert (
        "not known together" in row(found, "noise", "return_3600s")["note"]
        or row(found, "noise", "return_3600s")["n"] < 20
    )


def test_a_symbol_without_the_feature_takes_no_part_in_the_pooled_row() -> None:
    random = np.random.default_rng(7)
    n = 2 * PER_DAY
    labels = {symbol: simulate_labels(random, n) for symbol in ("A", "B")}
    noise = random.standard_normal(n)
    store = build_store({"A": {"noise": noise}, "B": {"noise": np.zeros(n)}}, labels)
    found = compute_ic(store, None, CONFIG)
    alone, together = row(found, "noise", "return_300s", "A"), row(found, "noise", "return_300s")
    for name in ("ic", "n", "p", "p_bootstrap", "daily_mean", "turnover"):
        assert together[name] == pytest.approx(alone[name])


def test_a_store_without_rows_is_an_error() -> None:
    store = build_store({"A": {"noise": np.empty(0)}}, {"A": {label: np.empty(0) for label in LABELS}})
    with pytest.raises(SourceError, match="no row"):
        compute_ic(store, None, CONFIG)
