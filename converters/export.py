"""From a run directory to a verified `.tflite` file: the stages of export, one after the other.

    report = export(RunDirectory(Path("runs/int4")), Path("int4.tflite"), waveforms)

freeze -> plan -> pack -> rewrite -> verify; the data between them are plain values, see the modules of these names.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
from numpy.typing import NDArray

from converters.freeze import freeze, inference_model
from converters.metadata import LayerRecord, layer_records, metadata_json
from converters.pack import PackedWeights, pack_weights
from converters.plan import LayerPlan, plan
from converters.rewrite import operation_histogram, rewrite
from converters.verify import Parity, keras_references, verify_outputs, verify_weights
from tfconformer import atomic
from tfconformer.config import Config
from tfconformer.data.tokenizer import Tokenizer
from tfconformer.errors import InputError
from tfconformer.quantization.apply import layer_specs
from tfconformer.quantization.quantizers import quantize_weights
from tfconformer.training.checkpoint import load_model
from tfconformer.training.run import RunDirectory

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedModel:
    """Everything that is decided before conversion.

    Attributes:
      model: the float model that is exported.
      plans: what becomes of its dense layers.
      packed: the constants of those that are packed, by name.
      layers: a record of every layer with weights.
    """

    model: keras.Model
    plans: tuple[LayerPlan, ...]
    packed: dict[str, PackedWeights]
    layers: tuple[LayerRecord, ...]


@dataclass(frozen=True)
class ExportReport:
    """What was exported.

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
) -> ExportReport:
    """Exports the best weights of a run.

    Args:
      run: a finished training, quantized or not.
      output: the `.tflite` file, which appears only if it passes the verification. The report goes beside it, as
        `NAME.export.json`.
      waveforms: real utterances for the verification, each [samples] in [-1, 1].
      runtimes: where to verify, of `runtimes.RUNTIMES`.

    Raises:
      InputError: the run is incomplete, a layer's quantization is not possible in the file, a runtime or the native
        library is missing, or there is no utterance.
      VerificationError: the file is not the trained model.
    """
    tokenizer = Tokenizer.from_file(run.tokenizer_file)
    return export_model(load_model(run), run.config(), tokenizer, output, waveforms, runtimes)


def export_model(
    trained: keras.Model,
    config: Config,
    tokenizer: Tokenizer,
    output: Path,
    waveforms: Iterable[NDArray[np.float32]],
    runtimes: Sequence[str] = ("ai-edge-litert",),
) -> ExportReport:
    """As `export`, for a model in memory."""
    prepared = prepare(trained, config, tokenizer.vocabulary_size)
    references = keras_references(trained, config.features, waveforms)
    if not references:
        raise InputError("export needs at least one utterance to verify the file with")
    frozen = freeze(prepared.model, config.features, prepared.packed.keys())
    content = rewrite(frozen, prepared.packed, metadata_json(tokenizer.to_bytes(), config, prepared.layers))
    with atomic.atomic_path(output) as file:
        file.write_bytes(content)
        verify_weights(file, prepared.model, prepared.plans)
        parity = tuple(verify_outputs(file, references, prepared.plans, runtime) for runtime in runtimes)
    for result in parity:
        if result.different_hypotheses:
            logger.warning(
                "%s: %d of %d transcripts in %s differ from the Keras model's",
                *(output, result.different_hypotheses, result.utterances, result.runtime),
            )
    report = _report(content, prepared, parity)
    atomic.write_text(report_path(output), json.dumps(_tree(report), indent=2) + "\n")
    return report


def prepare(trained: keras.Model, config: Config, vocabulary: int) -> PreparedModel:
    """Plans, quantizes and packs a trained model, without writing anything.

    Args:
      trained: a model of `conformer_ctc`, quantized or not.
      config: what it was built with.
      vocabulary: number of tokenizer pieces.

    Raises:
      InputError: a layer's quantization is not possible in the file.
    """
    model = inference_model(trained, config, vocabulary)
    plans = plan(model, layer_specs(trained))
    packed = {layer.name: pack_layer(model, layer) for layer in plans if layer.spec}
    return PreparedModel(model, plans, packed, layer_records(model, packed))


def pack_layer(model: keras.Model, layer: LayerPlan) -> PackedWeights:
    """Quantizes and packs the weights of a planned layer.

    Raises:
      InputError: its weights cannot be stored: they are not finite, or too large for float16 scales.
    """
    assert layer.spec is not None
    quantized = quantize_weights(tf.constant(model.get_layer(layer.name).kernel.numpy()), layer.spec)
    offsets = None if quantized.offsets is None else quantized.offsets.numpy()
    try:
        return pack_weights(quantized.codes.numpy(), quantized.scales.numpy(), offsets, layer.spec)
    except ValueError as error:
        raise InputError(f"the weights of layer {layer.name} cannot be packed: {error}") from None


def report_path(output: Path) -> Path:
    """Where the report of an exported file is."""
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
    """As JSON; what has no meaning for a layer or a file is left out."""

    def given(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {key: value for key, value in pairs if value is not None}

    return asdict(report, dict_factory=given)
