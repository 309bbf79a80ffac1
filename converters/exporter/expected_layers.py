"""The layers of the file that an export of a run or of a configuration would write, without the export."""

from __future__ import annotations

from converters.exporter.metadata import abstract_layer_records
from converters.exporter.pipeline import prepare
from converters.flatbuffer.summary import layer_rows
from tfconformer.config import Config
from tfconformer.models.cost import input_rates, macs_per_second
from tfconformer.quantization.apply import match_layers
from tfconformer.reports.layer_table import LayerRow
from tfconformer.tasks import find_task
from tfconformer.training.checkpoint import abstract_model, load_model
from tfconformer.training.run import RunDirectory


def layers_of_run(run: RunDirectory) -> list[LayerRow]:
    """Returns the layers that the exported file of a run would have.

    Raises:
      InputError: the run is incomplete, or a layer's quantization is not possible in a file.
    """
    config = run.config()
    prepared = prepare(find_task(config.task), load_model(run))
    return layer_rows(prepared.layers, macs_per_second(prepared.model, input_rates(config.features, config.model)))


def layers_of_config(config: Config) -> list[LayerRow]:
    """Returns the layers that the exported file of a configuration would have; allocates no weight.

    Sizes do not include the padding to whole panels.
    """
    structure = abstract_model(config, config.data.tokenizer.vocabulary_size)
    model = find_task(config.task).exported_part(structure, streaming=False)
    records = abstract_layer_records(model, match_layers(model, config.quantization))
    return layer_rows(records, macs_per_second(model, input_rates(config.features, config.model)))
