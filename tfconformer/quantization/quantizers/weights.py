"""The arithmetic of quantization: pure functions from float tensors to codes and back, differentiable for training.

Weights are quantized block by block along the contraction axis; how scales and codes follow from them says a scheme
(`schemes/uniform.py` unless the spec names another). With N:M sparsity the matrix is pruned first (2312.08553); pruned
weights stand for exactly zero, asymmetric ones too.

Activations, one scale per row, at run time (2203.15952): s = max|x| * (1/127), q = rint(x * (127 / max|x|)), halves to
even, because that is the one rounding every instruction set has; with 4 bits 7 stands for 127.

Rounding passes the gradient through; clipping stops it outside the range, ends included in it. Gradients also flow
through the scale, as in the authors' code by default.
"""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from tfconformer.quantization.quantizers.blocks import per_weight
from tfconformer.quantization.quantizers.clipping import clip_factors
from tfconformer.quantization.quantizers.pruning import nm_mask, prune
from tfconformer.quantization.quantizers.schemes import scheme
from tfconformer.quantization.spec import FLOAT_BITS, QuantSpec


@dataclass(frozen=True)
class QuantizedWeights:
    """A weight matrix in codes.

    Attributes:
      codes: [K, N] float32 tensor of integers in `spec.code_range`; of float weights the weights, with scales of 1.
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
        weights = self.codes * per_weight(self.scales, self.spec, contraction)
        if self.offsets is not None:
            weights -= per_weight(self.offsets, self.spec, contraction)
        return weights if self.mask is None else _masked(weights, self.mask, self.spec)


@dataclass(frozen=True)
class Remembered:
    """What a quantizer in training takes from earlier steps instead of computing it from the weights.

    Attributes:
      mask: [K, N], 1 where a weight is kept; None: of the weights.
      clip: factors that broadcast to [blocks, N]; None: the spec's constant, or searched for.
      frozen: whether `scales` and `offsets`, each [blocks, N], hold; a boolean scalar, None: they do not.
    """

    mask: tf.Tensor | None = None
    clip: tf.Tensor | None = None
    frozen: tf.Tensor | None = None
    scales: tf.Tensor | None = None
    offsets: tf.Tensor | None = None


_NOTHING = Remembered()


def quantize_weights(weights: tf.Tensor, spec: QuantSpec, remembered: Remembered = _NOTHING) -> QuantizedWeights:
    """Quantizes `weights` [K, N] along K, one scale per block and column; prunes them before, with sparsity."""
    if spec.bits == FLOAT_BITS:
        return QuantizedWeights(weights, tf.ones([1, weights.shape[1]]), None, spec)
    weights, mask = sparse_weights(weights, spec, remembered)
    clip = clip_factors(weights, spec) if remembered.clip is None else remembered.clip
    quantizer = scheme(spec.scheme)
    scales, offsets = quantizer.ranges(weights, spec, clip)
    if remembered.frozen is not None:
        scales = tf.where(remembered.frozen, remembered.scales, scales)
        offsets = None if offsets is None else tf.where(remembered.frozen, remembered.offsets, offsets)
    codes = quantizer.codes(weights, scales, offsets, spec)
    return QuantizedWeights(codes if mask is None else _masked(codes, mask, spec), scales, offsets, spec, mask)


def sparse_weights(
    weights: tf.Tensor, spec: QuantSpec, remembered: Remembered = _NOTHING
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """(pruned weights, mask), each [K, N]; (the weights, None) without sparsity."""
    if spec.kept_of is None:
        return weights, None
    mask = nm_mask(weights, *spec.kept_of) if remembered.mask is None else remembered.mask
    return prune(weights, mask, spec.pruning_gradient), mask


def fake_quantize_weights(weights: tf.Tensor, spec: QuantSpec) -> tf.Tensor:
    """`weights` [K, N] as the quantized layer sees them, in float."""
    return quantize_weights(weights, spec).dequantize()


def quantize_rows(rows: tf.Tensor, bits: int) -> tuple[tf.Tensor, tf.Tensor]:
    """(codes [..., K], scales [..., 1]) of `rows` [..., K], symmetric, one scale per row; without a gradient."""
    limit = 2 ** (bits - 1) - 1
    rows = tf.stop_gradient(rows)
    peak = tf.reduce_max(tf.abs(rows), axis=-1, keepdims=True)
    inverse = limit / peak
    return tf.round(rows * tf.where(tf.math.is_inf(inverse), 0.0, inverse)), peak * (1.0 / limit)


def fake_quantize_rows(rows: tf.Tensor, bits: int) -> tf.Tensor:
    """`rows` [..., K] as `quantize_rows` leaves them, in float; the gradient passes straight through."""
    codes, scales = quantize_rows(rows, bits)
    return rows + tf.stop_gradient(codes * scales - rows)


def _masked(x: tf.Tensor, mask: tf.Tensor, spec: QuantSpec) -> tf.Tensor:
    """`x` * `mask`; only with masked pruning does the mask hold for the gradient too."""
    return x * mask if spec.pruning_gradient == "masked" else x + tf.stop_gradient(x * mask - x)
