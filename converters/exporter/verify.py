"""Stage 5 of export: comparing the written file with the trained model: all quantized values and all outputs.

The constants of the file are read back by `flatbuffer/custom_layers.py` and `builtin_layers.py`, which share no code
with the stages that wrote them, and its outputs come from a real runtime. All graphs are compared: those of a
transducer along the Keras model's path through the utterance, with the state that is passed from label to label.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
from numpy.typing import NDArray
from tqdm import tqdm

from converters.custom_ops import FULLY_CONNECTED
from converters.exporter import lookup
from converters.exporter.float_operations import float_operations
from converters.exporter.plan import LayerPlan
from converters.flatbuffer.builtin_layers import BuiltinConstants, StoredBuiltin, read_builtin_layers
from converters.flatbuffer.custom_layers import Attributes, StoredLayer, read_float_operations, read_layers
from converters.flatbuffer.lookup_tables import LookupConstants, decode_rows, read_tables
from converters.runtime.model import open_model
from tfconformer.config import Config
from tfconformer.errors import InputError
from tfconformer.layers.dense import float_layers
from tfconformer.models.config import shortest_utterance
from tfconformer.quantization.apply import QuantizedLayers
from tfconformer.quantization.quantizers.weights import QuantizedWeights
from tfconformer.tasks.graphs import KerasGraphs
from tfconformer.tasks.task import Task, Trace

# Largest accepted root mean square of the differences between the file's logits and the Keras model's, relative to
# that of the logits. With float activations only the order of float32 sums differs: 6e-7 was measured, and folding
# constants into each other may cost one more digit. 8-bit activations are rounded in every layer, and a value close to
# a half may be rounded up in one implementation and down in the other: 0.7 to 1.7 % was measured with five blocks, as
# much as the Keras model's own logits change when its features change by one part in 10^6.
RELATIVE_RMS_LIMIT = {None: 1e-4, 8: 0.05}
# Above this number, tracing the graph from audio takes less time than it saves.
_FEW_UTTERANCES = 16


class VerificationError(InputError):
    """An exported file that differs from the trained model; the message names the difference.

    Attributes:
      exit_status: exit status of the command line for this error.
    """

    exit_status = 1


@dataclass(frozen=True)
class Reference:
    """An utterance and the Keras model's computation on it.

    Attributes:
      waveform: [samples] in [-1, 1].
      trace: the outputs of all graphs, and the hypothesis.
    """

    waveform: NDArray[np.float32]
    trace: Trace


@dataclass(frozen=True)
class Parity:
    """The comparison of the file's outputs with those of the Keras model, over all utterances.

    Attributes:
      runtime: name and version of the runtime that ran the file.
      kernel: the implementation that multiplied its weights.
      utterances: number of compared utterances.
      max_abs_difference: largest absolute difference of two outputs.
      relative_rms: root mean square of the differences over that of the model's outputs.
      different_hypotheses: number of utterances whose greedy transcripts differ.
    """

    runtime: str
    kernel: str
    utterances: int
    max_abs_difference: float
    relative_rms: float
    different_hypotheses: int


def verify_weights(path: str | Path, trained: keras.Model, plans: Sequence[LayerPlan]) -> None:
    """Compares every packed layer of a file with the trained model's; all constants must be equal.

    Args:
      path: the exported file.
      trained: the training model, with its quantizers.
      plans: the plans of its dense layers.

    Raises:
      InputError: the file is missing, truncated or damaged, or the constants of an operation contradict its attributes.
      VerificationError: planned and packed layers differ, or a constant is not the model's.
    """
    planned = {(layer.target, layer.name): layer for layer in plans if layer.spec and layer.target != lookup.TARGET}
    quantized, originals = QuantizedLayers(trained), float_layers(trained)
    stored = set()
    for target, name, compare_constants in _stored(path):
        stored.add((target, name))
        if (target, name) not in planned:
            continue
        layer, weights, bias = planned[target, name], quantized[name], originals[name].bias
        for what, actual, expected in compare_constants(layer, weights, bias):
            if not np.array_equal(actual, expected):
                raise VerificationError(f"{path}: the {what} of {name} are not those of the trained model")
    if different := stored ^ planned.keys():
        names = ", ".join(sorted(name for _, name in different))
        raise VerificationError(f"{path}: planned and packed layers differ in {names}")


def verify_lookups(path: str | Path, trained: keras.Model, plans: Sequence[LayerPlan]) -> None:
    """Compares the tables of a file with the quantized embeddings of the trained model; all values must be equal.

    Args:
      path: the exported file.
      trained: the training model, with its quantizers.
      plans: the plans of its dense layers.

    Raises:
      InputError: the file is missing, truncated or damaged.
      VerificationError: the file does not hold an embedding as it was quantized.
    """
    quantized = QuantizedLayers(trained)
    planned = [layer for layer in plans if layer.spec and layer.target == lookup.TARGET]
    tables = read_tables(path) if planned else LookupConstants([], [])
    for layer in planned:
        weights = quantized[layer.name]
        rows = [decode_rows(packed, weights.spec.bits, layer.k) for packed in tables.packed]
        stored: dict[str, tuple[tf.Tensor | None, list[Any]]] = {
            "codes": (weights.codes, rows),
            "scales": (weights.scales, tables.ranges),
            "offsets": (weights.offsets, tables.ranges),
        }
        for what, (values, found) in stored.items():
            if values is not None and not any(np.array_equal(values.numpy().T, one) for one in found):
                raise VerificationError(f"{path}: the {what} of {layer.name} are not those of the trained model")


def verify_float_operations(
    path: str | Path,
    trained: keras.Model,
    names: Collection[str],
    tables: Mapping[str, NDArray[np.float32]] | None = None,
) -> None:
    """Compares the float custom operations of a file with the trained model's; all constants must be equal.

    Args:
      path: the exported file.
      trained: the training model.
      names: the names of the layers that were planned as float custom operations.
      tables: for a streaming file, the projected positions [1, distances, dim] by layer name.

    Raises:
      InputError: the file is missing, truncated or damaged.
      VerificationError: planned and stored operations differ, or a constant is not the model's.
    """
    expected = float_operations(trained, tables)
    stored = {name: (operation, constants) for operation, name, constants in read_float_operations(path)}
    if different := sorted(stored.keys() ^ set(names)):
        raise VerificationError(f"{path}: planned and stored float operations differ in {', '.join(different)}")
    for name, (operation, constants) in stored.items():
        values = expected[name].constants.values()
        if operation != expected[name].operation or constants != [value.tobytes() for value in values]:
            raise VerificationError(f"{path}: the constants of {name} are not those of the trained model")


def verify_outputs(
    path: str | Path, task: Task, references: Sequence[Reference], plans: Sequence[LayerPlan], runtime: str
) -> Parity:
    """Runs a file in a real runtime and compares its outputs with those of the trained Keras model.

    All graphs are compared: the file is forced along the path of the Keras model, for example through the lattice of a
    transducer.

    Args:
      path: the exported file.
      task: the task of the model.
      references: utterances with the traces of the model, at least one.
      plans: the plans of the model's dense layers.
      runtime: "ai-edge-litert", "tflite-runtime" or "tensorflow".

    Raises:
      InputError: the runtime or the native library is missing, or the file is not usable.
      VerificationError: the outputs are zero, not finite or too far from the model's, or the custom operation does not
        compute all layers that were planned for it.
    """
    opened = open_model(path, runtime)
    dead = f"{path}: {opened.runtime} computes {opened.output} that are all zero or not finite"
    try:
        traces = [task.trace(opened, one.waveform, one.trace.path) for one in references]
    except ValueError as error:  # from a search in outputs with a NaN
        raise VerificationError(f"{dead} ({error})") from error
    if not all(np.isfinite(one.values).all() and one.values.any() for one in traces):
        raise VerificationError(dead)
    quantized = [layer for layer in plans if layer.spec]
    custom = sum(layer.target == "custom" for layer in quantized)
    kernels = opened.kernels()
    if kernels.custom_nodes != custom:
        raise VerificationError(f"{path}: {kernels.custom_nodes} of {custom} packed layers run in {FULLY_CONNECTED}")
    parity = compare(traces, [one.trace for one in references], opened.runtime, kernels.name)
    require_close(path, opened.output, parity, plans)
    return parity


def require_close(path: str | Path, output: str, parity: Parity, plans: Sequence[LayerPlan]) -> None:
    """Checks that outputs are as close to the model's as its plans allow.

    Raises:
      VerificationError: they are not.
    """
    limit = max(
        RELATIVE_RMS_LIMIT[bits] for bits in {None, *(_activation_bits(layer) for layer in plans if layer.spec)}
    )
    if not parity.relative_rms <= limit:
        raise VerificationError(
            f"{path}: the {output} in {parity.runtime} are {parity.relative_rms:.2g} (relative RMS) away from "
            f"those of the Keras model, expected at most {limit:g}"
        )


def compare(actual: Sequence[Trace], expected: Sequence[Trace], runtime: str, kernel: str) -> Parity:
    """Compares traces utterance by utterance.

    Args:
      actual: the traces of the file.
      expected: the traces of the model, in the same order.
      runtime: name and version of the runtime that ran the file.
      kernel: the implementation that multiplied its weights.

    Raises:
      VerificationError: the output shapes of an utterance differ.
    """
    pairs = list(zip(actual, expected, strict=True))
    for computed, reference in pairs:
        if computed.values.shape != reference.values.shape:
            raise VerificationError(
                f"logits in {runtime} have shape {computed.values.shape}, the model's {reference.values.shape}"
            )
    difference = np.concatenate([(computed.values - reference.values).ravel() for computed, reference in pairs])
    magnitude = np.concatenate([reference.values.ravel() for reference in expected])
    return Parity(
        runtime=runtime,
        kernel=kernel,
        utterances=len(pairs),
        max_abs_difference=float(np.abs(difference).max()),
        relative_rms=float(np.linalg.norm(difference) / np.linalg.norm(magnitude)),
        different_hypotheses=sum(computed.hypothesis != reference.hypothesis for computed, reference in pairs),
    )


def keras_references(
    task: Task, trained: keras.Model, config: Config, waveforms: Iterable[NDArray[np.float32]]
) -> list[Reference]:
    """Traces the Keras model on utterances, one at a time as in a runtime.

    Args:
      task: the task of the model.
      trained: the training model, with its quantizers.
      config: the configuration that it was trained with.
      waveforms: real utterances, each [samples] in [-1, 1].

    Raises:
      InputError: an utterance is shorter than `shortest_utterance`.
    """
    waveforms = list(waveforms)
    shortest = shortest_utterance(config.features, config.model)
    for waveform in waveforms:
        if len(waveform) < shortest:
            raise InputError(f"an utterance of {len(waveform)} samples is too short: the model needs {shortest}")
    exported = task.exported_part(trained, streaming=True)
    compile_audio = len(waveforms) > _FEW_UTTERANCES
    graphs = KerasGraphs(*task.graphs(exported), task.describe(exported), config.features, compile_audio)
    progress = tqdm(waveforms, desc="Keras model", unit="utt", leave=False, disable=None)
    return [Reference(waveform, task.trace(graphs, waveform)) for waveform in progress]


def _activation_bits(layer: LayerPlan) -> int | None:
    """Returns the width of the computed activations, None for float; LiteRT always quantizes them to 8 bits."""
    assert layer.spec is not None
    return 8 if layer.target == "litert" else layer.spec.activation_bits


# Name, stored value and expected value of a constant.
_Comparison = tuple[str, Any, Any]


def _stored(path: str | Path) -> Iterator[tuple[str, str, Callable[..., Iterator[_Comparison]]]]:
    """Yields target, name and comparison function of the quantized layers of a file."""
    for packed, layer in read_layers(path):
        yield "custom", packed.name, functools.partial(_comparisons, packed.attributes, layer)
    for constants, builtin in read_builtin_layers(path):
        yield "litert", constants.name, functools.partial(_builtin_comparisons, constants, builtin)


def _comparisons(
    attributes: Attributes, stored: StoredLayer, layer: LayerPlan, expected: QuantizedWeights, bias: tf.Variable | None
) -> Iterator[_Comparison]:
    spec = layer.spec
    assert spec is not None
    planned = Attributes(
        version=3,
        bits=spec.bits,
        symmetric={"stored": 0, "none": 1, "implied": 2}[spec.zero_points],
        block_size=spec.block_size or 0,
        k=layer.k,
        n=layer.n,
        activation_bits=spec.activation_bits or 0,
        has_bias=int(bias is not None),
        activation=0,
        kept={"1:4": 1, "2:4": 2}.get(spec.sparsity or "", 0),
        window=layer.window,
        stride=layer.stride,
    )
    yield "params", attributes, planned
    yield "codes", stored.codes, expected.codes.numpy().T
    yield "scales", stored.scales, expected.scales.numpy().T
    if expected.offsets is not None:
        yield "offsets", stored.offsets, expected.offsets.numpy().T
    if bias is not None:
        yield "biases", stored.bias, bias.numpy()


def _builtin_comparisons(
    constants: BuiltinConstants,
    stored: StoredBuiltin,
    layer: LayerPlan,
    expected: QuantizedWeights,
    bias: tf.Variable | None,
) -> Iterator[_Comparison]:
    spec = layer.spec
    assert spec is not None
    yield "widths", (constants.bits, constants.block_size), (spec.bits, spec.block_size)
    yield "codes", stored.codes, expected.codes.numpy().T
    yield "scales", stored.scales, expected.scales.numpy().T
    if bias is not None:
        yield "biases", stored.bias, bias.numpy()
