"""The base class of tasks: everything that the rest of the package asks of one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import tensorflow as tf
import tf_keras as keras

from tfconformer.data.tokenizer import Tokenizer
from tfconformer.models.config import ModelConfig
from tfconformer.tasks.graphs import AudioGraph, Floats, GraphCalls, StepGraph

# Batches of ((features, lengths), texts, ids) -> (sum of errors, what it is divided by).
DevMetric = Callable[[tf.data.Dataset], tuple[float, float]]


@dataclass(frozen=True)
class Trace:
    """The computation of a model on one utterance, through all its graphs.

    Attributes:
      values: [N, width], to be compared between Keras and a runtime.
      hypothesis: labels found; None if the task has none.
      path: choices that led to the values, such as the labels of a search. `Task.trace` can be forced to take them.
    """

    values: Floats
    hypothesis: tuple[int, ...] | None = None
    path: Any = None


class Task(ABC):
    """The purpose of a model: its graphs, losses, metric and metadata.

    Attributes:
      name: in configurations and files.
      metric: name of the number that dev sets are scored with; lower is better.
    """

    name: ClassVar[str]
    metric: ClassVar[str]

    @abstractmethod
    def build(self, config: ModelConfig, mel_bins: int, vocabulary: int) -> keras.Model:
        """Builds the float training model, freshly initialized.

        Args:
          config: sizes and context.
          mel_bins: width of the features.
          vocabulary: number of tokenizer tokens.

        Returns:
          A flat functional model whose outputs are a dictionary.

        Raises:
          InputError: `config` lacks a section of the task, or has another's.
        """

    @abstractmethod
    def example(
        self, model: keras.Model, inputs: tuple[tf.Tensor, tf.Tensor], labels: tf.Tensor
    ) -> tuple[tuple[tf.Tensor, ...], dict[str, tf.Tensor]]:
        """Turns a batch of (features, lengths) and labels into inputs of the model and a target for every output."""

    @abstractmethod
    def losses(self, model: keras.Model, auxiliary_weight: float) -> dict[str, tuple[keras.losses.Loss, float]]:
        """Returns the loss of every output, with its weight.

        Args:
          model: the training model.
          auxiliary_weight: share of auxiliary losses in the sum, in [0, 1).
        """

    def initializable_part(self, model: keras.Model, source: Task) -> keras.Model:
        """Returns the part of a float model that takes its weights from a model of the task `source`: all of it."""
        return model

    @abstractmethod
    def exported_part(self, trained: keras.Model, streaming: bool) -> keras.Model:
        """Returns the part of a trained model that is exported; it shares the layers, quantized or not.

        Args:
          trained: a model of `build`, quantized or not, with weights or abstract.
          streaming: whether the file takes audio in steps.
        """

    @abstractmethod
    def graphs(self, exported: keras.Model) -> tuple[AudioGraph, tuple[StepGraph, ...]]:
        """Lists the graphs of the exported file, given a model of `exported_part` or a copy with placeholders."""

    @abstractmethod
    def describe(self, exported: keras.Model) -> dict[str, int | float | str]:
        """Returns what a file says of its task besides its name, such as its search and its settings."""

    @abstractmethod
    def dev_metric(self, model: keras.Model, tokenizer: Tokenizer) -> DevMetric:
        """Returns the function that scores a dev set with the weights that `model` has at the time of the call."""

    def trace(self, graphs: GraphCalls, waveform: Floats, path: Any = None) -> Trace:
        """Computes an utterance through all graphs.

        Args:
          graphs: of the task, in Keras or in a runtime.
          waveform: [samples] in [-1, 1].
          path: of another trace of the utterance, whose choices are taken; None takes the model's own.
        """
        return Trace(graphs.run(waveform))
