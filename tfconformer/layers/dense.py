"""The dense layer, which holds every large matrix of a model, and the wrappers that multiply with quantized weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import tensorflow as tf
import tf_keras as keras

from tfconformer.compat import infers_shape, tensor_of_shape
from tfconformer.layers.base import Layer
from tfconformer.layers.registry import register
from tfconformer.layers.streaming import Pointwise


@dataclass(frozen=True)
class BoundMatmul:
    """The matmul with one kernel, whose values are computed once for many calls, as in the steps of a recurrence.

    Attributes:
      kernel: [K, N], the values that rows are multiplied with; gradients flow through it to the layer's kernel.
      multiply: [..., K] -> [..., N].
      rows: [..., K] -> the values of the same shape that `multiply` multiplies with the kernel.
    """

    kernel: tf.Tensor
    multiply: Callable[[tf.Tensor], tf.Tensor]
    rows: Callable[[tf.Tensor], tf.Tensor]


class Matmul:
    """A function that multiplies `x` [..., K] with a kernel [K, N] -> [..., N]."""

    def __call__(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return self.bind(kernel).multiply(x)

    def bind(self, kernel: tf.Tensor) -> BoundMatmul:
        """Returns the matmul with `kernel` [K, N]."""
        raise NotImplementedError


class FloatMatmul(Matmul):
    """The float matmul.

    With a static batch of one, as in export, the result keeps its rank, so that the TFLite converter emits one
    FULLY_CONNECTED and nothing else.
    """

    def bind(self, kernel: tf.Tensor) -> BoundMatmul:
        def multiply(x: tf.Tensor) -> tf.Tensor:
            if x.shape[0] == 1 or x.shape.rank == 2:
                return tf.matmul(x, kernel)
            # `tf.tensordot` takes twice as many operations for it.
            k, n = kernel.shape
            rows = tf.matmul(tf.reshape(x, [-1, k]), kernel)
            return tf.reshape(rows, tf.concat([tf.shape(x)[:-1], [n]], axis=0))

        return BoundMatmul(kernel, multiply, rows=tf.identity)


float_matmul = FloatMatmul()


@register
class Dense(Pointwise, Layer):
    """`y = x @ kernel + bias`; also a pointwise convolution.

    It differs from `keras.layers.Dense` in what quantization needs: `call` takes the function that multiplies (None:
    `float_matmul`), and quantization calls it with another one (`DenseWrapper`). A subclass with a `call` of its own
    takes that function as its second argument too and passes it to `affine`.

    Attributes:
      kernel: [K, N] variable, K the contraction axis.
      bias: [N] variable or None.
      window, stride: size and distance of the square windows that the layer's operation cuts out of an image of frames
        and bins; 0 if its input is no image.
    """

    kind = "dense"
    operation: ClassVar[str | None] = "fully_connected"
    constants = ("kernel",)
    window = 0
    stride = 0

    def __init__(self, units: int, use_bias: bool = True, **kwargs: Any):
        super().__init__(**kwargs)
        self.units = units
        self.use_bias = use_bias

    def build(self, input_shape: tf.TensorShape) -> None:
        shape = [self._contraction(input_shape), self.units]
        self.kernel = self.add_weight("kernel", shape, initializer="glorot_uniform")
        self.bias = self.add_weight("bias", [self.units], initializer="zeros") if self.use_bias else None
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, matmul: Matmul | None = None) -> tf.Tensor:
        return self.affine(inputs, matmul)

    def affine(self, inputs: tf.Tensor, matmul: Matmul | None) -> tf.Tensor:
        """Computes `inputs @ kernel + bias`, the part that every subclass shares: [..., K] -> [..., N]."""
        if infers_shape():
            return tensor_of_shape([*inputs.shape[:-1], self.units])
        outputs = (matmul or float_matmul)(inputs, self.kernel)
        return outputs if self.bias is None else tf.nn.bias_add(outputs, self.bias)

    def bind(self, matmul: Matmul | None) -> BoundMatmul:
        """Returns the matmul with the layer's kernel, for a layer that multiplies in a loop."""
        return (matmul or float_matmul).bind(tf.convert_to_tensor(self.kernel))

    def _contraction(self, input_shape: Any) -> int:
        """Returns K, given the shape of the layer's input or inputs."""
        return int(input_shape[-1])

    def macs_per_frame(self, input_shape: Any) -> int:
        k, n = self.kernel.shape
        return int(k) * int(n)

    def compute_output_shape(self, input_shape: tf.TensorShape) -> tf.TensorShape:
        return tf.TensorShape([*input_shape[:-1], self.units])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "use_bias": self.use_bias}


class DenseWrapper:
    """A mixin for Keras layers that compute a `Dense` layer with another matmul; the layer itself stays as it is.

    Attributes:
      layer: the `Dense` layer, whose float variables are the wrapper's.
    """

    layer: Dense

    def matmul(self, training: bool | tf.Tensor | None) -> Matmul:
        """Returns the function that multiplies in place of `float_matmul`.

        Args:
          training: true in a training step; None means false.
        """
        raise NotImplementedError

    # There is no Python control flow on tensors in a matmul, and conversion makes tracing slow.
    @tf.autograph.experimental.do_not_convert
    def call(self, inputs: Any, training: bool | tf.Tensor | None = None) -> Any:
        # The other matmul has the shape of the float one, and many more operations.
        return self.layer.call(inputs, None if infers_shape() else self.matmul(training))


def affine(layer: Dense | DenseWrapper, inputs: tf.Tensor) -> tf.Tensor:
    """Computes the affine map of a layer outside of training, with its quantized weights if it is wrapped."""
    if isinstance(layer, DenseWrapper):
        return layer.layer.affine(inputs, layer.matmul(training=None))
    return layer.affine(inputs, matmul=None)


def float_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Returns the `Dense` layer inside of a wrapper, and any other layer itself."""
    return layer.layer if isinstance(layer, DenseWrapper) else layer


def float_layers(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """Returns the layers of a model without their wrappers, by name."""
    return {layer.name: layer for layer in map(float_layer, model.layers)}
