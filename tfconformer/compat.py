"""The parts of TensorFlow and Keras that are not public or are deprecated, each behind one function with a test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tensorflow as tf
import tf_keras as keras
from tensorflow.python.ops.resource_variable_ops import UninitializedVariable


def layer_calls(model: keras.Model) -> Iterator[Any]:
    """Yields the calls of layers in the graph of a functional model, each after the calls whose outputs it reads.

    A call has the attributes `layer`, `is_input`, `input_tensors` and `outputs`. Keras has no public way to them.
    """
    by_depth = model._nodes_by_depth
    for depth in sorted(by_depth, reverse=True):
        yield from by_depth[depth]


def variable_without_value(name: str, shape: Any, dtype: tf.DType, trainable: bool | None) -> tf.Variable:
    """Creates a variable that takes no memory and has no value, for models of which only the structure counts."""
    return UninitializedVariable(name=name, dtype=dtype, shape=shape, trainable=trainable)


def ctc_loss(labels: tf.Tensor, present: tf.Tensor, logits: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
    """Computes the CTC losses [B] by TensorFlow's C++ operation, which has no public name beside the deprecated one.

    Args:
      labels: [B, U] int32, counted from 1.
      present: [B, U] bool, false where a label is padding.
      logits: [B, T, V], the blank at 0.
      frames: [B] int32, valid frames. Utterances with more labels than frames have no gradient.
    """
    # The operation takes sparse labels that are counted from 0, and the blank last.
    sparse = tf.SparseTensor(
        tf.where(present), tf.boolean_mask(labels, present) - 1, tf.shape(labels, out_type=tf.int64)
    )
    return tf.compat.v1.nn.ctc_loss(
        sparse,
        tf.concat([logits[:, :, 1:], logits[:, :, :1]], axis=-1),
        frames,
        ignore_longer_outputs_than_inputs=True,
        time_major=False,
    )
