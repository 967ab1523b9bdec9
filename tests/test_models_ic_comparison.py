"""Liquidation features against the others: by hand, on noise with groups of unlike size, and with a real difference."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from scipy.stats import ttest_1samp

from liqlab.core import schema
from liqlab.models import compare_families, rank_features

FAMILIES = {"a": "liquidation", "b": "cross-asset", "x": "open interest", "y": "funding", "z": "price"}


def build_daily(ic: dict[str, list[float]], horizon_s: int = 300, n: int = 1_000, symbol: str = "ALL") -> pl.DataFrame:
    """Daily correlations by feature, one per day."""
    rows = [
        (date(2026, 2, 9) + timedelta(days=day), symbol, feature, "return", horizon_s, value, n)
        for feature, values in ic.items()
        for day, value in enumerate(values)
    ]
    names = ["day", "symbol", "feature", "target", "horizon_s", "ic", "n"]
    return pl.DataFrame(rows, schema=names, orient="row").filter(pl.col("ic").is_not_nan())


def test_a_case_by_hand() -> None:
    daily = build_daily({"a": [0.1, 0.2, -0.1, 0.3, 0.1], "x": [-0.1, -0.3, 0.1, 0.2, 0.1], "z": [0.9] * 5})
    found = compare_families(daily, FAMILIES).row(0, named=True)
    ours = [0.2, -0.1, 0.3, 0.1]
    others = [0.3, -0.1, -0.2, -0.1]
    differences = np.subtract(ours, others)
    reference = ttest_1samp(differences, 0.0)
    assert found["liquidation_ic"] == pytest.approx(np.mean(ours))
    assert found["other_ic"] == pytest.approx(np.mean(others))
    assert found["difference"] == pytest.approx(differences.mean())
    assert found["p"] == pytest.approx(reference.pvalue)
    assert (found["ci_low"], found["ci_high"]) == pytest.approx(tuple(reference.confidence_interval()))
    assert (found["days"], found["liquidation_features"], found["other_features"]) == (4, 1, 1)
    assert found["p_adjusted"] == pytest.approx(found["p"])


def test_signs_come_from_the_days_before_only() -> None:
    random = np.random.default_rng(1)
    values = {name: random.standard_normal(8).tolist() for name in "abxy"}
    first = compare_families(build_daily({name: row[:6] for name, row in values.items()}), FAMILIES)
    for day in range(6, 8):
        more = compare_families(build_daily({name: row[: day + 1] for name, row in values.items()}), FAMILIES)
        sums = [float(table["difference"][0]) * int(table["days"][0]) for table in (first, more)]
        scores = [
            np.mean([np.sign(np.sum(values[name][:day])) * values[name][day] for name in group])
            for group in ("ab", "xy")
        ]
        assert sums[1] - sums[0] == pytest.approx(scores[0] - scores[1])
        first = more


def test_all_horizons_together_are_the_mean_of_the_daily_differences() -> None:
    random = np.random.default_rng(2)
    parts = [
        build_daily({name: random.standard_normal(7).tolist() for name in "abxy"}, horizon) for horizon in (300, 900)
    ]
    found = compare_families(pl.concat(parts), FAMILIES)
    assert found["horizon_s"].to_list() == [300, 900, None]
    assert found["difference"][2] == pytest.approx(found["difference"][:2].mean())
    assert found["days"].to_list() == [6, 6, 6]


def test_a_group_of_thirty_features_is_not_favoured_over_one_of_three_by_noise() -> None:
    random = np.random.default_rng(3)
    families = {f"a{i}": "liquidation" for i in range(30)} | {f"x{i}": "funding" for i in range(3)}
    differences, rejected = [], 0
    for _ in range(200):
        daily = build_daily({name: random.normal(0.0, 0.02, 9).tolist() for name in families})
        found = compare_families(daily, families).row(0, named=True)
        differences.append(found["difference"])
        rejected += int(found["p"] < 0.05)
    assert abs(np.mean(differences)) < 4.0 * np.std(differences) / np.sqrt(len(differences))
    assert 2 <= rejected <= 20


def test_the_better_group_is_found_whatever_the_signs_of_its_features() -> None:
    random = np.random.default_rng(4)
    means = {"a": 0.06, "b": -0.06, "x": 0.01, "y": -0.01}
    daily = build_daily({name: random.normal(mean, 0.01, 20).tolist() for name, mean in means.items()})
    found = compare_families(daily, FAMILIES).row(0, named=True)
    assert found["ci_low"] > 0.03
    assert found["difference"] == pytest.approx(0.05, abs=0.015)


def test_rows_of_single_symbols_take_no_part() -> None:
    pooled = build_daily({"a": [0.1, 0.2, 0.1, 0.3], "x": [0.1, -0.1, 0.2, 0.1]})
    single = build_daily({"a": [0.9, 0.9, 0.9, 0.9], "x": [0.1, -0.1, 0.2, 0.1]}, symbol="BTCUSDT")
    assert_frame_equal(compare_families(pl.concat([single, pooled]), FAMILIES), compare_families(pooled, FAMILIES))


@pytest.mark.parametrize(
    ("ic", "note"),
    [
        ({"a": [0.1, 0.2], "x": [0.1, 0.2]}, "signs could be learned for 1 day, an interval needs 3"),
        ({"x": [0.1, 0.2, 0.1, 0.1]}, "no liquidation feature has a daily correlation"),
        ({"a": [0.1, 0.2, 0.1, 0.1]}, "no feature of open interest or funding has a daily correlation"),
    ],
)
def test_what_cannot_be_compared_says_why(ic: dict[str, list[float]], note: str) -> None:
    found = compare_families(build_daily(ic), FAMILIES).row(0, named=True)
    assert found["note"] == note
    assert found["p"] is None
    assert found["ci_low"] is None


def test_without_daily_correlations_the_comparison_is_empty() -> None:
    assert compare_families(build_daily({"a": []}).cast({"ic": pl.Float64}), FAMILIES).is_empty()


def test_features_are_ranked_by_p_then_by_size_within_target_and_horizon() -> None:
    values = {"a": (0.01, -0.05), "b": (0.01, 0.08), "x": (0.001, 0.2), "y": (None, 0.3)}
    rows = [
        {"feature": name, "symbol": "ALL", "target": "return", "horizon_s": 300, "regime": "all", "ic": ic, "p": p}
        for name, (p, ic) in values.items()
    ]
    table = pl.concat([schema.IC.empty(), pl.DataFrame(rows)], how="diagonal")
    found = rank_features(table, FAMILIES)
    assert found.select("feature", "rank").rows() == [("b", 1), ("a", 2)]
    every = rank_features(table, FAMILIES, ("liquidation", "cross-asset", "open interest", "funding"), top=2)
    assert every["feature"].to_list() == ["x", "b"]
