"""The graphs of an exported file, listed by a task, and calling them in Keras.

A file has one graph from audio, which computes whole utterances or one step of a stream, and any number of step graphs:
functions of fixed shapes that a search or a decoder calls once per step, with their states as inputs and outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
import tf_keras as keras
from numpy.typing import NDArray

from tfconformer.features.config import FeatureConfig
from tfconformer.features.extract import extract_features

Floats = NDArray[np.float32]
Tensors = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class AudioGraph:
    """The graph from audio, without the log-mel front end, which every export adds.

    Attributes:
      signature: its signature in an offline file.
      model: (features [B, T, mel_bins], lengths [B] int32) -> one tensor [B, T / stride, width].
      output: name of that tensor in the file.
    """

    signature: str
    model: keras.Model
    output: str


@dataclass(frozen=True)
class StepGraph:
    """A function of fixed shapes that is called once per step.

    Attributes:
      signature: its signature in the file.
      inputs: names, shapes and types of its inputs, the states last.
      outputs: names, shapes and types of its outputs without the states.
      states: names of the inputs that are outputs as well; zero at the start.
      call: function from the inputs, by position, to a dictionary of outputs and states.
      models: the models whose weights it reads.
    """

    signature: str
    inputs: tuple[tf.TensorSpec, ...]
    outputs: tuple[tf.TensorSpec, ...]
    states: tuple[str, ...]
    call: Callable[..., dict[str, tf.Tensor]]
    models: tuple[keras.Model, ...]


class GraphCalls(Protocol):
    """A model whose graphs can be called: in Keras (`KerasGraphs`) or in a runtime.

    Attributes:
      settings: the settings of its task, see `Task.describe`.
    """

    @property
    def settings(self) -> Mapping[str, Any]: ...

    def run(self, waveform: Floats, /) -> Floats:
        """Computes the output [frames, width] of the graph from audio on a waveform [samples] in [-1, 1]."""

    def call(self, signature: str, inputs: Mapping[str, NDArray[Any]], /) -> Tensors:
        """Calls a step graph once with inputs and states by name; returns its outputs and states by name."""

    def zero_states(self, signature: str, /) -> Tensors:
        """Returns the states of a step graph at the start, all zero, by name."""


class KerasGraphs:
    """The graphs of a task in Keras, one utterance at a time.

    Attributes:
      settings: the settings of the task, see `Task.describe`.
    """

    def __init__(
        self,
        audio: AudioGraph,
        steps: tuple[StepGraph, ...],
        settings: Mapping[str, Any],
        features: FeatureConfig,
        compile_audio: bool,
    ) -> None:
        """Wraps graphs.

        Args:
          audio: the graph from audio.
          steps: the step graphs.
          settings: the settings of the task.
          features: the front end of the graph from audio.
          compile_audio: True if the graph from audio is traced to a function. Tracing takes as long as some tens of
            utterances take without it, and a traced graph has all quantized weights in memory at once.
        """
        self.settings = settings
        self._features = features
        self._model = audio.model
        self._steps = {step.signature: step for step in steps}
        self._calls = {
            step.signature: tf.function(step.call, input_signature=step.inputs, autograph=False) for step in steps
        }
        signature, run = [tf.TensorSpec([None], tf.float32)], self._compute
        self._audio = tf.function(run, input_signature=signature, autograph=False) if compile_audio else run

    def run(self, waveform: Floats) -> Floats:
        """Computes the output [frames, width] of the graph from audio on a waveform [samples] in [-1, 1]."""
        return self._audio(tf.constant(waveform, tf.float32)).numpy()

    def call(self, signature: str, inputs: Mapping[str, NDArray[Any]]) -> Tensors:
        """Calls a step graph once with inputs and states by name; returns its outputs and states by name."""
        arguments = [tf.constant(inputs[spec.name], spec.dtype) for spec in self._steps[signature].inputs]
        return {name: value.numpy() for name, value in self._calls[signature](*arguments).items()}

    def zero_states(self, signature: str) -> Tensors:
        """Returns the states of a step graph at the start, all zero, by name."""
        step = self._steps[signature]
        return {
            spec.name: np.zeros(spec.shape, spec.dtype.as_numpy_dtype)
            for spec in step.inputs
            if spec.name in step.states
        }

    def _compute(self, waveform: tf.Tensor) -> tf.Tensor:
        inputs = extract_features(waveform[tf.newaxis], self._features)
        return self._model([inputs, tf.shape(inputs)[1:2]], training=False)[0]
