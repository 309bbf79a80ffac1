"""Stage 3 of export: the quantized values, scales and float zero points of a layer as constants of the operation.

NumPy only. Weights are `W[k, n] = scales[b, n] * q[k, n] - offsets[b, n]` with b the block of k. The order in the file,
see `docs/reference/format.md`: NR output channels are a panel, and each of them has KR bytes of a panel word.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tfconformer.quantization.spec import QuantSpec

FORMAT_VERSION = 3  # of the op attributes
NR = 16  # output channels of a panel
KR = 4  # bytes of each of them in a panel word
UNIT_OF_3_BITS = 32  # weights of an output channel that three panel words hold
WORD_BYTES = NR * KR
SPARSE_GROUP = 4  # weights along K of which a sparse layer stores one or two
SYMMETRIC = {"stored": 0, "none": 1, "implied": 2}  # the op attribute, by the zero points of a spec
INDEX_BITS = 2  # of a sparsity index, 0 to SPARSE_GROUP - 1


@dataclass(frozen=True)
class PackedWeights:
    """The constants of one layer.

    Attributes:
      k, n: contraction length and number of output channels.
      spec: the spec that the weights were quantized with.
      codes: [panels, words, 64] uint8, the quantized values plus 2^(bits - 1), of a sparse layer those it stores.
      sparsity_indices: [panels, words, 64] uint8, the places of the stored weights in their groups of four; None if
        all weights are stored.
      scales: [panels, blocks, 16] float16, > 0, but 0 beyond N.
      offsets: [panels, blocks, 16] float16, the float zero points; None if the file stores none.
      window, stride: size and distance of the windows [window, window, channels] of an image that a convolution
        multiplies; both 0 for a dense layer.
    """

    k: int
    n: int
    spec: QuantSpec
    codes: NDArray[np.uint8]
    sparsity_indices: NDArray[np.uint8] | None
    scales: NDArray[np.float16]
    offsets: NDArray[np.float16] | None
    window: int = 0
    stride: int = 0

    @property
    def bytes(self) -> int:
        """Size of all arrays in bytes."""
        arrays = (self.codes, self.sparsity_indices, self.scales, self.offsets)
        return sum(array.nbytes for array in arrays if array is not None)

    def attributes(self, has_bias: bool) -> dict[str, int]:
        """Returns the op attributes in their order in the file; the operation has no fused activation."""
        stored, _ = stored_n_of_m(self.spec) or (0, SPARSE_GROUP)
        return {
            "version": FORMAT_VERSION,
            "bits": self.spec.bits,
            "symmetric": SYMMETRIC[self.spec.zero_points],
            "block_size": self.spec.block_size or 0,
            "k": self.k,
            "n": self.n,
            "activation_bits": self.spec.activation_bits or 0,
            "has_bias": int(has_bias),
            "activation": 0,
            "kept": stored,
            "window": self.window,
            "stride": self.stride,
        }

    def dequantize(self) -> NDArray[np.float32]:
        """Returns the weights [K, N] that the stored bytes dequantize to."""
        length = min(self.spec.block_size or self.k, self.k)
        block_of_k = np.arange(self.k) // length
        weights = self._quantized_values() * _by_block(self.scales, self.n)[block_of_k]
        if self.offsets is not None:
            weights -= _by_block(self.offsets, self.n)[block_of_k]
        elif self.spec.zero_points == "implied":
            weights += _by_block(self.scales, self.n)[block_of_k] / 2
        return weights

    def _quantized_values(self) -> NDArray[np.float32]:
        """Returns q [K, N], 0 where a weight is not stored."""
        lengths = _stored_lengths(self.k, self.spec)
        values = unpack_entries(self.codes, self.spec.bits, lengths, self.n).astype(np.float32)
        values -= 2 ** (self.spec.bits - 1)
        n_of_m = stored_n_of_m(self.spec)
        if n_of_m is None or self.sparsity_indices is None:
            return values
        stored, group = n_of_m
        indices = unpack_entries(self.sparsity_indices, INDEX_BITS, lengths, self.n)
        # [K, N] -> [groups, stored or group, N]
        stored_values = values.reshape(-1, stored, self.n)
        dense = np.zeros((len(stored_values), group, self.n), np.float32)
        np.put_along_axis(dense, indices.reshape(stored_values.shape).astype(np.intp), stored_values, axis=1)
        return dense.reshape(-1, self.n)[: self.k]


def stored_n_of_m(spec: QuantSpec) -> tuple[int, int] | None:
    """Returns (n, m) if the file stores only n of every m weights along K; None if it stores all."""
    return spec.n_of_m if spec.n_of_m in ((1, SPARSE_GROUP), (2, SPARSE_GROUP)) else None


def pack_weights(
    codes: NDArray[np.floating],
    scales: NDArray[np.float32],
    offsets: NDArray[np.float32] | None,
    spec: QuantSpec,
) -> PackedWeights:
    """Packs one layer.

    Args:
      codes: [K, N], the quantized values: integers in `spec.code_range`.
      scales: [blocks, N], > 0 and representable in float16.
      offsets: [blocks, N], float zero points of any sign, representable in float16 if the file stores them; None if
        and only if `spec` has none.
      spec: the spec that the weights were quantized with.

    Raises:
      ValueError: the arrays do not fit the spec or each other, or a value cannot be stored without changing it.
    """
    k, n = codes.shape
    if (offsets is None) != (spec.zero_points == "none"):
        raise ValueError("offsets belong to weights with zero points and to no others")
    shape = (spec.blocks(k), n)
    stored_scales = _float16(scales, shape)
    stored_offsets = None
    if offsets is not None and spec.zero_points == "stored":
        stored_offsets = _float16(offsets, shape)
    elif offsets is not None and not np.array_equal(offsets, scales / -2):
        raise ValueError("an offset of half-integers is not -1/2 of the scale")
    if not (stored_scales > 0).all():
        raise ValueError("a scale is not above zero")
    low, high = spec.code_range
    if not ((codes >= low) & (codes <= high) & (codes == np.floor(codes))).all():
        raise ValueError(f"a code is not an integer in [{low}, {high}]")
    values, indices = codes.astype(np.int16), None
    n_of_m = stored_n_of_m(spec)
    if n_of_m is not None:
        values, indices = _compress(values, n_of_m)
    lengths = _stored_lengths(k, spec)
    return PackedWeights(
        k=k,
        n=n,
        spec=spec,
        codes=pack_entries((values - low).astype(np.uint8), spec.bits, lengths),
        sparsity_indices=None if indices is None else pack_entries(indices, INDEX_BITS, lengths),
        scales=_by_panel(stored_scales),
        offsets=None if stored_offsets is None else _by_panel(stored_offsets),
    )


def pack_entries(entries: NDArray[np.uint8], bits: int, lengths: list[int]) -> NDArray[np.uint8]:
    """Packs unsigned numbers of `bits` bits into panel words; every block of K begins at a new unit of words.

    Args:
      entries: [K, N], below 2^bits.
      bits: 1, 2, 3, 4 or 8.
      lengths: entries of each block along K; equal, but the last may be shorter.

    Returns:
      [panels, words, 64]. Entry KR * field + j of a word and channel c of its panel is that field of byte KR * c + j.
      Numbers of 3 bits are packed as such of 4 bits, whose highest bits are then left out: three words of four.
    """
    n, unit = entries.shape[1], _unit(bits)
    units, panels = [-(-length // unit) for length in lengths], -(-n // NR)
    padded = np.zeros((len(lengths), units[0] * unit, panels * NR), np.uint8)
    whole = len(lengths) - 1  # blocks of the same length
    padded[:whole, : lengths[0], :n] = entries[: whole * lengths[0]].reshape(whole, lengths[0], n)
    padded[whole, : lengths[-1], :n] = entries[whole * lengths[0] :]
    # [blocks, entries of a block, panels * NR] -> [entries of all blocks, panels * NR]
    flat = padded.reshape(-1, panels * NR)[: sum(units) * unit]
    return _leave_out_highest_bits(_pack_fields(flat, 4)) if bits == 3 else _pack_fields(flat, bits)


def unpack_entries(packed: NDArray[np.uint8], bits: int, lengths: list[int], n: int) -> NDArray[np.uint8]:
    """Unpacks what `pack_entries` returned for `lengths` and N = `n`: the entries [K, N]."""
    flat = _unpack_fields(_with_highest_bits(packed), 4) if bits == 3 else _unpack_fields(packed, bits)
    blocks, start, unit = [], 0, _unit(bits)
    for length in lengths:
        blocks.append(flat[start : start + length, :n])
        start += -(-length // unit) * unit
    return np.concatenate(blocks)


def _unit(bits: int) -> int:
    """Returns the entries of a channel in the least number of whole words."""
    return UNIT_OF_3_BITS if bits == 3 else 8 // bits * KR


def _pack_fields(entries: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Packs [K, panels * NR] numbers in fields of 1, 2, 4 or 8 bits: [panels, words, 64]."""
    fields, panels = 8 // bits, entries.shape[1] // NR
    by_field = entries.reshape(-1, fields, KR, panels, NR)
    packed = np.zeros((panels, len(by_field), NR, KR), np.uint8)
    for field in range(fields):
        # [words, KR, panels, NR] -> [panels, words, NR, KR]
        packed |= by_field[:, field].transpose(2, 0, 3, 1) << np.uint8(field * bits)
    # [panels, words, NR, KR] -> [panels, words, NR * KR]
    return packed.reshape(panels, -1, WORD_BYTES)


def _unpack_fields(packed: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Reverses `_pack_fields`."""
    panels, words, _ = packed.shape
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    # [panels, words, NR * KR] -> [panels, words, NR, KR, fields]
    by_field = (packed.reshape(panels, words, NR, KR, 1) >> shifts) & np.uint8(2**bits - 1)
    # [panels, words, NR, KR, fields] -> [words, fields, KR, panels, NR] -> [words * fields * KR, panels * NR]
    return by_field.transpose(1, 4, 3, 0, 2).reshape(-1, panels * NR)


def _leave_out_highest_bits(words: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Packs fields of 4 bits below 8 without their highest bit: four of the words [panels, words, 64] into three."""
    a, b, c, d = np.moveaxis(words.reshape(len(words), -1, 4, WORD_BYTES), 2, 0)
    low = [first & 0x33 | (second & 0x33) << 2 for first, second in ((a, b), (c, d))]
    high = (a & 0x44) >> 2 | (b & 0x44) >> 1 | c & 0x44 | (d & 0x44) << 1
    return np.stack([*low, high], axis=2).reshape(len(words), -1, WORD_BYTES)


def _with_highest_bits(words: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Reverses `_leave_out_highest_bits`."""
    first, second, high = np.moveaxis(words.reshape(len(words), -1, 3, WORD_BYTES), 2, 0)
    whole = [
        first & 0x33 | high << 2 & 0x44,
        first >> 2 & 0x33 | high << 1 & 0x44,
        second & 0x33 | high & 0x44,
        second >> 2 & 0x33 | high >> 1 & 0x44,
    ]
    return np.stack(whole, axis=2).reshape(len(words), -1, WORD_BYTES)


def _stored_lengths(k: int, spec: QuantSpec) -> list[int]:
    """Returns the number of weights that each block of K weights stores for a channel: all, or n of every m."""
    block = min(spec.block_size or k, k)
    lengths = [block] * (k // block) + [k % block] * (k % block > 0)
    n_of_m = stored_n_of_m(spec)
    if n_of_m is None:
        return lengths
    stored, group = n_of_m
    return [-(-length // group) * stored for length in lengths]


def _compress(values: NDArray[np.int16], n_of_m: tuple[int, int]) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """Selects n of every m values along K, those other than zero and then the first zeros.

    Returns:
      The values in ascending order of k, and their indices in their groups: both [ceil(K / m) * n, N].

    Raises:
      ValueError: a group has more values other than zero.
    """
    stored, group = n_of_m
    channels = values.shape[1]
    # [K, N] -> [groups, group, N]
    groups = np.pad(values, [(0, -len(values) % group), (0, 0)]).reshape(-1, group, channels)
    if (np.count_nonzero(groups, axis=1) > stored).any():
        raise ValueError(f"a group of {group} weights has more than {stored} that are not zero")
    indices = np.sort(np.argsort(groups == 0, axis=1, kind="stable")[:, :stored], axis=1)
    # [groups, stored, N] -> [groups * stored, N]
    return (
        np.take_along_axis(groups, indices, axis=1).reshape(-1, channels),
        indices.reshape(-1, channels).astype(np.uint8),
    )


def _float16(values: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float16]:
    """Converts values [blocks, N] to float16; a value that would change is an error."""
    if values.shape != shape:
        raise ValueError(f"scales and offsets must have shape {list(shape)}, got {list(values.shape)}")
    with np.errstate(over="ignore"):
        stored = values.astype(np.float16)
    if not np.isfinite(stored).all() or not np.array_equal(stored.astype(np.float32), values):
        raise ValueError("a scale or offset is not a finite float16 number")
    return stored


def _by_panel(values: NDArray[np.float16]) -> NDArray[np.float16]:
    """Reorders [blocks, N] to [panels, blocks, 16], zero beyond N."""
    padded = np.pad(values, [(0, 0), (0, -values.shape[1] % NR)])
    # [blocks, panels * NR] -> [blocks, panels, NR] -> [panels, blocks, NR]
    return np.ascontiguousarray(padded.reshape(len(values), -1, NR).transpose(1, 0, 2))


def _by_block(values: NDArray[np.float16], n: int) -> NDArray[np.float32]:
    """Reorders [panels, blocks, 16] to [blocks, N], in float32."""
    # [panels, blocks, NR] -> [blocks, panels, NR] -> [blocks, panels * NR]
    return values.transpose(1, 0, 2).reshape(values.shape[1], -1)[:, :n].astype(np.float32)
