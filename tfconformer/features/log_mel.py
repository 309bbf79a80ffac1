"""The log-mel front end: one implementation for the training pipeline and for the exported file.

It consists of operations that convert to TFLite built-ins at any number of samples (framing by slices rather than a
gather, a real FFT, one matmul), so that the device runs the same graph as training.
"""

from __future__ import annotations

import tensorflow as tf

from tfconformer.features.config import FeatureConfig
from tfconformer.features.scale import SCALED_DEVIATION, SCALED_MEAN
from tfconformer.features.slaney import slaney_filters


def frame_count(samples: tf.Tensor, config: FeatureConfig) -> tf.Tensor:
    """Returns the number of frames of utterances with these numbers of samples (int32, any shape).

    A last, incomplete frame is dropped; fewer samples than a frame give 0 frames, because the division rounds down.
    Of centered frames there is one for every complete step.
    """
    if config.centered:
        return samples // config.frame_step
    return tf.maximum((samples - config.frame_length) // config.frame_step + 1, 0)


def log_mel(waveform: tf.Tensor, config: FeatureConfig, lengths: tf.Tensor | None = None) -> tf.Tensor:
    """Returns the natural logarithm of mel filter-bank energies.

    Args:
      waveform: [..., samples] float32 in [-1, 1].
      config: frame lengths and band edges.
      lengths: samples of the utterances of a padded batch, int32 of the shape before `samples`; None: all.

    Returns:
      [..., frames, mel_bins] float32, with `frame_count(samples, config)` frames.
    """
    if config.preemphasis:
        # The sample after the last would be the negative of it, if it were not masked.
        waveform = preemphasized(_pad_end(waveform, 1, 0), config)
        if lengths is not None:
            waveform *= tf.sequence_mask(lengths, tf.shape(waveform)[-1], tf.float32)
    if config.centered:
        waveform = _pad_end(waveform, samples_before(config), config.frame_length // 2 - config.frame_step)
    return log_mel_of_samples(waveform, config)


def preemphasized(waveform: tf.Tensor, config: FeatureConfig) -> tf.Tensor:
    """Subtracts from every sample but the first `preemphasis` times the one before: [..., n + 1] -> [..., n]."""
    return waveform[..., 1:] - config.preemphasis * waveform[..., :-1]


def samples_before(config: FeatureConfig) -> int:
    """Returns the number of samples by which frame t begins before sample t * frame_step."""
    return config.frame_length - config.frame_length // 2 if config.centered else 0


def log_mel_of_samples(waveform: tf.Tensor, config: FeatureConfig) -> tf.Tensor:
    """Returns the log-mel energies of the frames that begin with the first sample, without pre-emphasis or padding."""
    window = tf.signal.hann_window(config.frame_length, periodic=config.window == "periodic", dtype=tf.float32)
    frames = frame(waveform, config.frame_length, config.frame_step) * window
    spectrum = tf.signal.rfft(_pad_end(frames, 0, config.fft_length - config.frame_length), [config.fft_length])
    energy = tf.square(tf.math.real(spectrum)) + tf.square(tf.math.imag(spectrum))
    mel = tf.matmul(energy, _mel_filters(config))
    if config.energy_floor_by == "maximum":
        return tf.math.log(tf.maximum(mel, config.energy_floor))
    return tf.math.log(mel + config.energy_floor)


def _mel_filters(config: FeatureConfig) -> tf.Tensor:
    if config.mel_scale == "slaney":
        return tf.constant(slaney_filters(config), tf.float32)
    return tf.signal.linear_to_mel_weight_matrix(
        config.mel_bins, config.fft_length // 2 + 1, config.sample_rate, config.lower_edge, config.upper_edge
    )


def _pad_end(x: tf.Tensor, before: int, after: int) -> tf.Tensor:
    """Pads the last axis with zeros."""
    if before == after == 0:
        return tf.convert_to_tensor(x)  # an exported file would copy it
    return tf.pad(x, [[0, 0]] * (len(x.shape) - 1) + [[before, after]])


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

    In the waveform reshaped to steps, the k-th steps of all frames follow each other: a frame is the concatenation of
    `ceil(length / step)` slices, the last one of a part of its steps. All have a stride of 1, which TensorFlow copies
    several times as fast as another one.
    """
    pieces = -(-length // step)
    beyond = pieces * step - length  # samples of the last step of a frame that are not in it
    following = (tf.shape(waveform)[-1] - length) // step  # frames after the first; negative: there is no frame
    used = tf.maximum((following + pieces) * step, 0)
    lead = tf.shape(waveform)[:-1]
    steps = tf.reshape(_pad_end(waveform, 0, beyond)[..., :used], tf.concat([lead, [-1, step]], axis=0))
    # In the last frame, pieces - 1 - k steps follow step k: its slice ends before them.
    slices = [steps[..., k : k + 1 - pieces or None, : min(step, length - k * step)] for k in range(pieces)]
    return tf.concat(slices, axis=-1)
