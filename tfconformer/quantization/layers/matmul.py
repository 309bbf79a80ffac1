"""The matmul of a quantized layer, inside the training graph, as the exported file computes it (2203.15952).

Quantized activations qx with the scale sx of their row, times quantized weights q with scales s and float zero points o
of blocks b along K:

    y = sx * sum_b (s_b * sum q qx - o_b * sum qx)

The inner sums are those of int32 arithmetic, bit for bit, although float32 matmuls compute them: every partial sum of a
slice of K is an integer below 2^24, which float32 holds exactly in whatever order it is formed, and the slices are
added in int32. That is the faster way on processors whose TensorFlow has no fast int8 matmul.

The backward pass is that of the dequantized operands: scales are constants, rounding passes the gradient through, and
values clipped at the range ends stop it (the straight-through estimator, masked).
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import tensorflow as tf

from tfconformer.layers.dense import BoundMatmul, Matmul, float_matmul
from tfconformer.quantization.quantizers.weights import QuantizedWeights, fake_quantize_rows, quantize_rows
from tfconformer.quantization.spec import FLOAT_BITS, QuantSpec

_EXACT_INTEGERS = 2**24  # float32 represents all integers up to it


class QuantizedMatmul(Matmul):
    """The matmul with given quantized weights in place of the kernel."""

    def __init__(self, weights: QuantizedWeights):
        self._weights = weights

    def bind(self, kernel: tf.Tensor) -> BoundMatmul:
        return bind_quantized(self._weights)


def bind_quantized(weights: QuantizedWeights) -> BoundMatmul:
    """Returns the matmul with `weights` [K, N], see `quantized_matmul`."""
    bits = weights.spec.activation_bits
    return BoundMatmul(
        kernel=weights.dequantize(),
        multiply=lambda x: quantized_matmul(x, weights),
        rows=tf.identity if bits is None else lambda x: fake_quantize_rows(x, bits),
    )


def quantized_matmul(x: tf.Tensor, weights: QuantizedWeights) -> tf.Tensor:
    """Multiplies `x` [..., K] with `weights` [K, N] -> [..., N], as evaluated and, where a file can hold it, exported.

    In integers where activations and weights are quantized, in float where either is not (2203.15952).
    """
    bits = weights.spec.activation_bits
    if bits is None:
        return float_matmul(x, weights.dequantize())
    if weights.spec.bits == FLOAT_BITS:
        return float_matmul(fake_quantize_rows(x, bits), weights.dequantize())
    return integer_matmul(x, weights)


def integer_matmul(x: tf.Tensor, weights: QuantizedWeights) -> tf.Tensor:
    """Quantizes the rows of `x` [..., K] to `activation_bits` and multiplies with `weights` [K, N] in integers.

    Gradients flow to `x` and, through `weights.dequantize()`, to whatever the weights were computed from.
    """
    k, n = weights.codes.shape
    operands = weights.codes, weights.scales, weights.offsets, weights.mask, weights.dequantize()
    outputs = _straight_through_matmul(weights.spec, k, n)(tf.reshape(x, [-1, k]), *operands)
    return tf.reshape(outputs, tf.concat([tf.shape(x)[:-1], [n]], axis=0))


@functools.cache
def _straight_through_matmul(spec: QuantSpec, k: int, n: int) -> Callable[..., tf.Tensor]:
    """Returns (rows [M, K], codes, scales, offsets and mask of weights [K, N], dequantized [K, N]) -> [M, N].

    A function of its own, traced once for layers of one shape, because TensorFlow never frees a graph in which a custom
    gradient was defined, and Keras calls every layer in a graph to infer its output's shape.
    """
    bits = spec.activation_bits
    assert bits is not None

    @tf.function(autograph=False, reduce_retracing=True)
    def matmul(
        rows: tf.Tensor,
        codes: tf.Tensor,
        scales: tf.Tensor,
        offsets: tf.Tensor | None,
        mask: tf.Tensor | None,
        dequantized: tf.Tensor,
    ) -> tf.Tensor:
        weights = QuantizedWeights(codes, scales, offsets, spec, mask)

        @tf.custom_gradient
        def straight_through(rows: tf.Tensor, dequantized: tf.Tensor) -> tuple[tf.Tensor, object]:
            quantized_rows, row_scales = quantize_rows(rows, bits)

            def backward(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                to_rows = tf.matmul(upstream, dequantized, transpose_b=True)
                return to_rows, tf.matmul(quantized_rows * row_scales, upstream, transpose_a=True)

            return row_scales * _scaled_accumulators(quantized_rows, weights, bits), backward

        return straight_through(rows, dequantized)

    return matmul


def exact_matmul(a: tf.Tensor, b: tf.Tensor, largest: int) -> tf.Tensor:
    """Multiplies integers in float32, [..., M, K] @ [..., K, N], rounded once from the int32 result.

    Args:
      a: integers, as float32.
      b: integers, as float32.
      largest: bound on the magnitude of a product of an element of `a` and one of `b`; the result must fit int32.
    """
    contraction, slice_size = a.shape[-1], _EXACT_INTEGERS // largest
    if contraction <= slice_size:
        return tf.matmul(a, b)
    accumulators = [
        tf.cast(tf.matmul(a[..., k : k + slice_size], b[..., k : k + slice_size, :]), tf.int32)
        for k in range(0, contraction, slice_size)
    ]
    return tf.cast(tf.add_n(accumulators), tf.float32)


def _scaled_accumulators(rows: tf.Tensor, weights: QuantizedWeights, bits: int) -> tf.Tensor:
    """Computes sum_b (s_b * sum q qx - o_b * sum qx) of quantized rows [M, K] -> [M, N]."""
    k, n = weights.codes.shape
    size = weights.spec.block_size or k
    blocks, row_limit = weights.spec.blocks(k), 2 ** (bits - 1) - 1
    largest = 2 ** (weights.spec.bits - 1) * row_limit
    fill = [[0, blocks * size - k], [0, 0]]  # zeros, which fill up the last block
    row_blocks = tf.transpose(tf.reshape(tf.pad(rows, fill[::-1]), [-1, blocks, size]), [1, 0, 2])

    def to_blocks(matrix: tf.Tensor) -> tf.Tensor:
        return tf.reshape(tf.pad(matrix, fill), [blocks, size, n])

    def add_block(total: tf.Tensor, block: dict[str, tf.Tensor]) -> tf.Tensor:
        scaled = block["scales"] * exact_matmul(block["rows"], block["codes"], largest)
        if "offsets" in block:
            if "mask" in block:
                row_sums = exact_matmul(block["rows"], block["mask"], row_limit)
            else:
                row_sums = tf.reduce_sum(block["rows"], axis=1, keepdims=True)
            scaled -= block["offsets"] * row_sums
        return total + scaled

    operands = {"rows": row_blocks, "codes": to_blocks(weights.codes), "scales": weights.scales}
    if weights.offsets is not None:
        operands["offsets"] = weights.offsets
        if weights.mask is not None:
            operands["mask"] = to_blocks(weights.mask)
    # One block after the other: the accumulators of all of them together would take `blocks` times the result.
    return tf.foldl(add_block, operands, tf.zeros([tf.shape(rows)[0], n]), parallel_iterations=1)
