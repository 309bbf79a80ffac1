"""Layers of a vocoder that filters harmonics and noise in the short-time Fourier domain.

    pulses, phase = PulseTrain(hop, rate)([pitch, phase])                          # harmonics, all equally loud
    frames = FilteredFrames(fft_length, hop)([log_gains, windows_of_pulses, windows_of_noise])
    waveform, after = OverlapAdd(hop)([frames, before])                             # hop by hop

Every layer is causal. A layer with a state takes it as a second input and returns the next one; without that input it
begins with zeros, so that one call serves whole utterances and steps. A hop is the distance between two frames, and a
frame is as long as several hops.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfconformer.features.scale import SCALED_DEVIATION, SCALED_MEAN
from tfconformer.layers.base import Layer
from tfconformer.layers.convolution import DepthwiseConvolution
from tfconformer.layers.registry import register
from tfconformer.layers.streaming import Pointwise

# Parts of a period that a phase is counted in. Integers add up without rounding errors, however long a voice lasts, and
# float32 holds these exactly.
TURN = 2**24
# Harmonics end at this share of half the sample rate.
_BAND = 0.975
# Fundamental frequency, in Hz, of a prediction of 0, the deviation of logarithmic ones, and the limits of all.
_MIDDLE, _DEVIATION = 120.0, 0.3
_LOWEST, _HIGHEST = 50.0, 400.0
# Logarithms of the gains of pulses and of noise for a prediction of 0: about those of speech.
_LOG_GAINS = -3.0, -4.0


@register
class ScaledLogMel(Pointwise, Layer):
    """Log-mel energies in the scale of decoders, see `features.log_mel.scaled_log_mel`: [B, T, bins] -> the same."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return (inputs - SCALED_MEAN) / SCALED_DEVIATION


@register
class CausalDepthwiseConvolution(DepthwiseConvolution):
    """A causal convolution along time with one filter per channel: [B, T, C] -> [B, T, C].

    The frames before the first are zeros, or those of a second input [B, kernel_size - 1, C].
    """

    def __init__(self, kernel_size: int, **kwargs: Any):
        super().__init__(kernel_size, causal=True, **kwargs)

    def build(self, input_shape: Any) -> None:
        several = isinstance(input_shape, (list, tuple)) and not isinstance(input_shape, tf.TensorShape)
        super().build(input_shape if several else (input_shape, input_shape))

    def call(self, inputs: tf.Tensor | tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        if isinstance(inputs, (tuple, list)):
            x, before = inputs
            return self.convolve(tf.concat([before, x], axis=1))
        return self.convolve(tf.pad(inputs, [(0, 0), (self.kernel_size - 1, 0), (0, 0)]))

    def macs_per_frame(self, input_shape: Any) -> int:
        return self.kernel_size * int(self.bias.shape[0])

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["causal"]
        return config


@register
class VoicePitch(Layer):
    """The pitch that a network predicts: (log-frequency, voicing) [B, T, 2] -> [B, T] in Hz, 0 without voice."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        frequency = _MIDDLE * tf.exp(_DEVIATION * inputs[..., 0])
        return tf.where(inputs[..., 1] > 0, tf.clip_by_value(frequency, _LOWEST, _HIGHEST), 0.0)


def scaled_pitch(pitch: tf.Tensor) -> tf.Tensor:
    """Returns the log-frequency that a network should predict for a pitch in Hz, above 0."""
    return tf.math.log(pitch / _MIDDLE) / _DEVIATION


@register
class PulseTrain(Layer):
    """Pulses at the pitch of a voice, limited to the band that the sample rate holds.

    Call: pitch [B, T] in Hz, 0 without voice, or (pitch, phase [B, 1] in turns, in [0, 1)) -> (pulses [B, T, hop],
    phase after them). All harmonics have the same amplitude, and the mean square of their sum is 1.

    Args:
      hop: samples per frame.
      sample_rate: in Hz.
    """

    def __init__(self, hop: int, sample_rate: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.hop = hop
        self.sample_rate = sample_rate

    def call(self, inputs: tf.Tensor | tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        pitch, phase = inputs if isinstance(inputs, (tuple, list)) else (inputs, tf.zeros_like(inputs[:, :1]))
        voiced = pitch > 0
        frequency = tf.where(voiced, pitch, _LOWEST) / self.sample_rate  # in turns per sample
        advance = tf.math.floormod(tf.cast(tf.round(frequency * (self.hop * TURN)), tf.int32), TURN)
        # Sums of int32 that overflow lose whole turns, since 2^32 is a multiple of a turn.
        after = tf.math.floormod(tf.cast(phase * TURN, tf.int32) + tf.cumsum(advance, axis=1), TURN)
        start = tf.cast(after - advance, tf.float32) / TURN
        frequency = frequency[..., tf.newaxis]
        turns = start[..., tf.newaxis] + frequency * tf.range(1, self.hop + 1, dtype=tf.float32)
        harmonics = tf.floor(_BAND / 2 / frequency)
        pulses = _sum_of_cosines(turns - tf.floor(turns), harmonics) * tf.sqrt(2 / harmonics)
        return pulses * tf.cast(voiced, tf.float32)[..., tf.newaxis], tf.cast(after[:, -1:], tf.float32) / TURN

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "hop": self.hop, "sample_rate": self.sample_rate}


def _sum_of_cosines(turns: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Returns the sum over k = 1 ... count of cos(2 pi k turns), turns in [0, 1], in closed form (Dirichlet)."""
    argument = (count + 0.5) * turns
    half = tf.sin(math.pi * turns)
    near_pulse = half < 1e-3
    ratio = tf.sin(2 * math.pi * (argument - tf.floor(argument))) / tf.where(near_pulse, 1.0, half)
    return tf.where(near_pulse, count, 0.5 * (ratio - 1.0))


@register
class NoiseSource(Layer):
    """White noise of deviation 1: any [B, T, ...] -> [B, T, hop].

    Its generator is tracked in checkpoints, as that of `Dropout` is.
    """

    def __init__(self, hop: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.hop = hop
        self.generator = tf.random.Generator.from_seed(random.getrandbits(31))

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self.generator.normal([*tf.unstack(tf.shape(inputs)[:2]), self.hop])

    def compute_output_shape(self, input_shape: tf.TensorShape) -> tf.TensorShape:
        return tf.TensorShape([*input_shape[:2], self.hop])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "hop": self.hop}


@register
class FilteredFrames(Layer):
    """Frames of pulses and of noise, filtered by gains of every frequency and added.

    Call: (log-gains [B, T, 2 * (fft_length / 2 + 1)], windows of pulses [B, T, length], windows of noise
    [B, T, length]) -> frames [B, T, length], windowed before and after the filter, so that they add up to a waveform.

    Args:
      fft_length: length of the Fourier transform, at least the length of a frame.
      hop: samples between two frames; the squares of the windows must add up to a constant.
    """

    def __init__(self, fft_length: int, hop: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.fft_length = fft_length
        self.hop = hop

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        log_gains, *windows = inputs
        length = int(windows[0].shape[-1])
        window = _hann(length)
        padding = [(0, 0), (0, 0), (0, self.fft_length - length)]
        sources = [tf.signal.rfft(tf.pad(one * window, padding), [self.fft_length]) for one in windows]
        gains = [
            tf.exp(one + usual)
            for one, usual in zip(tf.split(log_gains, len(windows), axis=-1), _LOG_GAINS, strict=True)
        ]
        real, imaginary = (
            tf.add_n([gain * part(source) for gain, source in zip(gains, sources, strict=True)])
            for part in (tf.math.real, tf.math.imag)
        )
        frames = inverse_real_fft(real, imaginary)[..., :length]
        return frames * (window / np.sum(np.square(window[:: self.hop])))

    def compute_output_shape(self, input_shape: Sequence[tf.TensorShape]) -> tf.TensorShape:
        return tf.TensorShape(input_shape[1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "fft_length": self.fft_length, "hop": self.hop}


def _hann(length: int) -> np.ndarray:
    """Returns the periodic Hann window."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)).astype(np.float32)


def inverse_real_fft(real: tf.Tensor, imaginary: tf.Tensor) -> tf.Tensor:
    """Computes the inverse of a real Fourier transform by a forward one, the only one that TFLite has.

    With X the transform of a real signal x, h[k] = Re X[k] + Im X[k], k = 0 ... N - 1, is real, and its transform H
    gives the signal: x[n] = (Re H[n] + Im H[n]) / N (Hartley 1942).

    Args:
      real: real part [..., N / 2 + 1].
      imaginary: imaginary part, of the same shape.

    Returns:
      [..., N].
    """
    length = 2 * (int(real.shape[-1]) - 1)
    spectrum = tf.signal.rfft(_both_halves(real + imaginary, real - imaginary), [length])
    real, imaginary = tf.math.real(spectrum), tf.math.imag(spectrum)
    return _both_halves(real + imaginary, real - imaginary) / length


def _both_halves(first: tf.Tensor, mirrored: tf.Tensor) -> tf.Tensor:
    """Returns `first` [..., N / 2 + 1], and `mirrored` without its ends in reverse, as [..., N]."""
    return tf.concat([first, tf.reverse(mirrored[..., 1:-1], [-1])], axis=-1)


@register
class OverlapAdd(Layer):
    """Overlapping frames, added: hop t of the output is complete with frame t, of which it is the first hop.

    Call: frames [B, T, length] or (frames, [B, length / hop - 1, hop]: what earlier frames add to the first hops) ->
    (waveform [B, T, hop], what the frames add to the hops after it).

    Args:
      hop: samples between two frames.
    """

    def __init__(self, hop: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.hop = hop

    def call(self, inputs: tf.Tensor | tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        frames, *before = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
        count = tf.shape(frames)[1] if frames.shape[1] is None else frames.shape[1]
        parts = tf.split(frames, int(frames.shape[-1]) // self.hop, axis=-1)
        later = len(parts) - 1
        added = [tf.pad(part, [(0, 0), (index, later - index), (0, 0)]) for index, part in enumerate(parts)]
        hops = tf.add_n([*added, *(tf.pad(one, [(0, 0), (0, count), (0, 0)]) for one in before)])
        return hops[:, :count], hops[:, count:]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "hop": self.hop}
