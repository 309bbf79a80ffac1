"""Clip factors: the share of a block's range that its quantized values cover, searched for or learned.

At 2 bits they matter more than anything else: a range that reaches the largest weight rounds most weights to q = 0.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from tfconformer.quantization.quantizers.blocks import per_weight, sums
from tfconformer.quantization.quantizers.schemes import scheme
from tfconformer.quantization.spec import ClipSearch, Granularity, LearnedClip, QuantSpec

LEAST_FACTOR = 0.01  # bound of learned factors: a scale of zero would never get a gradient again


def factor_granularity(spec: QuantSpec) -> Granularity | None:
    """Returns the granularity of searched or learned factors; None if the factor is a constant of the spec."""
    if isinstance(spec.clip, ClipSearch):
        return spec.clip.search
    return spec.clip.learn if isinstance(spec.clip, LearnedClip) else None


def factor_shape(spec: QuantSpec, contraction: int, columns: int) -> tuple[int, int]:
    """Returns the shape, which broadcasts to [blocks, columns], of the factors of a [contraction, columns] matrix."""
    granularity = factor_granularity(spec)
    return spec.blocks(contraction) if granularity == "block" else 1, 1 if granularity == "tensor" else columns


def clip_factors(weights: tf.Tensor, spec: QuantSpec) -> float | tf.Tensor:
    """Returns the constant, searched or first learned factors of `weights` [K, N]."""
    if isinstance(spec.clip, ClipSearch):
        return search_clip(weights, spec, spec.clip)
    if isinstance(spec.clip, LearnedClip):
        return search_clip(weights, spec, ClipSearch(search=spec.clip.learn))
    return spec.clip


def search_clip(weights: tf.Tensor, spec: QuantSpec, search: ClipSearch) -> tf.Tensor:
    """Searches the clip factors, [1 or blocks, 1 or N], of the least error on `weights` [K, N]; without a gradient."""
    weights = tf.stop_gradient(weights)
    contraction = weights.shape[0]
    quantizer = scheme(spec.scheme)

    def error(clip: tf.Tensor) -> tf.Tensor:
        scales, offsets = quantizer.ranges(weights, spec, clip)
        restored = quantizer.codes(weights, scales, offsets, spec) * per_weight(scales, spec, contraction)
        if offsets is not None:
            restored -= per_weight(offsets, spec, contraction)
        difference = weights - restored
        measure = tf.square(difference) if search.error == "squared" else tf.abs(difference)
        if search.search == "block":
            return sums(measure, spec)
        return tf.reduce_sum(measure, axis=0 if search.search == "channel" else (0, 1), keepdims=True)

    def better(best: tuple[tf.Tensor, tf.Tensor], clip: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        least, factors = best
        found = error(clip)
        return tf.minimum(found, least), tf.where(found < least, clip, factors)

    grid = tf.constant(np.linspace(1.0, search.low, search.steps), tf.float32)
    blocks = spec.blocks(contraction) if search.search == "block" else 1
    shape = [blocks, 1 if search.search == "tensor" else weights.shape[1]]
    _, found = tf.foldl(better, grid, (tf.fill(shape, np.float32(np.inf)), tf.ones(shape)))
    return tf.stop_gradient(found)


def with_lsq_gradient(factors: tf.Tensor, weights: int, spec: QuantSpec) -> tf.Tensor:
    """Returns `factors` with their gradient divided by sqrt(weights per factor * highest q) (1902.08153, sec. 2.2).

    Args:
      factors: learned, [1 or blocks, 1 or N].
      weights: number of weights of the matrix.
      spec: spec of the matrix; of 1 bit, whose highest q is 0, it counts as 1.
    """
    per_factor = weights / math.prod(factors.shape)
    share = 1.0 / math.sqrt(per_factor * max(1, spec.code_range[1]))

    @tf.custom_gradient
    def identity(x: tf.Tensor) -> tuple[tf.Tensor, object]:
        return tf.identity(x), lambda upstream: upstream * share

    return identity(factors)
