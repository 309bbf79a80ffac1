"""Normalizations: of the features by statistics of the corpus or the utterance, and of activations over channels."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfconformer.compat import infers_shape
from tfconformer.errors import InputError
from tfconformer.layers.base import Layer
from tfconformer.layers.masking import frame_mask
from tfconformer.layers.registry import register
from tfconformer.layers.streaming import Frames, Lengths, Pointwise, StreamStep


@register
class FeatureNormalization(Pointwise, Layer):
    """`(x - mean) / deviation` per mel bin, with statistics of the training corpus stored as weights.

    Corpus statistics, unlike an utterance's own, exist before the first frame of a stream.

    Attributes:
      mean, deviation: [bins] variables, which no gradient trains.
    """

    kind = "normalization"

    def build(self, input_shape: tf.TensorShape) -> None:
        bins = int(input_shape[-1])
        self.mean = self.add_weight("mean", [bins], initializer="zeros", trainable=False)
        self.deviation = self.add_weight("deviation", [bins], initializer="ones", trainable=False)
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return (inputs - self.mean) / self.deviation

    def adapt(self, frames: np.ndarray) -> None:
        """Sets the statistics from `frames` [count, bins], all of them valid frames (no padding)."""
        self.mean.assign(frames.mean(axis=0))
        self.deviation.assign(np.maximum(frames.std(axis=0), 1e-3))


class _OfUtterance(Layer):
    """A normalization with statistics over the frames of an utterance: (x [B, T, C], lengths [B]) -> [B, T, C]."""

    kind = "normalization"

    def stream(self, inputs: tuple[Frames, Lengths], step: StreamStep) -> Frames:
        raise InputError(
            f"the layer {self.name} ({type(self).__name__}) cannot run on a stream, which lacks the statistics of the "
            "whole utterance"
        )


def _centered(x: tf.Tensor, lengths: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Subtracts the mean of every channel over the valid frames.

    Returns:
      (the difference, zero on padding [B, T, C]; the sum of its squares [B, 1, C]; the number of frames [B, 1, 1]).
    """
    mask = frame_mask(lengths, tf.shape(x)[1])
    count = tf.cast(lengths, tf.float32)[:, tf.newaxis, tf.newaxis]
    mean = tf.reduce_sum(x * mask, axis=1, keepdims=True) / tf.maximum(count, 1.0)
    centered = (x - mean) * mask
    return centered, tf.reduce_sum(tf.square(centered), axis=1, keepdims=True), count


@register
class UtteranceNormalization(_OfUtterance):
    """`(x - mean) / (deviation + 1e-5)` per mel bin, with the utterance's own statistics; padding becomes zero.

    Call: (features [B, T, F], lengths [B]) -> [B, T, F]. The variance is the unbiased one. It cannot run on a stream,
    which has no statistics of the whole utterance.
    """

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        centered, squares, count = _centered(*inputs)
        return centered / (tf.sqrt(squares / tf.maximum(count - 1.0, 1.0)) + 1e-5)


@register
class InstanceNormalization(_OfUtterance):
    """`(x - mean) / sqrt(variance + epsilon)` per channel over the frames of an utterance (1607.08022).

    Call: (x [B, T, C], lengths [B]) -> [B, T, C]; padding becomes beta. Group normalization with a group for every
    channel computes the same. It cannot run on a stream, which has no statistics of the whole utterance.

    Attributes:
      gamma, beta: [C] variables, a scale and an offset after it, if it is `affine`.
    """

    def __init__(self, epsilon: float, affine: bool = True, **kwargs: Any):
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.affine = affine

    def build(self, input_shape: tuple[tf.TensorShape, tf.TensorShape]) -> None:
        if self.affine:
            channels = int(input_shape[0][-1])
            self.gamma = self.add_weight("gamma", [channels], initializer="ones")
            self.beta = self.add_weight("beta", [channels], initializer="zeros")
        super().build(input_shape)

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        centered, squares, count = _centered(*inputs)
        normalized = centered * tf.math.rsqrt(squares / tf.maximum(count, 1.0) + self.epsilon)
        return normalized * self.gamma + self.beta if self.affine else normalized

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon, "affine": self.affine}


@register
class LayerNormalization(Pointwise, Layer):
    """Layer normalization over the last axis (1607.06450).

    Written out, because the fused form of `keras.layers.LayerNormalization` reshapes through a batch normalization
    that converts badly to TFLite.

    Attributes:
      gamma, beta: [channels] variables.
    """

    kind = "normalization"
    operation = "layer_normalization"
    constants = ("gamma", "beta")

    def __init__(self, epsilon: float = 1e-5, **kwargs: Any):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape: tf.TensorShape) -> None:
        channels = int(input_shape[-1])
        self.gamma = self.add_weight("gamma", [channels], initializer="ones")
        self.beta = self.add_weight("beta", [channels], initializer="zeros")
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        if infers_shape():
            return tf.identity(inputs)
        centered = inputs - tf.reduce_mean(inputs, axis=-1, keepdims=True)
        variance = tf.reduce_mean(tf.square(centered), axis=-1, keepdims=True)
        return centered * tf.math.rsqrt(variance + self.epsilon) * self.gamma + self.beta

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon}
