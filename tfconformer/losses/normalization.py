"""The normalization of losses by a count of the batch, over all replicas of a distributed training."""

from __future__ import annotations

import tensorflow as tf


def per_unit(losses: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Scales losses so that their mean over the batch is their sum divided by a count of the batch.

    In a replica of a distributed training the mean, which Keras takes over all replicas, is that of the whole batch:
    their counts are added up.

    Args:
      losses: [B] float32, of the utterances of this replica.
      count: scalar float32, of this replica, such as the number of labels of its utterances.
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    utterances = tf.cast(tf.shape(losses)[0], losses.dtype)
    if replicas > 1:
        count = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, count)
        utterances *= replicas
    return losses * utterances / tf.maximum(count, 1.0)
