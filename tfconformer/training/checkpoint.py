"""Weights files, and restoring the model of a run from its configuration and its weights file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import h5py
import numpy as np
import tf_keras as keras
from numpy.typing import NDArray

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


def write_weights(path: Path, model: keras.Model, layers: Iterable[tuple[str, Sequence[NDArray[np.float32]]]]) -> None:
    """Writes a weights file layer by layer, in the format that `load_weights` and Keras read.

    Args:
      path: the file.
      model: the float model, which may be abstract: its weights do not count.
      layers: names of layers with their weights, trainable ones first, of all layers that have some.

    Raises:
      ValueError: a layer or its weights are not those of the model.
    """
    expected = {layer.name: [*layer.trainable_weights, *layer.non_trainable_weights] for layer in model.layers}
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", keras.__version__.encode()
        for name, values in layers:
            variables = expected.pop(name)
            shapes = [tuple(variable.shape) for variable in variables]
            if [value.shape for value in values] != shapes:
                raise ValueError(
                    f"the weights of {name} have the shapes {[value.shape for value in values]}, not {shapes}"
                )
            _write_layer(file, name, [variable.name for variable in variables], values)
        missing = [name for name, variables in expected.items() if variables]
        if missing:
            raise ValueError(f"weights are missing of {', '.join(missing)}")
        for name in expected:
            _write_layer(file, name, [], [])


def _write_layer(file: h5py.File, name: str, names: Sequence[str], values: Sequence[NDArray[np.float32]]) -> None:
    group = file.create_group(name)
    group.attrs["weight_names"] = np.array(names, dtype="S")
    for weight, value in zip(names, values, strict=True):
        group.create_dataset(weight, data=value)
