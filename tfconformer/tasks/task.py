"""The base class of tasks: the interface through which training and export use a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tfconformer.data.pipeline import TargetFormat
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.features.config import FeatureConfig
from tfconformer.layers.normalization import FeatureNormalization
from tfconformer.models.config import ModelConfig
from tfconformer.tasks.graphs import AudioGraph, Floats, GraphCalls, StepGraph

# Batches whose frames give the mean and variance of the features; a few thousand frames suffice.
_ADAPTATION_BATCHES = 32

# A setting of a task in the metadata of a file.
Setting = int | float | str | tuple[int, ...]
# Batches of ((features, lengths), texts, ids) -> (sum of errors, divisor).
DevMetric = Callable[[tf.data.Dataset], tuple[float, float]]


@dataclass(frozen=True)
class Trace:
    """The computation of a model on one utterance, through all its graphs.

    Attributes:
      values: [N, width], the outputs that are compared between Keras and a runtime.
      hypothesis: the labels of a search; None if the task has none.
      path: choices on which the values depend, such as the labels of a search; None if there are none. `Task.trace` can
        be forced to make them.
      labelled: the frame of the first label, and the frame after that of the last one; None if there are no labels.
    """

    values: Floats
    hypothesis: tuple[int, ...] | None = None
    path: Any = None
    labelled: tuple[int, int] | None = None


@dataclass(frozen=True)
class Inspection:
    """Measures and pictures of a model on a dev set, beside its metric.

    Attributes:
      measures: numbers by name.
      pictures: [height, width, 1] in [0, 1], by name.
    """

    measures: dict[str, float]
    pictures: dict[str, Floats]


# Batches of ((features, lengths), targets, ids) -> their inspection.
Inspector = Callable[[tf.data.Dataset], Inspection]


class Task(ABC):
    """The purpose of a model: its graphs, losses, metric and metadata.

    Attributes:
      name: the name in configurations and files.
      metric: the name of the score of dev sets, lower is better.
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
          InputError: `config` lacks a section of the task, or has one of another task.
        """

    @abstractmethod
    def example(
        self, model: keras.Model, inputs: tuple[tf.Tensor, tf.Tensor], labels: tf.Tensor
    ) -> tuple[tuple[tf.Tensor, ...], dict[str, tf.Tensor]]:
        """Turns a batch into inputs of the training model and a target for every output.

        Args:
          model: the training model.
          inputs: features [B, T, mel_bins] and their lengths [B] int32.
          labels: [B, U] int32, padded with -1.
        """

    @abstractmethod
    def losses(self, model: keras.Model, auxiliary_weight: float) -> dict[str, tuple[keras.losses.Loss, float]]:
        """Returns loss and weight of every output by name.

        Args:
          model: the training model.
          auxiliary_weight: share of auxiliary losses in the sum, in [0, 1).
        """

    def distillable(self, model: keras.Model) -> list[str]:
        """Returns the names of the outputs that are logits of every frame, for distillation; by default none."""
        return []

    def target_format(self, config: ModelConfig) -> TargetFormat | None:
        """Returns the format of the targets of a batch; None: it has labels alone."""
        return None

    def adapt(self, model: keras.Model, batches: tf.data.Dataset) -> None:
        """Sets the weights of a new model that training batches decide and no gradient: statistics of the features."""
        normalization = model.get_layer("feature_normalization")
        if not isinstance(normalization, FeatureNormalization):
            return  # the statistics are the utterance's own
        frames = [
            features[:length]
            for (batch, lengths), _ in batches.take(_ADAPTATION_BATCHES).as_numpy_iterator()
            for features, length in zip(batch, lengths, strict=True)
        ]
        normalization.adapt(np.concatenate(frames))

    def initializable_part(self, model: keras.Model, source: Task) -> keras.Model:
        """Returns the part of a float model that can take its weights from one of the task `source`; by default all."""
        return model

    @abstractmethod
    def exported_part(self, trained: keras.Model, streaming: bool) -> keras.Model:
        """Returns the part of a trained model that is exported; it shares the layers, quantized or not.

        Args:
          trained: a model of `build`, quantized or not, with weights or abstract.
          streaming: True for a file that takes audio in steps, False for one of whole utterances.
        """

    @abstractmethod
    def graphs(self, exported: keras.Model) -> tuple[AudioGraph, tuple[StepGraph, ...]]:
        """Lists the graphs of the exported file, given a model of `exported_part` or a copy with placeholders."""

    @abstractmethod
    def describe(self, exported: keras.Model) -> Mapping[str, Setting]:
        """Returns the task's settings for the metadata of a file, such as its search and vocabulary size."""

    @abstractmethod
    def dev_metric(self, model: keras.Model, tokenizer: Tokenizer) -> DevMetric:
        """Returns the function that scores a dev set; it reads the weights of `model` at every call."""

    def inspector(self, model: keras.Model, features: FeatureConfig) -> Inspector | None:
        """Returns the function that inspects a dev set, which reads the weights of `model` at every call; None: none.

        Args:
          model: the training model.
          features: the front end of its features.
        """
        return None

    def trace(self, graphs: GraphCalls, waveform: Floats, path: Any = None) -> Trace:
        """Computes an utterance through all graphs.

        Args:
          graphs: the graphs of the task, in Keras or in a runtime.
          waveform: [samples] in [-1, 1].
          path: the path of another trace of the utterance, to make the same choices; None makes the model's own.
        """
        return Trace(graphs.run(waveform))
