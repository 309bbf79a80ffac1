"""A random packed layer and what it must compute, written from the definition and not from the C code."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ACTIVATIONS = {"none": 0, "relu": 1, "relu_n1_to_1": 2, "relu6": 3}
_LIMITS = {0: (-np.inf, np.inf), 1: (0.0, np.inf), 2: (-1.0, 1.0), 3: (0.0, 6.0)}


def pack_codes(codes: NDArray[np.integer], bits: int) -> NDArray[np.uint8]:
    """Packs codes [N, K] to bytes [N, ceil(K * bits / 8)]: two's complement, low bits first, zero padding."""
    per_byte = 8 // bits
    fields = codes.astype(np.int64) & (2**bits - 1)
    fields = np.pad(fields, ((0, 0), (0, -codes.shape[1] % per_byte)))
    fields = fields.reshape(codes.shape[0], -1, per_byte) << (bits * np.arange(per_byte))
    return fields.sum(axis=-1).astype(np.uint8)


@dataclass
class PackedLayer:
    """One fully connected layer as the custom operation stores it.

    Attributes:
      codes: [N, K], not packed.
      scales, offsets: float16 [N, blocks]; `offsets` is None for a symmetric layer.
      bias: float32 [N] or None.
      block_size: weights per scale along K, 0 for the whole row.
    """

    bits: int
    codes: NDArray[np.int64]
    scales: NDArray[np.float16]
    offsets: NDArray[np.float16] | None = None
    bias: NDArray[np.float32] | None = None
    block_size: int = 0
    int8_activations: bool = False
    activation: str = "none"

    @property
    def params(self) -> NDArray[np.int32]:
        n, k = self.codes.shape
        symmetric, has_bias = int(self.offsets is None), int(self.bias is not None)
        activation_bits = 8 if self.int8_activations else 0
        fields = [1, self.bits, symmetric, self.block_size, k, n, activation_bits, has_bias]
        return np.array([*fields, ACTIVATIONS[self.activation]], np.int32)

    @property
    def packed(self) -> NDArray[np.uint8]:
        return pack_codes(self.codes, self.bits)

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
        return weights

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
        with np.errstate(all="ignore"):
            if self.int8_activations:
                codes, row_scales = quantize_rows(x)
                y = row_scales[:, None] * self._sum_blocks(*self._integer_sums(codes))
            else:
                y = self._sum_blocks(*self._float_sums(x))
            return self.activate(y + self.bias if self.bias is not None else y)

    def _integer_sums(self, x: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        products = [x[:, block] @ self.codes[:, block].T for block in self.blocks]
        assert np.abs(products).max(initial=0) < 2**31, "the oracle's sums must fit the 32 bits of the definition"
        return np.float32(products), np.float32([x[:, block].sum(axis=1) for block in self.blocks])

    def _float_sums(self, x: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Sums [blocks, M, N] of q * x and [blocks, M] of x, one term after the other."""
        products = np.zeros((len(self.blocks), len(x), len(self.codes)), np.float32)
        totals = np.zeros((len(self.blocks), len(x)), np.float32)
        for b, block in enumerate(self.blocks):
            for k in range(block.start, block.stop):
                products[b] += x[:, k, None] * self.codes[:, k].astype(np.float32)
                totals[b] += x[:, k]
        return products, totals

    def _sum_blocks(self, products: NDArray[np.float32], totals: NDArray[np.float32]) -> NDArray[np.float32]:
        y = np.zeros(products.shape[1:], np.float32)
        for b in range(len(self.blocks)):
            term = self.scales[:, b].astype(np.float32) * products[b]
            if self.offsets is not None:
                term = term - self.offsets[:, b].astype(np.float32) * totals[b][:, None]
            y = y + term
        return y


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
    symmetric: bool = True,
    block_size: int = 0,
    int8_activations: bool = False,
    bias: bool = True,
    activation: str = "none",
) -> PackedLayer:
    """Draws codes over their whole range, scales over three decades and offsets of the size of a weight."""
    blocks = -(-k // block_size) if block_size else 1
    scales = np.float16(10.0 ** rng.uniform(-3, 0, (n, blocks)))
    return PackedLayer(
        bits=bits,
        codes=rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (n, k)),
        scales=scales,
        offsets=None if symmetric else np.float16(scales * rng.standard_normal((n, blocks))),
        bias=rng.standard_normal(n).astype(np.float32) if bias else None,
        block_size=block_size,
        int8_activations=int8_activations,
        activation=activation,
    )


RECOGNIZER_FEATURES = 40


def recognizer_layers() -> list[PackedLayer]:
    """Three layers in a row of every kind, from `RECOGNIZER_FEATURES` inputs to 10 outputs."""
    rng = np.random.default_rng(3)
    k = RECOGNIZER_FEATURES
    return [
        random_layer(rng, 2, k, 24, symmetric=False, block_size=16, int8_activations=True, activation="relu"),
        random_layer(rng, 4, 24, 33, int8_activations=True, bias=False),
        random_layer(rng, 8, 33, 10, symmetric=False),
    ]
