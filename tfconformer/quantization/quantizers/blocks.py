"""The blocks of a weight matrix, each of which has one scale."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfconformer.quantization.spec import QuantSpec


def to_blocks(weights: tf.Tensor, spec: QuantSpec) -> tf.Tensor:
    """Reshapes [K, N] -> [blocks, block_size, N]; a short last block is filled up with its own last row."""
    contraction, columns = weights.shape
    size = spec.block_size or contraction
    missing = spec.blocks(contraction) * size - contraction
    if missing:
        weights = tf.concat([weights, tf.repeat(weights[-1:], missing, axis=0)], axis=0)
    return tf.reshape(weights, [-1, size, columns])


def extreme(reduce: Callable[..., tf.Tensor], weights: tf.Tensor, spec: QuantSpec) -> tf.Tensor:
    """Reduces every block and column to its maximum or minimum, [K, N] -> [blocks, N]; per tensor the whole matrix."""
    blocks = to_blocks(weights, spec)
    if spec.granularity == "tensor":
        return tf.broadcast_to(reduce(blocks), [blocks.shape[0], blocks.shape[2]])
    return reduce(blocks, axis=1)


def sums(values: tf.Tensor, spec: QuantSpec) -> tf.Tensor:
    """Sums over every block and column: [K, N] -> [blocks, N]."""
    contraction, columns = values.shape
    blocks = spec.blocks(contraction)
    # The short last block is filled up with zeros, which add nothing.
    missing = blocks * (spec.block_size or contraction) - contraction
    return tf.reduce_sum(tf.reshape(tf.pad(values, [[0, missing], [0, 0]]), [blocks, -1, columns]), axis=1)


def per_weight(values: tf.Tensor, spec: QuantSpec, contraction: int) -> tf.Tensor:
    """Repeats the value of a block for each of its weights: [blocks, N] -> [K, N]."""
    blocks, columns = values.shape
    size = spec.block_size or contraction
    # `tf.repeat` would do the same with four times as many operations, most of them on shapes.
    repeated = tf.reshape(tf.broadcast_to(tf.expand_dims(values, 1), [blocks, size, columns]), [-1, columns])
    return repeated if blocks * size == contraction else repeated[:contraction]
