"""Files of whole Conformers with random weights, one for every way to store dense layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import tf_keras as keras
from numpy.typing import NDArray

from benchmarks.litert_layers import NAME as LITERT
from benchmarks.random_weights import (
    random_builtin,
    random_float_operations,
    random_kernel,
    random_packed,
)
from converters.exporter.float_operations import FloatOperation
from converters.exporter.freeze import FrozenGraphs, freeze
from converters.exporter.freeze_streaming import freeze_streaming, position_layers, position_tables
from converters.exporter.metadata import write_metadata
from converters.exporter.operators import LayerWeights
from converters.exporter.pack import PackedWeights
from converters.exporter.plan import LayerPlan, plan
from converters.exporter.rewrite import rewrite
from converters.flatbuffer.metadata import TaskDescription
from tfconformer.config import Config
from tfconformer.quantization.spec import QuantSpec
from tfconformer.reports.rows import Quantization
from tfconformer.reports.tables import scheme
from tfconformer.tasks import find_task
from tfconformer.tasks.recognition_ctc import HEAD
from tfconformer.tasks.task import Task
from tfconformer.training.checkpoint import abstract_model

VOCABULARY = 1024


@dataclass(frozen=True)
class Variant:
    """A format for all dense layers but the head.

    Attributes:
      implementation: name and version of what computes the layers.
      quantization: scheme of the weights.
      weights: (K, N) -> random weights.
    """

    implementation: str
    quantization: Quantization
    weights: Callable[[int, int], LayerWeights]

    @property
    def name(self) -> str:
        """Unique among the variants."""
        return f"{self.implementation}, {scheme(self.quantization)}"


@dataclass(frozen=True)
class Frozen:
    """A graph with placeholders for all dense layers but the head.

    Attributes:
      task, model: the task and the part of its model that is converted.
      graphs: the converted model, which `rewrite` completes.
      layers: dense layers with a placeholder.
      float_layers: constants of the other layers with one, by name.
    """

    task: Task
    model: keras.Model
    graphs: FrozenGraphs
    layers: tuple[LayerPlan, ...]
    float_layers: Mapping[str, FloatOperation]


def variants() -> Iterator[Variant]:
    """Yields this project's formats and LiteRT's."""
    for bits, block_size in ((2, None), (2, 64), (4, None), (4, 64), (8, None)):
        spec = QuantSpec(bits=bits, block_size=block_size, activation_bits=8)
        yield Variant("tfconformer", Quantization.of_spec(spec), partial(random_packed, spec))
    sparse = QuantSpec(bits=4, block_size=64, activation_bits=8, sparsity="2:4")
    yield Variant("tfconformer", Quantization.of_spec(sparse), partial(random_packed, sparse))
    yield Variant(LITERT, Quantization(weight_bits=32), random_kernel)
    for bits, block_size in ((8, None), (4, None), (2, None), (4, 64)):
        spec = QuantSpec(bits=bits, block_size=block_size)
        yield Variant(LITERT, Quantization.of_spec(spec), partial(random_builtin, spec))


def frozen_utterance(config: Config, ours: bool) -> Frozen:
    """Freezes the offline model; with `ours`, not only dense layers have placeholders."""
    task, structure = _structure(config)
    model = task.exported_part(structure, streaming=False)
    layers, float_layers = _replaced_layers(model, ours, {HEAD})
    names = [*(layer.name for layer in layers), *float_layers]
    return Frozen(task, model, freeze(task, model, config.features, names, random=True), layers, float_layers)


def frozen_step(config: Config, ours: bool) -> Frozen:
    """Freezes one step of a stream; with `ours`, not only dense layers have placeholders."""
    task, structure = _structure(config)
    tables = position_tables(task, task.build(config.model, config.features.mel_bins, VOCABULARY))
    model = task.exported_part(structure, streaming=True)
    layers, float_layers = _replaced_layers(model, ours, {HEAD, *position_layers(model)}, tables)
    names = [*(layer.name for layer in layers), *float_layers]
    stream = freeze_streaming(task, model, tables, config.features, names, random=True)
    return Frozen(task, model, stream, layers, float_layers)


def _structure(config: Config) -> tuple[Task, keras.Model]:
    return find_task(config.task), abstract_model(config, VOCABULARY)


def _replaced_layers(
    model: keras.Model, ours: bool, without: Set[str], tables: Mapping[str, NDArray[np.float32]] | None = None
) -> tuple[tuple[LayerPlan, ...], dict[str, FloatOperation]]:
    layers = tuple(layer for layer in plan(model, {}) if layer.name not in without)
    if ours:
        return layers, random_float_operations(model, tables)
    return tuple(layer for layer in layers if not layer.window), {}


def contents(
    freeze_model: Callable[[Config, bool], Frozen], config: Config, chosen: Iterable[Variant]
) -> Iterator[tuple[Variant, bytes]]:
    """Yields the variants with their files."""
    our_graph, litert_graph = (freeze_model(config, ours) for ours in (True, False))
    for variant in chosen:
        frozen = litert_graph if variant.implementation == LITERT else our_graph
        weights = {shape: variant.weights(*shape) for shape in {(layer.k, layer.n) for layer in frozen.layers}}
        packed = {layer.name: _with_window(weights[layer.k, layer.n], layer) for layer in frozen.layers}
        described = TaskDescription(name=frozen.task.name, **frozen.task.describe(frozen.model))
        metadata = write_metadata(config, None, described, frozen.graphs.graphs, ())
        constants = {**packed, **frozen.float_layers}
        yield variant, rewrite(frozen.graphs, constants, metadata)


def _with_window(weights: LayerWeights, layer: LayerPlan) -> LayerWeights:
    if not isinstance(weights, PackedWeights):
        return weights
    return replace(weights, window=layer.window, stride=layer.stride)
