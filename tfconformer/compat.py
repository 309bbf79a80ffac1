"""The parts of TensorFlow and Keras that are not public or are deprecated, each behind one function with a test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tensorflow as tf
import tf_keras as keras
from tensorflow.python.ops import control_flow_util
from tensorflow.python.ops.resource_variable_ops import UninitializedVariable

_SHAPE_GRAPH = "_scratch_graph"  # the end of the name that Keras gives


def layer_calls(model: keras.Model) -> Iterator[Any]:
    """Yields the calls of layers in the graph of a functional model, each after the calls whose outputs it reads.

    A call has the attributes `layer`, `is_input`, `input_tensors`, `call_args`, `call_kwargs` and `outputs`. Keras has
    no public way to them.
    """
    by_depth = model._nodes_by_depth
    for depth in sorted(by_depth, reverse=True):
        yield from by_depth[depth]


def keras_mask(value: Any) -> Any:
    """Returns the mask that Keras passes along with a tensor; None if there is none."""
    return getattr(value, "_keras_mask", None)


def is_compiled_by_xla() -> bool:
    """Returns true while TensorFlow traces a function with `jit_compile=True`."""
    return bool(control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()))


def shape_graph() -> Any:
    """Returns a graph in which layers are called for the shapes of their outputs alone, see `infers_shape`."""
    return tf.__internal__.FuncGraph(f"shapes{_SHAPE_GRAPH}")


def infers_shape() -> bool:
    """Returns true where layers are called for the shapes of their outputs alone, as Keras does in a functional model.

    The name of the graph in which Keras does so has an end of its own.
    """
    return getattr(tf.compat.v1.get_default_graph(), "name", "").endswith(_SHAPE_GRAPH)


def tensor_of_shape(shape: Any) -> tf.Tensor:
    """Returns a float32 tensor that has a shape and no value, where `infers_shape` is true."""
    return tf.compat.v1.placeholder(tf.float32, shape)


def variable_without_value(name: str, shape: Any, dtype: tf.DType, trainable: bool | None) -> tf.Variable:
    """Creates a variable that takes no memory and has no value, for models of which only the structure counts."""
    return UninitializedVariable(name=name, dtype=dtype, shape=shape, trainable=trainable)


def integer(variable: tf.Variable) -> int:
    """Returns the value of a scalar variable as an integer, of one with a copy on each replica as well."""
    return int(tf.convert_to_tensor(variable))


def ctc_loss(labels: tf.Tensor, present: tf.Tensor, logits: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
    """Computes the CTC losses [B] by TensorFlow's C++ operation, which has no public name beside the deprecated one.

    Args:
      labels: [B, U] int32, counted from 1.
      present: [B, U] bool, false where a label is padding.
      logits: [B, T, V], the blank at 0.
      frames: [B] int32, valid frames. An utterance whose labels have no alignment, since they need more frames, has
        the loss and the gradient 0; so has one without frames and labels.
    """
    feasible = (ctc_frames_needed(labels, present) <= frames) & (frames > 0)
    # The operation returns an infinite loss where blanks between equal labels do not fit, and refuses an utterance
    # without labels. So it gets the first label alone there, and one frame at least, and the loss is replaced.
    first = tf.range(tf.shape(labels)[1]) == 0
    present = (present & (feasible[:, tf.newaxis] | first)) | ((frames == 0)[:, tf.newaxis] & first)
    # The operation takes sparse labels that are counted from 0, and the blank last.
    sparse = tf.SparseTensor(
        tf.where(present), tf.boolean_mask(tf.maximum(labels, 1), present) - 1, tf.shape(labels, out_type=tf.int64)
    )
    losses = tf.compat.v1.nn.ctc_loss(
        sparse,
        tf.concat([logits[:, :, 1:], logits[:, :, :1]], axis=-1),
        tf.maximum(frames, 1),
        ignore_longer_outputs_than_inputs=True,
        time_major=False,
    )
    return tf.where(feasible, losses, 0.0)


def ctc_frames_needed(labels: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    """Returns the frames [B] int32 of the shortest alignment: one per label, and a blank between equal neighbors.

    Args:
      labels: [B, U] int32.
      present: [B, U] bool, false where a label is padding, after all labels.
    """
    repeated = (labels[:, 1:] == labels[:, :-1]) & present[:, 1:]
    return tf.reduce_sum(tf.cast(present, tf.int32), axis=1) + tf.reduce_sum(tf.cast(repeated, tf.int32), axis=1)
