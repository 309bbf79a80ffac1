"""The operators of a `.tflite` file and the constants that they read, decoded in place."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from converters.flatbuffer.reader import read_tflite
from tfconformer.errors import InputError


@dataclass(frozen=True)
class StoredTensor:
    """A tensor that an operator reads.

    Attributes:
      tensor: the schema's accessor of the tensor.
      content: bytes of a constant; empty for a computed tensor.
      scales: bytes of the tensor with the scales of a blockwise quantized one; empty for others.
    """

    tensor: Any
    content: bytes
    scales: bytes = b""

    @property
    def name(self) -> str:
        """Name of the tensor."""
        return str((self.tensor.Name() or b"").decode("utf-8", "replace"))


@dataclass(frozen=True)
class StoredOperator:
    """An operator of a graph.

    Attributes:
      custom: name of a custom operation; None for a built-in one.
      builtin: code of a built-in operation.
      inputs: the input tensors, with None for an optional one that is left out.
    """

    custom: str | None
    builtin: int
    inputs: tuple[StoredTensor | None, ...]


def read_operators(path: str | Path, custom: frozenset[str], builtin: frozenset[int]) -> Iterator[StoredOperator]:
    """Yields the operators of the named custom and the numbered built-in operations, in the order of execution.

    Raises:
      InputError: the file is missing, truncated or damaged.
    """
    read_tflite(path)  # checks the structure, which the code below trusts
    model = schema.Model.GetRootAs(Path(path).read_bytes())
    for graph in (model.Subgraphs(i) for i in range(model.SubgraphsLength())):
        for operator in (graph.Operators(i) for i in range(graph.OperatorsLength())):
            code = model.OperatorCodes(operator.OpcodeIndex())
            name = None if code.CustomCode() is None else code.CustomCode().decode("utf-8", "replace")
            # Codes of at most 7 bits are in the older field as well, in files of older writers only there.
            number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
            if name in custom or (name is None and number in builtin):
                indices = [operator.Inputs(i) for i in range(operator.InputsLength())]
                try:
                    inputs = tuple(None if index < 0 else _tensor(model, graph, index) for index in indices)
                except (IndexError, TypeError, ValueError, struct.error) as error:
                    raise InputError(f"{path}: the quantization of a tensor is damaged ({error})") from None
                yield StoredOperator(name, number, inputs)


def block_details(tensor: Any) -> Any:
    """Returns the accessor of a tensor's blockwise quantization; None if it has none."""
    quantization = tensor.Quantization()
    if quantization is None or quantization.DetailsType() != schema.QuantizationDetails.BlockwiseQuantization:
        return None
    details = schema.BlockwiseQuantization()
    details.Init(quantization.Details().Bytes, quantization.Details().Pos)
    return details


def _tensor(model: Any, graph: Any, index: int) -> StoredTensor:
    tensor = graph.Tensors(index)
    details = block_details(tensor)
    if details is not None and not 0 <= details.Scales() < graph.TensorsLength():
        raise ValueError(f"the scales are in tensor {details.Scales()} of {graph.TensorsLength()}")
    scales = b"" if details is None else _content(model, graph.Tensors(details.Scales()))
    return StoredTensor(tensor, _content(model, tensor), scales)


def _content(model: Any, tensor: Any) -> bytes:
    buffer = model.Buffers(tensor.Buffer())
    return bytes(buffer.DataAsNumpy()) if buffer.DataLength() else b""
