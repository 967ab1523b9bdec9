"""A lake survives its process: killed at any moment, out of room, shared with others."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from capture_lines import write_recording
from test_lake_ingest import check_no_strays, check_same

from liqlab.core.errors import LakeBusyError
from liqlab.lake import Lake, ingest, is_lake, load_liquidations

#: Ingest in small batches, after saying "ready"; the part before it may change what is called.
INGEST = """
    import sys
    from pathlib import Path
    from liqlab.core.errors import LiqlabError
    from liqlab.lake import _ingest, ingest
    _ingest.BATCH_FILES = 6
    {before}
    print("ready", flush=True)
    try:
        ingest(Path(sys.argv[1]), Path(sys.argv[2]), workers=2)
    except LiqlabError as error:
        sys.exit(f"{{type(error).__name__}}: {{error}}")
"""

#: Kill this process at its n-th step in the lake: before it, after it, or halfway through a file.
KILL_AT = """
    import itertools, os, pathlib, signal
    steps = itertools.count(1)

    def kill_at(step):
        if next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def wrap(owner, name):
        inner = getattr(owner, name)
        def wrapped(self, target=None, *args, **settings):
            if name == "write_bytes" and {step} % 3 == 0:
                inner(self, target[: len(target) // 2])
            kill_at({step})
            result = inner(self, *(() if target is None else (target,)), *args, **settings)
            kill_at({step})
            return result
        setattr(owner, name, wrapped)

    wrap(pathlib.Path, "write_bytes")
    wrap(pathlib.Path, "replace")
    wrap(pathlib.Path, "unlink")
"""

FULL_DISK = """
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
"""

#: Say "holding" while the lake is held, and hold it.
HOLD = """
    import os, time

    def hang(path, source_file):
        os.write(1, b"holding\\n")
        time.sleep(120)

    _ingest.parse_capture = hang
"""


@contextmanager
def child(source: Path, lake: Path, before: str = "") -> Iterator[subprocess.Popen[str]]:
    """A process that ingests, past its imports; it is gone when the block ends."""
    before = textwrap.indent(textwrap.dedent(before), "    ").strip()
    script = textwrap.dedent(INGEST.format(before=before))
    command = [sys.executable, "-c", script, str(source), str(lake)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recording")
    write_recording(folder, 60, per_hour=12)
    return folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, recording: Path) -> Path:
    lake = tmp_path_factory.mktemp("undisturbed") / "lake"
    ingest(recording, lake)
    return lake


def check_whole(lake: Path) -> int:
    """A lake that was left by a killed process opens and adds up; the number of files it holds."""
    if not is_lake(lake):
        return 0
    with Lake(lake) as opened:
        assert all(row.holds for row in opened.reconcile())
        kept = next(row.kept for row in opened.reconcile() if row.stream == "liquidation")
        assert sum(opened.read_liquidations(symbol).height for symbol in opened.symbols()) == kept
        return len(opened.files)


def test_killed_again_and_again_at_any_moment_the_lake_ends_up_the_same(
    tmp_path: Path, recording: Path, undisturbed: Path
) -> None:
    lake = tmp_path / "lake"
    generator = random.Random(1)
    progress = [0]
    for step in (1, 2, 3, 9, 21, 30, 45, 60, 80, 100):
        with child(recording, lake, KILL_AT.format(step=step)) as process:
            assert finish(process)[0] == -signal.SIGKILL
        progress.append(check_whole(lake))
    for _ in range(5):
        with child(recording, lake) as process:
            time.sleep(generator.uniform(0.1, 0.8))
        progress.append(check_whole(lake))
    assert progress == sorted(progress)
    assert len(set(progress)) > 3
    with child(recording, lake) as process:
        assert finish(process) == (0, "")
    check_same(lake, undisturbed)
    check_no_strays(lake)


@pytest.mark.parametrize("size", [100, 6_000, 20_000])
def test_on_a_full_disk_the_error_is_clear_and_the_lake_stays_whole(
    tmp_path: Path, recording: Path, undisturbed: Path, size: int
) -> None:
    lake = tmp_path / "lake"
    with child(recording, lake, FULL_DISK.format(size=size)) as process:
        code, errors = finish(process)
    assert code == 1
    assert errors.startswith(f"EnvironmentFailure: cannot write {lake}/")
    assert "File too large" in errors
    assert "Traceback" not in errors
    check_whole(lake)
    ingest(recording, lake)
    check_same(lake, undisturbed)
    check_no_strays(lake)


def test_a_lake_in_use_says_so_and_is_free_once_its_process_is_killed(
    tmp_path: Path, recording: Path, undisturbed: Path
) -> None:
    lake = tmp_path / "lake"
    with child(recording, lake, HOLD) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holding\n"
        for use in (lambda: ingest(recording, lake), lambda: Lake(lake), lambda: load_liquidations(lake)):
            with pytest.raises(LakeBusyError, match=rf"{lake} is in use by another liqlab .*; wait until") as caught:
                use()
        assert f"process {process.pid}" in str(caught.value)
        process.kill()
        finish(process)
        ingest(recording, lake)
    check_same(lake, undisturbed)


def test_readers_share_a_lake_and_keep_writers_out(undisturbed: Path, recording: Path) -> None:
    with Lake(undisturbed) as one, Lake(undisturbed) as other:
        assert one.read_ticker("BTCUSDT").equals(other.read_ticker("BTCUSDT"))
        with child(recording, undisturbed) as process:
            code, errors = finish(process)
        assert code == 1
        assert errors.startswith(f"LakeBusyError: the lake {undisturbed} is in use by another liqlab")
    ingest(recording, undisturbed)
