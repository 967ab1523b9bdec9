"""Matched controls against a search through all pairs, and what they must never be."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liqlab.stats import compute_balance, find_far_moments, match_controls

Floats = npt.NDArray[np.float64]


def slow_matches(
    treated: Floats, candidates: Floats, calipers: Floats, groups: tuple[list[int], list[int]], n_controls: int
) -> list[list[int]]:
    """Every pair, by distance in calipers and then by row."""
    found = []
    for i, row in enumerate(treated):
        near = []
        for j, other in enumerate(candidates):
            difference = np.abs(row - other) / calipers
            if groups[0][i] == groups[1][j] and (difference <= 1.0 + 1e-9).all():
                near.append((math.sqrt((difference[np.isfinite(calipers)] ** 2).sum()), j))
        near.sort()
        found.append([j for _, j in near[:n_controls]] + [-1] * max(0, n_controls - len(near)))
    return found


# Sixteenths and calipers that are powers of two: distances are exact, so that equal ones are equal.
GRID = st.integers(-16, 16).map(lambda n: n / 16.0)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_the_controls_are_those_of_a_search_through_all_pairs(data: st.DataObject) -> None:
    d, n_controls = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 4))
    rows = st.lists(st.tuples(*[GRID] * d, st.integers(0, 1)), min_size=1, max_size=25)
    left, right = np.array(data.draw(rows)), np.array(data.draw(rows))
    calipers = np.array(data.draw(st.tuples(*[st.sampled_from([0.25, 0.5, 2.0])] * d)))
    groups = (left[:, -1].astype(int).tolist(), right[:, -1].astype(int).tolist())
    found = match_controls(
        left[:, :-1], right[:, :-1], calipers, n_controls, treated_groups=groups[0], candidate_groups=groups[1]
    )
    assert found.indices.tolist() == slow_matches(left[:, :-1], right[:, :-1], calipers, groups, n_controls)
    assert np.array_equal(np.isnan(found.distances), found.indices == -1)
    assert found.unmatched_frac == np.mean(found.indices[:, 0] == -1)


def test_many_equal_candidates_are_taken_in_their_order() -> None:
    found = match_controls([[0.0], [0.5]], np.zeros((500, 1)), [1.0], 3)
    assert found.indices.tolist() == [[0, 1, 2], [0, 1, 2]]


def test_a_difference_of_one_caliper_is_within_and_an_infinite_caliper_ignores_its_column() -> None:
    found = match_controls([[0.3, 1e9]], [[0.2, 0.0], [0.4, -5.0], [0.41, 0.0]], [0.1, np.inf], 3)
    assert sorted(found.indices[0].tolist()) == [-1, 0, 1]


def test_the_box_counts_and_not_the_ball() -> None:
    """(0.9, 0.9) lies within both calipers though farther than one in sum; (1.1, 0) is nearer and outside."""
    assert match_controls([[0.0, 0.0]], [[1.1, 0.0], [0.9, 0.9]], [1.0, 1.0]).indices.tolist() == [[1]]


@pytest.mark.parametrize("max_uses", [1, 2])
def test_no_control_serves_more_often_than_allowed(max_uses: int) -> None:
    random = np.random.default_rng(1)
    treated, candidates = random.standard_normal((60, 2)), random.standard_normal((70, 2))
    found = match_controls(treated, candidates, [1.0, 1.0], 2, max_uses=max_uses, seed=5)
    uses = np.bincount(found.indices[found.indices >= 0], minlength=70)
    assert uses.max() == max_uses
    assert all(len(set(row[row >= 0])) == (row >= 0).sum() for row in found.indices)
    again = match_controls(treated, candidates, [1.0, 1.0], 2, max_uses=max_uses, seed=5)
    assert np.array_equal(found.indices, again.indices)
    other = match_controls(treated, candidates, [1.0, 1.0], 2, max_uses=max_uses, seed=6)
    assert not np.array_equal(found.indices, other.indices)


def test_each_in_turn_takes_the_nearest_that_is_left() -> None:
    random = np.random.default_rng(2)
    treated, candidates = random.standard_normal((30, 1)), random.standard_normal((40, 1))
    found = match_controls(treated, candidates, [0.7], 1, max_uses=1, seed=3)
    left = set(range(40))
    for row in np.random.default_rng(3).permutation(30):
        near = sorted((abs(treated[row, 0] - candidates[j, 0]), j) for j in left)
        expected = near[0][1] if near and near[0][0] <= 0.7 else -1
        assert found.indices[row, 0] == expected
        left.discard(expected)


def test_plenty_of_uses_change_nothing() -> None:
    random = np.random.default_rng(4)
    treated, candidates = random.standard_normal((40, 2)), random.standard_normal((300, 2))
    free = match_controls(treated, candidates, [0.5, 0.5], 3)
    limited = match_controls(treated, candidates, [0.5, 0.5], 3, max_uses=1_000)
    assert np.array_equal(free.indices, limited.indices)


def test_what_is_not_allowed_or_not_known_is_never_a_control() -> None:
    found = match_controls(
        [[0.0], [np.nan]], [[0.0], [0.1], [np.nan], [0.2]], [1.0], 3, allowed=[False, True, True, True]
    )
    assert found.indices.tolist() == [[1, 3, -1], [-1, -1, -1]]
    assert found.n_found.tolist() == [2, 0]
    assert found.unmatched_frac == 0.5


def test_groups_may_be_text_and_a_group_without_candidates_stays_unmatched() -> None:
    found = match_controls(
        [[0.0], [0.0], [0.0]],
        [[0.0], [0.5]],
        [1.0],
        treated_groups=["b", "a", "c"],
        candidate_groups=["a", "b"],
    )
    assert found.indices.tolist() == [[1], [0], [-1]]


def test_matching_removes_a_difference_that_was_there() -> None:
    random = np.random.default_rng(5)
    treated = random.normal(0.8, 1.0, (300, 2))
    candidates = random.normal(0.0, 1.0, (20_000, 2))
    found = match_controls(treated, candidates, [0.2, 0.2], 3)
    balance = compute_balance(treated, candidates, found)
    assert (balance.before > 0.6).all()
    assert (np.abs(balance.after) < 0.05).all()


def test_the_balance_is_what_its_formula_says() -> None:
    treated, candidates = np.array([[0.0], [2.0], [9.0]]), np.array([[0.5], [1.0], [2.5]])
    found = match_controls(treated, candidates, [1.0], 2)
    assert found.indices.tolist() == [[0, 1], [2, 1], [-1, -1]]
    spread = math.sqrt((treated.var() + candidates.var()) / 2.0)
    balance = compute_balance(treated, candidates, found)
    assert balance.before[0] == pytest.approx((11.0 / 3.0 - 4.0 / 3.0) / spread)
    assert balance.after[0] == pytest.approx(((0.0 - 0.75) + (2.0 - 1.75)) / 2.0 / spread)


def test_without_rows_there_is_nothing_to_say() -> None:
    found = match_controls(np.empty((0, 1)), [[1.0]], [1.0])
    assert math.isnan(found.unmatched_frac)
    assert np.isnan(compute_balance(np.empty((0, 1)), [[1.0]], found).before).all()
    lonely = match_controls([[1.0]], np.empty((0, 1)), [1.0])
    assert lonely.unmatched_frac == 1.0
    apart = match_controls([[1.0]], [[9.0], [8.0]], [1.0])
    balance = compute_balance([[1.0]], [[9.0], [8.0]], apart)
    assert balance.before[0] < 0.0
    assert np.isnan(balance.after).all()


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 1)), max_size=20),
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 1)), max_size=8),
    st.integers(0, 9),
    st.integers(0, 9),
)
def test_far_moments_have_no_event_of_their_group_around_them(
    moments: list[tuple[int, int]], events: list[tuple[int, int]], before: int, after: int
) -> None:
    found = find_far_moments(
        [time for time, _ in moments],
        [time for time, _ in events],
        before,
        after,
        moment_groups=[group for _, group in moments],
        event_groups=[group for _, group in events],
    )
    assert found.tolist() == [
        not any(own == group and time - before <= event <= time + after for event, own in events)
        for time, group in moments
    ]


def test_unknown_moments_are_never_far_and_unknown_events_are_none() -> None:
    assert find_far_moments([np.nan, 1.0], [np.nan], 5.0, 5.0).tolist() == [False, True]


def test_nonsense_is_refused() -> None:
    for arguments, message in (
        (([[1.0]], [[1.0, 2.0]], [1.0]), r"\(n, d\)"),
        (([[1.0]], [[1.0]], [0.0]), "above 0"),
        (([[1.0]], [[1.0]], [np.inf]), "finite"),
        (([[1.0]], [[1.0]], [1.0], 0), "at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            match_controls(*arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="both sides"):
        match_controls([[1.0]], [[1.0]], [1.0], treated_groups=[1])
    with pytest.raises(ValueError, match="shape"):
        match_controls([[1.0]], [[1.0]], [1.0], allowed=[True, False])
    with pytest.raises(ValueError, match="negative"):
        find_far_moments([1.0], [1.0], -1.0, 0.0)
    with pytest.raises(ValueError, match="together"):
        find_far_moments([1.0], [1.0], 1.0, 0.0, event_groups=[1])
