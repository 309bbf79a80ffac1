"""What an exported file says about itself: tokenizer, configuration and one record per layer, as JSON.

    {"format": 1, "method": "qat", "tokenizer": <base64 of a SentencePiece model>, "config": {...},
     "layers": [{"name": ..., ...}]}

A streaming file also has the key "streaming" (`stream_description.py`), that of a transducer the key "transducer"
(`transducer_description.py`).

It is the content of the flatbuffer metadata entry `TFCONFORMER`, so that the `.tflite` is all a program needs to turn
speech into text, and all a report needs to say what is in it.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import tf_keras as keras
from numpy.typing import NDArray

from converters.exporter.pack import PackedWeights
from converters.exporter.pack_builtin import BuiltinWeights
from converters.flatbuffer.stream_description import KEY, StreamDescription
from converters.flatbuffer.transducer_description import KEY as TRANSDUCER_KEY
from converters.flatbuffer.transducer_description import TransducerDescription
from tfconformer.config import Config
from tfconformer.layers.base import Layer
from tfconformer.layers.dense import Dense
from tfconformer.quantization.spec import QuantSpec

FORMAT = 1


@dataclass(frozen=True)
class LayerRecord:
    """One layer that has weights. Attributes that are None do not stand in the JSON.

    Attributes:
      name, kind: its name in the Keras model; "dense", "convolution", "depthwise", "normalization" or "attention". A
        constant that stands for a layer, as projected positions do in a streaming file, is a "table".
      parameters: weights and biases, counted.
      float_bytes: what those that stay in float32 take.
      k, n: contraction length and output channels of a dense layer, and of a convolution that is one of its windows.
      spec: of a quantized layer, as JSON.
      target: where it went if not to the custom operation: "litert".
      code_bytes, scale_bytes, offset_bytes: what a packed layer's constants take; positions count as codes.
      sqnr_db: 10 log10(sum W^2 / sum (W - Wq)^2) of a packed layer; None if there is no error at all.
    """

    name: str
    kind: str
    parameters: int
    float_bytes: int
    k: int | None = None
    n: int | None = None
    spec: dict[str, Any] | None = None
    target: str | None = None
    code_bytes: int | None = None
    scale_bytes: int | None = None
    offset_bytes: int | None = None
    sqnr_db: float | None = None


def layer_records(
    layers: Iterable[keras.layers.Layer],
    packed: Mapping[str, PackedWeights | BuiltinWeights],
    tables: Mapping[str, NDArray[np.float32]] | None = None,
) -> tuple[LayerRecord, ...]:
    """Describes what an exported file holds.

    Args:
      layers: those in the file; the ones without weights are left out.
      packed: the constants of those that are packed, by name.
      tables: constants that are no layer's weights, by name.
    """
    records = [_record(layer, packed.get(layer.name)) for layer in layers if layer.weights]
    records += [LayerRecord(name, "table", table.size, table.nbytes) for name, table in (tables or {}).items()]
    return tuple(records)


def abstract_layer_records(model: keras.Model, specs: Mapping[str, QuantSpec]) -> tuple[LayerRecord, ...]:
    """Describes every layer with weights of a model whose weights need not exist; sizes by its specs' arithmetic."""
    records = []
    for layer in model.layers:
        parameters = sum(int(np.prod(weight.shape)) for weight in layer.weights)
        record = LayerRecord(layer.name, _kind(layer), parameters, float_bytes=4 * parameters)
        if isinstance(layer, Dense):
            k, n = (int(size) for size in layer.kernel.shape)
            record = replace(record, k=k, n=n)
            spec = specs.get(layer.name)
            if spec is not None:
                ranges = 2 * spec.blocks(k) * n  # float16
                record = replace(
                    record,
                    float_bytes=4 * (parameters - k * n),
                    spec=spec.model_dump(),
                    code_bytes=math.ceil(k * n * spec.code_bits_per_weight / 8),
                    scale_bytes=ranges,
                    offset_bytes=0 if spec.symmetric else ranges,
                )
        if parameters:
            records.append(record)
    return tuple(records)


def metadata_json(
    tokenizer: bytes,
    config: Config,
    layers: tuple[LayerRecord, ...],
    method: str = "qat",
    stream: StreamDescription | None = None,
    transducer: TransducerDescription | None = None,
) -> bytes:
    """The content of the metadata entry.

    Args:
      tokenizer: a serialized SentencePiece model.
      config: what the model was built with.
      layers: of `layer_records`.
      method: how its weights were quantized, if they were: "qat" in training, others after it.
      stream: of a streaming file, how it is used.
      transducer: of the file of a transducer, how its decoder is used.
    """
    tree: dict[str, Any] = {
        "format": FORMAT,
        "method": method,
        "tokenizer": base64.b64encode(tokenizer).decode("ascii"),
        "config": config.model_dump(mode="json"),
        "layers": [{key: value for key, value in asdict(layer).items() if value is not None} for layer in layers],
    }
    for key, description in ((KEY, stream), (TRANSDUCER_KEY, transducer)):
        if description is not None:
            tree[key] = description.model_dump(mode="json")
    return json.dumps(tree, separators=(",", ":"), allow_nan=False).encode("utf-8")


def sqnr_db(weights: NDArray[np.floating], quantized: NDArray[np.floating]) -> float | None:
    """Signal to quantization noise in decibels; None where the ratio is not a number above zero."""
    signal = np.sum(np.square(weights, dtype=np.float64))
    noise = np.sum(np.square(weights.astype(np.float64) - quantized))
    return float(10 * np.log10(signal / noise)) if signal > 0 and noise > 0 else None


def _kind(layer: keras.layers.Layer) -> str:
    return layer.kind if isinstance(layer, Layer) else Layer.kind


def _record(layer: keras.layers.Layer, packed: PackedWeights | BuiltinWeights | None) -> LayerRecord:
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
        target="litert" if isinstance(packed, BuiltinWeights) else None,
        code_bytes=packed.bytes - packed.scales.nbytes - offset_bytes,
        scale_bytes=packed.scales.nbytes,
        offset_bytes=offset_bytes,
        sqnr_db=sqnr_db(kernel, packed.dequantize()),
    )
