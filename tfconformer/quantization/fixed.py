"""Layers that multiply with weights which were quantized once and for all."""

from __future__ import annotations

import tensorflow as tf

from tfconformer.layers.dense import float_product
from tfconformer.quantization.integer import integer_product
from tfconformer.quantization.quantizers import QuantizedWeights


class FixedProduct:
    """A `Dense.product` that takes `weights` in place of the layer's kernel; without a gradient to either."""

    def __init__(self, weights: QuantizedWeights) -> None:
        self.weights = weights
        self._dequantized = weights.dequantize()

    def __call__(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        if self.weights.spec.activation_bits:
            return integer_product(x, self.weights)
        return float_product(x, self._dequantized)
