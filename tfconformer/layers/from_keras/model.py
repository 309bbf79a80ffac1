"""A functional Keras model with some of its layers expanded, and the models within it dissolved into their layers."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tf_keras as keras

from tfconformer.compat import keras_mask, layer_calls
from tfconformer.errors import InputError
from tfconformer.layers.from_keras.expansion import Expansion, require_expandable


def require_functional(model: Any) -> None:
    """Checks that a model is one whose layers can be replaced.

    Raises:
      InputError: it is of Keras 3, a subclassed model, or a Sequential model without an input shape.
    """
    if not isinstance(model, keras.Model):
        found = f"{type(model).__module__}.{type(model).__name__}"
        if found.startswith("keras."):
            raise InputError(
                f"the model {getattr(model, 'name', '')} is one of Keras 3 ({found}): build it with tf_keras, or set "
                "TF_USE_LEGACY_KERAS=1 before TensorFlow is imported"
            )
        raise InputError(f"expected a functional or Sequential model of tf_keras, got {found}")
    if isinstance(model, keras.Sequential) and not model.inputs:
        raise InputError(f"the model {model.name} has no input shape: call its build, or begin it with an Input")
    if not is_functional(model):
        raise InputError(
            f"the model {model.name} ({type(model).__name__}) is a subclassed model, whose layers cannot be replaced: "
            "build it with the functional API"
        )


def is_functional(layer: keras.layers.Layer) -> bool:
    """Returns true for a functional model and a Sequential one with inputs, whose graph of layers is complete."""
    return isinstance(layer, keras.Model) and hasattr(layer, "_nodes_by_depth") and bool(layer.inputs)


def leaf_layers(model: keras.Model, prefix: str = "") -> Iterator[tuple[str, keras.layers.Layer]]:
    """Yields the layers of a model and of the functional models within it, each once, with their names.

    The name of a layer within a model begins with that of the model: "head_dense".
    """
    for layer in model.layers:
        if is_functional(layer):
            yield from leaf_layers(layer, f"{prefix}{layer.name}_")
        elif not isinstance(layer, keras.layers.InputLayer):
            yield f"{prefix}{layer.name}", layer


@dataclass(frozen=True)
class ExpandedModel:
    """A copy of a functional model with layers of this package in place of some of Keras.

    Attributes:
      model: the copy.
      matrices: the names of the `Dense` layers that hold the matrices of an expanded layer, by the layer's name.
    """

    model: keras.Model
    matrices: dict[str, tuple[str, ...]]


def expand(model: keras.Model, names: Collection[str]) -> ExpandedModel:
    """Copies a functional model, weights included, with layers of this package in place of some of Keras.

    Args:
      model: see `require_functional`.
      names: names of the layers to expand, as `leaf_layers` yields them.

    Raises:
      InputError: a layer of `names` cannot be expanded, or gets a mask.
    """
    copier = _Copier(names)
    values = {
        id(tensor): keras.Input(type_spec=tensor.type_spec, name=tensor.node.layer.name) for tensor in model.inputs
    }
    copier.run(model, values, prefix="")
    outputs = {
        id(tensor): _with_name(name, values[id(tensor)])
        for name, tensor in zip(model.output_names, model.outputs, strict=True)
    }
    copy = keras.Model(
        tf.nest.map_structure(lambda tensor: values[id(tensor)], model.input),
        tf.nest.map_structure(lambda tensor: outputs[id(tensor)], model.output),
        name=model.name,
    )
    return ExpandedModel(copy, copier.copy_weights())


class _Copier:
    """Calls the copies of a model's layers on symbolic tensors."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        self._copies: dict[int, Any] = {}  # by the identity of the original layer
        self._originals: list[tuple[keras.layers.Layer, keras.layers.Layer]] = []

    def run(self, model: keras.Model, values: dict[int, Any], prefix: str) -> None:
        """Adds the outputs of all calls of layers to `values`, by the identity of the original tensors."""

        def given(argument: Any) -> Any:
            return values.get(id(argument), argument)

        for call in layer_calls(model):
            if call.is_input:
                continue
            args = tf.nest.map_structure(given, call.call_args)
            kwargs = tf.nest.map_structure(given, call.call_kwargs)
            outputs = self._call(call.layer, prefix, args, kwargs)
            values.update(zip(map(id, tf.nest.flatten(call.outputs)), tf.nest.flatten(outputs), strict=True))

    def copy_weights(self) -> dict[str, tuple[str, ...]]:
        """Copies the weights of all layers; returns the names of the matrices of expanded ones."""
        for original, copy in self._originals:
            copy.set_weights(original.get_weights())
        expansions = [copy for copy in self._copies.values() if isinstance(copy, Expansion)]
        for expansion in expansions:
            expansion.copy_weights()
        return {one.name: tuple(matrix.dense.name for matrix in one.matrices) for one in expansions}

    def _call(self, layer: keras.layers.Layer, prefix: str, args: Any, kwargs: Any) -> Any:
        if is_functional(layer):
            inner = dict(zip(map(id, layer.inputs), tf.nest.flatten(args[0]), strict=True))
            self.run(layer, inner, f"{prefix}{layer.name}_")
            return tf.nest.map_structure(lambda tensor: inner[id(tensor)], layer.outputs)
        copy = self._copy(layer, f"{prefix}{layer.name}")
        if not isinstance(copy, Expansion):
            return copy(*args, **kwargs)
        if any(keras_mask(x) is not None for x in tf.nest.flatten((args, kwargs))):
            raise InputError(
                f"the layer {copy.name} gets a mask, which quantized layers do not have: leave out Masking and "
                "mask_zero, or give the layer a rule with None"
            )
        return copy.call(*args, **kwargs)

    def _copy(self, layer: keras.layers.Layer, name: str) -> Any:
        if id(layer) not in self._copies:
            if name in self._names:
                copy = require_expandable(layer, name)(layer, name)
                copy.expand()
            else:
                copy = type(layer).from_config({**layer.get_config(), "name": name})
                self._originals.append((layer, copy))
            self._copies[id(layer)] = copy
        return self._copies[id(layer)]


def _with_name(name: str, output: Any) -> Any:
    """Returns an output that Keras calls by a name, in `compile(loss={name: ...})` for example."""
    if output.node.layer.name == name:
        return output
    return keras.layers.Activation("linear", name=name, dtype=output.dtype.name)(output)
