"""Quantized embeddings in an exported file: rows of packed quantized values, which built-in operations look up.

The operations GATHER a row of bytes and its scales, take the quantized values out of the bytes by divisions that
float32 computes exactly, and dequantize them as training does. Every runtime has them, so that a file whose only
quantized layers are embeddings needs no library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
from numpy.typing import NDArray

from tfconformer.quantization.quantizers.weights import QuantizedWeights
from tfconformer.quantization.spec import QuantSpec

TARGET = "lookup"  # the format of these weights in plans and in the records of layers


@dataclass(frozen=True)
class LookupTable:
    """The packed vectors of an embedding.

    A byte has 8 // bits values, which begin with its lowest bits. The values are spread over the bytes of a row: with
    4 bits and 10 values the row has 5 bytes, and byte i has the values i and i + 5.

    Attributes:
      packed: [N, bytes] uint8, a row for each vector; a stored value is the quantized one minus the lowest.
      scales: [N, blocks] float32.
      offsets: [N, blocks] float32, the float zero points; None if symmetric.
      k: length of a vector.
      spec: the spec that it was quantized with.
      dequantized: [K, N] float32, the values that the operations compute.
    """

    packed: NDArray[np.uint8]
    scales: NDArray[np.float32]
    offsets: NDArray[np.float32] | None
    k: int
    spec: QuantSpec
    dequantized: NDArray[np.float32]

    @property
    def n(self) -> int:
        """Number of vectors."""
        return len(self.packed)

    @property
    def bytes(self) -> int:
        """Size of quantized values, scales and float zero points in bytes."""
        return self.packed.nbytes + self.scales.nbytes + (0 if self.offsets is None else self.offsets.nbytes)

    def dequantize(self) -> NDArray[np.float32]:
        """Returns the values [K, N] that the file computes."""
        return self.dequantized


def pack_table(quantized: QuantizedWeights) -> LookupTable:
    """Packs the columns of quantized weights [K, N] as the rows of a table."""
    spec, codes = quantized.spec, quantized.codes.numpy().T
    n, k = codes.shape
    per_byte = 8 // spec.bits
    width = -(-k // per_byte)
    values = np.zeros((n, width * per_byte), np.uint8)
    values[:, :k] = codes - spec.code_range[0]
    fields = values.reshape(n, per_byte, width) << (spec.bits * np.arange(per_byte, dtype=np.uint8))[:, np.newaxis]
    return LookupTable(
        packed=np.bitwise_or.reduce(fields, axis=1),
        scales=np.ascontiguousarray(quantized.scales.numpy().T),
        offsets=None if quantized.offsets is None else np.ascontiguousarray(quantized.offsets.numpy().T),
        k=k,
        spec=spec,
        dequantized=quantized.dequantize().numpy(),
    )


class Lookup(keras.layers.Layer):
    """A layer that looks up the vectors of a table, in operations that the converter keeps as they are."""

    def __init__(self, table: LookupTable, **kwargs: Any):
        super().__init__(**kwargs)
        self._table = table

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        table, indices = self._table, tf.cast(inputs, tf.int32)
        bits, rest = table.spec.bits, tf.cast(tf.gather(table.packed, indices), tf.float32)
        fields = []
        for _ in range(8 // bits):
            higher = tf.floor(rest * 2.0**-bits)
            fields.append(rest - higher * 2.0**bits)
            rest = higher
        codes = tf.concat(fields, axis=-1)[..., : table.k] + float(table.spec.code_range[0])
        vectors = codes * self._per_value(table.scales, indices)
        return vectors if table.offsets is None else vectors - self._per_value(table.offsets, indices)

    def _per_value(self, ranges: NDArray[np.float32], indices: tf.Tensor) -> tf.Tensor:
        """Returns the scales or float zero points of the values of vectors; those of a single block broadcast."""
        found, table = tf.gather(ranges, indices), self._table
        if ranges.shape[1] == 1:
            return found
        return tf.gather(found, np.arange(table.k) // (table.spec.block_size or table.k), axis=-1)
