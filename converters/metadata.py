"""What an exported file says about itself: tokenizer, configuration and one record per layer, as JSON.

    {"format": 1, "tokenizer": <base64 of a SentencePiece model>, "config": {...}, "layers": [{"name": ..., ...}]}

It is the content of the flatbuffer metadata entry `TFCONFORMER`, so that the `.tflite` is all a program needs to turn
speech into text, and all a report needs to say what is in it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import tf_keras as keras
from numpy.typing import NDArray

from converters.pack import PackedWeights
from tfconformer.config import Config
from tfconformer.layers.attention import RelativeAttention
from tfconformer.layers.convolution import ConvolutionSubsampling, DepthwiseConvolution
from tfconformer.layers.dense import Dense
from tfconformer.layers.normalization import FeatureNormalization, LayerNormalization

FORMAT = 1
_KINDS = {
    Dense: "dense",
    ConvolutionSubsampling: "convolution",
    DepthwiseConvolution: "depthwise",
    LayerNormalization: "normalization",
    FeatureNormalization: "normalization",
    RelativeAttention: "attention",
}


@dataclass(frozen=True)
class LayerRecord:
    """One layer that has weights. Attributes that are None do not stand in the JSON.

    Attributes:
      name, kind: its name in the Keras model; "dense", "convolution", "depthwise", "normalization" or "attention".
      parameters: weights and biases, counted.
      float_bytes: what those that stay in float32 take.
      k, n: contraction length and output channels of a dense layer.
      spec: of a packed layer, as JSON.
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
    code_bytes: int | None = None
    scale_bytes: int | None = None
    offset_bytes: int | None = None
    sqnr_db: float | None = None


def layer_records(model: keras.Model, packed: Mapping[str, PackedWeights]) -> tuple[LayerRecord, ...]:
    """Describes every layer with weights of a model of `freeze.inference_model`, some of whose layers are packed."""
    return tuple(_record(layer, packed.get(layer.name)) for layer in model.layers if layer.weights)


def metadata_json(tokenizer: bytes, config: Config, layers: tuple[LayerRecord, ...]) -> bytes:
    """The content of the metadata entry; `tokenizer` is a serialized SentencePiece model."""
    tree = {
        "format": FORMAT,
        "tokenizer": base64.b64encode(tokenizer).decode("ascii"),
        "config": config.model_dump(mode="json"),
        "layers": [{key: value for key, value in asdict(layer).items() if value is not None} for layer in layers],
    }
    return json.dumps(tree, separators=(",", ":"), allow_nan=False).encode("utf-8")


def sqnr_db(weights: NDArray[np.floating], quantized: NDArray[np.floating]) -> float | None:
    """Signal to quantization noise in decibels; None where the ratio is not a number above zero."""
    signal = np.sum(np.square(weights, dtype=np.float64))
    noise = np.sum(np.square(weights.astype(np.float64) - quantized))
    return float(10 * np.log10(signal / noise)) if signal > 0 and noise > 0 else None


def _record(layer: keras.layers.Layer, packed: PackedWeights | None) -> LayerRecord:
    parameters = sum(int(np.prod(weight.shape)) for weight in layer.weights)
    kernel = layer.kernel.numpy() if isinstance(layer, Dense) else None
    k, n = kernel.shape if kernel is not None else (None, None)
    record = LayerRecord(layer.name, _KINDS[type(layer)], parameters, 4 * parameters, k, n)
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
        code_bytes=packed.bytes - packed.scales.nbytes - offset_bytes,
        scale_bytes=packed.scales.nbytes,
        offset_bytes=offset_bytes,
        sqnr_db=sqnr_db(kernel, packed.dequantize()),
    )
