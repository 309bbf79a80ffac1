"""Multi-head self-attention with rotary positions (RoFormer, 2104.09864, sec. 3.2).

A rotation of queries and keys by their position makes their products depend on the distance alone, without a table of
positions and without weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfconformer.layers.attention import join_heads, query_window, split_heads
from tfconformer.layers.base import Layer
from tfconformer.layers.registry import register
from tfconformer.layers.streaming import AttentionValidity, Frames, StreamStep

_BASE = 10000.0  # of the wavelengths


@register
class RotaryAttention(Layer):
    """Attention over (query, key, value [B, T, dim], additive mask) -> [B, T, dim]; dim / heads is even."""

    kind = "attention"

    def __init__(self, heads: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.heads = heads

    def call(self, inputs: tuple[tf.Tensor, ...]) -> tf.Tensor:
        query, key, value, mask = inputs
        query, key, value = (split_heads(x, self.heads) for x in (query, key, value))
        index = tf.range(tf.shape(query)[2])
        return _attend(rotated(query, index), rotated(key, index), value, mask)

    def stream(self, inputs: tuple[Frames, Frames, Frames, AttentionValidity], step: StreamStep) -> Frames:
        query, key, value, validity = inputs
        query, mask, past = query_window(step, self.name, query, validity)
        span = mask.shape[-1] if mask.shape[-1] is not None else tf.shape(mask)[-1]
        keys, values = (
            step.window(f"{self.name}/{role}", split_heads(stream.values, self.heads), past, axis=2)[:, :, :span]
            for role, stream in (("key", key), ("value", value))
        )
        # Relative to the first query, so that the angles of a long stream stay small.
        queries = rotated(split_heads(query.values, self.heads), tf.range(query.count))
        outputs = _attend(queries, rotated(keys, tf.range(span) - validity.context.left), values, mask)
        return Frames(outputs, query.delay, query.stride)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "heads": self.heads}


def rotated(x: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
    """Rotates the pairs (channel i, channel i + width / 2) of frames by angles that grow with their position.

    Args:
      x: [B, heads, T, width].
      position: [T] int32.
    """
    width = x.shape[-1]
    frequency = (_BASE ** -(np.arange(0, width, 2) / width)).astype(np.float32)
    angle = tf.expand_dims(tf.cast(position, tf.float32), 1) * frequency
    first, second = tf.split(x, 2, axis=-1)
    sine, cosine = tf.sin(angle), tf.cos(angle)
    return tf.concat([first * cosine - second * sine, second * cosine + first * sine], axis=-1)


def _attend(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    scores = tf.matmul(query * query.shape[-1] ** -0.5, key, transpose_b=True)
    return join_heads(tf.matmul(tf.nn.softmax(scores + mask), value))
