"""Stage 1 of a streaming export: one step of the model on audio becomes a graph whose states go in and come out.

Shapes are static: a step takes the model's unit of samples, so that the runtime plans its memory once. What every step
needs and none changes, the projected positions of attention, is computed here and stored as constants, from the model
as it was trained with its quantizers; the layers that project them are not in the file.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tf_keras as keras
from numpy.typing import NDArray

from converters.exporter.freeze import convert
from converters.exporter.freeze_parts import freeze_parts
from converters.flatbuffer.stream_description import AUDIO, COUNT, FRAMES, STEP, StreamDescription, StreamState
from tfconformer.features.config import FeatureConfig
from tfconformer.layers.attention import RelativePositions
from tfconformer.layers.dense import float_layer
from tfconformer.layers.front_end import LogMel
from tfconformer.models.streaming import StreamingModel
from tfconformer.models.transducer import is_transducer, transducer_parts


@dataclass(frozen=True)
class FrozenStream:
    """A step as a graph.

    Attributes:
      content: a `.tflite` file with the signature `encode_step`, and that of a transducer with its decoder's.
      description: how it is used.
    """

    content: bytes
    description: StreamDescription


def position_layers(model: keras.Model) -> frozenset[str]:
    """Names of the layers whose results are constants of a stream: those that project relative positions."""
    positions = [layer for layer in model.layers if isinstance(layer, RelativePositions)]
    return frozenset(float_layer(node.layer).name for layer in positions for node in layer.outbound_nodes)


def position_tables(trained: keras.Model) -> dict[str, NDArray[np.float32]]:
    """What those layers compute in the model as it was trained, with its quantizers: [1, distances, dim] by name.

    Raises:
      InputError: the model cannot run on a stream.
    """
    if is_transducer(trained):
        encoder = transducer_parts(trained).encoder
    else:
        encoder = keras.Model(trained.inputs, trained.output["logits"])
    streaming = StreamingModel(encoder)
    return {name: table.numpy() for name, table in streaming.prepare().items()}


def freeze_streaming(
    model: keras.Model,
    tables: Mapping[str, NDArray[np.float32]],
    features: FeatureConfig,
    placeholders: Collection[str] = (),
    random: bool = False,
) -> FrozenStream:
    """Converts one step of a model, log-mel front end included, and the decoder of a transducer.

    Args:
      model: from `freeze.single_head_model`.
      tables: from `position_tables`.
      features: the front end it was trained with.
      placeholders: names of the dense layers that become placeholders.
      random: as of `freeze.freeze`.

    Raises:
      InputError: the model cannot run on a stream.
    """
    constants = {name: tf.constant(table) for name, table in tables.items()}
    parts = freeze_parts(model, placeholders, random)
    streaming = StreamingModel(_on_audio(parts.encoder, features), smallest_steps=True)
    names = {state.name: state.name.replace("/", "_") for state in streaming.states}
    assert len(set(names.values())) == len(names), "two states would have one name in the file"
    signature = {
        AUDIO: tf.TensorSpec([1, streaming.step_multiple], tf.float32, AUDIO),
        COUNT: tf.TensorSpec([1], tf.int32, COUNT),
        **{names[one.name]: tf.TensorSpec([1, *one.shape], one.dtype, names[one.name]) for one in streaming.states},
    }

    @tf.function
    def encode_step(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        state = {name: inputs[given] for name, given in names.items()}
        values, frames, new_state = streaming.step(inputs[AUDIO], inputs[COUNT], state, constants)
        return {parts.output: values, FRAMES: frames, **{names[name]: value for name, value in new_state.items()}}

    description = StreamDescription(
        sample_rate=features.sample_rate,
        step_samples=streaming.step_multiple,
        frame_samples=streaming.stride,
        delay_frames=streaming.delay,
        flush_samples=streaming.flush_length,
        output=parts.output,
        states=tuple(
            StreamState(name=names[one.name], shape=(1, *one.shape), dtype=one.dtype.name) for one in streaming.states
        ),
    )
    functions = {STEP: encode_step.get_concrete_function(**signature), **parts.decoder}
    variables = [*streaming.model.variables, *parts.decoder_variables]
    return FrozenStream(convert(functions, variables, bool(placeholders)), description)


def _on_audio(encoder: keras.Model, features: FeatureConfig) -> keras.Model:
    """The model of (waveform [B, samples], lengths [B]) -> what `encoder` makes of the features."""
    waveform, lengths = keras.Input([None], name=AUDIO), keras.Input([], dtype=tf.int32, name=COUNT)
    return keras.Model([waveform, lengths], encoder(LogMel(features, name="log_mel")([waveform, lengths])))
