"""N:M sparsity: of every M consecutive weights along the contraction axis, the N of largest magnitude are kept.

A mask is a function of the weights and nothing else, recomputed whenever they are quantized; none is stored.
"""

from __future__ import annotations

import tensorflow as tf

SR_STE_DECAY = 2e-4  # lambda of 2102.04010, sec. 4


def nm_mask(weights: tf.Tensor, kept: int, group: int) -> tf.Tensor:
    """[K, N] float32: 1 for the `kept` largest magnitudes of every `group` rows of a column, else 0.

    Ties keep the lower row. A short last group keeps as many.
    """
    contraction, columns = weights.shape
    # Rows of -1 fill the last group up: smaller than any magnitude.
    missing = -contraction % group
    magnitudes = tf.pad(tf.abs(weights), [[0, missing], [0, 0]], constant_values=-1.0)
    magnitudes = tf.reshape(magnitudes, [-1, group, columns])
    # The rank of a weight is the number of those that go before it.
    mine, other = magnitudes[:, :, None], magnitudes[:, None, :]
    row = tf.range(group)
    earlier = (row[None, :] < row[:, None])[None, :, :, None]
    before = (other > mine) | ((other == mine) & earlier)
    rank = tf.reduce_sum(tf.cast(before, tf.int32), axis=2)
    return tf.stop_gradient(tf.reshape(tf.cast(rank < kept, tf.float32), [-1, columns])[:contraction])


def prune(weights: tf.Tensor, mask: tf.Tensor, gradient: str) -> tf.Tensor:
    """`weights` where `mask` is 1, else 0, with one of the gradients of `QuantSpec.pruning_gradient`."""

    @tf.custom_gradient
    def pruned(weights: tf.Tensor) -> tuple[tf.Tensor, object]:
        def backward(upstream: tf.Tensor) -> tf.Tensor:
            if gradient == "masked":
                return upstream * mask
            return upstream + SR_STE_DECAY * (1.0 - mask) * weights if gradient == "sr-ste" else upstream

        return weights * mask, backward

    return pruned(weights)
