"""A random packed layer and what it must compute, written from the definition and not from the C code."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ACTIVATIONS = {"none": 0, "relu": 1, "relu_n1_to_1": 2, "relu6": 3}
_LIMITS = {0: (-np.inf, np.inf), 1: (0.0, np.inf), 2: (-1.0, 1.0), 3: (0.0, 6.0)}


def pack_entries(entries: NDArray[np.integer], bits: int, blocks: list[int]) -> NDArray[np.uint8]:
    """Packs unsigned entries [N, K] to [tiles, cells, 64] bytes as the format describes them.

    Args:
      blocks: lengths along K; every block begins a cell.
    """
    if bits == 3:
        return _pack_3_bits(entries, blocks)
    per_cell = 32 // bits
    cells = [-(-length // per_cell) for length in blocks]
    in_block = np.concatenate([np.arange(length) for length in blocks])
    cell = np.repeat(np.cumsum([0, *cells[:-1]]), blocks) + in_block // per_cell
    at = in_block % per_cell
    row = np.arange(len(entries))[:, None]
    packed = np.zeros((-(-len(entries) // 16), sum(cells), 64), np.uint8)
    for part in range(8 // bits):  # of a byte
        k = np.flatnonzero(at // 4 == part)
        packed[row // 16, cell[k], 4 * (row % 16) + at[k] % 4] |= (entries[:, k] << part * bits).astype(np.uint8)
    return packed


def _pack_3_bits(entries: NDArray[np.integer], blocks: list[int]) -> NDArray[np.uint8]:
    """The same of 3 bits: three cells have 32 entries of a row, four times two parts of four."""
    triples = [-(-length // 32) for length in blocks]
    in_block = np.concatenate([np.arange(length) for length in blocks])
    first_cell = 3 * (np.repeat(np.cumsum([0, *triples[:-1]]), blocks) + in_block // 32)
    row = np.arange(len(entries))[:, None]
    packed = np.zeros((-(-len(entries) // 16), 3 * sum(triples), 64), np.uint8)
    for part in range(8):
        number, half = divmod(part, 2)
        k = np.flatnonzero(in_block % 32 // 4 == part)
        byte = 4 * (row % 16) + in_block[k] % 4
        low, high = entries[:, k] % 4, entries[:, k] // 4
        packed[row // 16, first_cell[k] + number // 2, byte] |= (low << 4 * half + 2 * (number % 2)).astype(np.uint8)
        packed[row // 16, first_cell[k] + 2, byte] |= (high << 4 * half + number).astype(np.uint8)
    return packed


def fma(a: NDArray[np.float32], b: NDArray[np.float32], c: NDArray[np.float32]) -> NDArray[np.float32]:
    """a * b + c in float32, rounded once.

    The product is exact in float64. Its sum with c is made odd where it is not exact (round to odd, Boldo and Melquiond
    2008), so that the second rounding, to float32, gives what a single one would.
    """
    with np.errstate(invalid="ignore"):
        product = np.asarray(a, np.float64) * np.asarray(b, np.float64)
    addend = np.broadcast_to(np.asarray(c, np.float64), np.broadcast_shapes(product.shape, np.shape(c)))
    total = product + addend
    virtual = total - product
    error = (product - (total - virtual)) + (addend - virtual)
    inexact = np.isfinite(error) & (error != 0) & (total.view(np.int64) % 2 == 0)
    return np.where(inexact, np.nextafter(total, np.copysign(np.inf, error)), total).astype(np.float32)


@dataclass
class PackedLayer:
    """One fully connected layer as the custom operation stores it.

    Attributes:
      codes: [N, K], not packed; 0 where a weight is not stored.
      scales, offsets: float16 [N, blocks]; `offsets` is None for a symmetric layer.
      half_integers: the offsets, which are -scales / 2, are not stored.
      positions: [N, ceil(K / 4), kept] ascending places of the stored weights in their groups of four; None if all are.
      bias: float32 [N] or None.
      block_size: weights per scale along K, 0 for the whole row.
      window, stride: of a convolution, 0 for rows.
    """

    bits: int
    codes: NDArray[np.int64]
    scales: NDArray[np.float16]
    offsets: NDArray[np.float16] | None = None
    positions: NDArray[np.int64] | None = None
    bias: NDArray[np.float32] | None = None
    block_size: int = 0
    int8_activations: bool = False
    activation: str = "none"
    window: int = 0
    stride: int = 0
    half_integers: bool = False

    @property
    def params(self) -> NDArray[np.int32]:
        n, k = self.codes.shape
        symmetric, has_bias = int(self.offsets is None) + 2 * self.half_integers, int(self.bias is not None)
        activation_bits = 8 if self.int8_activations else 0
        kept = 0 if self.positions is None else self.positions.shape[2]
        fields = [3, self.bits, symmetric, self.block_size, k, n, activation_bits, has_bias]
        return np.array([*fields, ACTIVATIONS[self.activation], kept, self.window, self.stride], np.int32)

    @property
    def packed(self) -> NDArray[np.uint8]:
        """The codes as they are stored."""
        unsigned = self.codes + 2 ** (self.bits - 1)
        if self.positions is not None:
            groups = np.pad(unsigned, ((0, 0), (0, -unsigned.shape[1] % 4)), constant_values=2 ** (self.bits - 1))
            groups = groups.reshape(len(unsigned), -1, 4)
            unsigned = np.take_along_axis(groups, self.positions, axis=2).reshape(len(unsigned), -1)
        return pack_entries(unsigned, self.bits, self._stored_lengths())

    @property
    def packed_positions(self) -> NDArray[np.uint8] | None:
        if self.positions is None:
            return None
        return pack_entries(self.positions.reshape(len(self.codes), -1), 2, self._stored_lengths())

    @property
    def packed_scales(self) -> NDArray[np.float16]:
        return _tiled(self.scales)

    @property
    def packed_offsets(self) -> NDArray[np.float16] | None:
        return None if self.offsets is None or self.half_integers else _tiled(self.offsets)

    def _stored_lengths(self) -> list[int]:
        lengths = [block.stop - block.start for block in self.blocks]
        return lengths if self.positions is None else [-(-k // 4) * self.positions.shape[2] for k in lengths]

    @property
    def mask(self) -> NDArray[np.bool_]:
        """[N, K]: which weights are stored."""
        n, k = self.codes.shape
        if self.positions is None:
            return np.ones((n, k), bool)
        mask = np.zeros((n, self.positions.shape[1], 4), bool)
        np.put_along_axis(mask, self.positions, True, axis=2)
        return mask.reshape(n, -1)[:, :k]

    @property
    def blocks(self) -> list[slice]:
        k = self.codes.shape[1]
        length = self.block_size or k
        return [slice(first, min(first + length, k)) for first in range(0, k, length)]

    def weights(self) -> NDArray[np.float64]:
        """W[N, K] in exact arithmetic."""
        weights = np.empty(self.codes.shape)
        for b, block in enumerate(self.blocks):
            weights[:, block] = self.scales[:, b : b + 1].astype(np.float64) * self.codes[:, block]
            if self.offsets is not None:
                weights[:, block] -= self.offsets[:, b : b + 1].astype(np.float64)
        return weights * self.mask

    def activate(self, y: NDArray[np.floating]) -> NDArray[np.floating]:
        return np.clip(y, *_LIMITS[ACTIVATIONS[self.activation]]).astype(y.dtype)

    def exact(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """The layer on x [M, K] in float64; activations are quantized first if the layer does that."""
        inputs = x.astype(np.float64)
        if self.int8_activations:
            codes, scales = quantize_rows(x)
            inputs = codes * scales[:, None].astype(np.float64)
        y = inputs @ self.weights().T
        return self.activate(y + self.bias if self.bias is not None else y)

    def float32(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """The layer on x [M, K] bit for bit: every rounding in the documented place and order."""
        bias = np.zeros(len(self.codes), np.float32) if self.bias is None else self.bias
        with np.errstate(all="ignore"):
            if self.int8_activations:
                codes, row_scales = quantize_rows(x)
                y = fma(row_scales[:, None], self._sum_blocks(*self._integer_sums(codes)), bias)
            else:
                y = self._sum_blocks(*self._float_sums(x)) + bias
            return self.activate(y)

    def _integer_sums(self, x: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Sums [blocks, M, N] of q * x and of x."""
        products = [x[:, block] @ self.codes[:, block].T for block in self.blocks]
        assert np.abs(products).max(initial=0) < 2**31, "the oracle's sums must fit the 32 bits of the definition"
        mask = self.mask.astype(np.int64)
        return np.float32(products), np.float32([x[:, block] @ mask[:, block].T for block in self.blocks])

    def _float_sums(self, x: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The same of floats, products one after the other."""
        products = np.zeros((len(self.blocks), len(x), len(self.codes)), np.float32)
        totals = np.zeros_like(products)
        for b, block in enumerate(self.blocks):
            for k in range(block.start, block.stop):
                stored = self.mask[:, k]
                term = fma(x[:, k, None], self.codes[:, k].astype(np.float32), products[b])
                products[b] = np.where(stored, term, products[b])
                totals[b] = np.where(stored, totals[b] + x[:, k, None], totals[b])
            if self.positions is None:
                totals[b] = _sixteen_lanes(x[:, block])[:, None]
        return products, totals

    def _sum_blocks(self, products: NDArray[np.float32], totals: NDArray[np.float32]) -> NDArray[np.float32]:
        y = np.zeros(products.shape[1:], np.float32)
        for b in range(len(self.blocks)):
            y = fma(self.scales[:, b].astype(np.float32), products[b], y)
            if self.offsets is not None:
                y = fma(-self.offsets[:, b].astype(np.float32), totals[b], y)
        return y


def _sixteen_lanes(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sums [M] of x [M, length]: lane j adds x[j], x[j + 16], ...; then lanes are added in pairs, 8 apart, 4, 2, 1."""
    lanes = np.zeros((len(x), 16), np.float32)
    for first in range(0, x.shape[1], 16):
        piece = x[:, first : first + 16]
        lanes[:, : piece.shape[1]] += piece
    while lanes.shape[1] > 1:
        half = lanes.shape[1] // 2
        lanes = lanes[:, :half] + lanes[:, half:]
    return lanes[:, 0]


def _tiled(values: NDArray[np.float16]) -> NDArray[np.float16]:
    """[N, blocks] -> [tiles, blocks, 16], zero beyond N."""
    tiled = np.zeros((-(-len(values) // 16), values.shape[1], 16), np.float16)
    for n, blocks in enumerate(values):
        tiled[n // 16, :, n % 16] = blocks
    return tiled


def quantize_rows(x: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Symmetric 8-bit codes [M, K] and scales [M] of the rows of x; the scale of a row that is not finite is NaN."""
    largest = np.abs(x).max(axis=1)
    with np.errstate(all="ignore"):
        inverse = np.float32(127) / largest
        usable = np.isfinite(inverse) & np.isfinite(largest)
        codes = np.clip(np.rint(np.where(usable[:, None], x * inverse[:, None], 0)), -127, 127)
        scales = np.where(usable, largest * np.float32(1 / 127), np.where(np.isfinite(largest), 0, np.nan))
    return codes.astype(np.int64), scales.astype(np.float32)


def random_layer(
    rng: np.random.Generator,
    bits: int,
    k: int,
    n: int,
    *,
    symmetric: bool | None = True,
    block_size: int = 0,
    int8_activations: bool = False,
    bias: bool = True,
    activation: str = "none",
    kept: int | None = None,
) -> PackedLayer:
    """Draws codes over their whole range, scales over three decades and offsets of the size of a weight.

    Args:
      symmetric: None draws half-integers.
      kept: how many of every four weights along K are stored; None stores all.
    """
    blocks = -(-k // block_size) if block_size else 1
    scales = np.float16(10.0 ** rng.uniform(-3, 0, (n, blocks)))
    layer = PackedLayer(
        bits=bits,
        codes=rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (n, k)),
        scales=scales,
        offsets=None if symmetric else np.float16(scales * rng.standard_normal((n, blocks))),
        bias=rng.standard_normal(n).astype(np.float32) if bias else None,
        block_size=block_size,
        int8_activations=int8_activations,
        activation=activation,
    )
    if symmetric is None:
        layer.half_integers, layer.offsets = True, scales / np.float16(-2)
    if kept is not None:
        places = rng.permuted(np.tile(np.arange(4), (n, -(-k // 4), 1)), axis=2)
        layer.positions = np.sort(places[:, :, :kept], axis=2)
        layer.codes = layer.codes * layer.mask
    return layer


RECOGNIZER_FEATURES = 40


def recognizer_layers() -> list[PackedLayer]:
    """Three layers in a row of every kind, from `RECOGNIZER_FEATURES` inputs to 10 outputs."""
    rng = np.random.default_rng(3)
    k = RECOGNIZER_FEATURES
    return [
        random_layer(rng, 2, k, 24, symmetric=False, block_size=16, int8_activations=True, activation="relu"),
        random_layer(rng, 4, 24, 33, int8_activations=True, bias=False, kept=2),
        random_layer(rng, 8, 33, 10, symmetric=False),
    ]
