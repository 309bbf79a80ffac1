"""Reading LiteRT's own quantized layers back from a `.tflite` file, for verification.

Like `stored_layers.py` it shares no code with what writes: fields of the flatbuffer are read in place, and codes are
put together bit by bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from converters.flatbuffer.reader import read_tflite
from tfconformer.errors import InputError

_BITS = {schema.TensorType.INT8: 8, schema.TensorType.INT4: 4, schema.TensorType.INT2: 2}


@dataclass(frozen=True)
class StoredBuiltin:
    """The decoded constants of a FULLY_CONNECTED with quantized weights.

    Attributes:
      bits: of a code.
      block_size: weights per scale along K, None for one scale per output channel.
      codes: [N, K] integers.
      scales: [N, blocks] float32.
      bias: [N] float32, None if it has none.
    """

    bits: int
    block_size: int | None
    codes: NDArray[np.int64]
    scales: NDArray[np.float32]
    bias: NDArray[np.float32] | None


def read_builtin_layers(path: str | Path) -> Iterator[tuple[str, StoredBuiltin]]:
    """The layers of a file with quantized built-in weights, each with its name, one after the other.

    Raises:
      InputError: the file is missing, truncated or damaged, or the constants of a layer contradict each other.
    """
    read_tflite(path)  # checks the structure, which the code below trusts
    model = schema.Model.GetRootAs(Path(path).read_bytes())
    for graph in (model.Subgraphs(i) for i in range(model.SubgraphsLength())):
        for operator in (graph.Operators(i) for i in range(graph.OperatorsLength())):
            code = model.OperatorCodes(operator.OpcodeIndex())
            if code.BuiltinCode() != schema.BuiltinOperator.FULLY_CONNECTED or operator.InputsLength() < 2:
                continue
            weights = graph.Tensors(operator.Inputs(1))
            if weights.Type() in _BITS:
                name = weights.Name().decode("utf-8").removesuffix("/codes")
                bias = graph.Tensors(operator.Inputs(2)) if operator.Inputs(2) >= 0 else None
                try:
                    yield name, _decode(model, graph, weights, bias)
                except ValueError as error:
                    raise InputError(f"{path}: the constants of layer {name} contradict each other ({error})") from None


def _decode(model: Any, graph: Any, weights: Any, bias: Any | None) -> StoredBuiltin:
    bits, (n, k) = _BITS[weights.Type()], weights.ShapeAsNumpy().tolist()
    quantization, block_size = weights.Quantization(), None
    if quantization.DetailsType() == schema.QuantizationDetails.BlockwiseQuantization:
        details = schema.BlockwiseQuantization()
        details.Init(quantization.Details().Bytes, quantization.Details().Pos)
        block_size = details.BlockSize()
        scales = np.frombuffer(_content(model, graph.Tensors(details.Scales())), "<f2").astype(np.float32)
    else:
        if quantization.ZeroPointAsNumpy().any():
            raise ValueError("a zero point is not 0")
        scales = quantization.ScaleAsNumpy()
    return StoredBuiltin(
        bits=bits,
        block_size=block_size,
        codes=_decode_codes(_content(model, weights), bits, n * k).reshape(n, k),
        scales=scales.reshape(n, -1),
        bias=None if bias is None else np.frombuffer(_content(model, bias), "<f4"),
    )


def _content(model: Any, tensor: Any) -> bytes:
    buffer = model.Buffers(tensor.Buffer())
    return bytes(buffer.DataAsNumpy()) if buffer.DataLength() else b""


def _decode_codes(content: bytes, bits: int, count: int) -> NDArray[np.int64]:
    """[count] codes: all bits of a code but its highest count up, the highest counts down."""
    stream = np.unpackbits(np.frombuffer(content, np.uint8), bitorder="little")
    weights = 2 ** np.arange(bits)
    weights[-1] *= -1
    return stream[: count * bits].reshape(count, bits) @ weights
