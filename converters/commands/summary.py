"""The command `tfconformer summary`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
def summary(source: Path) -> None:
    """Show a model layer by layer: bits, parameters, bytes, multiplications, quantization error.

    SOURCE is an exported .tflite file, the directory of a run, or the YAML of a model that need not fit into memory.
    """
    from converters.flatbuffer.model_file import read_model_file
    from tfconformer.reports.layer_table import model_summary

    if source.is_dir():
        from converters.exporter.expected_layers import layers_of_run
        from tfconformer.training.run import RunDirectory

        rows = layers_of_run(RunDirectory(source))
    elif source.suffix in (".yaml", ".yml"):
        from converters.exporter.expected_layers import layers_of_config
        from tfconformer.config import load_config

        rows = layers_of_config(load_config(source))
    else:
        rows = read_model_file(source).layer_rows()
    click.echo(model_summary(rows, title=source.name), nl=False)
