"""The multiplications of a model per second of audio, counted by its layers themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import tensorflow as tf
import tf_keras as keras

from tfconformer.compat import layer_calls
from tfconformer.features.config import FeatureConfig
from tfconformer.layers.base import Layer
from tfconformer.layers.dense import float_layer
from tfconformer.models.config import ModelConfig


def input_rates(features: FeatureConfig, model: ModelConfig) -> dict[str, float]:
    """Returns the frames per second of a model's inputs, by name; labels count as if every encoder frame had one."""
    frames = _frames_per_second(features)
    rates = {"features": frames, "labels": frames / model.encoder_stride}
    if model.parrotron is not None:
        rates["target"] = _frames_per_second(model.parrotron.target) / model.parrotron.frames_per_step
    if model.vocoder is not None:
        rates["spectrogram"] = _frames_per_second(model.vocoder.spectrogram)
    return rates


def _frames_per_second(features: FeatureConfig) -> float:
    return features.sample_rate / features.frame_step


def macs_per_second(model: keras.Model, rates: Mapping[str, float]) -> dict[str, float]:
    """Counts the multiplications with weights of every layer for one second of audio.

    Left out are elementwise scales, and the products of activations with activations in attention, which grow with the
    length of the utterance.

    Args:
      model: a functional model, quantized or not, whose weights need not exist.
      rates: from `input_rates`; inputs that are left out have no frames, as lengths.

    Returns:
      The counts by layer name.
    """
    rate_of: dict[int, float] = {}
    macs: defaultdict[str, float] = defaultdict(float)
    for call in layer_calls(model):
        layer, outputs = float_layer(call.layer), tf.nest.flatten(call.outputs)
        if call.is_input:
            rate = rates.get(layer.name, 0.0)
        else:
            inputs = tf.nest.flatten(call.input_tensors)
            rate = rate_of[id(inputs[0])]  # the frames of a layer are those of its first input
            if isinstance(layer, Layer):
                rate *= layer.frame_rate
                macs[layer.name] += rate * layer.macs_per_frame(call.input_shapes)
        rate_of.update({id(output): rate for output in outputs})
    return dict(macs)
