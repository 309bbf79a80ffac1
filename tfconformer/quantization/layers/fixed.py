"""Layers that multiply with weights which were quantized once and for all."""

from __future__ import annotations

import tensorflow as tf

from tfconformer.quantization.layers.product import quantized_product
from tfconformer.quantization.quantizers.weights import QuantizedWeights


class FixedProduct:
    """A `Dense.product` that takes `weights` in place of the layer's kernel; without a gradient to either."""

    def __init__(self, weights: QuantizedWeights) -> None:
        self.weights = weights

    def __call__(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return quantized_product(x, self.weights)
