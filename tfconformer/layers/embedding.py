"""A table of vectors, one for each index, which is quantized as the matrix of a dense layer is."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfconformer.layers.dense import Dense, Matmul
from tfconformer.layers.registry import register


@register
class Embedding(Dense):
    """The vectors of indices: integers [...] in [0, count) -> [..., width].

    Quantization divides a kernel along its first axis, so the vectors are the columns of this one: each has scales of
    its own. Activations are not quantized, since a lookup multiplies none.

    Args:
      count: number of vectors.
      width: length of a vector.

    Attributes:
      kernel: [width, count] variable.
    """

    kind = "embedding"
    operation = None

    def __init__(self, count: int, width: int, **kwargs: Any):
        super().__init__(count, use_bias=False, **kwargs)
        self.width = width

    def call(self, inputs: tf.Tensor, matmul: Matmul | None = None) -> tf.Tensor:
        return tf.gather(tf.transpose(self.bind(matmul).kernel), tf.cast(inputs, tf.int32))

    def _contraction(self, input_shape: Any) -> int:
        return self.width

    def macs_per_frame(self, input_shape: Any) -> int:
        return 0

    def compute_output_shape(self, input_shape: tf.TensorShape) -> tf.TensorShape:
        return tf.TensorShape([*input_shape, self.width])

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "count": self.units, "width": self.width}
        return {name: value for name, value in config.items() if name not in ("units", "use_bias")}
