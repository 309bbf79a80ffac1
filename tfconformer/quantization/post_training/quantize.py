"""Post-training quantization: the baselines of quantization-aware training.

    quantized = quantize_post_training(model, match_layers(model, rules), "gptq", input_hessians(model, inputs))
    fixed = with_fixed_weights(model, quantized)        # evaluates, and exports like a trained model

Quantized values are chosen by round-to-nearest (RTN, "nearest") or by GPTQ; the ranges are the `QuantSpec`'s: min-max
is a clip of 1, clipping search is a `ClipSearch`, for which the squared error is the usual measure after training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
from numpy.typing import NDArray

from tfconformer.layers.dense import BoundMatmul, Dense, DenseWrapper, Matmul, float_matmul
from tfconformer.quantization.layers.fixed import FixedDense
from tfconformer.quantization.post_training.gptq import gptq
from tfconformer.quantization.quantizers.weights import QuantizedWeights, quantize_weights
from tfconformer.quantization.spec import QuantSpec, Rounding

Hessians = Mapping[str, NDArray[np.float64]]


def quantize_post_training(
    model: keras.Model, specs: Mapping[str, QuantSpec], rounding: Rounding, hessians: Hessians | None = None
) -> dict[str, QuantizedWeights]:
    """Quantizes kernels of a float model; returns the quantized weights, compact, by layer name.

    Args:
      model: the float model.
      specs: specs of the layers to quantize, from `apply.match_layers`.
      rounding: "nearest" (RTN), or "gptq", which needs the Hessians.
      hessians: from `input_hessians`.
    """
    quantized = {}
    for name, spec in specs.items():
        kernel = tf.constant(model.get_layer(name).kernel.numpy())
        if rounding == "nearest":
            weights = quantize_weights(kernel, spec)
        else:
            assert hessians is not None
            weights = gptq(kernel, hessians[name], spec)
        quantized[name] = weights.compact()
    return quantized


def with_fixed_weights(model: keras.Model, quantized: Mapping[str, QuantizedWeights]) -> keras.Model:
    """Returns a copy of the float `model` whose layers named in `quantized` multiply with those weights."""
    return _with_weights_of(model, fixed_model(model, quantized))


def fixed_model(structure: keras.Model, quantized: Mapping[str, QuantizedWeights]) -> keras.Model:
    """Returns a model whose layers named in `quantized` multiply with those weights, for weights that are read into it.

    Args:
      structure: the float model, which may be abstract: its weights do not count.
      quantized: weights by layer name.
    """
    return _clone(
        structure, lambda layer: FixedDense(layer, quantized[layer.name]) if layer.name in quantized else layer
    )


def input_hessians(model: keras.Model, inputs: Iterable[Any]) -> dict[str, NDArray[np.float64]]:
    """Sums X' X [K, K] of the matmul inputs of every dense layer over all frames; returns the sums by layer name.

    Args:
      model: the float model.
      inputs: arguments of its calls, utterance by utterance, since frames of padding would count.
    """
    recorders = _clone(model, lambda layer: _HessianRecorder(layer) if isinstance(layer, Dense) else layer)
    copy = _with_weights_of(model, recorders)
    for one in inputs:
        copy(one, training=False)
    return {layer.name: layer.hessian for layer in copy.layers if isinstance(layer, _HessianRecorder)}


class _HessianRecorder(DenseWrapper, keras.layers.Wrapper):
    """A float layer that sums X' X of its matmul inputs.

    Attributes:
      hessian: [K, K] float64.
    """

    def __init__(self, layer: Dense) -> None:
        super().__init__(layer, name=layer.name)

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self.hessian = np.zeros([self.layer.kernel.shape[0]] * 2)

    def matmul(self, training: bool | tf.Tensor | None) -> Matmul:
        return _RecordedMatmul(self.record)

    def record(self, x: NDArray[np.float32]) -> None:
        """Adds the inputs [..., K] of a matmul."""
        rows = x.reshape(-1, x.shape[-1]).astype(np.float64)
        self.hessian += rows.T @ rows


class _RecordedMatmul(Matmul):
    """The float matmul, which passes its inputs to `record` first."""

    def __init__(self, record: Callable[[NDArray[np.float32]], None]) -> None:
        self._record = record

    def bind(self, kernel: tf.Tensor) -> BoundMatmul:
        bound = float_matmul.bind(kernel)

        def multiply(x: tf.Tensor) -> tf.Tensor:
            # Runs in calls with values, not in those in which Keras infers shapes.
            tf.numpy_function(self._record, [x], [])
            return bound.multiply(x)

        return replace(bound, multiply=multiply)


def _clone(model: keras.Model, wrapped: Callable[[keras.layers.Layer], keras.layers.Layer]) -> keras.Model:
    """Clones the structure of a float model, whose layers go through `wrapped`, without the weights."""
    return keras.models.clone_model(
        model, clone_function=lambda layer: wrapped(layer.__class__.from_config(layer.get_config()))
    )


def _with_weights_of(model: keras.Model, copy: keras.Model) -> keras.Model:
    """Copies the weights layer by layer, since those of all layers together would be in memory twice more."""
    for source, target in zip(model.layers, copy.layers, strict=True):
        for weight, value in zip(target.weights, source.weights, strict=True):
            weight.assign(value)
    return copy
