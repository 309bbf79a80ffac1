"""Moving averages of the trained weights, which the optimizer keeps, in the place of the weights for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf
import tf_keras as keras


@contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """Gives the trainable variables of a compiled model the values of their moving averages, and takes them back.

    Without averages in the optimizer (`use_ema`) the variables stay as they are. So do others: quantizer states and
    statistics are those of the training.
    """
    if not model.optimizer.use_ema:
        yield
        return
    variables = model.trainable_variables
    trained = [tf.identity(variable) for variable in variables]
    model.optimizer.finalize_variable_values(variables)
    for variable in variables:
        if variable.constraint is not None:  # the optimizer averages before it constrains
            variable.assign(variable.constraint(variable))
    try:
        yield
    finally:
        for variable, value in zip(variables, trained, strict=True):
            variable.assign(value)
