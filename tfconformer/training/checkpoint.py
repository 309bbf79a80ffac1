"""From a run directory back to its model: weights and configuration, the code rebuilds the rest."""

from __future__ import annotations

import tf_keras as keras

from tfconformer.config import Config
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.errors import InputError
from tfconformer.models.conformer import conformer
from tfconformer.quantization.apply import apply_rules
from tfconformer.training.run import RunDirectory


def float_model(config: Config, tokenizer: Tokenizer) -> keras.Model:
    """The configuration's model without quantization, freshly initialized."""
    return conformer(config.model, config.features.mel_bins, tokenizer.vocabulary_size)


def build_model(config: Config, tokenizer: Tokenizer) -> keras.Model:
    """The configuration's model, quantized where its rules say so, freshly initialized."""
    return apply_rules(float_model(config, tokenizer), config.quantization)


def load_model(run: RunDirectory, config: Config | None = None) -> keras.Model:
    """The model of a run with its best weights, as `config` (the run's own by default) describes it.

    Raises:
      InputError: the run is incomplete, or its weights do not fit its configuration.
    """
    model = build_model(config or run.config(), Tokenizer.from_file(run.tokenizer_file))
    load_weights(model, run)
    return model


def load_weights(model: keras.Model, run: RunDirectory) -> None:
    """Reads `run.weights_file` into `model`.

    Raises:
      InputError: the file is missing, is not a weights file, or is of another model.
    """
    if not run.weights_file.is_file():
        raise InputError(f"the run {run.path} has no {run.weights_file.name}")
    try:
        model.load_weights(run.weights_file)
    except (ValueError, OSError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{run.weights_file} does not fit its configuration: {reason}") from None
