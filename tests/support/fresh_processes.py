"""Processes that have imported the packages and done nothing else: forks of one process, which imports them once.

    python -m tests.support.fresh_processes MODULE

A new process of Python takes seven seconds to import TensorFlow. Nothing else is shared: a fork has the state that
imports leave, and TensorFlow starts its runtime in it.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any


@dataclass(frozen=True)
class Job:
    """A call in a process of its own.

    Attributes:
      function: name of a function of the module.
      arguments: what it is called with, as text.
      environment: variables that the process has besides those of the tests.
    """

    function: str
    arguments: Sequence[str | Path | int]
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ended:
    """A process that ended: its exit status, negative after a signal, and its standard error."""

    status: int
    errors: str


class FreshProcesses:
    """A context manager that calls functions of a module in forks of a process that has imported it."""

    def __init__(self, module: str) -> None:
        command = [sys.executable, "-m", __name__, module]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def __enter__(self) -> FreshProcesses:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._process.communicate()

    def run(self, *jobs: Job) -> list[Ended]:
        """Runs the jobs at the same time, each in a process of its own, and returns how they ended."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps([asdict(job) for job in jobs], default=str), file=self._process.stdin, flush=True)
        return [Ended(**one) for one in json.loads(self._process.stdout.readline())]


def main() -> None:
    module, answers = importlib.import_module(sys.argv[1]), os.dup(1)
    os.dup2(2, 1)
    for line in sys.stdin:
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder) / str(number) for number, _ in enumerate(json.loads(line))]
            children = [_start(module, job, file) for job, file in zip(json.loads(line), files, strict=True)]
            statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
            ended = [asdict(Ended(*one)) for one in zip(statuses, (file.read_text() for file in files), strict=True)]
        os.write(answers, (json.dumps(ended) + "\n").encode())


def _start(module: Any, job: dict[str, Any], errors: Path) -> int:
    child = os.fork()
    if child:
        return child
    with errors.open("w") as file:
        os.dup2(file.fileno(), 2)
    os.environ.update(job["environment"])
    try:
        getattr(module, job["function"])(*map(str, job["arguments"]))
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
