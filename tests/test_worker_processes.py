"""Worker processes: they compute, and none outlives the process that it works for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.processes import is_running, wait_for
from tfconformer.worker_processes import worker_pool

PARENT = """
from tests.test_worker_processes import announce_and_wait
from tfconformer.worker_processes import worker_pool
import sys

if __name__ == "__main__":
    with worker_pool(1) as pool:
        pool.submit(announce_and_wait, sys.argv[1]).result()
"""


def announce_and_wait(path: str) -> None:
    file = Path(path)
    file.with_suffix(".part").write_text(str(os.getpid()))
    file.with_suffix(".part").rename(file)
    time.sleep(600)


def set_variable(value: str) -> None:
    os.environ["SET_BY_THE_INITIALIZER"] = value


def test_the_initializer_comes_first() -> None:
    with worker_pool(1, set_variable, ("yes",)) as pool:
        assert pool.submit(os.getenv, "SET_BY_THE_INITIALIZER").result() == "yes"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_worker_ends_with_its_parent(number: signal.Signals, tmp_path: Path) -> None:
    file, program = tmp_path / "worker", tmp_path / "parent.py"
    program.write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen([sys.executable, program, file], env=environment) as parent:
        wait_for(file.exists)
        worker = file.read_text()
        parent.send_signal(number)
    wait_for(lambda: not is_running(worker))
