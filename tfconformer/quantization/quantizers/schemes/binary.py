"""The signs of the weights, times their mean magnitude (1603.05279, sec. 3.1; used on speech in 2406.02887).

    s = mean |w| of the block       q = 1 where w >= 0, else -1       w ~ s*q

q takes the spec's `bits` in a file, of which 2 is the least. The gradient passes straight through the sign.
"""

from __future__ import annotations

import tensorflow as tf

from tfconformer.errors import InputError
from tfconformer.quantization.quantizers.blocks import per_weight, sums
from tfconformer.quantization.quantizers.rounding import stored
from tfconformer.quantization.quantizers.schemes import Scheme
from tfconformer.quantization.spec import QuantSpec


def ranges(weights: tf.Tensor, spec: QuantSpec, clip: float | tf.Tensor) -> tuple[tf.Tensor, None]:
    """Returns the mean magnitudes, times `clip`, as scales.

    Raises:
      InputError: the spec asks for asymmetric or pruned weights or for one scale per tensor, which signs do not have.
    """
    if not spec.symmetric or spec.sparsity is not None or spec.granularity == "tensor":
        raise InputError(f"the scheme binary is symmetric, dense and per channel or block, not ({spec})")
    magnitudes = tf.abs(weights) if spec.scale_gradient else tf.stop_gradient(tf.abs(weights))
    return stored(clip * sums(magnitudes, spec) / sums(tf.ones_like(weights), spec), spec), None


def codes(weights: tf.Tensor, scales: tf.Tensor, offsets: tf.Tensor | None, spec: QuantSpec) -> tf.Tensor:
    """Returns the signs, 1 or -1; zeros are positive."""
    slopes = weights / per_weight(tf.stop_gradient(scales), spec, weights.shape[0])
    return slopes + tf.stop_gradient(tf.where(weights >= 0, 1.0, -1.0) - slopes)


SCHEME = Scheme(ranges, codes)
