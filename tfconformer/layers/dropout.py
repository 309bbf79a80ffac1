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

    The rate is rounded to a multiple of 1/256. Unlike `keras.layers.Dropout`, its generator is tracked in checkpoints,
    so that a training continued from a backup draws what it would have drawn without the interruption. Seeded by
    `keras.utils.set_random_seed`.
    """

    def __init__(self, rate: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.rate = rate
        self.generator = tf.random.Generator.from_seed(random.getrandbits(31))

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        if not training or not self.rate:
            return inputs
        # A byte of randomness per element: a float32 would take four times as long, a tenth of a training step.
        elements = tf.size(inputs)
        words = self.generator.uniform_full_int([(elements + 3) // 4], tf.uint32)
        drawn = tf.reshape(tf.reshape(tf.bitcast(words, tf.uint8), [-1])[:elements], tf.shape(inputs))
        dropped = round(self.rate * 256)
        scale = 256 / (256 - dropped)
        return inputs * (scale * tf.cast(drawn >= dropped, inputs.dtype))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate}
