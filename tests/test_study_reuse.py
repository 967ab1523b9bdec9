"""A second run on the same data and configuration reads its forecasts; anything changed, it computes."""

from __future__ import annotations

from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

from liqlab.lake import Lake, ingest
from liqlab.study import Study, load_study_config, run_study
from liqlab.study._reuse import KEY_FILE, compute_key, read_kept
from liqlab.worlds import simulate

SHORT = load_study_config(test_claims=False, ic={"n_resamples": 99})
REUSED = "information coefficients and forecasts, unchanged"


@pytest.fixture(scope="module")
def lake_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reuse")
    simulate(folder / "captures", days=0.25, seed=4, symbols=("BTCUSDT", "SOLUSDT"), workers=1)
    ingest(folder / "captures", folder / "lake")
    return folder / "lake"


@pytest.fixture(scope="module")
def first(lake_path: Path) -> tuple[Study, Study]:
    with Lake(lake_path) as lake:
        tables = lake_path.parent / "tables"
        return run_study(lake, tables=tables), run_study(lake, tables=tables)


def _stages(study: Study) -> list[str]:
    return [stage.name for stage in study.stages]


def test_the_second_run_reads_what_the_first_computed(first: tuple[Study, Study]) -> None:
    computed, read = first
    assert REUSED not in _stages(computed)
    assert REUSED in _stages(read)
    assert "information coefficients" not in _stages(read)


def test_what_is_read_equals_what_was_computed(first: tuple[Study, Study]) -> None:
    computed, read = first
    for name in ("table", "daily", "fifths", "comparison"):
        assert_frame_equal(getattr(read.ic, name), getattr(computed.ic, name))
    for name in ("predictions", "scores", "comparisons", "importance", "trials"):
        assert_frame_equal(getattr(read.walk_forward, name), getattr(computed.walk_forward, name))
    assert read.ic.notes == computed.ic.notes
    assert read.walk_forward.notes == computed.walk_forward.notes
    assert read.table_rows == computed.table_rows
    assert {"q1_impact", "zone_scores", "contagion_granger"} <= set(read.table_rows)


def test_another_configuration_computes_anew(lake_path: Path, first: tuple[Study, Study]) -> None:
    assert first
    with Lake(lake_path) as lake:
        again = run_study(lake, SHORT, lake_path.parent / "tables")
    assert REUSED not in _stages(again)


def test_a_table_that_was_changed_by_hand_is_not_trusted(lake_path: Path, tmp_path: Path) -> None:
    with Lake(lake_path) as lake:
        study = run_study(lake, SHORT, tmp_path)
        study.ic.table.head(1).write_parquet(tmp_path / "ic.parquet")
        again = run_study(lake, SHORT, tmp_path)
    assert REUSED not in _stages(again)
    assert_frame_equal(again.ic.table, study.ic.table)


def test_the_key_names_data_inputs_and_program(lake_path: Path) -> None:
    with Lake(lake_path) as lake:
        key = compute_key(lake.files, {"a": 1})
        assert key == compute_key(lake.files, {"a": 1})
        assert key != compute_key(lake.files, {"a": 2})
        fewer = dict(list(lake.files.items())[1:])
        assert key != compute_key(fewer, {"a": 1})


def test_a_damaged_key_file_is_no_key(tmp_path: Path) -> None:
    assert read_kept(tmp_path, "k", ()) is None
    (tmp_path / KEY_FILE).write_text("{cut off", encoding="utf-8")
    assert read_kept(tmp_path, "k", ()) is None
