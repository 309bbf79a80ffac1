"""Layers with weights that were quantized once and for all, after training."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from tfconformer.layers.dense import Dense, DenseWrapper, Matmul
from tfconformer.quantization.layers.matmul import QuantizedMatmul
from tfconformer.quantization.quantizers.weights import QuantizedWeights
from tfconformer.quantization.spec import QuantSpec


class FixedDense(DenseWrapper, keras.layers.Wrapper):
    """A `Dense` layer that multiplies with given weights in place of its kernel; no gradient flows to either.

    Args:
      layer: the layer to wrap, whose name the wrapper takes.
      weights: [K, N], of the shape of its kernel.
    """

    def __init__(self, layer: Dense, weights: QuantizedWeights, **kwargs: Any):
        super().__init__(layer, name=layer.name, **kwargs)
        self._stored = weights.compact()

    def matmul(self, training: bool | tf.Tensor | None) -> Matmul:
        return QuantizedMatmul(self.quantized())

    @property
    def spec(self) -> QuantSpec:
        """The spec that the weights were quantized with."""
        return self._stored.spec

    def quantized(self) -> QuantizedWeights:
        """Returns the weights."""
        return self._stored.expand()
