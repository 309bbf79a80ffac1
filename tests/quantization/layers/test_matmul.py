"""The integer product of training against int64 arithmetic and against what the dequantized operands compute."""

import numpy as np
import pytest
import tensorflow as tf

from tfconformer.quantization.layers.matmul import exact_matmul, integer_matmul
from tfconformer.quantization.quantizers.weights import quantize_rows, quantize_weights
from tfconformer.quantization.spec import QuantSpec

SPECS = [
    QuantSpec(bits=8, activation_bits=8),
    QuantSpec(bits=4, activation_bits=8, scale_gradient=False),
    QuantSpec(bits=4, activation_bits=4),
    QuantSpec(bits=4, activation_bits=8, block_size=24),
    QuantSpec(bits=2, symmetric=False, activation_bits=8, block_size=32),
    QuantSpec(bits=2, symmetric=False, activation_bits=8, sparsity="2:4"),
]


@pytest.mark.parametrize("k", [5, 1032, 1033, 4096])
def test_exact_product_is_int64_arithmetic_at_the_extremes(k):
    """All codes at their largest magnitude: above K = 1032 one float32 sum could not hold the result."""
    random = np.random.default_rng(k)
    a, b = random.choice([-127, 127, 126], size=(3, k)), random.choice([-128, 127], size=(k, 4))
    a[0], b[:, 0] = -127, -128
    expected = (a.astype(np.int64) @ b).astype(np.int32).astype(np.float32)
    product = exact_matmul(tf.constant(a, tf.float32), tf.constant(b, tf.float32), 127 * 128)
    np.testing.assert_array_equal(product.numpy(), expected)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("compiled", [False, True])
def test_the_product_is_the_operation_s_definition(spec, compiled):
    random = np.random.default_rng(3)
    x = random.normal(size=(2, 7, 100)).astype(np.float32)
    weights = quantize_weights(tf.constant(random.normal(size=(100, 6)).astype(np.float32)), spec)

    def product(rows):
        return integer_matmul(rows, weights)

    actual = (tf.function(product) if compiled else product)(tf.constant(x)).numpy()

    limit = np.float32(2 ** (spec.activation_bits - 1) - 1)
    peak = np.abs(x).max(axis=-1, keepdims=True)
    codes = np.rint(x * (limit / peak)).astype(np.int64)
    q = weights.codes.numpy().astype(np.int64)
    mask = np.ones_like(q) if weights.mask is None else weights.mask.numpy().astype(np.int64)
    total = np.zeros((2, 7, 6), np.float32)
    for b in range(spec.blocks(100)):
        part = slice(b * (spec.block_size or 100), min((b + 1) * (spec.block_size or 100), 100))
        total += weights.scales.numpy()[b] * (codes[..., part] @ q[part]).astype(np.float32)
        if weights.offsets is not None:
            total -= weights.offsets.numpy()[b] * (codes[..., part] @ mask[part]).astype(np.float32)
    expected = (peak * (np.float32(1) / limit)) * total
    if spec.blocks(100) == 1 and spec.symmetric:
        np.testing.assert_array_equal(actual, expected)
    else:  # the float sums over blocks may be formed in another order, or with fused multiplications
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("spec", SPECS)
def test_the_gradient_is_that_of_the_dequantized_operands(spec):
    random = np.random.default_rng(4)
    x = tf.constant(random.normal(size=(5, 100)).astype(np.float32))
    kernel = tf.constant(random.normal(size=(100, 6)).astype(np.float32))
    upstream = tf.constant(random.normal(size=(5, 6)).astype(np.float32))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, kernel])
        weights = quantize_weights(kernel, spec)
        loss = tf.reduce_sum(integer_matmul(x, weights) * upstream)
        codes, scales = quantize_rows(x, spec.activation_bits)
        rows = codes * scales
        by_hand = tf.reduce_sum(tf.matmul(rows, weights.dequantize()) * upstream)
    # The same float32 products, summed in graphs of different shape.
    np.testing.assert_allclose(tape.gradient(loss, kernel), tape.gradient(by_hand, kernel), rtol=1e-4, atol=1e-5)
    straight_through = upstream @ tf.transpose(weights.dequantize())
    np.testing.assert_allclose(tape.gradient(loss, x), straight_through, rtol=1e-4, atol=1e-5)


def test_published_product_of_2_bit_weights_and_rows():
    """A case of the public code of 2305.16619; 3-bit rows are no `activation_bits` here, so the product is by hand."""
    weights = quantize_weights(
        tf.constant([[-1.5, 0.99], [-0.99, 0.0], [-0.01, 1.5]]), QuantSpec(bits=2, scale_dtype="float32")
    )
    np.testing.assert_array_equal(weights.codes, [[-1, 1], [-1, 0], [0, 1]])
    codes, scales = quantize_rows(tf.constant([[-7, 4.01, 4.01], [-7, 0.01, -4.01]]), 3)
    np.testing.assert_array_equal(codes, [[-3, 2, 2], [-3, 0, -2]])
    product = scales * tf.matmul(codes, weights.codes) * weights.scales
    # A float32 rounding of 7/3 and the scale's epsilon.
    np.testing.assert_allclose(product, [[3.5, -3.5], [10.5, -17.5]], rtol=1e-5)
