"""Shared by all tests: the recordings, and how long property tests may take."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

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
