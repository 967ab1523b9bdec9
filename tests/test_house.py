"""The locks hold what the project declares, and the gate runs what the README says."""

from __future__ import annotations

import os
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

RUNTIME, DEVELOPMENT = "requirements.lock", "requirements-dev.lock"


def _lock(repository: Path, name: str) -> dict[str, Requirement]:
    lines = (repository / name).read_text(encoding="utf-8").splitlines()
    return {canonicalize_name(line.split("==")[0]): Requirement(line) for line in lines}


def _version(pin: Requirement) -> str:
    return next(iter(pin.specifier)).version


def _declared(repository: Path) -> tuple[list[Requirement], list[Requirement]]:
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    runtime = [Requirement(text) for text in project["dependencies"]]
    return runtime, [Requirement(text) for text in project["optional-dependencies"]["dev"]]


@pytest.mark.parametrize("name", [RUNTIME, DEVELOPMENT])
def test_every_line_of_a_lock_is_one_exact_pin(repository: Path, name: str) -> None:
    lines = (repository / name).read_text(encoding="utf-8").splitlines()
    assert len(lines) > 10
    for line in lines:
        pin = Requirement(line)
        assert line == f"{pin.name}=={_version(pin)}", f"{name}: {line!r} is not NAME==VERSION"
        assert "*" not in line
    assert len(_lock(repository, name)) == len(lines), f"{name} pins a package twice"


def test_the_locks_satisfy_the_ranges_that_the_project_declares(repository: Path) -> None:
    runtime, development = _declared(repository)
    for name, wanted in ((RUNTIME, runtime), (DEVELOPMENT, runtime + development)):
        pins = _lock(repository, name)
        for requirement in wanted:
            pin = pins.get(canonicalize_name(requirement.name))
            assert pin is not None, f"{name} has no {requirement.name}"
            assert requirement.specifier.contains(_version(pin)), f"{name}: {pin} is outside {requirement}"


def test_the_development_lock_holds_the_runtime_lock(repository: Path) -> None:
    runtime, development = _lock(repository, RUNTIME), _lock(repository, DEVELOPMENT)
    assert {name: str(pin) for name, pin in runtime.items()}.items() <= {
        name: str(pin) for name, pin in development.items()
    }.items()


@pytest.mark.parametrize("name", [RUNTIME, DEVELOPMENT])
def test_a_lock_holds_whatever_its_packages_need(repository: Path, name: str) -> None:
    pins = _lock(repository, name)
    for package in pins:
        for text in metadata.requires(package) or []:
            requirement = Requirement(text)
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
                continue
            pin = pins.get(canonicalize_name(requirement.name))
            assert pin is not None, f"{package} needs {requirement}, which {name} does not pin"
            assert requirement.specifier.contains(_version(pin)), f"{package} needs {requirement}, {name} has {pin}"


def test_the_gate_runs_the_test_command_of_the_readme(repository: Path) -> None:
    gate = repository / ".ci" / "run"
    assert os.access(gate, os.X_OK)
    commands = [line for line in gate.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    assert commands[0] == "set -euo pipefail"
    assert commands[-1] == "make test"
    assert "\nmake test\n" in (repository / "README.md").read_text(encoding="utf-8")
