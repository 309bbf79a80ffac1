"""Layers that the TFLite converter cannot look into, so that what will be packed reaches the file as it is.

A placeholder is one operation of its layer's inputs, and of a dense layer's bias, which carries the name of the layer;
`rewrite.py` puts the real operation there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import tensorflow as tf
import tf_keras as keras

from converters.custom_ops import padded_columns
from tfconformer.layers.attention import RelativeAttention
from tfconformer.layers.convolution import STRIDE, WINDOW, Convolution, DepthwiseConvolution, Patches
from tfconformer.layers.dense import Dense, Matmul, float_layer, float_layers
from tfconformer.layers.normalization import LayerNormalization
from tfconformer.layers.streaming import Constant, Frames, StreamStep
from tfconformer.layers.transducer import JointHead, Recurrence

PLACEHOLDER = "TfconformerPlaceholder"
PLACEHOLDER_LAYER = "layer"  # its attribute: the name of the layer that it stands for


class _Placeholder:
    """A layer that the converter turns into one custom operation.

    It has no kernel, since the file will hold other constants in its place: the large matrices of a model never enter
    the converter.
    """

    name: str

    def _operation(
        self, shaped: Callable[[tf.Tensor], tf.Tensor], inputs: tf.Tensor, *others: tf.Tensor | tf.Variable
    ) -> tf.Tensor:
        """The operation of inputs and others; `shaped` makes of the inputs anything of the output's shape."""
        attributes = f'attr {{ key: "{PLACEHOLDER_LAYER}" value {{ s: "{self.name}" }} }}'
        keep_whole = 'attr { key: "tfl_fusable_op" value { b: true } }'

        @tf.function(experimental_implements=f'name: "{PLACEHOLDER}" {keep_whole} {attributes}')
        def operation(x: tf.Tensor, *others: tf.Tensor) -> tf.Tensor:
            # Nobody looks into it but for the shape. A kernel, even of zeros, would become a constant of its size.
            used = (tf.cast(tf.reduce_sum(other), tf.float32) for other in others)
            return sum(used, shaped(x))

        return operation(inputs, *others)


class _PlaceholderDense(_Placeholder, Dense):
    """A dense layer."""

    def build(self, input_shape: Any) -> None:
        self.bias = self.add_weight("bias", [self.units]) if self.use_bias else None
        keras.layers.Layer.build(self, input_shape)

    def affine(self, inputs: tf.Tensor, matmul: Matmul) -> tf.Tensor:
        bias = [] if self.bias is None else [self.bias]
        return self._operation(lambda x: self._sums(x) + tf.zeros([self.units]), inputs, *bias)

    def _sums(self, x: tf.Tensor) -> tf.Tensor:
        """A number for every row of x."""
        return tf.reduce_sum(x, axis=-1, keepdims=True)


class _PlaceholderRecurrence(_PlaceholderDense, Recurrence):
    """An LSTM's recurrent half, whose product is the operation."""


class _PlaceholderJointHead(_PlaceholderDense, JointHead):
    """A joint network's head, whose product is the operation."""


class _PaddedImage(Patches):
    """The image itself, whose windows are cut out by the operation of the convolution."""

    def _of_windows(self, padded: tf.Tensor) -> tf.Tensor:
        return padded


class _PlaceholderConvolution(_PlaceholderDense, Convolution):
    """A convolution of a `_PaddedImage`."""

    def _sums(self, x: tf.Tensor) -> tf.Tensor:
        return tf.nn.avg_pool2d(super()._sums(x), WINDOW, STRIDE, "VALID")


class _PlaceholderDepthwise(_Placeholder, DepthwiseConvolution):
    """A depthwise convolution, whose input is padded already. Its bias too is a constant of the file."""

    def build(self, input_shape: Any) -> None:
        keras.layers.Layer.build(self, input_shape)

    def _convolve(self, padded: tf.Tensor) -> tf.Tensor:
        return self._operation(lambda x: tf.nn.avg_pool1d(x, self.kernel_size, 1, "VALID"), padded)


class _PlaceholderNormalization(_Placeholder, LayerNormalization):
    """A layer normalization, likewise."""

    def build(self, input_shape: Any) -> None:
        keras.layers.Layer.build(self, input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self._operation(tf.identity, inputs)


class _PlaceholderAttention(_Placeholder, RelativeAttention):
    """Attention, whose biases too are constants of the file. In a stream it keeps keys and values in place."""

    def build(self, input_shape: Any) -> None:
        keras.layers.Layer.build(self, input_shape)

    def call(self, inputs: tuple[tf.Tensor, ...]) -> tf.Tensor:
        return self._operation(tf.identity, *inputs)

    def _attend_window(
        self,
        step: StreamStep,
        query: Frames,
        key: Frames,
        value: Frames,
        position: Constant,
        mask: tf.Tensor,
        past: int,
    ) -> tf.Tensor:
        dim, capacity = query.values.shape[-1], past + query.count
        keys = step.kept(f"{self.name}/key", [dim, padded_columns(capacity)], tf.float32)
        values = step.kept(f"{self.name}/value", [capacity, dim], tf.float32)
        first = step.first_index(key)
        return self._operation(tf.identity, query.values, key.values, value.values, mask, first, keys, values)


class _ImageConvolution(Convolution):
    """The same in float: a built-in operation."""

    def _contraction(self, input_shape: Any) -> int:
        return WINDOW**2 * super()._contraction(input_shape)

    def affine(self, inputs: tf.Tensor, matmul: Matmul) -> tf.Tensor:
        kernel = tf.reshape(self.kernel, [WINDOW, WINDOW, inputs.shape[-1], self.units])
        return tf.nn.bias_add(tf.nn.conv2d(inputs, kernel, STRIDE, "VALID"), self.bias)


_PLACEHOLDERS: dict[type, Any] = {
    Dense: _PlaceholderDense,
    Recurrence: _PlaceholderRecurrence,
    JointHead: _PlaceholderJointHead,
    Convolution: _PlaceholderConvolution,
    DepthwiseConvolution: _PlaceholderDepthwise,
    LayerNormalization: _PlaceholderNormalization,
    RelativeAttention: _PlaceholderAttention,
}
# Layers that are other ones in a file even where they stay in float.
_BUILTIN: dict[type, Any] = {Patches: _PaddedImage, Convolution: _ImageConvolution}


def with_placeholders(model: keras.Model, names: Collection[str], random: bool = False) -> keras.Model:
    """A float copy of a model whose layers named are placeholders.

    Args:
      model: quantized or not.
      names: of layers of the kinds above.
      random: whether the model is abstract, and the other layers are freshly initialized.
    """

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        layer = float_layer(layer)
        kind = type(layer)
        kind = _PLACEHOLDERS[kind] if layer.name in names else _BUILTIN.get(kind, kind)
        return kind.from_config(layer.get_config())

    clone = keras.models.clone_model(model, clone_function=copy)
    if not random:
        _copy_weights(model, clone)
    return clone


def _copy_weights(model: keras.Model, clone: keras.Model) -> None:
    originals = float_layers(model)
    for layer in clone.layers:
        original = originals[layer.name]
        if not isinstance(layer, _Placeholder):
            layer.set_weights(original.get_weights())
        elif isinstance(layer, _PlaceholderDense) and layer.bias is not None:
            layer.bias.assign(original.bias)
