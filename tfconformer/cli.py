"""The `tfconformer` command; `tfconformer --help` lists its commands.

Commands are entry points, so that packages that build on this one (`converters`, `android_bench`) add theirs: users'
commands in the group `tfconformer.commands`, maintainers' in `tfconformer.dev_commands`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from io import TextIOWrapper
from typing import NoReturn

import click

from tfconformer.errors import InputError, printed
from tfconformer.logs import show_logs


class EntryPointGroup(click.Group):
    """A group of commands that imports a command when it is used: TensorFlow takes seconds to load.

    Attributes:
      entry_point_group: the group of entry points that name its commands.
    """

    entry_point_group = ""

    def list_commands(self, context: click.Context) -> list[str]:
        found = (entry.name for entry in entry_points(group=self.entry_point_group))
        return sorted({*super().list_commands(context), *found})

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        command = super().get_command(context, name)
        if command is None:
            for entry in entry_points(group=self.entry_point_group, name=name):
                command = entry.load()
        return command


class _Commands(EntryPointGroup):
    entry_point_group = "tfconformer.commands"


class _DevCommands(EntryPointGroup):
    entry_point_group = "tfconformer.dev_commands"


@click.group(cls=_Commands)
@click.version_option(package_name="tfconformer")
@click.option("-v", "--verbose", is_flag=True, help="Log progress, not only warnings.")
def cli(verbose: bool) -> None:
    """Low-bit Conformers: train, quantize, export to .tflite, measure."""
    show_logs(verbose)


@cli.group(cls=_DevCommands)
def dev() -> None:
    """Maintain this project: its experiments, reports, and tables of measurements."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line.

    Args:
      arguments: the words after the name of the program; None takes those of the process.
    """
    run_program(cli, "tfconformer", arguments)


def run_program(command: click.Command, name: str, arguments: Sequence[str] | None = None) -> None:
    """Runs a command; an input error becomes one line on standard error and a non-zero exit status.

    So does an error of the operating system about a file, such as a missing permission.

    Args:
      command: the command.
      name: name of the program, with which the line begins.
      arguments: the words after it; None takes those of the process.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files may hold what is no text
    words = list(sys.argv[1:] if arguments is None else arguments)
    if any("\0" in word for word in words):
        _fail(name, "an argument with a NUL is the name of no file", InputError.exit_status)
    try:
        command(words)
    except InputError as error:
        _fail(name, str(error), error.exit_status)
    except OSError as error:
        if error.filename is None:
            raise
        _fail(name, f"{error.filename}: {error.strerror}", InputError.exit_status)


def _fail(name: str, sentence: str, exit_status: int) -> NoReturn:
    print(f"{name}: {printed(sentence)}", file=sys.stderr)
    sys.exit(exit_status)


if __name__ == "__main__":
    main()
