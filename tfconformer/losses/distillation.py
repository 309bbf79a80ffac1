"""The loss of distillation: the distance of a CTC head's distributions from those of a teacher."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from tfconformer.data.pipeline import LABEL_PADDING
from tfconformer.layers.registry import register
from tfconformer.losses.normalization import per_unit


@register
class DistillationLoss(keras.losses.Loss):
    """Kullback-Leibler divergence of every frame's distribution from that of a teacher (1503.02531), per label.

    Call: (labels [B, U] int32 padded with -1, logits [B, 2, T, V] float32 of the teacher and of the model, whose frames
    after the end of an utterance are forced blanks) -> [B] losses, scaled as those of `CTCLoss`: their mean is the sum
    over all frames of the batch divided by its number of labels. Forced blanks of both contribute nothing.
    """

    def __init__(self, name: str = "distillation_loss", **kwargs: Any):
        super().__init__(name=name, **kwargs)

    def call(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        teacher, model = (tf.nn.log_softmax(one) for one in tf.unstack(logits, axis=1))
        divergences = tf.reduce_sum(tf.exp(teacher) * (teacher - model), axis=[1, 2])
        return per_unit(divergences, tf.reduce_sum(tf.cast(labels != LABEL_PADDING, tf.float32)))
