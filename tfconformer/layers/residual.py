"""The residual connection of the Conformer block."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from tfconformer.layers.registry import register
from tfconformer.layers.streaming import Pointwise


@register
class ScaledResidual(Pointwise, keras.layers.Layer):
    """(x, branch) -> x + scale * branch; scale 1/2 around the macaron feed-forward modules (2005.08100, eq. 1)."""

    def __init__(self, scale: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        x, branch = inputs
        return x + self.scale * branch

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale}
