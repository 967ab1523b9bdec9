"""Shared by all tests: the recordings, a simulated market, and how long property tests may take."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from small_market import Market

    from liqlab.study import Study

REPOSITORY = Path(__file__).resolve().parent.parent

# Examples on a busy machine may be slow without being wrong.
settings.register_profile("liqlab", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("liqlab")


def _shared_data() -> Path:
    named = os.environ.get("LIQLAB_SHARED_DATA")
    return Path(named) if named else REPOSITORY.parent / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that take the recordings are `real_data`; they are skipped, with the reason, where there are none."""
    folder = _shared_data()
    missing = pytest.mark.skip(reason=f"no recordings at {folder} (set LIQLAB_SHARED_DATA)")
    for item in items:
        if "shared_data" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.real_data)
        if item.get_closest_marker("real_data") and not folder.is_dir():
            item.add_marker(missing)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the recordings."""
    return _shared_data()


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Market:
    """A small simulated market with faults, studied once for all tests: the tests must leave its files alone."""
    from small_market import make_market

    return make_market(tmp_path_factory.mktemp("market"))


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Study:
    """The study of the recording with the short squeeze of 2026-03-05 10:26, and prices every five minutes."""
    from small_market import study_captures

    return study_captures(shared_data / "okx-2026-03-04", tmp_path_factory.mktemp("recording") / "lake")
