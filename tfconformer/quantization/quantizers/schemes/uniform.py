"""Equal steps between the extremes of a block (2305.16619, sec. 3).

    symmetric    s = clip * max|w| / (2^(b-1) - 1)           q = floor(w/s + 1/2)          w ~ s*q
    asymmetric   s = clip * (max w - min w) / (2^b - 1)      q = floor((w + o)/s + 1/2)    w ~ s*q - o
                 o = s * (-2^(b-1)) - clip * min w

with q clipped to [-2^(b-1), 2^(b-1) - 1], a float32 epsilon added to s, and s and o rounded to the precision in which
they are stored. The offset o is a float zero point: an integer one would be another quantizer.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfconformer.quantization.quantizers.blocks import extreme, per_weight
from tfconformer.quantization.quantizers.rounding import round_half_up, stored
from tfconformer.quantization.quantizers.schemes import Scheme
from tfconformer.quantization.spec import QuantSpec

SCALE_EPSILON = float(np.finfo(np.float32).eps)


def ranges(weights: tf.Tensor, spec: QuantSpec, clip: float | tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Returns scales and float zero points from the extremes of every block, or of the whole matrix.

    It multiplies with constants instead of dividing: compiled graphs turn divisions into multiplications, which round
    differently.
    """
    low, high = spec.code_range
    if spec.symmetric:
        peak = extreme(tf.reduce_max, tf.abs(weights), spec)
        return stored(_for_scale(peak, spec) * (clip / high) + SCALE_EPSILON, spec), None
    minimum, maximum = (extreme(reduce, weights, spec) for reduce in (tf.reduce_min, tf.reduce_max))
    scales = stored(_for_scale(maximum - minimum, spec) * (clip / (high - low)) + SCALE_EPSILON, spec)
    return scales, stored(scales * low - clip * minimum, spec)


def codes(weights: tf.Tensor, scales: tf.Tensor, offsets: tf.Tensor | None, spec: QuantSpec) -> tf.Tensor:
    """Rounds weights to q, halves up; the gradient stops where q is clipped."""
    contraction = weights.shape[0]
    shifted = weights if offsets is None else weights + per_weight(offsets, spec, contraction)
    low, high = spec.code_range
    return tf.clip_by_value(round_half_up(shifted / per_weight(scales, spec, contraction)), low, high)


def _for_scale(extent: tf.Tensor, spec: QuantSpec) -> tf.Tensor:
    return extent if spec.scale_gradient else tf.stop_gradient(extent)


SCHEME = Scheme(ranges, codes)
