"""The metadata entry of an exported file, and its records of layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import tf_keras as keras
from numpy.typing import NDArray

from converters.exporter import lookup
from converters.exporter.lookup import LookupTable
from converters.exporter.pack import PackedWeights
from converters.exporter.pack_builtin import BuiltinWeights
from converters.flatbuffer.metadata import (
    GraphDescription,
    LayerRecord,
    ModelMetadata,
    TaskDescription,
    encode_tokenizer,
)
from tfconformer.config import Config
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.layers.base import Layer
from tfconformer.layers.dense import Dense
from tfconformer.quantization.spec import QuantSpec
from tfconformer.reports.layer_table import sqnr_db

_TARGETS = {BuiltinWeights: "litert", LookupTable: lookup.TARGET}


def layer_records(
    layers: Iterable[keras.layers.Layer],
    packed: Mapping[str, PackedWeights | BuiltinWeights | LookupTable],
    tables: Mapping[str, NDArray[np.float32]] | None = None,
) -> tuple[LayerRecord, ...]:
    """Returns the records of the layers and tables of an exported file.

    Args:
      layers: the float layers of the file; those without weights get no record.
      packed: the constants of the packed layers, by name.
      tables: constants that replace a layer, by its name, such as projected positions.
    """
    records = [_record(layer, packed.get(layer.name)) for layer in layers if layer.weights]
    records += [LayerRecord(name, "table", table.size, table.nbytes) for name, table in (tables or {}).items()]
    return tuple(records)


def abstract_layer_records(model: keras.Model, specs: Mapping[str, QuantSpec]) -> tuple[LayerRecord, ...]:
    """Returns the records of the layers of a model that may have no weights in memory.

    Args:
      model: a float model.
      specs: the specs of its quantized layers, by name; sizes are computed from them, without padding to whole panels.
    """
    records = []
    for layer in model.layers:
        parameters = sum(int(np.prod(weight.shape)) for weight in layer.weights)
        record = LayerRecord(layer.name, _kind(layer), parameters, float_bytes=4 * parameters)
        if isinstance(layer, Dense):
            k, n = (int(size) for size in layer.kernel.shape)
            record = replace(record, k=k, n=n)
            spec = specs.get(layer.name)
            if spec is not None:
                code_bytes, scale_bytes, offset_bytes = spec.stored_bytes(k, n)
                record = replace(
                    record,
                    float_bytes=4 * (parameters - k * n),
                    spec=spec.model_dump(),
                    code_bytes=code_bytes,
                    scale_bytes=scale_bytes,
                    offset_bytes=offset_bytes,
                )
        if parameters:
            records.append(record)
    return tuple(records)


def write_metadata(
    config: Config | None,
    tokenizer: Tokenizer | None,
    task: TaskDescription,
    graphs: tuple[GraphDescription, ...],
    layers: tuple[LayerRecord, ...],
    method: str = "qat",
) -> bytes:
    """Returns the content of a file's metadata entry, JSON in UTF-8.

    Args:
      config: the configuration of the training; None if there is none.
      tokenizer: the tokenizer of the labels; None for a task without text.
      task: the name and the settings of the task.
      graphs: the graphs of the file; of a speech model the first one takes audio.
      layers: a record of every layer with weights.
      method: the quantization method: "qat", "ptq-nearest" or "ptq-gptq".
    """
    return ModelMetadata(
        task=task,
        method=method,
        tokenizer_model=None if tokenizer is None else encode_tokenizer(tokenizer.to_bytes()),
        config={} if config is None else config.model_dump(mode="json"),
        layers=layers,
        graphs=graphs,
    ).to_json()


def _kind(layer: keras.layers.Layer) -> str:
    return layer.kind if isinstance(layer, Layer) else Layer.kind


def _record(layer: keras.layers.Layer, packed: PackedWeights | BuiltinWeights | LookupTable | None) -> LayerRecord:
    parameters = sum(int(np.prod(weight.shape)) for weight in layer.weights)
    kernel = layer.kernel.numpy() if isinstance(layer, Dense) else None
    k, n = kernel.shape if kernel is not None else (None, None)
    record = LayerRecord(layer.name, _kind(layer), parameters, 4 * parameters, k, n)
    if packed is None or kernel is None:
        return record
    offset_bytes = 0 if packed.offsets is None else packed.offsets.nbytes
    return LayerRecord(
        record.name,
        record.kind,
        parameters,
        float_bytes=4 * (parameters - kernel.size),
        k=packed.k,
        n=packed.n,
        spec=packed.spec.model_dump(),
        target=_TARGETS.get(type(packed)),
        code_bytes=packed.bytes - packed.scales.nbytes - offset_bytes,
        scale_bytes=packed.scales.nbytes,
        offset_bytes=offset_bytes,
        sqnr_db=sqnr_db(kernel, packed.dequantize()),
    )
