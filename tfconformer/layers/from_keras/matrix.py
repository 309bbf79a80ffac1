"""A weight of a Keras layer as the matrix of a `Dense` layer."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tf_keras as keras


@dataclass(frozen=True)
class WeightMatrix:
    """A weight of a Keras layer, as the kernel [K, N] of a `Dense` layer.

    Attributes:
      attribute: path of the weight from the layer, such as "kernel" or "cell.recurrent_kernel".
      contracted: number of the weight's axes that the contraction sums over; their sizes multiply to K.
      axes: the axes of the weight, the contracted ones first; None: in their own order.
    """

    attribute: str
    contracted: int = 1
    axes: tuple[int, ...] | None = None

    def weight(self, layer: keras.layers.Layer) -> tf.Variable:
        """Returns the weight of a built layer."""
        return functools.reduce(getattr, self.attribute.split("."), layer)

    def assign(self, layer: keras.layers.Layer, value: tf.Tensor) -> None:
        """Sets the attribute that holds the weight."""
        *path, name = self.attribute.split(".")
        setattr(functools.reduce(getattr, path, layer), name, value)

    def shape(self, weight_shape: Any) -> tuple[int, int]:
        """Returns (K, N) of a weight."""
        sizes = [int(weight_shape[axis]) for axis in self._axes(len(weight_shape))]
        return math.prod(sizes[: self.contracted]), math.prod(sizes[self.contracted :])

    def to_matrix(self, weight: tf.Tensor) -> tf.Tensor:
        """Returns the matrix [K, N] of a weight."""
        return tf.reshape(tf.transpose(weight, self._axes(weight.shape.rank)), self.shape(weight.shape))

    def from_matrix(self, matrix: tf.Tensor, weight_shape: Any) -> tf.Tensor:
        """Returns the weight of a matrix [K, N]."""
        axes = self._axes(len(weight_shape))
        restored = tf.reshape(matrix, [int(weight_shape[axis]) for axis in axes])
        return tf.transpose(restored, [axes.index(axis) for axis in range(len(axes))])

    def _axes(self, rank: int) -> tuple[int, ...]:
        return tuple(range(rank)) if self.axes is None else self.axes
