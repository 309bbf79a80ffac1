"""Convolutions of the Conformer: the subsampling in front and the depthwise convolution in every block (2005.08100).

Padding is explicit and always the same, whatever the length, so that outputs do not depend on how a batch is padded.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import tensorflow as tf
import tf_keras as keras

from tfconformer.layers.dense import Dense
from tfconformer.layers.masking import frame_mask
from tfconformer.layers.registry import register
from tfconformer.layers.streaming import Frames, Lengths, Pointwise, StreamStep

# Of the convolutions of the subsampling, along frames and bins.
WINDOW, STRIDE = 3, 2


def _time_padding(kernel: int, causal: bool) -> tuple[int, int]:
    """Frames of zeros (before, after) the utterance for a convolution that keeps its length at stride 1."""
    return (kernel - 1, 0) if causal else ((kernel - 1) // 2, kernel // 2)


def _strided(lengths: tf.Tensor, stride: int) -> tf.Tensor:
    """Lengths behind a stride: ceil(lengths / stride)."""
    return (lengths + stride - 1) // stride


class _Halving(keras.layers.Layer):
    """Windows of 3 frames by 3 bins, every second frame and bin: (x, lengths [B]) -> (of x, ceil(lengths/2))."""

    def __init__(self, causal: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.causal = causal

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        x, lengths = inputs
        x = self._image(x)
        x *= tf.expand_dims(frame_mask(lengths, tf.shape(x)[1]), -1)
        padded = tf.pad(x, [(0, 0), _time_padding(WINDOW, self.causal), (1, 1), (0, 0)])
        return self._of_windows(padded), _strided(lengths, STRIDE)

    def stream(self, inputs: tuple[Frames, Lengths], step: StreamStep) -> tuple[Frames, Lengths]:
        x, lengths = inputs
        image = self._image(x.values)
        x = replace(x, values=image * tf.expand_dims(step.mask(x, lengths), -1))
        before, after = _time_padding(WINDOW, self.causal)
        window, delay = step.strided_window(self.name, x, before, after, STRIDE)
        values = self._of_windows(tf.pad(window, [(0, 0), (0, 0), (1, 1), (0, 0)]))
        return Frames(values, delay, x.stride * STRIDE), Lengths(_strided(lengths.values, STRIDE))

    def _image(self, x: tf.Tensor) -> tf.Tensor:
        """What the layer is called with as [B, T, F, C]."""
        return x

    def _of_windows(self, padded: tf.Tensor) -> tf.Tensor:
        """[B, T', F', C] -> a number, or several, of every window."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "causal": self.causal}


@register
class FeatureConvolution(_Halving):
    """A 3x3 convolution of stride 2 with ReLU.

    Call: (features [B, T, F], lengths [B]) -> (x [B, ceil(T/2), ceil(F/2), channels], ceil(lengths/2)).
    """

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

    def _of_windows(self, padded: tf.Tensor) -> tf.Tensor:
        return self.convolution(padded)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "channels": self.channels}


@register
class Patches(_Halving):
    """The numbers of every window side by side, in front of a `Convolution`.

    Call: (x [B, T, F, C], lengths [B]) -> (patches [B, ceil(T/2), ceil(F/2), 9 C], ceil(lengths/2)).
    """

    def _of_windows(self, padded: tf.Tensor) -> tf.Tensor:
        first_and_last = [(offset, offset - WINDOW + 1 or None) for offset in range(WINDOW)]
        places = itertools.product(first_and_last, first_and_last)
        return tf.concat([padded[:, i:top:STRIDE, j:left:STRIDE] for (i, top), (j, left) in places], axis=-1)


@register
class Convolution(Dense):
    """The convolution of a `Patches` layer's windows: on patches, a dense layer like any other."""


@register
class JoinBins(Pointwise, keras.layers.Layer):
    """[B, T, F, C] -> [B, T, F * C]."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        batch = tf.shape(inputs)[0] if inputs.shape[0] is None else inputs.shape[0]
        return tf.reshape(inputs, [batch, -1, inputs.shape[2] * inputs.shape[3]])


@register
class FrameStacker(keras.layers.Layer):
    """Joins every `stride`-th frame with its `left` and `right` neighbors (2210.13761, look-ahead stackers).

    Call: (x [B, T, C], lengths [B]) -> (x [B, ceil(T/stride), (left + 1 + right) * C], ceil(lengths/stride)). Beyond
    the ends of an utterance the neighbors are zeros.
    """

    def __init__(self, left: int, right: int, stride: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.left = left
        self.right = right
        self.stride = stride

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        x, lengths = inputs
        x = tf.pad(x * frame_mask(lengths, tf.shape(x)[1]), [(0, 0), (self.left, self.right), (0, 0)])
        return self._stack(x), _strided(lengths, self.stride)

    def stream(self, inputs: tuple[Frames, Lengths], step: StreamStep) -> tuple[Frames, Lengths]:
        x, lengths = inputs
        real = replace(x, values=x.values * step.mask(x, lengths))
        window, delay = step.strided_window(self.name, real, self.left, self.right, self.stride)
        stacked = Frames(self._stack(window), delay, x.stride * self.stride)
        return stacked, Lengths(_strided(lengths.values, self.stride))

    def _stack(self, window: tf.Tensor) -> tf.Tensor:
        width = self.left + 1 + self.right
        after = [offset - width + 1 for offset in range(width)]
        return tf.concat([window[:, i : end or None : self.stride] for i, end in enumerate(after)], axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "left": self.left, "right": self.right, "stride": self.stride}


@register
class GatedLinearUnit(Pointwise, keras.layers.Layer):
    """[..., 2C] -> [..., C]: the first half times the sigmoid of the second (1612.08083)."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        value, gate = tf.split(inputs, 2, axis=-1)
        return value * tf.sigmoid(gate)


@register
class DepthwiseConvolution(keras.layers.Layer):
    """One filter per channel along time: (x [B, T, C], mask [B, T, 1]) -> [B, T, C]."""

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
        return self._convolve(tf.pad(x * mask, [(0, 0), _time_padding(self.kernel_size, self.causal), (0, 0)]))

    def stream(self, inputs: tuple[Frames, Lengths], step: StreamStep) -> Frames:
        x, lengths = inputs
        before, after = _time_padding(self.kernel_size, self.causal)
        window = step.window(self.name, x.values * step.mask(x, lengths), before + after)
        return Frames(self._convolve(window), x.delay + after, x.stride)

    def _convolve(self, padded: tf.Tensor) -> tf.Tensor:
        x = tf.nn.depthwise_conv2d(tf.expand_dims(padded, 1), self.kernel, strides=[1, 1, 1, 1], padding="VALID")
        return tf.squeeze(tf.nn.bias_add(x, self.bias), 1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "kernel_size": self.kernel_size, "causal": self.causal}
