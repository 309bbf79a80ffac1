"""Running external programs: compilers, emulators, signing tools."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tfconformer.errors import InputError, UnavailableError


def find_program(*names: str) -> str:
    """Returns the path of the first program of `names` that is installed.

    Raises:
      UnavailableError: none is installed.
    """
    for name in names:
        if path := shutil.which(name):
            return path
    raise UnavailableError(f"{names[0]} is not installed")


def run_program(command: Sequence[str | Path], folder: Path) -> None:
    """Runs a program in a folder until it ends.

    Paths below `folder` are passed relative to it: compilers write the names of sources into their output, which then
    does not depend on the place of the checkout.

    Raises:
      InputError: the exit status is not 0; the message holds the program's standard error.
    """
    words = [str(word).replace(f"{folder}/", "") for word in command]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"{shlex.join(words)}\n{done.stderr.strip()}")
