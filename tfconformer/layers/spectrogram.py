"""Layers of the spectrogram decoder that are no recurrence: its input, and the windows of its convolutions."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfconformer.layers.base import Layer
from tfconformer.layers.registry import register
from tfconformer.layers.streaming import Frames, StreamStep

# More frames than any utterance has, and a number that float32 counts on from.
_UNLIMITED = 1e6


@register
class PreviousFrame(Layer):
    """The last frame of the step before each step, zeros before the first: [B, S, frames * bins] -> [B, S, bins]."""

    def __init__(self, bins: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.bins = bins

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.pad(inputs[:, :-1, -self.bins :], [(0, 0), (1, 0), (0, 0)])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bins": self.bins}


@register
class CertainFrames(Layer):
    """The number of frames that attention may read in its first step, [B, 1] float32, given any [B, ...].

    There is no limit, but while training it is one of `lags` if there are any, drawn for every batch; their generator
    is part of a checkpoint, as that of `Dropout`.
    """

    def __init__(self, lags: Sequence[float] = (), **kwargs: Any):
        super().__init__(**kwargs)
        self.lags = tuple(lags)
        if self.lags:
            self.generator = tf.random.Generator.from_seed(random.getrandbits(31))

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        certain = tf.constant(_UNLIMITED)
        if training and self.lags:
            drawn = self.generator.uniform([], maxval=len(self.lags), dtype=tf.int32)
            certain = tf.gather(tf.constant(self.lags, tf.float32), drawn)
        return tf.fill([tf.shape(inputs)[0], 1], certain)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "lags": self.lags}


@register
class CausalWindows(Layer):
    """The last `size` frames at every frame, side by side: [B, T, C] -> [B, T, size * C].

    A causal convolution is a `Dense` after it, and quantized like any other. The frames before the first are zeros, or
    those of a second input [B, size - 1, C].
    """

    def __init__(self, size: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.size = size

    def call(self, inputs: tf.Tensor | tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        if isinstance(inputs, (tuple, list)):
            x, before = inputs
            return self._windows(tf.concat([before, x], axis=1))
        return self._windows(tf.pad(inputs, [(0, 0), (self.size - 1, 0), (0, 0)]))

    def stream(self, inputs: Frames, step: StreamStep) -> Frames:
        window = step.window(self.name, inputs.values, self.size - 1)
        return Frames(self._windows(window), inputs.delay, inputs.stride)

    def _windows(self, padded: tf.Tensor) -> tf.Tensor:
        frames = tf.shape(padded)[1] - self.size + 1
        parts = [tf.slice(padded, [0, start, 0], [-1, frames, -1]) for start in range(self.size)]
        windows = tf.concat(parts, axis=-1)
        windows.set_shape([None, None, self.size * padded.shape[-1]])
        return windows

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}
