"""Changes of a tensor's axes around a matrix multiplication."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfconformer.layers.base import Layer
from tfconformer.layers.registry import register


@register
class Rearrangement(Layer):
    """The input with its last axis split, its axes permuted, and the last of them merged, in this order.

    Args:
      split: sizes that the last axis splits into; one leaves it as it is.
      axes: the order of the axes after the split.
      merged: number of the last axes that become one; 1 leaves them as they are.
    """

    def __init__(self, split: Sequence[int], axes: Sequence[int], merged: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.split = tuple(split)
        self.axes = tuple(axes)
        self.merged = merged

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        x = inputs
        if len(self.split) > 1:
            x = tf.reshape(x, [*_sizes(x)[:-1], *self.split])
        if self.axes != tuple(range(len(self.axes))):
            x = tf.transpose(x, self.axes)
        if self.merged > 1:
            kept, last = _sizes(x)[: -self.merged], x.shape[-self.merged :]
            x = tf.reshape(x, [*kept, last.num_elements()])
        return x

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "split": self.split, "axes": self.axes, "merged": self.merged}


def _sizes(x: tf.Tensor) -> list[Any]:
    return [known if known is not None else tf.shape(x)[axis] for axis, known in enumerate(x.shape)]
