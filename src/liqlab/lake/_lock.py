"""One writer or many readers per lake, by a lock of the operating system that dies with its process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from liqlab.core.errors import EnvironmentFailure, LakeBusyError

_NAME = ".lock"


@contextmanager
def hold(lake: Path, *, exclusive: bool) -> Iterator[None]:
    """Hold the lock of `lake` during the block; `LakeBusyError` at once when another process has it.

    The file's content only says who holds it: the lock is the kernel's (`flock`), so a killed process leaves none.
    """
    try:
        descriptor = os.open(lake / _NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if exclusive:
            raise EnvironmentFailure(f"cannot write to the lake {lake}: {error.strerror}") from error
        try:
            descriptor = os.open(lake / _NAME, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            yield  # a lake on read-only storage, copied without its lock, has no writer to be protected from
            return
    try:
        _acquire(descriptor, lake, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        if exclusive:
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()}".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, lake: Path, mode: int) -> None:
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 100, 0).decode(errors="replace") if mode == fcntl.LOCK_SH else ""
        raise LakeBusyError(lake, f"another liqlab ({holder})" if holder else "another liqlab process") from error
