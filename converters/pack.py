"""Stage 3 of export: codes, scales and offsets of a layer become the constants of the custom operation.

NumPy only. Weights are `W[k, n] = scale[b, n] * q[k, n] - offset[b, n]` with b the block of k; the file has them output
channel first. Row n of the packed codes holds q[0..K-1, n], two's complement, low bits of a byte first, filled up with
zero bits to a whole byte.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tfconformer.quantization.spec import QuantSpec

FORMAT_VERSION = 1  # of the operation's params


@dataclass(frozen=True)
class PackedWeights:
    """Constants of one layer.

    Attributes:
      k, n: contraction length and output channels.
      spec: what the codes mean.
      codes: uint8 [N, ceil(K * bits / 8)].
      scales: float16 [N, blocks].
      offsets: likewise, None if symmetric.
    """

    k: int
    n: int
    spec: QuantSpec
    codes: NDArray[np.uint8]
    scales: NDArray[np.float16]
    offsets: NDArray[np.float16] | None

    def attributes(self, has_bias: bool) -> dict[str, int]:
        """What the operation must know, in the order of its params; it has no fused activation."""
        return {
            "version": FORMAT_VERSION,
            "bits": self.spec.bits,
            "symmetric": int(self.spec.symmetric),
            "block_size": self.spec.block_size or 0,
            "k": self.k,
            "n": self.n,
            "activation_bits": self.spec.activation_bits or 0,
            "has_bias": int(has_bias),
            "activation": 0,
        }

    def dequantize(self) -> NDArray[np.float32]:
        """[K, N]: what the stored bytes stand for."""
        block_of_k = np.arange(self.k) // (self.spec.block_size or self.k)
        weights = unpack_codes(self.codes, self.spec.bits, self.k) * self.scales.astype(np.float32)[:, block_of_k]
        if self.offsets is not None:
            weights -= self.offsets.astype(np.float32)[:, block_of_k]
        return weights.T


def pack_weights(
    codes: NDArray[np.floating], scales: NDArray[np.float32], offsets: NDArray[np.float32] | None, spec: QuantSpec
) -> PackedWeights:
    """Packs a quantized matrix.

    Args:
      codes: [K, N], integers in `spec.code_range`.
      scales: [blocks, N], finite and above zero.
      offsets: likewise but of any sign, None if and only if `spec.symmetric`.
      spec: with float16 scales.

    Raises:
      ValueError: the arrays do not fit the spec or each other, or a value cannot be stored without changing it.
    """
    k, n = codes.shape
    if (offsets is None) != spec.symmetric:
        raise ValueError("offsets belong to asymmetric weights and to no others")
    stored = [_float16(values, (spec.blocks(k), n)) for values in ([scales] if offsets is None else [scales, offsets])]
    if not (stored[0] > 0).all():
        raise ValueError("a scale is not above zero")
    low, high = spec.code_range
    if not ((codes >= low) & (codes <= high) & (codes == np.floor(codes))).all():
        raise ValueError(f"a code is not an integer in [{low}, {high}]")
    packed = pack_codes(np.ascontiguousarray(codes.T, np.int8), spec.bits)
    return PackedWeights(k, n, spec, packed, stored[0], None if spec.symmetric else stored[1])


def pack_codes(codes: NDArray[np.int8], bits: int) -> NDArray[np.uint8]:
    """[N, K] codes of that width -> [N, ceil(K * bits / 8)] bytes."""
    per_byte = 8 // bits
    fields = codes.view(np.uint8) & np.uint8(2**bits - 1)
    fields = np.pad(fields, [(0, 0), (0, -codes.shape[1] % per_byte)]).reshape(len(codes), -1, per_byte)
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    return np.bitwise_or.reduce(fields << shifts, axis=-1)


def unpack_codes(packed: NDArray[np.uint8], bits: int, k: int) -> NDArray[np.int8]:
    """The inverse of `pack_codes`: [N, bytes] -> [N, K]."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    fields = (packed[:, :, None] >> shifts) & np.uint8(2**bits - 1)
    sign = np.uint8(2 ** (bits - 1))
    return ((fields ^ sign) - sign).view(np.int8).reshape(len(packed), -1)[:, :k]


def _float16(values: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float16]:
    """[blocks, N] -> [N, blocks] in float16, without loss."""
    if values.shape != shape:
        raise ValueError(f"scales and offsets must have shape {list(shape)}, got {list(values.shape)}")
    with np.errstate(over="ignore"):
        stored = values.astype(np.float16)
    if not np.isfinite(stored).all() or not np.array_equal(stored.astype(np.float32), values):
        raise ValueError("a scale or offset is not a finite float16 number")
    return np.ascontiguousarray(stored.T)
