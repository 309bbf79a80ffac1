"""Calls a function in a child process of a fork, which has the memory of the tests but not their threads."""

from __future__ import annotations

import os
import pickle
import signal
import traceback
from collections.abc import Callable
from typing import Any

_SECONDS = 60  # a child that waits for ever fails the test, and does not outlive it


def forked(function: Callable[[], Any]) -> Any:
    """Returns the result of `function()` in a child process, which then ends; its exceptions fail the test."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(_SECONDS)
            with os.fdopen(writable, "wb") as pipe:
                pickle.dump(function(), pipe)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(writable)
    with os.fdopen(readable, "rb") as pipe:
        content = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 0, f"the child process ended with {status}"
    return pickle.loads(content)
