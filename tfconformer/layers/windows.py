"""Windows of a convolution side by side, so that the convolution is a `Dense` after them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import tensorflow as tf

from tfconformer.features.log_mel import frame
from tfconformer.layers.base import Layer
from tfconformer.layers.registry import register
from tfconformer.layers.streaming import Frames, Lengths, StreamStep


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


@register
class TimeWindows(Layer):
    """The frames of every whole window along time: (x [B, T, C], lengths [B]) -> ([B, windows, size * C], windows [B]).

    There are (T - size) // stride + 1 windows, since nothing is padded.
    """

    def __init__(self, size: int, stride: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.size = size
        self.stride = stride
        self.frame_rate = 1 / stride

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        x, lengths = inputs
        return self._windows(x), self._count(lengths)

    def stream(self, inputs: tuple[Frames, Lengths], step: StreamStep) -> tuple[Frames, Lengths]:
        x, lengths = inputs
        window, delay = step.strided_window(self.name, x, 0, self.size - 1, self.stride)
        stride = x.stride * self.stride
        return Frames(self._windows(window), delay, stride), Lengths(self._count(lengths.values), stride)

    def _windows(self, x: tf.Tensor) -> tf.Tensor:
        batch = tf.shape(x)[0] if x.shape[0] is None else x.shape[0]
        channels = x.shape[-1]
        windows = frame(tf.reshape(x, [batch, -1]), self.size * channels, self.stride * channels)
        return tf.ensure_shape(windows, [x.shape[0], None, self.size * channels])

    def _count(self, lengths: tf.Tensor) -> tf.Tensor:
        return tf.maximum((lengths - self.size) // self.stride + 1, 0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size, "stride": self.stride}
