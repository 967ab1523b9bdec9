"""Adjusted p-values: the published example, written definitions, and tests that could not be made."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqlab.stats import (
    adjust_benjamini_hochberg,
    adjust_benjamini_yekutieli,
    adjust_bonferroni,
    adjust_holm,
)

#: Benjamini and Hochberg (1995), section 3.2.
PUBLISHED = [
    *(0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344),
    *(0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0),
]
METHODS = [adjust_bonferroni, adjust_holm, adjust_benjamini_hochberg, adjust_benjamini_yekutieli]
FAMILIES = st.lists(st.one_of(st.floats(0, 1), st.just(float("nan"))), max_size=20)


def test_the_published_example_rejects_as_published() -> None:
    rejected = [int((adjust(PUBLISHED) < 0.05).sum()) for adjust in METHODS]
    assert rejected == [3, 3, 4, 3]
    start = adjust_benjamini_hochberg(PUBLISHED)[:5]
    assert start == pytest.approx([0.0015, 0.0030, 0.0095, 0.035625, 0.0603], abs=1e-12)


def _holm(p: list[float], size: int) -> list[float]:
    ordered = sorted(p)
    return [
        max(min(1.0, (size - j) * ordered[j]) for j in range(size) if ordered[j] <= value) if value == value else value
        for value in p
    ]


def _benjamini_hochberg(p: list[float], size: int) -> list[float]:
    ordered = sorted(p)
    return [min(min(1.0, size * ordered[j] / (j + 1)) for j in range(size) if ordered[j] >= value) for value in p]


@given(FAMILIES, st.integers(0, 5))
def test_adjusted_values_follow_the_definitions_with_missing_tests_as_one(p: list[float], untested: int) -> None:
    size = len(p) + untested
    filled = [1.0 if value != value else value for value in p] + [1.0] * untested
    present = [i for i, value in enumerate(p) if value == value]
    holm, hochberg = _holm(filled, size), _benjamini_hochberg(filled, size)
    assert adjust_holm(p, size)[present] == pytest.approx([holm[i] for i in present], abs=1e-12)
    assert adjust_benjamini_hochberg(p, size)[present] == pytest.approx([hochberg[i] for i in present], abs=1e-12)
    assert np.isnan(adjust_holm(p, size)).tolist() == [value != value for value in p]


@pytest.mark.parametrize("adjust", METHODS)
def test_order_does_not_matter_and_a_test_that_could_not_be_made_helps_nobody(adjust) -> None:  # type: ignore[no-untyped-def]
    p = np.array([0.01, 0.2, 0.03, 0.5])
    assert adjust(p[::-1]) == pytest.approx(adjust(p)[::-1])
    assert adjust([0.01, 0.2, np.nan, 0.03, 0.5])[0] == pytest.approx(adjust(p, family_size=5)[0])
    assert adjust([0.01, 0.2, np.nan, 0.03, 0.5])[0] > adjust(p)[0]


@pytest.mark.parametrize("adjust", METHODS)
def test_an_empty_family_and_one_without_tests_are_no_trouble(adjust) -> None:  # type: ignore[no-untyped-def]
    assert adjust([]).shape == (0,)
    assert np.isnan(adjust([np.nan, np.nan])).all()


@pytest.mark.parametrize("p", [[-0.1], [1.1, 0.5], [float("inf")]])
def test_numbers_that_are_no_probabilities_are_an_error(p: list[float]) -> None:
    with pytest.raises(ValueError, match=r"lie in \[0, 1\]"):
        adjust_holm(p)


def test_a_family_smaller_than_its_tests_is_an_error() -> None:
    with pytest.raises(ValueError, match="family_size=2"):
        adjust_benjamini_hochberg([0.1, 0.2, 0.3], family_size=2)
