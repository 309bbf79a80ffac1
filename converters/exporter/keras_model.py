"""Export of any functional Keras model, quantized or not, with the inputs and outputs that it has.

report = export_keras_model(tfconformer.quantize(model, rules), Path("m.tflite"), verify_with=x)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
from numpy.typing import NDArray

from converters.exporter.freeze import FrozenGraphs, convert
from converters.exporter.metadata import write_metadata
from converters.exporter.pipeline import (
    ExportReport,
    PreparedModel,
    prepare_part,
    write_report,
)
from converters.exporter.placeholders import with_placeholders
from converters.exporter.rewrite import rewrite
from converters.exporter.verify import (
    Parity,
    VerificationError,
    compare,
    require_close,
    verify_float_operations,
    verify_lookups,
    verify_weights,
)
from converters.flatbuffer.metadata import FREE, GraphDescription, TaskDescription, TensorDescription
from converters.runtime.tensor_model import load
from tfconformer import atomic, memory
from tfconformer.errors import InputError
from tfconformer.layers.from_keras.model import expand, is_functional, require_functional
from tfconformer.quantization.layers.quantize_wrapper import require_own_wrappers
from tfconformer.tasks.task import Trace

SIGNATURE = "serving_default"  # the one that TensorFlow gives to a model
TASK = "keras_model"

Arrays = dict[str, NDArray[Any]]

_RANDOM_EXAMPLES = 4
_RANDOM_SIZE = 24  # of a free dimension of a random input
_TYPES = ("float32", "int32")


def export_keras_model(
    model: keras.Model,
    output: Path,
    verify_with: Any = None,
    runtimes: Sequence[str] = ("ai-edge-litert",),
    target: str = "custom",
) -> ExportReport:
    """Exports a Keras model to a verified file, whose one signature has the inputs and outputs of the model by name.

    Free dimensions stay free, but for the batch, which is 1.

    Args:
      model: a functional or Sequential model, of `tfconformer.quantize` or in float.
      output: the `.tflite` file, which appears only if it passes the verification; its report is written beside it.
      verify_with: inputs, as `Model.predict` takes them, on which the file must compute what the model does: arrays, or
        a dataset of batches; None draws a few normal ones.
      runtimes: the runtimes of the verification, of "ai-edge-litert", "tflite-runtime" and "tensorflow".
      target: "custom" for this project's operations, "litert" for LiteRT's own.

    Raises:
      InputError: the model cannot be exported, a layer's quantization is not possible in the file, an input is neither
        float32 nor int32, a runtime or the native library is missing, or there is nothing to verify with.
      VerificationError: the file is not the model.
    """
    require_functional(model)
    require_own_wrappers(model)
    flat = expand(model, names=()).model if any(map(is_functional, model.layers)) else model
    graph = _describe(flat)
    examples = list(_random_examples(flat, graph) if verify_with is None else _examples(flat, graph, verify_with))
    if not examples:
        raise InputError("export needs at least one example to verify the file with")
    expected = [_outputs(flat, example) for example in examples]
    prepared = prepare_part(flat, flat, target=target)
    frozen = _freeze(prepared, graph)
    metadata = write_metadata(
        config=None, tokenizer=None, task=TaskDescription(name=TASK), graphs=frozen.graphs, layers=prepared.layers
    )
    memory.release_freed()
    content = rewrite(frozen, prepared.constants, metadata)
    with atomic.atomic_path(output) as file:
        file.write_bytes(content)
        verify_weights(file, flat, prepared.plans)
        verify_lookups(file, flat, prepared.plans)
        verify_float_operations(file, flat, prepared.float_operations.keys())
        parity = tuple(_verify(file, examples, expected, prepared, runtime) for runtime in runtimes)
    return write_report(output, content, prepared, parity)


def _describe(model: keras.Model) -> GraphDescription:
    """Returns the graph of the file, its batch fixed."""
    inputs = [_tensor(tensor.node.layer.name, tensor, "input") for tensor in tf.nest.flatten(model.input)]
    outputs = [_tensor(*pair, "output") for pair in zip(model.output_names, model.outputs, strict=True)]
    return GraphDescription(signature=SIGNATURE, inputs=tuple(inputs), outputs=tuple(outputs))


def _tensor(name: str, tensor: Any, role: str) -> TensorDescription:
    if tensor.dtype.name not in _TYPES:
        raise InputError(f"the {role} {name} has the type {tensor.dtype.name}, a file has {' and '.join(_TYPES)}")
    batch, *shape = tensor.shape
    return TensorDescription(
        name=name, shape=(batch or 1, *(FREE if size is None else size for size in shape)), dtype=tensor.dtype.name
    )


def _freeze(prepared: PreparedModel, graph: GraphDescription) -> FrozenGraphs:
    placeholders = prepared.constants.keys()
    model = with_placeholders(prepared.model, placeholders, lookups=prepared.lookups)
    specs = {
        one.name: tf.TensorSpec([None if size == FREE else size for size in one.shape], one.dtype, one.name)
        for one in graph.inputs
    }

    @tf.function
    def serve(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return _named_outputs(model, inputs)

    content = convert({SIGNATURE: serve.get_concrete_function(**specs)}, model.variables, bool(placeholders))
    return FrozenGraphs(content, (graph,))


def _named_outputs(model: keras.Model, inputs: Mapping[str, Any]) -> dict[str, tf.Tensor]:
    structure = tf.nest.map_structure(lambda tensor: inputs[tensor.node.layer.name], model.input)
    outputs = tf.nest.flatten(model(structure, training=False))
    return dict(zip(model.output_names, outputs, strict=True))


def _outputs(model: keras.Model, example: Arrays) -> Arrays:
    inputs = {name: tf.constant(value) for name, value in example.items()}
    return {name: value.numpy() for name, value in _named_outputs(model, inputs).items()}


def _examples(model: keras.Model, graph: GraphDescription, given: Any) -> Iterator[Arrays]:
    """Yields the examples of arrays or of a dataset, one batch of the file at a time."""
    batches = given if isinstance(given, tf.data.Dataset) else [given]
    batch = graph.inputs[0].shape[0]
    for one in batches:
        inputs = keras.utils.unpack_x_y_sample_weight(one)[0] if isinstance(given, tf.data.Dataset) else one
        named = _by_name(model, graph, inputs)
        for index in range(0, len(next(iter(named.values()))), batch):
            yield {name: value[index : index + batch] for name, value in named.items()}


def _by_name(model: keras.Model, graph: GraphDescription, inputs: Any) -> Arrays:
    values = inputs if isinstance(inputs, Mapping) else tf.nest.flatten(inputs)
    if len(values) != len(graph.inputs):
        raise InputError(f"the model {model.name} has {len(graph.inputs)} inputs, got {len(values)} to verify with")
    named = values if isinstance(values, Mapping) else dict(zip(model.input_names, values, strict=True))
    return {one.name: np.asarray(named[one.name], one.dtype) for one in graph.inputs}


def _random_examples(model: keras.Model, graph: GraphDescription) -> Iterator[Arrays]:
    """Yields normal inputs.

    Raises:
      InputError: an input is an integer, whose range is not given.
    """
    for one in graph.inputs:
        if one.dtype != "float32":
            raise InputError(f"the input {one.name} of {model.name} is {one}: give verify_with some of its values")
    generator = np.random.default_rng(0)
    for _ in range(_RANDOM_EXAMPLES):
        yield {
            one.name: generator.normal(size=[_RANDOM_SIZE if size == FREE else size for size in one.shape]).astype("f")
            for one in graph.inputs
        }


def _verify(
    path: Path, examples: Sequence[Arrays], expected: Sequence[Arrays], prepared: PreparedModel, runtime: str
) -> Parity:
    """Compares all outputs in a runtime with the model's; returns the comparison of the one that differs most."""
    model = load(path, runtime)
    actual = [model(**example) for example in examples]
    kernel = model.kernels().name
    parities = []
    for name in expected[0]:
        computed, wanted = ([Trace(one[name].reshape(-1)) for one in outputs] for outputs in (actual, expected))
        values = np.concatenate([trace.values for trace in computed])
        if not np.isfinite(values).all() or not values.any():
            raise VerificationError(f"{path}: {model.runtime} computes {name} that are all zero or not finite")
        parity = compare(computed, wanted, model.runtime, kernel)
        require_close(path, name, parity, prepared.plans)
        parities.append(parity)
    return max(parities, key=lambda parity: parity.relative_rms)
