"""The grid without a zero: its values by hand, its gradients, and a layer that is packed without zero points."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from converters.exporter.pipeline import pack_layer
from converters.exporter.plan import LayerPlan
from tfconformer.errors import InputError
from tfconformer.quantization.post_training.gptq import gptq
from tfconformer.quantization.quantizers.weights import StateValues, quantize_weights
from tfconformer.quantization.spec import LearnedClip, QuantSpec

HALVES = {"bits": 2, "scheme": "half_integer"}


def test_weights_become_the_nearest_of_four_values_without_a_zero():
    weights = tf.constant([[-3.0, -2.1, -1.9, -0.1, 0.0, 0.1, 1.9, 2.1, 3.0]])
    quantized = quantize_weights(tf.transpose(weights), QuantSpec(**HALVES, scale_dtype="float32"))
    np.testing.assert_allclose(quantized.scales, [[2.0]], rtol=1e-6)
    np.testing.assert_array_equal(quantized.codes[:, 0], [-2, -2, -1, -1, 0, 0, 0, 1, 1])
    np.testing.assert_allclose(quantized.dequantize()[:, 0], [-3, -3, -1, -1, 1, 1, 1, 3, 3], rtol=1e-6)


@pytest.mark.parametrize("bits", [2, 4])
def test_every_weight_is_within_half_a_step_up_to_the_largest(bits):
    weights = tf.random.stateless_normal([96, 7], [3, bits])
    quantized = quantize_weights(weights, QuantSpec(bits=bits, scheme="half_integer", block_size=32))
    steps = np.repeat(quantized.scales.numpy(), 32, axis=0)
    # float16 scales are off by up to 2^-11, of which the largest weight is 2^(bits - 1) steps away.
    assert np.all(np.abs(quantized.dequantize() - weights) <= steps * (0.5 + 2.0 ** (bits - 12)))


def test_learned_factors_have_the_gradient_of_the_published_step_size():
    """d value / d step is (q + 1/2) - w/step inside of the range and the end of the range outside of it."""
    weights = np.array([[0.7, -0.2, 3.0, -1.3]], np.float32).T
    spec = QuantSpec(**HALVES, clip=LearnedClip(learn="tensor"), scale_dtype="float32", scale_gradient=False)
    factor = tf.Variable([[0.5]])
    with tf.GradientTape() as tape:
        values = quantize_weights(tf.constant(weights), spec, StateValues(clip=factor)).dequantize()
        loss = tf.reduce_sum(values * [[1.0], [10.0], [100.0], [1000.0]])
    step = 1.0  # 0.5 * 3 / 1.5
    slopes = np.array([0.5 - 0.7, -0.5 + 0.2, 1.5, -1.5 + 1.3]) * 3 / 1.5
    np.testing.assert_allclose(values[:, 0], np.array([0.5, -0.5, 1.5, -1.5]) * step, rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(loss, factor), [[slopes @ [1, 10, 100, 1000]]], rtol=1e-4)


def test_it_is_packed_without_zero_points_and_at_the_bytes_of_symmetric_weights():
    spec = QuantSpec(**HALVES, block_size=64)
    quantized = quantize_weights(tf.random.stateless_normal([512, 32], [1, 2]), spec)
    packed = pack_layer(LayerPlan("dense", 512, 32, spec), quantized)
    np.testing.assert_array_equal(packed.dequantize(), quantized.dequantize())
    assert packed.offsets is None
    assert 8 * packed.bytes / (512 * 32) == 2.25
    assert sum(spec.stored_bytes(512, 32)) == packed.bytes


def test_gptq_rounds_to_it():
    random = np.random.default_rng(0)
    weights, inputs = random.normal(size=(24, 6)).astype(np.float32), random.normal(size=(200, 24))
    inputs[:, 1::2] += inputs[:, ::2]  # columns that can make up for each other
    spec = QuantSpec(**HALVES)
    nearest = quantize_weights(tf.constant(weights), spec)
    chosen = gptq(weights, inputs.T @ inputs, spec)
    np.testing.assert_array_equal(chosen.scales, nearest.scales)
    errors = [np.linalg.norm(inputs @ (one.dequantize().numpy() - weights)) for one in (chosen, nearest)]
    assert errors[0] < errors[1]


def test_what_half_integers_cannot_be_is_refused():
    for options in ({"symmetric": False}, {"sparsity": "2:4"}):
        with pytest.raises(InputError, match="the scheme half_integer is symmetric and dense"):
            quantize_weights(tf.ones([8, 2]), QuantSpec(**HALVES, **options))
