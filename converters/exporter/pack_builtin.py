"""Stage 3 of export to the target `litert`: a layer in the weight formats that LiteRT has built in.

`FULLY_CONNECTED` reads `W[n, k] = scale * q[n, k]` with one float32 scale per output channel, or with one float16 scale
per block of k (4 bits only). Quantized values are two's complement, low bits of a byte first, over the whole matrix
without gaps between rows. There are no float zero points, and the runtime refuses an integer one other than 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tfconformer.quantization.spec import QuantSpec


@dataclass(frozen=True)
class BuiltinWeights:
    """The constants of one layer.

    Attributes:
      k, n: contraction length and number of output channels.
      spec: the spec that the weights were quantized with; symmetric.
      codes: [ceil(N * K * bits / 8)] uint8, the quantized values in two's complement, in the order of [N, K].
      scales: [N] float32, or [N, blocks] float16 of a spec with blocks; > 0.
      offsets: None: there are no float zero points.
    """

    k: int
    n: int
    spec: QuantSpec
    codes: NDArray[np.uint8]
    scales: NDArray[np.floating]
    offsets: None = None

    @property
    def bytes(self) -> int:
        """Size of the constants in bytes."""
        return self.codes.nbytes + self.scales.nbytes

    def dequantize(self) -> NDArray[np.float32]:
        """Returns the weights [K, N] that the stored bytes dequantize to."""
        codes = unpack_codes(self.codes, self.spec.bits, self.n * self.k).reshape(self.n, self.k)
        block_of_k = np.arange(self.k) // (self.spec.block_size or self.k)
        return (codes * self.scales.astype(np.float32).reshape(self.n, -1)[:, block_of_k]).T


def builtin_weights(codes: NDArray[np.floating], scales: NDArray[np.float32], spec: QuantSpec) -> BuiltinWeights:
    """Stores a quantized matrix.

    Args:
      codes: [K, N], the quantized values: integers in `spec.code_range`.
      scales: [blocks, N], finite and > 0; representable in float16 if there are blocks.
      spec: the spec that the weights were quantized with; symmetric.

    Raises:
      ValueError: the arrays do not fit the spec or each other, or a value cannot be stored without changing it.
    """
    k, n = codes.shape
    if not spec.symmetric:
        raise ValueError("built-in weights are symmetric")
    if scales.shape != (spec.blocks(k), n):
        raise ValueError(f"scales must have shape {[spec.blocks(k), n]}, got {list(scales.shape)}")
    with np.errstate(over="ignore"):
        stored = scales.T.astype(np.float16) if spec.block_size else scales[0].astype(np.float32)
    exact = np.array_equal(stored.reshape(n, -1).T.astype(np.float64), scales)
    if not (exact and np.isfinite(stored).all() and (stored > 0).all()):
        raise ValueError(f"a scale is not a finite {stored.dtype} number above zero")
    low, high = spec.code_range
    if not ((codes >= low) & (codes <= high) & (codes == np.floor(codes))).all():
        raise ValueError(f"a code is not an integer in [{low}, {high}]")
    packed = pack_codes(codes.T.astype(np.int8).reshape(-1), spec.bits)
    return BuiltinWeights(k, n, spec, packed, np.ascontiguousarray(stored))


def pack_codes(codes: NDArray[np.int8], bits: int) -> NDArray[np.uint8]:
    """Packs quantized values [count] of `bits` bits into [ceil(count * bits / 8)] bytes, low bits first."""
    per_byte = 8 // bits
    fields = codes.view(np.uint8) & np.uint8(2**bits - 1)
    fields = np.pad(fields, (0, -codes.size % per_byte)).reshape(-1, per_byte)
    return np.bitwise_or.reduce(fields << np.arange(0, 8, bits, dtype=np.uint8), axis=-1)


def unpack_codes(packed: NDArray[np.uint8], bits: int, count: int) -> NDArray[np.int8]:
    """Unpacks quantized values [count] of `bits` bits from the bytes of `pack_codes`."""
    fields = (packed[:, None] >> np.arange(0, 8, bits, dtype=np.uint8)) & np.uint8(2**bits - 1)
    sign = np.uint8(2 ** (bits - 1))
    return ((fields ^ sign) - sign).view(np.int8).reshape(-1)[:count]
