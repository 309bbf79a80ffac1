"""The command `tfconformer allocate`."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from tfconformer.commands.output import OUTPUT_FILE
from tfconformer.errors import InputError
from tfconformer.patterns import compile_pattern
from tfconformer.quantization.spec import Rounding


@click.command()
@click.argument("run_directory", type=click.Path(path_type=Path))
@click.argument("output", type=OUTPUT_FILE, metavar="OUTPUT.yaml")
@click.option("--budget", required=True, metavar="SIZE", help="Largest size of the exported file: 1.5MB, 900kB.")
@click.option("--keep-float", default=".*_head", show_default=True, metavar="REGEX", help="Layers to leave alone.")
@click.option("--rounding", type=click.Choice(get_args(Rounding)), default="nearest", show_default=True)
def allocate(run_directory: Path, output: Path, budget: str, keep_float: str, rounding: Rounding) -> None:
    """Choose bits per layer for the float model of RUN_DIRECTORY, so that its file fits into a budget.

    OUTPUT.yaml extends the run's configuration by the chosen quantization; `tfconformer quantize` trains it,
    `tfconformer export --post-training` exports it as it is.
    """
    compile_pattern(keep_float, "--keep-float")
    if output.suffix not in (".yaml", ".yml"):
        raise InputError(f"the output {output} should have a name that ends in .yaml")
    from converters.exporter.allocate import allocate_model, parse_size
    from tfconformer.training.run import RunDirectory

    run = RunDirectory(run_directory)
    allocation = allocate_model(run, parse_size(budget), keep_float, rounding)
    allocation.write(output, run)
    for name, choice in allocation.choices.items():
        click.echo(f"{name:32} {choice.error:8.3f} nats  {choice.bytes:9,} bytes  {choice.spec}")
    click.echo(f"{output}: the file will have {allocation.file_bytes:,} bytes")
