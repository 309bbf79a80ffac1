"""The tasks, one module each: recognition with CTC or a transducer, and speech-to-speech conversion.

    task = find_task("recognition_ctc")
    model = task.build(config.model, mel_bins=80, vocabulary=28)

A task (`task.Task`) builds its model, turns batches into inputs and targets, names its losses, lists the graphs of its
exported file and scores the model. Training, export, verification and runtimes loop over these lists, so that another
task needs its own module here, or `register_task`, and nothing elsewhere.
"""

from __future__ import annotations

import sys

from tfconformer.errors import InputError
from tfconformer.modules import import_modules
from tfconformer.tasks.task import Task

_REGISTERED: dict[str, Task] = {}


def register_task(task: Task) -> None:
    """Registers a task that is no module of this package.

    Raises:
      ValueError: another task has its name.
    """
    if task.name in task_names():
        raise ValueError(f"there is a task {task.name!r} already")
    _REGISTERED[task.name] = task


def task_names() -> list[str]:
    """Returns the names of all tasks, sorted."""
    for module in import_modules(sys.modules[__name__]):
        task = getattr(module, "TASK", None)
        if task is not None:
            _REGISTERED[task.name] = task
    return sorted(_REGISTERED)


def find_task(name: str) -> Task:
    """Returns the task named `name`.

    Raises:
      InputError: there is no such task; the message lists the names.
    """
    if name not in _REGISTERED and name not in task_names():
        raise InputError(f"unknown task {name!r}, expected one of {', '.join(task_names())}")
    return _REGISTERED[name]
