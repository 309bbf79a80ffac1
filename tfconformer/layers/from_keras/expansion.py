"""The base class of expansions: a Keras layer as layers of this package, in which `Dense` layers hold the matrices.

A file in `kinds/` defines the expansion of a class of Keras layers, and is all that a further class needs: from then on
its layers are quantized, trained, saved, exported and reported.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
from numpy.typing import NDArray

from tfconformer.errors import InputError
from tfconformer.layers.dense import Dense
from tfconformer.layers.from_keras.matrix import WeightMatrix
from tfconformer.modules import import_modules


@dataclass(frozen=True)
class ExpandedMatrix:
    """A `Dense` layer of an expansion, and the weights of the Keras layer that it holds.

    Attributes:
      dense: the layer.
      weight: the weight that is its kernel.
      bias: returns the values [N] of its bias, of a layer that has one.
    """

    dense: Dense
    weight: WeightMatrix
    bias: Callable[[], NDArray[np.float32]] | None = None


class Expansion(ABC):
    """A Keras layer as layers of this package.

    A subclass lists the weights that are matrices (`weights`), refuses options that it does not cover (`refusal`),
    makes the layers (`expand`) and applies them to symbolic tensors (`call`).

    Attributes:
      layer: the Keras layer.
      name: prefix of the names of the layers; that of the Keras layer, with those of the models around it.
      matrices: its `Dense` layers, after `expand`.
    """

    def __init__(self, layer: Any, name: str) -> None:
        self.layer = layer
        self.name = name
        self.matrices: list[ExpandedMatrix] = []

    @classmethod
    @abstractmethod
    def weights(cls, layer: Any) -> Mapping[str, WeightMatrix]:
        """Returns the matrices among the weights of a layer, by the suffix of the names of their `Dense` layers."""

    @classmethod
    def refusal(cls, layer: Any) -> str | None:
        """Returns the part of a sentence that says why a layer cannot be expanded; None if it can."""
        return None

    @abstractmethod
    def expand(self) -> None:
        """Makes the layers, not yet built."""

    @abstractmethod
    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Applies the layers to symbolic tensors, with the arguments of the Keras layer's call."""

    def matrix(
        self, suffix: str, make: Callable[..., Dense], bias: Callable[[], NDArray[np.float32]] | None = None
    ) -> Dense:
        """Makes the `Dense` layer of a matrix.

        Args:
          suffix: a key of `weights`.
          make: returns the layer, given its name and `trainable`.
          bias: see `ExpandedMatrix`.
        """
        dense = make(name=f"{self.name}_{suffix}", trainable=self.layer.trainable)
        self.matrices.append(ExpandedMatrix(dense, self.weights(self.layer)[suffix], bias))
        return dense

    def copy_weights(self) -> None:
        """Sets the weights of the `Dense` layers, which must be built, to those of the Keras layer."""
        for one in self.matrices:
            one.dense.kernel.assign(one.weight.to_matrix(tf.convert_to_tensor(one.weight.weight(self.layer))))
            if one.dense.bias is not None:
                assert one.bias is not None
                one.dense.bias.assign(one.bias())


def activation(layer: keras.layers.Layer, name: str, function: Any) -> Callable[[Any], Any]:
    """Returns a function that computes the activation of a Keras layer, in its precision; that of float32 may be none.

    Args:
      layer: the Keras layer, whose policy counts.
      name: name of the layer that computes it.
      function: the activation.
    """
    if function is keras.activations.linear and layer.compute_dtype == "float32":
        return lambda x: x
    computed: Callable[[Any], Any] = keras.layers.Activation(function, name=name, dtype=layer.dtype_policy)
    return computed


_EXPANSIONS: dict[type, type[Expansion]] = {}


def expands(*layer_classes: type) -> Callable[[type[Expansion]], type[Expansion]]:
    """Registers an expansion for Keras classes; subclasses of these are other classes."""

    def register(expansion: type[Expansion]) -> type[Expansion]:
        _EXPANSIONS.update(dict.fromkeys(layer_classes, expansion))
        return expansion

    return register


@cache
def load_kinds() -> None:
    """Imports all expansions, and with them the layers that they define."""
    # Imported here, since the kinds import this module.
    from tfconformer.layers.from_keras import kinds

    import_modules(kinds)


def expanded_classes() -> tuple[type, ...]:
    """Returns the Keras classes that have an expansion."""
    load_kinds()
    return tuple(_EXPANSIONS)


def expansion_of(layer: keras.layers.Layer) -> type[Expansion] | None:
    """Returns the expansion of a layer's class; None if there is none."""
    load_kinds()
    return _EXPANSIONS.get(type(layer))


def require_expandable(layer: keras.layers.Layer, name: str) -> type[Expansion]:
    """Returns the expansion of a layer.

    Raises:
      InputError: its class has no expansion, or the layer has an option that the expansion does not cover.
    """
    expansion = expansion_of(layer)
    if expansion is None:
        raise InputError(f"the layer {name} ({type(layer).__name__}) cannot be quantized: give it a rule with None")
    reason = _common_refusal(layer) or expansion.refusal(layer)
    if reason is not None:
        raise InputError(f"the layer {name} ({type(layer).__name__}) cannot be quantized {reason}")
    return expansion


def weight_matrices(layer: keras.layers.Layer) -> tuple[WeightMatrix, ...]:
    """Returns the weights of a layer, one of this package or of Keras, that are matrices; none if it has no such."""
    if isinstance(layer, Dense):
        return (WeightMatrix("kernel"),)
    expansion = expansion_of(layer)
    return () if expansion is None else tuple(expansion.weights(layer).values())


def _common_refusal(layer: keras.layers.Layer) -> str | None:
    set_options = [
        name
        for name, value in layer.get_config().items()
        if name.endswith(("_regularizer", "_constraint")) and value is not None
    ]
    if set_options:
        return f"with {set_options[0]}: set it to None, and use the weight decay of the optimizer"
    return None
