"""The result of reading a checkpoint's settings: the configuration of the same model here, and its weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tfconformer.features.config import FeatureConfig
from tfconformer.importing.tensors import Array, Tensors
from tfconformer.models.config import ModelConfig

# The name of a layer and its weights, in the order of `layer.weights`.
LayerWeights = tuple[str, Sequence[Array]]


@dataclass(frozen=True)
class Architecture:
    """A checkpoint as a model of this package.

    Attributes:
      task: the task of its decoder, "recognition_ctc" or "recognition_transducer".
      features: its front end.
      model: its encoder, and what follows it.
      symbols: number of its output symbols, the blank among them.
      blank: index of the blank among them in the checkpoint.
      layers: yields the weights of all layers that the checkpoint has, with the blank as first symbol.
    """

    task: str
    features: FeatureConfig
    model: ModelConfig
    symbols: int
    blank: int
    layers: Callable[[Tensors], Iterator[LayerWeights]]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint: its architecture, its tensors, and its tokenizer as a serialized SentencePiece model."""

    architecture: Architecture
    tensors: Tensors
    tokenizer: bytes
