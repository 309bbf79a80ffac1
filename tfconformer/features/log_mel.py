"""The log-mel front end: one implementation for the training pipeline and for the exported file.

It consists of operations that convert to TFLite built-ins at any number of samples (framing by strided slices rather
than a gather, a real FFT, one matmul), so that the device runs the same graph as training.
"""

from __future__ import annotations

import math

import tensorflow as tf

from tfconformer.features.config import FeatureConfig
from tfconformer.features.scale import ENERGY_FLOOR, SCALED_DEVIATION, SCALED_MEAN


def frame_count(samples: tf.Tensor, config: FeatureConfig) -> tf.Tensor:
    """Returns the number of frames of utterances with these numbers of samples (int32, any shape).

    A last, incomplete frame is dropped; fewer samples than a frame give 0 frames, because the division rounds down.
    """
    return tf.maximum((samples - config.frame_length) // config.frame_step + 1, 0)


def log_mel(waveform: tf.Tensor, config: FeatureConfig) -> tf.Tensor:
    """Returns the natural logarithm of mel filter-bank energies.

    Args:
      waveform: [..., samples] float32 in [-1, 1].
      config: frame lengths and band edges.

    Returns:
      [..., frames, mel_bins] float32, with `frame_count(samples, config)` frames.
    """
    window = tf.signal.hann_window(config.frame_length, dtype=tf.float32)
    frames = frame(waveform, config.frame_length, config.frame_step) * window
    padding = [[0, 0]] * (frames.shape.rank - 1) + [[0, config.fft_length - config.frame_length]]
    spectrum = tf.signal.rfft(tf.pad(frames, padding), [config.fft_length])
    energy = tf.square(tf.math.real(spectrum)) + tf.square(tf.math.imag(spectrum))
    mel = tf.signal.linear_to_mel_weight_matrix(
        config.mel_bins, config.fft_length // 2 + 1, config.sample_rate, config.lower_edge, config.upper_edge
    )
    return tf.math.log(tf.matmul(energy, mel) + ENERGY_FLOOR)


def scaled_log_mel(waveform: tf.Tensor, config: FeatureConfig) -> tf.Tensor:
    """Returns log-mel energies scaled to about [-2, 2] for speech, the form in which decoders make them.

    Args:
      waveform: [..., samples] float32 in [-1, 1].
      config: frame lengths and band edges.

    Returns:
      [..., frames, mel_bins] float32: (log_mel - SCALED_MEAN) / SCALED_DEVIATION.
    """
    return (log_mel(waveform, config) - SCALED_MEAN) / SCALED_DEVIATION


def frame(waveform: tf.Tensor, length: int, step: int) -> tf.Tensor:
    """Cuts a waveform into overlapping frames: [..., samples] -> [..., frames, length].

    Length and step are multiples of a hop of gcd(length, step) samples. In the waveform reshaped to hops, the k-th hops
    of all frames are a strided slice; the slices concatenated over k are the frames.
    """
    hop = math.gcd(length, step)
    per_frame, per_step = length // hop, step // hop
    whole_steps = (tf.shape(waveform)[-1] - length) // step
    used = tf.maximum(whole_steps * step + length, 0)
    lead = tf.shape(waveform)[:-1]
    hops = tf.reshape(waveform[..., :used], tf.concat([lead, [-1, hop]], axis=0))
    # In the last frame, per_frame - 1 - k hops follow hop k: its slice ends before them.
    ends = range(1 - per_frame, 1)
    slices = [hops[..., offset : end or None : per_step, :] for offset, end in enumerate(ends)]
    return tf.concat(slices, axis=-1)
