"""From a run directory to a verified `.tflite` file: the stages of export, one after the other.

    report = export(RunDirectory(Path("runs/int4")), Path("int4.tflite"), waveforms)

freeze -> plan -> pack -> rewrite -> verify; the data between them are plain values, see the modules of these names. A
streaming file differs in what is frozen: one step of the model instead of the model.
"""

from __future__ import annotations

import ctypes
import gc
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras as keras
from numpy.typing import NDArray

from converters.exporter.float_operations import FloatOperation, float_operations
from converters.exporter.freeze import FrozenGraphs, freeze
from converters.exporter.freeze_streaming import freeze_streaming, position_layers, position_tables
from converters.exporter.metadata import layer_records, write_metadata
from converters.exporter.operators import LayerConstants
from converters.exporter.pack import PackedWeights, pack_weights
from converters.exporter.pack_builtin import BuiltinWeights, builtin_weights
from converters.exporter.plan import LayerPlan, plan
from converters.exporter.rewrite import operation_histogram, rewrite
from converters.exporter.verify import Parity, keras_references, verify_float_operations, verify_outputs, verify_weights
from converters.flatbuffer.metadata import LayerRecord, TaskDescription
from tfconformer import atomic
from tfconformer.config import Config
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.errors import InputError
from tfconformer.layers.dense import float_layer
from tfconformer.quantization.apply import QuantizedLayers
from tfconformer.quantization.quantizers.weights import QuantizedWeights
from tfconformer.tasks import find_task
from tfconformer.tasks.task import Task
from tfconformer.training.checkpoint import load_model
from tfconformer.training.run import RunDirectory

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedModel:
    """Everything that is decided before conversion.

    Attributes:
      task: of the model.
      model: the part of the trained one that is exported.
      plans: what becomes of its dense layers.
      packed: the constants of those that are packed, by name.
      float_operations: float layers that are operations of ours, by name.
      layers: a record of every layer with weights.
      tables: of a streaming file, what replaces the layers that project positions; None for whole utterances.
    """

    task: Task
    model: keras.Model
    plans: tuple[LayerPlan, ...]
    packed: dict[str, PackedWeights | BuiltinWeights]
    float_operations: dict[str, FloatOperation]
    layers: tuple[LayerRecord, ...]
    tables: dict[str, NDArray[np.float32]] | None = None

    @property
    def constants(self) -> dict[str, LayerConstants]:
        """Constants of all layers that are frozen as placeholders."""
        return {**self.packed, **self.float_operations}


@dataclass(frozen=True)
class ExportReport:
    """The report of an export.

    Attributes:
      file_bytes: size of the file.
      weights: number of weights in packed layers; weight_bytes: what their codes, scales and offsets take.
      bits_per_weight: of the packed layers; None if there is none.
      operations: how often each operation is in the graph.
      layers: every layer with weights.
      parity: how the file's logits compare with the Keras model's, one entry per runtime.
    """

    file_bytes: int
    weights: int
    weight_bytes: int
    bits_per_weight: float | None
    operations: dict[str, int]
    layers: tuple[LayerRecord, ...]
    parity: tuple[Parity, ...]


def export(
    run: RunDirectory,
    output: Path,
    waveforms: Iterable[NDArray[np.float32]],
    runtimes: Sequence[str] = ("ai-edge-litert",),
    overrides: Sequence[str] = (),
    target: str = "custom",
    streaming: bool = False,
) -> ExportReport:
    """Exports the best weights of a run.

    Args:
      run: a finished training, quantized or not.
      output: the `.tflite` file, which appears only if it passes the verification. The report goes beside it, as
        `NAME.export.json`.
      waveforms: real utterances for the verification, each [samples] in [-1, 1].
      runtimes: where to verify, of `runtimes.RUNTIMES`.
      overrides: `model.KEY=VALUE` strings that replace what the run was trained with, for keys that shape no weight,
        as attention contexts.
      target: key of `plan.TARGETS`.
      streaming: whether the file takes audio in steps as it arrives.

    Raises:
      InputError: the run is incomplete, the model cannot run on a stream, a layer's quantization is not possible in
        the file, a runtime or the native library is missing, or there is no utterance.
      VerificationError: the file is not the trained model.
    """
    config = run.config(overrides)
    tokenizer = Tokenizer.from_file(run.tokenizer_file)
    trained = load_model(run, config)
    return export_model(trained, config, tokenizer, output, waveforms, runtimes, target, streaming=streaming)


def export_model(
    trained: keras.Model,
    config: Config,
    tokenizer: Tokenizer,
    output: Path,
    waveforms: Iterable[NDArray[np.float32]],
    runtimes: Sequence[str] = ("ai-edge-litert",),
    target: str = "custom",
    method: str = "qat",
    streaming: bool = False,
) -> ExportReport:
    """Exports a model in memory, see `export`; `method` is noted in the file, see `ModelMetadata`."""
    task = find_task(config.task)
    prepared = prepare(task, trained, target, streaming)
    references = keras_references(task, trained, config.features, waveforms)
    if not references:
        raise InputError("export needs at least one utterance to verify the file with")
    frozen = freeze_prepared(prepared, config)
    metadata = describe(prepared, frozen, config, tokenizer, method)
    _release_freed_memory()
    content = rewrite(frozen.content, prepared.constants, metadata, further_names(frozen))
    with atomic.atomic_path(output) as file:
        file.write_bytes(content)
        verify_weights(file, trained, prepared.plans)
        verify_float_operations(file, trained, prepared.float_operations.keys(), prepared.tables)
        parity = tuple(verify_outputs(file, task, references, prepared.plans, runtime) for runtime in runtimes)
    for result in parity:
        if result.different_hypotheses:
            logger.warning(
                "%s: %d of %d transcripts in %s differ from the Keras model's",
                *(output, result.different_hypotheses, result.utterances, result.runtime),
            )
    report = _report(content, prepared, parity)
    atomic.write_text(report_path(output), json.dumps(_tree(report), indent=2) + "\n")
    return report


def _release_freed_memory() -> None:
    """Gives back what the converter no longer needs; Python and the C library would keep it."""
    gc.collect()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):  # only glibc has it
        trim(0)


def prepare(task: Task, trained: keras.Model, target: str = "custom", streaming: bool = False) -> PreparedModel:
    """Plans, quantizes and packs a trained model, without writing anything.

    Args:
      task: of the model.
      trained: a model of `task.build`, quantized or not.
      target: key of `plan.TARGETS`.
      streaming: whether the file takes audio in steps.

    Raises:
      InputError: a layer's quantization is not possible in the file, or the model cannot run on a stream.
    """
    model = task.exported_part(trained, streaming)
    tables = position_tables(task, trained) if streaming else None
    replaced = position_layers(model) if streaming else frozenset()
    quantized = QuantizedLayers(trained)
    plans = tuple(layer for layer in plan(model, quantized.specs, target) if layer.name not in replaced)
    packed = {layer.name: pack_layer(layer, quantized[layer.name]) for layer in plans if layer.spec}
    operations = float_operations(model, tables) if packed and target == "custom" else {}
    layers = (layer for layer in map(float_layer, model.layers) if layer.name not in replaced)
    return PreparedModel(task, model, plans, packed, operations, layer_records(layers, packed, tables), tables)


def freeze_prepared(prepared: PreparedModel, config: Config) -> FrozenGraphs:
    """Converts a prepared model, for whole utterances or for a stream."""
    task, model, placeholders = prepared.task, prepared.model, prepared.constants.keys()
    if prepared.tables is None:
        return freeze(task, model, config.features, placeholders)
    return freeze_streaming(task, model, prepared.tables, config.features, placeholders)


def describe(
    prepared: PreparedModel, frozen: FrozenGraphs, config: Config, tokenizer: Tokenizer, method: str = "qat"
) -> bytes:
    """Returns the metadata entry of a prepared model and its graphs."""
    task = TaskDescription(name=prepared.task.name, **prepared.task.describe(prepared.model))
    return write_metadata(config, tokenizer, task, frozen.graphs, prepared.layers, method)


def further_names(frozen: FrozenGraphs) -> dict[str, str]:
    """Returns the second names of graphs: the one that flushes a stream."""
    streams = {graph.signature: graph.stream for graph in frozen.graphs}
    return {stream.flush_signature: signature for signature, stream in streams.items() if stream is not None}


def pack_layer(layer: LayerPlan, quantized: QuantizedWeights) -> PackedWeights | BuiltinWeights:
    """Packs the weights of a planned layer.

    Raises:
      InputError: they cannot be stored: they are not finite, or too large for float16 scales.
    """
    codes, scales = quantized.codes.numpy(), quantized.scales.numpy()
    offsets = None if quantized.offsets is None else quantized.offsets.numpy()
    try:
        if layer.target == "litert":
            return builtin_weights(codes, scales, quantized.spec)
        packed = pack_weights(codes, scales, offsets, quantized.spec)
        return replace(packed, window=layer.window, stride=layer.stride)
    except ValueError as error:
        raise InputError(f"the weights of layer {layer.name} cannot be packed: {error}") from None


def report_path(output: Path) -> Path:
    """Returns the path of the report of an exported file."""
    return output.with_suffix(".export.json")


def _report(content: bytes, prepared: PreparedModel, parity: tuple[Parity, ...]) -> ExportReport:
    packed = prepared.packed.values()
    weights = sum(layer.k * layer.n for layer in packed)
    weight_bytes = sum(layer.bytes for layer in packed)
    return ExportReport(
        file_bytes=len(content),
        weights=weights,
        weight_bytes=weight_bytes,
        bits_per_weight=8 * weight_bytes / weights if weights else None,
        operations=operation_histogram(content),
        layers=prepared.layers,
        parity=parity,
    )


def _tree(report: ExportReport) -> dict[str, Any]:
    """Returns the report as JSON; values that have no meaning for a layer or a file are left out."""

    def given(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {key: value for key, value in pairs if value is not None}

    return asdict(report, dict_factory=given)
