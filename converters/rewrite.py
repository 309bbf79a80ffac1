"""Stage 4 of export: placeholders of the frozen graph become custom operations with packed weights.

The file is edited as a tree of objects and written anew. What nothing refers to any more, the float kernels above all,
is left out, and every constant begins at a multiple of 64 bytes, as LiteRT's C interface and vector loads want it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import flatbuffers
import numpy as np
from flatbuffers import flexbuffers
from numpy.typing import NDArray
from tensorflow.lite.python import schema_py_generated as schema

from converters.custom_ops import OPERATION_NAME
from converters.freeze import PLACEHOLDER, PLACEHOLDER_LAYER
from converters.pack import PackedWeights
from converters.runtimes import METADATA

ALIGNMENT = 64
_IDENTIFIER = b"TFL3"
_DESCRIPTION = b"tfconformer"
_TYPES = {
    np.dtype(np.uint8): schema.TensorType.UINT8,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.float16): schema.TensorType.FLOAT16,
}
_BUILTIN_NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}


def rewrite(frozen: bytes, packed: Mapping[str, PackedWeights], metadata: bytes) -> bytes:
    """Replaces the placeholders of `frozen`.

    Args:
      frozen: from `freeze.freeze`.
      packed: the constants of every layer that has a placeholder, by layer name.
      metadata: content of the metadata entry.

    Returns:
      The finished file.

    Raises:
      ValueError: placeholders and packed layers do not correspond, or the graph has custom operations of other kinds.
    """
    model = schema.ModelT.InitFromPackedBuf(frozen)
    (graph,) = model.subgraphs
    placeholders = dict(_placeholders(model, graph))
    if placeholders.keys() != packed.keys():
        different = ", ".join(sorted(placeholders.keys() ^ packed.keys()))
        raise ValueError(f"layers with a placeholder or packed weights, but not both: {different}")
    if placeholders:
        operation = _add_operation_code(model)
        for name, placeholder in placeholders.items():
            _replace(model, graph, placeholder, operation, name, packed[name])
    _add_metadata(model, metadata)
    model.description = _DESCRIPTION
    _drop_unused_codes(model, graph)
    _drop_unused_tensors(model, graph)
    _drop_unused_buffers(model, graph)
    builder = flatbuffers.Builder(sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None))
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())


def operation_histogram(content: bytes) -> dict[str, int]:
    """How often each operation is in a `.tflite` file, the most frequent first; custom ones under their own name."""
    model = schema.ModelT.InitFromPackedBuf(content)
    counts = Counter(_operation_name(model, operator) for graph in model.subgraphs for operator in graph.operators)
    return dict(counts.most_common())


class _AlignedBuffer(schema.BufferT):
    """A buffer whose content begins at a multiple of `ALIGNMENT` in the file."""

    def __init__(self, data: NDArray[np.uint8]) -> None:
        super().__init__()
        self.data = data

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802
        builder.Prep(ALIGNMENT, self.data.size)
        content = builder.CreateNumpyVector(self.data)
        schema.BufferStart(builder)
        schema.BufferAddData(builder, content)
        return int(schema.BufferEnd(builder))


def _operation_name(model: Any, operator: Any) -> str:
    code = model.operatorCodes[operator.opcodeIndex]
    if code.customCode is not None:
        return str(code.customCode.decode("utf-8"))
    # Codes that fit into 7 bits stand in the older field too, and only there in files of older writers.
    return _BUILTIN_NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]


def _placeholders(model: Any, graph: Any) -> Iterator[tuple[str, Any]]:
    for operator in graph.operators:
        custom = model.operatorCodes[operator.opcodeIndex].customCode
        if custom is None:
            continue
        if custom.decode("utf-8") != PLACEHOLDER:
            raise ValueError(f"the converter left the operation {custom.decode('utf-8')}, which no runtime knows")
        yield flexbuffers.Loads(bytes(operator.customOptions))[PLACEHOLDER_LAYER], operator


def _add_operation_code(model: Any) -> int:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = OPERATION_NAME.encode()
    code.version = 1
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def _replace(model: Any, graph: Any, operator: Any, operation: int, name: str, packed: PackedWeights) -> None:
    """Turns a placeholder (x, kernel, bias) into the operation (x, codes, params, scales, offsets, positions, bias)."""
    x, kernel, *bias = operator.inputs
    if tuple(graph.tensors[kernel].shape) != (packed.k, packed.n):
        raise ValueError(f"the kernel of {name} has shape {graph.tensors[kernel].shape}, not {(packed.k, packed.n)}")
    attributes = packed.attributes(has_bias=bool(bias))
    constants: dict[str, NDArray[Any] | None] = {
        "codes": packed.codes,
        "params": np.array(list(attributes.values()), np.int32),
        "scales": packed.scales,
        "offsets": packed.offsets,
        "positions": packed.positions,
    }
    added = [
        _add_constant(model, graph, f"{name}/{role}", value) for role, value in constants.items() if value is not None
    ]
    operator.inputs = np.array([x, *added, *bias], np.int32)
    operator.opcodeIndex = operation
    operator.customOptions = np.frombuffer(flexbuffers.Dumps({"layer": name, **attributes}), np.uint8)
    operator.customOptionsFormat = schema.CustomOptionsFormat.FLEXBUFFERS


def _add_constant(model: Any, graph: Any, name: str, value: NDArray[Any]) -> int:
    tensor = schema.TensorT()
    tensor.name = name.encode("utf-8")
    tensor.shape = np.array(value.shape, np.int32)
    tensor.type = _TYPES[value.dtype]
    tensor.buffer = _add_buffer(model, value.tobytes())
    tensor.hasRank = True
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _add_buffer(model: Any, content: bytes) -> int:
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(content, np.uint8)
    model.buffers.append(buffer)
    return len(model.buffers) - 1


def _add_metadata(model: Any, content: bytes) -> None:
    entry = schema.MetadataT()
    entry.name = METADATA.encode()
    entry.buffer = _add_buffer(model, content)
    model.metadata = [*(model.metadata or []), entry]


def _drop_unused_codes(model: Any, graph: Any) -> None:
    used = sorted({operator.opcodeIndex for operator in graph.operators})
    model.operatorCodes = [model.operatorCodes[index] for index in used]
    for operator in graph.operators:
        operator.opcodeIndex = used.index(operator.opcodeIndex)


def _drop_unused_tensors(model: Any, graph: Any) -> None:
    lists = [graph.inputs, graph.outputs]
    for operator in graph.operators:
        lists += [operator.inputs, operator.outputs]
    used = sorted({int(index) for indices in lists for index in indices} - {-1})
    new = {-1: -1, **{index: position for position, index in enumerate(used)}}

    def renumber(indices: NDArray[np.int32]) -> NDArray[np.int32]:
        return np.array([new[int(index)] for index in indices], np.int32)

    graph.tensors = [graph.tensors[index] for index in used]
    graph.inputs, graph.outputs = renumber(graph.inputs), renumber(graph.outputs)
    for operator in graph.operators:
        operator.inputs, operator.outputs = renumber(operator.inputs), renumber(operator.outputs)
    for signature in model.signatureDefs:
        for entry in [*signature.inputs, *signature.outputs]:
            entry.tensorIndex = new[entry.tensorIndex]


def _drop_unused_buffers(model: Any, graph: Any) -> None:
    # Buffer 0 is the empty one by convention, that of every tensor without content.
    users = [*graph.tensors, *model.metadata]
    filled = sorted({user.buffer for user in users if _has_content(model, user.buffer)})
    new = {index: position for position, index in enumerate(filled, start=1)}
    model.buffers = [schema.BufferT(), *(_AlignedBuffer(np.asarray(model.buffers[i].data, np.uint8)) for i in filled)]
    for user in users:
        user.buffer = new.get(user.buffer, 0)


def _has_content(model: Any, buffer: int) -> bool:
    data = model.buffers[buffer].data
    return data is not None and len(data) > 0
