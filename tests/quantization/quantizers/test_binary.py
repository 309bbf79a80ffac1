"""The binary scheme: a published case, and a layer that trains, evaluates and is exported with it."""

import numpy as np
import pytest
import tensorflow as tf

from converters.exporter.pipeline import pack_layer
from converters.exporter.plan import LayerPlan
from tfconformer.errors import InputError
from tfconformer.quantization.quantizers.weights import StateValues, fake_quantize_weights, quantize_weights
from tfconformer.quantization.spec import QuantSpec

BINARY = {"bits": 2, "scheme": "binary"}


def test_published_codes_and_scales():
    weights = tf.constant([[1, -2, 5.5, 0], [0.02, -0.01, 3.3, 0]])
    quantized = quantize_weights(tf.transpose(weights), QuantSpec(**BINARY, scale_dtype="float32"))
    np.testing.assert_array_equal(tf.transpose(quantized.codes), [[1, -1, 1, 1], [1, -1, 1, 1]])
    np.testing.assert_allclose(quantized.scales, [[2.125, 0.8325]], rtol=1e-6)


def test_the_mean_of_a_short_block_is_that_of_its_own_weights():
    weights = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    scales = quantize_weights(tf.constant(weights), QuantSpec(**BINARY, block_size=16)).scales
    np.testing.assert_array_equal(scales[1], np.abs(weights[16:]).mean(axis=0).astype(np.float16))


def test_gradients_pass_straight_through_the_sign():
    weights = tf.constant([[0.5, -2.0], [-0.1, 0.7]])
    upstream = tf.constant([[1.0, 2.0], [3.0, 4.0]])
    spec = QuantSpec(**BINARY, scale_gradient=False, scale_dtype="float32")
    with tf.GradientTape() as tape:
        tape.watch(weights)
        loss = tf.reduce_sum(fake_quantize_weights(weights, spec) * upstream)
    np.testing.assert_allclose(tape.gradient(loss, weights), upstream, rtol=1e-6)


def test_one_bit_has_the_weights_and_gradients_of_two():
    weights, factors = tf.random.stateless_normal([40, 6], [1, 5]), tf.fill([3, 6], 0.75)
    results = []
    for bits in (1, 2):
        spec = QuantSpec(bits=bits, scheme="binary", block_size=16, clip={"learn": "block"})
        with tf.GradientTape() as tape:
            tape.watch([weights, factors])
            quantized = quantize_weights(weights, spec, StateValues(clip=factors))
            restored = quantized.dequantize()
            loss = tf.reduce_sum(tf.sin(restored))
        assert sorted(set(quantized.codes.numpy().ravel())) == [-1, bits - 1]
        results.append([restored, *tape.gradient(loss, [weights, factors])])
    for one, two in zip(*results, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5)  # float32 sums in another order


def test_one_bit_without_a_scheme_of_two_values_is_refused():
    with pytest.raises(ValueError, match="set scheme to binary or half_integer"):
        QuantSpec(bits=1)


@pytest.mark.parametrize("bits", [1, 2])
def test_it_is_packed_like_any_other(bits):
    spec = QuantSpec(bits=bits, scheme="binary", block_size=8)
    quantized = quantize_weights(tf.random.stateless_normal([24, 5], [1, 2]), spec)
    np.testing.assert_array_equal(
        pack_layer(LayerPlan("dense", *quantized.codes.shape, quantized.spec), quantized).dequantize(),
        quantized.dequantize(),
    )


def test_what_signs_cannot_be_is_refused():
    for options in ({"symmetric": False}, {"sparsity": "2:4"}, {"per_tensor": True}):
        with pytest.raises(InputError, match="the scheme binary is"):
            quantize_weights(tf.ones([8, 2]), QuantSpec(**BINARY, **options))
