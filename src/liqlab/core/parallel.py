"""The one seam for independent work: an ordered map over local processes or threads.

Processes are the default. Threads serve work that spends its time outside the interpreter lock (decompression, compiled
kernels, Parquet): they start at once and share memory. Either way results come back in order, at most a few per worker
wait in memory, and no worker outlives its parent.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Literal, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Tasks in flight per worker: one running, one waiting for it, one whose result waits to be taken.
TASKS_PER_WORKER = 3


def count_workers(workers: int | None = None) -> int:
    """The number of workers to use: as asked, else one per core that this process may run on."""
    if workers is not None:
        return max(1, workers)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def ordered_map(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int | None = None,
    kind: Literal["processes", "threads"] = "processes",
) -> Iterator[Result]:
    """`function` of each item, in the order of the items, computed side by side.

    With one worker everything runs in the calling thread. For processes `function` must be importable and items and
    results must pickle. An exception of a task is raised here, and what had not started is not started.
    """
    count = count_workers(workers)
    if count == 1:
        yield from map(function, items)
        return
    with _executor(kind, count) as executor:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(executor.submit(function, item))
                if len(waiting) >= TASKS_PER_WORKER * count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            # Cancelled one by one, futures that had not reached a worker can leave the executor waiting for ever.
            executor.shutdown(cancel_futures=True)


def _executor(kind: str, count: int) -> Executor:
    if kind == "threads":
        return ThreadPoolExecutor(count)
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(count, mp_context=context, initializer=_follow_parent, initargs=(os.getpid(),))


def _follow_parent(parent: int) -> None:
    """In a worker: die when the parent does, and leave Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    threading.Thread(target=_watch_parent, args=(parent,), daemon=True).start()


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
