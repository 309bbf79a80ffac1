"""The command `tfconformer quantize`."""

from __future__ import annotations

from pathlib import Path

import click

from tfconformer.commands.replicas import REPLICAS
from tfconformer.errors import InputError


@click.command()
@click.argument("config_file", type=click.Path(path_type=Path))
@click.argument("initial_run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("run_directory", type=click.Path(path_type=Path, file_okay=False))
@REPLICAS
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="SECTION.KEY=VALUE",
    help="Replace a value; paths are relative to the working directory.",
)
def quantize(
    config_file: Path, initial_run: Path, run_directory: Path, overrides: tuple[str, ...], replicas: int | None
) -> None:
    """Fine-tune the model of INITIAL_RUN, float or quantized, with the quantization rules of CONFIG_FILE."""
    from tfconformer.config import load_config
    from tfconformer.training.distribution import process_strategy
    from tfconformer.training.run import RunDirectory
    from tfconformer.training.train import train as run_training

    config = load_config(config_file, [*overrides, f"training.initial_weights={initial_run}"])
    if not config.quantization:
        raise InputError(f"{config_file}: 'quantization' has no rule; use `tfconformer train` for a float model")
    with process_strategy(replicas).scope():
        run_training(config, RunDirectory(run_directory))
