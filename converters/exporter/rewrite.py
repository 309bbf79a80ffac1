"""Stage 4 of export: placeholders of the frozen graph become operations with quantized weights.

The file is edited as a tree of objects and written from it, without the tensors and buffers that nothing refers to:
above all the float kernels.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

from converters.exporter.freeze import FrozenGraphs
from converters.exporter.operators import LayerConstants, LayerOperators, input_width, output_width
from converters.exporter.placeholders import PLACEHOLDER, PLACEHOLDER_LAYER
from converters.flatbuffer.editor import Graph, GraphFile
from converters.flatbuffer.metadata import METADATA

_DESCRIPTION = b"tfconformer"
_BUILTIN_NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}


def rewrite(frozen: FrozenGraphs, constants: Mapping[str, LayerConstants], metadata: bytes) -> bytes:
    """Replaces the placeholders of a file by operations with the constants of their layers.

    Args:
      frozen: the graphs with placeholders, from the freezing stage; the one that takes audio becomes the first.
      constants: the constants of every layer that has a placeholder, by layer name.
      metadata: the content of the metadata entry.

    Returns:
      The bytes of the finished file.

    Raises:
      ValueError: placeholders and constants do not correspond, or the graph has custom operations of other kinds.
    """
    file = GraphFile.parse(frozen.content)
    file.put_first(frozen.graphs[0].signature)  # the converter sorts them by name
    signatures = {signature.signatureKey.decode("utf-8"): signature for signature in file.model.signatureDefs}
    streams = {graph.signature: graph.stream for graph in frozen.graphs if graph.stream is not None}
    file.model.signatureDefs += [_renamed(signatures[name], stream.flush_signature) for name, stream in streams.items()]
    placeholders = list(_placeholders(file))  # a layer that is called twice has two
    names = {name for name, _ in placeholders}
    if names != constants.keys():
        different = ", ".join(sorted(names ^ constants.keys()))
        raise ValueError(f"layers with a placeholder or constants, but not both: {different}")
    operators = LayerOperators(file)
    for name, (graph, operator) in placeholders:
        x, *others = operator.inputs
        weights = constants[name]
        shape = tuple(int(graph.subgraph.tensors[index].shape[-1]) for index in (x, *operator.outputs))
        expected = input_width(weights), output_width(weights)
        if shape != expected:
            raise ValueError(f"the kernel of {name} has shape {shape}, not {expected}")
        operators.set(graph, operator, name, weights, x, *others)
    file.add_metadata(METADATA, metadata)
    file.model.description = _DESCRIPTION
    return file.to_bytes()


def operation_histogram(content: bytes) -> dict[str, int]:
    """Counts each operation of a `.tflite` file, the most frequent first; custom ones under their own name."""
    model = schema.ModelT.InitFromPackedBuf(content)
    counts = Counter(_operation_name(model, operator) for graph in model.subgraphs for operator in graph.operators)
    return dict(counts.most_common())


def _operation_name(model: Any, operator: Any) -> str:
    code = model.operatorCodes[operator.opcodeIndex]
    if code.customCode is not None:
        return str(code.customCode.decode("utf-8"))
    # Codes of at most 7 bits are in the older field as well, in files of older writers only there.
    return _BUILTIN_NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]


def _placeholders(file: GraphFile) -> Iterator[tuple[str, tuple[Graph, Any]]]:
    """Yields the layer name of every placeholder, with its graph and its operator."""
    for graph in file.graphs:
        for operator in graph.subgraph.operators:
            custom = file.model.operatorCodes[operator.opcodeIndex].customCode
            if custom is None:
                continue
            if custom.decode("utf-8") != PLACEHOLDER:
                raise ValueError(f"the converter left the operation {custom.decode('utf-8')}, which no runtime has")
            yield flexbuffers.Loads(bytes(operator.customOptions))[PLACEHOLDER_LAYER], (graph, operator)


def _renamed(signature: Any, name: str) -> Any:
    renamed = copy.deepcopy(signature)
    renamed.signatureKey = name.encode("utf-8")
    return renamed
