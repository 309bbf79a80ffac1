"""Float layers that files with packed layers, which need our operations anyway, have as operations of ours too.

LiteRT computes a layer normalization in eight operations, and a depthwise convolution along time with kernels that are
made for images. The constants of ours are float: nothing is quantized here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
from numpy.typing import NDArray

from converters.custom_ops import DEPTHWISE_CONVOLUTION, LAYER_NORMALIZATION
from tfconformer.layers.convolution import DepthwiseConvolution
from tfconformer.layers.normalization import LayerNormalization

_FORMAT_VERSION = 1  # of the params of either


@dataclass(frozen=True)
class FloatOperation:
    """A layer as one of our operations.

    Attributes:
      operation: its name in a file.
      constants: by role, in the order of the operation's inputs behind x.
    """

    operation: str
    constants: Mapping[str, NDArray[Any]]

    @property
    def channels(self) -> int:
        """The last dimension of input and output."""
        return int(self.constants["params"][-1])


def float_operations(
    model: keras.Model, value_of: Callable[[tf.Variable], NDArray[np.float32]] = lambda variable: variable.numpy()
) -> dict[str, FloatOperation]:
    """The layers of a model that can be such an operation, by name; `value_of` reads a weight, which may not exist."""
    found = {}
    for layer in model.layers:
        if isinstance(layer, DepthwiseConvolution):
            found[layer.name] = depthwise_operation(value_of(layer.kernel)[0, :, :, 0], value_of(layer.bias))
        elif isinstance(layer, LayerNormalization):
            found[layer.name] = normalization_operation(value_of(layer.gamma), value_of(layer.beta), layer.epsilon)
    return found


def depthwise_operation(kernel: NDArray[np.float32], bias: NDArray[np.float32]) -> FloatOperation:
    """A depthwise convolution with a kernel [frames, channels] and a bias [channels]."""
    params = np.array([_FORMAT_VERSION, *kernel.shape], np.int32)
    return FloatOperation(DEPTHWISE_CONVOLUTION, {"kernel": kernel, "params": params, "bias": bias})


def normalization_operation(gain: NDArray[np.float32], bias: NDArray[np.float32], epsilon: float) -> FloatOperation:
    """A layer normalization with a gain and a bias [channels]."""
    params, number = np.array([_FORMAT_VERSION, *gain.shape], np.int32), np.array([epsilon], np.float32)
    return FloatOperation(LAYER_NORMALIZATION, {"gain": gain, "params": params, "epsilon": number, "bias": bias})
