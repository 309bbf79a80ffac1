"""From a run directory to a verified `.tflite` file: the stages of export, one after the other.

    report = export(RunDirectory(Path("runs/int4")), Path("int4.tflite"), waveforms)

`prepare` plans and packs the layers, `freeze_prepared` converts the float graph with placeholders in their places,
`describe` writes the metadata, `rewrite` puts the packed layers into the graph, and `verify` compares the file with the
model. The values between the stages are immutable. In a streaming file the graph is one step of the model.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras as keras
from numpy.typing import NDArray

from converters.exporter import lookup
from converters.exporter.float_operations import FloatOperation, float_operations
from converters.exporter.freeze import FrozenGraphs, freeze
from converters.exporter.freeze_streaming import freeze_streaming, position_layers, position_tables
from converters.exporter.label_delay import label_delay
from converters.exporter.lookup import LookupTable, pack_table
from converters.exporter.metadata import layer_records, write_metadata
from converters.exporter.operators import LayerConstants
from converters.exporter.pack import PackedWeights, pack_weights
from converters.exporter.pack_builtin import BuiltinWeights, builtin_weights
from converters.exporter.plan import LayerPlan, plan
from converters.exporter.rewrite import operation_histogram, rewrite
from converters.exporter.verify import (
    Parity,
    Reference,
    VerificationError,
    keras_references,
    verify_float_operations,
    verify_lookups,
    verify_outputs,
    verify_weights,
)
from converters.flatbuffer.metadata import LayerRecord, TaskDescription
from tfconformer import atomic, memory
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
    """A trained model, planned and packed, before its graph is converted.

    Attributes:
      task: the task of the model; None for a Keras model without one.
      model: the exported part of the trained model.
      plans: the plans of its dense layers, in the model's order.
      packed: the constants of the packed layers, by name.
      lookups: the tables of quantized embeddings, by name.
      float_operations: the constants of the float layers that custom operations compute, by name.
      layers: a record of every layer with weights.
      tables: for a streaming file, the projected positions [1, distances, dim] by the name of the layer that they
        replace; None for an offline file.
    """

    task: Task | None
    model: keras.Model
    plans: tuple[LayerPlan, ...]
    packed: dict[str, PackedWeights | BuiltinWeights]
    lookups: dict[str, LookupTable]
    float_operations: dict[str, FloatOperation]
    layers: tuple[LayerRecord, ...]
    tables: dict[str, NDArray[np.float32]] | None = None

    @property
    def constants(self) -> dict[str, LayerConstants]:
        """The constants of all layers that are frozen as placeholders, by name."""
        return {**self.packed, **self.float_operations}


@dataclass(frozen=True)
class ExportReport:
    """The report of an export.

    Attributes:
      file_bytes: size of the file in bytes.
      weights: number of weights in packed layers.
      weight_bytes: size of their codes, scales, float zero points and sparsity indices in bytes.
      bits_per_weight: 8 weight_bytes / weights; None without packed layers.
      operations: number of operators of each operation, in all graphs of the file.
      layers: a record of every layer with weights.
      parity: the comparison of the file's outputs with the Keras model's, one entry per runtime.
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
    """Exports the best weights of a run to a verified file.

    Args:
      run: a finished training, quantized or not.
      output: the `.tflite` file, which appears only if it passes the verification. The report is written beside it, as
        `NAME.export.json`.
      waveforms: real utterances for the verification, each [samples] in [-1, 1] at the model's sample rate.
      runtimes: the runtimes of the verification, of "ai-edge-litert", "tflite-runtime" and "tensorflow".
      overrides: `model.KEY=VALUE` strings that replace the training's configuration, for keys that no weight's shape
        depends on, such as attention contexts.
      target: "custom" for this project's operations, "litert" for LiteRT's own.
      streaming: True for a file that takes audio in steps as it arrives, False for one of whole utterances.

    Raises:
      InputError: the run is incomplete, the model cannot run on a stream, a layer's quantization is not possible in
        the file, a runtime or the native library is missing, or there is no utterance.
      VerificationError: the file is not the trained model.
    """
    config = run.config(overrides)
    tokenizer = Tokenizer.from_file(run.tokenizer_file)
    trained = load_model(run, config)
    return export_model(
        trained, config, tokenizer, output, waveforms, runtimes=runtimes, target=target, streaming=streaming
    )


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
    allow_different: int | None = None,
) -> ExportReport:
    """Exports a model in memory to a verified file.

    Args:
      trained: a model of the task `config.task`, quantized or not.
      config: the configuration that it was trained with.
      tokenizer: the tokenizer of its labels.
      output: the `.tflite` file, which appears only if it passes the verification; its report is written beside it.
      waveforms: real utterances for the verification, at least one, each [samples] in [-1, 1].
      runtimes: the runtimes of the verification, of "ai-edge-litert", "tflite-runtime" and "tensorflow".
      target: "custom" for this project's operations, "litert" for LiteRT's own.
      method: the name of the quantization method in the file's metadata: "qat", "ptq-nearest" or "ptq-gptq".
      streaming: True for a file that takes audio in steps as it arrives, False for one of whole utterances.
      allow_different: largest number of utterances whose transcripts may differ from the Keras model's in a runtime;
        None for any, which are logged.

    Raises:
      InputError, VerificationError: see `export`.
    """
    task = find_task(config.task)
    prepared = prepare(task, trained, target=target, streaming=streaming)
    references = keras_references(task, trained, config, waveforms)
    if not references:
        raise InputError("export needs at least one utterance to verify the file with")
    frozen = freeze_prepared(prepared, config)
    metadata = describe(prepared, frozen, config, tokenizer, method=method, references=references)
    memory.release_freed()
    content = rewrite(frozen, prepared.constants, metadata)
    with atomic.atomic_path(output) as file:
        file.write_bytes(content)
        verify_weights(file, trained, prepared.plans)
        verify_lookups(file, trained, prepared.plans)
        verify_float_operations(file, trained, prepared.float_operations.keys(), tables=prepared.tables)
        parity = tuple(verify_outputs(file, task, references, prepared.plans, runtime) for runtime in runtimes)
        _check_hypotheses(output, parity, allow_different)
    for result in parity:
        if result.different_hypotheses:
            logger.warning(
                "%s: %d of %d transcripts in %s differ from the Keras model's",
                *(output, result.different_hypotheses, result.utterances, result.runtime),
            )
    return write_report(output, content, prepared, parity)


def _check_hypotheses(output: Path, parity: Iterable[Parity], allowed: int | None) -> None:
    for result in parity:
        if allowed is not None and result.different_hypotheses > allowed:
            raise VerificationError(
                f"{output}: {result.different_hypotheses} of {result.utterances} transcripts in {result.runtime} are "
                f"not the Keras model's, expected at most {allowed}; `--allow-different` raises the limit"
            )


def prepare(task: Task, trained: keras.Model, target: str = "custom", streaming: bool = False) -> PreparedModel:
    """Plans, quantizes and packs a trained model, without writing anything.

    Args:
      task: the task of the model.
      trained: a model of `task.build`, quantized or not.
      target: "custom" for this project's operations, "litert" for LiteRT's own.
      streaming: True for a file that takes audio in steps, False for one of whole utterances.

    Raises:
      InputError: a layer's quantization is not possible in the file, or the model cannot run on a stream.
    """
    model = task.exported_part(trained, streaming)
    tables = position_tables(task, trained) if streaming else None
    return prepare_part(model, trained, target=target, task=task, tables=tables)


def prepare_part(
    model: keras.Model,
    trained: keras.Model,
    target: str,
    task: Task | None = None,
    tables: dict[str, NDArray[np.float32]] | None = None,
) -> PreparedModel:
    """Plans, quantizes and packs the exported part of a model.

    Args:
      model: the exported part.
      trained: the model, quantized or not.
      target: "custom" for this project's operations, "litert" for LiteRT's own.
      task: see `PreparedModel`.
      tables: see `PreparedModel`.

    Raises:
      InputError: a layer's quantization is not possible in the file.
    """
    replaced = position_layers(model) if tables is not None else frozenset()
    quantized = QuantizedLayers(trained)
    plans = tuple(layer for layer in plan(model, quantized.specs, target) if layer.name not in replaced)
    stored = [layer for layer in plans if layer.spec]
    lookups = {layer.name: pack_table(quantized[layer.name]) for layer in stored if layer.target == lookup.TARGET}
    packed = {layer.name: pack_layer(layer, quantized[layer.name]) for layer in stored if layer.name not in lookups}
    stored_layers = (layer for layer in map(float_layer, model.layers) if layer.name not in replaced)
    return PreparedModel(
        task=task,
        model=model,
        plans=plans,
        packed=packed,
        lookups=lookups,
        # A file without packed layers must run without the library of the custom operations.
        float_operations=float_operations(model, tables) if packed and target == "custom" else {},
        layers=layer_records(stored_layers, {**packed, **lookups}, tables),
        tables=tables,
    )


def freeze_prepared(prepared: PreparedModel, config: Config) -> FrozenGraphs:
    """Converts a prepared model to a float graph with placeholders, of whole utterances or of a step of a stream."""
    task, model, features, placeholders = prepared.task, prepared.model, config.features, prepared.constants.keys()
    assert task is not None
    if prepared.tables is None:
        return freeze(task, model, features, placeholders=placeholders, lookups=prepared.lookups)
    return freeze_streaming(task, model, prepared.tables, features, placeholders=placeholders, lookups=prepared.lookups)


def describe(
    prepared: PreparedModel,
    frozen: FrozenGraphs,
    config: Config,
    tokenizer: Tokenizer,
    method: str = "qat",
    references: Sequence[Reference] = (),
) -> bytes:
    """Returns the content of the metadata entry of a prepared model, JSON in UTF-8.

    Args:
      prepared: the model.
      frozen: its converted graphs.
      config: the configuration that it was trained with.
      tokenizer: the tokenizer of its labels.
      method: the name of the quantization method.
      references: utterances on which the delay of its labels is measured.
    """
    assert prepared.task is not None
    features = config.features
    frame_seconds = config.model.encoder_stride * features.frame_step / features.sample_rate
    delay = label_delay(references, frame_seconds, features.sample_rate)
    settings = {**prepared.task.describe(prepared.model), **delay}
    return write_metadata(
        config=config,
        tokenizer=tokenizer,
        task=TaskDescription(name=prepared.task.name, **settings),
        graphs=frozen.graphs,
        layers=prepared.layers,
        method=method,
    )


def pack_layer(layer: LayerPlan, quantized: QuantizedWeights) -> PackedWeights | BuiltinWeights:
    """Packs the weights of a layer in the format of its plan's target.

    Raises:
      InputError: the weights cannot be stored: they are not finite, or too large for float16 scales.
    """
    codes, scales = quantized.codes.numpy(), quantized.scales.numpy()
    offsets = None if quantized.offsets is None else quantized.offsets.numpy()
    try:
        if layer.target == "litert":
            return builtin_weights(codes, scales, spec=quantized.spec)
        packed = pack_weights(codes, scales, offsets, spec=quantized.spec)
        return replace(packed, window=layer.window, stride=layer.stride)
    except ValueError as error:
        raise InputError(f"the weights of layer {layer.name} cannot be packed: {error}") from None


def report_path(output: Path) -> Path:
    """Returns the path of the report beside an exported file, `NAME.export.json`."""
    return output.with_suffix(".export.json")


def write_report(output: Path, content: bytes, prepared: PreparedModel, parity: tuple[Parity, ...]) -> ExportReport:
    """Writes the report of an exported file beside it."""
    report = _report(content, prepared, parity)
    atomic.write_text(report_path(output), json.dumps(_tree(report), indent=2) + "\n")
    return report


def _report(content: bytes, prepared: PreparedModel, parity: tuple[Parity, ...]) -> ExportReport:
    packed = [*prepared.packed.values(), *prepared.lookups.values()]
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
    """Returns the report as a JSON object without the fields that are None."""

    def without_none(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {key: value for key, value in pairs if value is not None}

    return asdict(report, dict_factory=without_none)
