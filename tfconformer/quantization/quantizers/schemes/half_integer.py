"""Equal steps without a zero: symmetric weights at half-integers (the grid of ParetoQ's SEQ, 2502.02631, sec. 3).

    s = clip * max|w| / (2^(b-1) - 1/2)      q = floor(w/s)      w ~ s*(q + 1/2)

q is clipped to [-2^(b-1), 2^(b-1) - 1], a float32 epsilon added to s, and s rounded to the precision in which it is
stored. At 2 bits the weights are -3/2, -1/2, 1/2 and 3/2 of s; a symmetric grid with a zero has -1, 0 and 1. It is the
uniform scheme with float zero points of -s/2, which no file stores.
"""

from __future__ import annotations

import tensorflow as tf

from tfconformer.errors import InputError
from tfconformer.quantization.quantizers.blocks import extreme
from tfconformer.quantization.quantizers.rounding import stored
from tfconformer.quantization.quantizers.schemes import Scheme, uniform
from tfconformer.quantization.spec import QuantSpec


def ranges(weights: tf.Tensor, spec: QuantSpec, clip: float | tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns scales from the largest magnitude of every block, or of the whole matrix, and the zero points -s/2.

    Raises:
      InputError: the spec asks for zero points of its own or for pruned weights, which this grid does not have.
    """
    if not spec.symmetric or spec.sparsity is not None:
        raise InputError(f"the scheme half_integer is symmetric and dense, not ({spec})")
    peak = extreme(tf.reduce_max, tf.abs(weights), spec)
    if not spec.scale_gradient:
        peak = tf.stop_gradient(peak)
    scales = stored(peak * (clip / (spec.code_range[1] + 0.5)) + uniform.SCALE_EPSILON, spec)
    return scales, -0.5 * scales


SCHEME = Scheme(ranges, uniform.codes)
