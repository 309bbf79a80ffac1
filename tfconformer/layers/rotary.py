"""Multi-head self-attention with rotary positions (RoFormer, 2104.09864, sec. 3.2).

A rotation of queries and keys by their position makes their products depend on the distance alone, without a table of
positions and without weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfconformer.layers.attention import join_heads, split_heads
from tfconformer.layers.base import Layer
from tfconformer.layers.content_attention import ContentAttention
from tfconformer.layers.registry import register

_BASE = 10000.0  # of the wavelengths


@register
class RotaryAttention(ContentAttention):
    """Attention over (query, key, value [B, T, dim], additive mask) -> [B, T, dim]; dim / heads is even."""

    def positioned(self, x: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
        return rotated(x, position)


@register
class RotaryInputs(Layer):
    """The rotation in front of the projections to queries and keys: [B, T, dim] -> [B, T, dim]; dim / heads is even.

    The projections mix what was rotated, so the products depend on positions and not on distances alone.
    """

    def __init__(self, heads: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.heads = heads

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return join_heads(rotated(split_heads(inputs, self.heads), tf.range(tf.shape(inputs)[1])))

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
