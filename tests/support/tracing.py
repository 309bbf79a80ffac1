"""Tracing of graphs at the speed that tests need."""

from __future__ import annotations

from tensorflow.python.util import tf_stack


def omit_stacks() -> None:
    """Makes operations of graphs not record where they were made, which is a seventh of the time of a short training.

    Errors in the execution of a graph then do not name the line that made the operation.
    """
    nowhere = tf_stack.extract_stack(stacklevel=1000)
    tf_stack.extract_stack = lambda stacklevel=1: nowhere
