"""Other programs that a command runs: compilers, emulators, signing tools."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tfconformer.errors import InputError, UnavailableError


def find_program(*names: str) -> str:
    """Returns the path of the first of these programs that is installed.

    Raises:
      UnavailableError: none is installed.
    """
    for name in names:
        if path := shutil.which(name):
            return path
    raise UnavailableError(f"{names[0]} is not installed")


def run_program(command: Sequence[str | Path], folder: Path) -> None:
    """Runs a program in a folder and waits for it.

    Paths below `folder` become relative to it: compilers write the names of sources into their output, which then does
    not depend on where the checkout is.

    Raises:
      InputError: the program fails; the message holds its standard error.
    """
    words = [str(word).replace(f"{folder}/", "") for word in command]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"{shlex.join(words)}\n{done.stderr.strip()}")
