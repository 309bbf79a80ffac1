"""White noise that is the same, bit for bit, in every implementation and on every machine.

Integer arithmetic only: the sums of the eight bytes of the numbers of SplitMix64 (Steele et al. 2014, "Fast splittable
pseudorandom number generators"), shifted and scaled to mean 0 and deviation 1. Their distribution is close to normal.
`android_bench/native/vocoder.c` makes the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BYTES = 8
_MEAN = _BYTES * 255 // 2
_DEVIATION = np.float32(np.sqrt(_BYTES * (256**2 - 1) / 12))
_INCREMENT = 0x9E3779B97F4A7C15
_FACTORS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))


class Noise:
    """A sequence of noise.

    Args:
      seed: at least 0.
    """

    def __init__(self, seed: int = 0) -> None:
        self._state = seed

    def take(self, count: int) -> NDArray[np.float32]:
        """Returns the next values [count]."""
        steps = np.arange(1, count + 1, dtype=np.uint64)
        numbers = np.uint64(self._state) + steps * np.uint64(_INCREMENT)
        for shift, factor in _FACTORS:
            numbers = (numbers ^ (numbers >> np.uint64(shift))) * np.uint64(factor)
        numbers ^= numbers >> np.uint64(31)
        self._state = (self._state + count * _INCREMENT) % 2**64
        sums = numbers.view(np.uint8).reshape(count, _BYTES).sum(axis=1, dtype=np.int32)
        return (sums - _MEAN).astype(np.float32) / _DEVIATION
