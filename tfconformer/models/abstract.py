"""Models whose weights take no memory, for plans and sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras as keras

from tfconformer.compat import variable_without_value


def abstract(build: Callable[[], keras.Model]) -> keras.Model:
    """Builds the structure of a model: layers, shapes and names, with weights that have no memory or value."""
    with tf.variable_creator_scope(_without_value):
        return build()


def _without_value(create: Callable[..., tf.Variable], **options: Any) -> tf.Variable:
    """Creates a variable without a value, unless one is given, as for the state of a generator."""
    if not callable(options["initial_value"]):
        return create(**options)
    return variable_without_value(options["name"], options["shape"], options["dtype"], options["trainable"])
