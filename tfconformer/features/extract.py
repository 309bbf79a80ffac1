"""The features of a waveform, of either kind of `FeatureConfig`."""

from __future__ import annotations

import tensorflow as tf

from tfconformer.features.config import FeatureConfig
from tfconformer.features.log_mel import log_mel


def extract_features(waveform: tf.Tensor, config: FeatureConfig, lengths: tf.Tensor | None = None) -> tf.Tensor:
    """Returns the features of utterances, before their normalization.

    Args:
      waveform: [..., samples] float32 in [-1, 1].
      config: the features.
      lengths: samples of the utterances of a padded batch, int32 of the shape before `samples`; None: all.

    Returns:
      [..., frames, mel_bins] float32, with `frame_count(samples, config)` frames; of the kind "waveform" the samples
      [..., samples, 1].
    """
    if config.kind == "waveform":
        return tf.expand_dims(waveform, -1)
    return log_mel(waveform, config, lengths)
