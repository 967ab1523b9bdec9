"""The one seam for independent work: order, bounded look-ahead, errors, and workers that die with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from liqlab.core.parallel import TASKS_PER_WORKER, count_workers, ordered_map

Kind = Literal["processes", "threads"]
KINDS: list[Kind] = ["processes", "threads"]


def slowly(number: int) -> int:
    time.sleep(0.03 if number % 3 == 0 else 0.0)
    return number * number


def stumble(number: int) -> int:
    if number == 3:
        raise ValueError(f"item {number}")
    return number


def process_id(_: int) -> int:
    time.sleep(0.01)
    return os.getpid()


@pytest.mark.parametrize("kind", KINDS)
def test_results_come_in_the_order_of_the_items(kind: Kind) -> None:
    assert list(ordered_map(slowly, range(20), 3, kind)) == [number * number for number in range(20)]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_without_items_there_are_no_results(kind: Kind, workers: int) -> None:
    assert list(ordered_map(slowly, [], workers, kind)) == []


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_an_error_of_a_task_is_raised_after_the_results_before_it(kind: Kind, workers: int) -> None:
    results = ordered_map(stumble, range(50), workers, kind)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="item 3"):
        next(results)


def test_one_worker_is_the_calling_thread() -> None:
    assert set(ordered_map(lambda _: threading.get_ident(), range(5), 1)) == {threading.get_ident()}


def test_processes_are_others_and_no_more_than_asked_for() -> None:
    found = set(ordered_map(process_id, range(12), 2))
    assert 1 <= len(found) <= 2
    assert os.getpid() not in found


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_items_are_taken_no_further_ahead_than_the_workers_need(workers: int) -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(100):
            taken += 1
            yield number

    results = ordered_map(slowly, items(), workers, "threads")
    for done in range(1, 40):
        next(results)
        assert taken - done < TASKS_PER_WORKER * workers


def test_what_has_not_started_does_not_start_once_nobody_waits_for_it() -> None:
    started = []

    def note(number: int) -> int:
        started.append(number)
        time.sleep(0.02)
        return number

    results = ordered_map(note, range(100), 2, "threads")
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    count = len(started)
    time.sleep(0.1)
    assert len(started) == count <= TASKS_PER_WORKER * 2


def test_the_number_of_workers_is_as_asked_or_one_per_core() -> None:
    assert count_workers(5) == 5
    assert count_workers(0) == 1
    assert 1 <= count_workers() <= (os.cpu_count() or 1)


MODULE = """
import os, time
from pathlib import Path

def sleep_long(folder):
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(300)
"""

PARENT = """
import sys
sys.path.insert(0, sys.argv[1])
from long_task import sleep_long
from liqlab.core.parallel import ordered_map

if __name__ == "__main__":
    list(ordered_map(sleep_long, [sys.argv[1] + "/running"] * 6, 2))
"""


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def wait_until(happens: object, seconds: float = 30.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if happens():  # type: ignore[operator]
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_no_worker_outlives_a_parent_that_is_killed(tmp_path: Path) -> None:
    running = tmp_path / "running"
    running.mkdir()
    (tmp_path / "long_task.py").write_text(MODULE)
    (tmp_path / "parent.py").write_text(textwrap.dedent(PARENT))
    parent = subprocess.Popen([sys.executable, str(tmp_path / "parent.py"), str(tmp_path)])
    try:
        assert wait_until(lambda: len(list(running.iterdir())) == 2)
        workers = [int(path.name) for path in running.iterdir()]
        assert all(map(is_running, workers))
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        assert wait_until(lambda: not any(map(is_running, workers)), 10.0)
    finally:
        parent.kill()
        parent.wait()
