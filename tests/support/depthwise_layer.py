"""A random depthwise convolution and what it must compute, written from the definition and not from the C code."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.support.packed_layer import fma

# Batch, frames of the output, length, channels: parts of a register and of the groups of eight frames and four taps
# that kernels take, none of a group, and more frames than a piece of 64.
SHAPES = [
    (1, 1, 1, 1),
    (2, 0, 4, 5),
    (1, 8, 4, 16),
    (3, 9, 5, 17),
    (1, 17, 31, 33),
    (2, 70, 15, 20),
    (1, 129, 7, 48),
    (1, 3, 32, 130),
]


@dataclass
class DepthwiseLayer:
    """kernel [length, channels], bias [channels]."""

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]

    @property
    def params(self) -> NDArray[np.int32]:
        return np.array([1, *self.kernel.shape], np.int32)

    def frames(self, x: NDArray[np.float32]) -> int:
        """Of the output for x [batch, frames, channels]."""
        return max(x.shape[1] - len(self.kernel) + 1, 0)

    def exact(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """In float64."""
        taps = enumerate(self.kernel.astype(np.float64))
        return sum((tap * x[:, i : i + self.frames(x)] for i, tap in taps), self.bias.astype(np.float64))

    def float32(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Bit for bit: one fused multiply-add after the other."""
        y = np.broadcast_to(self.bias, (len(x), self.frames(x), len(self.bias)))
        for i, tap in enumerate(self.kernel):
            y = fma(tap, x[:, i : i + self.frames(x)], y)
        return y


def random_depthwise(
    rng: np.random.Generator, batch: int, frames: int, length: int, channels: int
) -> tuple[DepthwiseLayer, NDArray[np.float32]]:
    """A layer, and inputs for so many frames of output."""
    layer = DepthwiseLayer(
        rng.standard_normal((length, channels), np.float32), rng.standard_normal(channels, np.float32)
    )
    return layer, rng.standard_normal((batch, frames + length - 1, channels), np.float32)
