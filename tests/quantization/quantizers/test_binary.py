"""The binary scheme: a published case, and a layer that trains, evaluates and is exported with it."""

import numpy as np
import pytest
import tensorflow as tf

from converters.exporter.pipeline import pack_layer
from converters.exporter.plan import LayerPlan
from tfconformer.errors import InputError
from tfconformer.quantization.quantizers.weights import fake_quantize_weights, quantize_weights
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


def test_it_is_packed_like_any_other():
    quantized = quantize_weights(tf.random.stateless_normal([24, 5], [1, 2]), QuantSpec(**BINARY, block_size=8))
    np.testing.assert_array_equal(
        pack_layer(LayerPlan("dense", *quantized.codes.shape, quantized.spec), quantized).dequantize(),
        quantized.dequantize(),
    )


def test_what_signs_cannot_be_is_refused():
    for options in ({"symmetric": False}, {"sparsity": "2:4"}, {"per_tensor": True}):
        with pytest.raises(InputError, match="the scheme binary is"):
            quantize_weights(tf.ones([8, 2]), QuantSpec(**BINARY, **options))
