"""The steps of the vocoder against the training model."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from tests.support.tiny_conformer import VOCODER
from tfconformer.layers.dense import Dense
from tfconformer.layers.vocoder import VoicePitch
from tfconformer.models.config import ModelConfig
from tfconformer.models.vocoder import PITCH, WAVEFORM, vocoder, vocoder_parts
from tfconformer.quantization.apply import quantize_model
from tfconformer.quantization.spec import QuantSpec

BINS, HOP, FRAMES = 8, 160, 24


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def model(spec: QuantSpec | None) -> keras.Model:
    keras.utils.set_random_seed(0)
    config = ModelConfig.model_validate(VOCODER).vocoder
    assert config is not None
    built = vocoder(config)
    for weight in built.trainable_weights:  # biases and gains too
        weight.assign_add(0.05 * normal(*weight.shape, seed=weight.shape.num_elements()))
    names = [layer.name for layer in built.layers if isinstance(layer, Dense)]
    return built if spec is None else quantize_model(built, dict.fromkeys(names, spec))


@pytest.mark.parametrize("spec", [None, QuantSpec(bits=4, block_size=8)], ids=["float", "int4"])
def test_steps_of_any_size_are_the_whole_with_the_same_noise(spec: QuantSpec | None) -> None:
    trained = model(spec)
    parts = vocoder_parts(trained)
    spectrogram, noise = normal(2, FRAMES, BINS, seed=1), normal(2, FRAMES, HOP, seed=2)
    zeros = [tf.zeros([2, *shape]) for shape in parts.states.values()]
    whole, *_ = parts.step([spectrogram, noise, *zeros])
    assert np.abs(whole).max() > 0.1
    for sizes in ([4] * 6, [1, 7, 2, 14]):
        states, made = zeros, []
        for start, stop in zip(np.cumsum([0, *sizes]), np.cumsum(sizes), strict=False):
            hops, *states = parts.step([spectrogram[:, start:stop], noise[:, start:stop], *states])
            made.append(hops)
        # Sums in another order change the pitch by 1e-7 of a turn per frame, and high harmonics by more.
        np.testing.assert_allclose(np.concatenate(made, axis=1), whole, atol=1e-4)


def test_the_training_model_is_the_whole_step_at_the_pitch_that_it_predicts() -> None:
    """Both draw other noise, so that noise has no gain here."""
    trained = model(None)
    gains = trained.get_layer("vocoder_gains")
    gains.bias.assign_sub(np.repeat([0.0, 60.0], 513))
    parts = vocoder_parts(trained)
    spectrogram = normal(1, FRAMES, BINS, seed=1)
    pitch = VoicePitch()(trained([spectrogram, tf.zeros([1, FRAMES])])[PITCH])
    assert 0 < np.count_nonzero(pitch) < FRAMES
    zeros = [tf.zeros([1, *shape]) for shape in parts.states.values()]
    expected, *_ = parts.step([spectrogram, tf.zeros([1, FRAMES, HOP]), *zeros])
    waveform = trained([spectrogram, pitch])[WAVEFORM]
    np.testing.assert_allclose(waveform, tf.reshape(expected, [1, -1]), atol=1e-5)
