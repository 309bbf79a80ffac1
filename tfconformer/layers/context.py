"""The frames that self-attention reads: one rule for whole utterances and for streams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from tfconformer.layers.base import Layer


@dataclass(frozen=True)
class AttentionContext:
    """The range of keys of a query t: [t - left, t + right], or with `chunk` up to the end of the query's chunk.

    Chunks are the runs of `chunk` frames that begin at multiples of `chunk`.

    Attributes:
      left: keys before the query; None: all.
      right: keys after the query; None: all, or those of the chunk.
      chunk: frames per chunk, which replaces `right`; a scalar tensor where training draws it.
    """

    left: int | None = None
    right: int | None = None
    chunk: int | tf.Tensor | None = None

    def __post_init__(self) -> None:
        if self.chunk is not None and self.right is not None:
            raise ValueError("attention looks ahead either a number of frames or to the end of its chunk, not both")

    @property
    def farthest(self) -> int | None:
        """The largest distance to a key ahead; None without limit."""
        return self.right if self.chunk is None else self.chunk - 1

    @property
    def unlimited(self) -> bool:
        """True if every query reads all keys."""
        return self == AttentionContext()

    def allowed(self, query: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """Compares int32 frame indices of queries and keys that broadcast; returns bool, true where a key is read."""
        ahead = key - query
        allowed = tf.ones_like(ahead, tf.bool)
        if self.left is not None:
            allowed &= -ahead <= self.left
        if self.right is not None:
            allowed &= ahead <= self.right
        if self.chunk is not None:
            allowed &= key < (query // self.chunk + 1) * self.chunk
        return allowed


class ContextLayer(Layer):
    """A layer that depends on an `AttentionContext`, which its configuration holds in parts."""

    def __init__(
        self,
        left_context: int | None = None,
        right_context: int | None = None,
        chunk: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.context = AttentionContext(left_context, right_context, chunk)

    def get_config(self) -> dict[str, Any]:
        context = self.context
        return {
            **super().get_config(),
            "left_context": context.left,
            "right_context": context.right,
            "chunk": context.chunk,
        }
