"""The losses of the vocoder against NumPy in float64."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tfconformer.losses.spectral import PitchLoss, SpectralLoss

RANDOM = np.random.default_rng(0)


def magnitudes(wave: np.ndarray, fft_length: int, hop: int, length: int) -> np.ndarray:
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    frames = [wave[start : start + length] * window for start in range(0, len(wave) - length + 1, hop)]
    return np.abs(np.fft.rfft(frames, fft_length))


def test_the_spectral_loss_is_that_of_all_resolutions() -> None:
    wave, made = 0.1 * RANDOM.normal(size=[2, 2, 4000])
    expected = np.zeros(2)
    for index in range(2):
        for resolution in ((256, 64, 256), (512, 128, 512), (1024, 200, 800), (2048, 400, 1600)):
            x, y = magnitudes(wave[index], *resolution), magnitudes(made[index], *resolution)
            expected[index] += np.abs(np.log(y + 1e-3) - np.log(x + 1e-3)).mean() / 4
            expected[index] += np.linalg.norm(y - x) / np.linalg.norm(x) / 4
    losses = SpectralLoss().call(tf.constant(wave, tf.float32), tf.constant(made, tf.float32))
    # The floors of magnitudes are not in the oracle.
    np.testing.assert_allclose(losses, expected, rtol=1e-3)


def test_the_spectral_loss_of_silence_has_a_gradient() -> None:
    silence = tf.Variable(tf.zeros([1, 2000]))
    with tf.GradientTape() as tape:
        loss = SpectralLoss()(tf.zeros([1, 2000]), silence)
    assert loss < 0.01  # the roots of squares have a floor
    assert np.isfinite(tape.gradient(loss, silence)).all()


def test_the_pitch_loss_has_no_frequency_without_voice() -> None:
    pitch = np.array([[0.0, 120.0, 240.0]], np.float32)
    predicted = np.array([[[9.0, -20.0], [0.5, 20.0], [np.log(2) / 0.3, 20.0]]], np.float32)
    # One of two voiced frames is 0.5 off; the sum is divided by one more, and voicing is certain.
    np.testing.assert_allclose(PitchLoss()(pitch, predicted), 0.5 / 3, atol=1e-6)


def test_losses_are_restored_from_their_configurations() -> None:
    for loss in (SpectralLoss(), PitchLoss()):
        restored = keras.losses.deserialize(keras.losses.serialize(loss))
        assert restored.get_config() == loss.get_config()
