"""Rounding that passes the gradient straight through."""

from __future__ import annotations

import tensorflow as tf

from tfconformer.quantization.spec import QuantSpec


def round_half_up(x: tf.Tensor) -> tf.Tensor:
    """Computes `floor(x + 1/2)`."""
    return x + tf.stop_gradient(tf.floor(x + 0.5) - x)


def stored(x: tf.Tensor, spec: QuantSpec) -> tf.Tensor:
    """Rounds `x` to the precision in which scales and float zero points are stored."""
    rounded = tf.cast(tf.cast(x, spec.scale_dtype), tf.float32)
    return x + tf.stop_gradient(rounded - x)
