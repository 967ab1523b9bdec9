"""The log of what was computed seed by seed: it gives back what it was given, and survives what interrupts it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqlab.core.errors import EnvironmentFailure
from liqlab.core.seed_log import SeedLog

_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


def keep(log: SeedLog, values: dict[int, Any]) -> None:
    log.read()
    with log:
        for seed, value in values.items():
            log.add(seed, value)


@given(values=st.dictionaries(st.integers(0, 2**63), VALUES, max_size=5))
def test_what_was_added_is_read_again(values: dict[int, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("log") / "seeds.jsonl"
    keep(SeedLog(path, "a"), values)
    assert SeedLog(path, "a").read() == values


def test_a_log_goes_on_where_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "seeds.jsonl"
    keep(SeedLog(path, "a"), {1: "one"})
    keep(SeedLog(path, "a"), {2: "two"})
    assert SeedLog(path, "a").read() == {1: "one", 2: "two"}


def test_what_stands_for_something_else_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "seeds.jsonl"
    keep(SeedLog(path, "a"), {1: "one"})
    assert SeedLog(path, "b").read() == {}
    assert SeedLog(path, "a").read() == {}


def test_each_value_is_on_disk_as_soon_as_it_is_added(tmp_path: Path) -> None:
    path = tmp_path / "seeds.jsonl"
    log = SeedLog(path, "a")
    log.read()
    with log:
        log.add(1, {"x": 1.5})
        assert SeedLog(path, "a").read() == {1: {"x": 1.5}}


def test_an_interruption_at_any_byte_costs_at_most_the_line_that_it_cut(tmp_path: Path) -> None:
    values = {1: {"x": [1.5, None]}, 2: "two", 3: 3}
    keep(SeedLog(tmp_path / "whole.jsonl", "a"), values)
    whole = (tmp_path / "whole.jsonl").read_bytes()
    path = tmp_path / "cut.jsonl"
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        complete = whole[:size].count(b"\n") - 1
        found = SeedLog(path, "a").read()
        # A line may be complete but for its end of line.
        assert list(found.items()) in (list(values.items())[: max(complete, 0)], list(values.items())[: complete + 1])
        missing = {seed: value for seed, value in values.items() if seed not in found}
        keep(SeedLog(path, "a"), missing)
        assert SeedLog(path, "a").read() == values


@pytest.mark.parametrize("content", ["", "\n", "not json\n", "[1, 2]\n", '{"seed": 1, "value": 2}\n', "7\n"])
def test_a_file_that_is_no_log_starts_anew(content: str, tmp_path: Path) -> None:
    path = tmp_path / "seeds.jsonl"
    path.write_text(content)
    assert SeedLog(path, "a").read() == {}
    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"fingerprint": "a"}]


def test_without_a_path_nothing_is_kept() -> None:
    log = SeedLog(None, "a")
    keep(log, {1: "one"})
    assert log.read() == {}


def test_a_place_that_cannot_be_used_is_a_failure_of_the_environment(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "seeds.jsonl", tmp_path / "folder"):
        with pytest.raises(EnvironmentFailure, match="choose another folder to work in") as caught:
            SeedLog(path, "a").read()
        assert str(path) in str(caught.value)
        assert caught.value.exit_code == 1


def test_a_disk_that_fills_while_a_value_is_added_is_said(tmp_path: Path) -> None:
    log = SeedLog(tmp_path / "seeds.jsonl", "a")
    log.read()
    log.path = Path("/dev/full")
    with pytest.raises(EnvironmentFailure, match="/dev/full"), log:
        log.add(1, "one")
