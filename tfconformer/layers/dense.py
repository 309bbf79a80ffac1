"""The dense layer: every large matrix of the model, and therefore everything that is quantized."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from tfconformer.layers.registry import register
from tfconformer.layers.streaming import Pointwise


@register
class Dense(Pointwise, keras.layers.Layer):
    """`y = x @ kernel + bias`; also a pointwise convolution.

    Differs from `keras.layers.Dense` in two ways that quantization needs: `product` is the place where
    quantization-aware training puts integer arithmetic, and with a static batch of one (export) the product keeps its
    rank, so that the TFLite converter emits one FULLY_CONNECTED and nothing else.

    Attributes:
      kernel: [K, N] variable, K the contraction axis.
      bias: [N] variable or None.
      product: (x [..., K], kernel) -> [..., N], in float unless quantization installs another.
    """

    def __init__(self, units: int, use_bias: bool = True, **kwargs: Any):
        super().__init__(**kwargs)
        self.units = units
        self.use_bias = use_bias
        self.product = float_product

    def build(self, input_shape: tf.TensorShape) -> None:
        shape = [self._contraction(input_shape), self.units]
        self.kernel = self.add_weight("kernel", shape, initializer="glorot_uniform")
        self.bias = self.add_weight("bias", [self.units], initializer="zeros") if self.use_bias else None
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self.affine(inputs)

    def affine(self, inputs: tf.Tensor) -> tf.Tensor:
        """`inputs @ kernel + bias`, all that a layer of another kind takes from this one."""
        outputs = self.product(inputs, self.kernel)
        return outputs if self.bias is None else tf.nn.bias_add(outputs, self.bias)

    def _contraction(self, input_shape: Any) -> int:
        """K, from the shape of whatever the layer is called with."""
        return int(input_shape[-1])

    def compute_output_shape(self, input_shape: tf.TensorShape) -> tf.TensorShape:
        return tf.TensorShape([*input_shape[:-1], self.units])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "use_bias": self.use_bias}


def float_product(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """The product of `x` [..., K] and `kernel` [K, N]."""
    return tf.matmul(x, kernel) if x.shape[0] == 1 else tf.tensordot(x, kernel, 1)
