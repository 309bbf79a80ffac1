"""Graphs at the speed that tests need, which make many and run each a few times."""

from __future__ import annotations

import tensorflow as tf
from tensorflow.python.util import tf_stack


def omit_stacks() -> None:
    """Makes operations of graphs not record where they were made, which is a seventh of the time of a short training.

    Errors in the execution of a graph then do not name the line that made the operation.
    """
    nowhere = tf_stack.extract_stack(stacklevel=1000)
    tf_stack.extract_stack = lambda stacklevel=1: nowhere


def omit_optimization() -> None:
    """Makes TensorFlow run graphs as they were traced, which takes a fifth off a short training.

    The programs of `test_wheel` run optimized graphs, as the trainings of users do.
    """
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
