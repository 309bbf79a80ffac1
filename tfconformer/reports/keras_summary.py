"""The table of `tfconformer summary FILE` for any functional Keras model, in float or quantized."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import tensorflow as tf
import tf_keras as keras

from tfconformer.compat import layer_calls
from tfconformer.errors import InputError
from tfconformer.layers.base import Layer
from tfconformer.layers.dense import Dense, DenseWrapper, float_layer, float_layers
from tfconformer.layers.embedding import Embedding
from tfconformer.layers.from_keras.expansion import require_expandable
from tfconformer.layers.from_keras.model import expand, is_functional, leaf_layers, require_functional
from tfconformer.quantization.apply import QuantizedLayers
from tfconformer.quantization.layers.quantize_wrapper import require_own_wrappers
from tfconformer.quantization.spec import FLOAT_BITS, QuantSpec
from tfconformer.reports.layer_table import FLOAT_BYTES, LayerRow, MacUnit, granularity, model_summary, sqnr_db

_PER_EXAMPLE = MacUnit("MACs", "MACs per example, free dimensions counted as 1", 1, 0)


def summary(model: keras.Model) -> str:
    """Renders the layers of a model with bits, bytes, multiplications, and the error of their quantization.

    Layers of `tf_keras` are listed as `tfconformer.quantize` would divide them: the matrix of a layer `head` is that of
    a layer `head_kernel`. Bytes are those of a file, without the padding to whole panels. Multiplications are those
    with weights for one example, free dimensions counted as 1; "?" where they are not known, in layers that cannot be
    quantized.

    Args:
      model: a functional or Sequential model of `tf_keras`, of `tfconformer.quantize` or in float.

    Raises:
      InputError: the model is a subclassed one, or its layers are in the wrapper of the model optimization toolkit.
    """
    require_functional(model)
    require_own_wrappers(model)
    flat = _expanded(model)
    macs, quantized = _macs(flat), QuantizedLayers(flat)
    layers = [layer for layer in float_layers(flat).values() if layer.weights]
    return model_summary([_row(layer, macs.get(layer.name), quantized) for layer in layers], model.name, _PER_EXAMPLE)


def _expanded(model: keras.Model) -> keras.Model:
    """Returns the model as layers of this package, as far as that is possible."""
    names = [name for name, layer in leaf_layers(model) if _is_expandable(name, layer)]
    if not names and not any(map(is_functional, model.layers)):
        return model
    try:
        return expand(model, names).model
    except InputError:  # a layer gets a mask, which those of this package do not have
        return expand(model, ()).model


def _is_expandable(name: str, layer: keras.layers.Layer) -> bool:
    if isinstance(layer, (Layer, DenseWrapper)):
        return False
    try:
        require_expandable(layer, name)
    except InputError:
        return False
    return True


def _macs(model: keras.Model) -> Mapping[str, float]:
    """Counts the multiplications of the layers that count their own, and of those that have no matrix."""
    counts: defaultdict[str, float] = defaultdict(float)
    for call in layer_calls(model):
        layer = float_layer(call.layer)
        if isinstance(layer, Layer):
            counts[layer.name] += layer.macs_per_frame(call.input_shapes) * _frames(layer, call)
        elif all(weight.shape.rank < 2 for weight in layer.weights):
            counts[layer.name] += 0
    return counts


def _frames(layer: Layer, call: Any) -> int:
    """Returns the number of output frames of a call; a matrix is multiplied at every position of its input."""
    if isinstance(layer, Dense) and not layer.window:
        return math.prod(size or 1 for size in tf.nest.flatten(call.input_tensors)[0].shape[1:-1])
    return int(tf.nest.flatten(call.outputs)[0].shape[1] or 1)


def _row(layer: keras.layers.Layer, macs: float | None, quantized: QuantizedLayers) -> LayerRow:
    parameters = sum(math.prod(weight.shape) for weight in layer.weights)
    row = LayerRow(
        name=layer.name,
        kind=layer.kind if isinstance(layer, Layer) else Layer.kind,
        shape=tuple(layer.kernel.shape) if isinstance(layer, Dense) else (),
        bits=FLOAT_BITS,
        granularity="",
        parameters=parameters,
        bytes=FLOAT_BYTES * parameters,
        macs=macs,
    )
    spec = quantized.specs.get(layer.name)
    if spec is None:
        return row
    return replace(
        row,
        bits=spec.bits,
        granularity=granularity(spec),
        bytes=row.bytes - FLOAT_BYTES * math.prod(row.shape) + _stored_bytes(layer, spec),
        sqnr_db=sqnr_db(layer.kernel.numpy(), quantized[layer.name].dequantize().numpy()),
    )


def _stored_bytes(layer: Dense, spec: QuantSpec) -> int:
    k, n = map(int, layer.kernel.shape)
    if not isinstance(layer, Embedding):
        return sum(spec.stored_bytes(k, n))
    # A row of whole bytes for every vector, and float32 scales and zero points.
    ranges = spec.blocks(k) * (1 if spec.zero_points == "none" else 2)
    return n * (math.ceil(k / (8 // spec.bits)) + FLOAT_BYTES * ranges)
