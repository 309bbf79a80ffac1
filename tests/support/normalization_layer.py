"""A random layer normalization and what it must compute, written from the definition and not from the C code."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.support.packed_layer import fma

# Rows, channels: fewer than the 64 partial sums, as many, a part of them more; more rows than a piece of 64.
SHAPES = [(1, 1), (0, 5), (3, 64), (2, 63), (5, 130), (70, 20), (9, 512)]


@dataclass
class NormalizationLayer:
    """gain and bias [channels]."""

    gain: NDArray[np.float32]
    bias: NDArray[np.float32]
    epsilon: float = 1e-5

    @property
    def params(self) -> NDArray[np.int32]:
        return np.array([1, len(self.gain)], np.int32)

    def exact(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """x [rows, channels] in float64."""
        values = x.astype(np.float64)
        centered = values - values.mean(axis=1, keepdims=True)
        return centered / np.sqrt((centered**2).mean(axis=1, keepdims=True) + self.epsilon) * self.gain + self.bias

    def float32(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Bit for bit: every rounding in the documented place and order."""
        channels = np.float32(x.shape[1])
        mean = lane_sum(x) / channels
        centered = x - mean
        variance = _pairwise(_lanes(centered, lambda lanes, terms: fma(terms, terms, lanes))) / channels
        inverse = np.float32(1) / np.sqrt(variance + np.float32(self.epsilon))
        return fma(centered * inverse, self.gain, self.bias)


def lane_sum(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """[rows, 1]: the sums of the rows of x, in 64 partial sums."""
    return _pairwise(_lanes(x, lambda lanes, terms: lanes + terms))


def _lanes(x: NDArray[np.float32], add) -> NDArray[np.float32]:
    """[rows, 64]: number i is added to partial sum i % 64."""
    lanes = np.zeros((len(x), 64), np.float32)
    for first in range(0, x.shape[1], 64):
        terms = x[:, first : first + 64]
        count = terms.shape[1]
        lanes[:, :count] = add(lanes[:, :count], terms)
    return lanes


def _pairwise(lanes: NDArray[np.float32]) -> NDArray[np.float32]:
    """[rows, 1]: the upper half is added to the lower one until one number is left."""
    while lanes.shape[1] > 1:
        half = lanes.shape[1] // 2
        lanes = lanes[:, :half] + lanes[:, half:]
    return lanes


def random_normalization(
    rng: np.random.Generator, rows: int, channels: int
) -> tuple[NormalizationLayer, NDArray[np.float32]]:
    """A layer, and x [rows, channels]; the first row is constant, which leaves only epsilon below the root."""
    layer = NormalizationLayer(rng.standard_normal(channels, np.float32), rng.standard_normal(channels, np.float32))
    x = (3 * rng.standard_normal((rows, channels)) + 1).astype(np.float32)
    x[:1] = 0.7
    return layer, x
