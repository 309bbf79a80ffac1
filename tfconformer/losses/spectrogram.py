"""The losses of a spectrogram decoder, whose targets say themselves which steps count."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from tfconformer.layers.registry import register
from tfconformer.losses.normalization import per_unit


@register
class SpectrogramLoss(keras.losses.Loss):
    """Mean absolute error, and a share of the mean squared error, of the steps that count.

    Call: (target [B, S, width + 1], whose last column is the weight of the step, 0 or 1; spectrogram [B, S, width]) ->
    [B] losses, whose mean is that over all values of the batch that count.

    Args:
      squared: weight of the mean squared error.
    """

    def __init__(self, squared: float = 0.0, name: str = "spectrogram_loss", **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.squared = squared

    def call(self, target: tf.Tensor, spectrogram: tf.Tensor) -> tf.Tensor:
        difference = spectrogram - target[..., :-1]
        errors = tf.abs(difference) + self.squared * tf.square(difference)
        return _mean_of_valid(tf.reduce_mean(errors, axis=-1), target[..., -1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "squared": self.squared}


@register
class StopLoss(keras.losses.Loss):
    """Cross-entropy of the end of the spectrogram in the steps that count.

    Call: (target [B, S, 2]: 1 from the last step on, else 0, and the weight of the step; logits [B, S, 1]) -> [B]
    losses, whose mean is that over all steps of the batch that count.

    Args:
      positive_weight: weight of the steps at the end, which are few.
    """

    def __init__(self, positive_weight: float = 3.0, name: str = "stop_loss", **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.positive_weight = positive_weight

    def call(self, target: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        entropy = tf.nn.weighted_cross_entropy_with_logits(target[..., 0], logits[..., 0], self.positive_weight)
        return _mean_of_valid(entropy, target[..., 1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "positive_weight": self.positive_weight}


def _mean_of_valid(losses: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Returns losses [B, S] summed over the steps that count, scaled so that their mean over B is that of all steps."""
    return per_unit(tf.reduce_sum(losses * weights, axis=1), tf.reduce_sum(weights))
