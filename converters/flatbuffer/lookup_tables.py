"""Reading the tables of quantized embeddings back from a `.tflite` file.

The decoder shares no code with the writer, which it verifies.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from converters.flatbuffer.operators import read_operators


@dataclass(frozen=True)
class LookupConstants:
    """The constant matrices whose rows a file looks up.

    Attributes:
      packed: those of bytes, [N, bytes].
      ranges: those of float32, [N, blocks], scales and float zero points among them.
    """

    packed: list[NDArray[np.uint8]]
    ranges: list[NDArray[np.float32]]


def read_tables(path: str | Path) -> LookupConstants:
    """Reads the constant matrices that a file looks up.

    Raises:
      InputError: the file is missing, truncated or damaged.
    """
    tables = LookupConstants([], [])
    for operator in read_operators(path, frozenset(), frozenset({schema.BuiltinOperator.GATHER})):
        table = operator.inputs[0]
        if table is None or not table.content or table.tensor.ShapeLength() != 2:
            continue
        shape = table.tensor.ShapeAsNumpy()
        if table.tensor.Type() == schema.TensorType.UINT8:
            tables.packed.append(np.frombuffer(table.content, np.uint8).reshape(shape))
        elif table.tensor.Type() == schema.TensorType.FLOAT32:
            tables.ranges.append(np.frombuffer(table.content, "<f4").reshape(shape))
    return tables


def decode_rows(table: NDArray[np.uint8], bits: int, k: int) -> NDArray[np.int64] | None:
    """Decodes a table of packed rows; None if its rows do not have k values of that width.

    Args:
      table: [N, bytes].
      bits: width of a value.
      k: values of a row.

    Returns:
      [N, K], the quantized values in [-2^(bits - 1), 2^(bits - 1) - 1].
    """
    per_byte = 8 // bits
    n, width = table.shape
    if width != -(-k // per_byte):
        return None
    codes = np.zeros((n, k), np.int64)
    for index in range(k):
        shift = bits * (index // width)
        codes[:, index] = ((table[:, index % width].astype(np.int64) >> shift) & (2**bits - 1)) - 2 ** (bits - 1)
    return codes
