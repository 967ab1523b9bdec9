"""The cluster-robust mean against definitions, a simulation, and what it must not do."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqlab.stats import cluster_mean_t


def test_with_one_value_per_cluster_it_is_the_ordinary_t() -> None:
    values = np.random.default_rng(3).standard_normal(40) + 0.2
    result = cluster_mean_t(values, np.arange(40))
    assert result.standard_error == pytest.approx(values.std(ddof=1) / np.sqrt(40), rel=1e-12)
    assert result.t == pytest.approx(values.mean() / (values.std(ddof=1) / np.sqrt(40)), rel=1e-12)


def test_a_case_by_hand() -> None:
    # mean 3; cluster a: -2 - 1 = -3, cluster b: 0 + 3 = 3; sqrt(2 / 1 * 18) / 4 = 1.5
    result = cluster_mean_t([1.0, 2.0, 3.0, 6.0], ["a", "a", "b", "b"])
    assert (result.mean, result.standard_error, result.t) == (3.0, 1.5, 2.0)
    assert (result.n_values, result.n_clusters) == (4, 2)


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(-100, 100)), min_size=1, max_size=40))
def test_it_agrees_with_a_loop_over_clusters(pairs: list[tuple[int, float]]) -> None:
    values = [value for _, value in pairs]
    mean = sum(values) / len(values)
    clusters = sorted({label for label, _ in pairs})
    squares = sum(sum(value - mean for label, value in pairs if label == wanted) ** 2 for wanted in clusters)
    result = cluster_mean_t(values, [label for label, _ in pairs])
    assert result.mean == pytest.approx(mean, abs=1e-9)
    if len(clusters) > 1:
        expected = math.sqrt(len(clusters) / (len(clusters) - 1) * squares) / len(values)
        assert result.standard_error == pytest.approx(expected, abs=1e-9)
    else:
        assert math.isnan(result.standard_error)


def test_repeating_every_value_within_its_cluster_adds_no_certainty() -> None:
    values = np.random.default_rng(5).standard_normal(30)
    once = cluster_mean_t(values, np.arange(30))
    tenfold = cluster_mean_t(np.repeat(values, 10), np.repeat(np.arange(30), 10))
    assert tenfold.t == pytest.approx(once.t, rel=1e-9)


def test_under_its_null_with_dependence_inside_clusters_it_rejects_about_one_time_in_twenty() -> None:
    random = np.random.default_rng(11)
    clusters = np.repeat(np.arange(50), 8)
    rejected = 0
    for _ in range(400):
        values = np.repeat(random.standard_normal(50), 8) + 0.5 * random.standard_normal(400)
        rejected += abs(cluster_mean_t(values, clusters).t) > 2.0096  # 97.5 % of Student's t with 49 degrees
    assert 8 <= rejected <= 36


def test_nan_values_go_and_nothing_left_is_nan() -> None:
    assert cluster_mean_t([1.0, np.nan, 3.0], [0, 1, 2]).n_clusters == 2
    empty = cluster_mean_t([np.nan], [0])
    assert math.isnan(empty.mean)
    assert empty.n_values == 0


def test_no_spread_gives_no_t() -> None:
    assert math.isnan(cluster_mean_t([2.0, 2.0], [0, 1]).t)


def test_unlike_shapes_are_an_error() -> None:
    with pytest.raises(ValueError, match="alike"):
        cluster_mean_t([1.0, 2.0], [0])
