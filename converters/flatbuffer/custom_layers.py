"""The constants of this project's operations, read back from a `.tflite` file.

Written for verification, therefore from the description of the format and without the code that packs: every code is
looked up where it must be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from converters.custom_ops import FULLY_CONNECTED, OPERATIONS
from converters.flatbuffer.operators import StoredOperator, read_operators
from tfconformer.errors import InputError

_NR = 16  # output channels side by side


class Attributes(NamedTuple):
    """The attributes of a fully connected operation, in the order of their tensor; see docs/reference/format.md."""

    version: int
    bits: int
    symmetric: int
    block_size: int
    k: int
    n: int
    activation_bits: int
    has_bias: int
    activation: int
    kept: int
    window: int
    stride: int


@dataclass(frozen=True)
class StoredLayer:
    """The decoded constants of a fully connected operation.

    Attributes:
      codes: [N, K] integers, 0 where a weight is not stored.
      scales: [N, blocks] float32.
      offsets: [N, blocks] float32; None if it has none.
      bias: [N] float32; None if it has none.
    """

    codes: NDArray[np.int16]
    scales: NDArray[np.float32]
    offsets: NDArray[np.float32] | None
    bias: NDArray[np.float32] | None


@dataclass(frozen=True)
class PackedConstants:
    """The constants of a fully connected operation, as the file holds them.

    Attributes:
      name: of the layer.
      attributes: of the operation.
      contents: bytes of codes, attributes, scales, offsets unless symmetric, sparsity indices if sparse, bias if there
        is one.
    """

    name: str
    attributes: Attributes
    contents: tuple[bytes, ...]

    @property
    def weight_bytes(self) -> int:
        """Size of codes, scales, offsets and sparsity indices."""
        weights = self.contents[: len(self.contents) - bool(self.attributes.has_bias)]
        return sum(map(len, weights)) - len(self.contents[1])

    def decode(self) -> StoredLayer:
        """Decodes the constants, which then are larger.

        Raises:
          ValueError: they contradict the attributes.
        """
        attributes, contents = self.attributes, self.contents
        bits, k, n, kept = attributes.bits, attributes.k, attributes.n, attributes.kept
        if len(contents) != 4 - attributes.symmetric + attributes.has_bias + (kept > 0):
            raise ValueError(f"there are {len(contents)}")
        block_size = min(attributes.block_size or k, k)
        blocks = -(-k // block_size)
        scales, *offsets = (_by_channel(content, blocks, n) for content in contents[2 : 4 - attributes.symmetric])
        lengths = [min(block_size, k - first) for first in range(0, k, block_size)]
        if kept == 0:
            codes = _entries(contents[0], bits, lengths, n) - 2 ** (bits - 1)
        else:
            stored = [-(-length // 4) * kept for length in lengths]
            indices = 4 * (np.arange(sum(stored)) // kept) + _entries(contents[4 - attributes.symmetric], 2, stored, n)
            codes = np.zeros((n, indices.max() + 4), np.int16)
            np.put_along_axis(codes, indices, _entries(contents[0], bits, stored, n) - 2 ** (bits - 1), axis=1)
            codes = codes[:, :k]
        bias = np.frombuffer(contents[-1], "<f4") if attributes.has_bias else None
        return StoredLayer(codes, scales, offsets[0] if offsets else None, bias)


def read_packed(path: str | Path) -> Iterator[PackedConstants]:
    """Yields the packed layers of a file.

    Raises:
      InputError: the file is missing, truncated or damaged, or the attributes of an operation are incomplete.
    """
    for operator in read_operators(path, frozenset({FULLY_CONNECTED}), frozenset()):
        name, contents = _constants(operator)
        if len(contents) < 3 or len(contents[1]) != 4 * len(Attributes._fields):
            raise InputError(f"{path}: the attributes of layer {name} are incomplete")
        yield PackedConstants(name, Attributes(*np.frombuffer(contents[1], "<i4").tolist()), contents)


def read_layers(path: str | Path) -> Iterator[tuple[PackedConstants, StoredLayer]]:
    """Yields the packed layers of a file, decoded; one after the other, since decoded they are large.

    Raises:
      InputError: see `read_packed`, or the constants of an operation contradict its attributes.
    """
    for packed in read_packed(path):
        try:
            yield packed, packed.decode()
        except ValueError as error:
            reason = f"the constants of layer {packed.name} contradict its params ({error})"
            raise InputError(f"{path}: {reason}") from None


def read_float_operations(path: str | Path) -> Iterator[tuple[str, str, list[bytes]]]:
    """Yields operation, layer and constants, in their order, of the float layers that are this project's operations.

    Raises:
      InputError: the file is missing, truncated or damaged.
    """
    for operator in read_operators(path, frozenset(OPERATIONS) - {FULLY_CONNECTED}, frozenset()):
        name, contents = _constants(operator)
        assert operator.custom is not None
        yield operator.custom, name, list(contents)


def _constants(operator: StoredOperator) -> tuple[str, tuple[bytes, ...]]:
    """Returns the layer's name and its constants, which follow the inputs that are computed."""
    assert operator.custom is not None
    constants = [tensor for tensor in operator.inputs[OPERATIONS[operator.custom] :] if tensor is not None]
    return constants[0].name.rpartition("/")[0], tuple(tensor.content for tensor in constants)


def _by_channel(content: bytes, blocks: int, n: int) -> NDArray[np.float32]:
    """[N, blocks] from [tiles, blocks, channels of a tile] in float16."""
    tiles = np.frombuffer(content, "<f2").reshape(-(-n // _NR), blocks, _NR)
    return tiles.swapaxes(1, 2).reshape(-1, blocks)[:n].astype(np.float32)


def _entries(content: bytes, bits: int, lengths: list[int], n: int) -> NDArray[np.int16]:
    """[N, sum of lengths] unsigned numbers of a width, of which every block of these lengths begins a cell."""
    per_cell = 32 // bits
    first_cells = np.cumsum([0] + [-(-length // per_cell) for length in lengths])
    cells = np.frombuffer(content, np.uint8).reshape(-(-n // _NR), first_cells[-1], 64)
    channel = np.arange(n)[:, np.newaxis]
    index = np.concatenate([np.arange(length) for length in lengths])
    cell = np.repeat(first_cells[:-1], lengths) + index // per_cell
    at = index % per_cell
    found = cells[channel // _NR, cell, 4 * (channel % _NR) + at % 4]
    return (found >> (at // 4 * bits).astype(np.uint8)).astype(np.int16) % 2**bits
