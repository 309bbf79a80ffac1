"""The `tfconformer` command. Run `tfconformer --help`.

Commands of other packages (`converters`) join through the entry-point group `tfconformer.commands`, so that this
package need not know them.
"""

from __future__ import annotations

import sys
from importlib.metadata import entry_points

import click

from tfconformer.errors import InputError
from tfconformer.logs import show_logs

COMMANDS = "tfconformer.commands"


class _LazyGroup(click.Group):
    """Imports a command when it is used: TensorFlow takes seconds to load and `--help` should not."""

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted({*super().list_commands(context), *(entry.name for entry in entry_points(group=COMMANDS))})

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        command = super().get_command(context, name)
        if command is None:
            for entry in entry_points(group=COMMANDS, name=name):
                command = entry.load()
        return command


@click.group(cls=_LazyGroup)
@click.version_option(package_name="tfconformer")
@click.option("-v", "--verbose", is_flag=True, help="Log what is done, not only what is wrong.")
def cli(verbose: bool) -> None:
    """Low-bit Conformers: train, quantize, export to .tflite, measure."""
    show_logs(verbose)


def main() -> None:
    """Entry point: input errors become one line on standard error and a non-zero exit status."""
    try:
        cli()
    except InputError as error:
        print(f"tfconformer: {error}", file=sys.stderr)
        sys.exit(error.exit_status)


if __name__ == "__main__":
    main()
