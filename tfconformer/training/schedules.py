"""The learning-rate schedule."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf
import tf_keras as keras

from tfconformer.layers.registry import register


@register
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate: linear from 0 to `peak` over `warmup_steps`, then half a cosine to `final` at `total_steps`."""

    def __init__(self, peak: float, final: float, warmup_steps: int, total_steps: int):
        super().__init__()
        self.peak = peak
        self.final = final
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        step = tf.cast(step, tf.float32)
        rising = self.peak * (step + 1.0) / max(self.warmup_steps, 1)
        progress = (step - self.warmup_steps) / max(self.total_steps - self.warmup_steps, 1)
        falling = self.final + (self.peak - self.final) * 0.5 * (
            1.0 + tf.cos(math.pi * tf.clip_by_value(progress, 0, 1))
        )
        return tf.where(step < self.warmup_steps, rising, falling)

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "final": self.final,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
        }
