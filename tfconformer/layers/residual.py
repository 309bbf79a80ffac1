"""The residual connection of the Conformer block (2005.08100, eq. 1)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfconformer.layers.base import Layer
from tfconformer.layers.registry import register
from tfconformer.layers.streaming import Pointwise


@register
class ScaledResidual(Pointwise, Layer):
    """A residual connection, (x, branch) -> shortcut * x + scale * branch; the macaron modules have scale 1/2."""

    def __init__(self, scale: float = 1.0, shortcut: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.scale = scale
        self.shortcut = shortcut

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        x, branch = inputs
        return (x if self.shortcut == 1 else self.shortcut * x) + self.scale * branch

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale, "shortcut": self.shortcut}
