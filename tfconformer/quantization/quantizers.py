"""The arithmetic of quantization: pure functions from float tensors to codes and back, differentiable for training.

Weights (2305.16619, sec. 3; one scale per block of the contraction axis):

    symmetric    s = clip * max|w| / (2^(b-1) - 1)           q = floor(w/s + 1/2)          w ~ s*q
    asymmetric   s = clip * (max w - min w) / (2^b - 1)      q = floor((w + o)/s + 1/2)    w ~ s*q - o
                 o = s * (-2^(b-1)) - clip * min w

with q clipped to [-2^(b-1), 2^(b-1) - 1], a float32 epsilon added to s, and s and o rounded to the precision in which
they are stored. The offset is a real number: an integer zero point would be another quantizer.

Activations, one scale per row, at run time (2203.15952): s = max|x| * (1/127), q = rint(x * (127 / max|x|)), halves to
even, because that is the one rounding every instruction set has.

Rounding passes the gradient through; clipping stops it outside the range, ends included in it. Gradients also flow
through the scale, as in the authors' code by default.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tfconformer.quantization.spec import QuantSpec

SCALE_EPSILON = float(np.finfo(np.float32).eps)
ACTIVATION_LIMIT = 127.0


@dataclass(frozen=True)
class QuantizedWeights:
    """A weight matrix in codes.

    Attributes:
      codes: [K, N] float32 tensor of integers in `spec.code_range`.
      scales: [blocks, N] float32, every value representable in `spec.scale_dtype`.
      offsets: likewise, or None if symmetric.
      spec: what produced it.
    """

    codes: tf.Tensor
    scales: tf.Tensor
    offsets: tf.Tensor | None
    spec: QuantSpec

    def dequantize(self) -> tf.Tensor:
        """[K, N] float32: what the codes stand for."""
        contraction = self.codes.shape[0]
        weights = self.codes * _per_weight(self.scales, self.spec, contraction)
        if self.offsets is not None:
            weights -= _per_weight(self.offsets, self.spec, contraction)
        return weights


def quantize_weights(weights: tf.Tensor, spec: QuantSpec) -> QuantizedWeights:
    """Quantizes `weights` [K, N] along K, one scale per block and column."""
    scales, offsets = weight_scales(weights, spec)
    contraction = weights.shape[0]
    shifted = weights if offsets is None else weights + _per_weight(offsets, spec, contraction)
    low, high = spec.code_range
    codes = tf.clip_by_value(_round_half_up(shifted / _per_weight(scales, spec, contraction)), low, high)
    return QuantizedWeights(codes, scales, offsets, spec)


def fake_quantize_weights(weights: tf.Tensor, spec: QuantSpec) -> tf.Tensor:
    """`weights` [K, N] as the quantized layer sees them, in float."""
    return quantize_weights(weights, spec).dequantize()


def weight_scales(weights: tf.Tensor, spec: QuantSpec) -> tuple[tf.Tensor, tf.Tensor | None]:
    """(scales, offsets or None), each [blocks, N], from the extremes of every block.

    Products with constants, not quotients: compiled graphs turn those into products and would round otherwise.
    """
    blocks = _blocks(weights, spec)
    low, high = spec.code_range
    if spec.symmetric:
        scales = tf.reduce_max(tf.abs(blocks), axis=1) * (spec.clip / high)
        return _store(scales + SCALE_EPSILON, spec), None
    minimum, maximum = tf.reduce_min(blocks, axis=1), tf.reduce_max(blocks, axis=1)
    scales = _store((maximum - minimum) * (spec.clip / (high - low)) + SCALE_EPSILON, spec)
    return scales, _store(scales * low - spec.clip * minimum, spec)


def fake_quantize_rows(rows: tf.Tensor) -> tf.Tensor:
    """`rows` [..., K] rounded to 8 bits, symmetric, one scale per row."""
    peak = tf.reduce_max(tf.abs(rows), axis=-1, keepdims=True)
    inverse = ACTIVATION_LIMIT / peak
    scaled = rows * tf.where(tf.math.is_inf(inverse), 0.0, inverse)
    codes = scaled + tf.stop_gradient(tf.round(scaled) - scaled)
    return codes * (peak * (1.0 / ACTIVATION_LIMIT))


def _blocks(weights: tf.Tensor, spec: QuantSpec) -> tf.Tensor:
    """[K, N] -> [blocks, block_size, N]; a short last block is filled up with its own last row."""
    contraction, columns = weights.shape
    size = spec.block_size or contraction
    missing = spec.blocks(contraction) * size - contraction
    if missing:
        weights = tf.concat([weights, tf.repeat(weights[-1:], missing, axis=0)], axis=0)
    return tf.reshape(weights, [-1, size, columns])


def _per_weight(values: tf.Tensor, spec: QuantSpec, contraction: int) -> tf.Tensor:
    """[blocks, N] -> [K, N]."""
    return tf.repeat(values, spec.block_size or contraction, axis=0)[:contraction]


def _round_half_up(x: tf.Tensor) -> tf.Tensor:
    return x + tf.stop_gradient(tf.floor(x + 0.5) - x)


def _store(x: tf.Tensor, spec: QuantSpec) -> tf.Tensor:
    stored = tf.cast(tf.cast(x, spec.scale_dtype), tf.float32)
    return x + tf.stop_gradient(stored - x)
