"""Ranks and rank correlations against SciPy and pandas on the complete pairs."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import rankdata

from liqlab.stats import rank_average, rank_columns, spearman_matrix

NAN, INF = float("nan"), float("inf")
ANY_FLOAT = st.floats(allow_nan=True, allow_infinity=True)
FEW_VALUES = st.sampled_from([-INF, -1.0, -0.0, 0.0, 5e-324, 1.0, 1.0 + 2**-52, 2.0, INF, NAN])
Floats = npt.NDArray[np.float64]


def _scipy_ranks(values: Floats) -> Floats:
    ranks = np.full(values.size, np.nan)
    present = ~np.isnan(values)
    ranks[present] = rankdata(values[present])
    return ranks


def _spearman(x: Floats, y: Floats) -> float:
    complete = ~(np.isnan(x) | np.isnan(y))
    if complete.sum() < 2:
        return NAN
    left, right = rankdata(x[complete]), rankdata(y[complete])
    left, right = left - left.mean(), right - right.mean()
    scale = math.sqrt(math.fsum(left**2) * math.fsum(right**2))
    return math.fsum(left * right) / scale if scale > 0.0 else NAN


def _all_pairs(features: Floats, labels: Floats) -> Floats:
    return np.array([[_spearman(x, y) for y in labels.T] for x in features.T]).reshape(
        features.shape[1], labels.shape[1]
    )


@given(st.lists(st.one_of(ANY_FLOAT, FEW_VALUES), max_size=80))
def test_ranks_are_those_of_scipy(values: list[float]) -> None:
    column = np.array(values, dtype=np.float64)
    np.testing.assert_array_equal(rank_average(column), _scipy_ranks(column))


def test_zeros_of_both_signs_are_one_value_and_infinities_the_extremes() -> None:
    assert rank_average([0.0, -0.0, INF, -INF, 1.0]).tolist() == [2.5, 2.5, 5.0, 1.0, 4.0]


@pytest.mark.parametrize("case", ["normal", "prices", "ties", "one big value", "close together", "reversed runs"])
def test_long_columns_of_every_kind_are_ranked_exactly(case: str) -> None:
    random = np.random.default_rng(8)
    normal = random.standard_normal(50_000)
    columns = {
        "normal": normal,
        "prices": np.round(71_000 + normal.cumsum(), 1),
        "ties": np.where(normal > 1.0, normal, 0.0),
        "one big value": np.append(normal, 1e300),
        # Equal in all leading bits that the radix passes see, because of the two extremes.
        "close together": np.concatenate([[-1e300, 1e300], 1.0 + 2.0**-52 * random.integers(0, 1000, 5000)]),
        "reversed runs": np.concatenate([[-1e300], 1.0 + 2.0**-52 * np.arange(5000)[::-1], [1e300]]),
    }
    np.testing.assert_array_equal(rank_average(columns[case]), rankdata(columns[case]))


def test_rank_columns_ranks_each_column_whatever_the_storage_and_workers() -> None:
    table = np.random.default_rng(9).integers(0, 20, (300, 11)).astype(float)
    table[::7, 3] = np.nan
    expected = np.column_stack([_scipy_ranks(column) for column in table.T])
    for matrix in (table, np.asfortranarray(table)):
        for workers in (1, 2):
            np.testing.assert_array_equal(rank_columns(matrix, workers), expected)


@given(st.data())
def test_a_spearman_matrix_holds_the_correlation_of_ranks_of_the_complete_pairs(data: st.DataObject) -> None:
    n_rows = data.draw(st.integers(0, 12))
    elements = st.one_of(FEW_VALUES, st.floats(-5, 5))
    features = data.draw(arrays(np.float64, (n_rows, 3), elements=elements))
    labels = data.draw(arrays(np.float64, (n_rows, 2), elements=elements))
    expected = _all_pairs(features, labels)
    assert spearman_matrix(features, labels).ravel() == pytest.approx(expected.ravel(), abs=1e-12, nan_ok=True)


def _table(n_rows: int) -> tuple[Floats, Floats]:
    """Ties, warm-ups, holes, a constant and an empty column on one side; ends of different lengths on the other."""
    random = np.random.default_rng(10)
    features = random.standard_normal((n_rows, 35))
    features[:, :5] = np.round(features[:, :5], 1)
    features[:, 6] = 3.0
    features[:, 7] = np.nan
    features[: n_rows // 10, 8:20] = np.nan
    features[:, 20:23][random.random((n_rows, 3)) < 0.05] = np.nan
    labels = features[:, :6] + random.standard_normal((n_rows, 6))
    for column in range(6):
        labels[n_rows - 10 * column :, column] = np.nan
    return features, labels


def test_it_agrees_with_pandas_on_a_large_table_with_every_kind_of_column() -> None:
    features, labels = _table(20_000)
    varying = [column for column in range(35) if column not in (6, 7)]
    frame = pd.DataFrame(features[:, varying])
    expected = np.column_stack([frame.corrwith(pd.Series(label), method="spearman") for label in labels.T])
    result = spearman_matrix(features, labels)
    assert np.isnan(result[[6, 7]]).all()
    assert np.abs(result[varying] - expected).max() < 1e-12


def test_workers_and_storage_change_no_bit() -> None:
    features, labels = _table(30_000)
    once = spearman_matrix(features, labels)
    for other in (
        spearman_matrix(features, labels, workers=2),
        spearman_matrix(np.asfortranarray(features), np.asfortranarray(labels), workers=3),
        np.column_stack([spearman_matrix(features, labels[:, [column]]) for column in range(6)]),
    ):
        np.testing.assert_array_equal(other, once)


def test_any_increasing_transformation_changes_nothing_and_a_decreasing_one_the_sign() -> None:
    x = np.random.default_rng(12).standard_normal((5000, 2))
    y = x[:, [0]] + np.random.default_rng(13).standard_normal((5000, 1))
    plain = spearman_matrix(x, y)
    np.testing.assert_array_equal(spearman_matrix(np.exp(x), y**3), plain)
    np.testing.assert_array_equal(spearman_matrix(-x, y), -plain)
    assert spearman_matrix(x, x[:, :1])[0, 0] == 1.0


def test_unlike_rows_and_shapes_are_errors() -> None:
    with pytest.raises(ValueError, match="same rows, got 2 and 3"):
        spearman_matrix(np.ones((2, 1)), np.ones((3, 1)))
    with pytest.raises(ValueError, match="labels must be two-dimensional"):
        spearman_matrix(np.ones((2, 1)), np.ones(2))
    with pytest.raises(ValueError, match="one-dimensional"):
        rank_average(np.ones((2, 2)))


def test_no_columns_give_an_empty_matrix() -> None:
    assert spearman_matrix(np.ones((4, 0)), np.ones((4, 3))).shape == (0, 3)
    assert rank_columns(np.ones((4, 0))).shape == (4, 0)
