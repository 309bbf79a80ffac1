"""Windows of a convolution side by side, so that the convolution is a `Dense` after them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import tensorflow as tf

from tfconformer.layers.base import Layer
from tfconformer.layers.registry import register


@register
class Windows(Layer):
    """The windows of a convolution over one or two axes: [B, *sizes, C] -> [B, *windows, prod(kernel_size) * C].

    Args:
      kernel_size: elements of a window along each axis.
      strides: distance of neighboring windows.
      dilation: distance of neighboring elements of a window.
      padding: "valid" for windows within the input; "same" for ceil(size / stride) of them, with zeros around it;
        "causal" for zeros before it alone.
    """

    def __init__(
        self, kernel_size: Sequence[int], strides: Sequence[int], dilation: Sequence[int], padding: str, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.kernel_size = tuple(kernel_size)
        self.strides = tuple(strides)
        self.dilation = tuple(dilation)
        self.padding = padding

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        sizes = [known if known is not None else tf.shape(inputs)[axis] for axis, known in enumerate(inputs.shape)]
        reaches = [(size - 1) * step + 1 for size, step in zip(self.kernel_size, self.dilation, strict=True)]
        paddings = [
            self._padding(size, reach, stride)
            for size, reach, stride in zip(sizes[1:-1], reaches, self.strides, strict=True)
        ]
        padded = inputs if self.padding == "valid" else tf.pad(inputs, [(0, 0), *paddings, (0, 0)])
        counts = [
            (size + before + after - reach) // stride + 1
            for size, (before, after), reach, stride in zip(sizes[1:-1], paddings, reaches, self.strides, strict=True)
        ]
        starts = [
            [index * step for index in range(size)] for size, step in zip(self.kernel_size, self.dilation, strict=True)
        ]
        parts = [padded[self._slices(start, counts)] for start in product(*starts)]
        # Neither TensorFlow nor the TFLite converter knows the number of channels of a slice of variable length.
        return tf.reshape(tf.concat(parts, axis=-1), [sizes[0], *counts, len(parts) * inputs.shape[-1]])

    def _padding(self, size: Any, reach: int, stride: int) -> tuple[Any, Any]:
        if self.padding == "valid":
            return 0, 0
        if self.padding == "causal":
            return reach - 1, 0
        missing = (-(-size // stride) - 1) * stride + reach - size
        total = max(missing, 0) if isinstance(missing, int) else tf.maximum(missing, 0)
        return total // 2, total - total // 2

    def _slices(self, start: Sequence[int], counts: Sequence[Any]) -> tuple[slice, ...]:
        along = (
            slice(first, first + (count - 1) * stride + 1, stride)
            for first, count, stride in zip(start, counts, self.strides, strict=True)
        )
        return slice(None), *along

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "dilation": self.dilation,
            "padding": self.padding,
        }
