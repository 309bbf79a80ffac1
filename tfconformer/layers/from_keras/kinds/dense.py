"""`keras.layers.Dense`: a `Dense` layer and its activation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tf_keras as keras

from tfconformer.layers.dense import Dense
from tfconformer.layers.from_keras.expansion import Expansion, activation, expands
from tfconformer.layers.from_keras.matrix import WeightMatrix


@expands(keras.layers.Dense)
class DenseExpansion(Expansion):
    """A `Dense` layer and, unless it is linear, its activation."""

    @classmethod
    def weights(cls, layer: Any) -> Mapping[str, WeightMatrix]:
        return {"kernel": WeightMatrix("kernel")}

    def expand(self) -> None:
        layer = self.layer
        self.dense = self.matrix(
            "kernel", lambda **options: Dense(layer.units, layer.use_bias, **options), bias=lambda: layer.bias.numpy()
        )
        self.activation = activation(layer, self.name, layer.activation)

    def call(self, inputs: Any) -> Any:
        return self.activation(self.dense(inputs))
