"""Quantization without training: the baselines that a reader sets quantization-aware training against.

    quantized = quantize_post_training(model, match_layers(model, rules), "gptq", input_hessians(model, inputs))
    fixed = with_fixed_weights(model, quantized)        # evaluates, and exports like a trained model

A rounding decides how codes are chosen; the ranges are the `QuantSpec`'s: min-max is a clip of 1, clipping search is a
`ClipSearch`, for which the squared error is the usual measure after training.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
from numpy.typing import NDArray

from tfconformer.layers.dense import Dense, float_product
from tfconformer.quantization.layers.fixed import FixedProduct
from tfconformer.quantization.post_training.gptq import gptq
from tfconformer.quantization.quantizers.weights import QuantizedWeights, quantize_weights
from tfconformer.quantization.spec import QuantSpec, Rounding

Hessians = Mapping[str, NDArray[np.float64]]


def quantize_post_training(
    model: keras.Model, specs: Mapping[str, QuantSpec], rounding: Rounding, hessians: Hessians | None = None
) -> dict[str, QuantizedWeights]:
    """Quantizes layers of a float model, by name.

    Args:
      model: the float model.
      specs: of the layers to quantize, from `apply.match_layers`.
      rounding: "nearest", or "gptq", which needs the Hessians.
      hessians: from `input_hessians`.
    """
    quantized = {}
    for name, spec in specs.items():
        kernel = tf.constant(model.get_layer(name).kernel.numpy())
        if rounding == "nearest":
            quantized[name] = quantize_weights(kernel, spec)
        else:
            assert hessians is not None
            quantized[name] = gptq(kernel, hessians[name], spec)
    return quantized


def with_fixed_weights(model: keras.Model, quantized: Mapping[str, QuantizedWeights]) -> keras.Model:
    """A copy of the float `model` whose layers named in `quantized` multiply with those weights."""
    copy = _copy(model)
    for name, weights in quantized.items():
        copy.get_layer(name).product = FixedProduct(weights)
    return copy


def input_hessians(model: keras.Model, inputs: Iterable[Any]) -> dict[str, NDArray[np.float64]]:
    """X' X [K, K] of the inputs of every dense layer, summed over all frames.

    Args:
      model: the float model.
      inputs: what it is called with, utterance by utterance: the frames of padding would count.
    """
    copy = _copy(model)
    recorders = {}
    for layer in copy.layers:
        if isinstance(layer, Dense):
            recorders[layer.name] = layer.product = _Recorder(int(layer.kernel.shape[0]))
    for one in inputs:
        copy(one, training=False)
    return {name: recorder.hessian for name, recorder in recorders.items()}


class _Recorder:
    """A float product that adds up X' X of its inputs; for eager calls."""

    def __init__(self, contraction: int) -> None:
        self.hessian = np.zeros([contraction, contraction])

    def __call__(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        rows = tf.reshape(x, [-1, x.shape[-1]]).numpy().astype(np.float64)
        self.hessian += rows.T @ rows
        return float_product(x, kernel)


def _copy(model: keras.Model) -> keras.Model:
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy
