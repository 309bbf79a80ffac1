"""A whole Conformer with random weights: ten seconds from waveform to logits, and one step of a stream.

    python -m benchmarks.encoder configs/conformer_l.yaml --output docs/results/encoder.json

Our formats and LiteRT's take turns. The files of a workload differ in their dense layers, in the second convolution,
the depthwise ones, attention and the layer normalizations: in ours these are our operations, in LiteRT's its own in
float, as are the first convolution, the head and the front end in all of them. (LiteRT has int8 convolutions, with one
activation scale for the whole input, so that a stream would not compute what an utterance does.)
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
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
from benchmarks.timing import interleaved_seconds
from converters.float_operations import FloatOperation
from converters.freeze import HEAD, freeze, inference_model, single_head_model
from converters.freeze_streaming import freeze_streaming, position_layers, position_tables
from converters.metadata import metadata_json
from converters.operators import LayerWeights
from converters.pack import PackedWeights
from converters.plan import LayerPlan, plan
from converters.provenance import results_of_this_process
from converters.results import ResultRow, write_results
from converters.rewrite import rewrite
from converters.runtimes import Model, StreamModel, open_model
from converters.stream_description import FLUSH, STEP, StreamDescription
from tfconformer.config import Config, load_config
from tfconformer.models.conformer import abstract_conformer
from tfconformer.models.conformer_ctc import conformer_ctc
from tfconformer.quantization.spec import QuantSpec

VOCABULARY = 1024
Columns = Callable[[float], dict[str, Any]]
# A stream as the streaming models of configs/ are: 2.6 s of left context, a step for every frame of 40 ms.
STREAM = ("model.causal=true", "model.left_context=64", "model.attention_chunk=1")


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


@dataclass(frozen=True)
class Opened:
    """A variant in LiteRT's interpreter, and the size of its file."""

    variant: Variant
    model: Model | StreamModel
    file_bytes: int


def variants() -> Iterator[Variant]:
    """Everything that is measured."""
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


def open_variants(freeze_model: Callable[[Config, bool], Frozen], config: Config) -> dict[str, Opened]:
    """The models by the names of their variants."""
    opened = {}
    for variant, content in contents(freeze_model, config, variants()):
        # The interpreter maps the file, so that it need not stay.
        with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
            file.write(content)
            file.flush()
            opened[variant.name] = Opened(variant, open_model(file.name), len(content))
    return opened


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


def measure(
    opened: Mapping[str, Opened], runs: Mapping[str, Callable[[], Any]], rounds: int, columns: Columns
) -> Iterator[ResultRow]:
    """A row for every model, with `columns` of its median seconds."""
    for name, times in interleaved_seconds(runs, rounds).items():
        one, seconds = opened[name], statistics.median(times)
        click.echo(f"{name}: {1e3 * seconds:.2f} ms, {one.file_bytes / 1e6:.1f} MB")
        yield ResultRow(
            implementation=one.variant.implementation,
            **one.variant.columns,
            file_bytes=one.file_bytes,
            runtime=one.model.runtime,
            kernel=one.model.kernels().name,
            threads=1,
            **columns(seconds),
        )


def utterance_rows(config: Config, seconds: float, rounds: int) -> Sequence[ResultRow]:
    """Every variant on audio of that length."""
    opened = open_variants(frozen_utterance, config)
    samples = int(seconds * config.features.sample_rate)
    waveform = np.random.default_rng(0).standard_normal(samples, np.float32) * np.float32(0.05)
    runs = {name: partial(one.model.run, waveform) for name, one in opened.items()}

    def columns(median: float) -> dict[str, float]:
        return {"audio_seconds": seconds, "latency_ms_p50": 1e3 * median, "rtf_p50": median / seconds}

    return tuple(measure(opened, runs, rounds, columns))


def step_rows(config: Config, rounds: int) -> Sequence[ResultRow]:
    """Every variant on one step of a stream."""
    opened = open_variants(frozen_step, config)
    streams = {name: one.model for name, one in opened.items() if isinstance(one.model, StreamModel)}
    samples = next(iter(streams.values())).description.step_samples
    piece = np.random.default_rng(0).standard_normal(samples, np.float32) * np.float32(0.05)
    runs = {name: partial(model.step, piece) for name, model in streams.items()}
    chunk_ms = 1e3 * samples / config.features.sample_rate
    return tuple(measure(opened, runs, rounds, lambda median: {"chunk_ms": chunk_ms, "step_ms_p50": 1e3 * median}))


@click.command()
@click.argument("config_file", type=click.Path(path_type=Path))
@click.option("--seconds", type=click.FloatRange(min=0.1), default=10.0, show_default=True, help="Length of the audio.")
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), help="Results file to write (JSON).")
def main(config_file: Path, seconds: float, rounds: int, output: Path | None) -> None:
    """Measure the model of CONFIG_FILE, single thread, CPU time."""
    rows = [
        *utterance_rows(load_config(config_file), seconds, rounds),
        *step_rows(load_config(config_file, list(STREAM)), 4 * rounds),
    ]
    if output is not None:
        named = tuple(row.model_copy(update={"model": config_file.stem}) for row in rows)
        write_results(output, results_of_this_process(rows=named))


if __name__ == "__main__":
    main()
