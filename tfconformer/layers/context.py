"""Which frames self-attention may look at: one rule for whole utterances and for streams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tf_keras as keras


@dataclass(frozen=True)
class AttentionContext:
    """Query t may look at keys in [t - left, t + right], and with `chunk` at those up to the end of its own chunk.

    Chunks are the runs of `chunk` frames that begin at multiples of `chunk`. None means no limit; `chunk` replaces
    `right`.
    """

    left: int | None = None
    right: int | None = None
    chunk: int | tf.Tensor | None = None  # a tensor while training with drawn chunks

    def __post_init__(self) -> None:
        if self.chunk is not None and self.right is not None:
            raise ValueError("attention looks ahead either a number of frames or to the end of its chunk, not both")

    @property
    def farthest(self) -> int | None:
        """Largest distance to a key ahead; None without limit."""
        return self.right if self.chunk is None else self.chunk - 1

    @property
    def unlimited(self) -> bool:
        """Whether every frame may be looked at."""
        return self == AttentionContext()

    def allowed(self, query: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """Bool of the broadcast shape of two int32 tensors of frame indices."""
        ahead = key - query
        allowed = tf.ones_like(ahead, tf.bool)
        if self.left is not None:
            allowed &= -ahead <= self.left
        if self.right is not None:
            allowed &= ahead <= self.right
        if self.chunk is not None:
            allowed &= key < (query // self.chunk + 1) * self.chunk
        return allowed


class ContextLayer(keras.layers.Layer):
    """A layer that depends on the attention context, an `AttentionContext` in its parts."""

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
