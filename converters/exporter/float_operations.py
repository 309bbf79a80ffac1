"""Float layers that files with packed layers, which need our operations anyway, have as operations of ours too.

LiteRT computes a layer normalization in eight operations, attention in about twenty, and a depthwise convolution along
time with kernels that are made for images. The constants of ours are float: nothing is quantized here.
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
from tfconformer.layers.attention import RelativeAttention
from tfconformer.layers.convolution import DepthwiseConvolution
from tfconformer.layers.normalization import LayerNormalization

_FORMAT_VERSION = 1  # of the params of all


@dataclass(frozen=True)
class FloatOperation:
    """A layer as one of our operations.

    Attributes:
      operation: its name in a file.
      channels: the last dimension of input and output.
      constants: by role, in the order of the operation's inputs, behind those that are no constants.
    """

    operation: str
    channels: int
    constants: Mapping[str, NDArray[Any]]


def float_operations(
    model: keras.Model,
    tables: Mapping[str, NDArray[np.float32]] | None = None,
    value_of: Callable[[tf.Variable], NDArray[np.float32]] = lambda variable: variable.numpy(),
) -> dict[str, FloatOperation]:
    """The layers of a model that can be such an operation, by name.

    Args:
      model: what is exported.
      tables: of a stream, from `position_tables`; None for whole utterances.
      value_of: reads a weight, which may not exist.
    """
    found = {}
    for layer in model.layers:
        if isinstance(layer, DepthwiseConvolution):
            found[layer.name] = depthwise_operation(value_of(layer.kernel)[0, :, :, 0], value_of(layer.bias))
        elif isinstance(layer, LayerNormalization):
            found[layer.name] = normalization_operation(value_of(layer.gamma), value_of(layer.beta), layer.epsilon)
        elif isinstance(layer, RelativeAttention):
            table = None if tables is None else tables[f"{layer.name}/position"][0]
            found[layer.name] = attention_operation(value_of(layer.content_bias), value_of(layer.position_bias), table)
    return found


def depthwise_operation(kernel: NDArray[np.float32], bias: NDArray[np.float32]) -> FloatOperation:
    """A depthwise convolution with a kernel [frames, channels] and a bias [channels]."""
    params = np.array([_FORMAT_VERSION, *kernel.shape], np.int32)
    return FloatOperation(DEPTHWISE_CONVOLUTION, kernel.shape[1], {"kernel": kernel, "params": params, "bias": bias})


def normalization_operation(gain: NDArray[np.float32], bias: NDArray[np.float32], epsilon: float) -> FloatOperation:
    """A layer normalization with a gain and a bias [channels]."""
    params, number = np.array([_FORMAT_VERSION, *gain.shape], np.int32), np.array([epsilon], np.float32)
    constants = {"gain": gain, "params": params, "epsilon": number, "bias": bias}
    return FloatOperation(LAYER_NORMALIZATION, len(gain), constants)


def attention_operation(
    content_bias: NDArray[np.float32], position_bias: NDArray[np.float32], table: NDArray[np.float32] | None = None
) -> FloatOperation:
    """Attention with biases [heads, width]; on a stream with a table [distances, dim] of projected positions."""
    distances = 0 if table is None else len(table)
    params = np.array([_FORMAT_VERSION, *content_bias.shape, distances], np.int32)
    constants = {"params": params, "content_bias": content_bias, "position_bias": position_bias}
    if table is None:
        return FloatOperation(ATTENTION, content_bias.size, constants)
    columns = np.pad(table.T, ((0, 0), (0, padded_columns(distances) - distances)))
    return FloatOperation(ATTENTION_STEP, content_bias.size, {**constants, "positions": columns})
