"""The command `tfconformer summary`."""

from __future__ import annotations

from dataclasses import asdict
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
    """What the exported file of a run would hold."""
    from converters.exporter.pipeline import prepare
    from tfconformer.models.cost import input_rates, macs_per_second
    from tfconformer.training.checkpoint import load_model
    from tfconformer.training.run import RunDirectory

    run = RunDirectory(path)
    prepared = prepare(load_model(run))
    macs = macs_per_second(prepared.model, input_rates(run.config().features))
    return layer_rows(map(asdict, prepared.layers), macs)


def _rows_of_config(path: Path) -> list[LayerRow]:
    """What the exported file of a run of a configuration would hold, sizes before padding; no weight is allocated."""
    from converters.exporter.freeze import inference_model
    from converters.exporter.metadata import abstract_layer_records
    from tfconformer.config import load_config
    from tfconformer.models.build import abstract_conformer
    from tfconformer.models.cost import input_rates, macs_per_second
    from tfconformer.quantization.apply import match_layers

    config = load_config(path)
    vocabulary = config.data.tokenizer.vocabulary_size
    model = inference_model(abstract_conformer(config.model, config.features.mel_bins, vocabulary))
    records = abstract_layer_records(model, match_layers(model, config.quantization))
    return layer_rows(map(asdict, records), macs_per_second(model, input_rates(config.features)))
