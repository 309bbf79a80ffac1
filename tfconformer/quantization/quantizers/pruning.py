"""N:M sparsity: of every M consecutive weights along the contraction axis, the N of largest magnitude are kept.

A mask is a function of the weights, recomputed whenever they are quantized, unless the spec has a schedule: then it is
chosen at the schedule's steps and kept in the layer's state.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfconformer.quantization.spec import PruningSchedule

SR_STE_DECAY = 2e-4  # lambda of 2102.04010, sec. 4


def nm_mask(weights: tf.Tensor, n: int, m: int) -> tf.Tensor:
    """Returns a mask [K, N] float32: 1 for the `n` largest magnitudes of every `m` rows of a column, else 0.

    Ties keep the lower row. A short last group keeps as many.
    """
    contraction, columns = weights.shape
    # Rows of -1 fill the last group up: smaller than any magnitude.
    missing = -contraction % m
    magnitudes = tf.pad(tf.abs(weights), [[0, missing], [0, 0]], constant_values=-1.0)
    magnitudes = tf.reshape(magnitudes, [-1, m, columns])
    # The rank of a weight is the number of those that come before it.
    mine, other = magnitudes[:, :, None], magnitudes[:, None, :]
    row = tf.range(m)
    earlier = (row[None, :] < row[:, None])[None, :, :, None]
    before = (other > mine) | ((other == mine) & earlier)
    rank = tf.reduce_sum(tf.cast(before, tf.int32), axis=2)
    return tf.stop_gradient(tf.reshape(tf.cast(rank < n, tf.float32), [-1, columns])[:contraction])


def prune(weights: tf.Tensor, mask: tf.Tensor, gradient: str) -> tf.Tensor:
    """Sets `weights` to 0 where `mask` is 0, with one of the gradients of `QuantSpec.pruning_gradient`."""

    @tf.custom_gradient
    def pruned(weights: tf.Tensor) -> tuple[tf.Tensor, object]:
        def backward(upstream: tf.Tensor) -> tf.Tensor:
            if gradient == "masked":
                return upstream * mask
            return upstream + SR_STE_DECAY * (1.0 - mask) * weights if gradient == "sr-ste" else upstream

        return weights * mask, backward

    return pruned(weights)


def gradual_mask(weights: tf.Tensor, n: int, m: int, share: float) -> tf.Tensor:
    """Returns a mask [K, N] float32 between dense and N:M: 0 for a share of the weights that N:M prunes, the smallest.

    Args:
      weights: [K, N].
      n: weights kept of every `m`.
      m: weights per group.
      share: in [0, 1], of the weights that `nm_mask` prunes; 0 keeps everything and 1 is `nm_mask`.
    """
    final = nm_mask(weights, n, m)
    candidates = tf.where(final > 0, np.inf, tf.abs(weights))
    count = tf.reduce_sum(1.0 - final)
    pruned = tf.cast(tf.round(share * count), tf.int32)
    # The rank in a stable order, so that of equal weights exactly as many are pruned as asked for.
    order = tf.argsort(tf.reshape(candidates, [-1]), stable=True)
    flat = tf.scatter_nd(order[:, None], tf.cast(tf.range(tf.size(order)) >= pruned, tf.float32), tf.shape(order))
    return tf.reshape(flat, tf.shape(weights))


def scheduled_share(step: int, schedule: PruningSchedule) -> float:
    """Returns the `share` of `gradual_mask` at a step: 1 - (1 - progress)^3 (1710.01878, eq. 1)."""
    if step < schedule.begin:
        return 0.0
    progress = 1.0 if schedule.end is None else min(1.0, (step - schedule.begin) / (schedule.end - schedule.begin))
    return 1.0 - (1.0 - progress) ** 3
