"""GPTQ: rounding one weight after the other, and letting the rest of its column make up for the error (2210.17323).

The error of a layer's output over calibration inputs X [rows, K] is, per output channel, d' H d with d the error of
the channel's weights and H = X' X. Rounding weight k to q leaves an error that the weights not yet rounded, F, can
reduce by the optimal brain surgeon's step (sec. 3 of the paper):

    W_F -= (w_k - q) / [H_F^-1]_kk * [H_F^-1]_:,k

The Cholesky factor of H^-1 holds all the needed columns of these shrinking inverses at once.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from tfconformer.errors import InputError
from tfconformer.quantization.quantizers.schemes import scheme, uniform
from tfconformer.quantization.quantizers.weights import QuantizedWeights, quantize_weights
from tfconformer.quantization.spec import FLOAT_BITS, QuantSpec

DAMPING = 0.01  # of the mean of H's diagonal, added to it: the paper's choice


def gptq(weights: ArrayLike, hessian: ArrayLike, spec: QuantSpec, damping: float = DAMPING) -> QuantizedWeights:
    """Quantizes `weights` [K, N] so that the layer's outputs change little.

    Scales, float zero points and mask are those of `quantize_weights` with the same `spec`; only the quantized values
    differ.

    Args:
      weights: the kernel [K, N].
      hessian: X' X [K, K] of the layer's inputs.
      spec: the spec to quantize with.
      damping: share of the mean of the Hessian's diagonal that is added to the diagonal.

    Raises:
      InputError: the quantized values of `spec.scheme` are not the integers of a range, or the spec leaves the weights
        in float.
    """
    if scheme(spec.scheme).codes is not uniform.codes:
        raise InputError(f"GPTQ rounds to steps of equal size, which the scheme {spec.scheme!r} does not have")
    if spec.bits == FLOAT_BITS:
        raise InputError("GPTQ rounds weights, and a spec with 32 bits leaves them in float")
    chosen = quantize_weights(tf.constant(weights, tf.float32), spec)
    contraction = chosen.codes.shape[0]
    block_of_k = np.arange(contraction) // (spec.block_size or contraction)
    scales = chosen.scales.numpy().astype(np.float64)[block_of_k]
    offsets = np.zeros_like(scales) if chosen.offsets is None else chosen.offsets.numpy().astype(np.float64)[block_of_k]
    kept = np.ones_like(scales) if chosen.mask is None else chosen.mask.numpy().astype(np.float64)
    factor = inverse_factor(np.asarray(hessian, np.float64), damping)
    low, high = spec.code_range

    left = np.array(weights, np.float64)
    codes = np.zeros_like(left)
    for k in range(contraction):
        codes[k] = np.clip(np.floor((left[k] + offsets[k]) / scales[k] + 0.5), low, high) * kept[k]
        error = (left[k] - (codes[k] * scales[k] - offsets[k]) * kept[k]) / factor[k, k]
        left[k:] -= np.outer(factor[k, k:], error)
    return QuantizedWeights(tf.constant(codes, tf.float32), chosen.scales, chosen.offsets, spec, chosen.mask)


def inverse_factor(hessian: NDArray[np.float64], damping: float) -> NDArray[np.float64]:
    """Factors (H + damping)^-1 = U' U, U upper triangular; row k over its diagonal is [H_F^-1]_k: / [H_F^-1]_kk."""
    diagonal = np.diag(hessian)
    # A layer whose inputs are all zero has any inverse: its weights do not matter.
    damped = hessian + np.diag(np.full_like(diagonal, damping * (diagonal.mean() or 1.0)))
    return np.linalg.cholesky(np.linalg.inv(damped)).T
