"""The CTC loss as a Keras loss, and the count of utterances that it cannot align."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras

from tfconformer.compat import ctc_frames_needed, ctc_loss
from tfconformer.data.pipeline import LABEL_PADDING
from tfconformer.layers.masking import valid_frames
from tfconformer.layers.registry import register
from tfconformer.losses.normalization import per_unit

INFEASIBLE = "infeasible"


@register
class CTCLoss(keras.losses.Loss):
    """Connectionist temporal classification with blank 0 (Graves et al. 2006), per label.

    Call: (labels [B, U] int32 padded with -1, logits [B, T, V] float32, whose frames after the end of an utterance are
    forced blanks) -> [B] losses, scaled so that their mean is the batch's negative log-likelihood divided by its number
    of labels: utterances are weighted by their length. Utterances whose labels, with a blank between equal neighbors,
    need more frames than there are contribute nothing (`InfeasibleUtterances` counts them). Those without frames and
    labels, which fill up the part of a replica, contribute nothing either; others without labels are an error (shards
    hold none).
    """

    def __init__(self, name: str = "ctc_loss", **kwargs: Any):
        super().__init__(name=name, **kwargs)

    def call(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        labels = tf.cast(labels, tf.int32)
        present = labels != LABEL_PADDING
        losses = ctc_loss(labels, present, logits, valid_frames(logits))
        return per_unit(losses, tf.reduce_sum(tf.cast(present, tf.float32)))


@register
class InfeasibleUtterances(keras.metrics.Sum):
    """The number of utterances whose labels need more frames than they have, so that CTC has no alignment of them."""

    def __init__(self, name: str = INFEASIBLE, **kwargs: Any):
        super().__init__(name=name, **kwargs)

    def update_state(self, labels: tf.Tensor, logits: tf.Tensor, sample_weight: Any = None) -> Any:
        """Adds a batch; arguments are those of `CTCLoss`."""
        labels = tf.cast(labels, tf.int32)
        needed = ctc_frames_needed(labels, labels != LABEL_PADDING)
        return super().update_state(tf.cast(needed > valid_frames(logits), tf.float32))
