"""The `tfconformer` command. Run `tfconformer --help`.

Commands of other packages (`converters`) join through the entry-point group `tfconformer.commands`, so that this
package need not know them.
"""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from pathlib import Path

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


@cli.command()
@click.argument("config_file", type=click.Path(path_type=Path))
@click.argument("run_directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Replace a value of the YAML.")
def train(config_file: Path, run_directory: Path, overrides: tuple[str, ...]) -> None:
    """Train the model of CONFIG_FILE; started again, continue it.

    RUN_DIRECTORY receives the configuration, the tokenizer, the best weights and the history.
    """
    from tfconformer.config import load_config
    from tfconformer.training.run import RunDirectory
    from tfconformer.training.train import train as run_training

    run_training(load_config(config_file, list(overrides)), RunDirectory(run_directory))


@cli.command()
@click.argument("config_file", type=click.Path(path_type=Path))
@click.argument("float_run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("run_directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Replace a value of the YAML.")
def quantize(config_file: Path, float_run: Path, run_directory: Path, overrides: tuple[str, ...]) -> None:
    """Fine-tune the model of FLOAT_RUN with the quantization rules of CONFIG_FILE."""
    from tfconformer.config import load_config
    from tfconformer.training.run import RunDirectory
    from tfconformer.training.train import train as run_training

    config = load_config(config_file, [*overrides, f"training.initial_weights={float_run}"])
    if not config.quantization:
        raise InputError(f"{config_file}: 'quantization' has no rule; use `tfconformer train` for a float model")
    run_training(config, RunDirectory(run_directory))


@cli.command("language-model")
@click.argument("run_directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("output", type=click.Path(path_type=Path, dir_okay=False), metavar="OUTPUT.arpa")
@click.option("--shards", multiple=True, metavar="GLOB", help="Transcripts to learn from [default: the training's].")
@click.option("--order", type=click.IntRange(1, 6), default=6, show_default=True, help="Longest n-gram.")
def language_model(run_directory: Path, output: Path, shards: tuple[str, ...], order: int) -> None:
    """Estimate an n-gram model over the tokenizer pieces of RUN_DIRECTORY, for beam search."""
    from tfconformer.data.pipeline import transcripts
    from tfconformer.data.shards import find_shards
    from tfconformer.data.tokenizer import Tokenizer
    from tfconformer.decoding.ngram import estimate, write_arpa
    from tfconformer.training.run import RunDirectory

    run = RunDirectory(run_directory)
    tokenizer = Tokenizer.from_file(run.tokenizer_file)
    texts = transcripts(find_shards(shards or run.config().data.train))
    model = estimate(map(tokenizer.encode_as_pieces, texts), order)
    write_arpa(model, output)
    click.echo(f"{output}: {len(model.probabilities):,} n-grams from {len(texts):,} transcripts")


def main() -> None:
    """Entry point: input errors become one line on standard error and a non-zero exit status."""
    try:
        cli()
    except InputError as error:
        print(f"tfconformer: {error}", file=sys.stderr)
        sys.exit(error.exit_status)


if __name__ == "__main__":
    main()
