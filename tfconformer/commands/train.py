"""The command `tfconformer train`."""

from __future__ import annotations

from pathlib import Path

import click

from tfconformer.commands.replicas import REPLICAS


@click.command()
@click.argument("config_file", type=click.Path(path_type=Path))
@click.argument("run_directory", type=click.Path(path_type=Path, file_okay=False))
@REPLICAS
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="SECTION.KEY=VALUE",
    help="Replace a value; paths are relative to the working directory.",
)
def train(config_file: Path, run_directory: Path, overrides: tuple[str, ...], replicas: int | None) -> None:
    """Train the model of CONFIG_FILE; started again, continue it.

    RUN_DIRECTORY receives the configuration, the tokenizer, the best weights and the history.
    """
    from tfconformer.config import load_config
    from tfconformer.training.distribution import process_strategy
    from tfconformer.training.run import RunDirectory
    from tfconformer.training.train import train as run_training

    with process_strategy(replicas).scope():
        run_training(load_config(config_file, list(overrides)), RunDirectory(run_directory))
