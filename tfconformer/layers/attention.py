"""Multi-head self-attention with relative positions (Transformer-XL, 1901.02860, sec. 3.3).

The five projections are `Dense` layers of their own, so that each can be quantized; this file holds the layers between
them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfconformer.compat import infers_shape
from tfconformer.errors import InputError
from tfconformer.layers.base import Layer
from tfconformer.layers.context import AttentionContext, ContextLayer
from tfconformer.layers.masking import NEVER
from tfconformer.layers.registry import register
from tfconformer.layers.streaming import AttentionValidity, Constant, Frames, StreamStep


@register
class RelativePositions(ContextLayer):
    """Sinusoids [1, 2T-1, dim] of the distances T-1, ..., 0, ..., -(T-1) (query minus key), given x [B, T, dim].

    In a stream the distances are those of the attention context, left, ..., 0, ..., -farthest.
    """

    frame_rate = 2.0  # distances per frame

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        frames = tf.shape(inputs)[1]
        return _sinusoids(tf.range(frames - 1, -frames, -1), inputs.shape[-1])

    def stream(self, inputs: Frames, step: StreamStep) -> Constant:
        left, farthest = _limits(self.context)
        width = inputs.values.shape[-1]
        return Constant(lambda: _sinusoids(tf.range(left, -farthest - 1, -1), width))


@register
class RelativeAttention(Layer):
    """Attention over (query, key, value [B, T, dim], position [1, 2T-1, dim], additive mask) -> [B, T, dim].

    Attributes:
      content_bias, position_bias: [heads, dim / heads], the vectors u and v of the paper.
    """

    kind = "attention"
    operation = "attention"
    constants = ("content_bias", "position_bias")

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
        if infers_shape():
            return tf.identity(query)
        key, value = self._split(key), self._split(value)
        return self._attend(query, key, value, position, mask, lambda scores, keys: relative_shift(scores))

    def stream(self, inputs: tuple[Frames, Frames, Frames, Constant, AttentionValidity], step: StreamStep) -> Frames:
        query, key, value, position, validity = inputs
        query, mask, past = query_window(step, self.name, query, validity)
        outputs = self.attend_window(step, query, key, value, position, mask, past)
        return Frames(outputs, query.delay, query.stride)

    def attend_window(
        self,
        step: StreamStep,
        query: Frames,
        key: Frames,
        value: Frames,
        position: Constant,
        mask: tf.Tensor,
        past: int,
    ) -> tf.Tensor:
        """Attends to keys of the last `past` frames and the new ones, as many as the mask [B, 1, n, keys] has.

        The layer's operation in a stream, its state included.
        """
        span = mask.shape[-1] if mask.shape[-1] is not None else tf.shape(mask)[-1]
        keys, values = (
            step.window(f"{self.name}/{role}", self._split(stream.values), past, axis=2)[:, :, :span]
            for role, stream in (("key", key), ("value", value))
        )
        table = step.constant(f"{self.name}/position", position)
        return self._attend(query.values, keys, values, table, mask, banded_shift)

    def _attend(
        self,
        query: tf.Tensor,
        key: tf.Tensor,
        value: tf.Tensor,
        position: tf.Tensor,
        mask: tf.Tensor,
        shift: Callable[[tf.Tensor, int | tf.Tensor], tf.Tensor],
    ) -> tf.Tensor:
        """Attends with position scores by distance, which `shift` turns into scores by key.

        Keys and values are [B, heads, keys, dim / heads] already.
        """
        width = query.shape[-1] // self.heads
        query = self._split(query) * width**-0.5
        position = self._split(position)
        scale = width**-0.5
        content = tf.matmul(query + scale * self.content_bias[:, None], key, transpose_b=True)
        distance = tf.matmul(query + scale * self.position_bias[:, None], position, transpose_b=True)
        weights = tf.nn.softmax(content + shift(distance, tf.shape(content)[-1]) + mask)
        return join_heads(tf.matmul(weights, value))

    def _split(self, x: tf.Tensor) -> tf.Tensor:
        return split_heads(x, self.heads)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "heads": self.heads}


def query_window(
    step: StreamStep, name: str, query: Frames, validity: AttentionValidity
) -> tuple[Frames, tf.Tensor, int]:
    """Delays the queries of a step of a stream until the frames that they attend to are there.

    Args:
      step: the step.
      name: name of the layer.
      query: the new queries [B, n, dim].
      validity: the lengths of the utterances, and the context.

    Returns:
      (the delayed queries, their additive mask [B, 1, n, keys] over the frames from `left` before the first query on,
      number of past frames whose keys are needed).

    Raises:
      InputError: the context has no limit.
    """
    context = validity.context
    left, farthest = _limits(context)
    if context.chunk is None:
        delay, ahead = query.delay + farthest, farthest
    else:
        step.require_multiple_of(query.stride * context.chunk)
        delay, ahead = -(-query.delay // context.chunk) * context.chunk, 0
    lag = delay - query.delay
    query = step.delayed(f"{name}/query", query, delay)
    frames = query.count
    index = tf.range(-left, frames + ahead)  # of the keys, relative to the first query
    allowed = tf.cast(context.allowed(tf.expand_dims(tf.range(frames), 1), index), tf.float32)
    valid = step.mask_between(step.first_index(query) - left, left + frames + ahead, validity.lengths)
    mask = (1.0 - allowed * tf.expand_dims(tf.transpose(valid, [0, 2, 1]), 1)) * NEVER
    return query, mask, left + lag


def split_heads(x: tf.Tensor, heads: int) -> tf.Tensor:
    """Splits the channels among heads: [B, T, dim] -> [B, heads, T, dim / heads]."""
    batch = tf.shape(x)[0] if x.shape[0] is None else x.shape[0]
    return tf.transpose(tf.reshape(x, [batch, -1, heads, x.shape[-1] // heads]), [0, 2, 1, 3])


def join_heads(x: tf.Tensor) -> tf.Tensor:
    """Puts the channels of all heads side by side: [B, heads, T, width] -> [B, T, heads * width]."""
    heads, width = x.shape[1], x.shape[3]
    x = tf.transpose(x, [0, 2, 1, 3])
    batch = tf.shape(x)[0] if x.shape[0] is None else x.shape[0]
    return tf.reshape(x, [batch, -1, heads * width])


def relative_shift(scores: tf.Tensor) -> tf.Tensor:
    """Reorders scores by distance (T-1 down to -(T-1)) [B, H, T, 2T-1] to scores by key [B, H, T, T].

    Row t moves left by T-1-t: a column of padding makes the rows one longer, and reading them one shorter shifts each.
    """
    shape = tf.shape(scores)
    batch, heads, frames = shape[0], scores.shape[1], shape[2]
    padded = tf.pad(scores, [(0, 0), (0, 0), (0, 0), (1, 0)])
    # `tf.slice`, because TFLite copies a SLICE row by row and a STRIDED_SLICE number by number.
    shifted = tf.slice(tf.reshape(padded, [batch, heads, -1, frames]), [0, 0, 1, 0], [-1, -1, -1, -1])
    rows = tf.reshape(shifted, [batch, heads, frames, -1])
    return tf.slice(rows, [0, 0, 0, 0], [batch, heads, frames, frames])


def banded_shift(scores: tf.Tensor, keys: int | tf.Tensor) -> tf.Tensor:
    """Reorders scores by distance (left down to left - W + 1) [B, H, n, W] to scores by key [B, H, n, keys].

    Key j of query t is at distance left - (j - t), so row t moves right by t: n columns of padding, and reading the
    rows one shorter, do that. Scores outside of the band are arbitrary, and the mask must remove them.
    """
    shape = tf.shape(scores)
    batch, heads, frames, width = shape[0], scores.shape[1], shape[2], scores.shape[3]
    padded = tf.pad(scores, [(0, 0), (0, 0), (0, 0), (0, frames)])
    length = width + frames - 1
    shifted = tf.slice(tf.reshape(padded, [batch, heads, -1]), [0, 0, 0], [batch, heads, frames * length])
    return tf.slice(tf.reshape(shifted, [batch, heads, frames, length]), [0, 0, 0, 0], [batch, heads, frames, keys])


def _sinusoids(distance: tf.Tensor, dim: int) -> tf.Tensor:
    """Computes the sinusoids of distances: [N] -> [1, N, dim]."""
    frequency = np.exp(np.arange(0, dim, 2) * (-np.log(10000.0) / dim)).astype(np.float32)
    angle = tf.expand_dims(tf.cast(distance, tf.float32), 1) * frequency
    return tf.expand_dims(tf.concat([tf.sin(angle), tf.cos(angle)], axis=-1), 0)


def _limits(context: AttentionContext) -> tuple[int, int]:
    """Returns the largest distances to keys before and after a query.

    Raises:
      InputError: one of them has no limit.
    """
    if context.left is None or context.farthest is None:
        raise InputError(
            "attention without limits cannot run on a stream: set left_context, and right_context or attention_chunk"
        )
    return context.left, context.farthest
