"""Reading packed layers back from a `.tflite` file: constants of the custom operation as numbers again.

Written for verification, therefore from the description of the format and without the code that packs: fields of the
flatbuffer are read in place, and codes are put together bit by bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorflow.lite.python import schema_py_generated as schema

from converters.custom_ops import OPERATION_NAME
from converters.tflite_file import read_tflite
from tfconformer.errors import InputError


@dataclass(frozen=True)
class StoredLayer:
    """What a custom operation of a file holds, decoded.

    Attributes:
      params: the nine numbers of its params.
      codes: [N, K] integers.
      scales: [N, blocks] float32.
      offsets: likewise, None if it has none.
      bias: [N] float32, None if it has none.
    """

    params: tuple[int, ...]
    codes: NDArray[np.int64]
    scales: NDArray[np.float32]
    offsets: NDArray[np.float32] | None
    bias: NDArray[np.float32] | None


def read_layers(path: str | Path) -> dict[str, StoredLayer]:
    """The packed layers of a file, by layer name.

    Raises:
      InputError: the file is missing, truncated or damaged, or the constants of an operation contradict its params.
    """
    read_tflite(path)  # checks the structure, which the code below trusts
    model = schema.Model.GetRootAs(Path(path).read_bytes())
    layers = {}
    for graph, operator in _custom_operators(model):
        tensors = [graph.Tensors(index) for index in operator.InputsAsNumpy()[1:]]
        name = tensors[0].Name().decode("utf-8").removesuffix("/codes")
        try:
            layers[name] = _decode([_content(model, tensor) for tensor in tensors])
        except ValueError as error:
            raise InputError(f"{path}: the constants of layer {name} contradict its params ({error})") from None
    return layers


def _custom_operators(model: Any) -> Iterator[tuple[Any, Any]]:
    """(graph, operator) of every operation of ours."""
    for graph in (model.Subgraphs(i) for i in range(model.SubgraphsLength())):
        for operator in (graph.Operators(i) for i in range(graph.OperatorsLength())):
            if model.OperatorCodes(operator.OpcodeIndex()).CustomCode() == OPERATION_NAME.encode():
                yield graph, operator


def _content(model: Any, tensor: Any) -> bytes:
    buffer = model.Buffers(tensor.Buffer())
    return bytes(buffer.DataAsNumpy()) if buffer.DataLength() else b""


def _decode(contents: list[bytes]) -> StoredLayer:
    """Decodes codes, params, scales, offsets unless symmetric, and bias if there is one."""
    params = np.frombuffer(contents[1], "<i4").tolist()
    _, bits, symmetric, block_size, k, n, _, has_bias, _ = params
    blocks = -(-k // block_size) if block_size else 1
    if len(contents) != 4 - symmetric + has_bias:
        raise ValueError(f"there are {len(contents)}")
    scales, *offsets = (
        np.frombuffer(content, "<f2").astype(np.float32).reshape(n, blocks) for content in contents[2 : 4 - symmetric]
    )
    return StoredLayer(
        params=tuple(params),
        codes=_decode_codes(contents[0], bits, k, n),
        scales=scales,
        offsets=offsets[0] if offsets else None,
        bias=np.frombuffer(contents[-1], "<f4") if has_bias else None,
    )


def _decode_codes(content: bytes, bits: int, k: int, n: int) -> NDArray[np.int64]:
    """Codes [N, K], bit by bit: all bits of a code but its highest count up, the highest counts down."""
    stream = np.unpackbits(np.frombuffer(content, np.uint8).reshape(n, -1), axis=1, bitorder="little")
    weights = 2 ** np.arange(bits)
    weights[-1] *= -1
    return stream[:, : k * bits].reshape(n, k, bits) @ weights
