"""The `plan` world keeps resembling the published figures, and the benchmark counts as it says."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from liqlab.worlds import load_world


@pytest.fixture(scope="module")
def similarity(repository: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("similarity", repository / "benchmarks" / "similarity.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("kind", "published", "simulated", "is_met"),
    [
        ("n", 100.0, 149.0, True),
        ("n", 100.0, 151.0, False),
        ("n", 100.0, 67.0, True),
        ("n", 100.0, 66.0, False),
        ("n", 100.0, float("nan"), False),
        ("n", 0.1, 0.129, True),
        ("n", 0.1, 0.131, False),
        ("n", -0.005, 0.02, True),
        ("n", -0.005, 0.03, False),
        ("s", 0.10, 0.17, True),
        ("s", 0.60, 0.69, False),
        ("h", 23.0, 1.0, True),
        ("h", 23.0, 2.0, False),
    ],
)
def test_a_cell_is_met_within_its_tolerance(
    similarity: ModuleType, kind: str, published: float, simulated: float, is_met: bool
) -> None:
    assert similarity.Cell("row", "column", kind, published, simulated).is_met is is_met


def test_one_seed_of_the_plan_world_already_resembles_the_market(similarity: ModuleType) -> None:
    mean = similarity.average([similarity.measure((load_world("plan"), 1))])
    cells = similarity.list_cells(mean)
    assert len(cells) == 33 * 5 + 7 + 18
    assert sum(cell.is_met for cell in cells) > 0.7 * len(cells)
    assert 0.15 < mean[("branching ratio", "all")] < 0.6
    text = similarity.render(cells, mean, "plan", [1])
    assert text.count("\n| ") > 50
