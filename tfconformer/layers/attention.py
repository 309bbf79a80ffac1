"""Multi-head self-attention with relative positions (Transformer-XL, 1901.02860, sec. 3.3).

The five projections are `Dense` layers of their own, so that each can be quantized; this file holds what is between
them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tfconformer.layers.registry import register


@register
class RelativePositions(keras.layers.Layer):
    """x [B, T, dim] -> sinusoids [1, 2T-1, dim] of the distances T-1, ..., 0, ..., -(T-1) (query minus key)."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        frames, dim = tf.shape(inputs)[1], inputs.shape[-1]
        distance = tf.cast(tf.range(frames - 1, -frames, -1), tf.float32)
        frequency = np.exp(np.arange(0, dim, 2) * (-np.log(10000.0) / dim)).astype(np.float32)
        angle = tf.expand_dims(distance, 1) * frequency
        return tf.expand_dims(tf.concat([tf.sin(angle), tf.cos(angle)], axis=-1), 0)


@register
class RelativeAttention(keras.layers.Layer):
    """Attention over (query, key, value [B, T, dim], position [1, 2T-1, dim], additive mask) -> [B, T, dim].

    Attributes:
      content_bias, position_bias: [heads, dim / heads], the vectors u and v of the paper.
    """

    def __init__(self, heads: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.heads = heads

    def build(self, input_shape: list[tf.TensorShape]) -> None:
        width = int(input_shape[0][-1]) // self.heads
        self.content_bias = self.add_weight("content_bias", [self.heads, width], initializer="zeros")
        self.position_bias = self.add_weight("position_bias", [self.heads, width], initializer="zeros")
        super().build(input_shape)

    def call(self, inputs: tuple[tf.Tensor, ...]) -> tf.Tensor:
        query, key, value, position, mask = inputs
        dim = query.shape[-1]
        width = dim // self.heads
        query = self._split(query) * width**-0.5
        key, value, position = self._split(key), self._split(value), self._split(position)
        scale = width**-0.5
        content = tf.matmul(query + scale * self.content_bias[:, None], key, transpose_b=True)
        distance = tf.matmul(query + scale * self.position_bias[:, None], position, transpose_b=True)
        weights = tf.nn.softmax(content + relative_shift(distance) + mask)
        context = tf.transpose(tf.matmul(weights, value), [0, 2, 1, 3])
        batch = tf.shape(context)[0] if context.shape[0] is None else context.shape[0]
        return tf.reshape(context, [batch, -1, dim])

    def _split(self, x: tf.Tensor) -> tf.Tensor:
        batch = tf.shape(x)[0] if x.shape[0] is None else x.shape[0]
        return tf.transpose(tf.reshape(x, [batch, -1, self.heads, x.shape[-1] // self.heads]), [0, 2, 1, 3])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "heads": self.heads}


def relative_shift(scores: tf.Tensor) -> tf.Tensor:
    """[B, H, T, 2T-1] scores by distance (T-1 down to -(T-1)) -> [B, H, T, T] scores by key.

    Row t moves left by T-1-t: a column of padding makes the rows one longer, and reading them one shorter shifts each.
    """
    shape = tf.shape(scores)
    batch, heads, frames = shape[0], scores.shape[1], shape[2]
    padded = tf.pad(scores, [(0, 0), (0, 0), (0, 0), (1, 0)])
    shifted = tf.reshape(padded, [batch, heads, -1, frames])[:, :, 1:]
    return tf.reshape(shifted, [batch, heads, frames, -1])[..., :frames]
