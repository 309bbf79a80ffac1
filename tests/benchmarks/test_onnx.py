"""onnxruntime, a baseline of the benchmarks, computes what this project does."""

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.random_weights import random_kernel
from tests.support.tiny_conformer import tiny_config, tiny_model, tiny_tokenizer
from tfconformer.features.log_mel import log_mel
from tfconformer.tasks import find_task

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install '.[benchmarks]'")

from benchmarks.onnx_conformer import OnnxConformer, OnnxStream
from benchmarks.onnx_layers import OnnxLayers, blockwise_weights, float_weights, int8_weights

VOCABULARY = tiny_tokenizer().vocabulary_size


@pytest.mark.parametrize(
    ("quantize", "step"),
    [
        (float_weights, 0),
        (int8_weights, 1 / 63),
        (lambda kernel: blockwise_weights(kernel, 8, 16), 1 / 128),
        (lambda kernel: blockwise_weights(kernel, 4, 16), 1 / 8),
        (lambda kernel: blockwise_weights(kernel, 2, 16), 1 / 2),
    ],
    ids=["float", "int8", "8 bits in blocks", "4 bits in blocks", "2 bits in blocks"],
)
def test_layers_compute_their_kernel(quantize, step):
    kernel = random_kernel(64, 24)
    weights = quantize(kernel)
    # Half a step of the largest weight; the one that has no code above it a whole one.
    assert np.abs(weights.kernel - kernel).max() <= 1.01 * step * np.abs(kernel).max()
    layers = OnnxLayers(weights, copies=3)
    x = np.random.default_rng(0).standard_normal((5, 64), np.float32)
    layers.feed(x)
    layers.run()
    for y in layers.outputs():
        # 8-bit activations cost about 1 %. The first two channels bear the stamp of a copy.
        assert np.linalg.norm((y - x @ weights.kernel)[:, 2:]) < 0.05 * np.linalg.norm(y[:, 2:])


def keras_logits(config, model, waveform):
    features = log_mel(tf.constant(waveform[None]), config.features)
    return model([features, tf.shape(features)[1:2]]).numpy()[0]


def variables_of(model):
    """What hands out the variables of a model, and their names and shapes once it has."""
    variables = {variable.name: variable.numpy() for variable in model.variables}
    asked = {}

    def value(name, shape):
        asked[f"{name}:0"] = shape
        return variables[f"{name}:0"].reshape(shape)

    return value, asked


def noise(samples):
    return np.random.default_rng(samples).standard_normal(samples, np.float32) * np.float32(0.1)


def distance(actual, expected):
    return np.linalg.norm(actual - expected) / np.linalg.norm(expected - expected.mean())


# Float sums in another order; 7-bit weights.
@pytest.mark.parametrize(("quantize", "tolerance"), [(float_weights, 1e-4), (int8_weights, 0.2)], ids=["float", "int8"])
def test_the_conformer_is_that_of_keras(quantize, tolerance):
    config = tiny_config(context={"conv_kernel": 6})
    model = find_task(config.task).exported_part(tiny_model(config), streaming=False)
    variables, asked = variables_of(model)
    onnx = OnnxConformer(config, VOCABULARY, variables, quantize)
    assert {variable.name: tuple(variable.shape) for variable in model.variables} == asked
    for samples in (8000, 13111):
        expected = keras_logits(config, model, noise(samples))
        actual = onnx.run(noise(samples))
        assert actual.shape == expected.shape
        assert distance(actual, expected) < tolerance


def test_the_steps_of_a_stream_are_the_utterance_of_keras():
    config = tiny_config(context={"causal": True, "left_context": 5, "attention_chunk": 1})
    model = find_task(config.task).exported_part(tiny_model(config), streaming=False)
    variables, asked = variables_of(model)
    onnx = OnnxStream(config, VOCABULARY, variables, float_weights)
    assert {variable.name: tuple(variable.shape) for variable in model.variables} == asked
    # A last frame that a stream has, but the utterance not: its features end behind the samples.
    steps = 20
    waveform = noise(steps * onnx.step_samples)
    actual = np.concatenate([onnx.step(step) for step in waveform.reshape(steps, -1)])
    expected = keras_logits(config, model, waveform)
    assert distance(actual[: len(expected)], expected) < 1e-4  # float sums in another order
    assert steps - len(expected) <= 1
