"""The arithmetic of quantization: pure functions from float tensors to quantized values and back, differentiable.

Weights are quantized block by block along the contraction axis; a scheme (`schemes/uniform.py` unless the spec names
another) computes scales and quantized values. With N:M sparsity the matrix is pruned first (2312.08553); pruned weights
dequantize to exactly zero, asymmetric ones too.

Activations, one scale per row, at run time (2203.15952): s = max|x| * (1/127), q = rint(x * (127 / max|x|)), halves to
even, because that is the one rounding every instruction set has; with 4 bits 7 takes the place of 127.

Rounding passes the gradient through; clipping stops it outside the range, ends included in it. Gradients also flow
through the scale by default, as in the authors' code.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import tensorflow as tf

from tfconformer.quantization.quantizers.blocks import per_weight
from tfconformer.quantization.quantizers.clipping import clip_factors
from tfconformer.quantization.quantizers.pruning import nm_mask, prune
from tfconformer.quantization.quantizers.schemes import scheme
from tfconformer.quantization.spec import FLOAT_BITS, QuantSpec


@dataclass(frozen=True)
class QuantizedWeights:
    """A quantized weight matrix.

    Attributes:
      codes: [K, N] float32, the quantized values q: integers in `spec.code_range`; int8 in weights that are `compact`.
        With 32 bits the float weights themselves, with scales of 1.
      scales: [blocks, N] float32, all > 0 and representable in `spec.scale_dtype`.
      offsets: [blocks, N] float32, the float zero points, likewise representable if a file stores them; None if there
        are none.
      spec: the spec that the weights were quantized with.
      mask: [K, N] float32, 1 where a weight is kept and 0 where it is pruned, its q then 0; None without sparsity.
    """

    codes: tf.Tensor
    scales: tf.Tensor
    offsets: tf.Tensor | None
    spec: QuantSpec
    mask: tf.Tensor | None = None

    def dequantize(self) -> tf.Tensor:
        """Computes `scale * q - offset` -> [K, N] float32, zero where pruned."""
        contraction = self.codes.shape[0]
        weights = tf.cast(self.codes, tf.float32) * per_weight(self.scales, self.spec, contraction)
        if self.offsets is not None:
            weights -= per_weight(self.offsets, self.spec, contraction)
        return weights if self.mask is None else _masked(weights, self.mask, self.spec)

    def compact(self) -> QuantizedWeights:
        """Returns the same weights with codes of 8 bits, to keep them in memory; float weights stay as they are."""
        return self if self.spec.bits == FLOAT_BITS else replace(self, codes=tf.cast(self.codes, tf.int8))

    def expand(self) -> QuantizedWeights:
        """Returns the same weights with codes in float32, to compute with them."""
        return replace(self, codes=tf.cast(self.codes, tf.float32))


@dataclass(frozen=True)
class StateValues:
    """Values from earlier training steps that a quantizer takes instead of computing them from the weights.

    Attributes:
      mask: [K, N], 1 where a weight is kept; None: computed from the weights.
      clip: factors that broadcast to [blocks, N]; None: the spec's constant, or searched for.
      frozen: boolean scalar, true if `scales` and `offsets`, each [blocks, N], replace computed ones; None: false.
    """

    mask: tf.Tensor | None = None
    clip: tf.Tensor | None = None
    frozen: tf.Tensor | None = None
    scales: tf.Tensor | None = None
    offsets: tf.Tensor | None = None


_NO_STATE = StateValues()


def quantize_weights(weights: tf.Tensor, spec: QuantSpec, state: StateValues = _NO_STATE) -> QuantizedWeights:
    """Quantizes `weights` [K, N] along K, one scale per block and column; prunes them before, with sparsity."""
    if spec.bits == FLOAT_BITS:
        return QuantizedWeights(weights, tf.ones([1, weights.shape[1]]), None, spec)
    weights, mask = sparse_weights(weights, spec, state)
    clip = clip_factors(weights, spec) if state.clip is None else state.clip
    quantizer = scheme(spec.scheme)
    scales, offsets = quantizer.ranges(weights, spec, clip)
    if state.frozen is not None:
        scales = tf.where(state.frozen, state.scales, scales)
        offsets = None if offsets is None else tf.where(state.frozen, state.offsets, offsets)
    codes = quantizer.codes(weights, scales, offsets, spec)
    return QuantizedWeights(codes if mask is None else _masked(codes, mask, spec), scales, offsets, spec, mask)


def sparse_weights(
    weights: tf.Tensor, spec: QuantSpec, state: StateValues = _NO_STATE
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Prunes `weights` [K, N]; returns (pruned weights, mask), each [K, N], or (weights, None) without sparsity."""
    if spec.n_of_m is None:
        return weights, None
    mask = nm_mask(weights, *spec.n_of_m) if state.mask is None else state.mask
    return prune(weights, mask, spec.pruning_gradient), mask


def fake_quantize_weights(weights: tf.Tensor, spec: QuantSpec) -> tf.Tensor:
    """Quantizes and dequantizes `weights` [K, N]: the float matrix that a quantized layer multiplies with."""
    return quantize_weights(weights, spec).dequantize()


def quantize_rows(rows: tf.Tensor, bits: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Quantizes `rows` [..., K] symmetrically, without a gradient; returns (q [..., K], scales [..., 1])."""
    limit = 2 ** (bits - 1) - 1
    rows = tf.stop_gradient(rows)
    peak = tf.reduce_max(tf.abs(rows), axis=-1, keepdims=True)
    inverse = limit / peak
    return tf.round(rows * tf.where(tf.math.is_inf(inverse), 0.0, inverse)), peak * (1.0 / limit)


def fake_quantize_rows(rows: tf.Tensor, bits: int) -> tf.Tensor:
    """Quantizes and dequantizes `rows` [..., K]; the gradient passes straight through."""
    quantized, scales = quantize_rows(rows, bits)
    return rows + tf.stop_gradient(quantized * scales - rows)


def _masked(x: tf.Tensor, mask: tf.Tensor, spec: QuantSpec) -> tf.Tensor:
    """Computes `x * mask`; the gradient is masked only if the spec's pruning gradient is."""
    return x * mask if spec.pruning_gradient == "masked" else x + tf.stop_gradient(x * mask - x)
