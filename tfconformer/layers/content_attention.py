"""Multi-head self-attention by the products of queries and keys alone (1706.03762, sec. 3.2)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfconformer.layers.attention import join_heads, query_window, split_heads
from tfconformer.layers.base import Layer
from tfconformer.layers.registry import register
from tfconformer.layers.streaming import AttentionValidity, Frames, StreamStep


@register
class ContentAttention(Layer):
    """Attention over (query, key, value [B, T, dim], additive mask) -> [B, T, dim].

    A subclass gives queries and keys positions by `positioned`, of which only distances may matter.
    """

    kind = "attention"

    def __init__(self, heads: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.heads = heads

    def positioned(self, x: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
        """Returns queries or keys [B, heads, T, width] at the positions [T] int32."""
        return x

    def call(self, inputs: tuple[tf.Tensor, ...]) -> tf.Tensor:
        query, key, value, mask = inputs
        query, key, value = (split_heads(x, self.heads) for x in (query, key, value))
        index = tf.range(tf.shape(query)[2])
        return _attend(self.positioned(query, index), self.positioned(key, index), value, mask)

    def stream(self, inputs: tuple[Frames, Frames, Frames, AttentionValidity], step: StreamStep) -> Frames:
        query, key, value, validity = inputs
        query, mask, past = query_window(step, self.name, query, validity)
        span = mask.shape[-1] if mask.shape[-1] is not None else tf.shape(mask)[-1]
        keys, values = (
            step.window(f"{self.name}/{role}", split_heads(stream.values, self.heads), past, axis=2)[:, :, :span]
            for role, stream in (("key", key), ("value", value))
        )
        # Relative to the first query, so that the positions of a long stream stay small.
        queries = self.positioned(split_heads(query.values, self.heads), tf.range(query.count))
        keys = self.positioned(keys, tf.range(span) - validity.context.left)
        return Frames(_attend(queries, keys, values, mask), query.delay, query.stride)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "heads": self.heads}


def _attend(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    scores = tf.matmul(query * query.shape[-1] ** -0.5, key, transpose_b=True)
    return join_heads(tf.matmul(tf.nn.softmax(scores + mask), value))
