"""The log-mel front end: the only implementation, used in the training pipeline and inside the exported file.

It is written with operations that convert to TFLite built-ins at any number of samples (framing by strided slices
rather than a gather, a real FFT, one matrix product), so the graph on the phone is the graph of training.
"""

from __future__ import annotations

import math

import tensorflow as tf

from tfconformer.features.config import FeatureConfig

# Added to the mel energies before the logarithm: about -60 dB of a full-scale sine spread over the bands, which keeps
# digital silence finite.
ENERGY_FLOOR = 1e-6


def frame_count(samples: int, config: FeatureConfig) -> int:
    """Number of frames of an utterance of that many samples; a last, incomplete frame is dropped."""
    return max(0, (samples - config.frame_length) // config.frame_step + 1)


def log_mel(waveform: tf.Tensor, config: FeatureConfig) -> tf.Tensor:
    """Natural logarithm of mel filter-bank energies.

    Args:
      waveform: [..., samples] float32 in [-1, 1].
      config: lengths and band edges.

    Returns:
      [..., frames, mel_bins] float32; frames as in `frame_count`.
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


def frame(waveform: tf.Tensor, length: int, step: int) -> tf.Tensor:
    """Overlapping frames: [..., samples] -> [..., frames, length].

    A frame is a run of whole pieces of gcd(length, step) samples, so frames are strided slices of the piece sequence:
    the first pieces of all frames, the second pieces, and so on, none of which reaches beyond the last frame.
    """
    piece = math.gcd(length, step)
    per_frame, per_step = length // piece, step // piece
    whole_steps = (tf.shape(waveform)[-1] - length) // step
    used = tf.maximum(whole_steps * step + length, 0)
    lead = tf.shape(waveform)[:-1]
    pieces = tf.reshape(waveform[..., :used], tf.concat([lead, [-1, piece]], axis=0))
    after = range(1 - per_frame, 1)
    slices = [pieces[..., offset : end or None : per_step, :] for offset, end in enumerate(after)]
    return tf.concat(slices, axis=-1)
