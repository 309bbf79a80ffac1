"""The product of quantized rows and quantized weights, in integers, inside the training graph (2203.15952).

    q, s, o of the weights in blocks b along K, qx and sx of a row:   y = sx * sum_b (s_b * sum q qx - o_b * sum qx)

The inner sums are those of int32 arithmetic, bit for bit, although float32 matrix products compute them: every partial
sum of a piece of K is an integer below 2^24, which float32 holds exactly in whatever order it is formed, and the pieces
are added in int32. That is the faster way on processors whose TensorFlow has no fast int8 product.

The backward pass is that of the dequantized operands: scales are constants, rounding passes the gradient through, and
codes clipped at the range ends stop it (the straight-through estimator, masked).
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import tensorflow as tf

from tfconformer.quantization.quantizers.weights import QuantizedWeights, quantize_rows
from tfconformer.quantization.spec import QuantSpec

_EXACT = 2**24


def integer_product(rows: tf.Tensor, weights: QuantizedWeights) -> tf.Tensor:
    """`rows` [..., K], quantized to `weights.spec.activation_bits`, times `weights` [K, N], as the exported file does.

    Gradients flow to the rows and, through `weights.dequantize()`, to whatever the weights were computed from.
    """
    k, n = weights.codes.shape
    operands = weights.codes, weights.scales, weights.offsets, weights.mask, weights.dequantize()
    sums = _product(weights.spec, k, n)(tf.reshape(rows, [-1, k]), *operands)
    return tf.reshape(sums, tf.concat([tf.shape(rows)[:-1], [n]], axis=0))


@functools.cache
def _product(spec: QuantSpec, k: int, n: int) -> Callable[..., tf.Tensor]:
    """(rows [M, K], codes, scales, offsets and mask of weights [K, N], dequantized) -> [M, N].

    A function of its own, traced once for layers of one shape, because TensorFlow never frees a graph in which a custom
    gradient was defined, and Keras calls every layer in a graph to learn its output's shape.
    """
    bits = spec.activation_bits
    assert bits is not None

    @tf.function(autograph=False, reduce_retracing=True)
    def product(
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
            row_codes, row_scales = quantize_rows(rows, bits)

            def backward(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                to_rows = tf.matmul(upstream, dequantized, transpose_b=True)
                return to_rows, tf.matmul(row_codes * row_scales, upstream, transpose_a=True)

            return row_scales * _weighted_sums(row_codes, weights, bits), backward

        return straight_through(rows, dequantized)

    return product


def exact_product(a: tf.Tensor, b: tf.Tensor, largest: int) -> tf.Tensor:
    """[..., M, K] @ [..., K, N] of integers in float32, rounded once from the int32 result.

    The products of `a` and `b` have magnitudes up to `largest`; the result must fit int32.
    """
    contraction, piece = a.shape[-1], _EXACT // largest
    if contraction <= piece:
        return tf.matmul(a, b)
    sums = [
        tf.cast(tf.matmul(a[..., k : k + piece], b[..., k : k + piece, :]), tf.int32)
        for k in range(0, contraction, piece)
    ]
    return tf.cast(tf.add_n(sums), tf.float32)


def _weighted_sums(codes: tf.Tensor, weights: QuantizedWeights, bits: int) -> tf.Tensor:
    """[M, K] codes -> [M, N]: sum_b (s_b * sum q qx - o_b * sum qx)."""
    k, n = weights.codes.shape
    size = weights.spec.block_size or k
    blocks, row_limit = weights.spec.blocks(k), 2 ** (bits - 1) - 1
    largest = 2 ** (weights.spec.bits - 1) * row_limit
    fill = [[0, blocks * size - k], [0, 0]]
    rows = tf.transpose(tf.reshape(tf.pad(codes, fill[::-1]), [-1, blocks, size]), [1, 0, 2])

    def in_blocks(matrix: tf.Tensor) -> tf.Tensor:
        return tf.reshape(tf.pad(matrix, fill), [blocks, size, n])

    def add_block(total: tf.Tensor, block: dict[str, tf.Tensor]) -> tf.Tensor:
        sums = block["scales"] * exact_product(block["rows"], block["codes"], largest)
        if "offsets" in block:
            if "mask" in block:
                row_sums = exact_product(block["rows"], block["mask"], row_limit)
            else:
                row_sums = tf.reduce_sum(block["rows"], axis=1, keepdims=True)
            sums -= block["offsets"] * row_sums
        return total + sums

    operands = {"rows": rows, "codes": in_blocks(weights.codes), "scales": weights.scales}
    if weights.offsets is not None:
        operands["offsets"] = weights.offsets
        if weights.mask is not None:
            operands["mask"] = in_blocks(weights.mask)
    # One block after the other: the sums of all of them together would be `blocks` times the result.
    return tf.foldl(add_block, operands, tf.zeros([tf.shape(rows)[1], n]), parallel_iterations=1)
