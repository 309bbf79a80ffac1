"""The steps of the spectrogram decoder against the training model."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from tests.support.tiny_conformer import PARROTRON, tiny_config
from tfconformer.layers.dense import Dense
from tfconformer.models.parrotron import ATTENTION, LOGITS, REFINED, SPECTROGRAM, STOP, parrotron, parrotron_parts
from tfconformer.quantization.apply import QuantizedLayers, quantize_model
from tfconformer.quantization.spec import QuantSpec

VOCABULARY, BINS, FRAMES, STEPS = 5, 8, 37, 6


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def model(spec: QuantSpec | None, attention: str = "mixture") -> keras.Model:
    keras.utils.set_random_seed(0)
    sizes = PARROTRON["parrotron"] | {"attention": attention}
    built = parrotron(tiny_config(context={"parrotron": sizes}).model, 80, VOCABULARY)
    for weight in built.trainable_weights:  # biases and gains too
        weight.assign_add(0.1 * normal(*weight.shape, seed=weight.shape.num_elements()))
    names = [layer.name for layer in built.layers if isinstance(layer, Dense)]
    return built if spec is None else quantize_model(built, dict.fromkeys(names, spec))


@pytest.mark.parametrize(
    ("spec", "attention"),
    [(None, "mixture"), (QuantSpec(bits=4, block_size=16), "mixture"), (None, "location")],
    ids=["float", "int4", "location-sensitive"],
)
def test_steps_are_the_training_model_with_the_same_previous_frames(spec: QuantSpec | None, attention: str) -> None:
    whole = model(spec, attention)
    lengths = np.array([FRAMES, 23], np.int32)
    features, target = normal(2, FRAMES, 80, seed=1), normal(2, STEPS, 2 * BINS, seed=2)
    expected = whole([features, lengths, target])
    parts = parrotron_parts(whole)
    if spec is not None:
        assert {"attention_lstm_recurrent", "decoder_lstm_recurrent", "postnet_0"} < QuantizedLayers(whole).keys()
    encoded = parts.encoder([features, lengths])
    np.testing.assert_allclose(encoded[..., parts.memory :], expected[LOGITS], atol=1e-5)
    memory = encoded[..., : parts.memory]
    mask = tf.cast(tf.range(tf.shape(memory)[1]) < -(-lengths[:, np.newaxis] // 4), tf.float32)[..., tf.newaxis]
    frames = memory.shape[1]
    states = [tf.zeros([2, *(frames if size is None else size for size in shape)]) for shape in parts.states.values()]
    previous = tf.zeros([2, BINS])
    for step in range(STEPS):
        frames, stop, attention, last, *states = parts.step([previous, memory, mask, *states])
        # Float32 sums in another order, through a few recurrent steps.
        np.testing.assert_allclose(frames, expected[REFINED][:, step], atol=1e-4)
        np.testing.assert_allclose(last, expected[SPECTROGRAM][:, step, BINS:], atol=1e-4)
        np.testing.assert_allclose(stop, expected[STOP][:, step], atol=1e-4)
        np.testing.assert_allclose(attention, expected[ATTENTION][:, step], atol=1e-4)
        previous = target[:, step, BINS:]


def test_attention_has_no_weight_beyond_the_end() -> None:
    outputs = model(None)([normal(1, FRAMES, 80), np.array([20]), normal(1, STEPS, 2 * BINS)])
    assert not outputs[ATTENTION][:, :, 5:].numpy().any()
    assert outputs[ATTENTION][:, :, :5].numpy().any()
