"""Float layers as custom operations of this project, in files whose packed layers need its library anyway.

LiteRT computes a layer normalization in eight operations, attention in about twenty, and a depthwise convolution along
time with kernels that are made for images. The constants of the custom operations are float: nothing is quantized here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
from numpy.typing import NDArray

from converters.custom_ops import ATTENTION, ATTENTION_STEP, DEPTHWISE_CONVOLUTION, LAYER_NORMALIZATION, padded_columns

ValueOf = Callable[[tf.Variable], NDArray[np.float32]]
Tables = Mapping[str, NDArray[np.float32]] | None

_FORMAT_VERSION = 1  # of the op attributes of all operations


@dataclass(frozen=True)
class FloatOperation:
    """A float layer as one custom operation.

    Attributes:
      operation: name of the operation in a file.
      channels: last dimension of input and output.
      constants: constant inputs by role, in the order of the operation's inputs; they follow the computed inputs.
    """

    operation: str
    channels: int
    constants: Mapping[str, NDArray[Any]]


def float_operations(
    model: keras.Model,
    tables: Mapping[str, NDArray[np.float32]] | None = None,
    value_of: ValueOf = lambda variable: variable.numpy(),
) -> dict[str, FloatOperation]:
    """Returns the layers of a model that a float custom operation can compute, by name.

    Args:
      model: the model to export.
      tables: for a stream, the projected positions [1, distances, dim] by layer name; None for whole utterances.
      value_of: function from a variable to its value; for an abstract model, one that makes a value.
    """
    layers = [layer for layer in model.layers if getattr(layer, "operation", None) in _CONSTANTS]
    return {layer.name: _CONSTANTS[layer.operation](layer, value_of, tables) for layer in layers}


def depthwise_operation(kernel: NDArray[np.float32], bias: NDArray[np.float32]) -> FloatOperation:
    """Makes a depthwise convolution with a kernel [frames, channels] and a bias [channels]."""
    params = np.array([_FORMAT_VERSION, *kernel.shape], np.int32)
    return FloatOperation(DEPTHWISE_CONVOLUTION, kernel.shape[1], {"kernel": kernel, "params": params, "bias": bias})


def normalization_operation(gamma: NDArray[np.float32], beta: NDArray[np.float32], epsilon: float) -> FloatOperation:
    """Makes a layer normalization with gamma and beta [channels]."""
    params, number = np.array([_FORMAT_VERSION, *gamma.shape], np.int32), np.array([epsilon], np.float32)
    constants = {"gain": gamma, "params": params, "epsilon": number, "bias": beta}  # the roles are names in the file
    return FloatOperation(LAYER_NORMALIZATION, len(gamma), constants)


def attention_operation(
    content_bias: NDArray[np.float32], position_bias: NDArray[np.float32], table: NDArray[np.float32] | None = None
) -> FloatOperation:
    """Makes attention with biases [heads, width]; for a stream, with projected positions [distances, dim]."""
    distances = 0 if table is None else len(table)
    params = np.array([_FORMAT_VERSION, *content_bias.shape, distances], np.int32)
    constants = {"params": params, "content_bias": content_bias, "position_bias": position_bias}
    if table is None:
        return FloatOperation(ATTENTION, content_bias.size, constants)
    columns = np.pad(table.T, ((0, 0), (0, padded_columns(distances) - distances)))
    return FloatOperation(ATTENTION_STEP, content_bias.size, {**constants, "positions": columns})


def _depthwise(layer: Any, value_of: ValueOf, tables: Tables) -> FloatOperation:
    return depthwise_operation(value_of(layer.kernel)[0, :, :, 0], value_of(layer.bias))


def _normalization(layer: Any, value_of: ValueOf, tables: Tables) -> FloatOperation:
    return normalization_operation(value_of(layer.gamma), value_of(layer.beta), layer.epsilon)


def _attention(layer: Any, value_of: ValueOf, tables: Tables) -> FloatOperation:
    table = None if tables is None else tables[f"{layer.name}/position"][0]
    return attention_operation(value_of(layer.content_bias), value_of(layer.position_bias), table)


# The functions that read the constants of a layer, by `Layer.operation`.
_CONSTANTS: dict[str, Callable[[Any, ValueOf, Tables], FloatOperation]] = {
    "depthwise_convolution": _depthwise,
    "layer_normalization": _normalization,
    "attention": _attention,
}
