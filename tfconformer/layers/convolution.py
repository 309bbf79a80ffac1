"""Convolutions of the Conformer: the subsampling in front and the depthwise convolution in every block (2005.08100).

Padding is explicit and the same for every length, so that outputs do not depend on the padding of a batch.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import tensorflow as tf
import tf_keras as keras

from tfconformer.layers.base import Layer
from tfconformer.layers.dense import Dense, Matmul
from tfconformer.layers.masking import frame_mask
from tfconformer.layers.registry import register
from tfconformer.layers.streaming import Frames, Lengths, Pointwise, StreamStep

# The convolutions of the subsampling, along frames and bins.
WINDOW, STRIDE = 3, 2


def _time_padding(kernel: int, causal: bool) -> tuple[int, int]:
    """Returns the frames of zeros (before, after) with which a convolution of stride 1 keeps an utterance's length."""
    return (kernel - 1, 0) if causal else ((kernel - 1) // 2, kernel // 2)


def _halved(size: tf.Tensor) -> tf.Tensor:
    """Returns the number of frames or bins after a convolution of the subsampling: ceil(size / 2)."""
    return (size + STRIDE - 1) // STRIDE


def window_patches(image: tf.Tensor) -> tf.Tensor:
    """Cuts an image into its windows of 3 frames by 3 bins, two apart: [B, T, F, C] -> [B, (T-1)//2, (F-1)//2, 9 C].

    With frames and bins in pairs, a window is a pair and half of the next one. Slices along a pair have a stride of 1:
    those of a stride of 2, and above all their gradients, cost TensorFlow ten times as much on a CPU.
    """
    batch, frames, bins, channels = tf.shape(image)[0], tf.shape(image)[1], tf.shape(image)[2], image.shape[3]
    rows, columns = (frames - 1) // STRIDE, (bins - 1) // STRIDE
    even = tf.pad(image, [(0, 0), (0, 2 * rows + 2 - frames), (0, 2 * columns + 2 - bins), (0, 0)])
    pairs = tf.reshape(even, [-1, STRIDE, columns + 1, STRIDE * channels])
    pair, next_first = (
        tf.slice(pairs, [0, 0, start, 0], [-1, -1, columns, width])
        for start, width in ((0, 2 * channels), (1, channels))
    )
    row_pairs = tf.reshape(
        tf.concat([pair, next_first], axis=-1), [batch, rows + 1, STRIDE, columns * WINDOW * channels]
    )
    first, second = tf.unstack(row_pairs, axis=2)
    window_rows = [tf.slice(row, [0, start, 0], [-1, rows, -1]) for row, start in ((first, 0), (second, 0), (first, 1))]
    return tf.concat([tf.reshape(row, [batch, rows, columns, WINDOW * channels]) for row in window_rows], axis=-1)


class _Halving(Layer):
    """A layer of windows of 3 frames by 3 bins, two apart: (x, lengths [B]) -> (f(windows of x), ceil(lengths/2))."""

    frame_rate = 1 / STRIDE

    def __init__(self, causal: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.causal = causal

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        x, lengths = inputs
        x = self._image(x)
        x *= tf.expand_dims(frame_mask(lengths, tf.shape(x)[1]), -1)
        padded = tf.pad(x, [(0, 0), _time_padding(WINDOW, self.causal), (1, 1), (0, 0)])
        return self._map_windows(padded), _halved(lengths)

    def stream(self, inputs: tuple[Frames, Lengths], step: StreamStep) -> tuple[Frames, Lengths]:
        x, lengths = inputs
        image = self._image(x.values)
        x = replace(x, values=image * tf.expand_dims(step.mask(x, lengths), -1))
        before, after = _time_padding(WINDOW, self.causal)
        window, delay = step.strided_window(self.name, x, before, after, STRIDE)
        values = self._map_windows(tf.pad(window, [(0, 0), (0, 0), (1, 1), (0, 0)]))
        stride = x.stride * STRIDE
        return Frames(values, delay, stride), Lengths(_halved(lengths.values), stride)

    def _image(self, x: tf.Tensor) -> tf.Tensor:
        """Returns the layer's input as [B, T, F, C]."""
        return x

    def _map_windows(self, padded: tf.Tensor) -> tf.Tensor:
        """Maps every window of an image [B, T', F', C] to its output channels."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "causal": self.causal}


@register
class FeatureConvolution(_Halving):
    """A 3x3 convolution of stride 2 with ReLU.

    Call: (features [B, T, F], lengths [B]) -> (x [B, ceil(T/2), ceil(F/2), channels], ceil(lengths/2)).
    """

    kind = "convolution"

    def __init__(self, channels: int, causal: bool = False, **kwargs: Any):
        super().__init__(causal, **kwargs)
        self.channels = channels
        self.convolution = keras.layers.Conv2D(channels, WINDOW, STRIDE, activation="relu", name="convolution")

    def build(self, input_shape: tuple[tf.TensorShape, tf.TensorShape]) -> None:
        with tf.name_scope(self.convolution.name):
            self.convolution.build(tf.TensorShape([None, None, None, 1]))
        super().build(input_shape)

    def _image(self, x: tf.Tensor) -> tf.Tensor:
        return tf.expand_dims(x, -1)

    def _map_windows(self, padded: tf.Tensor) -> tf.Tensor:
        return self.convolution(padded)

    def macs_per_frame(self, input_shape: tuple[tf.TensorShape, tf.TensorShape]) -> int:
        bins = _halved(int(input_shape[0][-1]))
        return bins * WINDOW**2 * self.channels

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "channels": self.channels}


@register
class DepthwiseHalving(_Halving):
    """A 3x3 convolution of stride 2 with one filter per channel (FastConformer, 2305.05084, sec. 2).

    Call: (x [B, T, F, C], lengths [B]) -> (x [B, ceil(T/2), ceil(F/2), C], ceil(lengths/2)).

    Attributes:
      kernel: [3, 3, C, 1] variable.
      bias: [C] variable.
    """

    kind = "depthwise"

    def build(self, input_shape: tuple[tf.TensorShape, tf.TensorShape]) -> None:
        channels = int(input_shape[0][-1])
        bound = 1 / WINDOW  # the fan-in of a depthwise filter is its size
        initializer = keras.initializers.RandomUniform(-bound, bound)
        self.kernel = self.add_weight("kernel", [WINDOW, WINDOW, channels, 1], initializer=initializer)
        self.bias = self.add_weight("bias", [channels], initializer="zeros")
        super().build(input_shape)

    def _map_windows(self, padded: tf.Tensor) -> tf.Tensor:
        x = tf.nn.depthwise_conv2d(padded, self.kernel, strides=[1, STRIDE, STRIDE, 1], padding="VALID")
        return tf.nn.bias_add(x, self.bias)

    def macs_per_frame(self, input_shape: tuple[tf.TensorShape, tf.TensorShape]) -> int:
        _, _, bins, channels = input_shape[0]
        return _halved(int(bins)) * WINDOW**2 * int(channels)


@register
class PaddedImage(_Halving):
    """The padded image itself, for a `ConvolutionOfImage`, which cuts the windows out of it."""

    def _map_windows(self, padded: tf.Tensor) -> tf.Tensor:
        return padded


@register
class Patches(_Halving):
    """The values of every window side by side, in front of a `Convolution`.

    Call: (x [B, T, F, C], lengths [B]) -> (patches [B, ceil(T/2), ceil(F/2), 9 C], ceil(lengths/2)).
    """

    exported_as = PaddedImage

    def _map_windows(self, padded: tf.Tensor) -> tf.Tensor:
        return window_patches(padded)


@register
class ConvolutionOfImage(Dense):
    """A `Convolution` that cuts the windows out of a `PaddedImage` itself: [B, T', F', C] -> [B, T, F, units]."""

    kind = "convolution"
    window = WINDOW
    stride = STRIDE

    def _contraction(self, input_shape: Any) -> int:
        return WINDOW**2 * super()._contraction(input_shape)

    def affine(self, inputs: tf.Tensor, matmul: Matmul | None) -> tf.Tensor:
        kernel = tf.reshape(self.kernel, [WINDOW, WINDOW, inputs.shape[-1], self.units])
        return tf.nn.bias_add(tf.nn.conv2d(inputs, kernel, STRIDE, "VALID"), self.bias)

    def macs_per_frame(self, input_shape: tf.TensorShape) -> int:
        bins = (int(input_shape[2]) - WINDOW) // STRIDE + 1
        return bins * super().macs_per_frame(input_shape)


@register
class Convolution(Dense):
    """The convolution of a `Patches` layer's windows, a matmul like any other: [B, T, F, 9 C] -> [B, T, F, units]."""

    kind = "convolution"
    window = WINDOW
    stride = STRIDE
    exported_as = ConvolutionOfImage

    def macs_per_frame(self, input_shape: tf.TensorShape) -> int:
        return int(input_shape[2]) * super().macs_per_frame(input_shape)


@register
class PointwiseConvolution(Dense):
    """A 1x1 convolution, a matmul for every bin: [B, T, F, C] -> [B, T, F, units]."""

    kind = "convolution"

    def macs_per_frame(self, input_shape: tf.TensorShape) -> int:
        return int(input_shape[2]) * super().macs_per_frame(input_shape)


@register
class JoinBins(Pointwise, Layer):
    """The values of all bins of a frame side by side: [B, T, F, C] -> [B, T, F * C]."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        batch = tf.shape(inputs)[0] if inputs.shape[0] is None else inputs.shape[0]
        return tf.reshape(inputs, [batch, -1, inputs.shape[2] * inputs.shape[3]])


@register
class GatedLinearUnit(Pointwise, Layer):
    """The first half of the channels times the sigmoid of the second (1612.08083): [..., 2C] -> [..., C]."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        value, gate = tf.split(inputs, 2, axis=-1)
        return value * tf.sigmoid(gate)


@register
class DepthwiseConvolution(Layer):
    """A convolution along time with one filter per channel: (x [B, T, C], mask [B, T, 1]) -> [B, T, C].

    Attributes:
      kernel: [1, kernel_size, C, 1] variable.
      bias: [C] variable.
    """

    kind = "depthwise"
    operation = "depthwise_convolution"
    constants = ("kernel", "bias")

    def __init__(self, kernel_size: int, causal: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.kernel_size = kernel_size
        self.causal = causal

    def build(self, input_shape: tuple[tf.TensorShape, tf.TensorShape]) -> None:
        channels = int(input_shape[0][-1])
        # Fan-in of a depthwise filter is its length; the default initializers would count the channels too.
        bound = self.kernel_size**-0.5
        self.kernel = self.add_weight(
            "kernel", [1, self.kernel_size, channels, 1], initializer=keras.initializers.RandomUniform(-bound, bound)
        )
        self.bias = self.add_weight("bias", [channels], initializer="zeros")
        super().build(input_shape)

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        x, mask = inputs
        return self.convolve(tf.pad(x * mask, [(0, 0), _time_padding(self.kernel_size, self.causal), (0, 0)]))

    def stream(self, inputs: tuple[Frames, Lengths], step: StreamStep) -> Frames:
        x, lengths = inputs
        before, after = _time_padding(self.kernel_size, self.causal)
        window = step.window(self.name, x.values * step.mask(x, lengths), before + after)
        return Frames(self.convolve(window), x.delay + after, x.stride)

    def convolve(self, padded: tf.Tensor) -> tf.Tensor:
        """Convolves padded frames, the layer's operation: [B, T + kernel_size - 1, C] -> [B, T, C]."""
        x = tf.nn.depthwise_conv2d(tf.expand_dims(padded, 1), self.kernel, strides=[1, 1, 1, 1], padding="VALID")
        return tf.squeeze(tf.nn.bias_add(x, self.bias), 1)

    def macs_per_frame(self, input_shape: tuple[tf.TensorShape, tf.TensorShape]) -> int:
        return self.kernel_size * int(input_shape[0][-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "kernel_size": self.kernel_size, "causal": self.causal}
