"""Editing the graphs of a `.tflite` file as a tree of objects, parsed or begun empty.

Every constant begins at a multiple of 64 bytes in the written file, as LiteRT's C interface and vector loads require.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

ALIGNMENT = 64
_IDENTIFIER = b"TFL3"
_TYPES = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.float16): schema.TensorType.FLOAT16,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.uint8): schema.TensorType.UINT8,
}


class Graph:
    """One of the graphs of a file.

    Attributes:
      file: the file that contains the graph.
      subgraph: the `SubGraphT` of the schema, which may be edited.
    """

    def __init__(self, file: GraphFile, subgraph: Any) -> None:
        self.file = file
        self.subgraph = subgraph

    def add_tensor(self, name: str, shape: Sequence[int]) -> int:
        """Adds a float32 tensor without content and returns its index."""
        return self._add_tensor(name, shape, schema.TensorType.FLOAT32)

    def add_constant(self, name: str, value: NDArray[Any]) -> int:
        """Adds a constant with the type and shape of an array and returns its index."""
        return self.add_packed_constant(name, value, value.shape, _TYPES[value.dtype])

    def add_packed_constant(
        self, name: str, content: NDArray[Any], shape: Sequence[int], tensor_type: int, quantization: Any = None
    ) -> int:
        """Adds a constant whose bytes encode a tensor of another type and shape; returns its index."""
        index = self._add_tensor(name, shape, tensor_type)
        tensor = self.subgraph.tensors[index]
        tensor.buffer = self.file.add_buffer(np.ascontiguousarray(content).reshape(-1).view(np.uint8))
        tensor.quantization = quantization
        return index

    def drop_unused_tensors(self) -> dict[int, int]:
        """Removes tensors that nothing refers to; returns the new index of every remaining one by its old index."""
        graph = self.subgraph
        lists = [graph.inputs, graph.outputs]
        for operator in graph.operators:
            lists += [operator.inputs, operator.outputs]
        used = {int(index) for indices in lists for index in indices} - {-1}
        used |= {scales for index in used if (scales := _scale_tensor(graph.tensors[index])) is not None}
        new = {-1: -1, **{index: position for position, index in enumerate(sorted(used))}}

        def renumber(indices: NDArray[np.int32]) -> NDArray[np.int32]:
            return np.array([new[int(index)] for index in indices], np.int32)

        graph.tensors = [graph.tensors[index] for index in sorted(used)]
        graph.inputs, graph.outputs = renumber(graph.inputs), renumber(graph.outputs)
        for operator in graph.operators:
            operator.inputs, operator.outputs = renumber(operator.inputs), renumber(operator.outputs)
        for tensor in graph.tensors:
            scales = _scale_tensor(tensor)
            if scales is not None:
                tensor.quantization.details.scales = new[scales]
        return new

    def _add_tensor(self, name: str, shape: Sequence[int], tensor_type: int) -> int:
        tensor = schema.TensorT()
        tensor.name = name.encode("utf-8")
        tensor.shape = np.array(shape, np.int32)
        tensor.type = tensor_type
        tensor.hasRank = True
        self.subgraph.tensors.append(tensor)
        return len(self.subgraph.tensors) - 1


class GraphFile:
    """A file of one or several graphs, which share operation codes, buffers, metadata and signatures.

    Attributes:
      model: the `ModelT` of the schema, which may be edited.
      graphs: the graphs in the order of the file.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.graphs = tuple(Graph(self, subgraph) for subgraph in model.subgraphs)

    @classmethod
    def parse(cls, content: bytes) -> GraphFile:
        """Parses the bytes of a `.tflite` file, whose structure must be valid."""
        return cls(schema.ModelT.InitFromPackedBuf(content))

    @classmethod
    def empty(cls) -> GraphFile:
        """Makes a file of one graph without tensors and operators."""
        subgraph = schema.SubGraphT()
        subgraph.tensors, subgraph.operators, subgraph.inputs, subgraph.outputs = [], [], [], []
        model = schema.ModelT()
        model.version = 3
        model.subgraphs = [subgraph]
        model.buffers, model.operatorCodes = [schema.BufferT()], []
        model.metadata, model.signatureDefs = [], []
        return cls(model)

    def put_first(self, signature: str) -> None:
        """Makes the graph of a signature the first of the file, by exchanging the two."""
        (index,) = (s.subgraphIndex for s in self.model.signatureDefs if s.signatureKey.decode("utf-8") == signature)
        graphs = list(self.graphs)
        graphs[0], graphs[index] = graphs[index], graphs[0]
        self.graphs = tuple(graphs)
        self.model.subgraphs = [graph.subgraph for graph in graphs]
        exchanged = {0: index, index: 0}
        for definition in self.model.signatureDefs:
            definition.subgraphIndex = exchanged.get(definition.subgraphIndex, definition.subgraphIndex)

    def add_operation_code(self, builtin: int, version: int = 1, custom: str | None = None) -> int:
        """Adds an operation that operators may refer to and returns its index."""
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), version
        code.customCode = None if custom is None else custom.encode()
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1

    def add_buffer(self, content: NDArray[np.uint8]) -> int:
        """Adds a buffer with the bytes of a constant or of metadata and returns its index."""
        buffer = schema.BufferT()
        buffer.data = content
        self.model.buffers.append(buffer)
        return len(self.model.buffers) - 1

    def add_metadata(self, name: str, content: bytes) -> None:
        """Adds an entry to the metadata."""
        entry = schema.MetadataT()
        entry.name = name.encode()
        entry.buffer = self.add_buffer(np.frombuffer(content, np.uint8))
        self.model.metadata = [*(self.model.metadata or []), entry]

    def to_bytes(self) -> bytes:
        """Returns the bytes of the file, without operation codes, tensors and buffers that nothing refers to."""
        self._drop_unused_codes()
        self._drop_unused_tensors()
        self._drop_unused_buffers()
        contents = sum(len(one.data) for one in self.model.buffers if one.data is not None)
        # The size has room for everything else: a builder that grows allocates twice its size beside the old buffer.
        builder = flatbuffers.Builder(contents + contents // 16 + 2**20)
        builder.Finish(self.model.Pack(builder), _IDENTIFIER)
        return bytes(memoryview(builder.Bytes)[builder.Head() :])

    def _drop_unused_codes(self) -> None:
        operators = [operator for graph in self.graphs for operator in graph.subgraph.operators]
        used = sorted({operator.opcodeIndex for operator in operators})
        self.model.operatorCodes = [self.model.operatorCodes[index] for index in used]
        new = {index: position for position, index in enumerate(used)}
        for operator in operators:
            operator.opcodeIndex = new[operator.opcodeIndex]

    def _drop_unused_tensors(self) -> None:
        renumbered = [graph.drop_unused_tensors() for graph in self.graphs]
        for signature in self.model.signatureDefs or []:
            for entry in [*signature.inputs, *signature.outputs]:
                entry.tensorIndex = renumbered[signature.subgraphIndex][entry.tensorIndex]

    def _drop_unused_buffers(self) -> None:
        # Buffer 0 is the empty one by convention, that of every tensor without content.
        buffers = self.model.buffers
        tensors = [tensor for graph in self.graphs for tensor in graph.subgraph.tensors]
        users = [*tensors, *(self.model.metadata or [])]
        filled = sorted({user.buffer for user in users if _has_content(buffers[user.buffer])})
        new = {index: position for position, index in enumerate(filled, start=1)}
        self.model.buffers = [schema.BufferT(), *(_AlignedBuffer(np.asarray(buffers[i].data)) for i in filled)]
        for user in users:
            user.buffer = new.get(user.buffer, 0)


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


def _scale_tensor(tensor: Any) -> int | None:
    """Returns the index of the tensor with the scales of a blockwise quantized one; None for other tensors."""
    details = None if tensor.quantization is None else tensor.quantization.details
    return int(details.scales) if isinstance(details, schema.BlockwiseQuantizationT) else None


def _has_content(buffer: Any) -> bool:
    return buffer.data is not None and len(buffer.data) > 0
