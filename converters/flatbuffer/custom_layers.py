"""Reading layers back from a `.tflite` file: constants of the custom operations as numbers again.

Written for verification, therefore from the description of the format and without the code that packs: fields of the
flatbuffer are read in place, and every code is looked up where it must be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorflow.lite.python import schema_py_generated as schema

from converters.custom_ops import FULLY_CONNECTED, OPERATIONS
from converters.flatbuffer.reader import read_tflite
from tfconformer.errors import InputError

_TILE = 16  # channels side by side


@dataclass(frozen=True)
class StoredLayer:
    """The decoded constants of a custom operation of a file.

    Attributes:
      params: the twelve numbers of its params.
      codes: [N, K] integers, 0 where a weight is not stored.
      scales: [N, blocks] float32.
      offsets: likewise, None if it has none.
      bias: [N] float32, None if it has none.
    """

    params: tuple[int, ...]
    codes: NDArray[np.int16]
    scales: NDArray[np.float32]
    offsets: NDArray[np.float32] | None
    bias: NDArray[np.float32] | None


def read_layers(path: str | Path) -> Iterator[tuple[str, StoredLayer]]:
    """The packed layers of a file, each with its name; one after the other, since decoded they are large.

    Raises:
      InputError: the file is missing, truncated or damaged, or the constants of an operation contradict its params.
    """
    for name, contents in _constants(path, FULLY_CONNECTED):
        try:
            yield name, _decode(contents)
        except ValueError as error:
            raise InputError(f"{path}: the constants of layer {name} contradict its params ({error})") from None


def read_float_operations(path: str | Path) -> Iterator[tuple[str, str, list[bytes]]]:
    """The float layers of a file that are our operations: operation, layer, and its constants in their order.

    Raises:
      InputError: as `read_layers`.
    """
    for operation in sorted(OPERATIONS.keys() - {FULLY_CONNECTED}):
        for name, contents in _constants(path, operation):
            yield operation, name, contents


def _constants(path: str | Path, operation: str) -> Iterator[tuple[str, list[bytes]]]:
    """Layer names and constants of every operation of ours that has that name."""
    read_tflite(path)  # checks the structure, which the code below trusts
    model = schema.Model.GetRootAs(Path(path).read_bytes())
    for graph, operator in _operators(model, operation):
        tensors = [graph.Tensors(index) for index in operator.InputsAsNumpy()[OPERATIONS[operation] :]]
        yield tensors[0].Name().decode("utf-8").rpartition("/")[0], [_content(model, tensor) for tensor in tensors]


def _operators(model: Any, operation: str) -> Iterator[tuple[Any, Any]]:
    """(graph, operator) of every custom operation of that name."""
    for graph in (model.Subgraphs(i) for i in range(model.SubgraphsLength())):
        for operator in (graph.Operators(i) for i in range(graph.OperatorsLength())):
            if model.OperatorCodes(operator.OpcodeIndex()).CustomCode() == operation.encode():
                yield graph, operator


def _content(model: Any, tensor: Any) -> bytes:
    buffer = model.Buffers(tensor.Buffer())
    return bytes(buffer.DataAsNumpy()) if buffer.DataLength() else b""


def _decode(contents: list[bytes]) -> StoredLayer:
    """Decodes codes, params, scales, offsets unless symmetric, positions if sparse, and bias if there is one."""
    params = np.frombuffer(contents[1], "<i4").tolist()
    _, bits, symmetric, block_size, k, n, _, has_bias, _, kept, _, _ = params
    if len(contents) != 4 - symmetric + has_bias + (kept > 0):
        raise ValueError(f"there are {len(contents)}")
    block_size = min(block_size or k, k)
    blocks = -(-k // block_size)
    scales, *offsets = (_by_channel(content, blocks, n) for content in contents[2 : 4 - symmetric])
    lengths = [min(block_size, k - first) for first in range(0, k, block_size)]
    if kept == 0:
        codes = _entries(contents[0], bits, lengths, n) - 2 ** (bits - 1)
    else:
        stored = [-(-length // 4) * kept for length in lengths]
        positions = 4 * (np.arange(sum(stored)) // kept) + _entries(contents[4 - symmetric], 2, stored, n)
        codes = np.zeros((n, positions.max() + 4), np.int16)
        np.put_along_axis(codes, positions, _entries(contents[0], bits, stored, n) - 2 ** (bits - 1), axis=1)
        codes = codes[:, :k]
    return StoredLayer(
        params=tuple(params),
        codes=codes,
        scales=scales,
        offsets=offsets[0] if offsets else None,
        bias=np.frombuffer(contents[-1], "<f4") if has_bias else None,
    )


def _by_channel(content: bytes, blocks: int, n: int) -> NDArray[np.float32]:
    """[N, blocks] from [tiles, blocks, channels of a tile] in float16."""
    tiles = np.frombuffer(content, "<f2").reshape(-(-n // _TILE), blocks, _TILE)
    return tiles.swapaxes(1, 2).reshape(-1, blocks)[:n].astype(np.float32)


def _entries(content: bytes, bits: int, lengths: list[int], n: int) -> NDArray[np.int16]:
    """[N, sum of lengths] unsigned numbers of a width, of which every block of these lengths begins a cell."""
    per_cell = 32 // bits
    first_cells = np.cumsum([0] + [-(-length // per_cell) for length in lengths])
    cells = np.frombuffer(content, np.uint8).reshape(-(-n // _TILE), first_cells[-1], 64)
    channel = np.arange(n)[:, np.newaxis]
    index = np.concatenate([np.arange(length) for length in lengths])
    cell = np.repeat(first_cells[:-1], lengths) + index // per_cell
    at = index % per_cell
    found = cells[channel // _TILE, cell, 4 * (channel % _TILE) + at % 4]
    return (found >> (at // 4 * bits).astype(np.uint8)).astype(np.int16) % 2**bits
