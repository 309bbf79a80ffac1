"""Placeholders of layers in the graph that the TFLite converter reads, so that it folds nothing into packed weights.

A layer names the operation that can compute it (`Layer.operation`). In its place the frozen graph has a placeholder: a
custom operation with the layer's name as its attribute. Its inputs are those of the layer and the weights that are no
constants of the real operation, such as a bias. `rewrite.py` puts the real operation there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from converters.custom_ops import padded_columns
from converters.exporter.lookup import Lookup, LookupTable
from tfconformer.compat import infers_shape
from tfconformer.layers.base import Layer
from tfconformer.layers.dense import BoundMatmul, Matmul, float_layer, float_layers
from tfconformer.layers.streaming import Constant, Frames, StreamStep

PLACEHOLDER = "TfconformerPlaceholder"
PLACEHOLDER_LAYER = "layer"  # its op attribute: the name of the layer that it replaces


class PlaceholderOp:
    """An operation that the converter turns into one custom operation with the attribute `layer`.

    Args:
      layer: name of the layer.
      output_shape: shape of the output, with None for dynamic dimensions.
    """

    def __init__(self, layer: str, output_shape: Sequence[int | None]):
        attributes = f'attr {{ key: "{PLACEHOLDER_LAYER}" value {{ s: "{layer}" }} }}'
        keep_whole = 'attr { key: "tfl_fusable_op" value { b: true } }'
        self._implements = f'name: "{PLACEHOLDER}" {keep_whole} {attributes}'
        self._output_shape = output_shape

    def __call__(self, *inputs: tf.Tensor | tf.Variable) -> tf.Tensor:
        if infers_shape():
            return self._body(*inputs)
        operation = tf.function(self._body, experimental_implements=self._implements, autograph=False)
        return operation(*inputs)

    def _body(self, *inputs: tf.Tensor | tf.Variable) -> tf.Tensor:
        # The converter reads the shape of it and nothing else. The output depends on all inputs, since it drops those
        # that are not used.
        total = tf.add_n([tf.cast(tf.reduce_sum(one), tf.float32) for one in inputs])
        dynamic = tf.size(inputs[0])
        return tf.fill([dynamic if size is None else size for size in self._output_shape], total)


class _Placeholder(Layer):
    """A mixin that turns the layer class it is combined with into a placeholder.

    It creates none of the weights in `constants`, so the large matrices of a model never enter the converter.
    """

    def add_weight(self, name: str, *args: Any, **options: Any) -> tf.Variable | None:
        return None if name in self.constants else super().add_weight(name, *args, **options)

    def placeholder(self, output_shape: Sequence[int | None], *inputs: tf.Tensor | tf.Variable) -> tf.Tensor:
        """Returns the output of the placeholder operation on `inputs`."""
        return PlaceholderOp(self.name, output_shape)(*inputs)


_PLACEHOLDERS: dict[str, type[_Placeholder]] = {}  # by operation


def _placeholder_of(operation: str) -> Callable[[type[_Placeholder]], type[_Placeholder]]:
    def register(mixin: type[_Placeholder]) -> type[_Placeholder]:
        _PLACEHOLDERS[operation] = mixin
        return mixin

    return register


@_placeholder_of("fully_connected")
class _FullyConnected(_Placeholder):
    """A mixin for `Dense` layers: the placeholder replaces the affine map; its inputs are x and the bias."""

    window: int
    stride: int

    def add_weight(self, name: str, *args: Any, **options: Any) -> tf.Variable | None:
        # In an abstract model the bias is random: the file would hold equal ones only once.
        return super().add_weight(name, *args, **options | {"initializer": None})

    def affine(self, inputs: tf.Tensor, matmul: Matmul | None) -> tf.Tensor:
        sizes = [*inputs.shape[:-1]]
        if self.window:
            sizes[1:3] = [None if size is None else (size - self.window) // self.stride + 1 for size in sizes[1:3]]
        return self.placeholder([*sizes, self.units], inputs, *([] if self.bias is None else [self.bias]))

    def bind(self, matmul: Matmul | None) -> BoundMatmul:
        return BoundMatmul(tf.zeros([0, 0]), lambda x: self.affine(x, matmul), tf.identity)


@_placeholder_of("depthwise_convolution")
class _DepthwiseConvolution(_Placeholder):
    """A mixin for depthwise convolutions: the placeholder replaces the convolution of the padded input."""

    def convolve(self, padded: tf.Tensor) -> tf.Tensor:
        batch, frames, channels = padded.shape
        return self.placeholder([batch, frames and frames - self.kernel_size + 1, channels], padded)


@_placeholder_of("layer_normalization")
class _LayerNormalization(_Placeholder):
    """A mixin for layer normalizations."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self.placeholder(inputs.shape, inputs)


@_placeholder_of("attention")
class _Attention(_Placeholder):
    """A mixin for attention; in a stream the operation updates its states, keys and values, in place."""

    def call(self, inputs: tuple[tf.Tensor, ...]) -> tf.Tensor:
        return self.placeholder(inputs[0].shape, *inputs)

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
        dim, capacity = query.values.shape[-1], past + query.count
        keys = step.kept(f"{self.name}/key", [dim, padded_columns(capacity)], tf.float32)
        values = step.kept(f"{self.name}/value", [capacity, dim], tf.float32)
        first = step.first_index(key)
        return self.placeholder(query.values.shape, query.values, key.values, value.values, mask, first, keys, values)


@functools.cache
def _placeholder_class(layer_class: Any) -> Any:
    """Combines a layer class with the mixin of its operation."""
    return type(layer_class.__name__, (_PLACEHOLDERS[layer_class.operation], layer_class), {})


def with_placeholders(
    model: keras.Model,
    names: Collection[str],
    random: bool = False,
    lookups: Mapping[str, LookupTable] | None = None,
) -> keras.Model:
    """Copies a model to one with placeholders and lookups; the other layers are in float.

    They have the class `Layer.exported_as`, if any.

    Args:
      model: a model, quantized or not.
      names: names of the layers that become placeholders; each must have an operation.
      random: True if the model is abstract, so that the weights of the other layers are freshly initialized.
      lookups: the tables of quantized embeddings, by name.
    """
    lookups = lookups or {}

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        layer = float_layer(layer)
        if layer.name in lookups:
            return Lookup(lookups[layer.name], name=layer.name)
        layer_class: Any = layer.exported_as if isinstance(layer, Layer) and layer.exported_as else type(layer)
        if layer.name in names:
            layer_class = _placeholder_class(layer_class)
        return layer_class.from_config(layer.get_config())

    clone = keras.models.clone_model(model, clone_function=copy)
    if not random:
        originals = float_layers(model)
        for layer in (layer for layer in clone.layers if layer.name not in lookups):
            layer.set_weights([weight.numpy() for weight in _inputs(originals[layer.name], layer)])
    return clone


def _inputs(original: keras.layers.Layer, copy: keras.layers.Layer) -> list[tf.Variable]:
    """Returns the weights of a layer that its copy has as well, in their order."""
    held = [getattr(original, name) for name in original.constants] if isinstance(copy, _Placeholder) else []
    return [weight for weight in original.weights if not any(weight is one for one in held)]
