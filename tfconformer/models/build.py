"""The model that a configuration describes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras as keras
from tensorflow.python.ops.resource_variable_ops import UninitializedVariable

from tfconformer.models.config import ModelConfig
from tfconformer.models.ctc import conformer_ctc
from tfconformer.models.transducer import conformer_transducer


def conformer(config: ModelConfig, mel_bins: int, vocabulary: int) -> keras.Model:
    """A float model, freshly initialized: a transducer if `config` has a section for it, otherwise one of CTC.

    Args:
      config: sizes and context.
      mel_bins: width of the features.
      vocabulary: number of tokenizer pieces.
    """
    build = conformer_ctc if config.transducer is None else conformer_transducer
    return build(config, mel_bins, vocabulary)


def abstract_conformer(config: ModelConfig, mel_bins: int, vocabulary: int) -> keras.Model:
    """The structure of a float model: layers, shapes and names, but weights that take no memory and have no values."""
    with tf.variable_creator_scope(_without_value):
        return conformer(config, mel_bins, vocabulary)


def _without_value(create: Callable[..., tf.Variable], **options: Any) -> tf.Variable:
    """Makes a variable that is not initialized, unless a value is given, as for the state of a generator."""
    if not callable(options["initial_value"]):
        return create(**options)
    return UninitializedVariable(
        name=options["name"], dtype=options["dtype"], shape=options["shape"], trainable=options["trainable"]
    )
