"""The types of options and arguments that name a file or a folder to write."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from tfconformer import atomic


class OutputFile(click.Path):
    """A file to write, which is tried before the work whose result it will hold."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Returns the path.

        Raises:
          InputError: no file can be written there.
        """
        path = Path(os.fspath(value))
        atomic.require_writable(path)
        return path


class OutputFolder(click.Path):
    """A folder to write into, which is tried before the work whose results it will hold."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, file_okay=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Returns the path.

        Raises:
          InputError: no file can be written there.
        """
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        atomic.require_writable(path / "file")
        return path


OUTPUT_FILE, OUTPUT_FOLDER = OutputFile(), OutputFolder()
