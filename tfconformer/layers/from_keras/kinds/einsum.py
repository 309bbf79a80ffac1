"""`keras.layers.EinsumDense`: a `Dense` layer between two changes of axes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tf_keras as keras

from tfconformer.layers.dense import Dense
from tfconformer.layers.from_keras.expansion import Expansion, activation, expands
from tfconformer.layers.from_keras.matrix import WeightMatrix
from tfconformer.layers.rearrangement import Rearrangement


@dataclass(frozen=True)
class Einsum:
    """The axes of an `EinsumDense`, as letters.

    Attributes:
      given: of its input.
      weight: of its kernel.
      result: of its output.
    """

    given: str
    weight: str
    result: str

    @classmethod
    def of(cls, layer: Any) -> Einsum:
        """Reads the equation of a built layer; dots stand for as many capital letters as its input needs."""
        given, weight, result = re.split(",|->", layer.equation.replace(" ", ""))
        rank = len(layer.full_output_shape)
        dots = "ABCDEFGH"[: rank - len(result.replace("...", ""))]
        return cls(*(part.replace("...", dots) for part in (given, weight, result)))

    @property
    def contracted(self) -> str:
        """The axes that are summed over, in the order of the kernel."""
        return "".join(axis for axis in self.weight if axis in self.given)

    @property
    def created(self) -> str:
        """The axes of the output that come from the kernel, in its order."""
        return "".join(axis for axis in self.weight if axis not in self.given)

    @property
    def kept(self) -> str:
        """The axes of the output that come from the input, in its order."""
        return "".join(axis for axis in self.given if axis not in self.weight)

    @property
    def matrix(self) -> WeightMatrix:
        """The kernel as a matrix."""
        axes = tuple(self.weight.index(axis) for axis in self.contracted + self.created)
        return WeightMatrix("kernel", contracted=len(self.contracted), axes=axes)


@expands(keras.layers.EinsumDense)
class EinsumExpansion(Expansion):
    """Changes of axes, a `Dense` layer, and its activation."""

    @classmethod
    def weights(cls, layer: Any) -> Mapping[str, WeightMatrix]:
        return {"kernel": Einsum.of(layer).matrix}

    @classmethod
    def refusal(cls, layer: Any) -> str | None:
        einsum = Einsum.of(layer)
        if set(einsum.result) != set(einsum.kept + einsum.created):
            return f"with the equation {layer.equation}, which has a weight for every element of an axis"
        if layer.bias_axes is not None and set(layer.bias_axes) != set(einsum.created):
            return f"with bias_axes={layer.bias_axes!r}: set them to {einsum.created!r}"
        return None

    def expand(self) -> None:
        layer, einsum = self.layer, Einsum.of(self.layer)
        sizes = dict(zip(einsum.weight, layer.kernel.shape, strict=True))
        before, after = einsum.kept + einsum.contracted, einsum.kept + einsum.created
        self.before = Rearrangement(
            split=[0],
            axes=[einsum.given.index(axis) for axis in before],
            merged=len(einsum.contracted),
            name=f"{self.name}_rows",
        )
        units = int(np.prod([sizes[axis] for axis in einsum.created]))
        self.dense = self.matrix(
            "kernel",
            lambda **options: Dense(units, layer.bias_axes is not None, **options),
            bias=lambda: _bias(layer, einsum),
        )
        self.after = Rearrangement(
            split=[sizes[axis] for axis in einsum.created],
            axes=[after.index(axis) for axis in einsum.result],
            merged=1,
            name=f"{self.name}_axes",
        )
        self.activation = activation(layer, self.name, layer.activation)

    def call(self, inputs: Any) -> Any:
        return self.activation(self.after(self.dense(self.before(inputs))))


def _bias(layer: Any, einsum: Einsum) -> Any:
    """Returns the bias [N] in the order of the kernel's axes."""
    order = [axis for axis in einsum.result if axis in einsum.created]
    bias = layer.bias.numpy().reshape([layer.kernel.shape[einsum.weight.index(axis)] for axis in order])
    return bias.transpose([order.index(axis) for axis in einsum.created]).reshape(-1)
