"""Stage 1 of a streaming export: one step of the model on audio becomes a graph with states as inputs and outputs.

Shapes are static: a step takes the smallest number of samples that the model's strides allow, so that the runtime plans
its memory once. The projected positions of attention, which are the same in every step, are computed here and stored as
constants, from the model as it was trained with its quantizers; the layers that project them are not in the file.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import tensorflow as tf
import tf_keras as keras
from numpy.typing import NDArray

from converters.exporter.freeze import FrozenGraphs, convert, describe_step, step_functions, step_variables
from converters.exporter.lookup import LookupTable
from converters.exporter.placeholders import with_placeholders
from converters.flatbuffer.metadata import (
    AUDIO,
    COUNT,
    FRAMES,
    GraphDescription,
    StreamDescription,
    TensorDescription,
)
from tfconformer.features.config import FeatureConfig
from tfconformer.layers.attention import RelativePositions
from tfconformer.layers.dense import float_layer
from tfconformer.layers.front_end import front_end
from tfconformer.models.streaming import StreamingModel
from tfconformer.tasks.task import Task

STEP, FLUSH = "encode_step", "flush"


def position_layers(model: keras.Model) -> frozenset[str]:
    """Returns the names of the layers that project relative positions: their outputs are constants of a stream."""
    positions = [layer for layer in model.layers if isinstance(layer, RelativePositions)]
    return frozenset(float_layer(node.layer).name for layer in positions for node in layer.outbound_nodes)


def position_tables(task: Task, trained: keras.Model) -> dict[str, NDArray[np.float32]]:
    """Computes the projected positions of a trained model with its quantizers: [1, distances, dim] by layer name.

    Raises:
      InputError: the model cannot run on a stream.
    """
    audio, _ = task.graphs(task.exported_part(trained, streaming=True))
    return {name: table.numpy() for name, table in StreamingModel(audio.model).prepare().items()}


def freeze_streaming(
    task: Task,
    model: keras.Model,
    tables: Mapping[str, NDArray[np.float32]],
    features: FeatureConfig,
    placeholders: Collection[str] = (),
    random: bool = False,
    lookups: Mapping[str, LookupTable] | None = None,
) -> FrozenGraphs:
    """Converts one step of a model, log-mel front end included, and the task's step graphs.

    Args:
      task: the task of the model.
      model: the model from `task.exported_part` for streams.
      tables: the projected positions [1, distances, dim] by layer name, from `position_tables`.
      features: the front end that it was trained with.
      placeholders: names of the layers that become placeholders.
      random: True if the model is abstract, so that the other layers get random weights.
      lookups: the tables of quantized embeddings, by name.

    Raises:
      InputError: the model cannot run on a stream.
    """
    constants = {name: tf.constant(table) for name, table in tables.items()}
    audio, steps = task.graphs(with_placeholders(model, placeholders, random, lookups))
    streaming = StreamingModel(_on_audio(audio.model, features), smallest_steps=True)
    names = {state.name: state.name.replace("/", "_") for state in streaming.states}
    assert len(set(names.values())) == len(names), "two states would have one name in the file"
    signature = {
        AUDIO: tf.TensorSpec([1, streaming.step_multiple], tf.float32, AUDIO),
        COUNT: tf.TensorSpec([1], tf.int32, COUNT),
        **{names[one.name]: tf.TensorSpec([1, *one.shape], one.dtype, names[one.name]) for one in streaming.states},
    }

    @tf.function(autograph=False)
    def encode_step(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        state = {name: inputs[given] for name, given in names.items()}
        values, frames, new_state = streaming.step(inputs[AUDIO], inputs[COUNT], state, constants)
        return {audio.output: values, FRAMES: frames, **{names[name]: value for name, value in new_state.items()}}

    content = convert(
        {STEP: encode_step.get_concrete_function(**signature), **step_functions(steps)},
        [*streaming.model.variables, *step_variables(steps)],
        bool(placeholders),
    )
    description = _describe_stream(streaming, audio.output, names, features.sample_rate)
    return FrozenGraphs(content, (description, *map(describe_step, steps)))


def _describe_stream(
    streaming: StreamingModel, output: str, names: Mapping[str, str], sample_rate: int
) -> GraphDescription:
    frames = streaming.step_multiple // streaming.stride
    return GraphDescription(
        signature=STEP,
        inputs=(
            TensorDescription(name=AUDIO, shape=(1, streaming.step_multiple), dtype="float32"),
            TensorDescription(name=COUNT, shape=(1,), dtype="int32"),
        ),
        outputs=(
            TensorDescription(name=output, shape=(1, frames, *streaming.output_shape), dtype="float32"),
            TensorDescription(name=FRAMES, shape=(1,), dtype="int32"),
        ),
        states=tuple(
            TensorDescription(name=names[one.name], shape=(1, *one.shape), dtype=one.dtype.name)
            for one in streaming.states
        ),
        stream=StreamDescription(
            sample_rate=sample_rate,
            step_samples=streaming.step_multiple,
            frame_samples=streaming.stride,
            delay_frames=streaming.delay,
            flush_samples=streaming.flush_length,
            flush_signature=FLUSH,
        ),
    )


def _on_audio(encoder: keras.Model, features: FeatureConfig) -> keras.Model:
    """Returns the model of (waveform [B, samples], lengths [B]) -> output of `encoder` on the features."""
    waveform, lengths = keras.Input([None], name=AUDIO), keras.Input([], dtype=tf.int32, name=COUNT)
    return keras.Model([waveform, lengths], encoder(front_end(features, name="log_mel")([waveform, lengths])))
