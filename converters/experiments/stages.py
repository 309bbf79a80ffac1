"""Stages of a demo: commands of this program that a user could type, printed before they run, and timed."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from tfconformer.errors import InputError
from tfconformer.reports.results import Stage


class Stages:
    """The stages that have run so far."""

    def __init__(self) -> None:
        self._done: list[Stage] = []

    @property
    def done(self) -> tuple[Stage, ...]:
        """Names and times of the stages."""
        return tuple(self._done)

    def run(self, name: str, *arguments: str | Path, accepted: Sequence[int] = (0,)) -> int:
        """Runs a command of this program in a process of its own, notes its time and returns its exit status.

        Raises:
          InputError: the status is not an accepted one; the command has printed the reason on standard error.
        """
        words = [str(argument) for argument in arguments]
        click.secho(f"\n[{name}]", bold=True)
        click.echo(f"$ tfconformer {shlex.join(words)}")
        started = time.monotonic()
        status = subprocess.run([sys.executable, "-m", "tfconformer.cli", *words], check=False).returncode
        if status not in accepted:
            raise InputError(f"the stage '{name}' failed with exit status {status}; its message stands above")
        self._done.append(Stage(name=name, seconds=round(time.monotonic() - started, 1)))
        return status
