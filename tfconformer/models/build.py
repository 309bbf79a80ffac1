"""The model that a configuration describes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras as keras

from tfconformer.compat import variable_without_value
from tfconformer.models.config import ModelConfig
from tfconformer.models.ctc import conformer_ctc
from tfconformer.models.transducer import conformer_transducer


def conformer(config: ModelConfig, mel_bins: int, vocabulary: int) -> keras.Model:
    """Builds a float model, freshly initialized: a transducer if `config` has a section for it, otherwise CTC.

    Args:
      config: sizes and context.
      mel_bins: width of the features.
      vocabulary: number of the tokenizer's tokens.
    """
    build = conformer_ctc if config.transducer is None else conformer_transducer
    return build(config, mel_bins, vocabulary)


def abstract_conformer(config: ModelConfig, mel_bins: int, vocabulary: int) -> keras.Model:
    """Builds the structure of a float model: layers, shapes and names, with weights that have no memory or value."""
    with tf.variable_creator_scope(_without_value):
        return conformer(config, mel_bins, vocabulary)


def _without_value(create: Callable[..., tf.Variable], **options: Any) -> tf.Variable:
    """Creates a variable without a value, unless one is given, as for the state of a generator."""
    if not callable(options["initial_value"]):
        return create(**options)
    return variable_without_value(options["name"], options["shape"], options["dtype"], options["trainable"])
