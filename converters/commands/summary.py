"""The command `tfconformer summary`."""

from __future__ import annotations

from pathlib import Path

import click

from converters.flatbuffer.summary import LayerRow, layer_rows, model_summary


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
def summary(source: Path) -> None:
    """Show a model layer by layer: bits, parameters, bytes, multiplications, quantization error.

    SOURCE is an exported .tflite file, the directory of a run, or the YAML of a model that need not fit into memory.
    """
    from converters.flatbuffer.model_file import read_model_file

    if source.is_dir():
        rows = _rows_of_run(source)
    elif source.suffix in (".yaml", ".yml"):
        rows = _rows_of_config(source)
    else:
        rows = read_model_file(source).layer_rows()
    click.echo(model_summary(rows, title=source.name), nl=False)


def _rows_of_run(path: Path) -> list[LayerRow]:
    """Returns the layers that the exported file of a run would have."""
    from converters.exporter.pipeline import prepare
    from tfconformer.models.cost import input_rates, macs_per_second
    from tfconformer.tasks import find_task
    from tfconformer.training.checkpoint import load_model
    from tfconformer.training.run import RunDirectory

    run = RunDirectory(path)
    config = run.config()
    prepared = prepare(find_task(config.task), load_model(run))
    macs = macs_per_second(prepared.model, input_rates(config.features))
    return layer_rows(prepared.layers, macs)


def _rows_of_config(path: Path) -> list[LayerRow]:
    """Returns the layers that the file of a configuration would have, sizes before padding; allocates no weight."""
    from converters.exporter.metadata import abstract_layer_records
    from tfconformer.config import load_config
    from tfconformer.models.cost import input_rates, macs_per_second
    from tfconformer.quantization.apply import match_layers
    from tfconformer.tasks import find_task
    from tfconformer.training.checkpoint import abstract_model

    config = load_config(path)
    structure = abstract_model(config, config.data.tokenizer.vocabulary_size)
    model = find_task(config.task).exported_part(structure, streaming=False)
    records = abstract_layer_records(model, match_layers(model, config.quantization))
    return layer_rows(records, macs_per_second(model, input_rates(config.features)))
