"""Stage 1 of export: a trained Keras model becomes a float `.tflite` graph from waveform to logits.

The weights of a packed layer must reach the file unchanged. The TFLite converter would fold neighboring multiplications
into them (the gamma of a layer normalization, the scale of the attention queries, the half of a macaron residual), and
the results would not be quantized values. So the converter gets each of these layers as a placeholder
(`placeholders.py`). All other layers become built-in operations, which the converter folds as it does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tf_keras as keras

from converters.exporter.lookup import LookupTable
from converters.exporter.placeholders import with_placeholders
from converters.flatbuffer.metadata import FREE, GraphDescription, TensorDescription
from tfconformer.features.config import FeatureConfig
from tfconformer.features.extract import extract_features
from tfconformer.tasks.graphs import AudioGraph, StepGraph
from tfconformer.tasks.task import Task

WAVEFORM = "waveform"


@dataclass(frozen=True)
class FrozenGraphs:
    """The converted graphs of a model.

    Attributes:
      content: the bytes of a float `.tflite` file with placeholders.
      graphs: the descriptions of its signatures; the first one takes audio.
    """

    content: bytes
    graphs: tuple[GraphDescription, ...]


def freeze(
    task: Task,
    model: keras.Model,
    features: FeatureConfig,
    placeholders: Collection[str] = (),
    random: bool = False,
    lookups: Mapping[str, LookupTable] | None = None,
) -> FrozenGraphs:
    """Converts a model of whole utterances, log-mel front end included.

    Args:
      task: the task of the model.
      model: the model from `task.exported_part`; all layers but the placeholders get its master weights.
      features: the front end that it was trained with.
      placeholders: names of the layers that become placeholders.
      random: True if the model is abstract, so that the other layers get random weights.
      lookups: the tables of quantized embeddings, by name.

    Returns:
      A file whose first signature goes from waveform [1, samples] in [-1, 1] to the output of the task's graph from
      audio [1, frames, width], float32; the task's step graphs follow. The placeholder of a dense layer has the inputs
      x [..., K] and, if the layer has one, bias [N]; its output is [..., N].
    """
    audio, steps = task.graphs(with_placeholders(model, placeholders, random, lookups))

    @tf.function(input_signature=[tf.TensorSpec([1, None], tf.float32, name=WAVEFORM)], autograph=False)
    def transcribe(waveform: tf.Tensor) -> dict[str, tf.Tensor]:
        inputs = extract_features(waveform, features)
        return {audio.output: audio.model([inputs, tf.shape(inputs)[1:2]])}

    content = convert(
        {audio.signature: transcribe, **step_functions(steps)},
        [*audio.model.variables, *step_variables(steps)],
        bool(placeholders),
    )
    return FrozenGraphs(content, (_describe_audio(audio), *map(describe_step, steps)))


def step_functions(steps: Sequence[StepGraph]) -> dict[str, Any]:
    """Returns the functions of step graphs by signature."""
    return {step.signature: tf.function(step.call, input_signature=step.inputs, autograph=False) for step in steps}


def step_variables(steps: Sequence[StepGraph]) -> list[tf.Variable]:
    """Returns the variables that step graphs read."""
    return [variable for step in steps for model in step.models for variable in model.variables]


def describe_step(step: StepGraph) -> GraphDescription:
    """Describes a step graph for the metadata."""
    return GraphDescription(
        signature=step.signature,
        inputs=tuple(_describe(spec) for spec in step.inputs if spec.name not in step.states),
        outputs=tuple(map(_describe, step.outputs)),
        states=tuple(_describe(spec) for spec in step.inputs if spec.name in step.states),
    )


def _describe_audio(audio: AudioGraph) -> GraphDescription:
    width = int(audio.model.output.shape[-1])
    return GraphDescription(
        signature=audio.signature,
        inputs=(TensorDescription(name=WAVEFORM, shape=(1, FREE), dtype="float32"),),
        outputs=(TensorDescription(name=audio.output, shape=(1, FREE, width), dtype="float32"),),
    )


def _describe(spec: tf.TensorSpec) -> TensorDescription:
    return TensorDescription(name=spec.name, shape=tuple(spec.shape), dtype=spec.dtype.name)


def convert(functions: Mapping[str, Any], variables: Sequence[tf.Variable], has_placeholders: bool) -> bytes:
    """Converts functions to a `.tflite` file of built-in operations and placeholders.

    Args:
      functions: `tf.function`s by signature; each becomes a graph, in alphabetical order of the signatures.
      variables: all variables that the functions read.
      has_placeholders: True if a function contains placeholders, which are custom operations.
    """
    # The module owns the variables but not the Keras model, whose layers would each be traced and saved too.
    module = tf.Module()
    module.weights = variables
    with tempfile.TemporaryDirectory() as folder:
        # A graph that is only run needs no gradients; those of a recurrence cannot be saved without their forward pass.
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(module, folder, signatures=functions, options=options)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(functions))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        converter.allow_custom_ops = has_placeholders
        return bytes(converter.convert())
