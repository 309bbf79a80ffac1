"""`keras.layers.Conv1D` and `Conv2D`: a `Dense` layer on windows of the input, and its activation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tf_keras as keras

from tfconformer.layers.dense import Dense
from tfconformer.layers.from_keras.expansion import Expansion, activation, expands
from tfconformer.layers.from_keras.matrix import WeightMatrix
from tfconformer.layers.windows import Windows


@expands(keras.layers.Conv1D, keras.layers.Conv2D)
class ConvolutionExpansion(Expansion):
    """Windows, a `Dense` layer, and its activation."""

    @classmethod
    def weights(cls, layer: Any) -> Mapping[str, WeightMatrix]:
        return {"kernel": WeightMatrix("kernel", contracted=layer.rank + 1)}

    @classmethod
    def refusal(cls, layer: Any) -> str | None:
        if layer.groups != 1:
            return f"with groups: {layer.groups}"
        return "with channels_first" if layer.data_format == "channels_first" else None

    def expand(self) -> None:
        layer = self.layer
        self.windows = Windows(
            layer.kernel_size, layer.strides, layer.dilation_rate, layer.padding, name=f"{self.name}_windows"
        )
        self.dense = self.matrix(
            "kernel", lambda **options: Dense(layer.filters, layer.use_bias, **options), bias=lambda: layer.bias.numpy()
        )
        self.activation = activation(layer, self.name, layer.activation)

    def call(self, inputs: Any) -> Any:
        return self.activation(self.dense(self.windows(inputs)))
