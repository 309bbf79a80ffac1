"""The arithmetic of quantization: pure functions from float tensors to codes and back, differentiable for training.

Weights (2305.16619, sec. 3; one scale per block of the contraction axis):

    symmetric    s = clip * max|w| / (2^(b-1) - 1)           q = floor(w/s + 1/2)          w ~ s*q
    asymmetric   s = clip * (max w - min w) / (2^b - 1)      q = floor((w + o)/s + 1/2)    w ~ s*q - o
                 o = s * (-2^(b-1)) - clip * min w

with q clipped to [-2^(b-1), 2^(b-1) - 1], a float32 epsilon added to s, and s and o rounded to the precision in which
they are stored. The offset is a real number: an integer zero point would be another quantizer.

With N:M sparsity the matrix is pruned first (2312.08553); pruned weights stand for exactly zero, asymmetric ones too.

Activations, one scale per row, at run time (2203.15952): s = max|x| * (1/127), q = rint(x * (127 / max|x|)), halves to
even, because that is the one rounding every instruction set has; with 4 bits 7 stands for 127.

Rounding passes the gradient through; clipping stops it outside the range, ends included in it. Gradients also flow
through the scale, as in the authors' code by default.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from tfconformer.quantization.pruning import nm_mask, prune
from tfconformer.quantization.spec import ClipSearch, QuantSpec

SCALE_EPSILON = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class QuantizedWeights:
    """A weight matrix in codes.

    Attributes:
      codes: [K, N] float32 tensor of integers in `spec.code_range`.
      scales: [blocks, N] float32, every value representable in `spec.scale_dtype`.
      offsets: likewise, or None if symmetric.
      spec: what produced it.
      mask: [K, N] float32, 1 where a weight is kept and 0 where it is pruned, its code then 0; None without sparsity.
    """

    codes: tf.Tensor
    scales: tf.Tensor
    offsets: tf.Tensor | None
    spec: QuantSpec
    mask: tf.Tensor | None = None

    def dequantize(self) -> tf.Tensor:
        """[K, N] float32: what the codes stand for."""
        contraction = self.codes.shape[0]
        weights = self.codes * _per_weight(self.scales, self.spec, contraction)
        if self.offsets is not None:
            weights -= _per_weight(self.offsets, self.spec, contraction)
        return weights if self.mask is None else _masked(weights, self.mask, self.spec)


def quantize_weights(weights: tf.Tensor, spec: QuantSpec) -> QuantizedWeights:
    """Quantizes `weights` [K, N] along K, one scale per block and column; prunes them before, with sparsity."""
    mask = None
    if spec.kept_of is not None:
        mask = nm_mask(weights, *spec.kept_of)
        weights = prune(weights, mask, spec.pruning_gradient)
    clip = search_clip(weights, spec, spec.clip) if isinstance(spec.clip, ClipSearch) else spec.clip
    quantized = _quantize_uniformly(weights, spec, clip)
    return quantized if mask is None else replace(quantized, codes=_masked(quantized.codes, mask, spec), mask=mask)


def search_clip(weights: tf.Tensor, spec: QuantSpec, search: ClipSearch) -> tf.Tensor:
    """The clip factors, [1 or blocks, 1 or N], with the least error on `weights` [K, N]; constants to the gradient."""
    weights = tf.stop_gradient(weights)
    columns = weights.shape[1]
    blocks = spec.blocks(weights.shape[0]) if search.search == "block" else 1
    shape = [blocks, 1 if search.search == "tensor" else columns]

    def error(clip: tf.Tensor) -> tf.Tensor:
        difference = weights - _quantize_uniformly(weights, spec, clip).dequantize()
        measure = tf.square(difference) if search.error == "squared" else tf.abs(difference)
        if search.search == "block":
            # The short last block is filled up with zeros, which add nothing.
            missing = -measure.shape[0] % (spec.block_size or measure.shape[0])
            return tf.reduce_sum(tf.reshape(tf.pad(measure, [[0, missing], [0, 0]]), [blocks, -1, columns]), axis=1)
        return tf.reduce_sum(measure, axis=0 if search.search == "channel" else (0, 1), keepdims=True)

    def better(best: tuple[tf.Tensor, tf.Tensor], clip: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        least, factors = best
        found = error(clip)
        return tf.minimum(found, least), tf.where(found < least, clip, factors)

    factors = tf.constant(np.linspace(1.0, search.low, search.steps), tf.float32)
    _, found = tf.foldl(better, factors, (tf.fill(shape, np.float32(np.inf)), tf.ones(shape)))
    return tf.stop_gradient(found)


def _quantize_uniformly(weights: tf.Tensor, spec: QuantSpec, clip: float | tf.Tensor) -> QuantizedWeights:
    scales, offsets = weight_scales(weights, spec, clip)
    contraction = weights.shape[0]
    shifted = weights if offsets is None else weights + _per_weight(offsets, spec, contraction)
    low, high = spec.code_range
    codes = tf.clip_by_value(_round_half_up(shifted / _per_weight(scales, spec, contraction)), low, high)
    return QuantizedWeights(codes, scales, offsets, spec)


def fake_quantize_weights(weights: tf.Tensor, spec: QuantSpec) -> tf.Tensor:
    """`weights` [K, N] as the quantized layer sees them, in float."""
    return quantize_weights(weights, spec).dequantize()


def weight_scales(weights: tf.Tensor, spec: QuantSpec, clip: float | tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
    """(scales, offsets or None), each [blocks, N], from the extremes of every block, or of the whole matrix.

    Products with constants, not quotients: compiled graphs turn those into products and would round otherwise.
    """
    blocks = _blocks(weights, spec)
    low, high = spec.code_range
    if spec.symmetric:
        peak = _extreme(tf.reduce_max, tf.abs(blocks), spec)
        scales = _store(peak * (clip / high) + SCALE_EPSILON, spec)
        return scales if spec.scale_gradient else tf.stop_gradient(scales), None
    minimum, maximum = _extreme(tf.reduce_min, blocks, spec), _extreme(tf.reduce_max, blocks, spec)
    scales = _store((maximum - minimum) * (clip / (high - low)) + SCALE_EPSILON, spec)
    scales = scales if spec.scale_gradient else tf.stop_gradient(scales)
    return scales, _store(scales * low - clip * minimum, spec)


def quantize_rows(rows: tf.Tensor, bits: int) -> tuple[tf.Tensor, tf.Tensor]:
    """(codes [..., K], scales [..., 1]) of `rows` [..., K], symmetric, one scale per row; without a gradient."""
    limit = 2 ** (bits - 1) - 1
    rows = tf.stop_gradient(rows)
    peak = tf.reduce_max(tf.abs(rows), axis=-1, keepdims=True)
    inverse = limit / peak
    return tf.round(rows * tf.where(tf.math.is_inf(inverse), 0.0, inverse)), peak * (1.0 / limit)


def _blocks(weights: tf.Tensor, spec: QuantSpec) -> tf.Tensor:
    """[K, N] -> [blocks, block_size, N]; a short last block is filled up with its own last row."""
    contraction, columns = weights.shape
    size = spec.block_size or contraction
    missing = spec.blocks(contraction) * size - contraction
    if missing:
        weights = tf.concat([weights, tf.repeat(weights[-1:], missing, axis=0)], axis=0)
    return tf.reshape(weights, [-1, size, columns])


def _extreme(reduce: Callable[..., tf.Tensor], blocks: tf.Tensor, spec: QuantSpec) -> tf.Tensor:
    """Of every block and column: [blocks, size, N] -> [blocks, N]; of the whole matrix for all of them, per tensor."""
    if spec.per_tensor:
        return tf.broadcast_to(reduce(blocks), [blocks.shape[0], blocks.shape[2]])
    return reduce(blocks, axis=1)


def _per_weight(values: tf.Tensor, spec: QuantSpec, contraction: int) -> tf.Tensor:
    """[blocks, N] -> [K, N]."""
    return tf.repeat(values, spec.block_size or contraction, axis=0)[:contraction]


def _masked(x: tf.Tensor, mask: tf.Tensor, spec: QuantSpec) -> tf.Tensor:
    """`x` * `mask`; only with masked pruning does the mask hold for the gradient too."""
    return x * mask if spec.pruning_gradient == "masked" else x + tf.stop_gradient(x * mask - x)


def _round_half_up(x: tf.Tensor) -> tf.Tensor:
    return x + tf.stop_gradient(tf.floor(x + 0.5) - x)


def _store(x: tf.Tensor, spec: QuantSpec) -> tf.Tensor:
    stored = tf.cast(tf.cast(x, spec.scale_dtype), tf.float32)
    return x + tf.stop_gradient(stored - x)
