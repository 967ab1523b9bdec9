"""Folds: training ends before the test begins, every test row is tested once, shorter data give the same folds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqlab.core.errors import ConfigError, UserError
from liqlab.core.time import MS_PER_DAY, MS_PER_HOUR, MS_PER_S, parse_time
from liqlab.models import Fold, WalkForwardConfig, WalkForwardSplitter, walk_forward_folds

START_MS = parse_time("2026-02-09T19:33")
STEP_MS = 300 * MS_PER_S

configurations = st.builds(
    WalkForwardConfig,
    refit_hours=st.integers(1, 30),
    min_train_hours=st.floats(1.0, 60.0),
    rolling_days=st.floats(0.1, 5.0),
)
spans_ms = st.integers(0, 6 * MS_PER_DAY)
reaches_ms = st.integers(0, 5 * MS_PER_HOUR)


def _times(span_ms: int) -> np.ndarray:
    first = -(-START_MS // STEP_MS) * STEP_MS
    return np.arange(first, START_MS + span_ms, STEP_MS)


def _folds(config: WalkForwardConfig, span_ms: int, reach_ms: int) -> tuple[Fold, ...]:
    return walk_forward_folds(START_MS, START_MS + span_ms, config, reach_ms)


@given(configurations, spans_ms, reaches_ms)
def test_no_training_label_ends_after_its_test_begins(config: WalkForwardConfig, span_ms: int, reach_ms: int) -> None:
    times = _times(span_ms)
    for fold in _folds(config, span_ms, reach_ms):
        trained = times[fold.trains(times)]
        assert (trained + reach_ms <= fold.test_start_ms).all()
        assert (times[fold.tests(times)] >= fold.test_start_ms).all()


@given(configurations, spans_ms, reaches_ms)
def test_purging_drops_no_row_whose_label_is_final(config: WalkForwardConfig, span_ms: int, reach_ms: int) -> None:
    times = _times(span_ms)
    for fold in _folds(config, span_ms, reach_ms):
        usable = [t >= fold.train_start_ms and t + reach_ms <= fold.test_start_ms for t in times.tolist()]
        assert fold.trains(times).tolist() == usable


@given(configurations, spans_ms)
def test_every_row_after_the_first_refit_is_tested_in_exactly_one_fold_of_each_split(
    config: WalkForwardConfig, span_ms: int
) -> None:
    times = _times(span_ms)
    for split in config.splits:
        folds = [fold for fold in _folds(config, span_ms, 0) if fold.split == split]
        tested = sum((fold.tests(times).astype(int) for fold in folds), np.zeros(times.size, int))
        first = min((fold.test_start_ms for fold in folds), default=START_MS + span_ms)
        assert (tested[times >= first] == 1).all()
        assert (tested[times < first] == 0).all()
        assert [fold.number for fold in folds] == list(range(len(folds)))


@given(configurations, spans_ms, st.integers(0, 6 * MS_PER_DAY), reaches_ms)
def test_shorter_data_give_the_same_folds_only_fewer(
    config: WalkForwardConfig, span_ms: int, cut_ms: int, reach_ms: int
) -> None:
    everything = _folds(config, span_ms, reach_ms)
    cut_ms = min(cut_ms, span_ms)
    expected = [fold for fold in everything if fold.test_start_ms < START_MS + cut_ms]
    assert list(_folds(config, cut_ms, reach_ms)) == expected


def test_refits_fall_on_calendar_time_once_there_is_history_enough() -> None:
    config = WalkForwardConfig(splits=("expanding",))
    folds = _folds(config, 9 * MS_PER_DAY, 320 * MS_PER_S)
    assert [fold.test_start_ms for fold in folds][:2] == [parse_time("2026-02-12"), parse_time("2026-02-13")]
    assert all(fold.train_start_ms == START_MS for fold in folds)
    assert folds[0].train_last_ms == parse_time("2026-02-11T23:54:40")


def test_a_rolling_window_keeps_its_length_once_it_is_full() -> None:
    folds = _folds(WalkForwardConfig(splits=("rolling",), rolling_days=4.0), 9 * MS_PER_DAY, 0)
    lengths = [fold.test_start_ms - fold.train_start_ms for fold in folds]
    assert max(lengths) == lengths[-1] == 4 * MS_PER_DAY
    assert folds[0].train_start_ms == START_MS


def test_the_splitter_serves_scikit_learn() -> None:
    from sklearn.linear_model import LinearRegression
    from sklearn.model_selection import cross_val_score

    times = _times(6 * MS_PER_DAY)
    splitter = WalkForwardSplitter(times, _folds(WalkForwardConfig(splits=("expanding",)), 6 * MS_PER_DAY, 0))
    x = np.random.default_rng(1).standard_normal((times.size, 2))
    scores = cross_val_score(LinearRegression(), x, x @ [1.0, 2.0], cv=splitter)
    assert len(scores) == splitter.get_n_splits() == 4
    assert scores.min() > 0.99


def test_a_fold_without_rows_is_left_out_of_the_splitter() -> None:
    folds = _folds(WalkForwardConfig(splits=("expanding",)), 6 * MS_PER_DAY, 0)
    assert WalkForwardSplitter(np.array([START_MS]), folds).get_n_splits() == 0


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"refit_hours": 0}, "refit_hours"),
        ({"inner_frac": 0.9}, "inner_frac"),
        ({"return_horizons_s": (7,)}, "return_horizons_s"),
        ({"volatility_horizons_s": (300, 300)}, "volatility_horizons_s"),
        ({"splits": ()}, "splits"),
        ({"splits": ("expanding", "expanding")}, "splits"),
        ({"splits": ("sliding",)}, "available: expanding, rolling"),
    ],
)
def test_a_setting_out_of_range_is_named(values: dict[str, object], named: str) -> None:
    with pytest.raises(UserError, match=named):
        WalkForwardConfig(**values)  # type: ignore[arg-type]
    assert issubclass(ConfigError, UserError)
