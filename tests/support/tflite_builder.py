"""Small .tflite files assembled by hand, without a converter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, load_delegate
from numpy.typing import NDArray

from converters.custom_ops import library_path
from tests.support.packed_layer import PackedLayer

OPERATION = "TfconformerFullyConnected"
_TYPES = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.float16): schema.TensorType.FLOAT16,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.uint8): schema.TensorType.UINT8,
}


class ModelBuilder:
    """Collects the tensors and operators of a one-subgraph model; everything it made can be edited before `build`."""

    def __init__(self) -> None:
        self.subgraph = schema.SubGraphT()
        self.subgraph.name = b"main"
        self.subgraph.tensors, self.subgraph.operators = [], []
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.subgraphs = [self.subgraph]
        self.model.buffers, self.model.operatorCodes = [schema.BufferT()], []
        self.model.metadata, self.model.signatureDefs = [], []

    def _buffer(self, content: bytes) -> int:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(content, np.uint8)
        self.model.buffers.append(buffer)
        return len(self.model.buffers) - 1

    def tensor(self, name: str, shape: list[int], dtype: Any = np.float32) -> int:
        """Adds a tensor without content; -1 in the shape marks a dimension that changes."""
        tensor = schema.TensorT()
        tensor.name = name.encode()
        tensor.shape = np.abs(np.array(shape, np.int32))
        if -1 in shape:
            tensor.shapeSignature = np.array(shape, np.int32)
        tensor.type = _TYPES[np.dtype(dtype)]
        tensor.buffer = 0
        self.subgraph.tensors.append(tensor)
        return len(self.subgraph.tensors) - 1

    def constant(self, name: str, content: NDArray[Any]) -> int:
        index = self.tensor(name, list(content.shape), content.dtype)
        self.subgraph.tensors[index].buffer = self._buffer(np.ascontiguousarray(content).tobytes())
        return index

    def operator(self, code: int, inputs: list[int], output: int, custom_code: str | None = None) -> None:
        operator_code = schema.OperatorCodeT()
        operator_code.builtinCode = code
        operator_code.deprecatedBuiltinCode = min(code, 127)
        operator_code.version = 1
        operator_code.customCode = custom_code.encode() if custom_code else None
        self.model.operatorCodes.append(operator_code)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs = np.array(inputs, np.int32)
        operator.outputs = np.array([output], np.int32)
        self.subgraph.operators.append(operator)

    def fully_connected(self, x: int, layer: PackedLayer, name: str, shape: list[int]) -> int:
        """Adds the custom operation with its constants, returns its output tensor."""
        constants = {
            "codes": layer.packed,
            "params": layer.params,
            "scales": layer.packed_scales,
            "offsets": layer.packed_offsets,
            "positions": layer.packed_positions,
            "bias": layer.bias,
        }
        given = {key: value for key, value in constants.items() if value is not None}
        return self.custom(x, OPERATION, given, name, shape)

    def custom(self, x: int, operation: str, constants: dict[str, NDArray[Any]], name: str, shape: list[int]) -> int:
        """Adds a custom operation of x and constants, returns its output tensor."""
        inputs = [self.constant(f"{name}/{key}", value) for key, value in constants.items()]
        output = self.tensor(name, shape)
        self.operator(schema.BuiltinOperator.CUSTOM, [x, *inputs], output, operation)
        return output

    def reshape(self, x: int, shape: list[int], name: str, dtype: Any = np.float32) -> int:
        target = self.constant(f"{name}/shape", np.array(shape, np.int32))
        output = self.tensor(name, shape, dtype)
        self.operator(schema.BuiltinOperator.RESHAPE, [x, target], output)
        return output

    def metadata(self, name: str, content: dict[str, Any]) -> None:
        entry = schema.MetadataT()
        entry.name = name.encode()
        entry.buffer = self._buffer(json.dumps(content).encode())
        self.model.metadata.append(entry)

    def signature(self, key: str, inputs: dict[str, int], outputs: dict[str, int]) -> None:
        signature = schema.SignatureDefT()
        signature.signatureKey = key.encode()
        signature.subgraphIndex = 0
        signature.inputs, signature.outputs = _tensor_maps(inputs), _tensor_maps(outputs)
        self.model.signatureDefs.append(signature)

    def build(self, inputs: list[int], outputs: list[int]) -> bytes:
        self.subgraph.inputs = np.array(inputs, np.int32)
        self.subgraph.outputs = np.array(outputs, np.int32)
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def load_with_delegate(path: Path, kernel: str | None = None, threads: int = 1) -> Interpreter:
    """An interpreter, ready to be given inputs, with our delegate and one of its kernels."""
    delegate = load_delegate(str(library_path()), {} if kernel is None else {"kernel": kernel})
    interpreter = Interpreter(str(path), experimental_delegates=[delegate], num_threads=threads)
    interpreter.allocate_tensors()
    return interpreter


def _tensor_maps(tensors: dict[str, int]) -> list[schema.TensorMapT]:
    maps = []
    for name, index in tensors.items():
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name.encode(), index
        maps.append(entry)
    return maps


class RecognizerBuilder(ModelBuilder):
    """A model with the signature of an exported recognizer: K samples make a frame, layers follow each other.

    Attributes:
      waveform, logits: tensor indices of the signature's input and output.
      inputs: tensor indices of the graph's inputs.
    """

    def __init__(self, layers: list[PackedLayer], metadata: dict[str, Any] | None = None) -> None:
        super().__init__()
        features = layers[0].codes.shape[1]
        self.waveform = self.tensor("waveform", [1, -1])
        self.inputs = [self.waveform]
        self.logits = self.reshape(self.waveform, [1, -1, features], "frames")
        for i, layer in enumerate(layers):
            self.logits = self.fully_connected(self.logits, layer, f"layer{i}", [1, -1, layer.codes.shape[0]])
        self.signature("transcribe", {"waveform": self.waveform}, {"logits": self.logits})
        if metadata is not None:
            self.metadata("TFCONFORMER", metadata)

    def finish(self) -> bytes:
        return self.build(self.inputs, [self.logits])
