"""Processes that work for this one, and end with it."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor


def worker_pool(
    workers: int, initializer: Callable[..., None] | None = None, arguments: tuple[object, ...] = ()
) -> ProcessPoolExecutor:
    """Returns a pool of new Python processes.

    A worker exits when this process is killed. Otherwise it would write into the folder of the next start.

    Args:
      workers: number of processes.
      initializer: called in every worker before its first task.
      arguments: those of `initializer`.
    """
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start, (initializer, arguments))


def _start(initializer: Callable[..., None] | None, arguments: tuple[object, ...]) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
    if initializer is not None:
        initializer(*arguments)
