"""The log-mel front end as a layer, so that a model may begin with the waveform."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfconformer.features.config import FeatureConfig
from tfconformer.features.log_mel import frame_count, log_mel
from tfconformer.layers.base import Layer
from tfconformer.layers.registry import register
from tfconformer.layers.streaming import Frames, Lengths, StreamStep


@register
class LogMel(Layer):
    """Log-mel features: (waveform [B, samples] in [-1, 1], lengths [B]) -> (features [B, T, mel_bins], frames [B])."""

    def __init__(self, features: FeatureConfig | dict[str, Any], **kwargs: Any):
        super().__init__(**kwargs)
        self.features = FeatureConfig.model_validate(features)

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        waveform, lengths = inputs
        features = log_mel(waveform, self.features)
        return tf.ensure_shape(features, [None, None, self.features.mel_bins]), frame_count(lengths, self.features)

    def stream(self, inputs: tuple[Frames, Lengths], step: StreamStep) -> tuple[Frames, Lengths]:
        waveform, lengths = inputs
        stride = self.features.frame_step
        # Frame t begins at sample t * frame_step.
        window, delay = step.strided_window(self.name, waveform, 0, self.features.frame_length - 1, stride)
        features = Frames(log_mel(window, self.features), delay, waveform.stride * stride)
        return features, Lengths(frame_count(lengths.values, self.features), features.stride)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "features": self.features.model_dump()}
