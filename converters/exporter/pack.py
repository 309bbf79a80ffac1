"""Stage 3 of export: codes, scales and offsets of a layer become the constants of the custom operation.

NumPy only. Weights are `W[k, n] = scale[b, n] * q[k, n] - offset[b, n]` with b the block of k. How they lie in the file
is described in `docs/reference/format.md`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tfconformer.quantization.spec import QuantSpec

FORMAT_VERSION = 3  # of the operation's params
TILE = 16  # output channels side by side
CELL_BYTES = 64  # of which each channel of a tile has four
GROUP = 4  # weights of which a sparse layer keeps one or two
POSITION_BITS = 2


@dataclass(frozen=True)
class PackedWeights:
    """Constants of one layer.

    Attributes:
      k, n: contraction length and output channels.
      spec: what the codes mean.
      codes: uint8 [tiles, cells, 64].
      positions: likewise, of the kept codes in their groups of four; None if all are kept.
      scales: float16 [tiles, blocks, 16].
      offsets: likewise, None if symmetric.
      window, stride: of a convolution, whose rows are the windows [window, window, channels] of an image; 0 otherwise.
    """

    k: int
    n: int
    spec: QuantSpec
    codes: NDArray[np.uint8]
    positions: NDArray[np.uint8] | None
    scales: NDArray[np.float16]
    offsets: NDArray[np.float16] | None
    window: int = 0
    stride: int = 0

    @property
    def bytes(self) -> int:
        """Bytes of all arrays."""
        arrays = (self.codes, self.positions, self.scales, self.offsets)
        return sum(array.nbytes for array in arrays if array is not None)

    def attributes(self, has_bias: bool) -> dict[str, int]:
        """Returns the attributes of the operation, in their order in the file; it has no fused activation."""
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
            "kept": stored_of_group(self.spec) or 0,
            "window": self.window,
            "stride": self.stride,
        }

    def dequantize(self) -> NDArray[np.float32]:
        """[K, N]: what the stored bytes stand for."""
        length = min(self.spec.block_size or self.k, self.k)
        block_of_k = np.arange(self.k) // length
        weights = self._codes() * _untile(self.scales, self.n)[block_of_k]
        if self.offsets is not None:
            weights -= _untile(self.offsets, self.n)[block_of_k]
        return weights

    def _codes(self) -> NDArray[np.float32]:
        """[K, N]."""
        kept = stored_of_group(self.spec)
        stored = _BlockShape(self.k, self.spec.block_size, kept)
        codes = unpack_entries(self.codes, self.spec.bits, stored, self.n).astype(np.float32)
        codes -= 2 ** (self.spec.bits - 1)
        if kept is None or self.positions is None:
            return codes
        positions = unpack_entries(self.positions, POSITION_BITS, stored, self.n)
        groups = np.zeros((len(codes) // kept, GROUP, self.n), np.float32)
        np.put_along_axis(
            groups, positions.reshape(-1, kept, self.n).astype(np.intp), codes.reshape(-1, kept, self.n), 1
        )
        return groups.reshape(-1, self.n)[: self.k]


@dataclass(frozen=True)
class _BlockShape:
    """The numbers of stored weights of a channel by block of K weights: all, or `kept` of every four."""

    k: int
    block_size: int | None
    kept: int | None

    @property
    def lengths(self) -> list[int]:
        block = min(self.block_size or self.k, self.k)
        lengths = [block] * (self.k // block) + [self.k % block] * (self.k % block > 0)
        return lengths if self.kept is None else [-(-length // GROUP) * self.kept for length in lengths]


def stored_of_group(spec: QuantSpec) -> int | None:
    """Returns the number of weights of every four that a layer of this spec stores; None if it stores all."""
    return spec.n_of_m[0] if spec.n_of_m in ((1, GROUP), (2, GROUP)) else None


def pack_weights(
    codes: NDArray[np.floating],
    scales: NDArray[np.float32],
    offsets: NDArray[np.float32] | None,
    spec: QuantSpec,
) -> PackedWeights:
    """Packs one layer.

    Args:
      codes: [K, N] integers in the code range.
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
    integers = codes.astype(np.int16)
    kept = stored_of_group(spec)
    positions = None
    shape = _BlockShape(k, spec.block_size, kept)
    if kept is not None:
        integers, positions = _keep(integers, kept)
    return PackedWeights(
        k,
        n,
        spec,
        codes=pack_entries((integers - low).astype(np.uint8), spec.bits, shape.lengths),
        positions=None if positions is None else pack_entries(positions, POSITION_BITS, shape.lengths),
        scales=_tile(stored[0]),
        offsets=None if offsets is None else _tile(stored[1]),
    )


def pack_entries(entries: NDArray[np.uint8], bits: int, lengths: list[int]) -> NDArray[np.uint8]:
    """[K, N] numbers below 2^bits, in blocks of these lengths along K -> [tiles, cells, 64] bytes.

    Only the last block may be shorter than the others.
    """
    n = entries.shape[1]
    per_cell = 8 * CELL_BYTES // (TILE * bits)
    cells = [-(-length // per_cell) for length in lengths]
    padded = np.zeros((len(lengths), cells[0] * per_cell, -(-n // TILE) * TILE), np.uint8)
    whole = len(lengths) - 1
    padded[:whole, : lengths[0], :n] = entries[: whole * lengths[0]].reshape(whole, lengths[0], n)
    padded[whole, : lengths[-1], :n] = entries[whole * lengths[0] :]
    # Entry (4 f + j) of a cell and channel c of a tile is field f of byte 4 c + j.
    fields = padded.reshape(-1, 8 // bits, 4, padded.shape[2] // TILE, TILE)[: sum(cells)]
    bytes_ = np.zeros((fields.shape[3], len(fields), TILE, 4), np.uint8)
    for field in range(8 // bits):
        bytes_ |= fields[:, field].transpose(2, 0, 3, 1) << np.uint8(field * bits)
    return bytes_.reshape(len(bytes_), -1, CELL_BYTES)


def unpack_entries(packed: NDArray[np.uint8], bits: int, shape: _BlockShape, n: int) -> NDArray[np.uint8]:
    """The inverse of `pack_entries`: [K, N]."""
    tiles, cells, _ = packed.shape
    bytes_ = packed.reshape(tiles, cells, TILE, 4)
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    fields = (bytes_[..., None] >> shifts) & np.uint8(2**bits - 1)  # [tiles, cells, channel, j, field]
    entries = fields.transpose(1, 4, 3, 0, 2).reshape(cells * (8 // bits) * 4, tiles * TILE)[:, :n]
    per_cell = 8 * CELL_BYTES // (TILE * bits)
    blocks, at = [], 0
    for length in shape.lengths:
        blocks.append(entries[at : at + length])
        at += -(-length // per_cell) * per_cell
    return np.concatenate(blocks)


def _keep(codes: NDArray[np.int16], kept: int) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """The codes other than zero of every group of four along K, filled up with zeros: (codes, positions), [K', N]."""
    groups = np.pad(codes, [(0, -len(codes) % GROUP), (0, 0)]).reshape(-1, GROUP, codes.shape[1])
    if (np.count_nonzero(groups, axis=1) > kept).any():
        raise ValueError(f"a group of {GROUP} weights has more than {kept} that are not zero")
    positions = np.sort(np.argsort(groups == 0, axis=1, kind="stable")[:, :kept], axis=1)
    return (
        np.take_along_axis(groups, positions, axis=1).reshape(-1, codes.shape[1]),
        positions.reshape(-1, codes.shape[1]).astype(np.uint8),
    )


def _float16(values: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float16]:
    """[blocks, N] in float16, without loss."""
    if values.shape != shape:
        raise ValueError(f"scales and offsets must have shape {list(shape)}, got {list(values.shape)}")
    with np.errstate(over="ignore"):
        stored = values.astype(np.float16)
    if not np.isfinite(stored).all() or not np.array_equal(stored.astype(np.float32), values):
        raise ValueError("a scale or offset is not a finite float16 number")
    return stored


def _tile(values: NDArray[np.float16]) -> NDArray[np.float16]:
    """[blocks, N] -> [tiles, blocks, 16], zero beyond N."""
    padded = np.pad(values, [(0, 0), (0, -values.shape[1] % TILE)])
    return np.ascontiguousarray(padded.reshape(len(values), -1, TILE).transpose(1, 0, 2))


def _untile(values: NDArray[np.float16], n: int) -> NDArray[np.float32]:
    """The inverse of `_tile`: [blocks, N] float32."""
    return values.transpose(1, 0, 2).reshape(values.shape[1], -1)[:, :n].astype(np.float32)
