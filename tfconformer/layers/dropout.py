"""Dropout with a random state that is part of a checkpoint."""

from __future__ import annotations

import random
from typing import Any

import tensorflow as tf

from tfconformer.layers.base import Layer
from tfconformer.layers.registry import register
from tfconformer.layers.streaming import Pointwise


@register
class Dropout(Pointwise, Layer):
    """Zeroes a share `rate` of the inputs while training, and scales up the rest.

    Unlike `keras.layers.Dropout`, its generator is tracked in checkpoints, so that a training continued from a backup
    draws what it would have drawn without the interruption. Seeded by `keras.utils.set_random_seed`.
    """

    def __init__(self, rate: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.rate = rate
        self.generator = tf.random.Generator.from_seed(random.getrandbits(31))

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        if not training or not self.rate:
            return inputs
        return tf.nn.experimental.general_dropout(inputs, self.rate, uniform_sampler=self.generator.uniform)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate}
