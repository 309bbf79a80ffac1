"""The blocks of a weight matrix: what shares a scale."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfconformer.quantization.spec import QuantSpec


def to_blocks(weights: tf.Tensor, spec: QuantSpec) -> tf.Tensor:
    """[K, N] -> [blocks, block_size, N]; a short last block is filled up with its own last row."""
    contraction, columns = weights.shape
    size = spec.block_size or contraction
    missing = spec.blocks(contraction) * size - contraction
    if missing:
        weights = tf.concat([weights, tf.repeat(weights[-1:], missing, axis=0)], axis=0)
    return tf.reshape(weights, [-1, size, columns])


def extreme(reduce: Callable[..., tf.Tensor], weights: tf.Tensor, spec: QuantSpec) -> tf.Tensor:
    """A maximum or minimum of every block and column: [K, N] -> [blocks, N]; of the whole matrix, per tensor."""
    blocks = to_blocks(weights, spec)
    if spec.per_tensor:
        return tf.broadcast_to(reduce(blocks), [blocks.shape[0], blocks.shape[2]])
    return reduce(blocks, axis=1)


def sums(values: tf.Tensor, spec: QuantSpec) -> tf.Tensor:
    """The sum over every block and column: [K, N] -> [blocks, N]."""
    contraction, columns = values.shape
    blocks = spec.blocks(contraction)
    # The short last block is filled up with zeros, which add nothing.
    missing = blocks * (spec.block_size or contraction) - contraction
    return tf.reduce_sum(tf.reshape(tf.pad(values, [[0, missing], [0, 0]]), [blocks, -1, columns]), axis=1)


def per_weight(values: tf.Tensor, spec: QuantSpec, contraction: int) -> tf.Tensor:
    """[blocks, N] -> [K, N]."""
    return tf.repeat(values, spec.block_size or contraction, axis=0)[:contraction]
