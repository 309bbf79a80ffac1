"""Reading the constants of this project's operations back from a `.tflite` file.

The decoder follows the description of the format (`docs/reference/format.md`) and shares no code with the packing that
it verifies: it computes the byte and the bit field of every quantized value.
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

_NR = 16  # output channels of a panel
_HALF_INTEGERS = 2  # the attribute `symmetric` of weights scale * (q + 1/2)


class Attributes(NamedTuple):
    """The op attributes of a fully connected operation, in the order of their tensor `params`."""

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

    @property
    def half_integer(self) -> bool:
        """True for weights scale * (q + 1/2)."""
        return self.symmetric == _HALF_INTEGERS

    @property
    def constants(self) -> int:
        """The number of constants up to the zero points: codes, op attributes, scales and perhaps zero points."""
        return 3 + (self.symmetric == 0)


@dataclass(frozen=True)
class StoredLayer:
    """The decoded constants of a fully connected operation.

    Attributes:
      codes: [N, K] int16, the quantized values in [-2^(bits - 1), 2^(bits - 1) - 1]; 0 where a weight is not stored.
      scales: [N, blocks] float32.
      offsets: [N, blocks] float32, the float zero points, of half-integers -scales / 2; None if it has none.
      bias: [N] float32; None if the layer has none.
    """

    codes: NDArray[np.int16]
    scales: NDArray[np.float32]
    offsets: NDArray[np.float32] | None
    bias: NDArray[np.float32] | None


@dataclass(frozen=True)
class PackedConstants:
    """The stored constants of a fully connected operation, before decoding.

    Attributes:
      name: name of the layer.
      attributes: the op attributes.
      contents: the bytes of codes, op attributes, scales, float zero points if symmetric is 0, sparsity indices
        if sparse, and bias if there is one, in this order.
    """

    name: str
    attributes: Attributes
    contents: tuple[bytes, ...]

    @property
    def weight_bytes(self) -> int:
        """Size of codes, scales, float zero points and sparsity indices in bytes."""
        weights = self.contents[: len(self.contents) - bool(self.attributes.has_bias)]
        return sum(map(len, weights)) - len(self.contents[1])

    def check(self) -> None:
        """Checks the op attributes, the sizes of the constants, and scales and zero points.

        Raises:
          ValueError: the constants contradict the op attributes, or a scale or zero point is no valid number.
        """
        attributes, contents = self.attributes, self.contents
        bits, k, n, stored_of_four = attributes.bits, attributes.k, attributes.n, attributes.kept
        stored_counts = (0,) if bits in (1, 3) else (0, 1, 2)
        if bits not in (1, 2, 3, 4, 8) or stored_of_four not in stored_counts:
            raise ValueError(f"they are {attributes}")
        if attributes.has_bias not in (0, 1) or attributes.symmetric not in (0, 1, _HALF_INTEGERS):
            raise ValueError(f"they are {attributes}")
        # A weight takes at least a sixteenth of a byte: 2 bits for one of four.
        if min(k, n) < 1 or attributes.block_size < 0 or k * n > 16 * len(contents[0]):
            raise ValueError(f"K is {k}, N is {n}, and there are {len(contents[0])} bytes of codes")
        if len(contents) != attributes.constants + attributes.has_bias + (stored_of_four > 0):
            raise ValueError(f"there are {len(contents)}")
        blocks = -(-k // min(attributes.block_size or k, k))
        for number, content in enumerate(contents[2 : attributes.constants]):
            values = _by_channel(content, blocks, n)
            if not np.isfinite(values).all() or (number == 0 and values.min() <= 0):
                raise ValueError("a scale is not above zero, or a scale or zero point is not finite")

    def decode(self) -> StoredLayer:
        """Decodes the constants to one number per weight.

        Raises:
          ValueError: see `check`.
        """
        self.check()
        attributes, contents = self.attributes, self.contents
        bits, k, n, stored_of_four = attributes.bits, attributes.k, attributes.n, attributes.kept
        block_size = min(attributes.block_size or k, k)
        blocks = -(-k // block_size)
        scales, *offsets = (_by_channel(content, blocks, n) for content in contents[2 : attributes.constants])
        lengths = [min(block_size, k - first) for first in range(0, k, block_size)]
        if stored_of_four == 0:
            codes = _entries(contents[0], bits, lengths, n) - 2 ** (bits - 1)
        else:
            stored = [-(-length // 4) * stored_of_four for length in lengths]
            groups = np.arange(sum(stored)) // stored_of_four
            indices = 4 * groups + _entries(contents[attributes.constants], 2, stored, n)
            codes = np.zeros((n, indices.max() + 4), np.int16)
            np.put_along_axis(codes, indices, _entries(contents[0], bits, stored, n) - 2 ** (bits - 1), axis=1)
            codes = codes[:, :k]
        bias = np.frombuffer(contents[-1], "<f4") if attributes.has_bias else None
        if attributes.half_integer:
            offsets = [scales / -2]
        return StoredLayer(codes, scales, offsets[0] if offsets else None, bias)


def read_packed(path: str | Path) -> Iterator[PackedConstants]:
    """Yields the packed layers of a file in the order of execution.

    Raises:
      InputError: the file is missing, truncated or damaged, or the op attributes of a layer are incomplete or wrong.
    """
    for operator in read_operators(path, frozenset({FULLY_CONNECTED}), frozenset()):
        name, contents = _constants(operator)
        if len(contents) < 3 or len(contents[1]) != 4 * len(Attributes._fields):
            raise InputError(f"{path}: the attributes of layer {name} are incomplete")
        packed = PackedConstants(name, Attributes(*np.frombuffer(contents[1], "<i4").tolist()), contents)
        try:
            packed.check()
        except ValueError as error:
            raise InputError(f"{path}: {_contradiction(name, error)}") from None
        yield packed


def read_layers(path: str | Path) -> Iterator[tuple[PackedConstants, StoredLayer]]:
    """Yields the packed layers of a file, each with its decoded constants, which take more memory than the file.

    Raises:
      InputError: the file is missing, truncated or damaged, or the constants of a layer contradict its op attributes.
    """
    for packed in read_packed(path):
        try:
            yield packed, packed.decode()
        except ValueError as error:
            raise InputError(f"{path}: {_contradiction(packed.name, error)}") from None


def read_float_operations(path: str | Path) -> Iterator[tuple[str, str, list[bytes]]]:
    """Yields operation name, layer name and the bytes of the constants of every float custom operation of a file.

    Raises:
      InputError: the file is missing, truncated or damaged.
    """
    for operator in read_operators(path, frozenset(OPERATIONS) - {FULLY_CONNECTED}, frozenset()):
        name, contents = _constants(operator)
        assert operator.custom is not None
        yield operator.custom, name, list(contents)


def _contradiction(name: str, error: ValueError) -> str:
    return f"the constants of layer {name} contradict its op attributes ({error})"


def _constants(operator: StoredOperator) -> tuple[str, tuple[bytes, ...]]:
    """Returns the layer's name and the bytes of its constants, which follow the computed inputs."""
    assert operator.custom is not None
    constants = [tensor for tensor in operator.inputs[OPERATIONS[operator.custom] :] if tensor is not None]
    if not constants:
        return "", ()
    return constants[0].name.rpartition("/")[0], tuple(tensor.content for tensor in constants)


def _by_channel(content: bytes, blocks: int, n: int) -> NDArray[np.float32]:
    """Decodes float16 numbers [panels, blocks, 16] to [N, blocks] float32."""
    panels = np.frombuffer(content, "<f2").reshape(-(-n // _NR), blocks, _NR)
    return panels.swapaxes(1, 2).reshape(-1, blocks)[:n].astype(np.float32)


def _entries(content: bytes, bits: int, lengths: list[int], n: int) -> NDArray[np.int16]:
    """Decodes unsigned numbers of `bits` bits to [N, sum of lengths]; each block of `lengths` begins a unit."""
    words_of_unit = 3 if bits == 3 else 1
    per_unit = 32 * words_of_unit // bits
    first_units = np.cumsum([0] + [-(-length // per_unit) for length in lengths])
    panels = np.frombuffer(content, np.uint8).reshape(-(-n // _NR), first_units[-1] * words_of_unit, 64)
    index_in_block = np.concatenate([np.arange(length) for length in lengths])
    unit = np.repeat(first_units[:-1], lengths) + index_in_block // per_unit
    index = index_in_block % per_unit  # in the unit
    channel = np.arange(n)[:, np.newaxis]

    def bits_at(word: NDArray[np.intp], first_bit: NDArray[np.intp], count: int) -> NDArray[np.int16]:
        stored_bytes = panels[channel // _NR, word, 4 * (channel % _NR) + index % 4]
        return (stored_bytes >> first_bit.astype(np.uint8)).astype(np.int16) % 2**count

    if bits != 3:
        return bits_at(unit, index // 4 * bits, bits)
    eight, nibble = index // 8, index // 4 % 2
    low = bits_at(3 * unit + eight // 2, 4 * nibble + 2 * (eight % 2), 2)
    return low + 4 * bits_at(3 * unit + 2, 4 * nibble + eight, 1)
