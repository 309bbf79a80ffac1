"""The product of a quantized layer, whatever of it is quantized."""

from __future__ import annotations

import tensorflow as tf

from tfconformer.layers.dense import float_product
from tfconformer.quantization.layers.integer import integer_product
from tfconformer.quantization.quantizers.weights import QuantizedWeights, fake_quantize_rows
from tfconformer.quantization.spec import FLOAT_BITS


def quantized_product(x: tf.Tensor, weights: QuantizedWeights) -> tf.Tensor:
    """`x` [..., K] times `weights` [K, N] -> [..., N], as evaluated and, where a file can hold it, as exported.

    In integers where both are quantized, in float where either is not (2203.15952).
    """
    bits = weights.spec.activation_bits
    if bits is None:
        return float_product(x, weights.dequantize())
    if weights.spec.bits == FLOAT_BITS:
        return float_product(fake_quantize_rows(x, bits), weights.dequantize())
    return integer_product(x, weights)
