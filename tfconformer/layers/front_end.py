"""The front end as a layer, so that a model may begin with the waveform."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import tensorflow as tf

from tfconformer.features.config import FeatureConfig
from tfconformer.features.log_mel import frame_count, log_mel, log_mel_of_samples, preemphasized, samples_before
from tfconformer.layers.base import Layer
from tfconformer.layers.registry import register
from tfconformer.layers.streaming import Frames, Lengths, StreamStep


def front_end(features: FeatureConfig, name: str) -> Layer:
    """Returns the layer of (waveform [B, samples], lengths [B]) -> (features [B, T, mel_bins], frames [B])."""
    return Samples(name=name) if features.kind == "waveform" else LogMel(features, name=name)


@register
class Samples(Layer):
    """The samples as features: (waveform [B, samples], lengths [B]) -> (features [B, samples, 1], lengths [B])."""

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        waveform, lengths = inputs
        return tf.expand_dims(waveform, -1), lengths

    def stream(self, inputs: tuple[Frames, Lengths], step: StreamStep) -> tuple[Frames, Lengths]:
        waveform, lengths = inputs
        return replace(waveform, values=tf.expand_dims(waveform.values, -1)), lengths


@register
class LogMel(Layer):
    """Log-mel features: (waveform [B, samples] in [-1, 1], lengths [B]) -> (features [B, T, mel_bins], frames [B])."""

    def __init__(self, features: FeatureConfig | dict[str, Any], **kwargs: Any):
        super().__init__(**kwargs)
        self.features = FeatureConfig.model_validate(features)

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        waveform, lengths = inputs
        features = log_mel(waveform, self.features, lengths)
        return tf.ensure_shape(features, [None, None, self.features.mel_bins]), frame_count(lengths, self.features)

    def stream(self, inputs: tuple[Frames, Lengths], step: StreamStep) -> tuple[Frames, Lengths]:
        waveform, lengths = inputs
        if self.features.preemphasis:
            emphasized = preemphasized(step.window(f"{self.name}/previous", waveform.values, 1), self.features)
            valid = tf.squeeze(step.mask(waveform, lengths), 2)
            waveform = replace(waveform, values=emphasized * valid)
        stride, before = self.features.frame_step, samples_before(self.features)
        after = self.features.frame_length - 1 - before
        window, delay = step.strided_window(self.name, waveform, before, after, stride)
        features = Frames(log_mel_of_samples(window, self.features), delay, waveform.stride * stride)
        return features, Lengths(frame_count(lengths.values, self.features), features.stride)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "features": self.features.model_dump()}
