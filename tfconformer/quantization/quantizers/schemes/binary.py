"""The signs of the weights, times their mean magnitude (1603.05279, sec. 3.1; used on speech in 2406.02887).

    1 bit      s = 2 * mean |w| of the block     q = 0 where w >= 0, else -1     w ~ s*(q + 1/2)
    others     s = mean |w|                      q = 1 where w >= 0, else -1     w ~ s*q

The weights are the same; those of more bits take as many in a file. The gradient passes straight through the sign.
"""

from __future__ import annotations

import tensorflow as tf

from tfconformer.errors import InputError
from tfconformer.quantization.quantizers.blocks import per_weight, sums
from tfconformer.quantization.quantizers.rounding import stored
from tfconformer.quantization.quantizers.schemes import Scheme
from tfconformer.quantization.spec import QuantSpec


def ranges(weights: tf.Tensor, spec: QuantSpec, clip: float | tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Returns scales from the mean magnitudes, times `clip`, and of 1 bit the zero points -s/2.

    Raises:
      InputError: the spec asks for asymmetric or pruned weights or for one scale per tensor, which signs do not have.
    """
    if not spec.symmetric or spec.sparsity is not None or spec.granularity == "tensor":
        raise InputError(f"the scheme binary is symmetric, dense and per channel or block, not ({spec})")
    magnitudes = tf.abs(weights) if spec.scale_gradient else tf.stop_gradient(tf.abs(weights))
    means = stored(clip * sums(magnitudes, spec) / sums(tf.ones_like(weights), spec), spec)
    return (2 * means, -means) if spec.bits == 1 else (means, None)


def codes(weights: tf.Tensor, scales: tf.Tensor, offsets: tf.Tensor | None, spec: QuantSpec) -> tf.Tensor:
    """Returns the signs, 1 or -1, and of 1 bit 0 or -1; zeros are positive."""
    slopes = weights / per_weight(tf.stop_gradient(scales), spec, weights.shape[0])
    return slopes + tf.stop_gradient(tf.where(weights >= 0, min(1.0, spec.bits - 1.0), -1.0) - slopes)


SCHEME = Scheme(ranges, codes)
