"""Files of whole Conformers with random weights, which differ in how their dense layers are stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import tf_keras as keras
from numpy.typing import NDArray

from benchmarks.litert_layers import NAME as LITERT
from benchmarks.random_weights import (
    random_builtin,
    random_float_operations,
    random_kernel,
    random_packed,
    scheme_columns,
)
from converters.exporter.float_operations import FloatOperation
from converters.exporter.freeze import HEAD, freeze, inference_model, single_head_model
from converters.exporter.freeze_streaming import freeze_streaming, position_layers, position_tables
from converters.exporter.metadata import metadata_json
from converters.exporter.operators import LayerWeights
from converters.exporter.pack import PackedWeights
from converters.exporter.plan import LayerPlan, plan
from converters.exporter.rewrite import rewrite
from converters.flatbuffer.stream_description import FLUSH, STEP, StreamDescription
from tfconformer.config import Config
from tfconformer.models.build import abstract_conformer
from tfconformer.models.ctc import conformer_ctc
from tfconformer.quantization.spec import QuantSpec

VOCABULARY = 1024


@dataclass(frozen=True)
class Variant:
    """A format for all dense layers but the head.

    Attributes:
      implementation: whose operation.
      columns: of the results row, how weights are stored.
      weights: (K, N) -> a layer.
    """

    implementation: str
    columns: dict[str, Any]
    weights: Callable[[int, int], LayerWeights]

    @property
    def name(self) -> str:
        """Unique among the variants."""
        return " ".join([self.implementation, *(f"{key}={value}" for key, value in self.columns.items())])


@dataclass(frozen=True)
class Frozen:
    """A graph with placeholders for all dense layers but the head.

    Attributes:
      content: what `rewrite` is given.
      layers: dense ones that have a placeholder.
      float_layers: the constants of others that have one.
      stream: what the file says about its streams; None for whole utterances.
    """

    content: bytes
    layers: tuple[LayerPlan, ...]
    float_layers: Mapping[str, FloatOperation]
    stream: StreamDescription | None = None


def variants() -> Iterator[Variant]:
    """Our formats and LiteRT's."""
    for bits, block_size in ((2, None), (2, 64), (4, None), (4, 64), (8, None)):
        spec = QuantSpec(bits=bits, block_size=block_size, activation_bits=8)
        yield Variant("tfconformer", scheme_columns(spec), partial(random_packed, spec))
    sparse = QuantSpec(bits=4, block_size=64, activation_bits=8, sparsity="2:4")
    yield Variant("tfconformer", scheme_columns(sparse), partial(random_packed, sparse))
    yield Variant(LITERT, {"weight_bits": 32}, random_kernel)
    for bits, block_size in ((8, None), (4, None), (2, None), (4, 64)):
        spec = QuantSpec(bits=bits, block_size=block_size)
        yield Variant(LITERT, scheme_columns(spec), partial(random_builtin, spec))


def frozen_utterance(config: Config, ours: bool) -> Frozen:
    """From a whole waveform to logits; with `ours` not only dense layers have placeholders."""
    model = inference_model(_structure(config))
    layers, float_layers = _replaced_layers(model, ours, {HEAD})
    names = [*(layer.name for layer in layers), *float_layers]
    return Frozen(freeze(model, config.features, names, random=True), layers, float_layers)


def frozen_step(config: Config, ours: bool) -> Frozen:
    """One step of a stream, likewise."""
    tables = position_tables(conformer_ctc(config.model, config.features.mel_bins, VOCABULARY))
    model = single_head_model(_structure(config))
    layers, float_layers = _replaced_layers(model, ours, {HEAD, *position_layers(model)}, tables)
    names = [*(layer.name for layer in layers), *float_layers]
    stream = freeze_streaming(model, tables, config.features, names, random=True)
    return Frozen(stream.content, layers, float_layers, stream.description)


def _structure(config: Config) -> keras.Model:
    return abstract_conformer(config.model, config.features.mel_bins, VOCABULARY)


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
    """The files of variants."""
    our_graph, their_graph = (freeze_model(config, ours) for ours in (True, False))
    further_names = {} if our_graph.stream is None else {FLUSH: STEP}
    for variant in chosen:
        frozen = their_graph if variant.implementation == LITERT else our_graph
        weights = {shape: variant.weights(*shape) for shape in {(layer.k, layer.n) for layer in frozen.layers}}
        packed = {layer.name: _with_window(weights[layer.k, layer.n], layer) for layer in frozen.layers}
        metadata = metadata_json(b"", config, (), stream=frozen.stream)
        yield variant, rewrite(frozen.content, {**packed, **frozen.float_layers}, metadata, further_names)


def _with_window(weights: LayerWeights, layer: LayerPlan) -> LayerWeights:
    if not isinstance(weights, PackedWeights):
        return weights
    return replace(weights, window=layer.window, stride=layer.stride)
