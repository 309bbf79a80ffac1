"""Layers with weights that were quantized once and for all, after training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import tensorflow as tf
import tf_keras as keras

from tfconformer.layers.dense import Dense, DenseWrapper, Matmul
from tfconformer.quantization.layers.matmul import QuantizedMatmul
from tfconformer.quantization.quantizers.weights import QuantizedWeights
from tfconformer.quantization.spec import FLOAT_BITS, QuantSpec


class FixedDense(DenseWrapper, keras.layers.Wrapper):
    """A `Dense` layer that multiplies with given weights in place of its kernel; no gradient flows to either.

    It stores the codes in 8 bits.

    Args:
      layer: the layer to wrap, whose name the wrapper takes.
      weights: [K, N], of the shape of its kernel.
    """

    def __init__(self, layer: Dense, weights: QuantizedWeights, **kwargs: Any):
        super().__init__(layer, name=layer.name, **kwargs)
        small = weights.spec.bits != FLOAT_BITS
        self._stored = replace(weights, codes=tf.cast(weights.codes, tf.int8)) if small else weights

    def matmul(self, training: bool | tf.Tensor | None) -> Matmul:
        return QuantizedMatmul(self.quantized())

    @property
    def spec(self) -> QuantSpec:
        """The spec that the weights were quantized with."""
        return self._stored.spec

    def quantized(self) -> QuantizedWeights:
        """Returns the weights."""
        return replace(self._stored, codes=tf.cast(self._stored.codes, tf.float32))
