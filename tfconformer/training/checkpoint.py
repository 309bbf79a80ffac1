"""Restoring the model of a run: the configuration says how to build it, the weights file is read into it."""

from __future__ import annotations

import h5py
import tf_keras as keras

from tfconformer.config import Config
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.errors import InputError, one_line
from tfconformer.models.abstract import abstract
from tfconformer.quantization.apply import new_model
from tfconformer.tasks import find_task
from tfconformer.training.run import RunDirectory


def float_model(config: Config, tokenizer: Tokenizer) -> keras.Model:
    """Builds a configuration's model without quantization, with random weights."""
    return find_task(config.task).build(config.model, config.features.mel_bins, tokenizer.vocabulary_size)


def abstract_model(config: Config, vocabulary: int) -> keras.Model:
    """Builds a configuration's model without quantization, whose weights take no memory and have no values."""
    return abstract(lambda: find_task(config.task).build(config.model, config.features.mel_bins, vocabulary))


def build_model(config: Config, tokenizer: Tokenizer) -> keras.Model:
    """Builds a configuration's model with its quantization rules applied; the caller reads the weights into it."""
    # Building the float model first and copying it would need twice the memory.
    return new_model(abstract_model(config, tokenizer.vocabulary_size), config.quantization)


def load_model(run: RunDirectory, config: Config | None = None) -> keras.Model:
    """Builds the model of a run and reads its best weights.

    Args:
      run: a run directory with weights and a tokenizer.
      config: the configuration to build; None takes the run's own.

    Raises:
      InputError: the run is incomplete, or its weights do not fit its configuration.
    """
    model = build_model(config or run.config(), Tokenizer.from_file(run.tokenizer_file))
    load_weights(model, run)
    return model


def load_weights(model: keras.Model, run: RunDirectory) -> None:
    """Reads `run.weights_file` into `model`.

    Raises:
      InputError: the file is missing, is not a weights file, or holds the weights of another model.
    """
    if not run.weights_file.is_file():
        raise InputError(f"the run {run.path} has no {run.weights_file.name}")
    try:
        with h5py.File(run.weights_file) as file:
            _read_layers(model, file)
    except (ValueError, OSError, KeyError) as error:
        reason = one_line(error)
        raise InputError(f"{run.weights_file} does not fit its configuration: {reason}") from None


def _read_layers(model: keras.Model, file: h5py.File) -> None:
    """Assigns the stored weights layer by layer.

    `Model.load_weights` reads the whole file before it assigns anything, which needs twice the memory.

    Raises:
      ValueError: the layers, or the shapes of their weights, differ from those of the file.
    """
    layers = {layer.name: layer for layer in model.layers if layer.weights}
    different = layers.keys() ^ {name for name in file if file[name].attrs["weight_names"].size}
    if different:
        raise ValueError(f"layers that only one of the two has: {', '.join(sorted(different))}")
    for name, layer in layers.items():
        variables = [*layer.trainable_weights, *layer.non_trainable_weights]
        stored = [file[name][weight] for weight in file[name].attrs["weight_names"]]
        shapes = [weight.shape for weight in stored]
        if shapes != [tuple(variable.shape) for variable in variables]:
            raise ValueError(f"the weights of layer {name} have other shapes: {shapes}")
        for variable, weight in zip(variables, stored, strict=True):
            variable.assign(weight[()])
