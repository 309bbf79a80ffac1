"""The losses of a vocoder: distance of spectra at several resolutions, and of the pitch."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from tfconformer.layers.registry import register
from tfconformer.layers.vocoder import scaled_pitch

# Length of the Fourier transform, samples between frames, and length of the window, of every resolution.
_RESOLUTIONS = ((256, 64, 256), (512, 128, 512), (1024, 200, 800), (2048, 400, 1600))
# Magnitudes below it count as silence: about that of 16-bit rounding.
_FLOOR = 1e-3


@register
class SpectralLoss(keras.losses.Loss):
    """Distance of magnitudes at several resolutions (Parallel WaveGAN, 1910.11480): of logarithms, and relative.

    Call: (waveforms [B, samples], made waveforms [B, samples]) -> [B] losses.
    """

    def __init__(self, name: str = "spectral_loss", **kwargs: Any):
        super().__init__(name=name, **kwargs)

    def call(self, waveform: tf.Tensor, made: tf.Tensor) -> tf.Tensor:
        losses = []
        for fft_length, hop, length in _RESOLUTIONS:
            expected, actual = (_magnitudes(one, length, hop, fft_length) for one in (waveform, made))
            logarithms = tf.abs(tf.math.log(actual + _FLOOR) - tf.math.log(expected + _FLOOR))
            relative = _norm(actual - expected) / (_norm(expected) + _FLOOR)
            losses.append(tf.reduce_mean(logarithms, axis=[1, 2]) + relative)
        return tf.add_n(losses) / len(losses)


def _magnitudes(waveform: tf.Tensor, length: int, hop: int, fft_length: int) -> tf.Tensor:
    spectrum = tf.signal.stft(waveform, length, hop, fft_length)
    return _root(tf.square(tf.math.real(spectrum)) + tf.square(tf.math.imag(spectrum)))


def _norm(magnitudes: tf.Tensor) -> tf.Tensor:
    return _root(tf.reduce_sum(tf.square(magnitudes), axis=[1, 2]))


def _root(squares: tf.Tensor) -> tf.Tensor:
    # The gradient of the root of 0 is not finite.
    return tf.sqrt(squares + 1e-10)


@register
class PitchLoss(keras.losses.Loss):
    """Absolute error of the scaled log-frequency of voiced frames, and cross-entropy of voicing.

    Call: (pitch [B, T] in Hz, 0 without voice; predictions [B, T, 2]: log-frequency and logit of voicing) -> [B]
    losses.
    """

    def __init__(self, name: str = "pitch_loss", **kwargs: Any):
        super().__init__(name=name, **kwargs)

    def call(self, pitch: tf.Tensor, predicted: tf.Tensor) -> tf.Tensor:
        voiced = tf.cast(pitch > 0, tf.float32)
        errors = tf.abs(predicted[..., 0] - scaled_pitch(tf.where(pitch > 0, pitch, 1.0))) * voiced
        frequency = tf.reduce_sum(errors, axis=1) / (tf.reduce_sum(voiced, axis=1) + 1.0)
        entropy = tf.nn.sigmoid_cross_entropy_with_logits(voiced, predicted[..., 1])
        return frequency + tf.reduce_mean(entropy, axis=1)
